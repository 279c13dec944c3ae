"""Hooks and switches of what the tape saves."""

import pytest

import taeda
from taeda.autograd import graph


def test_saved_tensors_may_be_written():
    x = taeda.ones(3, requires_grad=True)
    with graph.allow_mutation_on_saved_tensors():
        y = x * 2
        z = y * y
        y.add_(5)
        z.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [8, 8, 8]
    with graph.allow_mutation_on_saved_tensors():
        y = x * 3
        z = (y * y * y).sum()
        (g,) = taeda.autograd.grad(z, x, create_graph=True)
    assert taeda.autograd.grad(g.sum(), x)[0].tolist() == [162, 162, 162]


def test_saved_on_the_cpu():
    x = taeda.ones(3, requires_grad=True)
    with graph.save_on_cpu():
        y = (x * x).exp().sum()
    y.backward()
    assert taeda.allclose(x.grad, 2 * taeda.e * taeda.ones(3))


def test_hooks_can_be_refused():
    with (
        graph.disable_saved_tensors_hooks("not here"),
        pytest.raises(RuntimeError, match="not here"),
        graph.save_on_cpu(),
    ):
        pass
    with graph.save_on_cpu():
        pass


def test_versions_can_be_counted_up():
    x = taeda.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    before = y._version
    graph.increment_version(y)
    assert y._version == before + 1 and y.tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    graph.increment_version([taeda.ones(2), taeda.ones(())])
    with pytest.raises(RuntimeError, match="increment_version"):
        graph.increment_version(3)
