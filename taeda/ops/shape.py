"""Views, and what only moves elements: reshaping, joining, splitting, repeating."""

from __future__ import annotations

from .helpers import ints, product, wrap_dim, wrap_dims
from .namespace import F
from .table import composite, structured


def _inverse(dims):
    order = [0] * len(dims)
    for place, d in enumerate(dims):
        order[d % len(dims)] = place
    return order


# -- views: geometry only, no kernel ---------------------------------------------------------------------------------------
structured("reshape", "view", "Tensor input, int[] shape", form="reshape", grad=lambda g, input_shape: F.reshape(g, input_shape), role="reshape",
           samples=lambda t: [((t(3, 4), (2, 6)), {}), ((t(3, 4), (-1,)), {}), ((t(2, 3, 4), (6, -1)), {}), ((t(), (1, 1)), {})],
           oracle="lambda x, s: x.reshape(s)", doc="The elements in another shape: a view where strides allow, else a copy.")  # fmt: skip
structured("_view", "view", "Tensor input, int[] shape", form="view", grad=lambda g, input_shape: F.reshape(g, input_shape), method=False,
           function=False, samples=lambda t: [((t(3, 4), (2, 6)), {})], oracle="lambda x, s: x.reshape(s)")  # fmt: skip
structured("permute", "view", "Tensor input, int[] dims", form="permute", grad=lambda g, dims: F.permute(g, _inverse(dims)), role="permute",
           samples=lambda t: [((t(2, 3, 4), (2, 0, 1)), {}), ((t(2, 3), (-1, 0)), {})], oracle="lambda x, d: x.transpose(d)",
           doc="The dimensions in another order.")  # fmt: skip
structured("transpose", "view", "Tensor input, int dim0, int dim1", form="transpose", grad=lambda g, dim0, dim1: F.transpose(g, dim0, dim1),
           role="transpose", aliases=("swapaxes", "swapdims"), samples=lambda t: [((t(2, 3, 4), 0, 2), {}), ((t(2, 3), -1, 0), {})],
           oracle="lambda x, a, b: x.swapaxes(a, b)", doc="Two dimensions exchanged.")  # fmt: skip
structured("expand", "view", "Tensor input, int[] size", form="expand", grad=lambda g, input_shape: F.sum_to_size(g, input_shape), function=False,
           role="expand", samples=lambda t: [((t(3, 1), (3, 4)), {}), ((t(3, 1), (2, -1, 4)), {}), ((t(), (2,)), {})],
           oracle="lambda x, s: numpy.broadcast_to(x, [x.shape[i - len(s)] if n == -1 else n for i, n in enumerate(s)])",
           doc="Size-1 dimensions repeated without a copy; -1 keeps a size.")  # fmt: skip
structured("_squeeze", "view", "Tensor input, int[]? dim=None", form="squeeze", grad=lambda g, input_shape: F.reshape(g, input_shape), method=False,
           function=False, role="squeeze")  # fmt: skip
structured("unsqueeze", "view", "Tensor input, int dim", form="unsqueeze", grad=lambda g, input_shape: F.reshape(g, input_shape), role="unsqueeze",
           inplace=False, samples=lambda t: [((t(2, 3), 0), {}), ((t(2, 3), -1), {}), ((t(), 0), {})], oracle="lambda x, d: numpy.expand_dims(x, d)",
           doc="A dimension of size 1 inserted.")  # fmt: skip
structured("select", "view", "Tensor input, int dim, int index", form="select", role="select",
           grad=lambda g, input_shape, dim, index: F._select_backward(g, input_shape, dim, index),
           samples=lambda t: [((t(2, 3, 4), 1, 2), {}), ((t(2, 3), -1, -1), {})], oracle="lambda x, d, i: x.take(i, d)",
           doc="One index of a dimension, which is dropped.")  # fmt: skip
structured("slice", "view", "Tensor input, int dim, int? start=None, int? end=None, int step=1", form="slice", method=False, function=False, role="slice",
           grad=lambda g, input_shape, dim, start, end, step: F._slice_backward(g, input_shape, dim, start, end, step),
           samples=lambda t: [((t(5, 4), 0, 1, 4, 2), {}), ((t(5, 4), -1, None, -1, 1), {})],
           oracle="lambda x, d, a, b, s: x[slice(a, b, s)] if d == 0 else x[..., slice(a, b, s)]", doc="Python's slice of one dimension.")  # fmt: skip
structured("diagonal", "view", "Tensor input, int offset=0, int dim1=0, int dim2=1", form="diagonal",
           grad=lambda g, input_shape, offset, dim1, dim2: F._diagonal_backward(g, input_shape, offset, dim1, dim2),
           samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), 1), {}), ((t(2, 3, 3), -1, 1, 2), {})],
           oracle="lambda x, *a: numpy.diagonal(x, *a)", doc="A diagonal, as the last dimension.")  # fmt: skip
structured("unfold", "view", "Tensor input, int dimension, int size, int step", form="unfold", function=False,
           grad=lambda g, input_shape, dimension, size, step: F._unfold_backward(g, input_shape, dimension, size, step),
           samples=lambda t: [((t(7, 2), 0, 3, 2), {}), ((t(2, 7), -1, 2, 2), {})],
           oracle="lambda x, d, n, s: numpy.lib.stride_tricks.sliding_window_view(x, n, d)[(slice(None),) * (d % x.ndim) + (slice(None, None, s),)]",
           doc="Sliding windows along a dimension, as a new last dimension.")  # fmt: skip
structured("_as_strided", "view", "Tensor input, int[] size, int[] stride, int storage_offset", form="as_strided", method=False, function=False,
           role="as_strided")  # fmt: skip
structured("alias", "view", "Tensor input", form="alias", grad=lambda g: g, method=False, function=False, role="alias",
           samples=lambda t: [((t(3, 4),), {})], oracle="lambda x: x", doc="A new tensor over the same elements.")  # fmt: skip


@composite(grad=lambda g, dim, index: F.select(g, dim, index), params="Tensor g, int[] shape, int dim, int index", function=False)
def _select_backward(g, shape, dim, index):
    full = F.zeros(shape, dtype=g.dtype)
    F.select(full, dim, index).copy_(g)
    return full


@composite(grad=lambda g, dim, start, end, step: F.slice(g, dim, start, end, step), function=False,
           params="Tensor g, int[] shape, int dim, int? start, int? end, int step")  # fmt: skip
def _slice_backward(g, shape, dim, start, end, step):
    full = F.zeros(shape, dtype=g.dtype)
    F.slice(full, dim, start, end, step).copy_(g)
    return full


@composite(grad=lambda g, offset, dim1, dim2: F.diagonal(g, offset, dim1, dim2), params="Tensor g, int[] shape, int offset, int dim1, int dim2",
           function=False)  # fmt: skip
def _diagonal_backward(g, shape, offset, dim1, dim2):
    full = F.zeros(shape, dtype=g.dtype)
    F.diagonal(full, offset, dim1, dim2).copy_(g)
    return full


@composite(grad=lambda g, dimension, size, step: F.unfold(g, dimension, size, step), params="Tensor g, int[] shape, int dimension, int size, int step",
           function=False)  # fmt: skip
def _unfold_backward(g, shape, dimension, size, step):
    dim = wrap_dim(dimension, len(shape))
    full = F.zeros(shape, dtype=g.dtype)
    windows = F.unfold(full, dim, size, step)
    for offset in range(size):  # windows of one offset never overlap, and the sums keep one fixed order
        F.select(windows, -1, offset).add_(F.select(g, -1, offset))
    return full


@composite(method=True)
def as_strided(input, size, stride, storage_offset=None):
    """A view with any sizes and strides (in elements), inside the tensor's storage. Its gradient needs a contiguous input."""
    if storage_offset is None:
        storage_offset = input.storage_offset()
    if not (input.requires_grad and F.is_grad_enabled()):
        return F._as_strided(input, size, stride, storage_offset)
    if not input.is_contiguous():
        raise RuntimeError("as_strided(): the gradient needs a contiguous input; call contiguous() first")
    where = F.full(size, storage_offset - input.storage_offset(), dtype=F.int64)
    for d, (n, step) in enumerate(zip(size, stride)):
        where = where + (F.arange(n) * step).reshape([-1] + [1] * (len(size) - 1 - d))
    return F.gather(input.reshape([-1]), 0, where.reshape([-1])).reshape(size)


@composite(method=True, function=False)
def view(input, *shape):
    """The elements in another shape without a copy, or their bits as another dtype of the same size."""
    if len(shape) == 1 and isinstance(shape[0], F.dtype):
        return F._view_dtype(input, shape[0])
    return F._view(input, ints(shape))


@composite(method=True, samples=lambda t: [((t(2, 1, 3, 1),), {}), ((t(2, 1, 3, 1), 1), {}), ((t(2, 1, 3, 1), (1, -1)), {}), ((t(2, 3), 0), {})],
           oracle="lambda x, d=None: x.squeeze() if d is None else x if d == 0 else x.squeeze(d)")  # fmt: skip
def squeeze(input, dim=None):
    """Without its dimensions of size 1 (or those of `dim` that have it)."""
    if dim is None:
        return F._squeeze(input)
    return F._squeeze(input, (dim,) if isinstance(dim, int) else dim)


@composite(method=True)
def narrow(input, dim, start, length):
    """`length` elements of a dimension from `start`."""
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


@composite(method=True, samples=lambda t: [((t(2, 3, 4),), {}), ((t(2, 3, 4), 1), {}), ((t(2, 3, 4), 0, 1), {}), ((t(),), {})],
           oracle="lambda x, a=0, b=-1: x.reshape(x.shape[:a % max(x.ndim, 1)] + (-1,) + x.shape[x.ndim if b == -1 else b + 1:])")  # fmt: skip
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
    return F.reshape(input, shape[:first] + [product(shape[first : last + 1])] + shape[last + 1 :])


@composite(method=True, samples=lambda t: [((t(6, 2), 0, (2, 3)), {}), ((t(2, 6), 1, (-1, 2)), {})],
           oracle="lambda x, d, s: x.reshape(x.shape[:d] + tuple(s) + x.shape[d + 1:])")  # fmt: skip
def unflatten(input, dim, sizes):
    """One dimension as several."""
    dim = wrap_dim(dim, input.dim())
    shape = list(input.shape)
    sizes = list(sizes)
    if -1 not in sizes and product(sizes) != shape[dim]:
        raise RuntimeError(f"unflatten: Provided sizes {sizes} don't multiply up to the size of dim {dim} ({shape[dim]}) in the input tensor")
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
    return input if input.dim() < 2 else F.transpose(input, 0, 1)


@composite(method=True, aliases=("moveaxis",), samples=lambda t: [((t(2, 3, 4), 0, 2), {}), ((t(2, 3, 4), (0, 1), (2, 0)), {})],
           oracle="lambda x, a, b: numpy.moveaxis(x, a, b)")  # fmt: skip
def movedim(input, source, destination):
    """Dimensions moved to other places, the rest in order."""
    n = input.dim()
    source = [wrap_dim(d, n) for d in ((source,) if isinstance(source, int) else source)]
    destination = [wrap_dim(d, n) for d in ((destination,) if isinstance(destination, int) else destination)]
    if len(source) != len(destination):
        raise RuntimeError(f"movedim: Invalid source or destination dims: source ({source} dims) should contain the same number of dims as "
                           f"destination ({destination} dims)")  # fmt: skip
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
    return F._view(input, other.shape)


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
            raise RuntimeError(f"Shape mismatch: objects cannot be broadcast to a single shape: {', '.join(map(str, shapes))}")
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


# -- splitting -------------------------------------------------------------------------------------------------------------
@composite(method=True)
def split(input, split_size_or_sections, dim=0):
    """Pieces of one size (the last may be smaller), or of the given sizes; views."""
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if isinstance(split_size_or_sections, (tuple, list)):
        sizes = list(split_size_or_sections)
        if any(n < 0 for n in sizes) or sum(sizes) != size:
            raise RuntimeError(f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {dim}), but got "
                               f"split_sizes={sizes}")  # fmt: skip
    else:
        step = split_size_or_sections
        if step < 0 or (step == 0 and size != 0):
            raise RuntimeError(f"split expects split_size be non-negative and nonzero, but got split_size={step}")
        sizes = [min(step, size - at) for at in range(0, size, step)] if size else [0]
    at, pieces = 0, []
    for n in sizes:
        pieces.append(F.slice(input, dim, at, at + n, 1))
        at += n
    return tuple(pieces)


@composite(method=True)
def chunk(input, chunks, dim=0):
    """At most `chunks` pieces of equal size; views."""
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = input.shape[wrap_dim(dim, input.dim())]
    return F.split(input, max(-(-size // chunks), 1), dim) if size else F.split(input, [0] * chunks, dim)


@composite(method=True)
def tensor_split(input, indices_or_sections, dim=0):
    """Pieces between the given indices, or `n` pieces whose sizes differ by at most one."""
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {n}")
        return F.split(input, [size // n + (k < size % n) for k in range(n)], dim)
    places = indices_or_sections.tolist() if isinstance(indices_or_sections, F.Tensor) else list(indices_or_sections)
    ends = [slice(None, p).indices(size)[1] for p in places] + [size]
    starts = [0, *ends[:-1]]
    return tuple(F.slice(input, dim, a, max(a, b), 1) for a, b in zip(starts, ends))


@composite(method=True)
def unbind(input, dim=0):
    """Every index of a dimension as a view of its own."""
    dim = wrap_dim(dim, input.dim())
    if input.dim() == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return tuple(F.select(input, dim, k) for k in range(input.shape[dim]))


# -- joining ---------------------------------------------------------------------------------------------------------------
def _cat_gradient(g, tensors_shape, dim):
    pieces, at = [], 0
    for shape in tensors_shape:
        if len(shape) == 1 and len(g.shape) > 1:  # PyTorch's legacy: an empty vector joins with anything
            pieces.append(F.zeros(shape, dtype=g.dtype))
            continue
        n = shape[dim]
        pieces.append(F.slice(g, dim, at, at + n, 1))
        at = at + n
    return pieces


structured("cat", "cat", "Tensor[] tensors, int dim=0", grad=_cat_gradient, method=False, aliases=("concat", "concatenate"), out=True,
           samples=lambda t: [(([t(2, 3), t(4, 3)],), {}), (([t(2, 3), t(2, 1), t(2, 2)], 1), {}), (([t(2, 3)], -1), {})],
           oracle="lambda xs, d=0: numpy.concatenate(xs, d)", doc="Tensors one after the other along an existing dimension.")  # fmt: skip


@composite(out=True, samples=lambda t: [(([t(2, 3), t(2, 3)],), {}), (([t(2, 3), t(2, 3)], -1), {}), (([t(), t()],), {})],
           oracle="lambda xs, d=0: numpy.stack(xs, d)")  # fmt: skip
def stack(tensors, dim=0):
    """Tensors of one shape along a new dimension."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    for k, x in enumerate(tensors):
        if tuple(x.shape) != tuple(first.shape):
            raise RuntimeError(f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and {list(x.shape)} at entry {k}")
    dim = wrap_dim(dim, first.dim() + 1)
    return F.cat([F.unsqueeze(x, dim) for x in tensors], dim)


@composite(out=True, samples=lambda t: [(([t(2, 3), t(2, 1)],), {}), (([t(2), t(3)],), {})], oracle="numpy.hstack")
def hstack(tensors):
    """Along the second dimension (the first of vectors)."""
    tensors = [F.atleast_1d(x) for x in tensors]
    return F.cat(tensors, 0 if tensors and tensors[0].dim() == 1 else 1)


@composite(out=True, aliases=("row_stack",), samples=lambda t: [(([t(2, 3), t(1, 3)],), {}), (([t(3), t(3)],), {})], oracle="numpy.vstack")
def vstack(tensors):
    """Along the first dimension; vectors are rows."""
    return F.cat([F.atleast_2d(x) for x in tensors], 0)


@composite(out=True, samples=lambda t: [(([t(2, 3), t(2, 3)],), {}), (([t(3), t(3)],), {})], oracle="numpy.dstack")
def dstack(tensors):
    """Along the third dimension."""
    return F.cat([F.atleast_3d(x) for x in tensors], 2)


@composite(out=True, samples=lambda t: [(([t(3), t(3, 2)],), {})], oracle="numpy.column_stack")
def column_stack(tensors):
    """Along the second dimension; vectors are columns."""
    return F.hstack([F.reshape(x, (-1, 1)) if x.dim() < 2 else x for x in tensors])


# -- repeating and rearranging ---------------------------------------------------------------------------------------------
@composite(method=True, function=False, samples=lambda t: [((t(2, 3), 2, 2), {}), ((t(3), 2, 1), {}), ((t(2, 3), (1, 3)), {})],
           oracle="lambda x, *r: numpy.tile(x, r[0] if isinstance(r[0], tuple) else r)")  # fmt: skip
def repeat(input, *repeats):
    """Copies side by side, `repeats` times along each dimension."""
    counts = ints(repeats)
    if len(counts) < input.dim():
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    sizes = [1] * (len(counts) - input.dim()) + list(input.shape)
    spread = F.reshape(input, [n for s in sizes for n in (1, s)])
    spread = F.expand(spread, [n for r, s in zip(counts, sizes) for n in (r, s)])
    return F.reshape(F.clone(spread), [r * s for r, s in zip(counts, sizes)])


@composite(method=True, samples=lambda t: [((t(2, 3), (2,)), {}), ((t(3), (2, 2)), {})], oracle="lambda x, r: numpy.tile(x, r)")
def tile(input, *dims):
    """repeat() that fills missing counts with 1."""
    counts = ints(dims)
    return F.repeat(input, [1] * (input.dim() - len(counts)) + counts)


@composite(method=True, samples=lambda t: [((t(2, 3), 2), {}), ((t(2, 3), 2), {"dim": 1}), ((t(3), t.ints(3, low=0, high=3)), {"dim": 0})],
           oracle="lambda x, n, dim=None: numpy.repeat(x, n, dim)")  # fmt: skip
def repeat_interleave(input, repeats, dim=None, *, output_size=None):
    """Every element repeated in place: a count for all, or one each."""
    if dim is None:
        input, dim = F.reshape(input, (-1,)), 0
    dim = wrap_dim(dim, input.dim())
    if isinstance(repeats, F.Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if isinstance(repeats, int):
        if repeats < 0:
            raise RuntimeError(f"repeats can not be negative, got {repeats}")
        shape = list(input.shape)
        wide = F.expand(F.unsqueeze(input, dim + 1), shape[: dim + 1] + [repeats] + shape[dim + 1 :])
        return F.reshape(F.clone(wide), shape[:dim] + [shape[dim] * repeats] + shape[dim + 1 :])
    if repeats.dim() != 1 or repeats.shape[0] != input.shape[dim]:
        raise RuntimeError(f"repeats must have the same size as input along dim, got repeats of size {list(repeats.shape)} and input.size({dim}) = {input.shape[dim]}")
    counts = repeats.tolist()
    if any(n < 0 for n in counts):
        raise RuntimeError("repeats can not be negative")
    return F.index_select(input, dim, F.tensor([k for k, n in enumerate(counts) for _ in range(n)], dtype=F.int64))


@composite(method=True, samples=lambda t: [((t(2, 3), (0,)), {}), ((t(2, 3, 4), (1, -1)), {})], oracle="lambda x, d: numpy.flip(x, d)")
def flip(input, *dims):
    """Reversed along the given dimensions; a copy."""
    out = input
    for d in wrap_dims(ints(dims), input.dim()) if dims and dims != ((),) else []:
        out = F.index_select(out, d, F.arange(input.shape[d] - 1, -1, -1))
    return F.clone(input) if out is input else out


@composite(method=True, samples=lambda t: [((t(2, 3),), {})], oracle="numpy.fliplr")
def fliplr(input):
    """Reversed along the second dimension."""
    return F.flip(input, 1)


@composite(method=True, samples=lambda t: [((t(2, 3),), {})], oracle="numpy.flipud")
def flipud(input):
    """Reversed along the first dimension."""
    return F.flip(input, 0)


@composite(method=True, oracle="lambda x, s, d=None: numpy.roll(x, s, d)",
           samples=lambda t: [((t(5), 2), {}), ((t(3, 4), 1), {}), ((t(3, 4), (1, -2), (0, 1)), {}), ((t(3, 4), 9, 1), {})])  # fmt: skip
def roll(input, shifts, dims=None):
    """Shifted along dimensions, elements re-entering on the other side."""
    if dims is None:
        return F.reshape(F.roll(F.reshape(input, (-1,)), shifts, 0), input.shape)
    shifts = [shifts] if isinstance(shifts, int) else list(shifts)
    dims = [dims] if isinstance(dims, int) else list(dims)
    if len(shifts) != len(dims):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}")
    for shift, d in zip(shifts, dims):
        size = input.shape[wrap_dim(d, input.dim())]
        at = -shift % size if size else 0
        input = F.cat([F.slice(input, d, at, None, 1), F.slice(input, d, 0, at, 1)], d)
    return input


@composite(method=True, samples=lambda t: [((t(2, 3),), {}), ((t(2, 3), 2), {}), ((t(2, 3, 4), -1, (1, 2)), {})],
           oracle="lambda x, k=1, d=(0, 1): numpy.rot90(x, k, d)")  # fmt: skip
def rot90(input, k=1, dims=(0, 1)):
    """Rotated by 90 degrees k times in the plane of two dimensions."""
    a, b = dims
    k %= 4
    if k == 0:
        return F.clone(input)
    if k == 2:
        return F.flip(input, a, b)
    return F.transpose(F.flip(input, b), a, b) if k == 1 else F.flip(F.transpose(input, a, b), b)


@composite(method=True, out=True, samples=lambda t: [((t(3),), {}), ((t(3), 1), {}), ((t(3, 4), -1), {})], oracle="lambda x, k=0: numpy.diag(x, k)")
def diag(input, diagonal=0):
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.dim() == 1:
        return F.diag_embed(input, diagonal)
    if input.dim() != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")
    return F.clone(F.diagonal(input, diagonal))


@composite(method=True)
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """A matrix over two new dimensions with the last dimension of the input on its diagonal."""
    n = input.dim() + 1
    dim1, dim2 = wrap_dim(dim1, n), wrap_dim(dim2, n)
    if dim1 == dim2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    side = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((dim1, dim2)):
        shape.insert(d, side)
    return F._diagonal_backward(input, shape, offset, dim1, dim2)


@composite()
def meshgrid(*tensors, indexing=None):
    """Coordinate grids of several vectors; indexing "ij" or "xy"."""
    tensors = ints(tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(tensors) > 1
    if swap:
        tensors[0], tensors[1] = tensors[1], tensors[0]
    n = len(tensors)
    shape = [x.numel() for x in tensors]
    grids = [F.expand(F.reshape(x, [-1 if d == k else 1 for d in range(n)]), shape) for k, x in enumerate(tensors)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


# -- copies ----------------------------------------------------------------------------------------------------------------
structured("clone", "copy", "Tensor input", form="clone", grad=lambda g: g, role="clone", samples=lambda t: [((t(3, 4),), {})],
           oracle="lambda x: x", doc="A copy.")  # fmt: skip
structured("copy_", "copy", "Tensor input, Tensor src", form="copy_", function=False, role="copy_",
           grad=lambda g, src_shape, src_dtype: (None, F.cast(F.sum_to_size(g, src_shape), src_dtype)),
           doc="Writes src, broadcast and cast, into the tensor.")  # fmt: skip
structured("cast", "copy", "Tensor input, dtype dtype", form="to", grad=lambda g, input_dtype: F.cast(g, input_dtype), method=False, function=False,
           role="cast", doc="Another dtype; the tensor itself where it has it.")  # fmt: skip
structured("contiguous", "copy", "Tensor input", form="contiguous", grad=lambda g: g, function=False, role="contiguous", samples=lambda t: [((t(3, 4).T,), {})],
           oracle="lambda x: x", doc="Row-major: the tensor itself where it is.")  # fmt: skip
