"""Pooling, padding and resizing."""

from __future__ import annotations

from .expr import cast, select
from .helpers import pair, product
from .namespace import F
from .scalar import isnan
from .table import FAMILIES, OpDef, composite, numeric, pointwise


# -- max pooling -------------------------------------------------------------------------------------------------------
def _pick_max(*xs):
    """The largest of n operands and its number; the first at a tie, and NaN wins, as PyTorch's max_pool."""
    best, at = xs[0], cast(xs[0].eq(xs[0]), "i64") * 0
    for k, x in enumerate(xs[1:], 1):
        wins = (x > best) | (isnan(x) & ~isnan(best))
        best, at = select(wins, x, best), select(wins, k, at)
    return best, at


def _pick_family(n: int) -> OpDef:
    params = ", ".join(f"Tensor x{k}" for k in range(n))
    return OpDef(
        f"_pick_max.{n}",
        "map",
        params,
        fn=_pick_max,
        in_types="T" * n,
        out_types="Ti",
        accepts=numeric,
        to_float=False,
        grad=False,
    )


FAMILIES["_pick_max"] = _pick_family

# Number of a window's element -> place in the plane; places in the padding are moved to the edge. `inverse` is
# 2**32 / width rounded up: a multiplication and a shift divide small numbers exactly.
pointwise(
    "_pool_place",
    lambda k, top, left, inverse, width, dh, dw, rows, columns: _place(
        k, top, left, inverse, width, dh, dw, rows, columns
    ),
    types="iiiiiiiii->i",
    params="Tensor k, Tensor top, Tensor left, Number inverse, Number width, Number dh, Number dw, Number rows, "
    "Number columns",
    grad=False,
    method=False,
    function=False,
)


def _place(k, top, left, inverse, width, dh, dw, rows, columns):
    i = (k * inverse) >> 32
    row, column = top + i * dh, left + (k - i * width) * dw
    row = select(row < 0, 0, select(row < rows, row, rows - 1))
    column = select(column < 0, 0, select(column < columns, column, columns - 1))
    return row * columns + column


def _out_size(size, k, s, p, d, ceil_mode):
    reach = size + 2 * p - d * (k - 1) - 1
    if not ceil_mode:
        return reach // s + 1
    out = -(-reach // s) + 1
    return (
        out - 1 if (out - 1) * s >= size + p else out
    )  # the last window must start inside the input or its left padding


_MOST_PICKED = 32


def _slices(x, kernel, stride, dilation, out):
    """One strided view a window element, [N, C, *out]."""
    views = []
    for i in range(kernel[0]):
        row = F.slice(x, 2, i * dilation[0], i * dilation[0] + stride[0] * (out[0] - 1) + 1, stride[0])
        starts = (j * dilation[1] for j in range(kernel[1]))
        views.extend(F.slice(row, 3, at, at + stride[1] * (out[1] - 1) + 1, stride[1]) for at in starts)
    return views


def _pool_gradient(g, input_shape, out1, kernel, stride, padding, dilation):
    n, c, h, w = input_shape
    count = g.shape[2] * g.shape[3]
    place = F.reshape(_places(out1, input_shape, kernel, stride, padding, dilation), (n, c, count))
    flat = F.scatter_add(F.zeros((n, c, h * w), dtype=g.dtype), 2, place, F.reshape(g, (n, c, count)))
    return F.reshape(flat, input_shape)


def _places(k, shape, kernel, stride, padding, dilation):
    """Window element numbers as indices into the flattened plane."""
    top = F.reshape(F.arange(k.shape[2]) * stride[0] - padding[0], (-1, 1))
    left = F.arange(k.shape[3]) * stride[1] - padding[1]
    return F._pool_place(
        k, top, left, -(-(1 << 32) // kernel[1]), kernel[1], dilation[0], dilation[1], shape[2], shape[3]
    )


@composite(
    params="Tensor input, int[] kernel, int[] stride, int[] padding, int[] dilation, bool ceil_mode",
    grad=_pool_gradient,
    batch="fold",
    function=False,
)
def _max_pool(input, kernel, stride, padding, dilation, ceil_mode):
    """(values, number of the winning element in each window)."""
    out = [_out_size(input.shape[2 + d], kernel[d], stride[d], padding[d], dilation[d], ceil_mode) for d in range(2)]
    need = [stride[d] * (out[d] - 1) + dilation[d] * (kernel[d] - 1) + 1 for d in range(2)]
    after = [max(need[d] - input.shape[2 + d] - padding[d], 0) for d in range(2)]
    x = input
    if any(padding) or any(after):
        low = float("-inf") if input.is_floating_point() else F.iinfo(input.dtype).min
        x = F.pad(input, (padding[1], after[1], padding[0], after[0]), value=low)
    views = _slices(x, kernel, stride, dilation, out)
    if len(views) == 1:
        return F.clone(views[0]), F.zeros(views[0].shape, dtype=F.int64)
    if len(views) <= _MOST_PICKED:
        return F.family("_pick_max", len(views))(*views)
    stacked = F.stack(views, -1)
    best = F.argmax(stacked, -1, True)
    return F.squeeze(F.gather(stacked, -1, best), -1), F.squeeze(best, -1)


def _pool_arguments(op, n, input, kernel_size, stride, padding, dilation):
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{op}(): expected {n + 1}D or {n + 2}D input, got {input.dim()}D")
    kernel = pair(kernel_size, "kernel_size", op, n)
    stride = (
        kernel
        if stride is None or (isinstance(stride, (tuple, list)) and not len(stride))
        else pair(stride, "stride", op, n)
    )
    padding, dilation = pair(padding, "padding", op, n), pair(dilation, "dilation", op, n)
    if any(k <= 0 for k in kernel) or any(s <= 0 for s in stride) or any(d <= 0 for d in dilation):
        raise RuntimeError(
            f"{op}(): kernel size, stride and dilation should be greater than zero, got {kernel}, {stride}, {dilation}"
        )
    for k, p, d in zip(kernel, padding, dilation):
        if p < 0 or p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(
                f"{op}(): pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                f"dilation={d}"
            )
    for size, k, p, d in zip(input.shape[-n:], kernel, padding, dilation):
        if size + 2 * p < d * (k - 1) + 1:
            raise RuntimeError(
                f"{op}(): input size {list(input.shape[-n:])} is too small for kernel size {kernel}: the output "
                "would be empty"
            )
    return kernel, stride, padding, dilation


def _max_pool_forms(op, n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    kernel, stride, padding, dilation = _pool_arguments(op, n, input, kernel_size, stride, padding, dilation)
    batched = input.dim() == n + 2
    x = input if batched else F.unsqueeze(input, 0)
    if n == 1:
        x = F.unsqueeze(x, 2)
        kernel, stride, padding, dilation = [1, *kernel], [1, *stride], [0, *padding], [1, *dilation]
    values, k = F._max_pool(x, kernel, stride, padding, dilation, ceil_mode)

    def shaped(y):
        y = F.squeeze(y, 2) if n == 1 else y
        return y if batched else F.squeeze(y, 0)

    if return_indices:
        return shaped(values), shaped(_places(k, x.shape, kernel, stride, padding, dilation))
    return shaped(values)


def _pool2d_samples(t):
    return [
        ((t(2, 3, 6, 8), 2), {}),
        ((t(2, 3, 7, 7), 3), {"stride": 2, "padding": 1}),
        ((t(2, 7, 6), (3, 2)), {"stride": (1, 2), "ceil_mode": True}),
        ((t(1, 2, 8, 8), 2), {"dilation": 2, "stride": 1}),
    ]


@composite(nn=True, function=True, samples=_pool2d_samples, oracle="oracles.max_pool2d")
def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element of each window; with return_indices also its index in the plane."""
    return _max_pool_forms("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite(
    nn=True,
    samples=lambda t: [((t(2, 3, 8), 2), {}), ((t(2, 3, 7), 3), {"stride": 2, "padding": 1})],
    oracle="oracles.max_pool1d",
)
def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest element of each window of a sequence."""
    return _max_pool_forms("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


# -- average pooling ---------------------------------------------------------------------------------------------------
def _avg_pool(op, n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
    kernel, stride, padding, _ = _pool_arguments(op, n, input, kernel_size, stride, padding, 1)
    first = input.dim() - n
    sizes = list(input.shape[first:])
    out = [_out_size(sizes[d], kernel[d], stride[d], padding[d], 1, ceil_mode) for d in range(n)]
    after = [max(stride[d] * (out[d] - 1) + kernel[d] - sizes[d] - padding[d], 0) for d in range(n)]
    x = input
    if any(padding) or any(after):
        x = F.pad(input, [m for d in reversed(range(n)) for m in (padding[d], after[d])])
    for d in range(n):
        x = F.slice(F.unfold(x, first + d, kernel[d], stride[d]), first + d, 0, out[d], 1)
    total = F.sum(x, tuple(range(-n, 0)))
    if divisor is not None:
        return total / divisor
    if not any(padding) and not any(after):
        return total / product(kernel)
    # Windows over an edge count only what is inside (count_include_pad: the padding too, but never what ceil_mode adds
    # beyond it).
    count = None
    for d in range(n):
        margin = padding[d] if count_include_pad else 0
        low, high = -margin, sizes[d] + margin
        begin = F.arange(out[d]) * stride[d] - padding[d]
        part = F.clamp_max(begin + kernel[d], high) - F.clamp_min(begin, low)
        part = F.reshape(part, [-1] + [1] * (n - 1 - d))
        count = part if count is None else count * part
    return total / F.cast(count, input.dtype)


def _register_avg(n):
    name = f"avg_pool{n}d"

    def avg_pool(
        input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        return _avg_pool(name, n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    avg_pool.__name__ = avg_pool.__qualname__ = name
    avg_pool.__doc__ = f"Mean of each window of the last {n} dimension{'s' * (n > 1)}."
    size = (7, 6, 5)[:n]
    composite(
        name,
        nn=True,
        function=n == 1,
        oracle=f"oracles.avg_pool({n})",
        samples=lambda t: [
            ((t(2, 3, *size), 2), {}),
            ((t(2, 3, *size), 3), {"stride": 2, "padding": 1}),
            ((t(2, 3, *size), 3), {"stride": 2, "padding": 1, "count_include_pad": False}),
        ],
    )(avg_pool)


for _n in (1, 2, 3):
    _register_avg(_n)


# -- adaptive pooling --------------------------------------------------------------------------------------------------
def _adaptive(op, n, input, output_size, reduce_window):
    size = list(input.shape[-n:])
    target = [s if o is None else o for s, o in zip(size, pair(output_size, "output_size", op, n))]
    if any(t < 0 or t > 1 << 24 for t in target):
        raise RuntimeError(f"{op}(): output_size must be from 0 to 2**24 in every dimension, got {target}")
    x = input
    for d in range(n):
        dim = x.dim() - n + d
        if target[d] == 0:
            x = F.slice(x, dim, 0, 0, 1)
        elif target[d] == 1:
            x = reduce_window(x, dim)
        elif size[d] % target[d] == 0:
            x = reduce_window(F.unflatten(x, dim, (target[d], size[d] // target[d])), dim + 1)
            if reduce_window(F.zeros((1,)), 0).dim():  # windows keep their dimension: drop it
                x = F.squeeze(x, dim + 1)
        else:
            pieces = [
                reduce_window(F.slice(x, dim, k * size[d] // target[d], -(-((k + 1) * size[d]) // target[d]), 1), dim)
                for k in range(target[d])
            ]
            x = F.cat(pieces, dim)
    return x


def _register_adaptive(n):
    def adaptive_avg(input, output_size):
        return _adaptive(f"adaptive_avg_pool{n}d", n, input, output_size, lambda x, d: F.mean(x, d, True))

    def adaptive_max(input, output_size, return_indices=False):
        if return_indices:
            raise RuntimeError(f"adaptive_max_pool{n}d(): return_indices is not supported; use max_pool{n}d")
        return _adaptive(f"adaptive_max_pool{n}d", n, input, output_size, lambda x, d: F.max(x, d, True)[0])

    size = (6, 7, 5)[:n]
    for fn, kind in ((adaptive_avg, "avg"), (adaptive_max, "max")):
        name = f"adaptive_{kind}_pool{n}d"
        fn.__name__ = fn.__qualname__ = name
        fn.__doc__ = (
            f"{'Mean' if kind == 'avg' else 'Largest element'} of windows chosen so that the output has the given size."
        )
        composite(
            name,
            nn=True,
            function=n == 1,
            samples=lambda t: [((t(2, 3, *size), 1), {}), ((t(2, 3, *size), 3), {})],
            oracle=f"oracles.adaptive_pool({n}, numpy.{'mean' if kind == 'avg' else 'max'})",
        )(fn)


for _n in (1, 2, 3):
    _register_adaptive(_n)


# -- padding -----------------------------------------------------------------------------------------------------------
def _crop(g, pad):
    for k in range(len(pad) // 2):
        d = g.dim() - 1 - k
        before, after = max(pad[2 * k], 0), max(pad[2 * k + 1], 0)
        if before or after:
            g = F.slice(g, d, before, g.shape[d] - after, 1)
    return g


@composite(
    params="Tensor input, int[] pad, Number value", grad=lambda g, pad: _crop(g, pad), batch="parts", function=False
)
def _pad_constant(input, pad, value):
    """Positive paddings only."""
    shape = list(input.shape)
    for k in range(len(pad) // 2):
        shape[-1 - k] = shape[-1 - k] + pad[2 * k] + pad[2 * k + 1]
    full = input.new_full(shape, value)
    _crop(full, pad).copy_(input)
    return full


def _mirror(n, before, after, mode, op):
    """Source index of every padded place."""
    if mode == "reflect":
        if before >= n or after >= n:
            raise RuntimeError(
                f"Padding size should be less than the corresponding input dimension, but got: padding ({before}, "
                f"{after}) at a dimension of size {n}"
            )
        return [*range(before, 0, -1), *range(n), *range(n - 2, n - 2 - after, -1)]
    if n == 0:
        raise RuntimeError(f"{op}(): mode {mode!r} needs at least one element in each padded dimension")
    if mode == "replicate":
        return [0] * before + list(range(n)) + [n - 1] * after
    if before > n or after > n:
        raise RuntimeError(
            f"Padding value causes wrapping around more than once: padding ({before}, {after}) at a dimension of "
            f"size {n}"
        )
    return [*range(n - before, n), *range(n), *range(after)]


@composite(
    nn=True,
    function=False,
    oracle="oracles.pad",
    samples=lambda t: [
        ((t(3, 4), (1, 2)), {}),
        ((t(2, 3, 4), (1, 2, 0, 1)), {"value": 0.5}),
        ((t(3, 4), (-1, 2)), {}),
        ((t(2, 3, 4), (2, 1)), {"mode": "reflect"}),
        ((t(1, 2, 3, 4), (2, 1, 1, 0)), {"mode": "replicate"}),
        ((t(2, 3, 4), (2, 1)), {"mode": "circular"}),
    ],
)
def pad(input, pad, mode="constant", value=None):
    """Padded at both ends of the last dimensions: (left, right, top, bottom, ...). mode: constant, reflect, replicate
    or circular.
    """
    pad = list(pad)
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got {len(pad)}")
    if len(pad) // 2 > input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.dim()}"
        )
    for k in range(len(pad) // 2):  # negative padding cuts
        before, after = pad[2 * k : 2 * k + 2]
        if before < 0 or after < 0:
            d = input.dim() - 1 - k
            if input.shape[d] + min(before, 0) + min(after, 0) < 0:
                raise RuntimeError(
                    f"pad(): padding ({before}, {after}) leaves a negative size in dimension {d} of size "
                    f"{input.shape[d]}"
                )
            input = F.slice(input, d, -min(before, 0), input.shape[d] + min(after, 0), 1)
            pad[2 * k : 2 * k + 2] = max(before, 0), max(after, 0)
    if mode == "constant":
        return F._pad_constant(input, pad, 0 if value is None else value) if any(pad) else F.clone(input)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    for k in range(len(pad) // 2):
        d = input.dim() - 1 - k
        if pad[2 * k] or pad[2 * k + 1]:
            input = F.index_select(
                input, d, F.tensor(_mirror(input.shape[d], pad[2 * k], pad[2 * k + 1], mode, "pad"), dtype=F.int64)
            )
    return input


# -- resizing ----------------------------------------------------------------------------------------------------------
def _linear_weights(size, out, scale, align_corners):
    """Lower index, upper index and weight of the upper one for each output place."""
    at = F.arange(out, dtype=F.float64)
    if align_corners:
        at = at * ((size - 1) / (out - 1) if out > 1 else 0.0)
    else:
        at = F.clamp_min((at + 0.5) * scale - 0.5, 0)
    low = F.clamp_max(F.cast(at, F.int64), size - 1)
    return low, F.clamp_max(low + 1, size - 1), at - F.cast(low, F.float64)


@composite(
    nn=True,
    function=False,
    aliases=("upsample",),
    oracle="oracles.interpolate",
    samples=lambda t: [
        ((t(1, 2, 3, 4),), {"scale_factor": 2}),
        ((t(1, 2, 4, 4), (2, 6)), {"mode": "nearest"}),
        ((t(1, 2, 4),), {"scale_factor": 2, "mode": "linear"}),
        ((t(1, 2, 3, 4), (5, 7)), {"mode": "bilinear"}),
        ((t(1, 2, 3, 4), (5, 7)), {"mode": "bilinear", "align_corners": True}),
    ],
)
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Resized over the dimensions after the channels; mode nearest, nearest-exact, linear, bilinear, trilinear or
    area.
    """
    n = input.dim() - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined, and one must be")
    if antialias:
        raise RuntimeError("interpolate(): antialias is not supported")
    old = list(input.shape[2:])
    if size is not None:
        new, scales = pair(size, "size", "interpolate", n), [None] * n
    else:
        scales = pair(scale_factor, "scale_factor", "interpolate", n)
        new = [int(s * f) for s, f in zip(old, scales)]
    if mode == "area":
        return getattr(F, f"adaptive_avg_pool{n}d")(input, new)
    if mode not in ("nearest", "nearest-exact", "linear", "bilinear", "trilinear"):
        raise NotImplementedError(f"interpolate(): mode {mode!r} is not supported")
    for d in range(n):
        scale = old[d] / new[d] if scales[d] is None or recompute_scale_factor else 1 / scales[d]
        if mode.startswith("nearest"):
            shift = 0.5 if mode == "nearest-exact" else 0.0
            places = F.clamp_max(F.cast((F.arange(new[d], dtype=F.float64) + shift) * scale, F.int64), old[d] - 1)
            input = F.index_select(input, 2 + d, places)
        else:
            low, high, weight = _linear_weights(old[d], new[d], scale, align_corners)
            weight = F.reshape(F.cast(weight, input.dtype), [-1] + [1] * (n - 1 - d))
            input = F.lerp(F.index_select(input, 2 + d, low), F.index_select(input, 2 + d, high), weight)
    return input


@composite(nn=True, samples=lambda t: [((t(1, 8, 2, 3), 2), {})], oracle="oracles.pixel_shuffle")
def pixel_shuffle(input, upscale_factor):
    """[.., C*r*r, H, W] to [.., C, H*r, W*r]."""
    r = upscale_factor
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            f"upscale_factor, but got {c} and {r}"
        )
    x = F.reshape(input, (*lead, c // (r * r), r, r, h, w))
    n = len(lead)
    return F.reshape(F.permute(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2]), (*lead, c // (r * r), h * r, w * r))


@composite(nn=True, samples=lambda t: [((t(1, 2, 4, 6), 2), {})], oracle="oracles.pixel_unshuffle")
def pixel_unshuffle(input, downscale_factor):
    """[.., C, H*r, W*r] to [.., C*r*r, H, W]."""
    r = downscale_factor
    *lead, c, h, w = input.shape
    if h % r or w % r:
        raise RuntimeError(f"pixel_unshuffle expects height and width to be divisible by {r}, but got {h} and {w}")
    x = F.reshape(input, (*lead, c, h // r, r, w // r, r))
    n = len(lead)
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return F.reshape(F.permute(x, order), (*lead, c * r * r, h // r, w // r))


# -- unfolding to columns ----------------------------------------------------------------------------------------------
@composite(
    "_unfold_columns",
    function=False,
    samples=lambda t: [((t(2, 3, 5, 6), (2, 3)), {"padding": 1, "stride": 2})],
    oracle="oracles.unfold_columns",
)
def _unfold_columns(input, kernel_size, dilation=1, padding=0, stride=1):
    """Sliding blocks of [N, C, H, W] as columns [N, C*kh*kw, L]."""
    from .convolution import _pad_zeros, _windows

    kernel, dilation = pair(kernel_size, "kernel_size", "unfold"), pair(dilation, "dilation", "unfold")
    padding, stride = pair(padding, "padding", "unfold"), pair(stride, "stride", "unfold")
    x = _windows(_pad_zeros(input, padding), kernel, stride, dilation)
    n, c, h, w, kh, kw = x.shape
    return F.reshape(F.permute(x, (0, 1, 4, 5, 2, 3)), (n, c * kh * kw, h * w))
