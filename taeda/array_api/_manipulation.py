"""Shapes, indices, order and sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import taeda as td
from taeda import Tensor

from ._dtypes import promoted
from ._elementwise import Operand, as_tensor

Axes = int | tuple[int, ...]


def axis_of(axis: int, ndim: int, function: str) -> int:
    """The axis counted from the first one; IndexError where there is none."""
    if not -ndim <= axis < ndim:
        raise IndexError(f"{function}(): axis {axis} is out of range for {ndim} dimensions")
    return axis % ndim


# -- shapes ------------------------------------------------------------------------------------------------------------
def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """Views of the tensors in their common shape."""
    shape = td.broadcast_shapes(*(x.shape for x in arrays))
    return [x.expand(shape) for x in arrays]


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape."""
    return tuple(td.broadcast_shapes(*shapes))


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """A view of x in a shape that it broadcasts to."""
    return x.expand(shape)


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Tensors one after the other along an axis; flattened first where it is None."""
    parts = promoted(*arrays)
    if axis is None:
        return td.cat([x.reshape(-1) for x in parts])
    if any(x.ndim != parts[0].ndim for x in parts):  # PyTorch skips empty vectors
        raise ValueError(f"concat(): shapes {[tuple(x.shape) for x in parts]} differ in their number of dimensions")
    return td.cat(parts, dim=axis_of(axis, parts[0].ndim, "concat"))


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Tensors of one shape one after the other along a new axis."""
    return td.stack(promoted(*arrays), dim=axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along an axis."""
    return tuple(td.unbind(x, axis))


def expand_dims(x: Tensor, /, axis: int = 0) -> Tensor:
    """x with an axis of size 1 at `axis` of the result."""
    return td.unsqueeze(x, axis)


def squeeze(x: Tensor, /, axis: Axes) -> Tensor:
    """x without the axes, whose sizes must be 1."""
    axes = [axis_of(a, x.ndim, "squeeze") for a in ((axis,) if isinstance(axis, int) else axis)]
    for a in axes:
        if x.shape[a] != 1:
            raise ValueError(f"squeeze(): axis {a} has size {x.shape[a]}, not 1")
    return x.reshape([n for d, n in enumerate(x.shape) if d not in axes])


def flip(x: Tensor, /, *, axis: Axes | None = None) -> Tensor:
    """The elements in reverse order along axes; along all where axis is None."""
    return td.flip(x, tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis)


def moveaxis(x: Tensor, source: Axes, destination: Axes, /) -> Tensor:
    """Axes at other places, the rest in order."""
    return td.movedim(x, source, destination)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """The axes in another order."""
    return td.permute(x, axes)


def repeat(x: Tensor, repeats: int | Tensor, /, *, axis: int | None = None) -> Tensor:
    """Every element (slice along `axis`) so many times; of the flattened tensor where axis is None."""
    return td.repeat_interleave(x, repeats, dim=axis)


def tile(x: Tensor, repetitions: tuple[int, ...], /) -> Tensor:
    """x so many times along each axis."""
    return td.tile(x, repetitions)


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """The elements in another shape. copy: True, always a copy; False, never (ValueError if one is needed)."""
    found = td.reshape(x, shape)
    if copy is None:
        return found
    shared = x.numel() == 0 or found.data_ptr() == x.data_ptr()
    if not copy and not shared:
        raise ValueError(f"reshape(): shape {tuple(x.shape)} with strides {x.stride()} to {shape} needs a copy")
    return found.clone() if copy and shared else found


def roll(x: Tensor, /, shift: Axes, *, axis: Axes | None = None) -> Tensor:
    """The elements shifted along axes, those beyond the end coming first; of the flattened tensor where axis is None."""
    if axis is None:
        return td.roll(x, shift)
    axes = (axis,) if isinstance(axis, int) else axis
    return td.roll(x, (shift,) * len(axes) if isinstance(shift, int) else shift, axes)


# -- indices -----------------------------------------------------------------------------------------------------------
def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """The slices of x at `indices` along an axis, which may be left out for one dimension."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"take(): axis is required for {x.ndim} dimensions")
        axis = 0
    return x[(slice(None),) * axis_of(axis, x.ndim, "take") + (indices,)]


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """The elements of x at `indices` along an axis; the other axes broadcast."""
    axis = axis_of(axis, x.ndim, "take_along_axis")
    if indices.ndim != x.ndim:
        raise ValueError(f"take_along_axis(): indices have {indices.ndim} dimensions and x has {x.ndim}")
    others = td.broadcast_shapes(*((*t.shape[:axis], 1, *t.shape[axis + 1 :]) for t in (x, indices)))
    of = [*others[:axis], -1, *others[axis + 1 :]]
    indices = td.where(indices < 0, indices + x.shape[axis], indices).to(td.int64)
    return td.gather(x.expand(of), axis, indices.expand(of))


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero, a tensor an axis."""
    if x.ndim == 0:
        raise ValueError("nonzero(): a tensor without dimensions has no indices")
    return tuple(td.nonzero(x, as_tuple=True))


def where(condition: Tensor, x1: Operand, x2: Operand, /) -> Tensor:
    """The elements of x1 where `condition` holds, else those of x2."""
    beside = x1 if isinstance(x1, Tensor) else x2
    if not isinstance(beside, Tensor):
        raise TypeError("where(): at least one of x1 and x2 must be a Tensor")
    a, b = promoted(as_tensor(x1, beside), as_tensor(x2, beside))
    return td.where(condition, a, b)


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first largest element along an axis; of the flattened tensor where it is None."""
    return _first(td.argmax, x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The index of the first smallest element along an axis; of the flattened tensor where it is None."""
    return _first(td.argmin, x, axis, keepdims)


def _first(find, x: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    if axis is None:
        found = find(x.reshape(-1), 0)
        return found.reshape((1,) * x.ndim) if keepdims else found
    return find(x, axis, keepdim=keepdims)


def searchsorted(x1: Tensor, x2: Tensor, /, *, side: str = "left", sorter: Tensor | None = None) -> Tensor:
    """Where each element of x2 goes in the sorted vector x1 (sorted by `sorter`): before or after equal elements."""
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted(): side must be 'left' or 'right', got {side!r}")
    a, b = promoted(x1 if sorter is None else x1[sorter], x2)
    return td.searchsorted(a, b.contiguous(), right=side == "right")


def isin(x1: Tensor | float, x2: Tensor | float, /, *, invert: bool = False) -> Tensor:
    """Whether each element of x1 is among those of x2."""
    return td.isin(x1, x2, invert=invert)


# -- order -------------------------------------------------------------------------------------------------------------
def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that sort x along an axis."""
    return td.sort(x, dim=axis, descending=descending, stable=stable)[1]


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The elements sorted along an axis."""
    return td.sort(x, dim=axis, descending=descending, stable=stable)[0]


# -- sets --------------------------------------------------------------------------------------------------------------
class UniqueAll(NamedTuple):
    """Results of `unique_all`."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """Results of `unique_counts`."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """Results of `unique_inverse`."""

    values: Tensor
    inverse_indices: Tensor


def _unique(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct elements in order (of complex numbers: by the real part first), the inverse, and the counts."""
    if x.is_complex():
        parts = td.view_as_real(x.reshape(-1).contiguous())
        rows, inverse, counts = td.unique(parts, dim=0, return_inverse=True, return_counts=True)
        values = td.view_as_complex(rows.contiguous())
    else:
        values, inverse, counts = td.unique(x.reshape(-1), return_inverse=True, return_counts=True)
    return values, inverse.reshape(x.shape), counts


def unique_all(x: Tensor, /) -> UniqueAll:
    """The distinct elements in order, where each occurs first, which one each element is, and how often each occurs."""
    values, inverse, counts = _unique(x)
    order = td.argsort(inverse.reshape(-1), stable=True)
    return UniqueAll(values, order[td.cumsum(counts, 0) - counts], inverse, counts)


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The distinct elements in order, and how often each occurs."""
    values, _, counts = _unique(x)
    return UniqueCounts(values, counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The distinct elements in order, and which one each element is."""
    values, inverse, _ = _unique(x)
    return UniqueInverse(values, inverse)


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct elements in order."""
    return _unique(x)[0]


__all__ = [
    "argmax",
    "argmin",
    "argsort",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "isin",
    "moveaxis",
    "nonzero",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "searchsorted",
    "sort",
    "squeeze",
    "stack",
    "take",
    "take_along_axis",
    "tile",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "where",
]
