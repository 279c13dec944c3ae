"""Every elementwise function against array-api-strict, on generated shapes, dtypes and values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from taeda import array_api as ours

from .worlds import ANY, BOOL, COMPLEX, FLOATING, FLOATS, INTEGERS, NUMERIC, REAL, check, function

UNARY = {
    **dict.fromkeys(["abs", "negative", "positive", "square", "sign"], NUMERIC),
    **dict.fromkeys(
        ["acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "sin", "sinh", "tan", "tanh"], FLOATING
    ),
    **dict.fromkeys(["exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "reciprocal"], FLOATING),
    **dict.fromkeys(["ceil", "floor", "trunc"], REAL),
    **dict.fromkeys(["isfinite", "isinf", "isnan", "round"], NUMERIC),
    **dict.fromkeys(["conj", "real"], NUMERIC),
    "imag": COMPLEX,
    "bitwise_invert": BOOL + INTEGERS,
    "logical_not": BOOL,
    "signbit": FLOATS,
}
BINARY = {
    **dict.fromkeys(["add", "subtract", "multiply"], NUMERIC),
    "divide": FLOATING,
    **dict.fromkeys(["equal", "not_equal"], ANY),
    **dict.fromkeys(["less", "less_equal", "greater", "greater_equal", "maximum", "minimum"], REAL),
    **dict.fromkeys(["atan2", "copysign", "hypot", "logaddexp", "nextafter"], FLOATS),
    **dict.fromkeys(["floor_divide", "remainder"], REAL),
    "pow": NUMERIC,
    **dict.fromkeys(["bitwise_and", "bitwise_or", "bitwise_xor"], BOOL + INTEGERS),
    **dict.fromkeys(["bitwise_left_shift", "bitwise_right_shift"], INTEGERS),
    **dict.fromkeys(["logical_and", "logical_or", "logical_xor"], BOOL),
}
#: Where NumPy itself is less exact, or complex formulas cancel.
LOOSE = {
    **dict.fromkeys(["logaddexp", "tan", "expm1", "log1p", "tanh"], 1e-5),
    **dict.fromkeys(["acosh", "asinh", "acos", "asin", "atanh", "pow"], 1e-4),
}
PROFILE = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def values(dtype: str, low=None, high=None):
    """Elements that the two libraries agree on: specials for real numbers, finite parts for complex ones."""
    if dtype == "bool":
        return st.booleans()
    if dtype in INTEGERS:
        limits = np.iinfo(dtype)
        return st.integers(max(limits.min, -9 if low is None else low), min(limits.max, 9 if high is None else high))
    numbers = st.floats(-4 if low is None else low, 4 if high is None else high, width=32).map(lambda x: round(x, 2))
    if dtype in COMPLEX:
        return st.builds(complex, numbers, numbers)
    special = [0.0, -0.0, 0.5, 1.5, 2.5, -1.0, np.inf, -np.inf, np.nan] if low is None else [0.5, 1.0, 1.5, 2.5, 3.5]
    return st.one_of(numbers, st.sampled_from(special))


def arrays(dtype: str, shape, **limits):
    return hnp.arrays(np.dtype(dtype), shape, elements=values(dtype, **limits))


def kind(dtype: str) -> tuple[str, ...]:
    return next(k for k in (BOOL, INTEGERS, FLOATS, COMPLEX) if dtype in k)


@pytest.mark.parametrize("name", UNARY)
@PROFILE
@given(data=st.data())
def test_unary(name, data):
    dtype = data.draw(st.sampled_from(UNARY[name]))
    x = data.draw(arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    if name == "reciprocal" and dtype in COMPLEX:
        x = np.asarray(x + 4.5, x.dtype)  # no zeros
    check(function(name), x, tolerance=LOOSE.get(name) if dtype in FLOATING else None)


@pytest.mark.parametrize("name", BINARY)
@PROFILE
@given(data=st.data())
def test_binary(name, data):
    dtype = data.draw(st.sampled_from(BINARY[name]))
    other = data.draw(st.sampled_from([d for d in BINARY[name] if d in kind(dtype)]))
    # the exponent, the shift and the divisor of integers
    limits = {"low": 0, "high": 5} if "shift" in name or (name == "pow" and dtype in INTEGERS) else {}
    if name == "pow" and dtype not in INTEGERS:
        limits = {"low": -2, "high": 2}
    if name in ("floor_divide", "remainder") and dtype in INTEGERS:
        limits = {"low": 1}
    if name in ("floor_divide", "remainder") and dtype in FLOATS:  # NumPy and PyTorch differ on infinities
        limits = {"low": 1, "high": 4}
    first = {"low": 0 if dtype in INTEGERS else -4, "high": 4} if name in ("pow", "floor_divide", "remainder") else {}
    if name == "divide" and dtype in COMPLEX:
        limits = {"low": 1, "high": 4}
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, min_side=0, max_side=4)).input_shapes
    a, b = data.draw(arrays(dtype, shapes[0], **first)), data.draw(arrays(other, shapes[1], **limits))
    if name == "pow" and dtype in COMPLEX:
        a = np.asarray(a + 4.5, a.dtype)  # no powers of zero
    signs = name not in ("maximum", "minimum")  # which one of 0 and -0 is larger is left open
    check(function(name), a, b, tolerance=LOOSE.get(name) if dtype in FLOATING else None, signs=signs)


@pytest.mark.parametrize("name", BINARY)
def test_numbers(name):
    """Either operand may be a Python number, which takes the tensor's dtype."""
    for dtype in BINARY[name]:
        number = True if dtype == "bool" else 2 if dtype in INTEGERS else 2.0
        x = np.asarray([1, 2, 3]).astype(dtype)
        check(function(name), x, number, tolerance=1e-6)
        check(function(name), number, x, tolerance=1e-6)
    with pytest.raises(TypeError, match=name):
        getattr(ours, name)(1, 2)


@PROFILE
@given(data=st.data())
def test_clip(data):
    dtype = data.draw(st.sampled_from(REAL))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    x = data.draw(arrays(dtype, shape, low=-9, high=9))
    number = st.integers(0, 4) if dtype in INTEGERS else st.floats(-4, 4, width=32)
    low, high = (data.draw(st.one_of(st.none(), number, arrays(dtype, shape, low=-4, high=4))) for _ in range(2))
    if low is not None and high is not None:
        both = isinstance(low, (int, float)) and isinstance(high, (int, float))
        high = max(low, high) if both else np.asarray(np.maximum(low, high), dtype)  # never below the lower bound
    check(function("clip"), x, low, high, signs=False)


def test_bounds_beyond_the_dtype():
    x = ours.asarray([-100, 0, 100], dtype=ours.int8)
    assert ours.clip(x, -1000, 1000).tolist() == [-100, 0, 100]
    assert ours.clip(x, 0).tolist() == [0, 0, 100]


def test_imag_of_real_numbers():
    assert ours.imag(ours.asarray([1.0, 2.0])).tolist() == [0.0, 0.0]
