"""Divisors of integers, and the parts and neighbours of floating point numbers."""

from __future__ import annotations

from .expr import Expr, as_expr, bitcast, cast, const, select
from .namespace import F
from .scalar import isinf, isnan
from .table import composite, floating, integral, pointwise

#: Steps of Euclid's algorithm that integers of a width can take.
_STEPS = {"u8": 13, "i8": 11, "i16": 23, "i32": 46, "i64": 92}


def _gcd(a: Expr, b: Expr) -> Expr:
    a, b = abs(a), abs(b)
    for _ in range(_STEPS[a.dtype]):
        done = b.eq(0)
        a, b = select(done, a, b), select(done, b, a % b)
    return a


def _lcm(a: Expr, b: Expr) -> Expr:
    g = _gcd(a, b)
    return select(g.eq(0), as_expr(0, a.dtype), abs(a / g * b))


pointwise(
    "gcd", _gcd, accepts=integral, oracle="numpy.gcd(a, b)", domain=(-90, 90),
    doc="Greatest common divisor, not negative; gcd(0, 0) is 0.",
)  # fmt: skip
pointwise(
    "lcm", _lcm, accepts=integral, oracle="numpy.lcm(a, b)", domain=(-9, 9),
    doc="Least common multiple, not negative.",
)  # fmt: skip


def _exponent(x: Expr) -> Expr:
    """e with x = m 2^e and 0.5 <= |m| < 1; 0 for 0 and what is not finite."""
    y = cast(x, "f64")
    small = abs(y) < 2.0**-1000
    bits = bitcast(select(small, y * 2.0**100, y), "i64")
    e = ((bits >> 52) & 2047) - 1022 - select(small, const(100, "i64"), 0)
    return select(y.eq(0) | isinf(y) | isnan(y), const(0, "i64"), e)


def _mantissa(x: Expr) -> Expr:
    y = cast(x, "f64")
    small = abs(y) < 2.0**-1000
    bits = bitcast(select(small, y * 2.0**100, y), "i64")
    m = bitcast((bits & ~(2047 << 52)) | (1022 << 52), "f64")
    return cast(select(y.eq(0) | isinf(y) | isnan(y), y, m), x.dtype)


pointwise("_exponent", _exponent, types="T->i", accepts=floating, method=False, function=False, grad=False)
pointwise(
    "_mantissa",
    lambda x, e: _mantissa(x),
    types="Ti->T",
    params="Tensor input, Tensor exponent",
    accepts=floating,
    method=False,
    function=False,
    grad=(lambda g, x, e: g * _power_of_two(-e, g.dtype), None),
)


def _power_of_two(e: Expr, dtype: str) -> Expr:
    return cast(bitcast((e + 1023) << 52, "f64"), dtype)


@composite(method=True, opcheck=False)
def frexp(input, *, out=None):
    """(mantissa, exponent) with input = mantissa * 2^exponent and 0.5 <= |mantissa| < 1."""
    if not isinstance(input, F.Tensor):
        raise TypeError(f"frexp(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if not input.is_floating_point():
        raise RuntimeError(
            f"torch.frexp() only supports floating-point dtypes, got {input.dtype}".replace("torch.", "")
        )
    exponent = F._exponent(input)
    result = F.result_tuple("frexp", (F._mantissa(input, exponent), F.cast(exponent, F.int32)))
    return result if out is None else F.write_pair("frexp", result, out)
