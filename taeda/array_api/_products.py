"""Products of vectors and matrices, in the namespace and in its extension `linalg`."""

from __future__ import annotations

from collections.abc import Sequence

import taeda as td
from taeda import Tensor

from ._dtypes import promoted


def matmul(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The product of (batches of) matrices; a vector is a row at the left and a column at the right."""
    return td.matmul(*promoted(x1, x2))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes exchanged."""
    return x.mT


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Tensor:
    """The sum of products over axes: the last `axes` of x1 with the first ones of x2, or the two lists of axes."""
    a, b = promoted(x1, x2)
    return td.tensordot(a, b, dims=axes if isinstance(axes, int) else tuple(list(side) for side in axes))


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The dot product along an axis, x1 conjugated; the other axes broadcast."""
    a, b = promoted(x1, x2)
    if not -min(a.ndim, b.ndim) <= axis < 0:
        raise IndexError(f"vecdot(): axis {axis} is out of range for shapes {tuple(a.shape)} and {tuple(b.shape)}")
    if a.shape[axis] != b.shape[axis]:
        raise ValueError(f"vecdot(): axis {axis} of shapes {tuple(a.shape)} and {tuple(b.shape)} differs in size")
    a, b = td.broadcast_tensors(a, b)
    a, b = td.movedim(a, axis, -1), td.movedim(b, axis, -1)
    return td.matmul((a.conj() if a.is_complex() else a)[..., None, :], b[..., None])[..., 0, 0]


__all__ = [
    "matmul",
    "matrix_transpose",
    "tensordot",
    "vecdot",
]
