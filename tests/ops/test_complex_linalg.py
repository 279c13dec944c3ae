"""Gradients of both orders on complex matrices, against finite differences of the parts."""

from __future__ import annotations

import numpy
import pytest

import taeda
from taeda import linalg as L

from . import gradients
from .samples import Maker, tensor
from .test_complex import parts_of


def all_parts(fn):
    """`fn` of complex tensors as a function of their parts, giving the parts of all its results."""

    def call(*parts):
        result = fn(*(taeda.view_as_complex(p) for p in parts))
        found = result if isinstance(result, tuple) else (result,)
        return tuple(taeda.view_as_real(r) if r.is_complex() else r for r in found)

    return call


def definite(fn):
    return lambda a, *rest: fn(a @ a.adjoint() + 2 * taeda.eye(a.shape[-1]), *rest)


def hermitian(fn):
    return lambda a, *rest: fn((a + a.adjoint()) / 2, *rest)


def projections(v):
    return v.unsqueeze(-2) * v.conj().unsqueeze(-3)


def spectral(pairs):
    w, v = pairs
    return w, projections(v)


def singular(u, s, vh):
    return s, u.unsqueeze(-2) * vh.mT.conj().conj().unsqueeze(-3)


PIVOTS = taeda.tensor([2, 2], dtype=taeda.int32)
CALLS = {
    "cholesky": (definite(L.cholesky), [(2, 2)]),
    "cholesky upper": (definite(lambda a: L.cholesky(a, upper=True)), [(2, 2, 2)]),
    "lu": (lambda a: tuple(L.lu(a)[1:]), [(2, 3)]),
    "lu tall": (lambda a: tuple(L.lu(a)[1:]), [(3, 2)]),
    "lu_solve": (lambda lu, b: L.lu_solve(lu, PIVOTS, b, adjoint=True), [(2, 2), (2, 1)]),
    "lu_solve left": (lambda lu, b: L.lu_solve(lu, PIVOTS, b, left=False), [(2, 2), (1, 2)]),
    "qr": (lambda a: tuple(L.qr(a)), [(3, 2)]),
    "qr wide": (lambda a: tuple(L.qr(a)), [(2, 3)]),
    "householder_product": (L.householder_product, [(3, 2), (2,)]),
    "ormqr": (lambda a, tau, b: taeda.ormqr(a, tau, b, True, True), [(3, 2), (2,), (3, 1)]),
    "solve": (L.solve, [(2, 2), (2, 1)]),
    "solve right": (lambda a, b: L.solve(a, b, left=False), [(2, 2), (1, 2)]),
    "solve conjugate": (lambda a, b: L.solve(a.adjoint(), b), [(2, 2), (2, 1)]),
    "solve_triangular": (lambda a, b: L.solve_triangular(a, b, upper=True), [(2, 2), (2, 1)]),
    "solve_triangular right": (lambda a, b: L.solve_triangular(a, b, upper=False, left=False), [(2, 2), (1, 2)]),
    "inv": (L.inv, [(2, 2)]),
    "det": (L.det, [(2, 2)]),
    "slogdet": (lambda a: tuple(L.slogdet(a)), [(2, 2)]),
    "logdet": (taeda.logdet, [(2, 2)]),
    "pinv": (L.pinv, [(3, 2)]),
    "pinv hermitian": (hermitian(lambda a: L.pinv(a, hermitian=True)), [(2, 2)]),
    "lstsq": (lambda a, b: L.lstsq(a, b).solution, [(3, 2), (3, 1)]),
    "eigh": (hermitian(lambda a: spectral(L.eigh(a))), [(2, 2)]),
    "eigvalsh": (hermitian(L.eigvalsh), [(2, 2)]),
    "eig": (lambda a: (lambda w, v: (w, taeda.view_as_real(v).square().sum(-1)))(*L.eig(a)), [(2, 2)]),
    "eigvals": (L.eigvals, [(2, 2)]),
    "svd": (lambda a: singular(*L.svd(a, False)), [(2, 2)]),
    "svd tall": (lambda a: singular(*L.svd(a, False)), [(3, 2)]),
    "svd wide": (lambda a: singular(*L.svd(a, False)), [(2, 3)]),
    "svdvals": (L.svdvals, [(3, 2)]),
    "nuclear norm": (lambda a: L.matrix_norm(a, "nuc"), [(2, 2)]),
    "vector_norm": (lambda a: L.vector_norm(a, 3), [(2, 2)]),
    "matrix_exp": (L.matrix_exp, [(2, 2)]),
    "matrix_power": (lambda a: L.matrix_power(a, -2), [(2, 2)]),
    "multi_dot": (lambda a, b, c: L.multi_dot([a, b, c]), [(2, 3), (3, 1), (1, 2)]),
    "vecdot": (L.vecdot, [(2, 3), (2, 3)]),
    "ldl_solve": (lambda b: L.ldl_solve(*_LDL, b), [(2, 1)]),
    "fft": (taeda.fft.fftn, [(2, 3)]),
    "irfft": (lambda x: taeda.fft.irfftn(x, s=(2, 5)), [(2, 3)]),
    "hfft": (taeda.fft.hfft2, [(2, 3)]),
    "stft": (lambda x: taeda.stft(x, 4), [(9,)]),
}
_LDL = L.ldl_factor(taeda.tensor([[2.0 + 1j, 0.5j], [0.5j, -1.0]], dtype=taeda.complex128))


@pytest.mark.parametrize("name", CALLS)
def test_gradients(name):
    fn, shapes = CALLS[name]
    maker = Maker(name)
    arrays = [maker(*s) + 1j * maker(*s) for s in shapes]
    if len(shapes[0]) > 1:
        arrays[0] = arrays[0] + 2 * numpy.eye(*shapes[0][-2:]) * numpy.arange(1, shapes[0][-1] + 1)
    assert gradients.check(all_parts(fn), [parts_of(x) for x in arrays], {}, what=name)


def test_real_inputs_of_complex_results_have_real_gradients():
    a = tensor(Maker("eig")(3, 3)).requires_grad_()
    w, v = L.eig(a)
    (w.abs().sum() + v.abs().sum()).backward()
    assert a.grad.dtype is taeda.float64
    x = tensor(Maker("fft")(5)).requires_grad_()
    taeda.fft.fft(x).abs().sum().backward()
    assert x.grad.dtype is taeda.float64
