"""A few extreme eigenpairs of large symmetric matrices: LOBPCG."""

from __future__ import annotations

from .linalg_checks import check_square
from .linalg_host import real_dtype
from .linalg_solve import precision
from .namespace import F
from .table import composite


def _mh(x):
    return F.conj(F.transpose(x, -2, -1))


class Iteration:
    """What a tracker sees of a running iteration: the matrices A, B and iK, the basis X with eigenvalues E and residuals
    R; `ivars` counts steps and converged pairs, `tvars` has the relative residuals."""

    def __init__(self, A, B, iK, X):
        self.A, self.B, self.iK, self.X = A, B, iK, X
        self.E = self.R = None
        self.ivars: dict = {"istep": 0, "converged_count": 0}
        self.tvars: dict = {}


def _orthonormal(S, B):
    """A B-orthonormal basis of the span of S (singular value decomposition of its Gram matrix; Stathopoulos and Wu,
    2002); directions that are lost in rounding are left out."""
    scale = F.rsqrt(F.clamp(F.sum(F.square(F.abs(S)), 0), min=1e-300 if S.dtype is F.float64 else 1e-37))
    S = S * scale
    G = F.matmul(_mh(S), S if B is None else F.matmul(B, S))
    w, Z = F.linalg_eigh(0.5 * (G + _mh(G)))
    kept = int(F.sum(w > w[-1] * (w.shape[0] * 4 / precision(S.dtype))).item())
    w, Z = w[w.shape[0] - kept :], Z[:, Z.shape[1] - kept :]
    return F.matmul(S, Z * F.rsqrt(w))


def _iterate(A, B, X, iK, k, niter, tol, largest, tracker):
    """Locally optimal steps (Knyazev, 2001) over the space of X, preconditioned residuals and last directions."""
    n = X.shape[1]
    norm_A = F.norm(A)
    norm_B = None if B is None else F.norm(B)
    state = Iteration(A, B, iK, X)
    W = P = None
    step = 0
    while True:
        parts = [p for p in (X, W, P) if p is not None]
        Q = _orthonormal(F.cat(parts, 1), B)
        if W is not None:  # a second time: the first leaves errors of the size of the condition number
            Q = _orthonormal(Q, B)
        T = F.matmul(_mh(Q), F.matmul(A, Q))
        w, Z = F.linalg_eigh(0.5 * (T + _mh(T)))
        if largest:
            w, Z = F.flip(w, (0,)), F.flip(Z, (1,))
        E, Z = w[:n], Z[:, :n]
        before, X = X, F.matmul(Q, Z)
        BX = X if B is None else F.matmul(B, X)
        R = F.matmul(A, X) - BX * E
        # Relative to what rounding leaves of the residual (Duersch, Shao, Yang, Gu, 2018).
        unit = norm_A + F.abs(E) * (1.0 if norm_B is None else norm_B)
        error = F.norm(R, 2, 0) / (F.norm(X, 2, 0) * unit)
        done = int(F.sum(error[:k] < tol).item())
        state.X, state.E, state.R = X, E, R
        state.ivars.update(istep=step, converged_count=done)
        state.tvars["rerr"] = error
        if tracker is not None:
            tracker(state)
        step += 1
        if done == k or 0 <= niter < step:
            return E[:k], X[:, :k]
        W = R if iK is None else F.matmul(iK, R)
        # The part of the step that left the old space.
        P = X - F.matmul(before, F.matmul(_mh(before), BX))


def _pairs_gradient(g, g1, A, out, out1):
    """sum of g v v^H + (e - A)^+ g1 v^H over the pairs; the pseudo-inverse from all eigenpairs of A."""
    E, V = out, out1
    result = None if g is None else F.matmul(V * F.unsqueeze(g, -2), _mh(V))
    if g1 is None:
        return result
    w, U = F.linalg_eigh(A)
    gap = F.unsqueeze(E, -2) - F.unsqueeze(w, -1)
    near = F.abs(gap) <= 1e-6 * F.amax(F.abs(w), -1)[..., None, None]
    inverse = F.where(near, F.zeros_like(gap), 1 / F.where(near, F.ones_like(gap), gap))
    turn = F.matmul(F.matmul(U, inverse * F.matmul(_mh(U), g1)), _mh(V))
    turn = 0.5 * (turn + _mh(turn))
    return turn if result is None else result + turn


@composite(
    "_lobpcg_pairs",
    function=False,
    params="Tensor A, Tensor E, Tensor V",
    grad=lambda g, g1, A, out, out1: (_pairs_gradient(g, g1, A, out, out1), None, None),
)
def _pairs(A, E, V):
    """Eigenpairs that were found, tied to the matrix they are of."""
    return E.clone(), V.clone()


@composite()
def lobpcg(
    A,
    k=None,
    B=None,
    X=None,
    n=None,
    iK=None,
    niter=None,
    tol=None,
    largest=None,
    method=None,
    tracker=None,
    ortho_iparams=None,
    ortho_fparams=None,
    ortho_bparams=None,
):
    """(E [..., k], V [..., m, k]): the k largest (largest=False: smallest) eigenvalues of symmetric matrices A [..., m, m], or of
    A V = B V diag(E), and their eigenvectors, by locally optimal block preconditioned conjugate gradients.

    X [..., m, n]: where to start (default: n = k random vectors); iK: a preconditioner; niter: at most so many steps
    (negative: until convergence; default 1000); tol: relative residual of a converged pair (default sqrt(eps)).
    tracker(iteration) is called at each step. method is "basic" or "ortho"; both keep the basis orthonormal here, so that
    the ortho_* parameters, which tune that, have nothing to do. Gradients (without B) reach A.
    """
    name = "lobpcg"
    check_square(name, A)
    if method not in (None, "basic", "ortho"):
        raise ValueError(f"{name}: method must be 'basic' or 'ortho', got {method!r}")
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = (k if X is None else X.shape[-1]) if n is None else n
    m = A.shape[-1]
    if m < 3 * n:
        raise ValueError(
            f"LPBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the number of "
            f"requested eigenpairs (={n})"
        )
    if not 0 < k <= n:
        raise ValueError(f"{name}: k must be positive and not greater than n={n}, got {k}")
    if A.requires_grad and B is not None:
        raise ValueError(f"{name}: gradients are defined for the problem without B only")
    for what, t in (("B", B), ("iK", iK)):
        if t is not None and tuple(t.shape) != tuple(A.shape):
            raise ValueError(f"{name}: {what} must have the shape of A, {list(A.shape)}, got {list(t.shape)}")
    if X is None:
        X = F.randn(*A.shape[:-1], n, dtype=A.dtype)
    elif tuple(X.shape) != (*A.shape[:-1], n):
        raise ValueError(f"{name}: X must have shape {[*A.shape[:-1], n]}, got {list(X.shape)}")
    limit = precision(A.dtype) ** -0.5 if tol is None else tol
    steps = 1000 if niter is None else niter
    with F.no_grad():
        batch = A.shape[:-2]
        flat = [None if t is None else F.reshape(t.detach(), (-1, *t.shape[-2:])) for t in (A, B, X, iK)]
        found = [
            _iterate(*(None if t is None else t[i] for t in flat), k, steps, limit, largest is not False, tracker)
            for i in range(flat[0].shape[0])
        ]
        values = F.stack([e for e, _ in found]) if found else F.zeros((0, k), dtype=real_dtype(A.dtype))
        vectors = F.stack([v for _, v in found]) if found else F.zeros((0, m, k), dtype=A.dtype)
        values, vectors = F.reshape(values, (*batch, k)), F.reshape(vectors, (*batch, m, k))
    return F._lobpcg_pairs(A, values, vectors) if A.requires_grad else (values, vectors)
