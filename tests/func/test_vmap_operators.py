"""vmap over every operator that has samples: the same as a loop, whichever arguments are batched, gradients included."""

from __future__ import annotations

import itertools

import numpy
import pytest
from ops import samples

import taeda
from taeda._bind import bound
from taeda.func import grad, vmap

SIZE = 3
#: Their result's shape, or a branch, depends on values: no batch can run them. The message must say so.
DATA_DEPENDENT = {
    "argwhere", "bincount", "histc", "histogram", "histogramdd", "masked_select", "masked_scatter", "nonzero", "one_hot",
    "repeat_interleave", "unique", "unique_consecutive",
}  # fmt: skip


def variants(array, k):
    """Another array of the same kind: permuted along the first dimension, so that domains and indices stay valid."""
    return array if array.ndim == 0 or k == 0 else numpy.roll(array, k, 0)


def batched(value, chosen, counter):
    """(the value with a batch in front where chosen, in_dims for it)."""
    if isinstance(value, (list, tuple)) and any(isinstance(v, numpy.ndarray) for v in value):
        pairs = [batched(v, chosen, counter) for v in value]
        return type(value)(p[0] for p in pairs), type(value)(p[1] for p in pairs)
    if isinstance(value, numpy.generic):
        return samples.tensor(value), None
    if isinstance(value, numpy.ndarray):
        if chosen[next(counter)]:
            return taeda.from_numpy(numpy.stack([variants(value, k) for k in range(SIZE)])), 0
        return samples.tensor(value), None
    return value, None


def picked(value, dims, k):
    if isinstance(value, (list, tuple)) and isinstance(dims, (list, tuple)):
        return type(value)(picked(v, d, k) for v, d in zip(value, dims))
    return value[k].clone() if dims == 0 else value


def arrays_in(value):
    if isinstance(value, (list, tuple)):
        return sum(map(arrays_in, value))
    return int(isinstance(value, numpy.ndarray))


def tensors_of(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def compare(fn, args, what):
    count = arrays_in(args)
    for chosen in itertools.product([True, False], repeat=min(count, 3)):
        chosen = (*chosen, *(False,) * (count - len(chosen)))
        if not any(chosen):
            continue
        counter = iter(range(count))
        given, dims = zip(*(batched(a, chosen, counter) for a in args))
        if any(isinstance(d, list) for d in dims):
            dims = tuple(tuple(d) if isinstance(d, list) else d for d in dims)
            given = tuple(tuple(g) if isinstance(d, tuple) else g for g, d in zip(given, dims))
        try:
            rows = [tensors_of(fn(*picked(given, dims, k))) for k in range(SIZE)]
        except (RuntimeError, IndexError, ValueError):
            continue  # the permuted arguments do not fit together
        got = tensors_of(vmap(lambda *a: tuple(tensors_of(fn(*a))), in_dims=dims)(*given))
        for column, whole in zip(zip(*rows), got):
            expected = taeda.stack(list(column))
            assert whole.dtype is expected.dtype, f"{what}: {whole.dtype}, not {expected.dtype}"
            assert whole.shape == expected.shape, f"{what} {chosen}: {whole.shape}, not {expected.shape}"
            if whole.dtype.is_floating_point or whole.dtype.is_complex:
                numpy.testing.assert_allclose(whole.numpy(), expected.numpy(), 1e-9, 1e-11, err_msg=what)
            else:
                numpy.testing.assert_array_equal(whole.numpy(), expected.numpy(), err_msg=what)


def run(op, args, kwargs, what):
    def fn(*a):
        return bound(op.name)(*a, **samples.convert(kwargs, "f64"))

    try:
        compare(fn, args, what)
    except RuntimeError as e:
        if op.name not in DATA_DEPENDENT or "vmap" not in str(e):
            raise


@pytest.mark.parametrize("op", [*samples.plain_maps(), *samples.with_defaults()], ids=lambda op: op.name)
def test_maps(op):
    if "f64" not in op.accepts:
        pytest.skip("no floats")
    for case in ("same", "mixed_dim"):
        arrays = samples.pointwise_sample(op, case, samples.Maker(op.name))
        run(op, arrays[: op.in_types.count("T")], {}, f"{op.name} {case}")


@pytest.mark.parametrize("op", samples.sampled(), ids=lambda op: op.name)
def test_samples(op):
    for number, (args, kwargs) in enumerate(samples.samples_of(op)):
        run(op, args, kwargs, f"{op.name}, sample {number}")


def floats_in(args):
    return [n for n, a in enumerate(args) if isinstance(a, numpy.ndarray) and a.dtype.kind == "f"]


@pytest.mark.parametrize(
    "op",
    [
        op
        for op in samples.sampled()
        if op.opcheck is not False and op.grad is not False and op.name not in DATA_DEPENDENT
    ],
    ids=lambda op: op.name,
)
def test_gradients_of_every_element(op):
    for number, (args, kwargs) in enumerate(samples.samples_of(op)[:2]):
        places = floats_in(args)
        if not places:
            continue
        rest = samples.convert(kwargs, "f64")

        def loss(x, args=args, rest=rest, at=places[0]):
            given = [samples.convert(a, "f64") for a in args]
            given[at] = x
            outputs = [y for y in tensors_of(bound(op.name)(*given, **rest)) if y.is_floating_point()]
            return sum((y * (k + 1.5)).square().sum() for k, y in enumerate(outputs))

        array = args[places[0]]
        batch = taeda.from_numpy(numpy.stack([variants(array, k) for k in range(SIZE)]))
        try:
            rows = [grad(loss)(batch[k].clone()) for k in range(SIZE)]
        except (RuntimeError, IndexError, ValueError):
            continue
        got = vmap(grad(loss))(batch)
        expected = taeda.stack(rows)
        what = f"gradient of {op.name}, sample {number}"
        numpy.testing.assert_allclose(got.numpy(), expected.numpy(), 1e-9, 1e-10, err_msg=what)
