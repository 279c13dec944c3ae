"""Linear algebra: factors multiply back to their matrix, errors name it, parts of the process are left as they were."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.linalg

import taeda
from taeda import linalg as L

DTYPES = ["float32", "float64", "complex64", "complex128"]
SHAPES = [(1, 1), (3, 3), (5, 3), (3, 5), (2, 4, 4), (2, 3, 6, 4), (0, 3, 3), (0, 3), (4, 0), (2, 0, 0)]


def matrix(shape, dtype="float64", seed=0):
    random = np.random.default_rng(seed)
    x = random.standard_normal(shape)
    if dtype.startswith("complex"):
        x = x + 1j * random.standard_normal(shape)
    return taeda.from_numpy(x.astype(dtype))


def positive(n, dtype="float64", batch=()):
    a = matrix((*batch, n, n), dtype)
    return a @ a.adjoint() + taeda.eye(n, dtype=a.dtype)


def close(a, b, scale=1.0):
    single = a.dtype in (taeda.float32, taeda.complex64)
    tolerance = (2e-4 if single else 1e-11) * scale
    np.testing.assert_allclose(a.numpy(), b.numpy(), tolerance, tolerance)


def identity_like(q):
    return taeda.eye(q.shape[-1], dtype=q.dtype).expand(*q.shape[:-2], q.shape[-1], q.shape[-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
class TestFactorsOfAnyMatrix:
    def test_qr(self, shape, dtype):
        a = matrix(shape, dtype)
        for mode in ("reduced", "complete"):
            q, r = L.qr(a, mode)
            close(q @ r, a)
            close(q.adjoint() @ q, identity_like(q))
            close(r, r.triu())

    def test_lu(self, shape, dtype):
        a = matrix(shape, dtype)
        p, lower, upper = L.lu(a)
        close(p @ lower @ upper, a)
        close(lower, lower.tril())
        close(upper, upper.triu())

    def test_svd(self, shape, dtype):
        a = matrix(shape, dtype)
        u, s, vh = L.svd(a, full_matrices=False)
        close((u * s.unsqueeze(-2)) @ vh, a)
        close(L.svdvals(a), s)
        assert bool((s[..., :-1] >= s[..., 1:]).all())
        u, s, vh = L.svd(a)
        close(u.adjoint() @ u, identity_like(u))
        close(vh @ vh.adjoint(), identity_like(vh))

    def test_pinv(self, shape, dtype):
        a = matrix(shape, dtype)
        p = L.pinv(a)
        close(a @ p @ a, a, 10)
        close(p @ a @ p, p, 10)

    def test_geqrf_and_householder_product(self, shape, dtype):
        a = matrix(shape, dtype)
        h, tau = taeda.geqrf(a)
        k = min(shape[-2:])
        close(L.householder_product(h[..., :k], tau), L.qr(a).Q)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n, batch", [(1, ()), (4, ()), (3, (2,)), (0, ()), (3, (0,)), (70, ())])
class TestFactorsOfSquareMatrices:
    def test_cholesky(self, n, batch, dtype):
        a = positive(n, dtype, batch)
        lower, upper = L.cholesky(a), L.cholesky(a, upper=True)
        close(lower @ lower.adjoint(), a, 20)
        close(upper.adjoint() @ upper, a, 20)
        close(lower.adjoint(), upper, 20)

    def test_eigh(self, n, batch, dtype):
        a = positive(n, dtype, batch)
        for uplo in "LU":
            w, v = L.eigh(a, uplo)
            assert not w.is_complex()
            close(a @ v, v * w.unsqueeze(-2), 200)
            close(L.eigvalsh(a, uplo), w, 20)

    def test_eig(self, n, batch, dtype):
        a = matrix((*batch, n, n), dtype)
        w, v = L.eig(a)
        assert w.is_complex() and v.is_complex()
        close(a.to(v.dtype) @ v, v * w.unsqueeze(-2), 50)
        close(v.abs().square().sum(-2), taeda.ones(*batch, n, dtype=v.abs().dtype))

    def test_solutions(self, n, batch, dtype):
        a, b = positive(n, dtype, batch), matrix((*batch, n, 2), dtype, 1)
        close(a @ L.solve(a, b), b, 20)
        close(a @ L.inv(a), identity_like(a), 20)
        close(a @ taeda.cholesky_solve(b, L.cholesky(a)), b, 20)
        close(a @ L.lu_solve(*L.lu_factor(a), b), b, 20)
        close(a @ L.ldl_solve(*L.ldl_factor(a, hermitian=True), b, hermitian=True), b, 20)
        close(a @ taeda.cholesky_inverse(L.cholesky(a)), identity_like(a), 20)

    def test_determinants(self, n, batch, dtype):
        a = matrix((*batch, n, n), dtype) / 3
        sign, logabs = L.slogdet(a)
        close(L.det(a), sign * logabs.exp())


def test_only_one_triangle_is_read():
    a = positive(4)
    close(L.cholesky(a.tril()), L.cholesky(a))
    close(L.cholesky(a.triu(), upper=True), L.cholesky(a, upper=True))
    close(L.eigvalsh(a.triu(), "U"), L.eigvalsh(a))
    close(L.ldl_factor(a.tril()).LD, L.ldl_factor(a).LD)


def test_arguments_are_left_alone():
    a, b = positive(4), matrix((4, 2))
    before = a.clone(), b.clone()
    for call in (L.cholesky, L.inv, L.det, L.svd, L.eigh, L.eig, L.qr, L.lu, L.ldl_factor, taeda.geqrf, L.pinv):
        call(a)
    L.solve(a, b), L.lstsq(a, b), L.solve_triangular(a, b, upper=True)
    assert bool((a == before[0]).all()) and bool((b == before[1]).all())


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 80.0])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_matrix_exp_against_scipy(scale, dtype):
    a = matrix((3, 5, 5), dtype) * (scale / 5)
    got, wanted = L.matrix_exp(a).numpy(), np.stack([scipy.linalg.expm(x) for x in a.numpy().astype("complex128")])
    eps = 1e-5 if dtype == "float32" else 1e-13
    norm = np.linalg.norm(wanted, axis=(-2, -1), keepdims=True)
    assert np.all(abs(got - wanted) <= eps * (1 + scale) * norm)


def test_exponential_of_one_batch_element_does_not_depend_on_the_others():
    a = matrix((4, 4))
    alone = L.matrix_exp(a)
    assert bool((L.matrix_exp(taeda.stack([a * 100, a]))[1] == alone).all())


# -- errors ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: L.cholesky(-taeda.eye(3)), "linalg.cholesky: The factorization .* leading minor of order 1"),
        (lambda: L.cholesky(taeda.stack([taeda.eye(2), -taeda.eye(2)])), r"\(Batch element 1\)"),
        (lambda: L.inv(taeda.stack([taeda.eye(2), taeda.zeros(2, 2)])), r"linalg.inv: \(Batch element 1\): .* diagonal element 1"),
        (lambda: L.solve(taeda.ones(2, 2), taeda.ones(2)), "linalg.solve: .* singular"),
        (lambda: L.lu_factor(taeda.zeros(2, 2)), r"linalg.lu_factor: U\[1,1\] is zero"),
        (lambda: L.inv_ex(taeda.zeros(2, 2), check_errors=True), "singular"),
        (lambda: L.ldl_factor(taeda.zeros(2, 2)), r"D\[1,1\] is zero"),
        (lambda: L.eigh(taeda.full((3, 3), float("nan"))), "failed to converge"),
        (lambda: L.svd(taeda.full((3, 3), float("nan"))), "non-finite"),
        (lambda: L.lstsq(taeda.eye(3, 2) * taeda.tensor([1.0, 0.0]), taeda.ones(3, 1), driver="gels"), "full rank"),
    ],
)  # fmt: skip
def test_matrices_without_a_factorisation(call, words):
    with pytest.raises(L.LinAlgError, match=words) as e:
        call()
    assert isinstance(e.value, RuntimeError)


def test_bad_pivots_are_refused():
    a, b = taeda.eye(3), taeda.ones(3, 1)
    for bad in ([0, 1, 2], [1, 2, 4], [1, 2, -9]):
        with pytest.raises(RuntimeError, match=r"pivots|PIVOTS"):
            L.lu_solve(a, taeda.tensor(bad, dtype=taeda.int32), b)
    for bad in ([1, 2, -3], [-1, 2, 3], [1, 2, 9]):
        with pytest.raises(RuntimeError, match="pivots"):
            L.ldl_solve(a, taeda.tensor(bad, dtype=taeda.int32), b)


def test_out_and_results_with_names():
    a = positive(3)
    out = taeda.empty(0, dtype=taeda.float64)
    assert L.inv(a, out=out) is out
    close(out, L.inv(a))
    q, r = taeda.empty(0, dtype=taeda.float64), taeda.empty(0, dtype=taeda.float64)
    found = L.qr(a, out=(q, r))
    assert found.Q is q and type(found).__name__ == "linalg_qr"
    close(q @ r, a)
    with pytest.raises(TypeError, match="tuple of 2 Tensors"):
        L.qr(a, out=q)


# -- gradients ---------------------------------------------------------------------------------------------------------
def test_gradient_of_a_singular_determinant_is_the_cofactor_matrix():
    for a in (taeda.diag(taeda.tensor([2.0, 3.0, 0.0])), taeda.diag(taeda.tensor([2.0, 0.0, 0.0])), taeda.zeros(3, 3)):
        a.requires_grad_()
        L.det(a).backward()
        d = a.detach().diagonal()
        expected = taeda.diag(taeda.stack([d[1] * d[2], d[0] * d[2], d[0] * d[1]]))
        close(a.grad, expected)


def test_gradients_that_cannot_be():
    a = matrix((4, 2)).requires_grad_()
    with pytest.raises(RuntimeError, match="mode='r'"):
        L.qr(a, "r").R.sum().backward()
    with pytest.raises(RuntimeError, match="complete"):
        L.qr(a, "complete").Q.sum().backward()


# -- the process -------------------------------------------------------------------------------------------------------
def test_library_is_loaded_by_the_first_call():
    code = (
        "import sys, taeda, taeda.linalg, taeda.fft\n"
        "assert not {'numpy', 'scipy_openblas32', 'taeda.linalg.lapack'} & set(sys.modules), sorted(sys.modules)\n"
        "taeda.linalg.inv(taeda.eye(2))\n"
        "assert 'scipy_openblas32' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_threads_at_once():
    a = positive(60)
    expected, wrong = L.inv(a), []

    def work():
        wrong.extend(k for k in range(10) if not np.allclose(L.inv(a).numpy(), expected.numpy(), 1e-10))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_number_of_threads_is_followed():
    from taeda.linalg import lapack

    before = taeda.get_num_threads()
    try:
        for n in (1, 2):
            taeda.set_num_threads(n)
            L.inv(positive(200))
            assert lapack._load().scipy_openblas_get_num_threads() == n
    finally:
        taeda.set_num_threads(before)


def test_lobpcg():
    taeda.manual_seed(0)
    a = positive(40)
    exact = L.eigvalsh(a)
    w, v = taeda.lobpcg(a, k=3)
    close(w, exact.flip(0)[:3])
    close(a @ v, v * w, 1e6)
    w, _ = taeda.lobpcg(a, k=2, n=4, largest=False)
    close(w, exact[:2], 10)
    b = taeda.diag(taeda.arange(1.0, 41.0, dtype=taeda.float64))
    w, _ = taeda.lobpcg(a, k=2, B=b, iK=L.inv(a), tol=1e-9)
    np.testing.assert_allclose(w.numpy(), scipy.linalg.eigvalsh(a.numpy(), b.numpy())[:-3:-1], 1e-8)


def test_low_rank():
    taeda.manual_seed(0)
    a = matrix((30, 4)) @ matrix((4, 20), seed=1)
    u, s, v = taeda.svd_lowrank(a, q=6)
    close((u * s) @ v.mT, a, 1e3)
    mean = matrix((1, 20), seed=2)
    u, s, v = taeda.svd_lowrank(a + mean, q=6, M=mean)
    close((u * s) @ v.mT, a, 1e3)
    u, s, v = taeda.pca_lowrank(a, q=4)
    close(s, L.svdvals(a - a.mean(0))[:4], 1e3)
