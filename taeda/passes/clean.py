"""Passes that shrink a graph without changing a bit of its results."""

from __future__ import annotations

from ..ir.graph import Graph, Node, Value, replace_uses
from ..ir.types import TensorType
from ..ops.table import ROLES
from .views import compose, is_identity, is_view

#: Kinds whose effect is more than their values.
_EFFECTS = frozenset(("rng",))


def dead_code(graph: Graph) -> int:
    """Removes nodes whose values nobody reads. Counters of the generator are taken in any case, as in eager code."""
    live = set(graph.returns)
    kept: list[Node] = []
    for n in reversed(graph.nodes):
        if n.kind in _EFFECTS or any(v in live for v in n.outputs):
            live.update(n.inputs)
            kept.append(n)
    removed = len(graph.nodes) - len(kept)
    graph.block.nodes[:] = reversed(kept)
    return removed


def _key(n: Node):
    def plain(a):
        return tuple(map(plain, a)) if isinstance(a, (tuple, list)) else (type(a).__name__, str(a))

    return (
        n.kind,
        n.op,
        tuple(map(id, n.inputs)),
        tuple(sorted((k, plain(a)) for k, a in n.attrs.items())),
        tuple(str(v.type) for v in n.outputs),
    )


def common_values(graph: Graph) -> int:
    """Nodes that compute the same from the same become one."""
    seen: dict[tuple, Node] = {}
    mapping: dict[Value, Value] = {}
    kept: list[Node] = []
    for n in graph.nodes:
        n.inputs = [mapping.get(v, v) for v in n.inputs]
        key = _key(n)
        same = None if n.kind in _EFFECTS or n.blocks else seen.get(key)
        if same is None:
            seen[key] = n
            kept.append(n)
        else:
            mapping.update(zip(n.outputs, same.outputs))
    removed = len(graph.nodes) - len(kept)
    graph.block.nodes[:] = kept
    replace_uses(graph, mapping)
    return removed


def simplify(graph: Graph) -> int:
    """Views of views become one view; views, copies and casts that change nothing go; filled tensors become numbers."""
    mapping: dict[Value, Value] = {}
    kept: list[Node] = []
    changed = 0
    for n in graph.nodes:
        n.inputs = [mapping.get(v, v) for v in n.inputs]
        if n.kind == "view":
            changed += _flatten(n)
            if is_identity(n):
                mapping[n.output] = n.inputs[0]
                continue
        elif (
            n.kind == "copy"
            and n.inputs[0].type == n.outputs[0].type
            and not is_view(n.inputs[0])
            and not n.attrs.get("keep")
        ):
            mapping[n.output] = n.inputs[0]
            continue
        elif n.kind == "copy":
            changed += _cast_chain(n)
        elif n.kind in ("map", "rows"):
            changed += _fill_operands(n)
        kept.append(n)
    removed = len(graph.nodes) - len(kept)
    graph.block.nodes[:] = kept
    replace_uses(graph, mapping)
    return removed + changed


def _flatten(n: Node) -> int:
    changed = 0
    while is_view(n.inputs[0]):
        inner = n.inputs[0].node
        assert inner is not None
        found = compose(n, inner)
        if found is None:
            return changed
        n.attrs["offset"], n.attrs["strides"] = found
        n.inputs = [inner.inputs[0]]
        changed += 1
    return changed


def materialise_views(graph: Graph) -> int:
    """A view that no strides over the materialised value express reads a copy instead."""
    out: list[Node] = []
    copies: dict[Value, Value] = {}
    for n in graph.nodes:
        if n.kind == "view" and is_view(n.inputs[0]):
            v = n.inputs[0]
            if v not in copies:
                copy = Node("copy", ROLES["clone"], [v], [v.type], {}, n.location)
                out.append(copy)
                copies[v] = copy.output
            n.inputs = [copies[v]]
        out.append(n)
    graph.block.nodes[:] = out
    return len(copies)


#: Casts to these dtypes keep every value of the source.
_EXACT = {
    "b1": ("u8", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"),
    "u8": ("i16", "i32", "i64", "f16", "f32", "f64"),
    "i8": ("i16", "i32", "i64", "f16", "bf16", "f32", "f64"),
    "i16": ("i32", "i64", "f32", "f64"),
    "i32": ("i64", "f64"),
    "f16": ("f32", "f64"),
    "bf16": ("f32", "f64"),
    "f32": ("f64",),
}


def _cast_chain(n: Node) -> int:
    """to(to(x, wide), narrow) is to(x, narrow) where the first cast loses nothing."""
    inner = n.inputs[0].node
    if inner is None or inner.kind != "copy":
        return 0
    source, middle = inner.inputs[0].type, inner.outputs[0].type
    assert isinstance(source, TensorType) and isinstance(middle, TensorType)
    if source.dtype == middle.dtype or middle.dtype in _EXACT.get(source.dtype, ()):
        n.inputs = [inner.inputs[0]]
        return 1
    return 0


def _fill_operands(n: Node) -> int:
    """An operand that holds one number everywhere is that number."""
    changed = 0
    for k, v in enumerate(n.inputs):
        source = v.node
        if source is not None and source.kind == "view":
            source = source.inputs[0].node
        if source is None or source.kind != "generate" or source.op != ROLES["full"]:
            continue
        number, filled = source.inputs[0], source.outputs[0].type
        assert isinstance(filled, TensorType)
        if number.node is None or number.node.kind != "const" or n.attrs["codes"][k] != filled.dtype:
            continue
        if sum(isinstance(x.type, TensorType) for x in n.inputs) > 1 or n.kind == "map":
            n.inputs[k] = number
            changed += 1
    return changed


def fold_sizes(graph: Graph) -> int:
    """An integer that turned out constant is a constant."""
    changed = 0
    for n in graph.nodes:
        if n.kind == "size" and n.attrs["expr"].value is not None:
            n.kind, n.op, n.attrs = "const", "number", {"value": n.attrs["expr"].value}
            changed += 1
    return changed
