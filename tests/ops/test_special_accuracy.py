"""The special functions against many digits, in float32 and float64: no error above the bound that `scalar.ULP` states.

An error counts in units in the last place of the exact result; where a function crosses zero, of what is added up there.
"""

from __future__ import annotations

import math
import random

import mpmath
import pytest

import taeda
from taeda.ops import special_functions  # noqa: F401  (states the bounds)
from taeda.ops.scalar import ULP

S = taeda.special
DIGITS = {"float32": 24, "float64": 53}


def log_ndtr(x):
    return mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2)


def ndtri(p):
    return -mpmath.sqrt(2) * _inverse_erfc(2 * p) if p < 0.5 else mpmath.sqrt(2) * _inverse_erfc(2 * (1 - p))


def erfinv(x):
    return mpmath.sign(x) * _inverse_erfc(1 - abs(x))


def _inverse_erfc(c):
    """Newton's method on log(erfc)."""
    y = mpmath.sqrt(-mpmath.log(c)) * 0.9
    for _ in range(80):
        f = mpmath.erfc(y)
        step = mpmath.log(f / c) * f * mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(y * y)
        y += step
        if abs(step) < mpmath.mpf(10) ** -30 * (abs(y) + mpmath.mpf(10) ** -20):
            break
    return y


def scaled(kind, order, sign):
    return lambda x: getattr(mpmath, kind)(order, x) * mpmath.exp(sign * abs(x))


def lower_gamma(a, x):
    """The power series; mpmath's own gives up on large arguments."""
    with mpmath.workdps(100):
        term = total = mpmath.exp(a * mpmath.log(x) - x - mpmath.loggamma(a + 1))
        while term > mpmath.mpf(10) ** -90 * total or a < x:
            a += 1
            term *= x / a
            total += term
        return total


def upper_gamma(a, x):
    with mpmath.workdps(100):
        return 1 - lower_gamma(a, x)


def wave(x):
    return min(mpmath.mpf(1), mpmath.sqrt(2 / (mpmath.pi * abs(x)))) if x else mpmath.mpf(1)


def airy_scale(x):
    return abs(x) ** mpmath.mpf(-0.25) / mpmath.sqrt(mpmath.pi) if x < -1 else 0


#: name -> (bound's name, exact function, ranges, least size that errors are measured against)
ONE = {
    "gammaln": ("lgamma", lambda x: mpmath.re(mpmath.loggamma(x)), [(1e-8, 0.7), (0.7, 3.2), (3, 40), (40, 1e6), (-0.3, -1e-6)], None),
    "digamma": ("digamma", mpmath.digamma, [(1e-6, 1), (1, 2.5), (2.4, 50), (50, 1e7)], None),
    "erfcx": ("erfcx", lambda x: mpmath.exp(x * x) * mpmath.erfc(x), [(-5, 0), (0, 1.1), (1, 40), (40, 1e6), (-9, -5)], None),
    "erfinv": ("erfinv", erfinv, [(-0.9, 0.9), (0.9, 0.99999), (1e-6, 1e-3)], None),
    "ndtr": ("ndtr", mpmath.ncdf, [(-1, 1), (-12, -1), (1, 8)], None),
    "ndtri": ("ndtri", ndtri, [(0.001, 0.999), (1e-30, 1e-3), (0.999, 0.9999)], None),
    "log_ndtr": ("log_ndtr", log_ndtr, [(-1, 1), (-30, -1), (1, 8), (-1e4, -30)], None),
    "i0": ("i0", lambda x: mpmath.besseli(0, x), [(-8, 8), (8, 80)], None),
    "i0e": ("i0e", scaled("besseli", 0, -1), [(-8, 8), (8, 700)], None),
    "i1": ("i1", lambda x: mpmath.besseli(1, x), [(-8, 8), (8, 80), (1e-6, 1e-2)], None),
    "i1e": ("i1e", scaled("besseli", 1, -1), [(-8, 8), (8, 700), (1e-6, 1e-2)], None),
    "modified_bessel_k0": ("k0", lambda x: mpmath.besselk(0, x), [(1e-6, 1), (1, 2), (2, 80)], None),
    "modified_bessel_k1": ("k1", lambda x: mpmath.besselk(1, x), [(1e-6, 1), (1, 2), (2, 80)], None),
    "scaled_modified_bessel_k0": ("k0e", scaled("besselk", 0, 1), [(1e-6, 1), (1, 2), (2, 700)], None),
    "scaled_modified_bessel_k1": ("k1e", scaled("besselk", 1, 1), [(1e-6, 1), (1, 2), (2, 700)], None),
    "bessel_j0": ("j0", lambda x: mpmath.besselj(0, x), [(-5, 5), (5, 60), (60, 1e5)], wave),
    "bessel_j1": ("j1", lambda x: mpmath.besselj(1, x), [(-5, 5), (5, 60), (60, 1e5)], wave),
    "bessel_y0": ("y0", lambda x: mpmath.bessely(0, x), [(1e-4, 5), (5, 60), (60, 1e5)], wave),
    "bessel_y1": ("y1", lambda x: mpmath.bessely(1, x), [(1e-4, 5), (5, 60), (60, 1e5)], wave),
    "airy_ai": ("airy_ai", mpmath.airyai, [(-60, -4.4), (-4.4, 0), (0, 2.2), (2.2, 20)], airy_scale),
}  # fmt: skip

#: the same of two arguments: pairs of ranges
TWO = {
    "gammainc": ("igamma", lower_gamma,
                 [((0.01, 3), (0.01, 5)), ((3, 50), (1, 80)), ((51, 400), (40, 500)), ((1e4, 2e4), (9e3, 2.1e4))]),
    "gammaincc": ("igammac", upper_gamma,
                  [((0.01, 3), (0.01, 5)), ((3, 50), (1, 80)), ((51, 400), (40, 500)), ((1e-4, 0.1), (0.01, 1.1))]),
    "zeta": ("zeta", mpmath.zeta, [((1.1, 6), (0.1, 9)), ((6, 30), (0.5, 30)), ((2, 9), (1e3, 1e5))]),
}  # fmt: skip


def spread(random_, low, high, count):
    """Numbers of the range, in steps of magnitude where it spans several."""
    if low > 0 and high / low > 100:
        return [math.exp(random_.uniform(math.log(low), math.log(high))) for _ in range(count)]
    return [random_.uniform(low, high) for _ in range(count)]


def ulps(got, exact, digits, least=0):
    size = max(abs(exact), least)
    if size == 0:
        return 0.0 if got == 0 else math.inf
    unit = mpmath.ldexp(1, int(mpmath.floor(mpmath.log(size, 2))) + 1 - digits)
    return float(abs(mpmath.mpf(got) - exact) / unit)


def worst(name, function, exact, dtype, ranges, least, count=60):
    """The largest error and where."""
    random_, found, bottom = random.Random(name), (0.0, None), 1e-30
    for one in ranges:
        columns = [spread(random_, *r, count) for r in (one if isinstance(one[0], tuple) else (one,))]
        tensors = [taeda.tensor(c, dtype=getattr(taeda, dtype)) for c in columns]
        for row in zip(*(t.tolist() for t in tensors), function(*tensors).tolist()):
            args, got = [mpmath.mpf(v) for v in row[:-1]], row[-1]
            with mpmath.workdps(45):
                value = exact(*args)
                if not bottom < abs(value) < 1e30:
                    continue
                error = ulps(got, value, DIGITS[dtype], least(args[0]) if least else 0)
            if not error <= found[0]:
                found = error, row
    return found


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_error_is_within_the_stated_bound(name, dtype):
    key, exact, ranges, least = ONE[name] if name in ONE else (*TWO[name], None)
    bound = ULP[key][dtype == "float64"]
    error, where = worst(name, getattr(S, name), exact, dtype, ranges, least)
    assert error <= bound, f"{name} of {dtype}: {error:.2f} ulp at {where}, stated: {bound}"


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("dtype", DIGITS)
def test_polygamma(n, dtype):
    bound = ULP["trigamma" if n == 1 else "polygamma"][dtype == "float64"]
    error, where = worst(
        f"polygamma{n}",
        lambda x: S.polygamma(n, x),
        lambda x: mpmath.psi(n, x),
        dtype,
        [(0.05, 1), (1, 3), (3, 60)],
        None,
    )
    assert error <= bound, f"polygamma({n}) of {dtype}: {error:.2f} ulp at {where}"
