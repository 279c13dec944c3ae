"""Window functions of spectral analysis. With periodic=True (the default) the window is one sample short of symmetric."""

from __future__ import annotations

import math

from .creation import _float, finish
from .expr import cast
from .namespace import F
from .scalar import cos
from .table import composite, generate


def _window(op, length, periodic, dtype, formula):
    """The window of formula(length, last, dtype), x = 0 .. last."""
    if isinstance(length, (bool, float, F.Tensor)):
        raise TypeError(f"{op}(): argument 'window_length' must be int, not {type(length).__name__}")
    dtype = _float(dtype)
    if not dtype.is_floating_point:
        raise RuntimeError(f"{op} expects floating point dtypes, got: {dtype}")
    if length < 0:
        raise RuntimeError(f"{op} requires non-negative window_length, got window_length={length}")
    if length <= 1:
        return F.ones((length,), dtype=dtype)
    last = length if periodic else length - 1
    return formula(length, last, dtype)


def _two_cosines(at, step, a, b, c):
    x = cos(cast(at, "f64") * step)
    return a - b * x + c * (x * x * 2 - 1)


# a - b cos(x) + c cos(2 x) for x = 0, step, 2 step, ...
generate(
    "_cosine_window",
    _two_cosines,
    "int[] size, Number step, Number a, Number b, Number c, *, dtype? dtype=None",
    types="dddd",
)


def _cosines(a, b, c=0.0):
    return lambda length, last, dtype: F._cosine_window((length,), 2 * math.pi / last, a, b, c, dtype=dtype)


@composite()
def hann_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """Hann window: sin(pi n / N)^2."""
    result = _window("hann_window", window_length, periodic, dtype, _cosines(0.5, 0.5))
    return finish(result, "hann_window", None, device, layout, requires_grad)


@composite()
def hamming_window(
    window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
):  # fmt: skip
    """Hamming window: alpha - beta cos(2 pi n / N)."""
    result = _window("hamming_window", window_length, periodic, dtype, _cosines(alpha, beta))
    return finish(result, "hamming_window", None, device, layout, requires_grad)


@composite()
def blackman_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """Blackman window: 0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N), not below 0."""
    formula = _cosines(0.42, 0.5, 0.08)
    result = _window("blackman_window", window_length, periodic, dtype, lambda *x: F.clamp_min(formula(*x), 0))
    return finish(result, "blackman_window", None, device, layout, requires_grad)


@composite()
def bartlett_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """Bartlett window: a triangle that is 0 at its ends."""

    def formula(length, last, dtype):
        return F.cast(1 - F.abs(F.arange(length, dtype=F.float64) * (2 / last) - 1), dtype)

    result = _window("bartlett_window", window_length, periodic, dtype, formula)
    return finish(result, "bartlett_window", None, device, layout, requires_grad)


@composite()
def kaiser_window(
    window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
):  # fmt: skip
    """Kaiser window: I0(beta sqrt(1 - x^2)) / I0(beta) for x from -1 to 1 (Kaiser and Schafer, 1980)."""

    def formula(length, last, dtype):
        x = F.arange(length, dtype=F.float64) * (2 / last) - 1
        inside = F.sqrt(F.clamp_min(1 - x * x, 0)) * beta
        return F.cast(F.i0(inside) / F.i0(F.full((), float(beta), dtype=F.float64)), dtype)

    result = _window("kaiser_window", window_length, periodic, dtype, formula)
    return finish(result, "kaiser_window", None, device, layout, requires_grad)
