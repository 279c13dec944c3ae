"""Factorisations: Cholesky, LU, QR, LDL, and products of Householder reflections."""

from __future__ import annotations

from .linalg_checks import (
    batch_shape,
    broadcast_batches,
    check_field,
    check_matrix,
    check_same_dtype,
    check_square,
    dtype_name,
)
from .linalg_host import rows
from .namespace import F
from .table import composite


def _checked(name: str, check_errors: bool) -> str:
    return name if check_errors else ""


def _mh(x):
    return F.conj(F.transpose(x, -2, -1))


# -- Cholesky ----------------------------------------------------------------------------------------------------------
@composite(function=False, out=True)
def linalg_cholesky(A, *, upper=False):
    """The lower triangular L with A = L L^H of Hermitian positive-definite matrices [..., n, n]; upper: U = L^H.

    Only one triangle of A is read. LinAlgError where a matrix is not positive-definite.
    """
    check_square("linalg.cholesky", A)
    return F._linalg_cholesky(A, upper, "linalg.cholesky")[0]


@composite(function=False, out=True)
def linalg_cholesky_ex(A, *, upper=False, check_errors=False):
    """(L, info): cholesky that does not raise; info [...] int32 is 0, or the order of the minor that is not positive."""
    check_square("linalg.cholesky_ex", A)
    L, info = F._linalg_cholesky(A, upper, _checked("linalg.cholesky_ex", check_errors))
    return F.result_tuple("linalg_cholesky_ex", (L, info))


@composite(method=True, out=True)
def cholesky(input, upper=False):
    """The Cholesky factor of Hermitian positive-definite matrices (see linalg.cholesky)."""
    check_square("cholesky", input)
    return F._linalg_cholesky(input, upper, "cholesky")[0]


@composite(method=True, out=True)
def cholesky_solve(input, input2, upper=False):
    """The solution X of A X = input from the Cholesky factor input2 of A; both [..., n, k] and [..., n, n]."""
    check_matrix("cholesky_solve", input, "b")
    check_square("cholesky_solve", input2, "u")
    check_same_dtype("cholesky_solve", input, input2, "b", "u")
    _same_rows("cholesky_solve", input2, input, True)
    L, B = broadcast_batches("cholesky_solve", input2, input)
    first, second = (_mh(L), L) if upper else (L, _mh(L))
    half = F._linalg_triangular(first, B, False, True, False)
    return F._linalg_triangular(second, half, True, True, False)


@composite(method=True, out=True)
def cholesky_inverse(input, upper=False):
    """The inverse of A from its Cholesky factor [..., n, n]."""
    check_square("cholesky_inverse", input)
    eye = F.expand(F.eye(input.shape[-1], dtype=input.dtype), input.shape)
    half = F._linalg_triangular(_mh(input) if upper else input, eye, False, True, False)
    return F.matmul(_mh(half), half)


def _same_rows(name, A, B, left):
    if A.shape[-2] != (B.shape[-2] if left else B.shape[-1]):
        wrong = f"{A.shape[-2]}x{A.shape[-1]} and {B.shape[-2]}x{B.shape[-1]}"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B ({wrong})"
        )


# -- LU ----------------------------------------------------------------------------------------------------------------
def _need_pivot(name, pivot):
    if not pivot:
        raise RuntimeError(f"{name}: LU without pivoting is not implemented on the CPU")


@composite(function=False, out=True)
def linalg_lu_factor(A, *, pivot=True):
    """(LU, pivots) of matrices [..., m, n]: L below the diagonal (its own is 1), U above, and the row exchanges, counted
    from 1, as int32 [..., min(m, n)]."""
    check_matrix("linalg.lu_factor", A)
    _need_pivot("linalg.lu_factor", pivot)
    LU, pivots, _ = F._linalg_lu(A, "linalg.lu_factor")
    return F.result_tuple("linalg_lu_factor", (LU, pivots))


@composite(function=False, out=True)
def linalg_lu_factor_ex(A, *, pivot=True, check_errors=False):
    """(LU, pivots, info): lu_factor that does not raise; info is the place of the first zero on U's diagonal, or 0."""
    check_matrix("linalg.lu_factor_ex", A)
    _need_pivot("linalg.lu_factor_ex", pivot)
    found = F._linalg_lu(A, _checked("linalg.lu_factor_ex", check_errors))
    return F.result_tuple("linalg_lu_factor_ex", found)


def _unpacked(LU, pivots, data, permutation):
    m, n = LU.shape[-2], LU.shape[-1]
    k = min(m, n)
    P = L = U = F.zeros((0,), dtype=LU.dtype)
    if data:
        L = F.tril(LU[..., :k], -1) + F.eye(m, k, dtype=LU.dtype)
        U = F.triu(LU[..., :k, :])
    if permutation:
        _, inverse = F._linalg_permutation(pivots, m)
        P = F.cast(F.unsqueeze(inverse, -1) == F.arange(m), LU.dtype)
    return P, L, U


@composite(function=False, out=True)
def linalg_lu(A, *, pivot=True):
    """(P, L, U) with A = P L U: a permutation [..., m, m], unit lower [..., m, k] and upper triangular [..., k, n]."""
    check_matrix("linalg.lu", A)
    _need_pivot("linalg.lu", pivot)
    LU, pivots, _ = F._linalg_lu(A, "")
    return F.result_tuple("linalg_lu", _unpacked(LU, pivots, True, True))


@composite(out=True)
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True):
    """(P, L, U) of what lu_factor gives; parts that are not asked for are empty."""
    check_matrix("lu_unpack", LU_data, "LU_data")
    if LU_pivots.dtype is not F.int32:
        raise RuntimeError(f"lu_unpack: LU_pivots must be int32, as lu_factor gives them, got {LU_pivots.dtype}")
    return F.result_tuple("lu_unpack", _unpacked(LU_data, LU_pivots, unpack_data, unpack_pivots))


@composite(method=True)
def lu(A, pivot=True, get_infos=False, out=None):
    """(LU, pivots), with get_infos also info: linalg.lu_factor under its older name."""
    check_matrix("lu", A)
    _need_pivot("lu", pivot)
    found = F._linalg_lu(A, _checked("lu", not get_infos))
    result = tuple(found[: 3 if get_infos else 2])
    return result if out is None else F.write_pair("lu", result, out)


@composite(function=False, out=True)
def linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False):
    """The solution of A X = B (left=False: X A = B; adjoint: A^H in A's place) from lu_factor(A)."""
    name = "linalg.lu_solve"
    check_square(name, LU, "LU")
    check_matrix(name, B, "B")
    check_same_dtype(name, LU, B, "LU", "B")
    if pivots.dtype is not F.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of dtype int32, got {pivots.dtype}")
    if tuple(pivots.shape) != tuple(LU.shape[:-1]):
        raise RuntimeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix: got pivots "
            f"{list(pivots.shape)} for LU {list(LU.shape)}"
        )
    _same_rows(name, LU, B, left)
    if not left:
        return F.transpose(_lu_solved(name, LU, pivots, F.transpose(B, -2, -1), not adjoint, True), -2, -1)
    return _lu_solved(name, LU, pivots, B, adjoint, False)


def _lu_solved(name, LU, pivots, B, turned, conjugate):
    """P L U X = B, with `turned` its adjoint's solution; `conjugate`: of the conjugated matrix."""
    n = LU.shape[-1]
    batch = batch_shape(name, LU.shape[:-2], B.shape[:-2])
    order, inverse = F._linalg_permutation(pivots, n)
    LU, B = F.expand(LU, (*batch, n, n)), F.expand(B, (*batch, *B.shape[-2:]))
    order, inverse = F.expand(order, (*batch, n)), F.expand(inverse, (*batch, n))
    if conjugate:
        LU = F.conj(LU)
    if not turned:
        half = F._linalg_triangular(LU, rows(B, order), False, True, True)
        return F._linalg_triangular(LU, half, True, True, False)
    # Of the transpose where X A = B is solved, of the adjoint where that is asked for.
    T = _mh(LU)
    half = F._linalg_triangular(T, B, False, True, False)
    return rows(F._linalg_triangular(T, half, True, True, True), inverse)


@composite(method=True, out=True)
def lu_solve(b, LU_data, LU_pivots):
    """linalg.lu_solve with its arguments in the older order."""
    return F.linalg_lu_solve(LU_data, LU_pivots, b)


# -- QR ----------------------------------------------------------------------------------------------------------------
@composite(function=False, out=True)
def linalg_qr(A, mode="reduced"):
    """(Q, R) with A = Q R, Q's columns orthonormal, R upper triangular. mode: "reduced" (Q [..., m, k], k = min(m, n)),
    "complete" (Q [..., m, m]) or "r" (Q empty)."""
    check_matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced', 'r', or 'complete'")
    return F.result_tuple("linalg_qr", F._linalg_qr(A, mode))


@composite(method=True, out=True)
def qr(input, some=True):
    """linalg.qr under its older name: some=False is mode="complete"."""
    check_matrix("qr", input)
    return F.result_tuple("qr", F._linalg_qr(input, "reduced" if some else "complete"))


@composite(method=True, out=True)
def geqrf(input):
    """(a, tau): R on and above the diagonal of a, and below it the Householder vectors whose factors are tau."""
    check_matrix("geqrf", input, "input")
    return F.result_tuple("geqrf", F._linalg_geqrf(input))


def _reflections(V, tau):
    """(V unit lower trapezoidal, T) with H_1 ... H_k = I - V T V^H (Schreiber and Van Loan's compact form, 1989)."""
    k = tau.shape[-1]
    V = F.tril(V[..., :k], -1) + F.eye(V.shape[-2], k, dtype=V.dtype)
    D = F.diag_embed(tau)
    N = F.triu(F.matmul(_mh(V), V), 1)
    eye = F.eye(k, dtype=V.dtype)
    return V, F._linalg_triangular(eye + F.matmul(N, D), D, True, False, False)


def _check_reflections(name, A, tau):
    check_matrix(name, A, "input")
    check_field(name, tau, "tau")
    if A.dtype is not tau.dtype:
        raise RuntimeError(
            f"{name}: tau dtype {dtype_name(tau)} does not match input dtype {dtype_name(A)}",
        )
    if A.dim() - tau.dim() != 1 or tuple(A.shape[:-2]) != tuple(tau.shape[:-1]):
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to those of input, but got input {list(A.shape)} and "
            f"tau {list(tau.shape)}"
        )
    if A.shape[-1] < tau.shape[-1]:
        raise RuntimeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1], got {A.shape[-1]} and {tau.shape[-1]}"
        )


@composite(function=False, out=True)
def linalg_householder_product(A, tau):
    """The first n columns of H_1 ... H_k: reflections I - tau_i v_i v_i^H whose vectors lie below the diagonal of
    A [..., m, n], tau [..., k], k <= n <= m."""
    name = "linalg.householder_product"
    _check_reflections(name, A, tau)
    if A.shape[-2] < A.shape[-1]:
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1], got {list(A.shape)}"
        )
    V, T = _reflections(A, tau)
    n = A.shape[-1]
    return F.eye(A.shape[-2], n, dtype=A.dtype) - F.matmul(V, F.matmul(T, _mh(V[..., :n, :])))


@composite(method=True, out=True)
def orgqr(input, input2):
    """linalg.householder_product under its older name."""
    return F.linalg_householder_product(input, input2)


@composite(method=True, out=True)
def ormqr(input, input2, input3, left=True, transpose=False):
    """Q other (left=False: other Q; transpose: Q^H in Q's place), Q the product of the reflections in input and tau
    (input2), as a square matrix; other is input3."""
    A, tau, C = input, input2, input3
    _check_reflections("ormqr", A, tau)
    check_same_dtype("ormqr", A, C, "input", "other")
    side = C.shape[-2] if left else C.shape[-1]
    if C.dim() < 2 or side < tau.shape[-1] or side != A.shape[-2]:
        raise RuntimeError(
            f"ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2], got {list(C.shape)} and "
            f"{list(A.shape)}"
        )
    V, T = _reflections(A, tau)
    if transpose:
        T = _mh(T)
    if left:
        return C - F.matmul(V, F.matmul(T, F.matmul(_mh(V), C)))
    return C - F.matmul(F.matmul(F.matmul(C, V), T), _mh(V))


# -- LDL ---------------------------------------------------------------------------------------------------------------
@composite(function=False, out=True)
def linalg_ldl_factor(A, *, hermitian=False):
    """(LD, pivots) of symmetric (hermitian: Hermitian) matrices by Bunch and Kaufman's pivoting, as LAPACK's sytrf packs
    them. Only the lower triangle of A is read. LinAlgError where D is singular."""
    check_square("linalg.ldl_factor", A)
    LD, pivots, _ = F._linalg_ldl(A, hermitian, "linalg.ldl_factor")
    return F.result_tuple("linalg_ldl_factor", (LD, pivots))


@composite(function=False, out=True)
def linalg_ldl_factor_ex(A, *, hermitian=False, check_errors=False):
    """(LD, pivots, info): ldl_factor that does not raise."""
    check_square("linalg.ldl_factor_ex", A)
    found = F._linalg_ldl(A, hermitian, _checked("linalg.ldl_factor_ex", check_errors))
    return F.result_tuple("linalg_ldl_factor_ex", found)


@composite(function=False, out=True)
def linalg_ldl_solve(LD, pivots, B, *, hermitian=False):
    """The solution of A X = B from ldl_factor(A)."""
    name = "linalg.ldl_solve"
    check_square(name, LD, "LD")
    check_matrix(name, B, "B")
    check_same_dtype(name, LD, B, "LD", "B")
    _same_rows(name, LD, B, True)
    if pivots.dtype is not F.int32:
        raise RuntimeError(f"{name}: Expected pivots to be integers (int32). Got {dtype_name(pivots)}")
    if tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise RuntimeError(f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, got {list(pivots.shape)}")
    batch = batch_shape(name, LD.shape[:-2], B.shape[:-2])
    n = LD.shape[-1]
    LD, pivots = F.expand(LD, (*batch, n, n)), F.expand(pivots, (*batch, n))
    return F._linalg_ldl_solve(LD, pivots, F.expand(B, (*batch, *B.shape[-2:])), hermitian)
