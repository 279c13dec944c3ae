"""Comparisons, logic and selection."""

from __future__ import annotations

from .namespace import F, Tensor
from .scalar import cast, isfinite, isinf, isnan, select
from .table import anything, composite, everything, field, floating, pointwise

for _name, _fn, _slot, _alias, _oracle, _doc in (
    ("eq", lambda a, b: a.eq(b), "==", (), "a == b", "input == other, element by element."),
    ("ne", lambda a, b: a.ne(b), "!=", ("not_equal",), "a != b", "input != other, element by element."),
    ("lt", lambda a, b: a < b, "<", ("less",), "a < b", "input < other, element by element."),
    ("le", lambda a, b: a <= b, "<=", ("less_equal",), "a <= b", "input <= other, element by element."),
    ("gt", lambda a, b: a > b, ">", ("greater",), "a > b", "input > other, element by element."),
    ("ge", lambda a, b: a >= b, ">=", ("greater_equal",), "a >= b", "input >= other, element by element."),
):
    pointwise(
        _name,
        _fn,
        types="TT->b",
        accepts=everything if _name in ("eq", "ne") else anything,
        slots=(_slot,),
        aliases=_alias,
        oracle=_oracle,
        doc=_doc,
    )


def _truth(x):
    return cast(x, "b1")


pointwise(
    "logical_and",
    lambda a, b: _truth(a) & _truth(b),
    types="TT->b",
    accepts=everything,
    oracle="numpy.logical_and(a, b)",
    doc="Both nonzero.",
)
pointwise(
    "logical_or",
    lambda a, b: _truth(a) | _truth(b),
    types="TT->b",
    accepts=everything,
    oracle="numpy.logical_or(a, b)",
    doc="Either nonzero.",
)
pointwise(
    "logical_xor",
    lambda a, b: _truth(a) ^ _truth(b),
    types="TT->b",
    accepts=everything,
    oracle="numpy.logical_xor(a, b)",
    doc="Exactly one nonzero.",
)
pointwise(
    "logical_not", lambda x: ~_truth(x), types="T->b", accepts=everything, oracle="numpy.logical_not(x)", doc="Zero."
)
pointwise("isnan", isnan, types="T->b", accepts=everything, oracle="numpy.isnan(x)", doc="True where NaN.")
pointwise("isinf", isinf, types="T->b", accepts=everything, oracle="numpy.isinf(x)", doc="True where infinite.")
pointwise(
    "isfinite",
    isfinite,
    types="T->b",
    accepts=everything,
    oracle="numpy.isfinite(x)",
    doc="True where neither infinite nor NaN.",
)
pointwise(
    "isposinf",
    lambda x: x.eq(float("inf")),
    types="T->b",
    accepts=floating,
    to_float=True,
    oracle="numpy.isposinf(x)",
    doc="True where plus infinity.",
)
pointwise(
    "isneginf",
    lambda x: x.eq(float("-inf")),
    types="T->b",
    accepts=floating,
    to_float=True,
    oracle="numpy.isneginf(x)",
    doc="True where minus infinity.",
)


def _signbit(x):
    from .expr import FLOATS, bitcast

    if x.dtype in FLOATS:
        return bitcast(x, "i32" if x.dtype == "f32" else "i64") < 0
    return x < 0


pointwise(
    "signbit", _signbit, types="T->b", oracle="numpy.signbit(x)", doc="True where the sign bit is set, -0.0 included."
)

pointwise(
    "_where",
    lambda c, a, b: select(c, a, b),
    types="bTT->T",
    params="Tensor condition, Tensor|Number input, Tensor|Number other",
    accepts=everything,
    grad=(None, lambda g, c: select(c, g, 0), lambda g, c: select(c, 0, g)),
    method=False,
)


@composite(
    out=True,
    oracle="lambda c, a, b: numpy.where(c, a, b)",
    samples=lambda t: [
        ((t.bools(3, 4), t(3, 4), t(4)), {}),
        ((t.bools(3, 1), t(3, 4), 0.5), {}),
        ((t.bools(4), 1.5, t(3, 4)), {}),
    ],
)
def where(condition: Tensor, input=None, other=None):
    """input where condition holds, else other. With the condition alone: the indices of its nonzero elements, one
    tensor a dimension.
    """
    if input is None and other is None:
        return F.nonzero(condition, as_tuple=True)
    if condition.dtype is not F.bool:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {condition.dtype}"
        )
    if not isinstance(input, F.Tensor) and not isinstance(other, F.Tensor):
        input = F.scalar_tensor(input, like=other)
    return F._where(condition, input, other)


def _where_method(self, condition, other):
    """self where condition holds, else other."""
    return F.where(condition, self, other)


composite("_where_method", method="where", function=False)(_where_method)


def _close(a, b, rtol, atol, equal_nan):
    size = abs(b)
    rtol, atol = cast(rtol, size.dtype), cast(atol, size.dtype)  # real numbers, whatever a and b are
    inside = (abs(a - b) <= size * rtol + atol) & isfinite(b) | a.eq(b)
    return inside | (isnan(a) & isnan(b)) if equal_nan else inside


pointwise(
    "_isclose",
    lambda a, b, rtol, atol: _close(a, b, rtol, atol, False),
    types="TTpp->b",
    accepts=field,
    to_float=True,
    method=False,
    params="Tensor input, Tensor other, Number rtol, Number atol",
)
pointwise(
    "_isclose_nan",
    lambda a, b, rtol, atol: _close(a, b, rtol, atol, True),
    types="TTpp->b",
    accepts=field,
    to_float=True,
    method=False,
    params="Tensor input, Tensor other, Number rtol, Number atol",
)


@composite(
    method=True,
    opcheck=False,
    oracle="lambda a, b, **k: numpy.isclose(a, b, **k)",
    samples=lambda t: [((t(3, 4), t(3, 4)), {"atol": 0.5}), ((t(3, 4), t(4)), {"rtol": 0.5})],
)
def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """True where |input - other| <= atol + rtol * |other|."""
    if input.dtype is not other.dtype:
        raise RuntimeError(
            f"isclose(): expected input and other to have the same dtype, got {input.dtype} and {other.dtype}"
        )
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose(): rtol and atol must be >= 0, got {rtol} and {atol}")
    return (F._isclose_nan if equal_nan else F._isclose)(input, other, rtol, atol)


@composite(method=True)
def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether every element is close; a Python bool."""
    return bool(F.isclose(input, other, rtol, atol, equal_nan).all())


@composite(method=True)
def is_nonzero(input):
    """Whether the one element is not zero; a Python bool."""
    if input.numel() != 1:
        raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
    return input.item() != 0


@composite(method=True)
def equal(input, other):
    """Whether shape and every element are the same; a Python bool."""
    return tuple(input.shape) == tuple(other.shape) and bool(F.eq(input, other).all())
