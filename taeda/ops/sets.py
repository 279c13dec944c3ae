"""Distinct elements, membership, and places in sorted sequences."""

from __future__ import annotations

from .helpers import product, tensor_argument, wrap_dim
from .namespace import F
from .scalar import select
from .table import composite, numeric, pointwise


# -- distinct elements -------------------------------------------------------------------------------------------------
def _several(*results):
    found = [r for r in results if r is not None]
    return found[0] if len(found) == 1 else tuple(found)


def _starts(same, count):
    """Places where a run of equal neighbours begins, from `same[i]`: i and i + 1 are equal."""
    first = F.cat([F.ones((1 if count else 0,), dtype=F.bool), F.logical_not(same)])
    return first, F.reshape(F.nonzero(first), (-1,))


def _run_lengths(places, count):
    return F.diff(F.cat([places, F.full((1,), count, dtype=F.int64)]))


def _row_ranks(rows):
    """An integer for each row, in the rows' lexicographic order, equal for equal rows: columns are ranked, then the
    ranks of neighbouring columns combined and ranked again until one column is left.
    """
    count = rows.shape[0]
    keys = rows
    while True:
        values, order = F._sort(keys, 0, False)
        step = F.cast(F.ne(F.slice(values, 0, 1, None, 1), F.slice(values, 0, 0, -1, 1)), F.int64)
        rank = F.cumsum(F.cat([F.zeros((1, keys.shape[1]), dtype=F.int64), step], 0), 0)
        keys = F.scatter(F.zeros_like(rank), 0, order, rank)
        width = keys.shape[1]
        if width == 1:
            return F.reshape(keys, (-1,))
        pairs = F.slice(keys, 1, 0, width - 1, 2) * count + F.slice(keys, 1, 1, None, 2)
        keys = F.cat([pairs, F.slice(keys, 1, width - 1, None, 1)], 1) if width % 2 else pairs


def _as_rows(op, input, dim):
    """The slices along `dim` as rows of a matrix."""
    if input.dim() == 0:
        raise IndexError(f"{op}(): dim {dim} was given for a tensor that has no dimensions")
    dim = wrap_dim(dim, input.dim())
    empty = [d for d, n in enumerate(input.shape) if n == 0]
    if len(empty) > 1:
        raise RuntimeError(f"{op}(): a tensor of shape {list(input.shape)} has no slices to compare")
    if empty and empty[0] != dim:
        raise RuntimeError(f"{op}(): the slices along dim {dim} of a tensor of shape {list(input.shape)} are empty")
    count = input.shape[dim]
    return dim, F.reshape(F.movedim(input, dim, 0), (count, -1 if count else 0))


@composite(
    method=True,
    samples=lambda t: [
        ((t.ints(9, high=4),), {}),
        ((t.ints(3, 5, high=4),), {"return_inverse": True, "return_counts": True}),
        ((t.ints(6, 2, high=2),), {"dim": 0, "return_inverse": True, "return_counts": True}),
        ((t.ints(3, 7, high=2),), {"dim": 1}),
    ],
    oracle="lambda x, return_inverse=False, return_counts=False, dim=None: numpy.unique(x, False, return_inverse, "
    "return_counts, dim)",
    opcheck=False,
)
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements in order (with dim: the distinct slices along it, in lexicographic order), and if asked for
    the place of every element among them and how often each occurs. NaN is equal to nothing. Always sorted.
    """
    tensor_argument("unique", "input", input)
    input = input.detach()
    if dim is None:
        values, order = F._sort(F.reshape(input, (-1,)), 0, False)
        count = values.shape[0]
        same = F.eq(F.slice(values, 0, 1, None, 1), F.slice(values, 0, 0, -1, 1))
        shape = input.shape
    else:
        dim, rows = _as_rows("unique", input, dim)
        count, shape = rows.shape[0], (rows.shape[0],)
        if count == 0:
            none = F.zeros((0,), dtype=F.int64)
            return _several(F.clone(input), none if return_inverse else None, none if return_counts else None)
        ranks, order = F._sort(_row_ranks(rows), 0, False)
        same = F.eq(F.slice(ranks, 0, 1, None, 1), F.slice(ranks, 0, 0, -1, 1))
    first, places = _starts(same, count)
    if dim is None:
        found = F.index_select(values, 0, places)
    else:
        found = F.index_select(input, dim, F.index_select(order, 0, places))
    inverse = None
    if return_inverse:
        rank = F.cumsum(first, 0) - 1
        inverse = F.reshape(F.index_copy(F.zeros_like(rank), 0, order, rank), shape)
    return _several(found, inverse, _run_lengths(places, count) if return_counts else None)


@composite(
    method=True,
    samples=lambda t: [((t.ints(12, high=2),), {}), ((t.ints(9, 1, high=2),), {"return_counts": True, "dim": 0})],
    oracle="oracles.unique_consecutive",
    opcheck=False,
)
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The first of every run of equal neighbours (with dim: of equal slices along it), and if asked for the run of every
    element and the lengths of the runs.
    """
    tensor_argument("unique_consecutive", "input", input)
    input = input.detach()
    if dim is None:
        flat = F.reshape(input, (-1,))
        count, shape = flat.shape[0], input.shape
        same = F.eq(F.slice(flat, 0, 1, None, 1), F.slice(flat, 0, 0, -1, 1))
    else:
        dim, rows = _as_rows("unique_consecutive", input, dim)
        count, shape = rows.shape[0], (rows.shape[0],)
        same = F.all(F.eq(F.slice(rows, 0, 1, None, 1), F.slice(rows, 0, 0, -1, 1)), (1,))
    first, places = _starts(same, count)
    if dim is None:
        found = F.index_select(F.reshape(input, (-1,)), 0, places)
    else:
        found = F.index_select(input, dim, places)
    inverse = F.reshape(F.cumsum(first, 0) - 1, shape) if return_inverse else None
    return _several(found, inverse, _run_lengths(places, count) if return_counts else None)


# -- membership --------------------------------------------------------------------------------------------------------
@composite(
    out=True,
    samples=lambda t: [
        ((t.ints(3, 4, high=9), t.ints(4, high=9)), {}),
        ((t.ints(300, high=99), t.ints(50, high=99)), {"invert": True}),
        ((t.ints(3, high=4), 2), {}),
    ],
    oracle="lambda x, y, invert=False: numpy.isin(x, y, invert=invert)",
    opcheck=False,
)
def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Whether each element is one of test_elements (invert: is not). One of the two may be a number. NaN never is.
    Few test elements are compared one by one; many are sorted and searched. assume_unique changes nothing.
    """
    if not isinstance(elements, F.Tensor) and not isinstance(test_elements, F.Tensor):
        raise TypeError(
            f"isin(): elements or test_elements must be a Tensor, got {type(elements).__name__} and "
            f"{type(test_elements).__name__}"
        )
    dtype = F.result_type(elements, test_elements)
    if dtype is F.bool or dtype.is_complex:
        raise RuntimeError(f"isin(): not implemented for {dtype}")
    elements, test = (
        F.cast(x.detach(), dtype) if isinstance(x, F.Tensor) else F.tensor(x, dtype=dtype)
        for x in (elements, test_elements)
    )
    test = F.reshape(test, (-1,))
    count = test.shape[0]
    if count == 0:
        return F.full(elements.shape, bool(invert), dtype=F.bool)
    if count <= 16:
        found = F.any(F.eq(F.unsqueeze(elements, -1), test), (-1,))
    else:
        test = F._sort(test, 0, False)[0]
        place = F.clamp_max(F.searchsorted(test, elements), count - 1)
        found = F.eq(F.reshape(F.index_select(test, 0, F.reshape(place, (-1,))), elements.shape), elements)
    return F.logical_not(found) if invert else found


# -- places in sorted sequences ----------------------------------------------------------------------------------------
def _check_sequences(op, sequence, values, sorter):
    tensor_argument(op, "sorted_sequence", sequence)
    if sequence.dim() == 0:
        raise RuntimeError(f"{op}(): sorted_sequence must have at least one dimension")
    if sequence.dim() > 1 and tuple(sequence.shape[:-1]) != tuple(values.shape[:-1]):
        raise RuntimeError(
            f"{op}(): sorted_sequence must be a vector or have the leading sizes of input, got {list(sequence.shape)} "
            f"and {list(values.shape)}"
        )
    if sorter is not None:
        if tuple(sorter.shape) != tuple(sequence.shape):
            raise RuntimeError(
                f"{op}(): sorter must have the shape of sorted_sequence, got {list(sorter.shape)} and "
                f"{list(sequence.shape)}"
            )
        if sorter.dtype is not F.int64:
            raise RuntimeError(f"{op}(): sorter must be int64, got {sorter.dtype}")


# One step of a binary search: past `half` entries where the last of them comes before the value.
pointwise(
    "_advance_left",
    lambda base, entry, value, half: select(entry >= value, base, base + half),
    types="iTTi->i",
    params="Tensor base, Tensor entry, Tensor value, Number half",
    accepts=numeric,
    grad=False,
    method=False,
    function=False,
)
pointwise(
    "_advance_right",
    lambda base, entry, value, half: select(entry > value, base, base + half),
    types="iTTi->i",
    params="Tensor base, Tensor entry, Tensor value, Number half",
    accepts=numeric,
    grad=False,
    method=False,
    function=False,
)


def _search(sequence, values, right):
    """How many entries come before each value, by halving: the number of steps depends on the length only. A value that
    is NaN comes after all.
    """
    size = sequence.shape[-1]
    base = F.zeros(values.shape, dtype=F.int64)
    if size == 0 or values.numel() == 0:
        return base
    advance = F._advance_right if right else F._advance_left
    left = int(size)
    while left:  # `left` entries from `base` on are not decided yet
        half = (left + 1) // 2
        entry = F.gather(F.slice(sequence, -1, half - 1, None, 1), -1, base)
        base = advance(base, entry, values, half)
        left -= half
    return base


@composite(
    out=True,
    samples=lambda t: [((t.sorted(5), t(2, 3)), {}), ((t.sorted(5), t(4)), {"right": True})],
    opcheck=False,
    oracle="lambda s, v, right=False: numpy.searchsorted(s, v, 'right' if right else 'left')",
)
def searchsorted(sorted_sequence, input: object, *, out_int32=False, right=False, side=None, sorter=None):
    """Where the elements would be inserted into a sorted vector, or row by row into the sorted last dimension. side
    "left" (right=False) gives the first possible place, "right" the last; sorter: indices that sort the sequence.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted(): side must be 'left' or 'right', got {side!r}")
    if side == "left" and right:
        raise RuntimeError("searchsorted(): side='left' contradicts right=True")
    tensor_argument("searchsorted", "sorted_sequence", sorted_sequence)
    dtype = F.result_type(sorted_sequence, input)
    if dtype is F.bool or dtype.is_complex:
        raise NotImplementedError(f"searchsorted(): not implemented for {dtype}")
    values = F.cast(input.detach(), dtype) if isinstance(input, F.Tensor) else F.tensor(input, dtype=dtype)
    _check_sequences("searchsorted", sorted_sequence, values, sorter)
    sequence = F.cast(sorted_sequence.detach(), dtype)
    if sorter is not None:
        sequence = F.gather(sequence, -1, sorter)
    flat = F.reshape(values, (-1,)) if sequence.dim() == 1 else values
    found = F.reshape(_search(sequence, flat, right or side == "right"), values.shape)
    return F.cast(found, F.int32) if out_int32 else found


@composite(out=True, opcheck=False)
def bucketize(input: object, boundaries, *, out_int32=False, right=False):
    """The bucket of each element between sorted boundaries: boundaries[i - 1] < x <= boundaries[i] (right: <= and <)."""
    tensor_argument("bucketize", "boundaries", boundaries)
    if boundaries.dim() != 1:
        raise RuntimeError(f"bucketize(): boundaries must be a vector, got {boundaries.dim()} dimensions")
    return F.searchsorted(boundaries, input, out_int32=out_int32, right=right)


@composite(opcheck=False, samples=lambda t: [((t.ints(3, 2, high=24), (2, 3, 4)), {})], oracle="oracles.unravel_index")
def unravel_index(indices, shape):
    """The coordinates, one tensor a dimension, of flat indices into a tensor of the given shape."""
    tensor_argument("unravel_index", "indices", indices)
    if indices.dtype.is_floating_point or indices.dtype.is_complex or indices.dtype is F.bool:
        raise TypeError(f"unravel_index(): indices must be integers, got {indices.dtype}")
    sizes = [shape] if isinstance(shape, int) else list(shape)
    for n in sizes:
        if not isinstance(n, int):
            raise TypeError(f"unravel_index(): sizes in shape must be ints, got {type(n).__name__}")
        if n < 0:
            raise ValueError(f"unravel_index(): sizes in shape must not be negative, got {tuple(sizes)}")
    indices, found = F.cast(indices, F.int64), []
    for d, n in enumerate(sizes):
        found.append(F.remainder(F.floor_divide(indices, product(sizes[d + 1 :])), n))
    return tuple(found)
