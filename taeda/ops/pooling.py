"""Pooling over windows: maxima (with their places), means, power means, and windows chosen by the output's size."""

from __future__ import annotations

import math

from .convolution import _windows
from .expr import cast, select
from .helpers import pair, product
from .namespace import F
from .scalar import isnan
from .table import FAMILIES, OpDef, composite, numeric, pointwise


# -- max pooling -------------------------------------------------------------------------------------------------------
def _pick_max(*xs):
    """The largest of n operands and its number; the first at a tie, and the last NaN wins, as PyTorch's max_pool."""
    best, at = xs[0], cast(xs[0].eq(xs[0]), "i64") * 0
    for k, x in enumerate(xs[1:], 1):
        wins = (x > best) | isnan(x)
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


def _limited(place, size):
    """A place in the padding is moved to the edge."""
    return select(place < 0, 0, select(place < size, place, size - 1))


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
    return _limited(top + i * dh, rows) * columns + _limited(left + (k - i * width) * dw, columns)


# The same in a volume: its layer first, then the place in the layer.
pointwise(
    "_pool_layer",
    lambda k, front, plane, dd, depth: _limited(front + k / plane * dd, depth),
    types="iiiii->i",
    params="Tensor k, Tensor front, Number plane, Number dd, Number depth",
    grad=False,
    method=False,
    function=False,
)


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
    """One strided view a window element, [..., *out]."""
    views = [x]
    for d, (k, s, step, n) in enumerate(zip(kernel, stride, dilation, out), x.dim() - len(kernel)):
        starts = [i * step for i in range(k)]
        views = [F.slice(v, d, at, at + s * (n - 1) + 1, s) for v in views for at in starts]
    return views


def _pool_gradient(g, input_shape, out1, kernel, stride, padding, dilation):
    place = F.flatten(_places(out1, input_shape, kernel, stride, padding, dilation), 2)
    zeros = F.zeros([*input_shape[:2], product(input_shape[2:])], dtype=g.dtype)
    return F.reshape(F.scatter_add(zeros, 2, place, F.flatten(g, 2)), input_shape)


def _places(k, shape, kernel, stride, padding, dilation):
    """Window element numbers as indices into the flattened plane or volume."""
    starts = [
        F.reshape(F.arange(k.shape[d]) * s - p, [-1] + [1] * (k.dim() - 1 - d))
        for d, (s, p) in enumerate(zip(stride, padding), 2)
    ]
    *_, dh, dw = dilation
    *_, rows, columns = shape
    width = kernel[-1]
    if len(kernel) == 2:
        return F._pool_place(k, *starts, -(-(1 << 32) // width), width, dh, dw, rows, columns)
    plane = kernel[1] * width
    layer = F._pool_layer(k, starts[0], plane, dilation[0], shape[2])
    place = F._pool_place(F.remainder(k, plane), *starts[1:], -(-(1 << 32) // width), width, dh, dw, rows, columns)
    return layer * (rows * columns) + place


@composite(
    params="Tensor input, int[] kernel, int[] stride, int[] padding, int[] dilation, bool ceil_mode",
    grad=_pool_gradient,
    batch="fold",
    function=False,
)
def _max_pool(input, kernel, stride, padding, dilation, ceil_mode):
    """(values, number of the winning element in each window) over the last two or three dimensions."""
    n = len(kernel)
    sizes = list(input.shape[2:])
    out = [_out_size(sizes[d], kernel[d], stride[d], padding[d], dilation[d], ceil_mode) for d in range(n)]
    need = [stride[d] * (out[d] - 1) + dilation[d] * (kernel[d] - 1) + 1 for d in range(n)]
    after = [max(need[d] - sizes[d] - padding[d], 0) for d in range(n)]
    x = input
    if any(padding) or any(after):
        low = float("-inf") if input.is_floating_point() else F.iinfo(input.dtype).min
        x = F.pad(input, [m for d in reversed(range(n)) for m in (padding[d], after[d])], value=low)
    count = product(kernel)
    if count == 1:
        (view,) = _slices(x, kernel, stride, dilation, out)
        return F.clone(view), F.zeros(view.shape, dtype=F.int64)
    if count <= _MOST_PICKED:
        return F.family("_pick_max", count)(*_slices(x, kernel, stride, dilation, out))
    windows = F.flatten(_windows(x, kernel, stride, dilation), -n)
    best = F.argmax(windows, -1, True)
    return F.squeeze(F.gather(windows, -1, best), -1), F.squeeze(best, -1)


def _pool_arguments(op, n, input, kernel_size, stride, padding, dilation):
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{op}(): expected {n + 1}D or {n + 2}D input, got {input.dim()}D")
    if input.dtype is F.bool:
        raise NotImplementedError(f"{op}(): input must be of a numeric dtype, got {input.dtype}")
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
    if any(s == 0 for s in input.shape[-n - 1 :]):
        raise RuntimeError(
            f"{op}(): only the batch dimension of the input may be empty, got an input of shape {list(input.shape)}"
        )
    for size, k, p, d in zip(input.shape[-n:], kernel, padding, dilation):
        if size + 2 * p < d * (k - 1) + 1:
            raise RuntimeError(
                f"{op}(): input size {list(input.shape[-n:])} is too small for kernel size {kernel}: the output "
                "would be empty"
            )
    return kernel, stride, padding, dilation


def _values_and_places(n, input, kernel, stride, padding, dilation, ceil_mode, return_indices):
    """Max pooling of [C, ...] or [N, C, ...]; the places only where asked for (else None)."""
    batched = input.dim() == n + 2
    x = input if batched else F.unsqueeze(input, 0)
    if n == 1:
        x = F.unsqueeze(x, 2)
        kernel, stride, padding, dilation = [1, *kernel], [1, *stride], [0, *padding], [1, *dilation]
    values, k = F._max_pool(x, kernel, stride, padding, dilation, ceil_mode)

    def shaped(y):
        y = F.squeeze(y, 2) if n == 1 else y
        return y if batched else F.squeeze(y, 0)

    places = shaped(_places(k, x.shape, kernel, stride, padding, dilation)) if return_indices else None
    return shaped(values), places


def _register_max(n):
    name = f"max_pool{n}d"

    def pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
        arguments = _pool_arguments(name, n, input, kernel_size, stride, padding, dilation)
        return _values_and_places(n, input, *arguments, ceil_mode, return_indices)

    def max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        values, places = pool(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return (values, places) if return_indices else values

    def with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        return pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    max_pool.__name__ = max_pool.__qualname__ = name
    max_pool.__doc__ = (
        f"The largest element of each window of the last {n} dimension{'s' * (n > 1)}, of [C, ...] or [N, C, ...]; with "
        "return_indices also its index in the flattened plane."
    )
    with_indices.__name__ = with_indices.__qualname__ = name + "_with_indices"
    with_indices.__doc__ = f"{name}() with return_indices: (values, int64 indices)."
    size, other = ((8,), (7,)) if n == 1 else ((6, 8), (7, 6)) if n == 2 else ((4, 5, 6), (3, 4, 3))
    composite(
        name,
        nn=True,
        oracle=f"oracles.max_pool({n})",
        samples=lambda t: [
            ((t(2, 3, *size), 2), {}),
            ((t(1, 2, *other), 3), {"stride": 2, "padding": 1}),
            ((t(2, *other), (3, 2, 2)[:n]), {"stride": (1, 2, 2)[:n], "ceil_mode": True}),
            ((t(1, 2, *size), 2), {"dilation": 2, "stride": 1}),
        ],
    )(max_pool)
    composite(name + "_with_indices", nn=True, function=n == 1)(with_indices)


for _n in (1, 2, 3):
    _register_max(_n)


# -- average pooling ---------------------------------------------------------------------------------------------------
def _quotient(total, count):
    """total / count, rounded toward zero where the dtype is an integer one."""
    return total / count if total.is_floating_point() else F.div(total, count, rounding_mode="trunc")


def _sum_family(n: int) -> OpDef:
    params = ", ".join(f"Tensor x{k}" for k in range(n))
    return OpDef(
        f"_sum_of.{n}",
        "map",
        params,
        fn=lambda *xs: sum(xs[1:], xs[0]),
        in_types="T" * n,
        out_types="T",
        accepts=numeric,
        to_float=False,
        grad=False,
    )


FAMILIES["_sum_of"] = _sum_family


@composite(
    params="Tensor input, int[] kernel, int[] stride, int[] out",
    grad=lambda g, input_shape, kernel, stride: F._window_spread(g, list(input_shape)[-len(kernel) :], kernel, stride),
    batch="fold",
    function=False,
)
def _window_sum(input, kernel, stride, out):
    """Sums of the windows over the last dimensions, `out` of them."""
    n = len(kernel)
    count = product(kernel)
    if isinstance(count, int) and 1 < count <= _MOST_PICKED:
        return F.family("_sum_of", count)(*_slices(input, kernel, stride, [1] * n, out))
    x, first = input, input.dim() - n
    for d in range(n):
        x = F.slice(F.unfold(x, first + d, kernel[d], stride[d]), first + d, 0, out[d], 1)
    return F.sum(x, tuple(range(-n, 0)), dtype=input.dtype)


@composite(
    params="Tensor grad, int[] size, int[] kernel, int[] stride",
    grad=lambda g, grad_shape, kernel, stride: F._window_sum(g, kernel, stride, list(grad_shape)[-len(kernel) :]),
    batch="parts",
    function=False,
)
def _window_spread(grad, size, kernel, stride):
    """Every window's number added to all its elements, one dimension after the other."""
    x, first = grad, grad.dim() - len(kernel)
    for d, (n, k, s) in enumerate(zip(size, kernel, stride)):
        dim, count = first + d, x.shape[first + d]
        full = x.new_zeros([*x.shape[:dim], n, *x.shape[dim + 1 :]])
        for i in range(k):
            place = F.slice(full, dim, i, i + s * (count - 1) + 1, s)
            place.copy_(x) if s >= k else place.add_(x)
        x = full
    return x


def _avg_pool(op, n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor):
    kernel, stride, padding, _ = _pool_arguments(op, n, input, kernel_size, stride, padding, 1)
    if divisor == 0:
        raise RuntimeError(f"{op}(): divisor_override must not be zero")
    first = input.dim() - n
    sizes = list(input.shape[first:])
    out = [_out_size(sizes[d], kernel[d], stride[d], padding[d], 1, ceil_mode) for d in range(n)]
    after = [max(stride[d] * (out[d] - 1) + kernel[d] - sizes[d] - padding[d], 0) for d in range(n)]
    x = input
    if any(padding) or any(after):
        x = F.pad(input, [m for d in reversed(range(n)) for m in (padding[d], after[d])])
    total = F._window_sum(x, kernel, stride, out)
    if divisor is not None:
        return _quotient(total, divisor)
    if not any(padding) and not any(after):
        return _quotient(total, product(kernel))
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
    return _quotient(total, F.cast(count, input.dtype))


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


def _register_lp(n):
    name = f"lp_pool{n}d"

    def lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        if math.isinf(norm_type):
            return getattr(F, f"max_pool{n}d")(F.abs(input), kernel_size, stride, 0, 1, ceil_mode)
        mean = getattr(F, f"avg_pool{n}d")(F._pow(input, norm_type), kernel_size, stride, 0, ceil_mode)
        total = F.sign(mean) * F.relu(F.abs(mean)) * product(pair(kernel_size, "kernel_size", name, n))
        return F._pow(total, 1.0 / norm_type)

    lp_pool.__name__ = lp_pool.__qualname__ = name
    lp_pool.__doc__ = (
        f"The power mean of each window of the last {n} dimension{'s' * (n > 1)}, unnormalised: (sum of "
        "input**norm_type)**(1/norm_type); the largest absolute value where norm_type is infinite."
    )
    size = (7, 6, 5)[:n]
    composite(
        name,
        nn=True,
        function=False,
        oracle=f"oracles.lp_pool({n})",
        samples=lambda t: [
            ((t(2, 3, *size, low=0.5, high=1.5), 2, 2), {}),
            ((t(3, *size, low=0.5, high=1.5), 3, 3), {"stride": 2}),
        ],
    )(lp_pool)


for _n in (1, 2, 3):
    _register_lp(_n)


# -- adaptive pooling --------------------------------------------------------------------------------------------------
# Window k of t over a dimension of size n goes from floor(k n / t) to ceil((k + 1) n / t).
pointwise(
    "_adaptive_place",
    lambda k, j, size, target: _adaptive_place(k * size / target + j, ((k + 1) * size + target - 1) / target - 1),
    types="iiii->i",
    params="Tensor k, Tensor j, Number size, Number target",
    grad=False,
    method=False,
    function=False,
)
pointwise(
    "_adaptive_count",
    lambda k, size, target: ((k + 1) * size + target - 1) / target - k * size / target,
    types="iii->i",
    params="Tensor k, Number size, Number target",
    grad=False,
    method=False,
    function=False,
)


def _adaptive_place(place, last):
    """A shorter window repeats its last element."""
    return select(place < last, place, last)


def _adaptive_arguments(op, n, input, output_size):
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{op}(): expected {n + 1}D or {n + 2}D input, got {input.dim()}D")
    if not input.is_floating_point():
        raise NotImplementedError(f"{op}(): input must be of a floating point dtype, got {input.dtype}")
    sizes = list(input.shape[-n:])
    if any(s == 0 for s in input.shape[-n - 1 :]):
        raise RuntimeError(
            f"{op}(): only the batch dimension of the input may be empty, got an input of shape {list(input.shape)}"
        )
    if isinstance(output_size, (tuple, list)) and len(output_size) != n:
        raise RuntimeError(f"{op}(): output_size must be one number or {n}, got {len(output_size)}")
    target = [s if o is None else o for s, o in zip(sizes, pair(output_size, "output_size", op, n))]
    if any(t < 0 or t > 1 << 24 for t in target):
        raise RuntimeError(f"{op}(): output_size must be from 0 to 2**24 in every dimension, got {target}")
    return sizes, target


def _empty_pool(input, n, target):
    return F.reshape(F.slice(input, -1, 0, 0, 1), [*input.shape[: input.dim() - n], *target])


def _adaptive_windows(x, dim, size, target):
    """([..., target, length, ...] windows of one dimension, how many elements each holds); a shorter window repeats its
    last element."""
    length = -(-size // target) + 1
    places = F._adaptive_place(F.unsqueeze(F.arange(target), 1), F.arange(length), size, target)
    windows = F.unflatten(F.index_select(x, dim, F.reshape(places, (-1,))), dim, (target, length))
    return windows, F._adaptive_count(F.arange(target), size, target)


def _adaptive_avg(op, n, input, output_size):
    sizes, target = _adaptive_arguments(op, n, input, output_size)
    if 0 in target:
        return _empty_pool(input, n, target)
    # Half types are summed in float32 from the first dimension to the last.
    wide = input.dtype is not F.float16 and input.dtype is not F.bfloat16
    x = input if wide else F.cast(input, F.float32)
    first = input.dim() - n
    for d in range(n):
        if sizes[d] % target[d]:
            windows, count = _adaptive_windows(x, first + d, sizes[d], target[d])
            place, tail = F.arange(windows.shape[first + d + 1]), [1] * (n - 1 - d)
            inside = F.reshape(F.lt(place, F.unsqueeze(count, 1)), [*windows.shape[first + d : first + d + 2], *tail])
            total = F.sum(F._where(inside, windows, 0), first + d + 1)
            x = total / F.reshape(F.cast(count, x.dtype), [-1, *tail])
    exact = [d for d in range(n) if sizes[d] % target[d] == 0 and sizes[d] != target[d]]
    for d in reversed(exact):
        x = F.unflatten(x, first + d, (target[d], sizes[d] // target[d]))
    if exact:
        x = F.mean(x, [first + d + 1 + k for k, d in enumerate(exact)])
    x = F.clone(x) if x is input else x
    return x if wide else F.cast(x, input.dtype)


def _adaptive_max(op, n, input, output_size, return_indices):
    sizes, target = _adaptive_arguments(op, n, input, output_size)
    if 0 in target:
        values = _empty_pool(input, n, target)
        return values, F.zeros(values.shape, dtype=F.int64)
    # A window's size must be known for the kernel that picks from it.
    if all(isinstance(s, int) and s % t == 0 for s, t in zip(sizes, target)):
        kernel = [s // t for s, t in zip(sizes, target)]
        return _values_and_places(n, input, kernel, kernel, [0] * n, [1] * n, False, return_indices)
    # One dimension after the other, the last first: the largest elements with their places so far.
    first = input.dim() - n
    best, place, step = input.detach(), None, 1
    for d in reversed(range(n)):
        dim = first + d
        windows, _ = _adaptive_windows(best, dim, sizes[d], target[d])
        best, at = F.max(windows, dim + 1, True)
        start = F.reshape(F.arange(target[d]) * sizes[d] // target[d], [-1] + [1] * (n - d))
        here = (start + at) * step
        if place is not None:
            here = here + F.gather(_adaptive_windows(place, dim, sizes[d], target[d])[0], dim + 1, at)
        best, place, step = F.squeeze(best, dim + 1), F.squeeze(here, dim + 1), step * sizes[d]
    values = F.gather(F.flatten(input, first), first, F.flatten(place, first))
    return F.reshape(values, place.shape), place


def _register_adaptive(n):
    avg, largest = f"adaptive_avg_pool{n}d", f"adaptive_max_pool{n}d"

    def adaptive_avg(input, output_size):
        return _adaptive_avg(avg, n, input, output_size)

    def adaptive_max(input, output_size, return_indices=False):
        values, places = _adaptive_max(largest, n, input, output_size, return_indices)
        return (values, places) if return_indices else values

    def with_indices(input, output_size, return_indices=False):
        return _adaptive_max(largest, n, input, output_size, True)

    shape = "[C, ...] or [N, C, ...]"
    adaptive_avg.__doc__ = (
        f"Mean of windows chosen so that the last {n} dimensions of {shape} get the given size: window k of t over n "
        "elements goes from floor(k n / t) to ceil((k + 1) n / t)."
    )
    adaptive_max.__doc__ = (
        f"Largest element of the windows of adaptive_avg_pool{n}d, of {shape}; with return_indices also its index in the "
        "flattened plane."
    )
    with_indices.__doc__ = f"{largest}() with return_indices: (values, int64 indices)."
    size = (6, 7, 5)[:n]
    for fn, name, oracle in ((adaptive_avg, avg, "mean"), (adaptive_max, largest, "max")):
        fn.__name__ = fn.__qualname__ = name
        composite(
            name if fn is adaptive_avg else "_nn_" + name,
            nn=name,
            function=n == 1,
            samples=lambda t: [((t(2, 3, *size), 1), {}), ((t(2, 3, *size), 3), {}), ((t(2, *size), 4), {})],
            oracle=f"oracles.adaptive_pool({n}, numpy.{oracle})",
        )(fn)
    with_indices.__name__ = with_indices.__qualname__ = largest + "_with_indices"
    composite(largest + "_with_indices", nn=True, function=False)(with_indices)


for _n in (1, 2, 3):
    _register_adaptive(_n)


@composite("adaptive_max_pool1d")
def adaptive_max_pool1d(input, output_size):
    """(values, int64 indices) of the largest elements of windows chosen so that the last dimension gets the given
    size."""
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, True)
