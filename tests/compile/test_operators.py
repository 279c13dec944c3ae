"""Every operator of the table that has samples gives the same bits captured and compiled as in eager code, gradients
included."""

from __future__ import annotations

import pytest
from ops.samples import CASES, Maker, convert, plain_maps, pointwise_sample, sampled, samples_of, tensor, with_defaults

import taeda as td
from taeda._bind import bound
from taeda.capture import CaptureError
from taeda.utils import pytree

from .test_compile import same

#: Operators whose result's shape depends on values: a capture must refuse them, naming the line.
DATA_DEPENDENT = {
    "nonzero",
    "argwhere",
    "masked_select",
    "masked_scatter",
    "unique",
    "bincount",
    "histc",
    "repeat_interleave",
    "unique_consecutive",
    "one_hot",
    "histogram",
    "histogramdd",
    "pdist",
}
#: Operators whose gradient branches on values.
DATA_DEPENDENT_GRADIENT = {"cumprod", "vander"}
#: Operators without a gradient by their first argument.
WITHOUT_GRADIENT = {"igamma", "igammac", "special_zeta"}


def check(op, args, kwargs):
    fn = bound(op.name)
    td.manual_seed(1)
    want = fn(*args, **kwargs)
    td.manual_seed(1)
    try:
        got = td.compile(lambda *a: fn(*a, **kwargs))(*args)
    except CaptureError:
        if op.name in DATA_DEPENDENT:
            return False
        raise
    compare(op, want, got)
    return True


def compare(op, want, got):
    want, got = (list(x) if isinstance(x, (tuple, list)) else [x] for x in (want, got))
    assert len(want) == len(got)
    for a, b in zip(want, got):
        if isinstance(a, td.Tensor):
            assert same(a, b), f"{op.name}: {a} and {b}"
        else:
            assert a == b


def check_gradients(op, args, kwargs):
    fn = bound(op.name)

    def run(*a):
        result = fn(*a, **kwargs)
        outs = [
            r
            for r in (result if isinstance(result, (tuple, list)) else [result])
            if isinstance(r, td.Tensor) and r.requires_grad
        ]
        total = sum((o * o).sum() for o in outs)
        total.backward()

    leaves = []
    for f in (run, td.compile(run)):
        tensors, tree = pytree.flatten(args, lambda x: isinstance(x, td.Tensor))
        mine = [t.clone().requires_grad_() if t.is_floating_point() else t.clone() for t in tensors]
        td.manual_seed(1)
        try:
            f(*pytree.unflatten(tree, mine))
        except CaptureError:
            if op.name in DATA_DEPENDENT_GRADIENT:
                return
            raise
        leaves.append(mine)
    for a, b in zip(*leaves):
        if a.is_floating_point():
            assert same(a.grad, b.grad), f"{op.name}: gradients differ: {a.grad} and {b.grad}"


def differentiable(op, args, kwargs):
    tensors, tree = pytree.flatten(args, lambda x: isinstance(x, td.Tensor))
    floats = [t.clone().requires_grad_() if t.is_floating_point() else t for t in tensors]
    if not any(t.requires_grad for t in floats):
        return False
    result = bound(op.name)(*pytree.unflatten(tree, floats), **kwargs)
    outs = [r for r in (result if isinstance(result, (tuple, list)) else [result]) if isinstance(r, td.Tensor)]
    return any(r.requires_grad for r in outs)


def name(op):
    return op.name


@pytest.mark.parametrize("op", plain_maps(), ids=name)
def test_maps(op):
    for case in CASES:
        arrays = pointwise_sample(op, case, Maker(op.name))
        code = "f32" if "f32" in op.accepts else None
        operands = [tensor(x if code else x.astype("int64"), code) for x in arrays]
        check(op, operands, {})
    if code and "T" in op.out_types:
        operands = [tensor(x, "f32") for x in pointwise_sample(op, "broadcast", Maker(op.name))]
        if differentiable(op, operands, {}):
            check_gradients(op, operands, {})


@pytest.mark.parametrize("op", with_defaults(), ids=name)
def test_activations(op):
    x = tensor(Maker(op.name)(4, 5), "f32")
    check(op, [x], {})
    check_gradients(op, [x], {})


@pytest.mark.parametrize("op", sampled(), ids=name)
def test_samples(op):
    for args, kwargs in samples_of(op):
        args, kwargs = [convert(a, "f32") for a in args], {k: convert(v, "f32") for k, v in kwargs.items()}
        if any(isinstance(v, td.Tensor) for v in kwargs.values()):
            continue
        if (
            check(op, args, kwargs)
            and op.name not in DATA_DEPENDENT | WITHOUT_GRADIENT
            and differentiable(op, args, kwargs)
        ):
            check_gradients(op, args, kwargs)
