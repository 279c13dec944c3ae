"""Sampling at the places of a grid (spatial transformers: Jaderberg et al., 2015), and affine grids."""

from __future__ import annotations

from .expr import cast
from .helpers import product
from .namespace import F, Tensor
from .resize import cubic_weights
from .scalar import floor, select
from .table import composite, floating, pointwise

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def _map(name, fn, types, params, **more):
    pointwise(name, fn, types=types, params=params, accepts=floating, method=False, function=False, **more)


# From [-1, 1] to places of the dimension: its centers of the outermost elements, or their outer edges.
_map("_grid_aligned", lambda x, size: (x + 1) / 2 * (size - 1), "Tp->T", "Tensor input, Number size")
_map("_grid_edges", lambda x, size: ((x + 1) * size - 1) / 2, "Tp->T", "Tensor input, Number size")


def _border(x, size):
    """Limited to the elements; outside, and on the outermost ones, it has no slope. NaN goes to the first."""
    last = size - 1
    return select(x > 0, select(x < last, x, last), 0)


def _reflected(x, low, span):
    """x folded back and forth into [low, low + span]."""
    d = abs(x - low)
    turns = floor(d / span)
    rest = d - turns * span
    return select((turns / 2).eq(floor(turns / 2)), rest + low, span - rest + low)


_map("_grid_border", _border, "Tp->T", "Tensor input, Number size")
_map("_grid_reflect", _reflected, "Tpp->T", "Tensor input, Number low, Number span")

# A whole-numbered place: limited to the dimension, and whether it lies within.
pointwise(
    "_grid_place",
    lambda x, size: (cast(select(x > 0, select(x < size - 1, x, size - 1), 0), "i64"), (x >= 0) & (x <= size - 1)),
    types="Tp->ib",
    params="Tensor input, Number size",
    accepts=floating,
    grad=False,
    method=False,
    function=False,
)
# A value outside counts nothing, not even if it is infinite.
pointwise(
    "_grid_weigh",
    lambda value, weight, inside: select(inside, value * weight, 0),
    types="TTb->T",
    params="Tensor value, Tensor weight, Tensor inside",
    accepts=floating,
    method=False,
    function=False,
)


def _padded(x, size, padding, align_corners):
    if padding == "reflection":
        span = size - 1 if align_corners else size
        x = F._grid_reflect(x, 0.0 if align_corners else -0.5, span) if span > 0 else x * 0
    return x if padding == "zeros" else F._grid_border(x, size)


class _Plane:
    """The input flattened over its spatial dimensions, read at one place a sample."""

    def __init__(self, input, lead):
        self.sizes = list(input.shape[2:])
        self.flat = F.flatten(input, 2)
        self.channels, self.lead = input.shape[1], lead

    def read(self, places):
        """(values [N, C, count], inside [N, 1, count]) at whole-numbered places, one tensor [N, count] a dimension."""
        at = inside = None
        for x, size in zip(places, self.sizes):
            here, within = F._grid_place(x, size)
            at = here if at is None else at * size + here
            inside = within if inside is None else F.logical_and(inside, within)
        n, count = at.shape
        index = F.expand(F.unsqueeze(at, 1), (n, self.channels, count))
        return F.gather(self.flat, 2, index), F.unsqueeze(inside, 1)


def _sample_linear(plane, places):
    low = [F.floor(x.detach()) for x in places]
    upper = [x - at for x, at in zip(places, low)]
    total = None
    for corner in range(1 << len(places)):
        sides = [corner >> (len(places) - 1 - d) & 1 for d in range(len(places))]
        values, inside = plane.read([at + side for at, side in zip(low, sides)])
        weight = None
        for w, side in zip(upper, sides):
            w = w if side else 1 - w
            weight = w if weight is None else weight * w
        part = F._grid_weigh(values, F.unsqueeze(weight, 1), inside)
        total = part if total is None else total + part
    return total


def _sample_nearest(plane, places):
    values, inside = plane.read([F.round(x.detach()) for x in places])
    if not places[0].requires_grad:
        return F._where(inside, values, 0)
    flat = places[0] * 0 + 1  # the places have a gradient, of zeros
    return F._grid_weigh(values, F.unsqueeze(flat, 1), inside)


def _sample_cubic(plane, places, padding, align_corners):
    low = [F.floor(x.detach()) for x in places]
    weights = [cubic_weights(x - at) for x, at in zip(places, low)]
    taps = [
        [_padded(at + (k - 1), size, padding, align_corners) for k in range(4)] for at, size in zip(low, plane.sizes)
    ]
    total = None
    for i in range(4):
        row = None
        for j in range(4):
            values, inside = plane.read([taps[0][i], taps[1][j]])
            part = F._grid_weigh(values, F.unsqueeze(weights[1][j], 1), inside)
            row = part if row is None else row + part
        row = row * F.unsqueeze(weights[0][i], 1)
        total = row if total is None else total + row
    return total


def _check(op, input, grid):
    if input.dim() not in (4, 5) or grid.dim() != input.dim():
        raise RuntimeError(
            f"{op}(): expected 4D or 5D input and grid with the same number of dimensions, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(
            f"{op}(): expected grid and input to have same batch size, but got input with sizes {list(input.shape)} and "
            f"grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != input.dim() - 2:
        raise RuntimeError(
            f"{op}(): expected grid to have size {input.dim() - 2} in last dimension, but got grid with sizes "
            f"{list(grid.shape)}"
        )
    if any(s == 0 for s in input.shape[2:]):
        raise RuntimeError(
            f"{op}(): expected input to have non-empty spatial dimensions, but input has sizes {list(input.shape)}"
        )
    if not input.is_floating_point():
        raise NotImplementedError(f"{op}(): input must be of a floating point dtype, got {input.dtype}")
    if input.dtype is not grid.dtype:
        raise RuntimeError(
            f"{op}(): expected input and grid to have the same dtype, got {input.dtype} and {grid.dtype}"
        )


def _sample(op, input, grid, mode, padding, align_corners):
    _check(op, input, grid)
    if mode == "bicubic" and input.dim() != 4:
        raise RuntimeError(f"{op}(): bicubic interpolation only supports 4D input, got {input.dim()}D")
    own = input.dtype
    if own is F.float16 or own is F.bfloat16:
        input, grid = F.cast(input, F.float32), F.cast(grid, F.float32)
    out = list(grid.shape[1:-1])
    plane = _Plane(input, out)
    flat = F.reshape(grid, (grid.shape[0], product(out), len(out)))
    unscale = F._grid_aligned if align_corners else F._grid_edges
    # The last coordinate of a grid is the first dimension's.
    places = [unscale(F.select(flat, 2, len(out) - 1 - d), size) for d, size in enumerate(plane.sizes)]
    if mode == "bicubic":
        result = _sample_cubic(plane, places, padding, align_corners)
    else:
        places = [_padded(x, size, padding, align_corners) for x, size in zip(places, plane.sizes)]
        result = (_sample_linear if mode == "bilinear" else _sample_nearest)(plane, places)
    result = F.reshape(result, (*input.shape[:2], *out))
    return result if own is result.dtype else F.cast(result, own)


@composite(nn=True, function=False)
def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """[N, C, H, W] sampled at the places [N, h, w, 2] of a grid (or [N, C, D, H, W] at [N, d, h, w, 3]).

    Coordinates are in [-1, 1], x before y before z; with align_corners those are the centers of the outermost elements,
    else their outer edges. mode: bilinear, nearest or bicubic (planes only). padding_mode: what lies outside is zeros,
    the border's element, or reflected.
    """
    if mode not in _MODES:
        raise ValueError(f"grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: {mode!r}")
    if padding_mode not in _PADDINGS:
        raise ValueError(
            f"grid_sample(): expected padding_mode to be 'zeros', 'border' or 'reflection', but got: {padding_mode!r}"
        )
    return _sample("grid_sample", input, grid, mode, padding_mode, bool(align_corners))


def _numbered(op, input, grid, interpolation_mode, padding_mode, align_corners, n=None):
    if interpolation_mode not in range(3) or padding_mode not in range(3):
        raise RuntimeError(
            f"{op}(): interpolation_mode and padding_mode must be 0, 1 or 2, got {interpolation_mode} and {padding_mode}"
        )
    if n is not None and input.dim() != n + 2:
        raise RuntimeError(f"{op}(): expected {n + 2}D input, got {input.dim()}D")
    return _sample(op, input, grid, _MODES[interpolation_mode], _PADDINGS[padding_mode], align_corners)


@composite()
def grid_sampler(input, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool):
    """grid_sample() with modes by number: bilinear, nearest, bicubic; zeros, border, reflection."""
    return _numbered("grid_sampler", input, grid, interpolation_mode, padding_mode, align_corners)


@composite()
def grid_sampler_2d(input, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool):
    """grid_sampler() of planes."""
    return _numbered("grid_sampler_2d", input, grid, interpolation_mode, padding_mode, align_corners, 2)


@composite()
def grid_sampler_3d(input, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool):
    """grid_sampler() of volumes."""
    return _numbered("grid_sampler_3d", input, grid, interpolation_mode, padding_mode, align_corners, 3)


# -- affine grids ------------------------------------------------------------------------------------------------------
def _coordinates(size, align_corners, dtype):
    """Places of one dimension in [-1, 1]."""
    if size <= 1:
        return F.zeros((size,), dtype=dtype)
    at = F.linspace(-1.0, 1.0, size, dtype=dtype)
    return at if align_corners else at * ((size - 1) / size)


@composite()
def affine_grid_generator(theta: Tensor, size, align_corners: bool):
    """Where affine maps take the places of an output of `size` [N, C, H, W] or [N, C, D, H, W]: [N, H, W, 2] or
    [N, D, H, W, 3] for theta [N, 2, 3] or [N, 3, 4]."""
    n = len(size) - 2
    if n not in (2, 3):
        raise RuntimeError(f"affine_grid_generator(): size must have 4 or 5 entries, got {tuple(size)}")
    if list(theta.shape) != [size[0], n, n + 1]:
        raise RuntimeError(
            f"affine_grid_generator(): for size {tuple(size)} theta must be of shape {[size[0], n, n + 1]}, got "
            f"{list(theta.shape)}"
        )
    out = list(size[2:])
    columns = []
    for d in reversed(range(n)):
        at = F.reshape(_coordinates(out[d], align_corners, theta.dtype), [-1] + [1] * (n - 1 - d))
        columns.append(F.expand(at, out))
    base = F.reshape(F.stack([*columns, F.ones(out, dtype=theta.dtype)], -1), (product(out), n + 1))
    return F.reshape(F.matmul(base, F.transpose(theta, 1, 2)), (size[0], *out, n))


@composite(nn=True, function=False)
def affine_grid(theta, size, align_corners=None):
    """The grid of grid_sample() for a batch of affine maps [N, 2, 3] (or [N, 3, 4]) and an output of `size` [N, C, H, W]
    (or [N, C, D, H, W]); align_corners as there."""
    if not theta.is_floating_point():
        raise ValueError(f"affine_grid(): expected theta to have floating point type, but got {theta.dtype}")
    n = len(size) - 2
    if n not in (2, 3):
        raise NotImplementedError(f"affine_grid(): size must have 4 or 5 entries, got {tuple(size)}")
    if theta.dim() != 3 or list(theta.shape[1:]) != [n, n + 1]:
        raise ValueError(
            f"affine_grid(): expected a batch of {n}D affine matrices of shape [N, {n}, {n + 1}] for size {tuple(size)}, "
            f"got {list(theta.shape)}"
        )
    if any(s <= 0 for s in size):
        raise ValueError(f"affine_grid(): expected non-zero, positive output size, got {tuple(size)}")
    return F.affine_grid_generator(theta, size, bool(align_corners))
