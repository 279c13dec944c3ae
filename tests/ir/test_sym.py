"""Symbolic sizes: one canonical form, exact arithmetic, text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taeda.ir import sym as S

a, b, c = map(S.symbol, ("s0", "s1", "s10"))


def test_equal_sizes_compare_equal():
    assert a * b + b * a == 2 * a * b
    assert (a + b) * (a - b) == a * a - b * b
    assert (a + 1) - a == 1
    assert S.as_sym(3) == 3 and hash(S.as_sym(3)) == hash(3)
    assert (a * b).value is None and (a - a).value == 0


def test_exact_divisions_are_carried_out():
    assert (a * b * 12) // (4 * b) == 3 * a
    assert (a * b + a) // (b + 1) == a
    assert (6 * a + 4) // 2 == 3 * a + 2
    assert (6 * a) % 3 == 0
    assert (6 * a + 2) % 3 == 2
    assert (6 * a + 2) // 3 == 2 * a
    assert str((a + 1) // 2) == "floordiv(s0 + 1, 2)"


def test_max_min_simplify_where_certain():
    assert S.maximum(a, 0) == a
    assert S.maximum(a + 2, a) == a + 2
    assert S.minimum(a, a + b) == a
    assert str(S.maximum(a, b)) == "max(s0, s1)"


def test_text_round_trip_and_order():
    e = (a * b - 3 * c + 7) // (b + 2) + S.maximum(a, 2 * b) % 5
    assert S.parse(str(e)) == e
    assert str(b * a + c - 1) == "s0*s1 + s10 - 1"
    with pytest.raises(ValueError, match="not a symbolic size"):
        S.parse("s0 ** 2")


def test_relations():
    R = S.Relation
    assert R("==", a, a).decide() is True
    assert R("==", a, a + 1).decide() is False
    assert R("<=", 0, a).decide() is True
    assert R("<", a, 0).decide() is False
    assert R("<", a, b).decide() is None
    assert R("<", a, b).negated() == R("<=", b, a)
    assert S.parse_relation("s0 + 1 <= 2*s1").holds({"s0": 1, "s1": 1})


_sizes = st.integers(0, 9)


@st.composite
def expressions(draw, depth=3):
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from([a, b, c, S.as_sym(2), S.as_sym(3), S.as_sym(-1)]))
    x, y = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    return draw(st.sampled_from([x + y, x - y, x * y, S.maximum(x, y), S.minimum(x, y)]))


@settings(max_examples=200, deadline=None)
@given(expressions(), expressions(), _sizes, _sizes, _sizes)
def test_arithmetic_is_exact(x, y, p, q, r):
    sizes = {"s0": p, "s1": q, "s10": r}
    m, n = x.evaluate(sizes), y.evaluate(sizes)
    assert (x * y + x).evaluate(sizes) == m * n + m
    assert S.parse(str(x)).evaluate(sizes) == m
    if x.nonnegative():
        assert m >= 0
    if n and y != 0:
        assert S.floordiv(x, y).evaluate(sizes) == m // n
        assert S.mod(x, y).evaluate(sizes) == m % n
    assert x.substitute({"s0": b + 1}).evaluate(sizes) == x.evaluate({**sizes, "s0": q + 1})
