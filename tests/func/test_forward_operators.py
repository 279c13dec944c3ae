"""Forward mode of every operator: v . (J t) from tangents is (J^T v) . t from the tape."""

from __future__ import annotations

import numpy
import pytest
from ops.samples import Maker, convert, pointwise_sample, samples_of, tensor
from ops.test_generated import CURVES, MAPS, SAMPLED, _differentiable
from ops.test_gradients_rest import CALLS

import taeda
from taeda._bind import bound
from taeda.autograd import forward_ad, grad


def _floats(value):
    return isinstance(value, taeda.Tensor) and value.dtype is taeda.float64


def _outputs(result):
    found = result if isinstance(result, (tuple, list)) else (result,)
    return [r for r in found if isinstance(r, taeda.Tensor) and r.dtype.is_floating_point]


def _replace(value, fn):
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_replace(v, fn) for v in value)
    return fn(value) if _floats(value) else value


def check(fn, args, kwargs, what):
    random = numpy.random.default_rng(0)
    tangents = []

    def dual(x):
        tangents.append(taeda.from_numpy(random.standard_normal(tuple(x.shape))))
        return forward_ad.make_dual(x.detach().clone(), tangents[-1].clone())

    def leaf(x):
        leaves.append(x.detach().clone().requires_grad_())
        return leaves[-1]

    taeda.manual_seed(0)
    with forward_ad.dual_level():
        pairs = [forward_ad.unpack_dual(y) for y in _outputs(fn(*_replace(args, dual), **_replace(kwargs, dual)))]
    leaves: list = []
    taeda.manual_seed(0)
    outputs = _outputs(fn(*_replace(args, leaf), **_replace(kwargs, leaf)))
    assert len(pairs) == len(outputs)
    for k, (y, pair) in enumerate(zip(outputs, pairs)):
        numpy.testing.assert_allclose(pair.primal.numpy(), y.detach().numpy(), err_msg=f"{what}: result {k}")
        v = taeda.from_numpy(random.standard_normal(tuple(y.shape)))
        backward = 0.0
        if y.requires_grad:
            found = grad(y, leaves, v.to(y.dtype), allow_unused=True, retain_graph=True)
            backward = sum(float((g * t).sum()) for g, t in zip(found, tangents) if g is not None)
        forward = 0.0 if pair.tangent is None else float((pair.tangent * v).sum())
        assert tuple((pair.primal if pair.tangent is None else pair.tangent).shape) == tuple(y.shape), what
        tolerance = 1e-9 if y.dtype is taeda.float64 else 1e-4
        numpy.testing.assert_allclose(forward, backward, tolerance, tolerance, err_msg=f"{what}: tangent {k}")


@pytest.mark.parametrize("op", [op for op in (*MAPS, *CURVES) if _differentiable(op)], ids=lambda op: op.name)
def test_maps(op):
    for case in ("broadcast", "transposed", "empty"):
        arrays = pointwise_sample(op, case, Maker(op.name))[: op.in_types.count("T")]
        check(bound(op.name), [tensor(x) for x in arrays], {}, f"{op.name}, {case}")


SECOND = [op for op in SAMPLED if op.opcheck is not False and op.grad is not False]


@pytest.mark.parametrize("op", SECOND, ids=lambda op: op.name)
def test_sampled(op):
    for args, kwargs in samples_of(op):
        check(bound(op.name), convert(list(args), "f64"), convert(kwargs, "f64"), op.name)


#: PyTorch has no forward mode for these either.
BACKWARD_ONLY = {"lobpcg", "_lobpcg_pairs"}


@pytest.mark.parametrize("name", sorted(set(CALLS) - BACKWARD_ONLY))
def test_calls(name):
    calls = CALLS[name]
    for fn, make in calls if isinstance(calls, list) else [calls]:
        check(fn, [tensor(x) for x in make(Maker(name))], {}, name)
