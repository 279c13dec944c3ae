"""Sample data and oracles of the operator table, as NumPy arrays: for the generated tests and the parity suite."""

from __future__ import annotations

import zlib

import numpy
import scipy.integrate
import scipy.linalg
import scipy.spatial
import scipy.special
import scipy.stats

import taeda
from taeda.ops.table import TABLE

from . import oracles

DTYPES = {
    "b1": "bool",
    "u8": "uint8",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
}
TOLERANCE = {"f16": (4e-3, 4e-3), "bf16": (3e-2, 3e-2), "f32": (2e-5, 2e-6), "f64": (1e-11, 1e-12)}


class Maker:
    """Random arrays, the same for an operator at every run."""

    def __init__(self, name: str):
        self.random = numpy.random.default_rng(zlib.crc32(name.encode()))

    def __call__(self, *shape, low=-1.0, high=1.0):
        # Distinct values a step apart, shuffled: no ties for sorts and maxima, no kink within a finite difference.
        n = int(numpy.prod(shape))
        values = low + (high - low) * (self.random.permutation(n) + 0.3 + 0.4 * self.random.random()) / max(n, 1)
        return values.reshape(shape)

    def ints(self, *shape, low=0, high):
        return self.random.integers(low, high, shape)

    def bools(self, *shape):
        return self.random.random(shape) < 0.5

    def permutation(self, n, k):
        return self.random.permutation(n)[:k]

    def permutations(self, rows, n, k):
        return numpy.stack([self.random.permutation(n)[:k] for _ in range(rows)])

    def sorted(self, n):
        return numpy.sort(self(n))


def oracle_of(op):
    """The entry's oracle as a callable, or None."""
    if not op.oracle:
        return None
    scope = {"numpy": numpy, "scipy": scipy, "oracles": oracles}
    code = compile(op.oracle, f"<oracle of {op.name}>", "eval")
    operands = [n for n in ("x", "a", "b", "c") if n in code.co_names]
    if not operands:
        return eval(code, scope)
    names = "x" if "x" in operands else ", ".join(("a", "b", "c")[: len(op.in_types)])
    return eval(f"lambda {names}: {op.oracle}", scope)


def domains(op) -> list[tuple[float, float]]:
    """(low, high) of each operand of a map operator."""
    d = op.domain or (-2.5, 2.5)
    return [d] * len(op.in_types) if not isinstance(d[0], tuple) else list(d)


#: Operand shapes of a pointwise operator, by case.
CASES = {
    "same": ((3, 4), (3, 4), (3, 4)),
    "broadcast": ((3, 1, 4), (2, 1), (3, 1, 1)),
    "zero_dim": ((), (), ()),
    "mixed_dim": ((3, 4), (), (4,)),
    "empty": ((0, 4), (1, 4), (0, 1)),
    "long": ((1037,), (1037,), (1,)),
    "transposed": ((5, 4, 3), (5, 4, 3), (5, 4, 3)),
}


def pointwise_sample(op, case: str, maker: Maker):
    """Operands for an operator over tensors only (letters T)."""
    arrays = []
    for (low, high), shape in zip(domains(op), CASES[case]):
        x = maker(*shape, low=low, high=high)
        arrays.append(x.T if case == "transposed" else x)
    return arrays


def samples_of(op):
    """[(args, kwargs)] of an entry with samples of its own."""
    return op.samples(Maker(op.name))


def is_plain_map(op) -> bool:
    return op.kind == "map" and op.oracle and not op.samples and set(op.in_types) <= {"T"}


def plain_maps():
    return [op for op in TABLE.values() if is_plain_map(op)]


def with_defaults():
    """Map operators over one tensor whose numbers all have defaults (activations)."""
    return [
        op
        for op in TABLE.values()
        if op.kind == "map" and op.oracle and not op.samples and set(op.in_types) == {"T", "p"}
    ]


def sampled():
    return [op for op in TABLE.values() if op.samples and op.oracle]


def tensor(array, code: str | None = None):
    """An array as a tensor with the same strides; floats take the dtype `code`."""
    array = numpy.asarray(array)
    t = taeda.from_numpy(array)
    if array.dtype.kind == "f" and code is not None and code != "f64":
        t = t.to(getattr(taeda, DTYPES[code]))
    return t


def convert(value, code):
    """Arrays inside arguments as tensors."""
    if isinstance(value, numpy.ndarray):
        return tensor(value, code)
    if isinstance(value, numpy.generic):
        return tensor(value, code)
    if isinstance(value, list):
        return [convert(v, code) for v in value]
    if isinstance(value, dict):
        return {k: convert(v, code) for k, v in value.items()}
    return value


def close(actual, expected, code="f64", what=""):
    """Same shape and values to the dtype's tolerance."""
    if isinstance(expected, (tuple, list)) and isinstance(actual, (tuple, list)):
        assert len(actual) == len(expected), what
        for a, e in zip(actual, expected):
            close(a, e, code, what)
        return
    if not isinstance(actual, taeda.Tensor):
        assert actual == expected, what
        return
    expected = numpy.asarray(expected)
    assert tuple(actual.shape) == expected.shape, f"{what}: shape {tuple(actual.shape)}, expected {expected.shape}"
    values = actual.detach()
    if values.dtype.is_floating_point:
        rtol, atol = TOLERANCE[min((values.dtype.code, code), key=("bf16", "f16", "f32", "f64").index)]
        numpy.testing.assert_allclose(values.double().numpy(), expected.astype(float), rtol, atol, err_msg=what)
    else:
        numpy.testing.assert_array_equal(values.numpy(), expected, err_msg=what)
