"""Calls for test_gradients_rest: linear algebra, Fourier transforms."""

from __future__ import annotations

import numpy

import taeda
from taeda._bind import bound

L = taeda.linalg


def on(name, *rest, **kwargs):
    """The operator with these further arguments after the float tensors."""
    return lambda *tensors: bound(name)(*tensors, *rest, **kwargs)


def of(fn, *parts, **kwargs):
    """`fn`, of whose results only those places count (all without them)."""

    def call(*tensors):
        result = fn(*tensors, **kwargs)
        return tuple(result[k] for k in parts) if parts else result

    return call


def floats(*shapes, low=-1.0, high=1.0):
    return lambda t: [t(*s, low=low, high=high) for s in shapes]


def regular(*shapes):
    """Matrices far from singular, singular values apart, then further tensors."""

    def make(t):
        found = [t(*s) for s in shapes]
        m, n = shapes[0][-2:]
        found[0] = found[0] + 2 * numpy.eye(m, n) * numpy.arange(1, n + 1)
        return found

    return make


def definite(fn):
    """`fn` of the symmetric positive-definite matrix that a square one gives."""
    return lambda A, *rest: fn(A @ A.mT + 2 * taeda.eye(A.shape[-1], dtype=A.dtype), *rest)


def symmetric(fn):
    return lambda A, *rest: fn((A + A.mT) / 2, *rest)


def parts(fn):
    """A complex result as a real one."""

    def call(*tensors):
        result = fn(*tensors)
        found = result if isinstance(result, tuple) else (result,)
        return tuple(taeda.view_as_real(r) if r.is_complex() else r for r in found)

    return call


def invariant(fn):
    """|V|^2 of eigenvectors, which have no phase of their own."""

    def call(A):
        w, V = fn(A)
        return taeda.view_as_real(w), V.abs().square()

    return call


def spectra(name, **kwargs):
    return parts(lambda x: bound(name)(x, **kwargs))


def complex_in(name, *rest, **kwargs):
    """Of the complex tensor whose parts are the two halves of the last dimension."""

    def call(x):
        re, im = x.chunk(2, -1)
        result = bound(name)(taeda.complex(re.contiguous(), im.contiguous()), *rest, **kwargs)
        return taeda.view_as_real(result) if result.is_complex() else result

    return call


pivots = taeda.tensor([2, 2, 3], dtype=taeda.int32)
square, batch, tall, wide = regular((3, 3)), regular((2, 3, 3)), regular((4, 2)), regular((2, 4))
real = floats((2, 5))
halves = floats((3, 8))

#: name -> (function of float tensors, their maker), one or several
CALLS = {
    # factorisations
    "_linalg_cholesky": [
        (definite(of(on("_linalg_cholesky", False, ""), 0)), floats((3, 3))),
        (definite(of(on("_linalg_cholesky", True, ""), 0)), floats((2, 2, 2))),
    ],
    "linalg_cholesky": (definite(L.cholesky), floats((2, 3, 3))),
    "linalg_cholesky_ex": (definite(of(L.cholesky_ex, 0)), floats((2, 2))),
    "cholesky": (definite(taeda.cholesky), floats((3, 3))),
    "cholesky_solve": [
        (lambda L, b: taeda.cholesky_solve(b, L), regular((3, 3), (3, 2))),
        (lambda L, b: taeda.cholesky_solve(b, L, True), regular((3, 3), (2, 3, 2))),
    ],
    "cholesky_inverse": (on("cholesky_inverse"), square),
    "_linalg_lu": [(of(on("_linalg_lu", ""), 0), m) for m in (batch, tall, wide)],
    "linalg_lu_factor": (of(L.lu_factor, 0), square),
    "linalg_lu_factor_ex": (of(L.lu_factor_ex, 0), tall),
    "linalg_lu": [(of(L.lu, 1, 2), m) for m in (batch, tall, wide)],
    "lu": (of(on("lu"), 0), square),
    "lu_unpack": (lambda x: taeda.lu_unpack(x, pivots)[1:], square),
    "linalg_lu_solve": [
        (lambda LU, b, left=left, adjoint=adjoint: L.lu_solve(LU, pivots, b, left=left, adjoint=adjoint), regular((3, 3), (3, 3)))
        for left in (True, False)
        for adjoint in (True, False)
    ],
    "lu_solve": (lambda LU, b: taeda.lu_solve(b, LU, pivots), regular((3, 3), (3, 2))),
    "_linalg_qr": [(on("_linalg_qr", "reduced"), m) for m in (batch, tall, wide)],
    "linalg_qr": (on("linalg_qr", "complete"), wide),
    "qr": (on("qr"), tall),
    "linalg_householder_product": (on("linalg_householder_product"), floats((4, 3), (2,))),
    "orgqr": (on("orgqr"), floats((2, 3, 2), (2, 2))),
    "ormqr": [
        (on("ormqr"), floats((4, 2), (2,), (4, 3))),
        (on("ormqr", False, True), floats((3, 2), (2,), (2, 3))),
    ],
    "_linalg_ldl_solve": (lambda b: L.ldl_solve(*_LDL, b), floats((3, 2))),
    "linalg_ldl_solve": (lambda b: L.ldl_solve(*_LDL, b), floats((2, 3, 1))),
    # systems of equations
    "_linalg_triangular": [
        (lambda A, b, u=u, l=l, d=d: L.solve_triangular(A, b, upper=u, left=l, unitriangular=d), regular((3, 3), (3, 3)))
        for u in (True, False)
        for l in (True, False)
        for d in (True, False)
    ],
    "linalg_solve_triangular": (lambda A, b: L.solve_triangular(A, b, upper=True), regular((3, 3), (2, 3, 1))),
    "triangular_solve": (lambda A, b: taeda.triangular_solve(b, A, True, True)[0], regular((3, 3), (3, 2))),
    "_linalg_lu_solve": [
        (lambda A, b, t=t: bound("_linalg_lu_solve")(A, b, *bound("_linalg_lu_plain")(A.detach(), "")[:2], t), regular((3, 3), (3, 2)))
        for t in "NTC"
    ],
    "linalg_solve": [
        (on("linalg_solve"), regular((3, 3), (2, 3, 1))),
        (on("linalg_solve", left=False), regular((2, 3, 3), (1, 2, 3))),
        (on("linalg_solve"), regular((3, 3), (3,))),
    ],
    "linalg_solve_ex": (of(L.solve_ex, 0), regular((3, 3), (3, 2))),
    "_linalg_inverse": (of(on("_linalg_inverse", ""), 0), batch),
    "linalg_inv": (on("linalg_inv"), batch),
    "inverse": (on("inverse"), square),
    "linalg_inv_ex": (of(L.inv_ex, 0), square),
    "linalg_tensorinv": (lambda x: L.tensorinv(x.reshape(4, 2, 2), 1), regular((4, 4))),
    "linalg_tensorsolve": (lambda x, b: L.tensorsolve(x.reshape(4, 2, 2), b), regular((4, 4), (4,))),
    "_linalg_det": (on("_linalg_det"), batch),
    "_linalg_cofactor": (on("_linalg_cofactor"), batch),
    "linalg_det": (on("linalg_det"), batch),
    "det": (on("det"), square),
    "_linalg_slogdet": (of(on("_linalg_slogdet"), 1), batch),
    "linalg_slogdet": (of(L.slogdet, 1), square),
    "slogdet": (of(taeda.slogdet, 1), square),
    "logdet": (on("logdet"), square),
    "_linalg_pinv": (on("_linalg_pinv", 0.0, 1e-15, False), tall),
    "linalg_pinv": [(on("linalg_pinv"), wide), (symmetric(on("linalg_pinv", hermitian=True)), square)],
    "pinverse": (on("pinverse"), tall),
    "_linalg_lstsq_solution": (lambda A, b: L.lstsq(A, b).solution, regular((4, 2), (4, 3))),
    "linalg_lstsq": [
        (of(L.lstsq, 0, 1, driver="gelsd"), regular((4, 2), (4, 1))),
        (of(L.lstsq, 0), regular((2, 4), (2,))),
    ],
    # spectra
    "_linalg_eigh": (symmetric(lambda A: _fixed(*bound("_linalg_eigh")(A, True, True, ""))), batch),
    "linalg_eigh": (symmetric(lambda A: _fixed(*L.eigh(A, "U"))), square),
    "linalg_eigvalsh": (symmetric(L.eigvalsh), batch),
    "_linalg_eig": (invariant(on("_linalg_eig", True)), square),
    "linalg_eig": (invariant(L.eig), square),
    "linalg_eigvals": (parts(L.eigvals), square),
    "_linalg_svd": [(lambda A: _outer(*bound("_linalg_svd")(A, False, True, "")), m) for m in (batch, tall, wide)],
    "linalg_svd": (lambda A: _outer(*L.svd(A, False)), tall),
    "linalg_svdvals": (on("linalg_svdvals"), wide),
    "svd": (lambda A: taeda.svd(A)[1], tall),
    "linalg_cond": [(on("linalg_cond", p), square) for p in (None, -2, "fro", "nuc", 1, float("inf"))],
    "nuclear_norm": (on("nuclear_norm"), tall),
    "_linalg_matrix_exp": (on("_linalg_matrix_exp"), floats((2, 2, 2))),
    "linalg_matrix_exp": (on("linalg_matrix_exp"), floats((2, 2))),
    "matrix_exp": (on("matrix_exp"), floats((2, 2), low=-3.0, high=3.0)),
    "svd_lowrank": (lambda A: _seeded(lambda: taeda.svd_lowrank(A, 2)[1]), tall),
    "pca_lowrank": (lambda A: _seeded(lambda: taeda.pca_lowrank(A, 2)[1]), tall),
    "lobpcg": (symmetric(lambda A: _lobpcg(A)), regular((4, 4))),
    "_lobpcg_pairs": (symmetric(lambda A: _lobpcg(A, largest=False)), regular((4, 4))),
    # norms and products
    "linalg_vector_norm": [(on("linalg_vector_norm", p, 1), floats((2, 3))) for p in (2, 1, 3.5, float("inf"), -2)],
    "linalg_matrix_norm": [(on("linalg_matrix_norm", p), tall) for p in ("fro", "nuc", 2, -2, 1, -float("inf"))],
    "linalg_norm": [(on("linalg_norm"), floats((2, 3))), (on("linalg_norm", 2), tall)],
    "linalg_matmul": (on("linalg_matmul"), floats((2, 3), (3, 2))),
    "linalg_vecdot": (on("linalg_vecdot"), floats((2, 3), (3,))),
    "linalg_cross": (on("linalg_cross"), floats((2, 3), (1, 3))),
    "linalg_diagonal": (on("linalg_diagonal", offset=1), floats((2, 3, 3))),
    "linalg_vander": (on("linalg_vander", N=4), floats((2, 3))),
    "linalg_matrix_power": [(on("linalg_matrix_power", n), square) for n in (3, -2)],
    "matrix_power": (on("matrix_power", 2), square),
    "linalg_multi_dot": (lambda *x: L.multi_dot(x), floats((3,), (3, 4), (4, 2), (2, 3))),
    # Fourier transforms
    "_fft_c2c": (complex_in("_fft_c2c", (-2, -1), 1, True), halves),
    "_fft_r2c": [(spectra("_fft_r2c", dim=(-2, -1), normalization=k, onesided=o), real) for k, o in ((0, True), (2, False))],
    "_fft_c2r": [(complex_in("_fft_c2r", (-2, -1), 0, n), halves) for n in (6, 7)],
    "stft": (parts(lambda x: taeda.stft(x, 4, return_complex=True, window=taeda.hann_window(4, dtype=x.dtype))), floats((2, 9))),
    "istft": (complex_in("istft", 4), floats((3, 8))),
    "fft_fftshift": (on("fft_fftshift"), real),
    "fft_ifftshift": (on("fft_ifftshift", 1), real),
}  # fmt: skip
CALLS |= {f"fft_{n}": (spectra(f"fft_{n}", n=4), real) for n in ("fft", "ifft", "rfft", "ihfft")}
CALLS |= {f"fft_{n}": (complex_in(f"fft_{n}", norm="ortho"), halves) for n in ("irfft", "hfft")}
CALLS |= {
    f"fft_{n}": (spectra(f"fft_{n}", s=(3, 4)), real) for n in ("fft2", "ifftn", "rfft2", "rfftn", "ihfft2", "ihfftn")
}
CALLS |= {f"fft_{n}": (complex_in(f"fft_{n}"), halves) for n in ("fftn", "ifft2", "irfft2", "irfftn", "hfft2", "hfftn")}

_LDL = L.ldl_factor(taeda.tensor([[2.0, 0.5, 0.1], [0.5, -1.0, 0.3], [0.1, 0.3, 1.5]], dtype=taeda.float64))


def _fixed(w, V):
    """Eigenvectors as projections, which have no sign."""
    return w, V.unsqueeze(-2) * V.unsqueeze(-3)


def _outer(U, S, Vh):
    return S, U.unsqueeze(-2) * Vh.mT.unsqueeze(-3)


def _lobpcg(A, **kwargs):
    start = taeda.ones(4, 1, dtype=A.dtype) + taeda.eye(4, 1, dtype=A.dtype)
    w, V = taeda.lobpcg(A, 1, X=start, tol=1e-13, **kwargs)
    return w, V.unsqueeze(-2) * V.unsqueeze(-3)


def _seeded(fn):
    taeda.manual_seed(0)
    return fn()


#: Results that no gradient reaches.
WITHOUT = {
    "geqrf", "linalg_ldl_factor", "linalg_ldl_factor_ex", "linalg_matrix_rank", "_linalg_sign", "eig", "symeig", "lstsq",
    "solve", "matrix_rank", "fft_fftfreq", "fft_rfftfreq", "_norm_zero",
}  # fmt: skip
