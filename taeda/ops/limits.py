"""Clamping and other functions that bound their input."""

from __future__ import annotations

from .namespace import F
from .scalar import isinf, isnan, maximum, minimum, select
from .table import composite, floating, numeric, pointwise

# Bounds in PyTorch's order: max wins where min > max; NaN stays.
pointwise(
    "_clamp",
    lambda x, lo, hi: minimum(maximum(x, lo), hi),
    params="Tensor input, Tensor|Number min, Tensor|Number max",
    accepts=numeric,
    method=False,
    grad=(
        lambda g, x, lo, hi: select((x >= lo) & (x <= hi), g, 0),
        lambda g, x, lo, hi: select((x < lo) & (lo < hi), g, 0),
        lambda g, x, lo, hi: select((x > hi) | (lo > hi), g, 0),
    ),
    oracle="numpy.minimum(numpy.maximum(a, b), c)",
    domain=((-3, 3), (-2, -1), (1, 2)),
)
pointwise(
    "_clamp_min",
    lambda x, lo: maximum(x, lo),
    params="Tensor input, Tensor|Number min",
    accepts=numeric,
    method=False,
    grad=(lambda g, x, lo: select(x >= lo, g, 0), lambda g, x, lo: select(x < lo, g, 0)),
    oracle="numpy.maximum(a, b)",
)
pointwise(
    "_clamp_max",
    lambda x, hi: minimum(x, hi),
    params="Tensor input, Tensor|Number max",
    accepts=numeric,
    method=False,
    grad=(lambda g, x, hi: select(x <= hi, g, 0), lambda g, x, hi: select(x > hi, g, 0)),
    oracle="numpy.minimum(a, b)",
)


@composite(
    method=True,
    out=True,
    inplace="function",
    aliases=("clip",),
    oracle="lambda x, min=None, max=None: numpy.clip(x, min, max)",
    samples=lambda t: [
        ((t(3, 4),), {"min": -0.5, "max": 0.5}),
        ((t(3, 4),), {"min": 0.25}),
        ((t(3, 4),), {"max": 0.25}),
        ((t(3, 4), t(4, low=-1, high=-0.2), t(3, 1, low=0.2, high=1)), {}),
    ],
)
def clamp(input, min=None, max=None):
    """Limits the elements to [min, max]; either bound may be left out, and may be a number or a tensor."""
    if min is None and max is None:
        raise RuntimeError("clamp(): at least one of 'min' or 'max' must not be None")
    if min is None:
        return F._clamp_max(input, max)
    return F._clamp_min(input, min) if max is None else F._clamp(input, min, max)


@composite(method=True, out=True, inplace="function")
def clamp_min(input, min):
    """Limits the elements from below."""
    return F._clamp_min(input, min)


@composite(method=True, out=True, inplace="function")
def clamp_max(input, max):
    """Limits the elements from above."""
    return F._clamp_max(input, max)


@composite(method=True)
def positive(input):
    """The input itself; an error on bool."""
    if input.dtype is F.bool:
        raise RuntimeError("positive(): the + operator is not supported on bool tensors")
    return input


@composite(out=True)
def rsub(input, other, *, alpha=1):
    """other - alpha * input."""
    return F.sub(other, input if alpha == 1 else F.mul(input, alpha))


@composite(method=True, out=True, inplace=True)
def float_power(input, exponent):
    """input ** exponent in float64."""
    is_complex = any(x.is_complex() if isinstance(x, F.Tensor) else isinstance(x, complex) for x in (input, exponent))
    wide, number = (F.complex128, complex) if is_complex else (F.float64, float)
    return F._pow(*(F.cast(x, wide) if isinstance(x, F.Tensor) else number(x) for x in (input, exponent)))


def _nan_to_num(x, nan, high, low):
    return select(isnan(x), nan, select(x.eq(float("inf")), high, select(x.eq(float("-inf")), low, x)))


pointwise(
    "_nan_to_num",
    _nan_to_num,
    types="Tppp->T",
    params="Tensor input, Number nan, Number posinf, Number neginf",
    accepts=floating,
    method=False,
    grad=(lambda g, x: select(isinf(x) | isnan(x), 0, g), None, None, None),
)


@composite(method=True, out=True, inplace="function")
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """Replaces NaN and infinities by numbers (the dtype's extremes where not given)."""
    if input.is_complex():
        return F.complex(*(F.nan_to_num(part, nan, posinf, neginf) for part in (F.real(input), F.imag(input))))
    if not input.is_floating_point():
        return F.clone(input)
    info = F.finfo(input.dtype)
    return F._nan_to_num(input, nan, info.max if posinf is None else posinf, info.min if neginf is None else neginf)
