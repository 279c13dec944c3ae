"""Node `loop`: elements repeat a formula as often as each needs, at every vector width with the same bits."""

from __future__ import annotations

import math

import pytest

import taeda
from taeda.codegen.spec import CodegenError, KernelSpec, canonical_text, check
from taeda.ops.expr import Loop, const, load, loop, make, select


def collatz(n):
    """The steps to 1 as an expression of n."""
    return loop(
        (n, const(0, "i64")),
        lambda n, k: (n > 1, (select((n & 1).eq(0), n >> 1, n * 3 + 1), k + 1)),
        limit=1000,
    )[1]


def spec(e, dtype="i64"):
    return KernelSpec((dtype,), ((e.dtype, e),))


def test_equal_loops_are_one_node():
    x = load(0, "i64")
    assert collatz(x) is collatz(x)
    assert canonical_text(spec(collatz(x))) == canonical_text(spec(collatz(x)))


def test_another_limit_is_another_loop():
    x = load(0, "f64")
    short, long = (loop((x,), lambda v: (v > 1, (v * 0.5,)), limit=n)[0] for n in (3, 4))
    assert short is not long
    assert canonical_text(spec(short, "f64")) != canonical_text(spec(long, "f64"))


def test_step_must_keep_the_dtypes():
    x = load(0, "f64")
    with pytest.raises(TypeError, match="loop"):
        loop((x,), lambda v: (v, (v,)), limit=3)
    with pytest.raises(TypeError, match="loop"):
        loop((x,), lambda v: (v > 1, (const(1, "i64"),)), limit=3)


def test_check_refuses_what_does_not_fit():
    x = load(0, "f64")
    body = Loop(load(0, "f64") > 1, (load(0, "f64") * 0.5,), 3)
    check(spec(make("loop", (x,), "f64", (body, 0)), "f64"))
    reads_more = Loop(load(0, "f64") > load(1, "f64"), (load(0, "f64"),), 3)
    counts = Loop(load(0, "f64") > 1, (make("cast", (make("index", (), "i64"),), "f64"),), 3)
    for attr in ((body, 1), (reads_more, 0), (counts, 0), (Loop(body.condition, body.steps, 0), 0), body):
        with pytest.raises(CodegenError):
            check(spec(make("loop", (x,), "f64", attr), "f64"))


@pytest.mark.parametrize("count", [1, 3, 8, 37])
def test_every_element_stops_by_itself(count):
    a = taeda.arange(1, count + 1) * 7919
    b = taeda.arange(count, 0, -1) * 104729 + 12
    expected = [math.gcd(x, y) for x, y in zip(a.tolist(), b.tolist())]
    assert taeda.gcd(a, b).tolist() == expected
    assert taeda.gcd(a[::2], b[::2]).tolist() == expected[::2]


def test_result_does_not_depend_on_the_place():
    n, x = taeda.arange(0.0, 29.0), taeda.linspace(-1, 1, 29)
    whole = taeda.special.laguerre_polynomial_l(x, n)
    single = [taeda.special.laguerre_polynomial_l(x[k], n[k]).item() for k in range(29)]
    assert whole.tolist() == single


def test_a_limit_ends_what_would_not_end():
    assert math.isnan(taeda.special.legendre_polynomial_p(taeda.tensor(0.5), 2.0**40).item())
