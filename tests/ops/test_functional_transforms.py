"""The functions of nn.functional, compiled and under vmap: the same bits as run op by op, and the same numbers as run
once for every element."""

from __future__ import annotations

import numpy
import pytest

import taeda

from .calls_functional import CALLS
from .samples import Maker, tensor

EVERY = [(name, k) for name, calls in CALLS.items() for k in range(len(calls) if isinstance(calls, list) else 1)]
CHANCE = ("dropout", "rrelu")


def _case(name, k, other=""):
    calls = CALLS[name]
    fn, make = calls[k] if isinstance(calls, list) else calls
    return fn, [tensor(x) for x in make(Maker(name + other))]


def _tensors(result):
    return [r for r in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(r, taeda.Tensor)]


def _with_gradients(fn):
    """Results and gradients of their sum."""

    def call(*args):
        leaves = [a.detach().requires_grad_() for a in args]
        results = _tensors(fn(*leaves))
        total = sum(r.sum() for r in results if r.requires_grad)
        return [r.detach() for r in results], list(taeda.autograd.grad(total, leaves))

    return call


@pytest.mark.parametrize(("name", "k"), EVERY)
def test_compiled(name, k):
    fn, args = _case(name, k)
    fn = _with_gradients(fn)
    for group, expected in zip(taeda.compile(lambda *a: fn(*a))(*args), fn(*args)):
        assert len(group) == len(expected)
        assert all(taeda.equal(a, b) for a, b in zip(group, expected))


@pytest.mark.parametrize(("name", "k"), [(n, k) for n, k in EVERY if not any(c in n for c in CHANCE)])
def test_vmap(name, k):
    fn, one = _case(name, k)
    _, two = _case(name, k, "2")
    found = _tensors(taeda.func.vmap(fn)(*(taeda.stack(pair) for pair in zip(one, two))))
    for result, *expected in zip(found, _tensors(fn(*one)), _tensors(fn(*two))):
        numpy.testing.assert_allclose(result.numpy(), taeda.stack(expected).numpy(), 1e-9, 1e-10)
