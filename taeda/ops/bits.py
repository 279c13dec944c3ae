"""Bitwise operators."""

from __future__ import annotations

from .scalar import select
from .table import discrete, integral, pointwise

pointwise(
    "bitwise_and",
    lambda a, b: a & b,
    grad=False,
    accepts=discrete,
    slots=("nb_and",),
    oracle="a & b",
    doc="Bitwise and.",
)
pointwise(
    "bitwise_or", lambda a, b: a | b, grad=False, accepts=discrete, slots=("nb_or",), oracle="a | b", doc="Bitwise or."
)
pointwise(
    "bitwise_xor",
    lambda a, b: a ^ b,
    grad=False,
    accepts=discrete,
    slots=("nb_xor",),
    oracle="a ^ b",
    doc="Bitwise exclusive or.",
)
pointwise(
    "bitwise_not", lambda x: ~x, grad=False, accepts=discrete, slots=("nb_invert",), oracle="~x", doc="Bitwise not."
)


def bit_count(x):
    return {"u8": 8, "i8": 8, "i16": 16, "i32": 32, "i64": 64}[x.dtype]


def _shift_left(
    a, b
):  # a shift by the width or more (or a negative one) is undefined on the machine: give 0, as PyTorch
    inside = (b < bit_count(a)) if b.dtype == "u8" else (b >= 0) & (b < bit_count(a))
    return select(inside, a << select(inside, b, 0), 0)


def _shift_right(a, b):
    inside = (b < bit_count(a)) if b.dtype == "u8" else (b >= 0) & (b < bit_count(a))
    return a >> select(inside, b, bit_count(a) - 1) if a.dtype != "u8" else select(inside, a >> select(inside, b, 0), 0)


pointwise(
    "bitwise_left_shift",
    _shift_left,
    grad=False,
    accepts=integral,
    slots=("nb_lshift",),
    aliases=("__lshift__",),
    oracle="a << b",
    domain=((-9, 9), (0, 5)),
    doc="input << other.",
)
pointwise(
    "bitwise_right_shift",
    _shift_right,
    grad=False,
    accepts=integral,
    slots=("nb_rshift",),
    aliases=("__rshift__",),
    oracle="a >> b",
    domain=((-9, 9), (0, 5)),
    doc="input >> other; arithmetic on signed integers.",
)
