"""Eigenvalues, singular values, and what follows from them: ranks, condition numbers, matrix functions, low-rank
approximations."""

from __future__ import annotations

from .linalg_checks import check_matrix, check_square
from .linalg_solve import threshold, tolerances
from .namespace import F
from .table import composite


def _mh(x):
    return F.conj(F.transpose(x, -2, -1))


def _follows(A) -> bool:
    """Whether a gradient may be wanted: it needs the vectors."""
    return F.is_grad_enabled() and A.requires_grad


def _lower(name, UPLO) -> bool:
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "L"


# -- eigenvalues -------------------------------------------------------------------------------------------------------
@composite(function=False, out=True)
def linalg_eigh(A, UPLO="L"):
    """(eigenvalues, eigenvectors) of Hermitian matrices [..., n, n]: real and ascending, orthonormal columns. Only the
    triangle UPLO of A is read. LinAlgError where the iteration does not converge."""
    check_square("linalg.eigh", A)
    found = F._linalg_eigh(A, _lower("linalg.eigh", UPLO), True, "linalg.eigh")
    return F.result_tuple("linalg_eigh", found)


@composite(function=False, out=True)
def linalg_eigvalsh(A, UPLO="L"):
    """The eigenvalues of Hermitian matrices, ascending."""
    check_square("linalg.eigvalsh", A)
    return F._linalg_eigh(A, _lower("linalg.eigvalsh", UPLO), _follows(A), "linalg.eigvalsh")[0]


@composite(function=False, out=True)
def linalg_eig(A):
    """(eigenvalues, eigenvectors) of square matrices [..., n, n], complex; the columns have norm 1, in no order."""
    check_square("linalg.eig", A)
    return F.result_tuple("linalg_eig", F._linalg_eig(A, True))


@composite(function=False, out=True)
def linalg_eigvals(A):
    """The eigenvalues of square matrices, complex, in no order."""
    check_square("linalg.eigvals", A)
    return F._linalg_eig(A, _follows(A))[0]


# -- singular values -----------------------------------------------------------------------------------------------------
def _driver(name, driver):
    if driver is not None:
        raise RuntimeError(
            f"{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        )


@composite(function=False, out=True)
def linalg_svd(A, full_matrices=True, *, driver=None):
    """(U, S, Vh) with A = U diag(S) Vh, S descending; U [..., m, m] and Vh [..., n, n], or with min(m, n) columns and rows
    where full_matrices is False. LinAlgError where the iteration does not converge."""
    check_matrix("linalg.svd", A)
    _driver("linalg.svd", driver)
    return F.result_tuple("linalg_svd", F._linalg_svd(A, full_matrices, True, "linalg.svd"))


@composite(function=False, out=True)
def linalg_svdvals(A, *, driver=None):
    """The singular values of matrices, descending."""
    check_matrix("linalg.svdvals", A)
    _driver("linalg.svdvals", driver)
    return F._linalg_svd(A, False, _follows(A), "linalg.svdvals")[1]


@composite(method=True, out=True)
def svd(input, some=True, compute_uv=True):
    """(U, S, V) with input = U diag(S) V^H. compute_uv=False: U and V are zeros."""
    check_matrix("linalg.svd", input)
    if not compute_uv:
        m, n = input.shape[-2], input.shape[-1]
        S = F.linalg_svdvals(input)
        U, V = (F.zeros((*input.shape[:-2], k, k), dtype=input.dtype) for k in (m, n))
        return F.result_tuple("svd", (U, S, V))
    U, S, Vh = F._linalg_svd(input, not some, True, "linalg.svd")
    return F.result_tuple("svd", (U, S, _mh(Vh)))


@composite(function=False, out=True)
def linalg_matrix_rank(A, tol=None, hermitian=False, *, atol=None, rtol=None):
    """The number of singular values (hermitian: absolute eigenvalues) above max(atol, rtol * the largest), int64 [...];
    rtol is eps * max(m, n) unless atol is given."""
    name = "linalg.matrix_rank"
    check_matrix(name, A)
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = tolerances(name, A, atol, rtol)
    A = A.detach()
    if hermitian:
        check_square(name, A)
        S = F.abs(F.linalg_eigvalsh(A))
    else:
        S = F.linalg_svdvals(A)
    if S.shape[-1] == 0:
        return F.zeros(S.shape[:-1], dtype=F.int64)
    return F.sum(F.unsqueeze(threshold(F.amax(S, -1), atol, rtol), -1) < S, -1)


@composite(function=False, out=True)
def linalg_cond(A, p=None):
    """The condition number of matrices in a norm: p None or 2, -2 (ratio of singular values), "fro", "nuc", inf, -inf, 1,
    -1 (||A|| ||A^-1||; inf for singular matrices)."""
    check_matrix("linalg.cond", A)
    if p is None or p in (2, -2):
        S = F.linalg_svdvals(A)
        if S.shape[-1] == 0:
            return F.zeros(S.shape[:-1], dtype=S.dtype)
        first, last = S[..., 0], S[..., -1]
        return last / first if p == -2 else first / last
    if p not in ("fro", "nuc", float("inf"), float("-inf"), 1, -1):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    check_square("linalg.cond", A)
    if A.numel() == 0:
        return F.sum(F.abs(A), (-2, -1))
    inverse, info = F.linalg_inv_ex(A)
    result = F.linalg_matrix_norm(A, p) * F.linalg_matrix_norm(inverse, p)
    return F.where(info > 0, F.full((), float("inf"), dtype=result.dtype), result)


@composite(method=False)
def nuclear_norm(input, dim=None, keepdim=False, out=None):
    """The sum of the singular values of a matrix, or over two dimensions."""
    if dim is None:
        check_matrix("nuclear_norm", input)
        if input.dim() != 2:
            raise RuntimeError(f"Expected a tensor with 2 dimensions, but got a tensor with {input.dim()} dimensions")
        dim = (0, 1)
    return F.write_out("nuclear_norm", F.linalg_matrix_norm(input, "nuc", dim, keepdim), out)


# -- functions of matrices ---------------------------------------------------------------------------------------------
@composite(function=False)
def linalg_matrix_exp(A):
    """The exponential of square matrices [..., n, n]: scaling and squaring of a Taylor polynomial of degree 18 (Bader,
    Blanes, Casas, 2019)."""
    check_square("linalg.matrix_exp", A)
    return F._linalg_matrix_exp(A)


@composite(method=True)
def matrix_exp(input):
    """linalg.matrix_exp."""
    return F.linalg_matrix_exp(input)


# -- low rank ------------------------------------------------------------------------------------------------------------
def _range(A, q, niter, M):
    """Orthonormal columns that span most of A's range (Halko, Martinsson, Tropp, 2011, algorithms 4.4 and 5.1)."""
    R = F.randn(A.shape[-1], q, dtype=A.dtype)
    Ah = _mh(A)

    def times(matrix, offset, X):
        found = F.matmul(matrix, X)
        return found if offset is None else found - F.matmul(offset, X)

    Mh = None if M is None else _mh(M)
    Q = F.linalg_qr(times(A, M, R))[0]
    for _ in range(niter):
        Q = F.linalg_qr(times(Ah, Mh, Q))[0]
        Q = F.linalg_qr(times(A, M, Q))[0]
    return Q


@composite()
def svd_lowrank(A, q=6, niter=2, M=None):
    """(U, S, V) of a matrix of about rank q [..., m, n], or of A - M, from random projections: U [..., m, q]."""
    check_matrix("svd_lowrank", A)
    q = 6 if q is None else q
    m, n = A.shape[-2], A.shape[-1]
    if M is not None:
        M = F.broadcast_to(M, A.shape)
    if m < n:
        V, S, U = svd_lowrank(_mh(A), q, niter, None if M is None else _mh(M))
        return U, S, V
    Q = _range(A, q, 2 if niter is None else niter, M)
    B = F.matmul(_mh(Q), A)
    if M is not None:
        B = B - F.matmul(_mh(Q), M)
    U, S, Vh = F.linalg_svd(B, False)
    return F.matmul(Q, U), S, _mh(Vh)


@composite()
def pca_lowrank(A, q=None, center=True, niter=2):
    """(U, S, V): principal components of the rows of A [..., m, n] from random projections; V's columns are the
    directions. q defaults to min(6, m, n)."""
    check_matrix("pca_lowrank", A)
    m, n = A.shape[-2], A.shape[-1]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if center:
        A = A - F.mean(A, -2, True)
    return F.svd_lowrank(A, q, niter)


# -- names that are gone ---------------------------------------------------------------------------------------------------
def _removed(name, instead):
    def call(input, *args, **kwargs):
        raise RuntimeError(f"{name}() was removed from PyTorch's interface: use {instead} instead.")

    call.__doc__ = f"Removed: {instead} takes its place."
    call.__name__ = call.__qualname__ = name
    return call


for _name, _instead in (
    ("eig", "linalg.eig or linalg.eigvals"),
    ("symeig", "linalg.eigh or linalg.eigvalsh"),
    ("lstsq", "linalg.lstsq (its arguments are the other way round)"),
    ("solve", "linalg.solve (its arguments are the other way round)"),
    ("matrix_rank", "linalg.matrix_rank"),
):
    composite(_name, method=_name != "matrix_rank", opcheck=False)(_removed(_name, _instead))
