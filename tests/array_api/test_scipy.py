"""SciPy's functions on tensors, through its generic path for array API namespaces (SCIPY_ARRAY_API=1): the results are
tensors and those of NumPy arrays. In a process of its own: SciPy reads the switch when it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("scipy", minversion="1.15")

#: module -> calls; x, y vectors, m a matrix, s a positive definite one, p positive numbers, u numbers in (0, 1), b truth.
CALLS = {
    "special": """erf(x)
erfc(x)
expit(x)
logit(u)
gammaln(p)
ndtr(x)
ndtri(u)
i0(x)
i1e(x)
entr(p)
xlogy(p, p)
logsumexp(m)
logsumexp(m, axis=1)
softmax(m, axis=0)
log_softmax(m, axis=1)
betainc(u, u, u)
gammainc(p, p)
stdtr(3.0, x)
sinc(x)""",
    "stats": """zscore(m)
gmean(p)
hmean(p)
pmean(p, 2)
skew(x)
kurtosis(x)
moment(x, order=3)
describe(m)
variation(p)
sem(x)
tmean(x, (-1, 1))
tvar(x)
tmax(x)
ttest_1samp(x, 0.0)
ttest_ind(x, y)
ttest_rel(x, y)
pearsonr(x, y)
skewtest(x)
normaltest(x)
jarque_bera(x)
power_divergence(p)
bartlett(x, y)
combine_pvalues(u)
entropy(p)
directional_stats(m)
circmean(u)
circstd(u)
quantile(x, 0.5)""",
    "fft": """fft(x)
ifft(x)
rfft(x)
irfft(x)
fftn(m)
ifft2(m)
rfft2(m)
hfft(x)
ihfft(x)
dct(x)
idst(x)
fftshift(x)""",
    "signal": """convolve(x, y)
fftconvolve(x, y)
oaconvolve(x, y)
lfilter(p[:3], p[:3], x)
sosfilt(sos, x)
hilbert(x)
detrend(x)
resample_poly(x, 2, 1)
resample(x, 10)
savgol_filter(x, 5, 2)
medfilt(x)
convolve2d(m, m)
freqz(p[:3], p[:3])""",
    "ndimage": """gaussian_filter(m, 1.0)
uniform_filter(m, 3)
median_filter(m, 3)
sobel(m)
rotate(m, 30.0)
zoom(m, 2.0)
binary_erosion(b)
distance_transform_edt(b)
map_coordinates(m, m[:2])""",
    "integrate": """trapezoid(x)
cumulative_trapezoid(x)
cumulative_simpson(x)
tanhsinh(lambda t: t**2, x, y).integral
cubature(lambda t: t[:, 0] ** 2, x[:1], y[:1]).estimate""",
    "optimize": """rosen(x)
rosen_der(x)
elementwise.find_root(lambda t: t**3 - 2, (0 * x, 0 * x + 2.0)).x
elementwise.find_minimum(lambda t: (t - 1) ** 2, (0 * x - 1.0, 0 * x + 0.5, 0 * x + 3.0)).x""",
    "differentiate": """derivative(lambda t: t**3, p).df
jacobian(lambda t: t**3, p[:3]).df""",
    "cluster.vq": """whiten(m)
vq(m, m[:2])
kmeans2(m, 2, rng=1)""",
    "cluster.hierarchy": """linkage(m)
leaves_list(linkage(m))""",
    "spatial.transform": """Rotation.from_quat(m[:, :4]).as_matrix()
Rotation.from_rotvec(m[:, :3]).as_quat()
(Rotation.from_quat(m[:, :4]) * Rotation.from_quat(m[:, :4]).inv()).as_rotvec()""",
    "interpolate": """CubicSpline(up, x[:6])(up)
make_interp_spline(up, x[:6])(up)""",
    "constants": "convert_temperature(x, 'C', 'K')",
}

SCRIPT = """
import importlib, json, sys, warnings
import numpy as np
import scipy.signal
import taeda
from taeda import array_api

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
x, y, m, u = rng.standard_normal(20), rng.standard_normal(20), rng.standard_normal((4, 5)), rng.random(20)
DATA = dict(x=x, y=y, m=m, s=m @ m.T + np.eye(4), u=u, p=x**2 + 0.1, b=m > 0, up=np.arange(6.0),
            sos=scipy.signal.butter(3, 0.3, output="sos"))

def leaves(r):
    if isinstance(r, (np.ndarray, np.generic, taeda.Tensor)):
        yield r
    elif isinstance(r, (tuple, list)):
        for e in r:
            yield from leaves(e)
    elif hasattr(r, "statistic"):
        yield from (r.statistic, r.pvalue)
    elif hasattr(r, "__dict__"):
        yield from leaves(list(vars(r).values()))

module, calls = sys.argv[1], json.loads(sys.argv[2])
names = dict(vars(importlib.import_module("scipy." + module)))
if module == "optimize":
    names["elementwise"] = importlib.import_module("scipy.optimize.elementwise")
for call in calls:
    try:
        want = list(leaves(eval(call, {**names, **DATA, "xp": np})))
        tensors = {k: taeda.tensor(v) for k, v in DATA.items()}
        got = list(leaves(eval(call, {**names, **tensors, "xp": array_api})))
        assert len(got) == len(want) > 0, (got, want)
        for a, b in zip(got, want):
            assert isinstance(a, taeda.Tensor), type(a)
            assert a.numpy().dtype == b.dtype and a.shape == b.shape, (a.dtype, b.dtype, a.shape, b.shape)
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-7, atol=1e-9)
        print(json.dumps([call, ""]))
    except Exception as e:
        print(json.dumps([call, f"{type(e).__name__}: {e}"]))
"""


@pytest.mark.parametrize("module", CALLS)
def test_scipy(module):
    calls = CALLS[module].splitlines()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, module, json.dumps(calls)],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = dict(map(json.loads, done.stdout.splitlines()))
    assert [*found] == calls
    assert {call: error for call, error in found.items() if error} == {}
