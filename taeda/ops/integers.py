"""Functions of whole numbers, and of floating point numbers as whole steps: gcd, lcm, frexp."""

from __future__ import annotations

import math

from .expr import Expr, as_expr, bitcast, cast, const, loop, select
from .helpers import tensor_argument
from .namespace import F
from .table import composite, floating, integral, pointwise


# -- divisors ----------------------------------------------------------------------------------------------------------
def _gcd(a: Expr, b: Expr) -> Expr:
    """Euclid's algorithm; 92 steps are enough for 64 bits (Lame 1844)."""
    found, _ = loop((a, b), lambda a, b: (b.ne(0), (b, a % b)), limit=93)
    return abs(found)


def _lcm(a: Expr, b: Expr) -> Expr:
    divisor = _gcd(a, b)
    return abs(select(divisor.eq(0), as_expr(0, a.dtype), a / divisor * b))


def _whole_samples(t):
    a, b = t.ints(3, 4, low=-40, high=40), t.ints(4, low=-40, high=40)
    return [((a, b), {}), ((a * 6, b[0] * 0), {})]


for _name, _fn, _doc in (
    ("gcd", _gcd, "The greatest common divisor, element by element; gcd(0, 0) is 0."),
    ("lcm", _lcm, "The least common multiple, element by element; 0 where one of the two is 0."),
):
    pointwise(
        _name,
        _fn,
        types="TT->T",
        params="Tensor input, Tensor other",
        grad=False,
        accepts=integral,
        samples=_whole_samples,
        oracle=f"numpy.{_name}",
        doc=_doc,
    )


# -- parts of a floating point number ----------------------------------------------------------------------------------
def _exponent_bits(x: Expr) -> tuple[Expr, Expr, Expr]:
    """(bits of the magnitude scaled to be normal, exponent as frexp counts it, whether x is 0, infinite or NaN)."""
    whole, places, bias = ("i32", 23, 126) if x.dtype == "f32" else ("i64", 52, 1022)
    a = abs(x)
    smallest = 2.0 ** (1 - bias)
    lift = places + 2
    bits = bitcast(select(a < smallest, a * 2.0**lift, a), whole)
    exponent = (bits >> places) - bias - select(a < smallest, const(lift, whole), const(0, whole))
    special = a.eq(0) | ~(a < math.inf)
    return bits, exponent, special


def _mantissa(x: Expr) -> Expr:
    bits, _, special = _exponent_bits(x)
    places, bias = (23, 126) if x.dtype == "f32" else (52, 1022)
    y = bitcast((bits & ((1 << places) - 1)) | (bias << places), x.dtype)
    return select(special, x, select(x < 0, -y, y))


def _exponent(x: Expr) -> Expr:
    _, exponent, special = _exponent_bits(x)
    return cast(select(special, const(0, exponent.dtype), exponent), "i64")


pointwise(
    "_frexp_mantissa",
    _mantissa,
    types="T->T",
    grad=lambda g, x, y: select((abs(x) < math.inf) & x.ne(0), g * (y / x), g),
    accepts=floating,
    method=False,
    oracle="numpy.frexp(x)[0]",
    domain=(0.51, 0.99),
)
pointwise("_frexp_exponent", _exponent, types="T->i", params="Tensor input", grad=False, accepts=floating, method=False)


@composite(method=True, out=True, opcheck=False)
def frexp(input):
    """(mantissa, exponent): input = mantissa * 2 ** exponent with a magnitude of [1/2, 1), and exponent int32.

    0, infinities and NaN are their own mantissa, with exponent 0.
    """
    tensor_argument("frexp", "input", input)
    if not input.is_floating_point():
        raise RuntimeError(f"frexp(): only supports floating-point dtypes, got {input.dtype}")
    return F.result_pair("frexp", F._frexp_mantissa(input), F._frexp_exponent(input).to(F.int32))
