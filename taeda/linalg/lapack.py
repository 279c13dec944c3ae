"""LAPACK: the routines of OpenBLAS that the operators of linear algebra are computed by.

Each function here belongs to one host operator (`taeda/ops/linalg_factor.py` and its neighbours): it takes contiguous tensors with
batch dimensions in front, works on copies, and returns new tensors. The library (package scipy-openblas32) is loaded by
the first call. A batch is one call of the core's loop, which calls the routine once a matrix.

Matrices are row-major here and column-major there. A transposed copy makes the difference, except where the algorithm is
indifferent: the triangle of a Hermitian matrix, the two sides of a triangular system and of a singular value
decomposition just change places.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int32
from pathlib import Path
from typing import Any

from .. import _core
from ..ops.linalg_solve import precision
from ..ops.namespace import F
from .errors import LinAlgError

Tensor = _core.Tensor

_LETTER = {"f32": "s", "f64": "d", "c64": "c", "c128": "z"}
_REAL = {"c64": _core.float32, "c128": _core.float64}
_COMPLEX = {"f32": _core.complex64, "f64": _core.complex128}
#: Names of the routines on complex matrices, where they differ from those on real ones.
_HERMITIAN = {"syevd": "heevd", "sytrf": "hetrf", "sytrs": "hetrs", "orgqr": "ungqr"}

_library: Any = None
_routines: dict[str, int] = {}
_threads = 0
#: Rows from which on a matrix is worth several threads.
_LARGE = 192
#: Elements of a batch that are.
_GRAIN = 1 << 14


def _load() -> Any:
    global _library
    if _library is None:
        import scipy_openblas32

        _library = ctypes.CDLL(str(Path(scipy_openblas32.get_lib_dir()) / "libscipy_openblas.so"))
    return _library


def _routine(name: str) -> int:
    """Address of a Fortran routine."""
    found = _routines.get(name)
    if found is None:
        found = ctypes.cast(getattr(_load(), f"scipy_{name}_"), ctypes.c_void_p).value
        assert found is not None
        _routines[name] = found
    return found


def _share_out(threads: int) -> None:
    """Sets how many threads OpenBLAS uses."""
    global _threads
    if _threads != threads:
        _load().scipy_openblas_set_num_threads(threads)
        _threads = threads


def run(name: str, dtype: Any, count: int, *args: Any, hermitian: bool = False) -> None:
    """Calls a routine once a matrix of the batch. `args`: tensors with `count` matrices or vectors each, `(tensor,)` for
    one that every call reads, `(size, dtype)` for workspace, ints and one-letter strings."""
    if not count:
        return
    if dtype.is_complex and (hermitian or name == "orgqr"):
        name = _HERMITIAN[name]
    # the number behind workspace is its size
    rows = max((a for a, b in zip(args, (None, *args)) if isinstance(a, int) and not isinstance(b, tuple)), default=0)
    threads, blocks = _core.get_num_threads(), 1
    if rows >= _LARGE:
        _share_out(threads)
    else:  # done before OpenBLAS' threads have woken up: several matrices at once instead
        _share_out(1)
        slow = rows >= 32 or any(isinstance(a, tuple) and len(a) == 2 for a in args)
        if slow and count * max(rows, 8) ** 2 >= _GRAIN:  # OpenBLAS' quickest routines would wait for its one lock
            blocks = min(threads, count)
    given = tuple([F._empty((a[0] * blocks,), a[1])] if isinstance(a, tuple) and len(a) == 2 else a for a in args)
    _core.call_each(_routine(_LETTER[dtype.code] + name), given, count, blocks)


# -- helpers -----------------------------------------------------------------------------------------------------------
def _count(sizes: Any) -> int:
    n = 1
    for s in sizes:
        n *= s
    return n


def _flipped(x: Any) -> Any:
    """A transposed copy: row-major to column-major, or back."""
    *batch, m, n = x.shape
    return F._empty((*batch, n, m), x.dtype).copy_(x.transpose(-1, -2))


def _need(name: str, *matrices: Any, square: Any = (), rows: tuple[Any, Any] | None = None, known: bool = True) -> None:
    """What a routine relies on: matrices of one dtype and equal batches, square ones, as many rows in two of them, and
    `known`, a condition of the caller's. Operators have checked it; their parts may be called by themselves."""
    first = matrices[0]
    good = known and all(t.dim() >= 2 and t.dtype is first.dtype and t.shape[:-2] == first.shape[:-2] for t in matrices)
    good = good and first.dtype.code in _LETTER and all(t.shape[-1] == t.shape[-2] for t in square)
    if not good or (rows is not None and rows[0].shape[-2] != rows[1].shape[-2]):
        shapes = ", ".join(f"{list(t.shape)} {t.dtype}" for t in matrices)
        raise RuntimeError(f"{name}: arguments do not fit together: {shapes}")


def _need_pivots(name: str, pivots: Any, matrix: Any, count: int) -> None:
    n = matrix.shape[-1]
    good = pivots.dtype is _core.int32 and tuple(pivots.shape) == (*matrix.shape[:-2], count)
    if good and pivots.numel():
        values = pivots.detach().numpy()
        good = bool((abs(values) >= 1).all() and (abs(values) <= max(n, matrix.shape[-2])).all())
    if not good:
        raise RuntimeError(
            f"{name}: pivots must be int32 {[*matrix.shape[:-2], count]} as the factorisation gives them"
        )


def _numbers(info: Any) -> Any:
    """The int32 elements of a tensor as a sequence."""
    return (c_int32 * info.numel()).from_address(info.data_ptr()) if info.numel() else ()


def _info(batch: Any, rows: int) -> Any:
    """Where a routine says how it went; 0 where there is nothing to do."""
    return F._empty(tuple(batch), _core.int32) if rows else F.zeros(tuple(batch), dtype=_core.int32)


def complain(name: str, info: Any, text: Any) -> None:
    """Raises LinAlgError for the first matrix that failed; `text(code)` says why. No name: nothing is raised."""
    if not name or not any(_numbers(info)):
        return
    for k, code in enumerate(_numbers(info)):
        if code:
            where = f" (Batch element {k}):" if info.dim() else ""
            raise LinAlgError(f"{name}:{where} {text(code)}")


def _work(dtype: Any, name: str, *args: Any, hermitian: bool = False, extra: int = 0) -> tuple[int, ...]:
    """The workspace sizes that a routine asks for: `args` as for one matrix, whose trailing workspaces (work, and `extra`
    further ones) are given as dtypes followed by -1."""
    probes = []
    given = []
    for a in args:
        if isinstance(a, _core.dtype):
            probes.append(F._empty((2,), a))
            given.append((probes[-1],))
        else:
            given.append((a,) if isinstance(a, Tensor) else a)
    run(name, dtype, 1, *given, hermitian=hermitian)
    # single precision rounds large sizes down
    return tuple(
        max(1, int(_first(p) * (1 + 1e-6)) + 1 if p.dtype.is_floating_point or p.dtype.is_complex else int(p[0].item()))
        for p in probes
    )


def _first(p: Any) -> float:
    return p[0].item().real


# -- factorisations ----------------------------------------------------------------------------------------------------
def cholesky(A: Any, upper: bool, check: str) -> tuple[Any, Any]:
    """(L or U, info). The other triangle is zero."""
    _need("cholesky", A, square=(A,))
    n, batch = A.shape[-1], A.shape[:-2]
    L, info = A.clone(), _info(batch, n)
    # The lower triangle of a Hermitian matrix, read column-major, is the upper one of its conjugate: L becomes its own.
    if n:
        run("potrf", A.dtype, _count(batch), "L" if upper else "U", n, L, n, info)
    complain(check, info, _not_positive)
    return (F.triu(L) if upper else F.tril(L)), info


def _not_positive(code: int) -> str:
    return (
        "The factorization could not be completed because the input is not positive-definite (the leading minor of order "
        f"{code} is not positive-definite)."
    )


def lu_factor(A: Any, check: str) -> tuple[Any, Any, Any]:
    """(LU, pivots, info) with partial pivoting."""
    _need("lu", A)
    *batch, m, n = A.shape
    k = min(m, n)
    LU, pivots, info = _flipped(A), F._empty((*batch, k), _core.int32), _info(batch, k)
    if k:
        run("getrf", A.dtype, _count(batch), m, n, LU, m, pivots, info)
    complain(
        check,
        info,
        lambda k: (
            f"U[{k},{k}] is zero, so that lu_solve would divide by zero. linalg.lu and linalg.lu_factor_ex give the factors "
            "in this case too."
        ),
    )
    return _flipped(LU), pivots, info


def lu_plain(A: Any, check: str) -> tuple[Any, Any, Any]:
    """lu_factor of the transposed square matrix, as it lies in memory: for `lu_solve` and determinants."""
    _need("lu", A, square=(A,))
    n, batch = A.shape[-1], A.shape[:-2]
    LU, pivots, info = A.clone(), F._empty((*batch, n), _core.int32), _info(batch, n)
    if n:
        run("getrf", A.dtype, _count(batch), n, n, LU, n, pivots, info)
    complain(check, info, lambda _: "The solver failed because the input matrix is singular.")
    return LU, pivots, info


def lu_solve(A: Any, B: Any, LU: Any, pivots: Any, trans: str) -> Any:
    """The solution X of op(A) X = B from `lu_plain(A)`; trans: N, T or C (transposed and conjugated)."""
    _need("lu_solve", LU, B, square=(LU,), rows=(LU, B), known=trans in ("N", "T", "C"))
    _need_pivots("lu_solve", pivots, LU, LU.shape[-1])
    *batch, n, k = B.shape
    X, info = _flipped(F.conj(B) if trans == "C" else B), _info(batch, n * k)
    if n and k:
        run("getrs", B.dtype, _count(batch), "T" if trans == "N" else "N", n, k, LU, n, pivots, X, n, info)
    X = _flipped(X)
    return F.conj(X) if trans == "C" else X


def inverse(A: Any, check: str) -> tuple[Any, Any]:
    """(A^-1, info). The transposed matrix in memory becomes the transposed inverse."""
    _need("inv", A, square=(A,))
    n, batch, count = A.shape[-1], A.shape[:-2], _count(A.shape[:-2])
    X, pivots, info = A.clone(), F._empty((*batch, n), _core.int32), _info(batch, n)
    if n and count:
        run("getrf", A.dtype, count, n, n, X, n, pivots, info)
        complain(check, info, _singular)
        (size,) = _work(A.dtype, "getri", n, X, n, pivots, A.dtype, -1, info)
        run("getri", A.dtype, count, n, X, n, pivots, (size, A.dtype), size, info)
    return X, info


def _singular(k: int) -> str:
    return (
        f"The diagonal element {k} is zero, the inversion could not be completed because the input matrix is singular."
    )


def solve_triangular(A: Any, B: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    """The solution X of A X = B, or X A = B."""
    _need("solve_triangular", A, B, square=(A,), known=B.dim() >= 2 and A.shape[-1] == B.shape[-2 if left else -1])
    *batch, m, k = B.shape
    n = A.shape[-1]
    X = B.clone()
    if m and k:
        one = F.ones((1,), dtype=B.dtype)
        # Column-major, both matrices are transposed: the factor changes its side and its triangle.
        run(
            "trsm", B.dtype, _count(batch), "R" if left else "L", "L" if upper else "U", "N",
            "U" if unitriangular else "N", k, m, (one,), A, n, X, k,
        )  # fmt: skip
    return X


def qr(A: Any, mode: str) -> tuple[Any, Any]:
    """(Q, R); mode reduced, complete or r (Q is empty)."""
    _need("qr", A, known=mode in ("reduced", "complete", "r"))
    *batch, m, n = A.shape
    k, count = min(m, n), _count(batch)
    factors, tau, info = _flipped(A), F.zeros((*batch, k), dtype=A.dtype), _info(batch, k)
    if k and count:
        (size,) = _work(A.dtype, "geqrf", m, n, factors, m, tau, A.dtype, -1, info)
        run("geqrf", A.dtype, count, m, n, factors, m, tau, (size, A.dtype), size, info)
    columns = m if mode == "complete" else k
    R = F.triu(_flipped(factors)[..., : (m if mode == "complete" else k), :])
    if mode == "r":
        return F._empty((0,), A.dtype), R
    if columns <= n:
        Q = factors[..., :columns, :].contiguous()  # the first columns of the column-major matrix
    else:
        Q = F.zeros((*batch, columns, m), dtype=A.dtype)
        Q[..., :n, :] = factors
    if not k:
        return F.eye(m, columns, dtype=A.dtype).expand(*batch, m, columns).contiguous(), R
    if columns and count:
        (size,) = _work(A.dtype, "orgqr", m, columns, k, Q, m, tau, A.dtype, -1, info)
        run("orgqr", A.dtype, count, m, columns, k, Q, m, tau, (size, A.dtype), size, info)
    return _flipped(Q), R


def geqrf(A: Any) -> tuple[Any, Any]:
    """(Householder vectors below R, tau)."""
    _need("geqrf", A)
    *batch, m, n = A.shape
    k, count = min(m, n), _count(batch)
    factors, tau, info = _flipped(A), F.zeros((*batch, k), dtype=A.dtype), _info(batch, k)
    if k and count:
        (size,) = _work(A.dtype, "geqrf", m, n, factors, m, tau, A.dtype, -1, info)
        run("geqrf", A.dtype, count, m, n, factors, m, tau, (size, A.dtype), size, info)
    return _flipped(factors), tau


def ldl_factor(A: Any, hermitian: bool, check: str) -> tuple[Any, Any, Any]:
    """(LD, pivots, info) of the lower triangle."""
    _need("ldl_factor", A, square=(A,))
    n, batch = A.shape[-1], A.shape[:-2]
    count = _count(batch)
    LD, pivots, info = _flipped(A), F.zeros((*batch, n), dtype=_core.int32), _info(batch, n)
    if n and count:
        (size,) = _work(A.dtype, "sytrf", "L", n, LD, n, pivots, A.dtype, -1, info, hermitian=hermitian)
        work = (size, A.dtype)
        run("sytrf", A.dtype, count, "L", n, LD, n, pivots, work, size, info, hermitian=hermitian)
    complain(check, info, lambda k: f"D[{k},{k}] is zero: a system with this matrix cannot be solved.")
    return F.tril(_flipped(LD)), pivots, info


def ldl_solve(LD: Any, pivots: Any, B: Any, hermitian: bool) -> Any:
    """The solution of A X = B from ldl_factor(A)."""
    _need("ldl_solve", LD, B, square=(LD,), rows=(LD, B))
    _need_pivots("ldl_solve", pivots, LD, LD.shape[-1])
    for row in pivots.detach().numpy().reshape(-1, LD.shape[-1]) if pivots.numel() else ():
        k = 0
        while k < len(row):  # a negative pivot is the first of two: a block of two rows
            if row[k] < 0 and (k + 1 == len(row) or row[k + 1] >= 0):
                raise RuntimeError("ldl_solve: pivots are not those of a factorisation: a block of two rows ends early")
            k += 2 if row[k] < 0 else 1
    *batch, n, k = B.shape
    X, info = _flipped(B), _info(batch, n * k)
    if n and k:
        run(
            "sytrs", B.dtype, _count(batch), "L", n, k, _flipped(LD), n, pivots, X, n, info, hermitian=hermitian
        )  # fmt: skip
    return _flipped(X)


# -- decompositions ----------------------------------------------------------------------------------------------------
def eigh(A: Any, lower: bool, vectors: bool, check: str) -> tuple[Any, Any]:
    """(eigenvalues ascending, eigenvectors as columns; empty without them)."""
    _need("eigh", A, square=(A,))
    n, batch, code = A.shape[-1], A.shape[:-2], A.dtype.code
    count, real = _count(batch), _REAL.get(code, A.dtype)
    V, w, info = _flipped(A), F._empty((*batch, n), real), _info(batch, n)
    if n and count:
        head = ("V" if vectors else "N", "L" if lower else "U", n)
        more = (real, -1) if A.dtype.is_complex else ()
        sizes = _work(
            A.dtype, "syevd", *head, V, n, w, A.dtype, -1, *more, _core.int32, -1, info, hermitian=True
        )  # fmt: skip
        kinds = (A.dtype, real, _core.int32) if A.dtype.is_complex else (A.dtype, _core.int32)
        work = [x for size, kind in zip(sizes, kinds) for x in ((size, kind), size)]
        run("syevd", A.dtype, count, *head, V, n, w, *work, info, hermitian=True)
        complain(check, info, _no_convergence("eigenvalues"))
    return w, _flipped(V) if vectors else F._empty((0,), A.dtype)


def _no_convergence(what: str) -> Any:
    def text(code: int) -> str:
        if code < 0:
            return "The algorithm failed to converge because the input matrix contained non-finite values."
        return (
            "The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated "
            f"{what} (error code: {code})."
        )

    return text


def eig(A: Any, vectors: bool) -> tuple[Any, Any]:
    """(eigenvalues, right eigenvectors of norm 1 as columns), both complex."""
    _need("eig", A, square=(A,))
    n, batch, code = A.shape[-1], A.shape[:-2], A.dtype.code
    count, whole = _count(batch), _COMPLEX.get(code, A.dtype)
    if not bool(F.isfinite(A).all()):
        raise RuntimeError("linalg.eig: the input must be finite, but it contains infs or NaNs.")
    factors, info, none = _flipped(A), _info(batch, n), F._empty((1,), A.dtype)
    V = F._empty((*batch, n, n) if vectors else (0,), A.dtype)
    w = F._empty((*batch, n), A.dtype)
    imaginary = F._empty((*batch, n), A.dtype) if not A.dtype.is_complex else w
    if n and count:
        values = (w,) if A.dtype.is_complex else (w, imaginary)
        right = (V, n) if vectors else ((none,), 1)
        head = ("N", "V" if vectors else "N", n, factors, n, *values, (none,), 1, *right)
        rwork = ((2 * n, _REAL[code]),) if A.dtype.is_complex else ()
        (size,) = _work(A.dtype, "geev", *head, A.dtype, -1, *rwork, info)
        run("geev", A.dtype, count, *head, (size, A.dtype), size, *rwork, info)
        complain("linalg.eig", info, _no_convergence("eigenvalues"))
    if A.dtype.is_complex:
        return w, _flipped(V) if vectors else V
    return F.complex(w, imaginary), _paired(_flipped(V), imaginary) if vectors else F._empty((0,), whole)


def _paired(V: Any, imaginary: Any) -> Any:
    """Complex eigenvectors of a real matrix: those of a conjugate pair lie in two columns, real and imaginary part."""
    positive = (imaginary > 0).unsqueeze(-2)
    negative = (imaginary < 0).unsqueeze(-2)
    following, before = F.roll(V, -1, -1), F.roll(V, 1, -1)
    re = F.where(negative, before, V)
    im = F.where(positive, following, F.where(negative, -V, F.zeros_like(V)))
    return F.complex(re, im)


def svd(A: Any, full: bool, vectors: bool, check: str) -> tuple[Any, Any, Any]:
    """(U, S, Vh); without vectors U and Vh are empty."""
    _need("svd", A)
    *batch, m, n = A.shape
    k, count, code = min(m, n), _count(batch), A.dtype.code
    real = _REAL.get(code, A.dtype)
    # The column-major matrix is the transposed one: its left singular vectors are the rows of Vh.
    M, S, info = A.clone(), F._empty((*batch, k), real), _info(batch, k)
    if not vectors:
        U = Vh = F._empty((0,), A.dtype)
    else:
        U = F._empty((*batch, m, m if full else k), A.dtype)
        Vh = F._empty((*batch, n if full else k, n), A.dtype)
    if not k and vectors:
        U, Vh = (
            F.eye(s, s if full else 0, dtype=A.dtype).expand(*batch, s, s if full else 0).contiguous() for s in (m, n)
        )
        Vh = _flipped(Vh)
    if k and count:
        rows = U.shape[-1] if vectors else 1
        job = ("A" if full else "S") if vectors else "N"
        empty = (1, A.dtype)
        out = (Vh, n, U, rows) if vectors else (empty, n, empty, 1)
        iwork = (8 * k, _core.int32)
        rwork = ((_svd_real_work(m, n, vectors), real),) if A.dtype.is_complex else ()
        head = (job, n, m, M, n, S, *out)
        (size,) = _work(A.dtype, "gesdd", *head, A.dtype, -1, *rwork, iwork, info)
        run("gesdd", A.dtype, count, *head, (size, A.dtype), size, *rwork, iwork, info)
        complain(check, info, _no_convergence("singular values"))
    return U, S, Vh


def _svd_real_work(m: int, n: int, vectors: bool) -> int:
    low, high = min(m, n), max(m, n)
    return max(1, low * max(5 * low + 7, 2 * high + 2 * low + 1) if vectors else 7 * low)


# -- least squares -----------------------------------------------------------------------------------------------------
def lstsq(A: Any, B: Any, driver: str, rcond: str) -> tuple[Any, Any, Any]:
    """(solution with the residuals below it [max(m, n), k], rank, singular values). `rcond` as text, which a program keeps
    exactly; empty: the default."""
    _need("lstsq", A, B, rows=(A, B), known=driver in ("gels", "gelsy", "gelsd", "gelss"))
    *batch, m, n = A.shape
    k, r, count, code = B.shape[-1], min(m, n), _count(batch), A.dtype.code
    real = _REAL.get(code, A.dtype)
    tall = max(m, n)
    M, info = _flipped(A), _info(batch, r * k)
    X = F.zeros((*batch, k, tall), dtype=A.dtype)
    X[..., :m] = B.transpose(-1, -2)
    rank = F.zeros(tuple(batch), dtype=_core.int32)
    S = F.zeros((*batch, r), dtype=real)
    if r and k and count:
        known = float.fromhex(rcond) if rcond else tall / precision(A.dtype)
        limit = (F.full((1,), known, dtype=real),)
        complex_ = A.dtype.is_complex
        if driver == "gels":
            head: tuple = ("N", m, n, k, M, m, X, tall)
            tail: tuple = ()
        elif driver == "gelsy":
            pivots = F.zeros((*batch, n), dtype=_core.int32)
            head = (m, n, k, M, m, X, tall, pivots, limit, rank)
            tail = ((2 * n, real),) if complex_ else ()
        else:
            head = (m, n, k, M, m, X, tall, S, limit, rank)
            tail = ()
            if driver == "gelss" and complex_:
                tail = ((5 * r, real),)
        if driver == "gelsd":
            sizes = _work(A.dtype, driver, *head, A.dtype, -1, *((real,) if complex_ else ()), _core.int32, info)
            kinds = (A.dtype, *((real,) if complex_ else ()), _core.int32)
            work, *more = ((size, kind) for size, kind in zip(sizes, kinds))
            run(driver, A.dtype, count, *head, work, sizes[0], *more, info)
        else:
            (size,) = _work(A.dtype, driver, *head, A.dtype, -1, *tail, info)
            run(driver, A.dtype, count, *head, (size, A.dtype), size, *tail, info)
        complain("linalg.lstsq", info, _no_full_rank)
    return _flipped(X), rank.to(_core.int64), S


def _no_full_rank(code: int) -> str:
    return (
        "The least squares solution could not be computed because the input matrix does not have full rank (error code: "
        f"{code})."
    )


# -- permutations ------------------------------------------------------------------------------------------------------
def permutation(pivots: Any, m: int) -> tuple[Any, Any]:
    """(p, its inverse) for the row exchanges that LAPACK counts from 1: row i of L U is row p[i] of A."""
    *batch, k = pivots.shape
    if not 0 <= k <= m or (pivots.numel() and not 1 <= pivots.min().item() <= pivots.max().item() <= m):
        raise RuntimeError(f"lu_unpack: LU_pivots must be between 1 and {m}, as lu_factor gives them.")
    rows = [F._empty((*batch, m), _core.float64).copy_(F.arange(m)) for _ in range(2)]
    if k:  # LAPACK exchanges rows of floats
        for x, step in zip(rows, (1, -1)):
            run("laswp", _core.float64, _count(batch), 1, x, m, 1, k, pivots, step)
    return rows[0].to(_core.int64), rows[1].to(_core.int64)


def permutation_sign(pivots: Any) -> Any:
    """1 or -1 (int64) for an even or odd number of row exchanges."""
    return F._linalg_sign(pivots)


# -- functions of matrices ---------------------------------------------------------------------------------------------
def cofactor(A: Any) -> Any:
    """conj(d det A / d A): det(A)* A^-H, also for singular matrices."""
    _need("det", A, square=(A,))
    *batch, n, _ = A.shape
    if not A.numel():
        return A.clone()
    LU, pivots, info = lu_plain(A, "")
    if not any(_numbers(info)):
        eye = F.eye(n, dtype=A.dtype).expand(*batch, n, n).contiguous()
        det = F.prod(LU.diagonal(0, -2, -1), -1) * permutation_sign(pivots)
        return (F.conj(det)[..., None, None] * lu_solve(A, eye, LU, pivots, "C")).contiguous()
    U, S, Vh = svd(A, False, True, "linalg.det")
    # The product of all the other singular values, without a division.
    ones = F.ones((*batch, 1), dtype=S.dtype)
    below = F.cumprod(F.cat([ones, S[..., :-1]], -1), -1)
    above = F.flip(F.cumprod(F.cat([ones, F.flip(S[..., 1:], (-1,))], -1), -1), (-1,))
    phase = F.conj(_unit_det(U) * _unit_det(Vh))
    return (phase[..., None, None] * ((U * (below * above).unsqueeze(-2)) @ Vh)).contiguous()


def _unit_det(Q: Any) -> Any:
    LU, pivots, _ = lu_plain(Q, "")
    return F.prod(LU.diagonal(0, -2, -1), -1) * permutation_sign(pivots)


def matrix_exp(A: Any) -> Any:
    """Scaling and squaring of Taylor polynomials (Bader, Blanes, Casas: Computing the matrix exponential with an optimized
    Taylor polynomial approximation, 2019) evaluated by Paterson and Stockmeyer's scheme, one scale a batch element."""
    _need("matrix_exp", A, square=(A,))
    if not A.numel():
        return A.clone()
    norm = F.amax(F.sum(F.abs(A), -2), -1)
    double = norm.dtype is _core.float64
    degree, theta = (18, 1.09) if double else (18, 3.01)
    largest = F.where(F.isfinite(norm), norm, F.zeros_like(norm))
    scale = F.clamp(F.ceil(F.log2(F.clamp(largest, min=1e-30) / theta)), min=0)
    steps = int(scale.max().item())
    X = A * F.exp2(-scale)[..., None, None].to(A.dtype)
    E = _taylor(X, degree)
    for k in range(steps):
        E = F.where((scale > k)[..., None, None], E @ E, E)
    return E.contiguous()


def _taylor(X: Any, degree: int) -> Any:
    n = X.shape[-1]
    eye = F.eye(n, dtype=X.dtype)
    width = 5
    powers = [eye, X]
    for _ in range(2, width + 1):
        powers.append(powers[-1] @ X)
    factorial, coefficients = 1.0, []
    for j in range(degree + 1):
        factorial *= max(j, 1)
        coefficients.append(1.0 / factorial)
    result = None
    for start in range(degree // width * width, -1, -width):
        block = coefficients[start] * powers[0]
        for j in range(1, width):
            if start + j <= degree:
                block = block + coefficients[start + j] * powers[j]
        result = block if result is None else result @ powers[width] + block
    return result
