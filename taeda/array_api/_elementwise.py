"""Elementwise functions.

They are PyTorch's with the standard's promotion: a zero-dimensional tensor counts as any other, and either operand may be
a Python number.
"""

from __future__ import annotations

from collections.abc import Callable

import taeda as td
from taeda import Tensor

from ._dtypes import kind_of, promoted

Operand = Tensor | bool | int | float | complex
Unary = Callable[[Tensor], Tensor]
Binary = Callable[[Operand, Operand], Tensor]


def _unary(name: str, public: str = "") -> Unary:
    make = getattr(td, name)

    def call(x: Tensor, /) -> Tensor:
        return make(x)

    return _named(call, public or name, make)


def _binary(name: str, public: str = "") -> Binary:
    make = getattr(td, name)

    def call(x1: Operand, x2: Operand, /) -> Tensor:
        return make(*_operands(x1, x2, call.__name__))

    return _named(call, public or name, make)


def _named(call, name: str, make):
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{(make.__doc__ or name).strip()}\n\nElementwise, with the array API standard's promotion."
    return call


def _operands(x1: Operand, x2: Operand, name: str) -> tuple[Operand, Operand]:
    if isinstance(x1, Tensor) and isinstance(x2, Tensor):
        if x1.dtype is x2.dtype:
            return x1, x2
        a, b = promoted(x1, x2)
        return a, b
    if isinstance(x2, Tensor):
        return as_tensor(x1, x2), x2
    if isinstance(x1, Tensor):
        return x1, as_tensor(x2, x1)
    raise TypeError(f"{name}(): at least one operand must be a Tensor, got {type(x1).__name__} and {type(x2).__name__}")


def as_tensor(number: Operand, beside: Tensor) -> Tensor:
    """A Python number as a tensor of the dtype that it gets beside a tensor."""
    if isinstance(number, Tensor):
        return number
    return td.tensor(number, dtype=td.result_type(td.empty(1, dtype=beside.dtype), number))


abs, positive, negative = _unary("abs"), _unary("positive"), _unary("negative")
acos, acosh, asin, asinh, atan, atanh = (_unary(n) for n in ("acos", "acosh", "asin", "asinh", "atan", "atanh"))
cos, cosh, sin, sinh, tan, tanh = (_unary(n) for n in ("cos", "cosh", "sin", "sinh", "tan", "tanh"))
exp, expm1, log, log1p, log2, log10 = (_unary(n) for n in ("exp", "expm1", "log", "log1p", "log2", "log10"))
sqrt, square, reciprocal = _unary("sqrt"), _unary("square"), _unary("reciprocal")
ceil, floor, trunc = _unary("ceil"), _unary("floor"), _unary("trunc")
isfinite, isinf, isnan, signbit = _unary("isfinite"), _unary("isinf"), _unary("isnan"), _unary("signbit")
bitwise_invert, logical_not = _unary("bitwise_not", "bitwise_invert"), _unary("logical_not")

add, subtract, multiply, divide = (_binary(n) for n in ("add", "subtract", "multiply", "divide"))
floor_divide, remainder, pow = _binary("floor_divide"), _binary("remainder"), _binary("pow")
atan2, hypot, copysign, nextafter, logaddexp = (
    _binary(n) for n in ("atan2", "hypot", "copysign", "nextafter", "logaddexp")
)
maximum, minimum = _binary("maximum"), _binary("minimum")
equal, not_equal = _binary("eq", "equal"), _binary("not_equal")
less, less_equal, greater, greater_equal = (_binary(n) for n in ("less", "less_equal", "greater", "greater_equal"))
logical_and, logical_or, logical_xor = (_binary(n) for n in ("logical_and", "logical_or", "logical_xor"))
bitwise_and, bitwise_or, bitwise_xor = (_binary(n) for n in ("bitwise_and", "bitwise_or", "bitwise_xor"))
bitwise_left_shift, bitwise_right_shift = _binary("bitwise_left_shift"), _binary("bitwise_right_shift")


def conj(x: Tensor, /) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    return td.conj(x).resolve_conj() if x.is_complex() else x


def real(x: Tensor, /) -> Tensor:
    """The real part; a real tensor itself."""
    return td.real(x) if x.is_complex() else x


def imag(x: Tensor, /) -> Tensor:
    """The imaginary part; zeros for a real tensor."""
    return td.imag(x) if x.is_complex() else td.zeros_like(x)


def round(x: Tensor, /) -> Tensor:
    """Rounds to the nearest integer, halves to the even one; the parts of complex numbers each."""
    return td.complex(td.round(x.real), td.round(x.imag)) if x.is_complex() else td.round(x)


def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1 as the elements are negative, zero or positive, NaN for NaN; complex numbers divided by their size."""
    return td.where(td.isnan(x), x, td.sgn(x)) if x.is_floating_point() else td.sgn(x)


def clip(x: Tensor, /, min: Tensor | float | None = None, max: Tensor | float | None = None) -> Tensor:
    """x limited to [min, max], which broadcast against it. The result has the dtype of x."""
    for bound, limit in ((min, td.maximum), (max, td.minimum)):
        if isinstance(bound, Tensor):
            x = limit(x, bound.to(x.dtype))
        elif bound is not None:
            x = limit(x, td.tensor(_within(bound, x), dtype=x.dtype))
    return x.clone() if min is None and max is None else x


def _within(bound: float, x: Tensor) -> float:
    """A bound that x's dtype can hold and that limits x as `bound` does."""
    if kind_of(x.dtype) in ("signed integer", "unsigned integer"):
        limits = td.iinfo(x.dtype)
        bound = limits.min if bound < limits.min else limits.max if bound > limits.max else bound
    return bound


__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "clip",
    "conj",
    "copysign",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "real",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
]
