"""Host operators in captures: compiled programs call back, sizes stay free, errors pass through, exports refuse."""

from __future__ import annotations

import pytest

import taeda
from taeda import export
from taeda import linalg as L
from taeda._core import call_each


def same(fn, *shapes, n_programs=1):
    """Compiled and eager agree in values and gradients, to the last bit, at all the sizes given."""
    compiled = taeda.compile(fn)
    for k, sizes in enumerate(shapes):
        taeda.manual_seed(k)
        args = [taeda.randn(*s, requires_grad=True) for s in sizes]
        others = [a.detach().clone().requires_grad_() for a in args]
        got, wanted = compiled(*args), fn(*others)
        assert bool((got == wanted).all())
        got.sum().backward()
        wanted.sum().backward()
        for a, b in zip(args, others):
            assert bool((a.grad == b.grad).all())
    assert sum(map(len, compiled.entries.values())) == n_programs


def test_factorisations_with_free_sizes():
    def f(a, b):
        s = a @ a.mT + taeda.eye(a.shape[-1])
        w, v = L.eigh(s)
        return L.solve(s, b).square() + L.cholesky(s).sum() + w.sum() + (v * v).sum()

    same(f, [(3, 3), (3, 2)], [(5, 5), (5, 4)], [(8, 8), (8, 2)])


def test_views_are_read_in_place():
    same(lambda a: L.svdvals(a.mT[::2]) + L.inv(a[:3, :3]).sum(), [(6, 4)], [(8, 6)])


def test_batches_and_dead_results():
    same(lambda a: L.qr(a)[1] + L.lu(a)[2], [(2, 3, 3)], [(4, 3, 3)])


def test_matrix_functions():
    same(lambda a: L.matrix_exp(a) + L.pinv(a).mT + L.det(a), [(3, 3)], [(4, 4)])


def test_exception_of_the_function_passes_through():
    compiled = taeda.compile(lambda a: L.cholesky(a) * 2)
    assert compiled(taeda.eye(2) * 4)[0, 0].item() == 4
    with pytest.raises(L.LinAlgError, match="positive-definite"):
        compiled(-taeda.eye(2))
    assert compiled(taeda.eye(2) * 4)[0, 0].item() == 4


def test_an_export_refuses_by_name(tmp_path):
    with pytest.raises(export.ExportError, match="linalg_cholesky"):
        export.build(lambda a: L.cholesky(a) * 2, taeda.eye(2), tmp_path, name="x")


def test_the_graph_prints_and_parses():
    from taeda.ir.text import parse

    traced = taeda.jit.trace(lambda a: L.svd(a, full_matrices=False)[1].sum(), taeda.ones(3, 2))
    text = str(traced.graph)
    assert "foreign _linalg_svd" in text
    assert str(parse(text)) == text


def test_calls_of_foreign_routines_check_their_arguments():
    for arguments in ((1.5,), (None,), ((1, 2),), ([1],), (2**40,), tuple(range(30))):
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            call_each(1, arguments, 0)
    with pytest.raises(ValueError):
        call_each(0, (), 1)
