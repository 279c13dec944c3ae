"""The extensions `linalg` and `fft` against array-api-strict."""

from __future__ import annotations

import numpy as np
import pytest

from taeda import array_api as ours

from .worlds import check, function, strict

RNG = np.random.default_rng(0)
M = RNG.standard_normal((2, 4, 3))
S = M @ M.swapaxes(-1, -2) + np.eye(4)
Z = RNG.standard_normal((3, 3)) + 1j * RNG.standard_normal((3, 3))
H = Z @ Z.conj().T + np.eye(3)
V, F = RNG.standard_normal(6), RNG.standard_normal((2, 3, 4)).astype("float32")
LINALG = {
    "cholesky": [((S,), {}), ((S,), {"upper": True}), ((H,), {}), ((S.astype("float32"),), {}), ((S[:0],), {})],
    "cross": [((M, M + 1), {}), ((M[0, :3], M[0, :3, :1]), {"axis": -2}), ((M[0, 0], M), {})],
    "det": [((S,), {}), ((Z,), {}), ((np.zeros((0, 0)),), {})],
    "diagonal": [((M,), {}), ((M,), {"offset": 1}), ((M,), {"offset": -2})],
    "eigvalsh": [((S,), {}), ((H,), {})],
    "inv": [((S,), {}), ((Z,), {})],
    "matmul": [((M[0], S[0, :3]), {}), ((S, M), {})],
    "matrix_norm": [((M,), {"ord": o, "keepdims": k}) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf) for k in (False, True)],
    "matrix_power": [((S, n), {}) for n in (0, 1, 3, -2)],
    "matrix_rank": [((M,), {}), ((np.ones((3, 3)),), {}), ((np.diag([1.0, 1e-3, 1e-9]),), {"rtol": 1e-6})],
    "matrix_transpose": [((M,), {})],
    "outer": [((V, V[:3]), {}), ((Z[0], Z[1]), {})],
    "pinv": [((M,), {}), ((np.ones((2, 3)),), {}), ((np.diag([1.0, 1e-3]),), {"rtol": 1e-2})],
    "slogdet": [((S,), {}), ((Z,), {}), ((-S[0],), {})],
    "solve": [((S, M), {}), ((S[0], V[:4]), {}), ((S, V[:4]), {}), ((S[0], M), {}), ((H, Z), {})],
    "svdvals": [((M,), {}), ((Z,), {})],
    "tensordot": [((M, M), {"axes": 3}), ((M, M), {"axes": ((0, 1), (0, 1))})],
    "trace": [((M,), {}), ((M,), {"offset": 1}), ((np.arange(9).reshape(3, 3).astype("int32"),), {}), ((F,), {"dtype": np.dtype("float64")})],
    "vecdot": [((M, M), {}), ((M, M), {"axis": -2}), ((Z, Z), {})],
    "vector_norm": [((M,), {"ord": o, "axis": a, "keepdims": k}) for o in (2, 1, 0, np.inf, -np.inf, 3) for a in (None, 0, (0, 2)) for k in (False, True)],
}  # fmt: skip
COMPLEX = [((Z,), {}), ((Z,), {"n": 5, "axis": 0}), ((Z,), {"norm": "ortho"})]
COMPLEX += [((Z.astype("complex64"),), {"n": 2, "norm": "forward"})]
REAL = [((V,), {}), ((M,), {"n": 5, "axis": 1}), ((M,), {"norm": "ortho"}), ((F,), {"n": 2, "norm": "forward"})]
SEVERAL = [((Z,), {}), ((Z,), {"s": (4, 2), "axes": (0, 1)}), ((Z,), {"axes": (0,), "norm": "ortho"})]
FREQUENCIES = [((n,), {"d": d}) for n in (1, 4, 5) for d in (1.0, 0.1)]
FFT = {
    **dict.fromkeys(("fft", "ifft", "irfft", "hfft"), COMPLEX),
    **dict.fromkeys(("rfft", "ihfft"), REAL),
    **dict.fromkeys(("fftn", "ifftn", "irfftn"), SEVERAL),
    "rfftn": [((M,), {}), ((M,), {"s": (4, 2), "axes": (0, 1)}), ((F,), {"axes": (0,), "norm": "ortho"})],
    **dict.fromkeys(("fftfreq", "rfftfreq"), FREQUENCIES),
    "fftshift": [((M,), {}), ((M,), {"axes": 1}), ((V,), {"axes": (0,)})],
    "ifftshift": [((M,), {}), ((M,), {"axes": (0, 2)}), ((V,), {})],
}


@pytest.mark.parametrize("name", [f"linalg.{n}" for n in LINALG] + [f"fft.{n}" for n in FFT])
def test_calls(name):
    extension, _, function_name = name.partition(".")
    for arguments, keywords in (LINALG if extension == "linalg" else FFT)[function_name]:
        if "freq" in name:
            keywords = {**keywords, "dtype": np.dtype("float64")}
        single = any(getattr(a, "dtype", "") in ("float32", "complex64") for a in arguments)
        check(function(name), *arguments, tolerance=1e-4 if single else 1e-9, **keywords)


def test_every_function_is_tested():
    decompositions = {"eigh", "qr", "svd"}
    assert {*strict.linalg.__all__} - {*LINALG} == decompositions
    assert {*strict.fft.__all__} - {*FFT} == set()


@pytest.mark.parametrize("x", [M, S, Z, M.astype("float32")], ids=["tall", "square", "complex", "single"])
def test_decompositions(x):
    near = {"rtol": 1e-4, "atol": 1e-5}
    x_ = ours.asarray(x)
    for mode in ("reduced", "complete"):
        q, r = found = ours.linalg.qr(x_, mode=mode)
        assert found.Q is q and found.R is r
        np.testing.assert_allclose((q @ r).numpy(), x, **near)
        assert q.shape[-1] == (min(x.shape[-2:]) if mode == "reduced" else x.shape[-2])
    for full in (False, True):
        u, s, vh = found = ours.linalg.svd(x_, full_matrices=full)
        assert found.S is s and found.U is u and found.Vh is vh
        n = s.shape[-1]
        np.testing.assert_allclose(((u[..., :n] * s[..., None, :].to(u.dtype)) @ vh[..., :n, :]).numpy(), x, **near)
        assert (u.shape[-1], vh.shape[-1]) == ((x.shape[-2] if full else n), x.shape[-1])
        np.testing.assert_allclose(s.numpy(), np.linalg.svd(x, compute_uv=False), **near)
    if x.shape[-1] == x.shape[-2]:
        h = x @ x.conj().swapaxes(-1, -2)
        values, vectors = found = ours.linalg.eigh(ours.asarray(h))
        assert found.eigenvalues is values and found.eigenvectors is vectors
        np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(h), **near)
        np.testing.assert_allclose(
            (vectors * values[..., None, :].to(vectors.dtype)).numpy(), h @ vectors.numpy(), **near
        )


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda x: ours.linalg.qr(x, mode="raw"), ValueError),
        (lambda x: ours.linalg.cross(x, x, axis=-2), ValueError),
        (lambda x: ours.linalg.cross(x, x, axis=0), IndexError),
        (lambda x: ours.linalg.inv(x[:2]), RuntimeError),
        (lambda x: ours.linalg.vector_norm(x, axis=7), IndexError),
    ],
)
def test_errors(call, error):
    with pytest.raises(error):
        call(ours.asarray(M[0]))
