"""Views: geometry over shared elements, and copies of it."""

from __future__ import annotations

from operator import index as as_int

from .helpers import ints, product, tensor_argument, wrap_dim
from .namespace import F
from .table import composite, structured


def _tensor(op, value, name="input"):
    tensor_argument(op, name, value)
    return value


def _inverse(dims):
    order = [0] * len(dims)
    for place, d in enumerate(dims):
        order[d % len(dims)] = place
    return order


# -- views: geometry only, no kernel -----------------------------------------------------------------------------------
structured(
    "reshape",
    "view",
    "Tensor input, int[] shape",
    form="reshape",
    grad=lambda g, input_shape: F.reshape(g, input_shape),
    role="reshape",
    samples=lambda t: [
        ((t(3, 4), (2, 6)), {}),
        ((t(3, 4), (-1,)), {}),
        ((t(2, 3, 4), (6, -1)), {}),
        ((t(), (1, 1)), {}),
    ],
    oracle="lambda x, s: x.reshape(s)",
    doc="The elements in another shape: a view where strides allow, else a copy.",
)


def _view_as_dtype(input, *shape, size=None, dtype=None):
    """`x.view(dtype)`: the same memory as elements of another dtype."""
    if size is not None and not shape and dtype is None:
        return F.view(input, size)
    dtype = shape[0] if len(shape) == 1 else dtype
    if not isinstance(dtype, F.dtype):
        raise TypeError(f"view(): argument 'shape' must be tuple of ints or a dtype, not {shape or dtype!r}")
    return F.alias(input) if dtype is input.dtype else F._view_dtype(input.detach(), dtype)


structured(
    "view",
    "view",
    "Tensor input, int[] shape",
    form="view",
    grad=lambda g, input_shape: F.reshape(g, input_shape),
    function=False,
    front=_view_as_dtype,
    samples=lambda t: [((t(3, 4), (2, 6)), {})],
    oracle="lambda x, s: x.reshape(s)",
)
structured("_view_dtype", "view", "Tensor input, dtype dtype", form="dtype", grad=False, method=False, function=False)
structured(
    "permute",
    "view",
    "Tensor input, int[] dims",
    form="permute",
    grad=lambda g, dims: F.permute(g, _inverse(dims)),
    role="permute",
    samples=lambda t: [((t(2, 3, 4), (2, 0, 1)), {}), ((t(2, 3), (-1, 0)), {})],
    oracle="lambda x, d: x.transpose(d)",
    doc="The dimensions in another order.",
)
structured(
    "transpose",
    "view",
    "Tensor input, int dim0, int dim1",
    form="transpose",
    grad=lambda g, dim0, dim1: F.transpose(g, dim0, dim1),
    role="transpose",
    aliases=("swapaxes", "swapdims"),
    front=lambda input, axis0, axis1: F.transpose(_tensor("transpose", input), as_int(axis0), as_int(axis1)),
    samples=lambda t: [((t(2, 3, 4), 0, 2), {}), ((t(2, 3), -1, 0), {})],
    oracle="lambda x, a, b: x.swapaxes(a, b)",
    doc="Two dimensions exchanged.",
)
structured(
    "expand",
    "view",
    "Tensor input, int[] size",
    form="expand",
    grad=lambda g, input_shape: F.sum_to_size(g, input_shape),
    function=False,
    role="expand",
    samples=lambda t: [((t(3, 1), (3, 4)), {}), ((t(3, 1), (2, -1, 4)), {}), ((t(), (2,)), {})],
    oracle="lambda x, s: numpy.broadcast_to(x, [x.shape[i - len(s)] if n == -1 else n for i, n in enumerate(s)])",
    doc="Size-1 dimensions repeated without a copy; -1 keeps a size.",
)
structured(
    "_squeeze",
    "view",
    "Tensor input, int[]? dim=None",
    form="squeeze",
    grad=lambda g, input_shape: F.reshape(g, input_shape),
    method=False,
    function=False,
    role="squeeze",
)
structured(
    "unsqueeze",
    "view",
    "Tensor input, int dim",
    form="unsqueeze",
    grad=lambda g, input_shape: F.reshape(g, input_shape),
    role="unsqueeze",
    inplace=False,
    samples=lambda t: [((t(2, 3), 0), {}), ((t(2, 3), -1), {}), ((t(), 0), {})],
    oracle="lambda x, d: numpy.expand_dims(x, d)",
    doc="A dimension of size 1 inserted.",
)
structured(
    "select",
    "view",
    "Tensor input, int dim, int index",
    form="select",
    role="select",
    grad=lambda g, input_shape, dim, index: F._select_backward(g, input_shape, dim, index),
    samples=lambda t: [((t(2, 3, 4), 1, 2), {}), ((t(2, 3), -1, -1), {})],
    oracle="lambda x, d, i: x.take(i, d)",
    doc="One index of a dimension, which is dropped.",
)
structured(
    "slice",
    "view",
    "Tensor input, int dim, int? start=None, int? end=None, int step=1",
    form="slice",
    method=False,
    function=False,
    role="slice",
    grad=lambda g, input_shape, dim, start, end, step: F._slice_backward(g, input_shape, dim, start, end, step),
    samples=lambda t: [((t(5, 4), 0, 1, 4, 2), {}), ((t(5, 4), -1, None, -1, 1), {})],
    oracle="lambda x, d, a, b, s: x[slice(a, b, s)] if d == 0 else x[..., slice(a, b, s)]",
    doc="Python's slice of one dimension.",
)
structured(
    "diagonal",
    "view",
    "Tensor input, int offset=0, int dim1=0, int dim2=1",
    form="diagonal",
    grad=lambda g, input_shape, offset, dim1, dim2: F._diagonal_backward(g, input_shape, offset, dim1, dim2),
    samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), 1), {}), ((t(2, 3, 3), -1, 1, 2), {})],
    oracle="lambda x, *a: numpy.diagonal(x, *a)",
    doc="A diagonal, as the last dimension.",
)
structured(
    "unfold",
    "view",
    "Tensor input, int dimension, int size, int step",
    form="unfold",
    function=False,
    grad=lambda g, input_shape, dimension, size, step: F._unfold_backward(g, input_shape, dimension, size, step),
    samples=lambda t: [((t(7, 2), 0, 3, 2), {}), ((t(2, 7), -1, 2, 2), {})],
    oracle="lambda x, d, n, s: numpy.lib.stride_tricks.sliding_window_view(x, n, d)[(slice(None),) * (d % x.ndim) + "
    "(slice(None, None, s),)]",
    doc="Sliding windows along a dimension, as a new last dimension.",
)


def _reach(sizes, strides):
    return sum(((n - 1) * s for n, s in zip(sizes, strides)), 0)


def _as_strided_gradient(g, input_shape, size, stride, offset, own):
    """Summed in a stand-in for the memory, from which the input's elements are read."""
    if g.numel() == 0 or product(input_shape) == 0:
        return F.zeros(input_shape, dtype=g.dtype)
    first = min(0, offset)
    span = max(_reach(input_shape, own), offset + _reach(size, stride)) - first + 1
    places = F.full(size, offset - first, dtype=F.int64)
    for d, (n, step) in enumerate(zip(size, stride)):
        places = places + F.reshape(F.arange(n) * step, [-1] + [1] * (len(size) - 1 - d))
    memory = F.zeros((span,), dtype=g.dtype)
    memory = F.index_add(memory, 0, F.reshape(places, (-1,)), F.reshape(g, (-1,)))
    return F._as_strided(memory, input_shape, own, -first, (1,))


# `offset` counts from the input's first element; `own` are the input's strides, where its gradient may be asked for.
structured(
    "_as_strided",
    "view",
    "Tensor input, int[] size, int[] stride, int offset, int[]? own=None",
    form="as_strided",
    method=False,
    function=False,
    role="as_strided",
    grad=_as_strided_gradient,
    samples=lambda t: [
        ((t(12), (2, 3), (5, 2), 1, (1,)), {}),
        ((t(12), (3, 3), (1, 2), 0, (1,)), {}),
        ((t(3, 4), (2, 2), (4, 1), 2, (4, 1)), {}),
    ],
    oracle="lambda x, n, s, at, own: numpy.lib.stride_tricks.as_strided(x.ravel()[at:], n, [8 * k for k in s])",
)
structured(
    "alias",
    "view",
    "Tensor input",
    form="alias",
    grad=lambda g: g,
    method=False,
    function=False,
    role="alias",
    samples=lambda t: [((t(3, 4),), {})],
    oracle="lambda x: x",
    doc="A new tensor over the same elements.",
)


@composite(
    grad=lambda g, dim, index: F.select(g, dim, index),
    params="Tensor g, int[] shape, int dim, int index",
    batch="parts",
    function=False,
)
def _select_backward(g, shape, dim, index):
    full = g.new_zeros(shape)
    F.select(full, dim, index).copy_(g)
    return full


@composite(
    grad=lambda g, dim, start, end, step: F.slice(g, dim, start, end, step),
    function=False,
    params="Tensor g, int[] shape, int dim, int? start, int? end, int step",
    batch="parts",
)
def _slice_backward(g, shape, dim, start, end, step):
    full = g.new_zeros(shape)
    F.slice(full, dim, start, end, step).copy_(g)
    return full


@composite(
    grad=lambda g, offset, dim1, dim2: F.diagonal(g, offset, dim1, dim2),
    params="Tensor g, int[] shape, int offset, int dim1, int dim2",
    batch="parts",
    function=False,
)
def _diagonal_backward(g, shape, offset, dim1, dim2):
    full = g.new_zeros(shape)
    F.diagonal(full, offset, dim1, dim2).copy_(g)
    return full


@composite(
    grad=lambda g, dimension, size, step: F.unfold(g, dimension, size, step),
    params="Tensor g, int[] shape, int dimension, int size, int step",
    batch="parts",
    function=False,
)
def _unfold_backward(g, shape, dimension, size, step):
    dim = wrap_dim(dimension, len(shape))
    full = g.new_zeros(shape)
    windows = F.unfold(full, dim, size, step)
    for offset in range(size):  # windows of one offset never overlap, and the sums keep one fixed order
        F.select(windows, -1, offset).add_(F.select(g, -1, offset))
    return full


@composite(
    method=True,
    samples=lambda t: [((t(4, 3), t(2, 3), 0, 1, 3), {}), ((t(3, 5), t(3, 2), 1, 0, 4, 2), {})],
    oracle="oracles.slice_scatter",
)
def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """A copy of input with src in a slice of one dimension."""
    out = F.spread(F.clone(input), src)
    F.slice(out, dim, start, end, step).copy_(src)
    return out


@composite(
    method=True,
    samples=lambda t: [((t(4, 3), t(3), 0, 1), {}), ((t(3, 5), t(3), -1, -2), {})],
    oracle="lambda x, s, d, i: numpy.where((numpy.indices(x.shape)[d] == i % x.shape[d]), numpy.expand_dims(s, d), x)",
)
def select_scatter(input, src, dim, index):
    """A copy of input with src at one index of a dimension."""
    out = F.spread(F.clone(input), src)
    F.select(out, dim, index).copy_(src)
    return out


@composite(method=True)
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1):
    """A copy of input with src on a diagonal."""
    out = F.spread(F.clone(input), src)
    F.diagonal(out, offset, dim1, dim2).copy_(src)
    return out


@composite(method=True)
def as_strided(input, size, stride, storage_offset=None):
    """A view with any sizes and strides (in elements), inside the tensor's storage. The gradient of elements that the
    input itself does not have is lost.
    """
    offset = 0 if storage_offset is None else storage_offset - input.storage_offset()
    own = input.stride() if input.requires_grad and F.is_grad_enabled() else None
    return F._as_strided(input, size, stride, offset, own)


@composite(
    method=True,
    samples=lambda t: [
        ((t(2, 1, 3, 1),), {}),
        ((t(2, 1, 3, 1), 1), {}),
        ((t(2, 1, 3, 1), (1, -1)), {}),
        ((t(2, 3), 0), {}),
    ],
    oracle="lambda x, d=None: x.squeeze() if d is None else x if d == 0 else x.squeeze(d)",
)
def squeeze(input, dim=None):
    """Without its dimensions of size 1 (or those of `dim` that have it)."""
    if dim is None:
        return F._squeeze(input)
    return F._squeeze(input, (dim,) if isinstance(dim, int) else dim)


@composite(method=True)
def narrow(input, dim, start, length):
    """`length` elements of a dimension from `start`."""
    if input.dim() == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, input.dim())
    if isinstance(start, F.Tensor):
        start = start.item()
    size = input.shape[dim]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return F.slice(input, dim, start, start + length, 1)


@composite(
    method=True,
    samples=lambda t: [((t(2, 3, 4),), {}), ((t(2, 3, 4), 1), {}), ((t(2, 3, 4), 0, 1), {}), ((t(),), {})],
    oracle="lambda x, a=0, b=-1: x.reshape(x.shape[:a % max(x.ndim, 1)] + (-1,) + x.shape[x.ndim if b == -1 else b "
    "+ 1:])",
)
def flatten(input, start_dim=0, end_dim=-1):
    """Dimensions start_dim..end_dim as one."""
    n = input.dim()
    if n == 0:
        return F.reshape(input, (1,))
    first, last = wrap_dim(start_dim, n), wrap_dim(end_dim, n)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if first == last:
        return input
    shape = list(input.shape)
    return F.reshape(input, [*shape[:first], product(shape[first : last + 1]), *shape[last + 1 :]])


@composite(
    method=True,
    samples=lambda t: [((t(6, 2), 0, (2, 3)), {}), ((t(2, 6), 1, (-1, 2)), {})],
    oracle="lambda x, d, s: x.reshape(x.shape[:d] + tuple(s) + x.shape[d + 1:])",
)
def unflatten(input, dim, sizes):
    """One dimension as several."""
    dim = wrap_dim(dim, input.dim())
    shape = list(input.shape)
    sizes = list(sizes)
    if -1 not in sizes and product(sizes) != shape[dim]:
        raise RuntimeError(
            f"unflatten: Provided sizes {sizes} don't multiply up to the size of dim {dim} ({shape[dim]}) in the "
            "input tensor"
        )
    return F.reshape(input, shape[:dim] + sizes + shape[dim + 1 :])


@composite(method=True)
def ravel(input):
    """One dimension; a view where possible."""
    return F.reshape(input, (-1,))


@composite(method=True)
def t(input):
    """Transpose of a matrix; vectors and 0-d tensors as they are."""
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D")
    return F.alias(input) if input.dim() < 2 else F.transpose(input, 0, 1)


@composite(
    method=True,
    aliases=("moveaxis",),
    samples=lambda t: [((t(2, 3, 4), 0, 2), {}), ((t(2, 3, 4), (0, 1), (2, 0)), {})],
    oracle="lambda x, a, b: numpy.moveaxis(x, a, b)",
)
def movedim(input, source, destination):
    """Dimensions moved to other places, the rest in order."""
    n = input.dim()
    source = [wrap_dim(d, n) for d in ((source,) if isinstance(source, int) else source)]
    destination = [wrap_dim(d, n) for d in ((destination,) if isinstance(destination, int) else destination)]
    if len(source) != len(destination):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({source} dims) should contain the same number of "
            "dims as "
            f"destination ({destination} dims)"
        )
    if len(set(source)) != len(source) or len(set(destination)) != len(destination):
        raise RuntimeError("movedim: repeated dim in source or destination")
    order = [-1] * n
    for s, d in zip(source, destination):
        order[d] = s
    rest = iter(d for d in range(n) if d not in source)
    return F.permute(input, [next(rest) if d < 0 else d for d in order])


@composite(method=True)
def broadcast_to(input, size):
    """A view of the given shape: dimensions of size 1 are repeated."""
    return F.expand(input, size)


@composite(method=True, function=False)
def expand_as(input, other):
    """Expanded to the shape of `other`."""
    return F.expand(input, other.shape)


@composite(method=True, function=False)
def view_as(input, other):
    """A view in the shape of `other`."""
    return F.view(input, other.shape)


@composite(method=True, function=False)
def reshape_as(input, other):
    """Reshaped to the shape of `other`."""
    return F.reshape(input, other.shape)


@composite()
def broadcast_shapes(*shapes):
    """The shape that tensors of these shapes broadcast to."""
    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    out = []
    for place in range(1, max((len(s) for s in shapes), default=0) + 1):
        sizes = [s[-place] for s in shapes if len(s) >= place and s[-place] != 1]
        if any(s != sizes[0] for s in sizes):
            raise RuntimeError(
                f"Shape mismatch: objects cannot be broadcast to a single shape: {', '.join(map(str, shapes))}"
            )
        out.append(sizes[0] if sizes else 1)
    return F.Size(reversed(out))


@composite()
def broadcast_tensors(*tensors):
    """Every tensor expanded to the common shape."""
    tensors = ints(tensors)
    shape = F.broadcast_shapes(*(x.shape for x in tensors))
    return tuple(F.expand(x, shape) for x in tensors)


@composite()
def atleast_1d(*tensors):
    """At least one dimension."""
    found = tuple(F.reshape(x, (1,)) if x.dim() == 0 else x for x in ints(tensors))
    return found[0] if len(found) == 1 else found


@composite()
def atleast_2d(*tensors):
    """At least two dimensions."""
    found = tuple(F.reshape(x, (1, -1)) if x.dim() < 2 else x for x in ints(tensors))
    return found[0] if len(found) == 1 else found


@composite()
def atleast_3d(*tensors):
    """At least three dimensions."""

    def grow(x):
        return F.unsqueeze(x, -1) if x.dim() == 2 else F.reshape(x, (1, -1, 1)) if x.dim() < 2 else x

    found = tuple(grow(x) for x in ints(tensors))
    return found[0] if len(found) == 1 else found


# -- copies ------------------------------------------------------------------------------------------------------------
structured(
    "clone",
    "copy",
    "Tensor input",
    form="clone",
    front=lambda input, *, memory_format=None: F.clone(_tensor("clone", input)),
    grad=lambda g: g,
    role="clone",
    samples=lambda t: [((t(3, 4),), {})],
    oracle="lambda x: x",
    doc="A copy.",
)


def _copy_gradient(g, src_shape, src_dtype, wanted):
    gone = F.expand(F.zeros((), dtype=g.dtype), g.shape) if wanted[0] else None  # what was there no longer counts
    return gone, F.cast(F.sum_to_size(g, src_shape), src_dtype) if wanted[1] else None


structured(
    "copy_",
    "copy",
    "Tensor input, Tensor src",
    form="copy_",
    front=lambda input, other, non_blocking=False: F.copy_(_tensor("copy_", input), _tensor("copy_", other, "other")),
    function=False,
    role="copy_",
    grad=_copy_gradient,
    doc="Writes src, broadcast and cast, into the tensor.",
)
structured(
    "cast",
    "copy",
    "Tensor input, dtype dtype",
    form="to",
    fn=lambda x: x,
    types="T->T",
    grad=lambda g, input_dtype: F.cast(g, input_dtype),
    method=False,
    function=False,
    role="cast",
    doc="Another dtype; the tensor itself where it has it.",
)
structured(
    "contiguous",
    "copy",
    "Tensor input",
    form="contiguous",
    grad=lambda g: g,
    function=False,
    front=lambda input, memory_format=None: F.contiguous(input),
    role="contiguous",
    samples=lambda t: [((t(3, 4).T,), {})],
    oracle="lambda x: x",
    doc="Row-major: the tensor itself where it is.",
)


# -- in place: the tensor takes the view's geometry --------------------------------------------------------------------
def _in_place(name):
    def method(self, *args, **kwargs):
        return F.become_view(self, getattr(F, name)(self, *args, **kwargs))

    method.__name__ = method.__qualname__ = name + "_"
    method.__doc__ = f"In-place {name}(): the tensor itself becomes the view."
    composite(f"_{name}_", method=name + "_", function=False)(method)


for _name in ("transpose", "swapaxes", "swapdims", "t", "squeeze", "unsqueeze", "as_strided"):
    _in_place(_name)
