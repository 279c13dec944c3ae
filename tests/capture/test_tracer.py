"""What operator calls record: types, guards, functionalised writes."""

import pytest

import taeda.ops  # noqa: F401
from taeda import ir
from taeda.capture import CaptureError
from taeda.capture.symint import ShapeEnv, SymInt
from taeda.ir import sym as S
from taeda.passes import run_passes

from .fake import Tensor, call, finish, tracer


def argument(tr, *args):
    return tr.argument(*args)[0]


def size(tr, t, d):
    return tr.shape(t)[d]


def kinds(g):
    return [f"{n.kind} {n.op}" for n in g.nodes]


def test_sizes_stay_symbolic_and_equal_ones_become_guards():
    with tracer() as tr:
        x, y = argument(tr, Tensor((3, 4)), "x"), argument(tr, Tensor((3, 4)), "y")
        z = call(tr, "add", x, y)
        g = finish(tr, z)
    ir.verify(g)
    assert [str(v.type) for v in g.inputs] == ["f32[s0, s1]", "f32[s0, s1]"]
    assert str(g.returns[0].type) == "f32[s0, s1]"
    assert not g.guards  # known from the inputs' types


def test_a_size_of_one_is_a_name_until_it_broadcasts():
    with tracer() as tr:
        x, b = argument(tr, Tensor((1, 4))), argument(tr, Tensor((5, 4)))
        alone = call(tr, "exp", x)
        assert str(tr.variable(alone).geometry.sizes[0]) == "s0"
        z = call(tr, "mul", x, b)
        g = finish(tr, z)
    assert str(g.inputs[0].type) == "f32[1, s1]" or "1" in str(g.inputs[0].type.sizes[0])
    assert str(g.returns[0].type) == "f32[s2, s1]"


def test_parameters_are_inputs_by_identity():
    w = Tensor((4, 3))
    with tracer() as tr:
        x = argument(tr, Tensor((2, 3)), "x")
        z = call(tr, "_linear", x, w, None)
        z = call(tr, "_linear", call(tr, "matmul", z, w), w, None)
        g = finish(tr, z)
    assert len(g.inputs) == 2 and str(g.inputs[1].type) == "f32[4, 3]"
    assert str(g.inputs[0].type) == "f32[s0, 3]"  # 3 is known from the parameter
    assert [t for t, _ in tr.lifted_order] == [w]


def test_promotion_follows_tensor_zero_dim_and_number():
    with tracer() as tr:
        i, h, d = argument(tr, Tensor((2,), "i32")), argument(tr, Tensor((2,), "f16")), argument(tr, Tensor((), "f64"))
        assert tr.variable(call(tr, "add", i, 1)).dtype == "i32"
        assert tr.variable(call(tr, "add", i, 1.5)).dtype == "f32"
        assert tr.variable(call(tr, "mul", h, d)).dtype == "f16"
        assert tr.variable(call(tr, "mul", i, d)).dtype == "f64"
        assert tr.variable(call(tr, "div", i, 2)).dtype == "f32"
        assert tr.variable(call(tr, "lt", h, 2)).dtype == "b1"
        ir.verify(finish(tr))


def test_in_place_writes_reach_every_view():
    with tracer() as tr:
        x = argument(tr, Tensor((4, 6)), "x")
        row = call(tr, "select", x, 0, 1)
        call(tr, "add_", row, 1.0)
        t = call(tr, "transpose", x, 0, 1)
        y = call(tr, "mul", t, 2.0)
        call(tr, "copy_", x, row)
        g = finish(tr, y, x, writes=[None, 0])
    ir.verify(g)
    text = str(g)
    assert text.count("update write") == 1
    updates = [n for n in g.nodes if n.kind == "update"]
    product = next(n for n in g.nodes if n.op == "mul")
    assert product.inputs[0].node.inputs[0] is updates[0].output  # the later view reads the written value
    assert g.writes == [None, 0]
    run_passes(g, True)


def test_reductions_are_split_into_runs():
    with tracer() as tr:
        x = argument(tr, Tensor((2, 3, 4, 5), "f16"))
        y = call(tr, "sum", x, (0, 2, 3), True, None)
        g = finish(tr, y)
    ir.verify(g)
    reduces = [n for n in g.nodes if n.kind == "reduce"]
    assert [(n.attrs["begin"], n.attrs["count"], n.attrs["stage"]) for n in reduces] == [
        (2, 2, "first"),
        (0, 1, "next"),
    ]
    assert [str(n.output.type) for n in reduces] == ["f32[s0, s1]", "f16[s1]"]
    assert str(g.returns[0].type) == "f16[1, s1, 1, 1]"


def test_views_of_symbolic_sizes():
    with tracer() as tr:
        x = argument(tr, Tensor((2, 6, 12)), "x")
        b, n = size(tr, x, 0), size(tr, x, 1)
        y = call(tr, "reshape", x, [b, n, 3, 4])
        y = call(tr, "permute", y, [0, 2, 1, 3])
        z = call(tr, "reshape", y, [b, -1, 4])
        flat = call(tr, "reshape", x, [-1, 12])
        half = call(tr, "slice", x, 1, 0, n // 2, 1)
        g = finish(tr, z, flat, half)
    ir.verify(g)
    assert str(g.returns[1].type) == "f32[s0*s1, 12]"
    assert str(g.returns[0].type) == "f32[s0, 3*s1, 4]"
    assert "s2" not in g.symbols or str(g.inputs[0].type) == "f32[s0, s1, 12]"
    run_passes(g, True)


def test_matmul_letters_and_broadcast_batches():
    with tracer() as tr:
        a, b = argument(tr, Tensor((1, 7, 3, 4))), argument(tr, Tensor((5, 7, 4, 2)))
        g = finish(tr, call(tr, "matmul", a, b))
    ir.verify(g)
    n = next(n for n in g.nodes if n.kind == "contract")
    assert (n.attrs["a"], n.attrs["b"], n.attrs["c"]) == ("bmk", "abkn", "abmn")
    with tracer() as tr, pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        call(tr, "matmul", argument(tr, Tensor((3, 4))), argument(tr, Tensor((5, 6))))


def test_comparisons_become_guards():
    env = ShapeEnv()
    a = SymInt(env.symbol(8), env)
    assert a > 5 and a != 3 and a // 2 * 2 == a
    texts = [str(g) for g in env.guards]
    assert "5 < s0" in texts and "s0 != 3" in texts
    assert any("mod(s0, 2)" in t for t in texts)
    assert int(a) == 8 and str(env.guards[-1]) == "s0 == 8"
    assert env.resolve(a.expr) == 8
    b = SymInt(env.symbol(1), env)
    assert isinstance(b + 1, SymInt) and b * 0 == 0


def test_reading_a_value_names_the_line():
    with tracer() as tr:
        x = argument(tr, Tensor((2,)))
        with pytest.raises(CaptureError, match=r"test_tracer.py:\d+.*bool\(\) needs a tensor's value"):
            tr.refuse_read(x, "bool")


def test_host_numbers_are_not_frozen():
    with tracer() as tr:
        x = argument(tr, Tensor((2,)))
        (lr,) = tr.host_numbers(lambda: (0.1,))
        y = call(tr, "mul", x, 1.0 - lr * 0.01)
        with pytest.raises(CaptureError, match="branching on"):
            bool(lr)
        g = finish(tr, y)
    ir.verify(g)
    assert [n.kind for n in g.nodes if n.kind in ("host", "number")] == ["host", "number", "number"]
    assert [v for _, v in tr.host_functions] == [(0.1,)]


def test_symbols_of_the_env_are_consistent():
    env = ShapeEnv()
    a, b = env.symbol(6), env.symbol(3)
    assert env.equal(a, 2 * b)
    assert env.resolve(a) == 2 * b and env.same(a * 2, 4 * b)
    assert env.equal(S.as_sym(3), b) and env.resolve(a) == 6
