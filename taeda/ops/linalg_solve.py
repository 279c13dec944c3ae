"""Systems of linear equations, inverses, determinants and least squares."""

from __future__ import annotations

from .helpers import product, wrap_dim
from .linalg_checks import (
    broadcast_batches,
    check_field,
    check_matrix,
    check_same_dtype,
    check_square,
    is_vector_side,
)
from .linalg_host import pinv_gradient
from .namespace import F
from .table import composite


def _mh(x):
    return F.conj(F.transpose(x, -2, -1))


# -- square systems ----------------------------------------------------------------------------------------------------
def _solve(name, A, B, left, check):
    """(X, info)"""
    check_square(name, A)
    check_field(name, B, "B")
    check_same_dtype(name, A, B)
    vector = is_vector_side(A, B)
    if vector and not left:
        raise RuntimeError(
            f"{name}: Vector broadcasting of the left hand side is not supported for left=False. In this case {name} is "
            "equivalent to B / A.squeeze(-1)"
        )
    if vector:
        B = F.unsqueeze(B, -1)
    if B.dim() < 2 or A.shape[-1] != B.shape[-2 if left else -1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B ({A.shape[-2]}x"
            f"{A.shape[-1]} and {B.shape[-2] if B.dim() > 1 else 1}x{B.shape[-1]})"
        )
    trans = "N"
    if not left:
        B, trans = F.transpose(B, -2, -1), "T"
    LU, pivots, info = F._linalg_lu_plain(A.detach(), check)
    if A.shape[:-2] != B.shape[:-2]:
        A, B = broadcast_batches(name, A, B)
        LU = F.expand(LU, A.shape)
        pivots = F.expand(pivots, A.shape[:-1])
    X = F._linalg_lu_solve(A, B, LU, pivots, trans)
    if not left:
        X = F.transpose(X, -2, -1)
    return (F._squeeze(X, -1) if vector else X), info


@composite(function=False, out=True)
def linalg_solve(A, B, *, left=True):
    """X with A X = B (left=False: X A = B) for square matrices A [..., n, n]; B is [..., n, k], or [..., n] beside as many
    matrices. Batch dimensions broadcast. LinAlgError where a matrix is singular."""
    return _solve("linalg.solve", A, B, left, "linalg.solve")[0]


@composite(function=False, out=True)
def linalg_solve_ex(A, B, *, left=True, check_errors=False):
    """(result, info): solve that does not raise; info is the place of the first zero on U's diagonal, or 0."""
    name = "linalg.solve_ex"
    return F.result_tuple("linalg_solve_ex", _solve(name, A, B, left, name if check_errors else ""))


@composite(function=False, out=True)
def linalg_inv(A):
    """The inverse of square matrices [..., n, n]. LinAlgError where one is singular."""
    check_square("linalg.inv", A)
    return F._linalg_inverse(A, "linalg.inv")[0]


@composite(method=True, out=True)
def inverse(input):
    """linalg.inv under its older name."""
    return F.linalg_inv(input)


@composite(function=False, out=True)
def linalg_inv_ex(A, *, check_errors=False):
    """(inverse, info): inv that does not raise."""
    check_square("linalg.inv_ex", A)
    return F.result_tuple("linalg_inv_ex", F._linalg_inverse(A, "linalg.inv" if check_errors else ""))


@composite(function=False, out=True)
def linalg_solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    """X with A X = B (left=False: X A = B), A triangular; only its triangle is read (unitriangular: not the diagonal,
    which is 1). Batch dimensions broadcast."""
    name = "linalg.solve_triangular"
    check_square(name, A)
    check_matrix(name, B, "B")
    check_same_dtype(name, A, B)
    if A.shape[-1] != B.shape[-2 if left else -1]:
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B ({A.shape[-2]}x"
            f"{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    A, B = broadcast_batches(name, A, B)
    return F._linalg_triangular(A, B, upper, left, unitriangular)


@composite(method=True, out=True)
def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False):
    """(solution, cloned_coefficient): linalg.solve_triangular with its arguments in the older order."""
    name = "triangular_solve"
    check_square(name, A)
    check_matrix(name, b, "b")
    check_same_dtype(name, b, A, "b", "A")
    if A.shape[-1] != b.shape[-2]:
        raise RuntimeError(
            f"{name}: Incompatible matrix sizes: each A matrix is {A.shape[-1]} by {A.shape[-1]} but each b matrix is "
            f"{b.shape[-2]} by {b.shape[-1]}"
        )
    A, b = broadcast_batches(name, A, b)
    T = F.transpose(A, -2, -1) if transpose else A
    X = F._linalg_triangular(T, b, upper != transpose, True, unitriangular)
    return F.result_tuple(name, (X, A.clone()))


@composite(function=False, out=True)
def linalg_tensorinv(A, ind=2):
    """The tensor B with tensordot(B, A, ind) the identity: A's first `ind` sizes have the product of the others."""
    check_field("linalg.tensorinv", A)
    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    head, tail = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    rows, columns = product(head), product(tail)
    if rows != columns:
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{columns} != {rows}"
        )
    return F.reshape(F.linalg_inv(F.reshape(A, (rows, columns))), (*tail, *head))


@composite(function=False, out=True)
def linalg_tensorsolve(A, B, dims=None):
    """X with tensordot(A, X, X.dim()) = B; `dims` of A are moved to its end first."""
    check_field("linalg.tensorsolve", A)
    if dims is not None:
        ends = sorted({wrap_dim(d, A.dim()) for d in dims})
        order = [wrap_dim(d, A.dim()) for d in dims]
        A = F.permute(A, [d for d in range(A.dim()) if d not in ends] + order)
    left = tuple(A.shape[B.dim() :])
    rows, columns = product(A.shape[: B.dim()]), product(left)
    if rows != columns or rows != B.numel():
        raise RuntimeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), "
            f"but got {columns} != {rows}"
        )
    return F.reshape(F.linalg_solve(F.reshape(A, (rows, columns)), F.reshape(B, (-1,))), left)


# -- determinants ------------------------------------------------------------------------------------------------------
@composite(function=False, out=True)
def linalg_det(A):
    """The determinant of square matrices [..., n, n]."""
    check_square("linalg.det", A)
    return F._linalg_det(A)


@composite(method=True)
def det(input):
    """linalg.det."""
    return F.linalg_det(input)


@composite(function=False, out=True)
def linalg_slogdet(A):
    """(sign, logabsdet) of the determinant; sign has absolute value 1, or is 0 where the matrix is singular."""
    check_square("linalg.slogdet", A)
    return F.result_tuple("linalg_slogdet", F._linalg_slogdet(A)[:2])


@composite(method=True, out=True)
def slogdet(input):
    """linalg.slogdet."""
    check_square("slogdet", input)
    return F.result_tuple("slogdet", F._linalg_slogdet(input)[:2])


@composite(method=True)
def logdet(input):
    """The logarithm of the determinant: NaN where that is negative, -inf where it is 0."""
    check_square("logdet", input)
    sign, logabs = F._linalg_slogdet(input)[:2]
    if input.is_complex():
        return F.log(sign) + logabs
    return F.where(sign == -1.0, float("nan"), logabs)


# -- pseudo-inverses and least squares -----------------------------------------------------------------------------------
def precision(dtype) -> int:
    """1 / eps of a dtype, or of its parts."""
    return 2**23 if dtype in (F.float32, F.complex64) else 2**52


def tolerances(name, A, atol, rtol):
    """(atol, rtol): rtol is eps * max(m, n) unless given, and 0 where a positive atol is given without it."""
    for what, x in (("atol", atol), ("rtol", rtol)):
        if isinstance(x, F.Tensor) and x.is_complex():
            raise RuntimeError(f"{name}: {what} tensor of complex type is not supported.")
    usual = max(A.shape[-2], A.shape[-1]) / precision(A.dtype)
    if rtol is None:
        if isinstance(atol, F.Tensor):
            rtol = F.where(atol > 0, F.zeros_like(atol), F.full_like(atol, usual))
        else:
            rtol = 0.0 if atol is not None and atol > 0 else usual
    return (0.0 if atol is None else atol), rtol


def threshold(largest, atol, rtol):
    """max(atol, rtol * largest), `largest` [...] beside numbers or tensors that broadcast with it."""
    relative = largest * (F.cast(rtol, largest.dtype) if isinstance(rtol, F.Tensor) else rtol)
    if isinstance(atol, F.Tensor):
        return F.maximum(F.cast(atol, largest.dtype), relative)
    return F.clamp(relative, min=atol)


@composite(
    "_linalg_pinv", function=False, params="Tensor A, object atol, object rtol, bool hermitian", grad=pinv_gradient
)
def _pinv(A, atol, rtol, hermitian):
    if hermitian:
        S, U = F._linalg_eigh(A, True, True, "linalg.pinv")
        V, size = _mh(U), F.abs(S)
    else:
        U, S, V = F._linalg_svd(A, False, True, "linalg.pinv")
        size = S
    limit = threshold(F.amax(size, -1), atol, rtol)
    inverse = F.where(size > F.unsqueeze(limit, -1), F.reciprocal(S), F.zeros_like(S))
    return F.matmul(_mh(V) * F.unsqueeze(inverse, -2), _mh(U))


@composite(function=False, out=True)
def linalg_pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None):
    """The Moore-Penrose inverse of matrices [..., m, n]: singular values up to max(atol, rtol * the largest) count as 0
    (rtol: eps * max(m, n) unless atol is given). hermitian: by eigenvalues, from A's lower triangle."""
    check_matrix("linalg.pinv", A)
    if hermitian:
        check_square("linalg.pinv", A)
    if rcond is not None:
        atol, rtol = 0.0, rcond
    atol, rtol = tolerances("linalg.pinv", A, atol, rtol)
    if A.shape[-1] == 0 or A.shape[-2] == 0:
        return F.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), dtype=A.dtype)
    return F._linalg_pinv(A, atol, rtol, hermitian)


@composite(method=True)
def pinverse(input, rcond=1e-15):
    """linalg.pinv with a relative tolerance."""
    return F.linalg_pinv(input, rcond)


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@composite(function=False)
def linalg_lstsq(A, B, rcond=None, *, driver=None):
    """(solution, residuals, rank, singular_values): X that makes ||A X - B|| least; A [..., m, n], B [..., m, k] or [..., m].

    driver: "gelsy" (default; QR with pivoting), "gels" (QR; A of full rank), "gelsd" or "gelss" (SVD). rcond: singular
    values up to rcond * the largest count as 0 (default eps * max(m, n)). residuals: squared, for m > n, full rank
    and a driver other than gelsy, else empty; rank is empty for gels, singular_values is for all but gelsd and gelss.
    """
    name = "linalg.lstsq"
    check_field(name, A, "input")
    check_same_dtype(name, A, B, "input", "other")
    if A.dim() < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions, got {A.dim()}.")
    if B.dim() < 1 or not 0 <= A.dim() - B.dim() <= 1:
        raise RuntimeError(
            f"{name}: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1, got "
            f"{A.dim()} and {B.dim()}"
        )
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss), got {driver!r}")
    vector = A.dim() > B.dim()
    if vector:
        B = F.unsqueeze(B, -1)
    m, n = A.shape[-2], A.shape[-1]
    if B.shape[-2] != m or tuple(A.shape[:-2]) != tuple(B.shape[:-2]):
        raise RuntimeError(
            f"{name}: input and other must have as many rows and equal batch dimensions, got {list(A.shape)} and "
            f"{list(B.shape)}"
        )
    driver = driver or "gelsy"
    limit = "" if rcond is None else float(rcond).hex()
    whole, rank, values = F._linalg_lstsq(A.detach(), B.detach(), driver, limit)
    X = F._linalg_lstsq_solution(A, B, F.narrow(whole, -2, 0, n))
    residuals = F.zeros((0,), dtype=values.dtype)
    if m > n and driver != "gelsy" and (driver == "gels" or bool((rank == n).all())):
        residuals = F.sum(F.square(F.abs(F.matmul(A, X) - B)), -2)
    if driver == "gels":
        rank = F.zeros((0,), dtype=F.int64)
    if driver in ("gels", "gelsy"):
        values = F.zeros((0,), dtype=values.dtype)
    if vector:
        X = F._squeeze(X, -1)
    return F.result_tuple("linalg_lstsq", (X, residuals, rank, values))
