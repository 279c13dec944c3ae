"""Window functions of spectral analysis. With periodic=True (the default) the window is one sample short of symmetric."""

from __future__ import annotations

import math

from .creation import _float, finish
from .namespace import F
from .table import composite


def _window(op, length, periodic, dtype, formula):
    """formula(position 0 .. last, last) in float64."""
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
    return F.cast(formula(F.arange(length, dtype=F.float64), last), dtype)


def _cosines(*weights):
    """weights[0] - weights[1] cos(x) + weights[2] cos(2 x) ..., x once around."""

    def formula(at, last):
        total = None
        for k, w in enumerate(weights):
            term = F.cos(at * (2 * math.pi * k / last)) * (-w if k % 2 else w)
            total = term if total is None else total + term
        return total

    return formula


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
    result = _window(
        "blackman_window", window_length, periodic, dtype, lambda at, last: F.clamp_min(formula(at, last), 0)
    )
    return finish(result, "blackman_window", None, device, layout, requires_grad)


@composite()
def bartlett_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """Bartlett window: a triangle that is 0 at its ends."""
    result = _window("bartlett_window", window_length, periodic, dtype, lambda at, last: 1 - F.abs(at * (2 / last) - 1))
    return finish(result, "bartlett_window", None, device, layout, requires_grad)


@composite()
def kaiser_window(
    window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, requires_grad=False,
    pin_memory=False,
):  # fmt: skip
    """Kaiser window: I0(beta sqrt(1 - x^2)) / I0(beta) for x from -1 to 1 (Kaiser and Schafer, 1980)."""

    def formula(at, last):
        x = at * (2 / last) - 1
        inside = F.sqrt(F.clamp_min(1 - x * x, 0)) * beta
        return F.i0(inside) / F.i0(F.full((), float(beta), dtype=F.float64))

    result = _window("kaiser_window", window_length, periodic, dtype, formula)
    return finish(result, "kaiser_window", None, device, layout, requires_grad)
