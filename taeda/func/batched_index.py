"""Batch rules of the kinds gather and scatter."""

from __future__ import annotations

from typing import Any

from .. import _core
from ..ops.helpers import wrap_dim
from ..ops.namespace import F
from ..ops.table import OpDef
from .batched import RULES, VmapLevel, _padded, one_by_one

Tensor = _core.Tensor


def _adjacent(indices: list) -> int | None:
    """Where the dimensions of adjacent index tensors go in the result; None if others lie between them, so that they go
    to the front."""
    places = [d for d, i in enumerate(indices) if i is not None]
    return places[0] if places == list(range(places[0], places[-1] + 1)) else None


def _moved(x: Tensor, source: int, to: int, count: int) -> Tensor:
    """`count` dimensions from `source` on, moved to begin at `to`."""
    moving = range(source, source + count)
    order = [d for d in range(x.dim()) if d not in moving]
    order[to:to] = moving
    return F.permute(x, order)


def _batch_places(level: VmapLevel, ndim: int) -> Tensor:
    """The number of each element of the batch, to index with beside indices of `ndim` dimensions."""
    return F.reshape(F.arange(level.size), (level.size, *(1,) * ndim))


def _index_rank(indices: list) -> int:
    return max(i.dim() for i in indices if i is not None)


def _with_batch(level: VmapLevel, indices: list, rank: int) -> list:
    """Physical indices: the batch's own place first, then those given, lined up from the right."""
    found: list = [_batch_places(level, rank)]
    for i in indices:
        inner = None if i is None else level.inner(i)
        found.append(i if inner is None else _padded(inner, rank))
    return found


def _gather_index(level: VmapLevel, op: Any, x: Tensor, indices: list) -> Tensor:
    at, rank = _adjacent(indices), _index_rank(indices)
    if all(i is None or level.inner(i) is None for i in indices) and at is not None:
        return op(level.batch(x), [None, *indices])
    result = op(level.batch(x), _with_batch(level, indices, rank))
    # the batch and the index dimensions come first, unless the first index is of the first dimension anyway
    return _moved(result, 1, at + 1, rank) if at else result


def _scatter_index(level: VmapLevel, op: Any, x: Tensor, indices: list, values: Any) -> Tensor:
    at, rank = _adjacent(indices), _index_rank(indices)
    ndim = x.dim() - sum(i is not None for i in indices) + rank  # of what the indices take out
    inner = level.inner(values) if isinstance(values, Tensor) else None
    if all(i is None or level.inner(i) is None for i in indices) and at is not None:
        return op(level.batch(x), [None, *indices], values if inner is None else _padded(inner, ndim))
    if isinstance(values, Tensor):
        values = _padded(level.batch(values), ndim)
        if at:
            values = _moved(values, at + 1, 1, rank)
    return op(level.batch(x), _with_batch(level, indices, rank), values)


def gathers(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    form = entry.traits["form"]
    if form == "index":
        return _gather_index(level, op, args[0], list(args[1]))
    x, dim, index = args
    if not x.dim() or not index.dim():
        return one_by_one(level, op, entry, args)
    dim = wrap_dim(dim, x.dim())
    if form == "along":
        return op(level.batch(x), dim + 1, level.batch(index))
    if level.inner(index) is None:
        return op(level.batch(x), dim + 1, index)
    return level.batch(F.index(x, [None] * dim + [index]))


def scatters(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    form = entry.traits["form"]
    if form == "index":
        return _scatter_index(level, op, args[0], list(args[1]), args[2])
    x, dim, index, src = args
    if not x.dim() or not index.dim():
        return one_by_one(level, op, entry, args)
    dim = wrap_dim(dim, x.dim())
    if form == "along":
        return op(level.batch(x), dim + 1, level.batch(index), level.batch(src))
    if level.inner(index) is None:
        return op(level.batch(x), dim + 1, index, level.batch(src))
    return one_by_one(level, op, entry, args)


RULES["gather"] = gathers
RULES["scatter"] = scatters
