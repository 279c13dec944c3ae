"""Bitwise operators, and the neighbours of floating point numbers."""

from __future__ import annotations

from .expr import bitcast, const
from .namespace import F
from .scalar import isnan, select
from .table import composite, discrete, integral, pointwise

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


def _next(a, b):
    # Floats of one sign are ordered as their bits are: the neighbour away from zero is the next integer.
    bits = "i32" if a.dtype == "f32" else "i64"
    least = bitcast(const(1, bits), a.dtype)
    moved = bitcast(bitcast(a, bits) + select((a < b).eq(a > 0), const(1, bits), const(-1, bits)), a.dtype)
    return select(isnan(a) | isnan(b), a + b, select(a.eq(b), b, select(a.eq(0), select(b > 0, least, -least), moved)))


pointwise("_nextafter", _next, grad=False, accepts=("f32", "f64"), method=False, oracle="numpy.nextafter(a, b)")


def _next_half(a, b):
    """`_next` on the bits of 16-bit floats, which no formula sees: they are computed with as float32."""
    one = F.ones((), dtype=F.int16)
    least = F.where(b > 0, one, -32767).view(a.dtype)
    moved = (a.view(F.int16) + F.where((a < b) == (a > 0), one, -one)).view(a.dtype)
    return F.where(F.isnan(a) | F.isnan(b), a + b, F.where(a == b, b, F.where(a == 0, least, moved)))


def _next_gradient(g, input, other, input_shape, input_dtype):
    return F.cast(F.sum_to_size(F.where(F.eq(input, other), 0, g), input_shape), input_dtype), F.zeros_like(other)


@composite(
    method=True,
    out=True,
    inplace=True,
    params="Tensor input, Tensor other",
    grad=_next_gradient,
    samples=lambda t: [((t(3, 4), t(4)), {})],
    oracle="numpy.nextafter",
)
def nextafter(input, other):
    """The floating point number next to input in the direction of other; other where they are equal."""
    dtype = F.result_type(input, other)
    a, b = (F.cast(x, dtype).contiguous() for x in F.broadcast_tensors(input, other))
    return _next_half(a, b) if dtype.itemsize == 2 and dtype.is_floating_point else F._nextafter(a, b)
