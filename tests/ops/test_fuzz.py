"""Every operator with arguments that make sense and arguments that do not: it computes or raises, it never crashes.

Runs under the sanitizers too (`make asan`), where a read or write out of bounds ends the process.
"""

from __future__ import annotations

import inspect
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import taeda
from taeda._bind import bound
from taeda.ops.table import TABLE

from .samples import Maker, convert, is_plain_map, pointwise_sample, samples_of, tensor

SHAPES = ((), (0,), (1,), (3,), (2, 3), (3, 2), (0, 4), (2, 1, 3), (1, 2, 3, 4), (2, 3, 4, 5, 1))
DTYPES = (taeda.float32, taeda.float32, taeda.int64, taeda.bool)
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    0.5,
    -1.5,
    True,
    float("nan"),
    -float("inf"),
    2**62,
    2**63 - 1,
    -(2**63),
)
SMALL = (0, 1, -1, 2, -2, 3, 5, 2**40, -(2**40), 2**62)
LISTS = (
    [],
    [0],
    [1],
    [-1],
    [0, 1],
    [1, 0],
    [2, 3],
    [3, 3],
    [0, 0],
    [5],
    [-1, -1],
    [2**40, 2**40],
    [2**62],
    [0, 2**62],
    [1, 2, 0],
)
OTHERS = (
    None,
    "a",
    "sum",
    "mean",
    "none",
    "ij,jk->ik",
    True,
    False,
    taeda.int64,
    taeda.float32,
    taeda.bool,
    object(),
    (),
    {},
)
# what these do with a wrong argument is to take all memory, or they are not computations
SKIPPED = {"set_printoptions", "seed", "manual_seed", "set_rng_state"}


def a_tensor(r: random.Random) -> taeda.Tensor:
    shape, dtype = r.choice(SHAPES), r.choice(DTYPES)
    x = taeda.arange(max(1, taeda.zeros(shape).numel()) * 2)
    kind = r.randrange(8)
    if kind == 0:
        x = x * (2**61)  # extreme integers, infinite or huge floats
    if kind == 1:
        x = x - 3
    x = x.to(dtype)
    if kind == 2 and dtype is taeda.float32:
        x = x / 0.0
    n = taeda.zeros(shape).numel()
    x = x[1::2][:n].reshape(shape) if kind == 3 and x.numel() > 2 * n else x[:n].reshape(shape)
    if kind == 4 and x.dim():
        x = x.transpose(0, -1)
    if kind == 5 and x.numel():
        x = x.as_strided((2, 2), (1, 0)) if x.numel() > 1 else x.expand(3, *x.shape)  # overlapping elements
    if kind == 6 and dtype is taeda.float32:
        x = x.detach().requires_grad_()
    return x


def an_argument(r: random.Random) -> object:
    kind = r.randrange(12)
    if kind < 4:
        return a_tensor(r)
    if kind < 6:
        return r.choice(SMALL)
    if kind < 7:
        return r.choice(NUMBERS)
    if kind < 9:
        return list(r.choice(LISTS))
    if kind < 10:
        return [a_tensor(r) for _ in range(r.randrange(4))]
    return r.choice(OTHERS)


def names_of(op) -> list[str]:
    if op.params:
        parts = [p.split("=")[0].split() for p in op.params.split(",")]
        return [p[-1] for p in parts if p and p[-1] != "*"]
    front = op.front or op.fn
    return [p for p in inspect.signature(front).parameters if p not in ("args", "kwargs")]


def right_arguments(op, r: random.Random) -> tuple[list, dict]:
    """A call that works, if the operator has samples."""
    if is_plain_map(op):
        return [tensor(x, "f32") for x in pointwise_sample(op, "same", Maker(op.name))], {}
    if op.samples:
        args, kwargs = r.choice(samples_of(op))
        return [convert(a, "f32") for a in args], convert(kwargs, "f32")
    return [a_tensor(r)], {}


def call_nearly_right(function, op, r: random.Random) -> None:
    """One or two arguments of a right call are replaced."""
    args, kwargs = right_arguments(op, r)
    for _ in range(r.randrange(3)):
        k = r.randrange(len(args) + len(kwargs)) if args or kwargs else 0
        if k < len(args):
            args[k] = an_argument(r) if r.random() < 0.5 else a_tensor(r)
        elif kwargs:
            kwargs[list(kwargs)[k - len(args)]] = an_argument(r)
    attempt(function, args, kwargs)


def call_at_random(function, r: random.Random, names: list[str]) -> None:
    first = [a_tensor(r)] if r.random() < 0.85 else [an_argument(r)]
    count = r.randrange(max(1, len(names)) + 1)
    args = first + [an_argument(r) for _ in range(max(0, count - 1))]
    attempt(function, args, {n: an_argument(r) for n in names[len(args) :] if r.random() < 0.3})


def attempt(function, args: list, kwargs: dict) -> None:
    try:
        result = function(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, OverflowError, ZeroDivisionError, AssertionError, KeyError,
            AttributeError, MemoryError) as error:  # fmt: skip
        assert str(error) or isinstance(error, MemoryError), f"{type(error).__name__} without a word"
        return
    results = result if isinstance(result, (tuple, list)) else [result]
    for y in results:
        if isinstance(y, taeda.Tensor) and y.numel() < 10**6:  # expanded ones can be endless
            y.detach().to(taeda.float64).sum().item()  # reads every element
            if y.requires_grad and y.is_floating_point():
                try:
                    y.sum().backward()
                except RuntimeError as error:
                    assert str(error)


@pytest.mark.parametrize("name", sorted(n for n in TABLE if n not in SKIPPED and "." not in n))
@given(seed=st.integers(0, 2**32))
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_operators(name, seed):
    r = random.Random(f"{name} {seed}")
    call_nearly_right(bound(name), TABLE[name], r)
    call_at_random(bound(name), r, names_of(TABLE[name]))


METHODS = (
    "__getitem__",
    "__setitem__",
    "as_strided",
    "view",
    "reshape",
    "to",
    "copy_",
    "set_",
    "resize_",
    "new_zeros",
    "type",
    "numpy",
    "tolist",
)


@pytest.mark.parametrize("name", [m for m in METHODS if hasattr(taeda.Tensor, m)])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_methods(name, seed):
    call_at_random(getattr(taeda.Tensor, name), random.Random(f"{name} {seed}"), ["self", "a", "b", "c"])
