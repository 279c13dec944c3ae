"""Reductions by index or by segment, and other writes and reads whose places are data."""

from __future__ import annotations

from .helpers import product, tensor_argument, wrap_dim
from .indexing import _twins
from .namespace import F
from .table import composite

_REDUCTIONS = ("prod", "mean", "amax", "amin")


# -- by index ----------------------------------------------------------------------------------------------------------
def _make_index_reduce(inplace):
    op = "index_reduce" + "_" * inplace

    def index_reduce(input, dim, index, source, reduce, *, include_self=True):
        tensor_argument(op, "input", input)
        tensor_argument(op, "index", index)
        tensor_argument(op, "source", source)
        if reduce not in _REDUCTIONS:
            raise RuntimeError(f"index_reduce(): reduce must be prod, mean, amax or amin, got {reduce!r}")
        if input.is_complex() and reduce in ("amax", "amin"):
            raise NotImplementedError(f"index_reduce(): {reduce} is not implemented for {input.dtype}")
        if index.dtype not in (F.int64, F.int32):
            raise RuntimeError(f"index_reduce(): index must be int32 or int64, got {index.dtype}")
        if index.dim() > 1:
            raise IndexError(f"index_reduce(): index must be a vector, got {index.dim()} dimensions")
        if source.dtype is not input.dtype:
            raise RuntimeError(
                f"index_reduce(): source must have the dtype of input, got {source.dtype} and {input.dtype}"
            )
        dim = wrap_dim(dim, input.dim())
        if input.dim() == 0:
            result = F.reshape(
                F.scatter_reduce(
                    F.reshape(input, (1,)), 0, F.reshape(index, (-1,)), F.reshape(source, (-1,)), reduce,
                    include_self=include_self,
                ),
                (),
            )  # fmt: skip
            return input.copy_(result) if inplace else result
        if source.shape[dim] != index.numel():
            raise RuntimeError(
                f"index_reduce(): Number of indices ({index.numel()}) should be equal to source.size(dim) "
                f"({source.shape[dim]})"
            )
        expected = [*input.shape[:dim], index.numel(), *input.shape[dim + 1 :]]
        if list(source.shape) != expected:
            raise IndexError(
                f"index_reduce(): source must have the shape of self with the length of index along dim {dim}: "
                f"{expected}, got {list(source.shape)}"
            )
        places = F.reshape(F.cast(index, F.int64), [-1 if d == dim else 1 for d in range(input.dim())])
        if F.values_known() and index.numel() and not bool(((index >= 0) & (index < input.shape[dim])).all()):
            raise IndexError(f"index_reduce(): index out of range for dimension {dim} of size {input.shape[dim]}")
        write = F.scatter_reduce_ if inplace else F.scatter_reduce
        return write(input, dim, F.expand(places, expected), source, reduce, include_self=include_self)

    return index_reduce


_twins(
    "index_reduce",
    "Slices of source combined with those of input at index along one dimension: prod, mean, amax or amin. "
    "include_self: the values of input take part.",
    _make_index_reduce,
    oracle="oracles.index_reduce",
    samples=lambda t: [
        ((t(3, 5), 1, t.ints(4, high=5), t(3, 4), reduce), {"include_self": own})
        for reduce in _REDUCTIONS
        for own in (True, False)
    ],
)


@composite(
    method=True,
    inplace=True,
    samples=lambda t: [
        ((t(3, 4), t.permutation(12, 5), t(5)), {}),
        ((t(3, 4), t.ints(2, 3, high=12), t(2, 3), True), {}),
    ],
    oracle="oracles.put",
)
def put(input, index, source, accumulate=False):
    """The elements of source at flat places of input (accumulate: added to what is there). Negative places count from
    the end.
    """
    tensor_argument("put", "input", input)
    tensor_argument("put", "index", index)
    tensor_argument("put", "source", source)
    if index.dtype is not F.int64:
        raise RuntimeError(f"put(): index must be int64, got {index.dtype}")
    if source.dtype is not input.dtype:
        raise RuntimeError(f"put(): source must have the dtype of input, got {source.dtype} and {input.dtype}")
    if source.numel() != index.numel():
        raise IndexError(f"put(): source has {source.numel()} elements for {index.numel()} places in index")
    if input.numel() == 0 and index.numel():
        raise IndexError("put(): input is empty, index is not")
    write = F._index_put_add if accumulate else F._index_put
    flat = write(F.reshape(input, (-1,)), [F.reshape(index, (-1,))], F.reshape(source, (-1,)))
    return F.reshape(flat, input.shape)


@composite(
    method=True,
    opcheck=False,
    samples=lambda t: [((t.bools(3, 4),), {"size": 4}), ((t.bools(2, 3),), {"size": 9, "fill_value": -7})],
    oracle="oracles.nonzero_static",
)
def nonzero_static(input, *, size, fill_value=-1):
    """nonzero() with a given number of rows: the first `size` indices, then rows of fill_value."""
    tensor_argument("nonzero_static", "input", input)
    if size < 0:
        raise RuntimeError(f"nonzero_static(): size must not be negative, got {size}")
    shape = list(input.shape)
    if not shape:
        return F.zeros((size, 0), dtype=F.int64)
    if input.numel() == 0:
        return F.full((size, len(shape)), fill_value, dtype=F.int64)
    mask = F.reshape(input if input.dtype is F.bool else F.ne(input, 0), (-1,))
    count = mask.shape[0]
    rank = F.cumsum(mask, 0) - 1
    rank = F._where(F.logical_and(mask, F.lt(rank, size)), rank, size)  # what does not fit meets in one more place
    flat = F._scatter(F.full((size + 1,), -1, dtype=F.int64), 0, rank, F.arange(count))
    flat = F.slice(flat, 0, 0, size, 1)
    columns = [F.remainder(F.floor_divide(flat, product(shape[d + 1 :])), n) for d, n in enumerate(shape)]
    return F._where(F.unsqueeze(F.lt(flat, 0), 1), fill_value, F.stack(columns, 1))


# -- by segment --------------------------------------------------------------------------------------------------------
_SEGMENT = {
    "sum": (0, "sum"),
    "mean": (0, "sum"),
    "prod": (1, "prod"),
    "max": (float("-inf"), "amax"),
    "min": (float("inf"), "amin"),
}


def _segment_ends(data, lengths, offsets, axis, unsafe):
    """Offsets of the segments from lengths or offsets."""
    if offsets is not None:
        bounds = offsets
    else:
        if lengths.dim() != axis + 1:
            raise RuntimeError(
                f"segment_reduce(): axis must be the last dimension of lengths ({lengths.dim() - 1}), got {axis}"
            )
        bounds = F.cumsum(lengths, -1)
        bounds = F.cat([F.zeros([*bounds.shape[:-1], 1], dtype=bounds.dtype), bounds], -1)
        if not unsafe:
            if bool(F.lt(lengths, 0).any()):
                raise RuntimeError("segment_reduce(): lengths must not be negative")
            if not bool(F.eq(F.select(bounds, -1, -1), data.shape[axis]).all()):
                raise RuntimeError(
                    f"segment_reduce(): lengths must sum to the size {data.shape[axis]} of dim {axis} (unless unsafe)"
                )
    if bounds.dim() != axis + 1 or tuple(bounds.shape[:-1]) != tuple(data.shape[:axis]):
        raise RuntimeError(
            f"segment_reduce(): lengths or offsets must have the sizes of data before dim {axis}, got "
            f"{list(bounds.shape)} for data of {list(data.shape)}"
        )
    return bounds


@composite(
    samples=lambda t: [
        *(((t(6, 2), r), {"lengths": t.ints(1, low=2, high=3).repeat(3)}) for r in _SEGMENT),
        ((t(2, 4), "mean"), {"lengths": t.ints(1, low=2, high=3).repeat(4).reshape(2, 2), "axis": 1}),
    ],
    oracle="oracles.segment_reduce",
)
def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """sum, mean, prod, max or min over consecutive segments of a dimension, given by their lengths or by offsets (one
    more than segments). An empty segment gives `initial`, or what the reduction starts from (mean: NaN).
    """
    tensor_argument("segment_reduce", "data", data)
    if reduce not in _SEGMENT:
        raise RuntimeError(f"segment_reduce(): reduce must be sum, mean, prod, max or min, got {reduce!r}")
    if lengths is None and offsets is None:
        raise RuntimeError("segment_reduce(): needs lengths or offsets")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices are not supported: give lengths or offsets")
    if not data.is_floating_point():
        raise NotImplementedError(f"segment_reduce(): not implemented for {data.dtype}: data must be floating point")
    if data.dim() == 0:
        raise RuntimeError("segment_reduce(): data must have at least one dimension")
    axis = wrap_dim(axis, data.dim())
    bounds = _segment_ends(data, lengths, offsets, axis, unsafe)
    count, size = bounds.shape[-1] - 1, data.shape[axis]
    bounds = F.cast(bounds, F.int64).contiguous()
    at = F.expand(F.arange(size), [*data.shape[:axis], size])
    if count > 0:
        places = F.searchsorted(bounds, at.contiguous(), right=True) - 1
        places = F._where(F.logical_and(F.ge(places, 0), F.lt(places, count)), places, count)
    else:
        places = F.zeros(at.shape, dtype=F.int64)
    tail = data.dim() - 1 - axis
    places = F.expand(F.reshape(places, [*places.shape] + [1] * tail), data.shape)
    start, how = _SEGMENT[reduce]
    base = F.full(
        [*data.shape[:axis], max(count, 0) + 1, *data.shape[axis + 1 :]], start if initial is None else initial,
        dtype=data.dtype,
    )  # fmt: skip
    found = F.slice(F.scatter_reduce(base, axis, places, data, how), axis, 0, max(count, 0), 1)
    if reduce != "mean":
        return found
    number = F.slice(bounds, -1, 1, None, 1) - F.slice(bounds, -1, 0, -1, 1)
    number = F.cast(F.reshape(number, [*number.shape] + [1] * tail), data.dtype)
    if initial is None:
        return found / number
    return found / F._where(F.eq(number, 0), 1, number)


# -- slices of bounded norm --------------------------------------------------------------------------------------------
@composite(
    method=True,
    inplace=True,
    out=True,
    samples=lambda t: [((t(3, 4), 2, 0, 0.5), {}), ((t(3, 4), 1, 1, 0.7), {}), ((t(2, 3, 2), 3, -2, 0.4), {})],
    oracle="oracles.renorm",
)
def renorm(input, p, dim, maxnorm):
    """The slices along a dimension, those with a p-norm above maxnorm scaled down to it."""
    tensor_argument("renorm", "input", input)
    if not input.is_floating_point() and not input.is_complex():
        raise RuntimeError(f"renorm: expected a floating point or complex tensor, got {input.dtype}")
    if p <= 0:
        raise RuntimeError(f"renorm(): p must be positive, got {p}")
    if maxnorm < 0:
        raise RuntimeError(f"renorm(): maxnorm must not be negative, got {maxnorm}")
    if input.dim() < 2:
        raise RuntimeError(f"renorm(): input must have at least 2 dimensions, got {input.dim()}")
    dim = wrap_dim(dim, input.dim())
    norm = F.norm(input, p, [d for d in range(input.dim()) if d != dim], True)
    return input * F._where(F.gt(norm, maxnorm), maxnorm / (norm + 1e-7), 1)
