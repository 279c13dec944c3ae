"""The extension `linalg` of the array API standard."""

from __future__ import annotations

from typing import Any, NamedTuple

import taeda as td
from taeda import Tensor, dtype

from ._dtypes import promoted
from ._manipulation import Axes, axis_of
from ._products import matmul, matrix_transpose, tensordot, vecdot
from ._reductions import sum


class EighResult(NamedTuple):
    """Results of `eigh`."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """Results of `qr`."""

    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    """Results of `slogdet`."""

    sign: Tensor
    logabsdet: Tensor


class SVDResult(NamedTuple):
    """Results of `svd`."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The triangular factor of (batches of) positive definite matrices."""
    return td.linalg.cholesky(x, upper=upper)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The cross product along an axis of size 3."""
    a, b = promoted(x1, x2)
    if not -min(a.ndim, b.ndim) <= axis < 0:
        raise IndexError(f"cross(): axis {axis} is out of range for shapes {tuple(a.shape)} and {tuple(b.shape)}")
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ValueError(f"cross(): axis {axis} of shapes {tuple(a.shape)} and {tuple(b.shape)} must have size 3")
    a, b = td.broadcast_tensors(a, b)
    return td.linalg.cross(a, b, dim=axis)


def det(x: Tensor, /) -> Tensor:
    """The determinant of (batches of) square matrices."""
    return td.linalg.det(x)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """A diagonal of (batches of) matrices."""
    return td.diagonal(x, offset=offset, dim1=-2, dim2=-1)


def eigh(x: Tensor, /) -> EighResult:
    """The eigenvalues in ascending order and eigenvectors of (batches of) Hermitian matrices."""
    return EighResult(*td.linalg.eigh(x))


def eigvalsh(x: Tensor, /) -> Tensor:
    """The eigenvalues in ascending order of (batches of) Hermitian matrices."""
    return td.linalg.eigvalsh(x)


def inv(x: Tensor, /) -> Tensor:
    """The inverse of (batches of) square matrices."""
    return td.linalg.inv(x)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """A norm of (batches of) matrices: "fro", "nuc", inf, -inf, 1, -1, 2 or -2."""
    return td.linalg.matrix_norm(x, ord=ord, keepdim=keepdims)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """The n-th power of (batches of) square matrices."""
    return td.linalg.matrix_power(x, n)


def matrix_rank(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """How many singular values of (batches of) matrices exceed rtol times the largest one."""
    return td.linalg.matrix_rank(x, rtol=rtol)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The products of every element of one vector with every element of another."""
    return td.outer(*promoted(x1, x2))


def pinv(x: Tensor, /, *, rtol: float | Tensor | None = None) -> Tensor:
    """The pseudoinverse of (batches of) matrices; singular values up to rtol times the largest one count as zero."""
    return td.linalg.pinv(x, rtol=rtol)


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """The QR decomposition of (batches of) matrices; mode: "reduced" or "complete"."""
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr(): mode must be 'reduced' or 'complete', got {mode!r}")
    return QRResult(*td.linalg.qr(x, mode=mode))


def slogdet(x: Tensor, /) -> SlogdetResult:
    """The sign and the logarithm of the absolute determinant of (batches of) square matrices."""
    return SlogdetResult(*td.linalg.slogdet(x))


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The solution of x1 @ x = x2. x2 is a vector, or (batches of) matrices: never a batch of vectors."""
    a, b = promoted(x1, x2)
    if b.ndim == 1:
        return td.linalg.solve(a, b[:, None])[..., 0]
    batch = td.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return td.linalg.solve(a.expand((*batch, *a.shape[-2:])), b.expand((*batch, *b.shape[-2:])))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition of (batches of) matrices."""
    return SVDResult(*td.linalg.svd(x, full_matrices=full_matrices))


def svdvals(x: Tensor, /) -> Tensor:
    """The singular values of (batches of) matrices in descending order."""
    return td.linalg.svdvals(x)


def trace(x: Tensor, /, *, offset: int = 0, dtype: dtype | None = None) -> Tensor:
    """The sum of a diagonal of (batches of) matrices."""
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vector_norm(x: Tensor, /, *, axis: Axes | None = None, keepdims: bool = False, ord: float = 2) -> Tensor:
    """The p-norm over axes (all where None), p = ord."""
    if axis == ():  # PyTorch: over all
        x, axis = x[..., None], -1
        keepdims = False
    dims = (
        None
        if axis is None
        else [axis_of(a, x.ndim, "vector_norm") for a in ((axis,) if isinstance(axis, int) else axis)]
    )
    return td.linalg.vector_norm(x, ord=ord, dim=dims, keepdim=keepdims)


__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
