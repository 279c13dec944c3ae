"""Resizing: every mode is separable, one dimension after the other, as a few gathers of whole slices.

Weights are computed in the input's dtype (float32 for half types and uint8), as PyTorch computes them.
"""

from __future__ import annotations

import math

from .namespace import F
from .scalar import as_expr, select
from .table import composite, floating, pointwise


# -- kernels of interpolation, as functions of the distance ------------------------------------------------------------
def _near(x, a):
    return ((a + 2) * x - (a + 3)) * x * x + 1


def _far(x, a):
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a


def cubic_weights(t, a=-0.75):
    """Weights of the four neighbours of a place that lies `t` beyond the second (Keys, 1981)."""
    return _far(t + 1, a), _near(t, a), _near(1 - t, a), _far(2 - t, a)


def _triangle(x):
    d = abs(x)
    return select(d < 1, 1 - d, 0)


def _cubic(x):
    d = abs(x)
    return select(d < 1, _near(d, -0.5), select(d < 2, _far(d, -0.5), as_expr(0, x.dtype)))


for _name, _filter in (("_triangle_filter", _triangle), ("_cubic_filter", _cubic)):
    pointwise(_name, _filter, grad=False, accepts=floating, method=False, function=False)


def _lanczos(x):
    return F._where(F.lt(F.abs(x), 3), F.sinc(x) * F.sinc(x / 3), 0)


#: mode -> (reach on each side at scale 1, filter)
_ANTIALIASED = {
    "bilinear": (1, lambda x: F._triangle_filter(x)),
    "bicubic": (2, lambda x: F._cubic_filter(x)),
    "lanczos": (3, _lanczos),
}


# -- one dimension -----------------------------------------------------------------------------------------------------
def _ratio(size, out, factor, align_corners):
    """Input places per output place."""
    if align_corners:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return size / out if factor is None else 1.0 / factor


def _source(out, ratio, align_corners, dtype):
    at = F.arange(out, dtype=dtype)
    return at * ratio if align_corners else (at + 0.5) * ratio - 0.5


def _pick(x, dim, places, size):
    return F.index_select(x, dim, F.clamp(places, 0, size - 1))


def _along(weight, x, dim):
    return F.reshape(weight, [-1] + [1] * (x.dim() - 1 - dim))


def _nearest(x, dim, size, out, factor, exact):
    # In float32 whatever the input: that decides which neighbour a place halfway belongs to.
    at = F.arange(out, dtype=F.float32) + (0.5 if exact else 0.0)
    return _pick(x, dim, F.cast(F.floor(at * _ratio(size, out, factor, False)), F.int64), size)


def _linear(x, dim, size, out, factor, align_corners):
    at = F.clamp_min(_source(out, _ratio(size, out, factor, align_corners), align_corners, x.dtype), 0)
    low = F.clamp_max(F.cast(at, F.int64), size - 1)
    weight = F.clamp(at - F.cast(low, x.dtype), 0, 1)
    return F.lerp(F.index_select(x, dim, low), _pick(x, dim, low + 1, size), _along(weight, x, dim))


def _cubic_taps(x, dim, size, out, factor, align_corners):
    at = _source(out, _ratio(size, out, factor, align_corners), align_corners, x.dtype)
    low = F.floor(at)
    weights = cubic_weights(at - low)
    low = F.cast(low, F.int64)
    parts = [_pick(x, dim, low + (k - 1), size) * _along(w, x, dim) for k, w in enumerate(weights)]
    return parts[0] + parts[1] + parts[2] + parts[3]


def _antialiased(x, dim, size, out, factor, align_corners, mode):
    """Every output is the mean of the inputs within reach, weighed by the kernel stretched to the output's spacing."""
    reach, kernel = _ANTIALIASED[mode]
    ratio = _ratio(size, out, factor, align_corners)
    stretch = max(ratio, 1.0)
    reach = reach * stretch
    center = (F.arange(out, dtype=x.dtype) + 0.5) * ratio
    first = F.clamp_min(F.cast(center - reach + 0.5, F.int64), 0)
    last = F.clamp_max(F.cast(center + reach + 0.5, F.int64), size)
    places = F.unsqueeze(first, 1) + F.arange(min(2 * math.ceil(reach) + 1, size))
    distance = (F.cast(places, x.dtype) - F.unsqueeze(center, 1) + 0.5) * (1.0 / stretch)
    weights = F._where(F.lt(places, F.unsqueeze(last, 1)), kernel(distance), 0)
    weights = weights / F.sum(weights, 1, True)
    windows = F.unflatten(_pick(x, dim, F.reshape(places, (-1,)), size), dim, tuple(places.shape))
    return F.sum(windows * F.reshape(weights, [*places.shape, *[1] * (x.dim() - 1 - dim)]), dim + 1)


# -- the public forms --------------------------------------------------------------------------------------------------
_DIMENSIONS = {"linear": 1, "bilinear": 2, "bicubic": 2, "lanczos": 2, "trilinear": 3}
_ALIGNED = ("linear", "bilinear", "bicubic", "trilinear")


def _per_dimension(value, n, name):
    if not isinstance(value, (tuple, list)):
        return [value] * n
    if len(value) != n:
        raise ValueError(
            f"interpolate(): {name} must have one entry for each of the {n} spatial dimensions of the input, got "
            f"{tuple(value)}"
        )
    return list(value)


def _new_sizes(old, size, scale_factor, recompute):
    """(output sizes, scale factors or Nones)."""
    n = len(old)
    if size is not None and scale_factor is not None:
        raise ValueError("interpolate(): only one of size or scale_factor should be defined, got both")
    if size is not None:
        if recompute:
            raise ValueError("interpolate(): recompute_scale_factor is not meaningful with an explicit size")
        new = [int(s.item()) if isinstance(s, F.Tensor) else s for s in _per_dimension(size, n, "size")]
        if any(isinstance(s, float) for s in new):
            raise TypeError(f"interpolate(): size must be int or a tuple of ints, got {size}")
        return new, [None] * n
    if scale_factor is None:
        raise ValueError("interpolate(): either size or scale_factor should be defined, got neither")
    factors = [float(f) for f in _per_dimension(scale_factor, n, "scale_factor")]
    new = [
        int(s * f) if isinstance(s, int) else s * int(f) if f == int(f) else int(s * f) for s, f in zip(old, factors)
    ]
    return new, [None] * n if recompute else factors


def _samples(t):
    return [
        ((t(1, 2, 3, 4),), {"scale_factor": 2}),
        ((t(1, 2, 4, 4), (2, 6)), {"mode": "nearest"}),
        ((t(1, 2, 4),), {"scale_factor": 2, "mode": "linear"}),
        ((t(1, 2, 3, 4), (5, 7)), {"mode": "bilinear"}),
        ((t(1, 2, 3, 4), (5, 7)), {"mode": "bilinear", "align_corners": True}),
    ]


@composite(nn=True, function=False, aliases=("upsample",), oracle="oracles.interpolate", samples=_samples)
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """[N, C, ...] resized over the one to three dimensions after the channels, to `size` or by `scale_factor`.

    mode: nearest, nearest-exact, area, linear (3D), bilinear, bicubic, lanczos (4D) or trilinear (5D). antialias
    (bilinear, bicubic; lanczos always) stretches the kernel over all inputs that a smaller output stands for.
    align_corners lays the outermost places of input and output on each other.
    """
    n = input.dim() - 2
    if mode not in ("nearest", "nearest-exact", "area") and mode not in _DIMENSIONS:
        raise NotImplementedError(
            f"interpolate(): mode must be nearest, nearest-exact, linear, bilinear, bicubic, trilinear, lanczos or area, "
            f"got {mode!r}"
        )
    if not 1 <= n <= 3:
        raise NotImplementedError(f"interpolate(): only 3D, 4D and 5D inputs are supported, got {input.dim()}D")
    if align_corners is not None and mode not in _ALIGNED:
        raise ValueError(
            f"interpolate(): align_corners can only be set with the modes {', '.join(_ALIGNED)}, got {mode!r}"
        )
    old = list(input.shape[2:])
    new, factors = _new_sizes(old, size, scale_factor, recompute_scale_factor)
    if antialias and not (mode in _ANTIALIASED and n == 2):
        raise ValueError(
            f"interpolate(): antialias is for the modes {', '.join(_ANTIALIASED)} and 4D inputs, got {mode!r} of "
            f"{input.dim()}D"
        )
    if mode == "lanczos" and not antialias:
        raise ValueError("interpolate(): mode 'lanczos' requires antialias=True")
    if mode == "area":
        return getattr(F, f"adaptive_avg_pool{n}d")(input, new)
    if _DIMENSIONS.get(mode, n) != n:
        raise NotImplementedError(
            f"interpolate(): mode {mode!r} needs {_DIMENSIONS[mode] + 2}D input, got {input.dim()}D"
        )
    if not input.is_floating_point() and input.dtype is not F.uint8:
        raise NotImplementedError(f"interpolate(): input must be of a floating point dtype or uint8, got {input.dtype}")
    if any(s <= 0 for s in (*old, *new)) or input.shape[1] == 0:
        raise RuntimeError(
            f"interpolate(): input and output sizes should be greater than 0, got an input of shape {list(input.shape)} "
            f"and output sizes {new}"
        )
    if mode in ("nearest", "nearest-exact"):
        x = input
        for d in range(n):
            x = _nearest(x, 2 + d, old[d], new[d], factors[d], mode == "nearest-exact")
        return x
    own = input.dtype
    x = input if own in (F.float32, F.float64) else F.cast(input, F.float32)
    for d in reversed(range(n)):
        here = (x, 2 + d, old[d], new[d], factors[d], bool(align_corners))
        if old[d] == new[d] and (align_corners or factors[d] in (None, 1.0)):
            continue
        x = _antialiased(*here, mode) if antialias else _cubic_taps(*here) if mode == "bicubic" else _linear(*here)
    if own is F.uint8:
        x = F.clamp(F.floor(x + 0.5), 0, 255)
    return F.clone(x) if x is input else x if x.dtype is own else F.cast(x, own)


@composite(nn=True, function=False)
def upsample_nearest(input, size=None, scale_factor=None):
    """interpolate() with mode nearest."""
    return F.interpolate(input, size, scale_factor)


@composite(nn=True, function=False)
def upsample_bilinear(input, size=None, scale_factor=None):
    """interpolate() with mode bilinear and align_corners."""
    return F.interpolate(input, size, scale_factor, "bilinear", True)
