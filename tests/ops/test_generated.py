"""Tests that the operator table generates: every entry with an oracle, forward and backward."""

from __future__ import annotations

import numpy
import pytest

import taeda
from taeda._bind import bound
from taeda.ops.table import complexes, floating, integral

from . import gradients, samples
from .samples import (
    CASES,
    Maker,
    close,
    convert,
    oracle_of,
    plain_maps,
    pointwise_sample,
    sampled,
    samples_of,
    tensor,
    with_defaults,
)

MAPS = plain_maps()
CURVES = with_defaults()
SAMPLED = sampled()


def _name(op):
    return op.name


def _expected(op, arrays):
    with numpy.errstate(all="ignore"):
        return numpy.asarray(oracle_of(op)(*arrays))


# -- pointwise: forward ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("op", MAPS, ids=_name)
def test_map_shapes(op, case):
    arrays = pointwise_sample(op, case, Maker(op.name))
    code = "f64"
    if "f64" not in op.accepts:
        code = "i64"
        arrays = [numpy.trunc(x).astype(numpy.int64) for x in arrays]
    close(bound(op.name)(*(tensor(x) for x in arrays)), _expected(op, arrays), code, op.name)


@pytest.mark.parametrize("op", MAPS, ids=_name)
def test_map_dtypes(op):
    arrays = pointwise_sample(op, "same", Maker(op.name))
    for code in op.accepts:
        if code in complexes:
            continue  # tests/ops/test_complex.py
        if code in floating:
            operands = [tensor(x, code) for x in arrays]
            expected = _expected(op, [x.double().numpy() for x in operands])
            if op.out_types == "b":
                expected = _expected(op, [x.float().numpy() for x in operands])
        else:
            kind = samples.DTYPES[code]
            whole = [(abs(x) if code == "u8" else numpy.trunc(x)).astype(kind) for x in arrays]
            operands, expected = [tensor(x) for x in whole], _expected(op, whole)
        result = bound(op.name)(*operands)
        assert result.dtype.code == (code if op.out_types in ("T", "r") else "b1"), (
            f"{op.name} of {code} gives {result.dtype}"
        )
        close(result, expected, code, f"{op.name} of {code}")


@pytest.mark.parametrize("op", [op for op in MAPS if op.to_float], ids=_name)
def test_map_integers_compute_in_float(op):
    arrays = [numpy.ones((3,), numpy.int32) for _ in op.in_types]
    low, high = samples.domains(op)[0]
    if not low <= 1 <= high:
        pytest.skip("1 is outside the domain")
    result = bound(op.name)(*(tensor(x) for x in arrays))
    if op.out_types == "T":
        assert result.dtype is taeda.float32
    close(result, _expected(op, [x.astype(float) for x in arrays]), "f32", op.name)


@pytest.mark.parametrize("op", [op for op in MAPS if len(op.in_types) == 2], ids=_name)
def test_map_numbers(op):
    x, _ = pointwise_sample(op, "same", Maker(op.name))
    low, high = samples.domains(op)[1]
    if "f64" in op.accepts:
        number = (low + high) / 2 + 0.25
        close(bound(op.name)(tensor(x), number), _expected(op, [x, number]), "f64", op.name)
    else:
        x = numpy.trunc(x).astype(numpy.int64)
        close(bound(op.name)(tensor(x), 2), _expected(op, [x, 2]), "i64", op.name)


@pytest.mark.parametrize("op", CURVES, ids=_name)
def test_map_with_parameters(op):
    x = Maker(op.name)(4, 5, low=samples.domains(op)[0][0], high=samples.domains(op)[0][1])
    for code in ("f64", "f32", "bf16"):
        t = tensor(x, code)
        close(bound(op.name)(t), _expected(op, [t.double().numpy()]), code, op.name)


# -- pointwise: in place, out= -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", [op for op in MAPS + CURVES if op.inplace], ids=_name)
def test_in_place_twin(op):
    x = Maker(op.name)(3, 4, low=samples.domains(op)[0][0], high=samples.domains(op)[0][1])
    operands = [tensor(x if "f64" in op.accepts else numpy.trunc(x).astype(numpy.int64))]
    for low, high in samples.domains(op)[1 : op.in_types.count("T")]:
        y = Maker(op.name + "2")(3, 4, low=low, high=high)
        operands.append(tensor(y if "f64" in op.accepts else numpy.trunc(y).astype(numpy.int64)))
    expected = bound(op.name)(*operands)
    version = operands[0]._version
    result = bound(op.name + "_")(*operands)
    assert result is operands[0]
    assert operands[0]._version > version
    close(result, expected.to(result.dtype).numpy(), "f64", op.name)


@pytest.mark.parametrize("op", [op for op in MAPS if op.out and op.function and op.name[0] != "_"], ids=_name)
def test_out(op):
    arrays = pointwise_sample(op, "broadcast", Maker(op.name))
    if "f64" not in op.accepts:
        arrays = [numpy.trunc(x).astype(numpy.int64) for x in arrays]
    operands = [tensor(x) for x in arrays]
    expected = bound(op.name)(*operands)
    out = taeda.empty(expected.shape, dtype=expected.dtype)
    assert getattr(taeda, op.name)(*operands, out=out) is out
    close(out, expected.numpy(), "f64", op.name)


# -- pointwise: gradients ----------------------------------------------------------------------------------------------
def _differentiable(op):
    return op.grad is not False and "f64" in op.accepts and op.out_types == "T"


@pytest.mark.parametrize("op", [op for op in MAPS if _differentiable(op)], ids=_name)
def test_map_gradients(op):
    for shapes in (((2, 3), (2, 3), (2, 3)), ((2, 1), (3,), (1, 3))):
        maker = Maker(op.name)
        operands = [tensor(maker(*s, low=low, high=high)) for s, (low, high) in zip(shapes, samples.domains(op))]
        assert gradients.check(bound(op.name), operands, {}, what=op.name)


@pytest.mark.parametrize("op", [op for op in CURVES if _differentiable(op)], ids=_name)
def test_parameterised_gradients(op):
    low, high = samples.domains(op)[0]
    assert gradients.check(bound(op.name), [tensor(Maker(op.name)(3, 4, low=low, high=high))], {}, what=op.name)


# -- everything with samples of its own --------------------------------------------------------------------------------
@pytest.mark.parametrize("op", SAMPLED, ids=_name)
def test_sampled(op):
    for args, kwargs in samples_of(op):
        expected = oracle_of(op)(*args, **kwargs)
        for code in ("f64", "f32"):
            result = bound(op.name)(*convert(list(args), code), **convert(kwargs, code))
            close(result, expected, code, f"{op.name}{_text(args, kwargs)} of {code}")


@pytest.mark.parametrize(
    "op",
    [op for op in SAMPLED if op.kind in ("reduce", "scan", "view", "gather", "sort", "cat", "contract")],
    ids=_name,
)
def test_sampled_integers(op):
    if op.accepts and not set(op.accepts) & set(integral):
        pytest.skip("floating point only")
    for args, kwargs in samples_of(op):
        whole = _as_integers(list(args))
        result = bound(op.name)(*convert(whole, None), **kwargs)
        close(result, oracle_of(op)(*whole, **kwargs), "f64", f"{op.name}{_text(args, kwargs)}")


@pytest.mark.parametrize("op", [op for op in SAMPLED if op.opcheck is not False and op.grad is not False], ids=_name)
def test_sampled_gradients(op):
    found = [
        gradients.check(
            bound(op.name), convert(list(args), "f64"), convert(kwargs, "f64"), what=f"{op.name}{_text(args, kwargs)}"
        )
        for args, kwargs in samples_of(op)
    ]
    assert any(found), f"{op.name}: no sample has anything to differentiate by"


def _as_integers(value):
    if isinstance(value, numpy.ndarray):
        return (value * 5).astype(numpy.int64) if value.dtype.kind == "f" else value
    if isinstance(value, list):
        return [_as_integers(v) for v in value]
    return value


def _text(args, kwargs):
    parts = [f"array{a.shape}" if isinstance(a, numpy.ndarray) else repr(a) for a in args]
    return "(" + ", ".join(parts + [f"{k}={v!r}" for k, v in kwargs.items() if not isinstance(v, numpy.ndarray)]) + ")"
