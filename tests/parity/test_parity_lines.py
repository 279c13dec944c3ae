"""Every line of `lines/*.txt` is an expression that gives in PyTorch and here the same result, dtype, gradient or
error."""

from __future__ import annotations

from pathlib import Path

import pytest

from .expressions import agree

LINES = {
    path.stem: [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    for path in sorted((Path(__file__).parent / "lines").glob("*.txt"))
}

#: Where we differ on purpose, and why. Tested too: a line that agrees by now does not belong here.
DIFFERENT = {
    "m.special.bessel_j0(t([inf, -inf]))": "the limit, 0; PyTorch gives NaN",
    "m.special.bessel_y1(t([inf]))": "the limit, 0; PyTorch gives NaN",
    "m.special.i0(t([inf]))": "the limit, infinity; PyTorch gives NaN",
    "m.special.i1(t([-inf]))": "the limit, minus infinity; PyTorch gives NaN",
    'm.special.zeta(t([2.0], "float64"), t([inf], "float64"))': "the limit, 0; PyTorch gives NaN",
    'm.special.airy_ai(t([-2.5], "float64"))': "exact; PyTorch's error is 2e-6 of it",
    'm.special.polygamma(1, t([1.0], "float64"))': "pi^2/6; PyTorch's error is 5e-10 of it",
    'm.special.gammainc(t([50.0], "float64"), t([50.0], "float64"))': "exact; PyTorch's error is 5e-10 of it",
    "f(3, 4) // f(4)": "the gradient is zero, as that of div(rounding_mode='floor'); PyTorch refuses",
    "m.remainder(5.5, f(3))": "has its gradient; PyTorch refuses",
    'then(f(2, 2), "__imatmul__", f(2, 2))': "Python's fallback to @ is as good",
    "m.clamp(f(3, 6), f(6), 1.0)": "one bound may be a tensor and the other a number",
    "m.logical_or(b(3), 1)": "a number broadcasts, as in every other operator",
    "m.var(f(3, 2), 1, correction=5)": "a variance that is infinite has no gradient: NaN",
    "f(3, 4)[..., ...]": "an error, as in NumPy",
    'f(3, 4)["a"]': "IndexError, as for other things that are no index",
    'f(3, 4)[t([0, 1], "int16")]': "small integers are indices too",
    "put(f(3), slice(0, 2), [1.0, 2.0])": "lists can be assigned",
    "put(f(3), slice(0, 2), np.array([1.0, 2.0]))": "arrays can be assigned",
    "m.scatter(f(3, 4), 0, t([[0, 1], [2, 0]]), f(3, 4))": "a source larger than the index has its gradient",
    'm.scatter(f(3, 4), 1, t([[0, 1, 1]]), f(1, 3), reduce="add")': "has its gradient; PyTorch refuses",
    "F.embedding_bag(t([0, 1, 3, 1]), f(4, 3), t([0, 2]), scale_grad_by_freq=True)": "each row is divided by its own "
    "count; PyTorch's CPU takes another row's",
    "F.linear(f(2, 3), f(3), f())": "a weight vector takes a bias",
    "m.full(2, 3.0)": "one number is a size",
    "m.zeros_like(f(3, 2).t()).stride()": "new tensors are row-major",
    'm.linalg.cond(d(3, 3), "fro")': "has its gradient; PyTorch overwrites a tensor that it needs",
    "m.linalg.ldl_solve(*m.linalg.ldl_factor(m.eye(3, dtype=float64_)), d(3, 2))": "has its gradient; PyTorch has a bug",
    "m.cholesky_inverse(d(3, 3))": "no gradient reaches the triangle that is not read",
    "m.fft.fft(m.zeros(0, 3))": "no transform of nothing is no error",
    "np.array([1.0, 2]) * t([1.0, 2])": "NumPy's operators leave the work to our tensors",
}


@pytest.mark.parametrize(("topic", "line"), [(topic, line) for topic in LINES for line in LINES[topic]])
def test_agrees_with_pytorch(topic, line):
    agree(line)


@pytest.mark.parametrize("line", DIFFERENT)
def test_differs_on_purpose(line):
    with pytest.raises((AssertionError, IndexError)):
        agree(line)
