"""Fourier transforms: against the sums that define them, and their inverses."""

from __future__ import annotations

import numpy as np
import pytest

import taeda
from taeda import fft


def random(*shape, dtype="complex128"):
    r = np.random.default_rng(0)
    x = r.standard_normal(shape)
    return taeda.from_numpy((x + 1j * r.standard_normal(shape) if "complex" in dtype else x).astype(dtype))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 12, 17, 30, 64, 101])
def test_definition(n):
    x = random(3, n)
    k = np.arange(n)
    matrix = np.exp(-2j * np.pi * np.outer(k, k) / n)
    np.testing.assert_allclose(fft.fft(x).numpy(), x.numpy() @ matrix, 1e-11, 1e-11)
    np.testing.assert_allclose(fft.ifft(x).numpy(), x.numpy() @ matrix.conj() / n, 1e-11, 1e-11)
    real = random(3, n, dtype="float64")
    np.testing.assert_allclose(fft.rfft(real).numpy(), (real.numpy() @ matrix)[:, : n // 2 + 1], 1e-11, 1e-11)
    np.testing.assert_allclose(fft.irfft(fft.rfft(real), n).numpy(), real.numpy(), 1e-11, 1e-11)


@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_inverses(dtype, norm):
    x = random(4, 5, 6, dtype=dtype)
    tolerance = 3e-6 if dtype in ("float32", "complex64") else 1e-13
    pairs = [(fft.fft, fft.ifft, {}), (fft.fftn, fft.ifftn, {}), (fft.fft2, fft.ifft2, {"dim": (0, 2)})]
    if not x.is_complex():
        pairs += [(fft.rfft, fft.irfft, {"n": 6}), (fft.ihfft, fft.hfft, {"n": 6})]
        pairs += [(fft.rfftn, fft.irfftn, {"s": (4, 5, 6)}), (fft.ihfftn, fft.hfftn, {"s": (4, 5, 6)})]
    for there, back, kwargs in pairs:
        result = back(there(x, norm=norm, **kwargs), norm=norm, **kwargs)
        values = taeda.real(result) if result.is_complex() and not x.is_complex() else result
        np.testing.assert_allclose(values.numpy(), x.numpy(), tolerance, tolerance)
        assert values.dtype is x.dtype


@pytest.mark.parametrize(
    "shape, dim", [((1 << 18,), 0), ((600, 1000), 1), ((1000, 600), 0), ((70, 80, 100), (0, 1, 2))]
)
def test_large_and_threads(shape, dim):
    """Whatever the number of threads, the same bits."""
    before = taeda.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            taeda.set_num_threads(threads)
            x = random(*shape, dtype="complex64")
            real = random(*shape, dtype="float32")
            found.append(
                (fft.fftn(x, dim=dim), fft.rfftn(real, dim=dim), fft.irfftn(fft.rfftn(real, dim=dim), dim=dim))
            )
    finally:
        taeda.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other):
            assert bool((a == b).all())
    axes = (dim,) if isinstance(dim, int) else dim
    wanted = np.fft.fftn(x.numpy().astype("complex128"), axes=axes)
    assert np.linalg.norm(found[0][0].numpy() - wanted) < 1e-6 * np.linalg.norm(wanted)


def test_views():
    x = random(6, 8, 4)
    for view in (x.permute(2, 0, 1), x[::2, 1:, ::3], x.transpose(0, 2), x[:, 3]):
        np.testing.assert_allclose(fft.fft(view).numpy(), np.fft.fft(view.numpy()), 1e-12, 1e-12)
        np.testing.assert_allclose(fft.fftn(view).numpy(), np.fft.fftn(view.numpy()), 1e-12, 1e-12)


def test_convolution_by_transforms_and_its_gradient():
    a, b = random(16, dtype="float64").requires_grad_(), random(16, dtype="float64").flip(0).requires_grad_()
    product = fft.irfft(fft.rfft(a, 32) * fft.rfft(b, 32), 32)[:31]
    np.testing.assert_allclose(
        product.detach().numpy(), np.convolve(a.detach().numpy(), b.detach().numpy()), 1e-12, 1e-12
    )
    (ga,) = taeda.autograd.grad(product.square().sum(), a)
    full = 2 * product.detach().numpy()
    np.testing.assert_allclose(ga.numpy(), np.correlate(full, b.detach().numpy(), "valid"), 1e-11, 1e-11)


def test_stft_and_back():
    x = random(2, 500, dtype="float64")
    for kwargs in ({}, {"hop_length": 7}, {"win_length": 40}, {"normalized": True}, {"onesided": False}):
        window = taeda.hann_window(kwargs.get("win_length", 64), dtype=taeda.float64)
        bins = taeda.stft(x, 64, window=window, return_complex=True, **kwargs)
        back = taeda.istft(bins, 64, window=window, length=500, **kwargs)
        np.testing.assert_allclose(back.numpy()[:, :480], x.numpy()[:, :480], 1e-10, 1e-10)


def test_a_capture_refuses_complex_values():
    with pytest.raises(RuntimeError, match="complex"):
        taeda.compile(lambda x: fft.irfft(fft.rfft(x), 4))(taeda.ones(4))


def test_half_precision_is_refused_as_pytorch_does():
    for dtype in (taeda.float16, taeda.bfloat16):
        with pytest.raises(RuntimeError, match="Unsupported dtype"):
            fft.rfft(taeda.ones(4, dtype=dtype))
