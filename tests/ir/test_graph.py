"""The graph: text round trip, verifier."""

import pytest

from taeda import ir
from taeda.ir import sym as S


def example():
    s = S.symbol("s0")
    g = ir.Graph("demo")

    def add(*node):
        return g.append(ir.Node(*node))

    x, w = g.add_input(ir.tensor("f32", s, 784), "x"), g.add_input(ir.tensor("f32", 10, 784), "w")
    g.symbols["s0"] = ir.Symbol("s0", 0, 0, 64)
    g.guards.append(ir.Relation("<=", s, 4096))
    y = add(
        "contract", "_linear", [x, w], [ir.tensor("f32", s, 10)], {"a": "mk", "b": "nk", "c": "mn"}, ("a b.py", 3)
    ).output
    k = add("const", "number", [], [ir.FLOAT], {"value": 0.1}).output
    n = add("size", "size", [], [ir.INT], {"expr": (s + 1) // 2}).output
    z = add("map", "mul", [y, k], [ir.tensor("f32", s, 10)], {"codes": ("f32", "f32")}).output
    t = add(
        "view", "transpose", [z], [ir.tensor("f32", 10, s)], {"offset": S.ZERO, "strides": (S.ONE, S.as_sym(10))}
    ).output
    u = add("generate", "_full", [n], [ir.tensor("f32", 10, s)], {"codes": ("f32",)}).output
    v = add("map", "add", [t, u], [ir.tensor("f32", 10, s)], {"codes": ("f32", "f32")}).output
    w2 = add("map", "neg", [w], [ir.tensor("f32", 10, 784)], {"codes": ("f32",)}).output
    g.block.returns = [v, w2]
    g.writes = [None, 1]
    return g


def test_round_trip():
    g = example()
    ir.verify(g)
    text = ir.print_graph(g)
    again = ir.parse(text)
    ir.verify(again)
    assert ir.print_graph(again) == text
    assert again.nodes[1].attrs["value"] == 0.1
    assert again.nodes[0].location == ("a b.py", 3)
    assert again.writes == [None, 1]
    assert (
        '%0: f32[s0, 10] = contract _linear(%x, %w) {a="mk", b="nk", c="mn"} at "a b.py":3' in text
        or "contract _linear(%x, %w)" in text
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no text"),
        ("graph g(%x: f32[s0]) {\n  return %y\n}", "line 2: expected a value defined above"),
        ("graph g(%x: q8[2]) {\n  return %x\n}", "unknown dtype code 'q8'"),
        ("graph g(%x: f32[2]) {\n  return %x", "ends inside a block"),
        ("graph g(%x: f32[2]) {\n  %x: f32[2] = copy clone(%x) {}\n  return %x\n}", "defined twice"),
    ],
)
def test_parse_errors_name_the_line(text, message):
    with pytest.raises(ir.ParseError, match=message.replace("(", r"\(")):
        ir.parse(text)


def broken(change):
    g = example()
    change(g)
    return g


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda g: g.nodes.insert(0, g.nodes.pop()), None),
        (lambda g: g.nodes.insert(0, g.nodes.pop(3)), "before it is defined"),
        (lambda g: g.nodes[3].inputs.append(g.inputs[0]), "operand dtypes"),
        (lambda g: g.nodes[3].attrs.update(codes=("f64", "f32")), "read as f64"),
        (lambda g: g.nodes[0].attrs.pop("c"), "lacks attribute c"),
        (lambda g: setattr(g.nodes[0], "kind", "magic"), "unknown kind"),
        (lambda g: g.symbols.clear(), "does not define"),
        (lambda g: g.writes.__setitem__(0, 1), "written back"),
        (lambda g: g.nodes[0].attrs.update(a="mm"), "letters"),
        (lambda g: g.nodes[4].attrs.update(strides=()), "strides"),
    ],
)
def test_verifier(change, message):
    g = broken(change)
    if message is None:
        ir.verify(g)
        return
    with pytest.raises(ir.VerifyError, match=message):
        ir.verify(g)
