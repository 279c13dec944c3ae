"""Splitting, joining, repeating and rearranging."""

from __future__ import annotations

from .helpers import ints, wrap_dim, wrap_dims
from .namespace import F
from .table import composite, structured


# -- splitting ---------------------------------------------------------------------------------------------------------
@composite(method=True)
def split(input, split_size_or_sections=None, dim=0, *, split_size=None):
    """Pieces of one size (the last may be smaller), or of the given sizes; views."""
    if (split_size_or_sections is None) == (split_size is None):
        raise TypeError("split(): takes one of split_size_or_sections and split_size")
    if split_size is not None:
        split_size_or_sections = split_size
    _check_splittable("split", input)
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if isinstance(split_size_or_sections, (tuple, list)):
        sizes = list(split_size_or_sections)
        if any(n < 0 for n in sizes) or sum(sizes) != size:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension "
                f"{dim}), but got "
                f"split_sizes={sizes}"
            )
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
    _check_splittable("chunk", input)
    size = input.shape[wrap_dim(dim, input.dim())]
    _check_pieces("chunk", chunks, size)
    return F.split(input, max(-(-size // chunks), 1), dim) if size else F.split(input, [0] * chunks, dim)


def _check_splittable(op, input):
    if input.dim() == 0:
        raise RuntimeError(f"{op}(): expected a tensor with at least one dimension")


def _check_pieces(op, count, size):
    """Empty pieces cost memory too: more than this are a mistake."""
    if count > max(1 << 24, size if isinstance(size, int) else 0):
        raise RuntimeError(f"{op}(): {count} pieces of a dimension of size {size} are too many")


@composite(method=True)
def tensor_split(input, indices_or_sections=None, dim=0, *, sections=None, indices=None):
    """Pieces between the given indices, or `n` pieces whose sizes differ by at most one."""
    given = [x for x in (indices_or_sections, sections, indices) if x is not None]
    if len(given) != 1:
        raise TypeError(f"tensor_split(): takes one of indices_or_sections, sections and indices, got {len(given)}")
    (indices_or_sections,) = given
    _check_splittable("tensor_split", input)
    if isinstance(indices_or_sections, F.Tensor):
        if indices_or_sections.dim() > 1 or indices_or_sections.dtype is not F.int64:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor of "
                f"int64, but got {indices_or_sections.dim()} dimensions of {indices_or_sections.dtype}"
            )
        if indices_or_sections.dim() == 0:
            indices_or_sections = int(indices_or_sections.item())
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {n}")
        _check_pieces("tensor_split", n, size)
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


@composite(method=True)
def split_with_sizes(input, split_sizes, dim=0):
    """Pieces of the given sizes; views."""
    return F.split(input, list(split_sizes), dim)


def _register_split(name, dim):
    def pieces(input, indices_or_sections):
        if input.dim() <= dim and not (name == "hsplit" and input.dim() == 1):
            raise RuntimeError(f"{name}(): needs a tensor with at least {dim + 1} dimensions, got {input.dim()}")
        at = 0 if input.dim() == 1 else dim
        if isinstance(indices_or_sections, int) and input.shape[at] % indices_or_sections:
            raise RuntimeError(
                f"{name}(): the size {input.shape[at]} of dimension {at} is not divisible by {indices_or_sections}"
            )
        return F.tensor_split(input, indices_or_sections, at)

    pieces.__name__ = pieces.__qualname__ = name
    pieces.__doc__ = f"tensor_split() along dimension {dim}, into equal parts where a number is given."
    composite(name, method=True)(pieces)


for _name, _dim in (("hsplit", 1), ("vsplit", 0), ("dsplit", 2)):
    _register_split(_name, _dim)


# -- joining -----------------------------------------------------------------------------------------------------------
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


structured(
    "cat",
    "cat",
    "Tensor[] tensors, int dim=0",
    role="cat",
    grad=_cat_gradient,
    method=False,
    aliases=("concat", "concatenate"),
    out=True,
    samples=lambda t: [(([t(2, 3), t(4, 3)],), {}), (([t(2, 3), t(2, 1), t(2, 2)], 1), {}), (([t(2, 3)], -1), {})],
    oracle="lambda xs, d=0: numpy.concatenate(xs, d)",
    doc="Tensors one after the other along an existing dimension.",
)


@composite(
    out=True,
    samples=lambda t: [(([t(2, 3), t(2, 3)],), {}), (([t(2, 3), t(2, 3)], -1), {}), (([t(), t()],), {})],
    oracle="lambda xs, d=0: numpy.stack(xs, d)",
)
def stack(tensors, dim=0):
    """Tensors of one shape along a new dimension."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = tensors[0]
    for k, x in enumerate(tensors):
        if tuple(x.shape) != tuple(first.shape):
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                f"{list(x.shape)} at entry {k}"
            )
    dim = wrap_dim(dim, first.dim() + 1)
    return F.cat([F.unsqueeze(x, dim) for x in tensors], dim)


@composite(out=True, samples=lambda t: [(([t(2, 3), t(2, 1)],), {}), (([t(2), t(3)],), {})], oracle="numpy.hstack")
def hstack(tensors):
    """Along the second dimension (the first of vectors)."""
    tensors = [F.atleast_1d(x) for x in tensors]
    return F.cat(tensors, 0 if tensors and tensors[0].dim() == 1 else 1)


@composite(
    out=True,
    aliases=("row_stack",),
    samples=lambda t: [(([t(2, 3), t(1, 3)],), {}), (([t(3), t(3)],), {})],
    oracle="numpy.vstack",
)
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


# -- repeating and rearranging -----------------------------------------------------------------------------------------
@composite(
    method=True,
    function=False,
    samples=lambda t: [((t(2, 3), 2, 2), {}), ((t(3), 2, 1), {}), ((t(2, 3), (1, 3)), {})],
    oracle="lambda x, *r: numpy.tile(x, r[0] if isinstance(r[0], tuple) else r)",
)
def repeat(input, *args, repeats=None):
    """Copies side by side, `repeats` times along each dimension."""
    counts = ints(args) if repeats is None else ints((repeats,))
    if len(counts) < input.dim():
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    sizes = [1] * (len(counts) - input.dim()) + list(input.shape)
    spread = F.reshape(input, [n for s in sizes for n in (1, s)])
    spread = F.expand(spread, [n for r, s in zip(counts, sizes) for n in (r, s)])
    return F.reshape(F.clone(spread), [r * s for r, s in zip(counts, sizes)])


@composite(
    method=True, samples=lambda t: [((t(2, 3), (2,)), {}), ((t(3), (2, 2)), {})], oracle="lambda x, r: numpy.tile(x, r)"
)
def tile(input, *args, dims=None):
    """repeat() that fills missing counts with 1."""
    counts = ints(args) if dims is None else ints((dims,))
    return F.repeat(input, [1] * (input.dim() - len(counts)) + counts)


@composite(
    method=True,
    samples=lambda t: [((t(2, 3), 2), {}), ((t(2, 3), 2), {"dim": 1}), ((t(3), t.ints(3, low=0, high=3)), {"dim": 0})],
    oracle="lambda x, n, dim=None: numpy.repeat(x, n, dim)",
)
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None):
    """Every element repeated in place: a count for all, or one each. Of counts alone, the place of each."""
    if repeats is None:
        if input.dim() != 1:
            raise RuntimeError(f"repeat_interleave(): repeats must be a vector, got {input.dim()} dimensions")
        input, repeats = F.arange(input.shape[0]), input
    if dim is None:
        input, dim = F.reshape(input, (-1,)), 0
    dim = wrap_dim(dim, input.dim())
    if isinstance(repeats, F.Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if not isinstance(repeats, F.Tensor):
        if repeats < 0:
            raise RuntimeError(f"repeats can not be negative, got {repeats}")
        shape = list(input.shape)
        wide = F.expand(F.unsqueeze(input, dim + 1), [*shape[: dim + 1], repeats, *shape[dim + 1 :]])
        return F.reshape(F.clone(wide), [*shape[:dim], shape[dim] * repeats, *shape[dim + 1 :]])
    if repeats.dim() != 1 or repeats.shape[0] != input.shape[dim]:
        raise RuntimeError(
            f"repeats must have the same size as input along dim, got repeats of size {list(repeats.shape)} and "
            f"input.size({dim}) = {input.shape[dim]}"
        )
    if repeats.dtype not in (F.int32, F.int64):
        raise RuntimeError(f"repeats has to be Long or Int tensor, got {repeats.dtype}")
    ends = F.cumsum(repeats, 0)
    if output_size is None:
        if bool((repeats < 0).any()):
            raise RuntimeError("repeats can not be negative")
        output_size = int(ends[-1].item()) if repeats.shape[0] else 0
    return F.index_select(input, dim, F._owners(repeats, ends, output_size))


@composite(function=False, opcheck=False)
def _owners(counts, ends, total):
    """0 counts[0] times, 1 counts[1] times, ...: `total` numbers. A step up at the place where each begins, summed up."""
    steps = F.zeros((total + 1,), dtype=F.int64)
    steps = F._index_add(steps, 0, F.cast(ends - counts, F.int64), F.ones(counts.shape, dtype=F.int64))
    return F.cumsum(F.slice(steps, 0, 0, total, 1), 0) - 1


@composite(
    method=True,
    samples=lambda t: [((t(2, 3), (0,)), {}), ((t(2, 3, 4), (1, -1)), {})],
    oracle="lambda x, d: numpy.flip(x, d)",
)
def flip(input, *args, dims=None):
    """Reversed along the given dimensions; a copy."""
    dims = ints(args) if dims is None else ints((dims,))
    dims = wrap_dims(dims, input.dim()) if dims else []
    return F._flip(input, dims) if dims else F.clone(input)


structured(
    "_flip",
    "copy",
    "Tensor input, int[] dims",
    form="flip",
    grad=lambda g, dims: F._flip(g, dims),
    method=False,
    function=False,
    samples=lambda t: [((t(2, 3, 4), (0, 2)), {}), ((t(3), (0,)), {})],
    oracle="numpy.flip",
)


@composite(method=True, samples=lambda t: [((t(2, 3),), {})], oracle="numpy.fliplr")
def fliplr(input):
    """Reversed along the second dimension."""
    return F.flip(input, 1)


@composite(method=True, samples=lambda t: [((t(2, 3),), {})], oracle="numpy.flipud")
def flipud(input):
    """Reversed along the first dimension."""
    return F.flip(input, 0)


@composite(
    method=True,
    oracle="lambda x, s, d=None: numpy.roll(x, s, d)",
    samples=lambda t: [((t(5), 2), {}), ((t(3, 4), 1), {}), ((t(3, 4), (1, -2), (0, 1)), {}), ((t(3, 4), 9, 1), {})],
)
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


@composite(
    method=True,
    samples=lambda t: [((t(2, 3),), {}), ((t(2, 3), 2), {}), ((t(2, 3, 4), -1, (1, 2)), {})],
    oracle="lambda x, k=1, d=(0, 1): numpy.rot90(x, k, d)",
)
def rot90(input, k=1, dims=(0, 1)):
    """Rotated by 90 degrees k times in the plane of two dimensions."""
    a, b = dims
    k %= 4
    if k == 0:
        return F.clone(input)
    if k == 2:
        return F.flip(input, a, b)
    return F.transpose(F.flip(input, b), a, b) if k == 1 else F.flip(F.transpose(input, a, b), b)


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3),), {}), ((t(3), 1), {}), ((t(3, 4), -1), {})],
    oracle="lambda x, k=0: numpy.diag(x, k)",
)
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


@composite(method=True)
def diagflat(input, offset=0):
    """The matrix with the flattened input on a diagonal."""
    return F.diag_embed(F.reshape(input, (-1,)), offset)
