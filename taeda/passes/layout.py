"""Where results lie: in the order in which they are read, so that no copy has to bring them there."""

from __future__ import annotations

import math

from ..ir import sym as S
from ..ir.graph import Graph, Node, Value, replace_uses
from ..ir.sym import Sym
from ..ir.types import FLOAT, TensorType
from ..ops.table import ROLES
from .views import is_reshape


def contraction_layout(graph: Graph) -> int:
    """A contraction whose result is only read through a copy of a permutation writes the permuted order itself."""
    users = graph.users()
    returned = set(graph.returns)
    mapping: dict[Value, Value] = {}
    removed: set[Node] = set()
    for n in graph.nodes:
        if n.kind != "copy" or n.attrs.get("keep") or n.inputs[0].type != n.outputs[0].type:
            continue
        view = n.inputs[0].node
        if view is None or view.kind != "view" or view.output in returned or len(users[view.output]) != 1:
            continue
        source = view.inputs[0]
        if (
            source.node is None
            or source.node.kind != "contract"
            or len(source.node.inputs) > 2
            or source in returned
            or len(users[source]) != 1
        ):
            continue
        order = _permutation(view)
        if order is None:
            continue
        c = source.node
        letters = "".join(c.attrs["c"][d] for d in order)
        at = graph.nodes.index(c)
        graph.nodes[at] = Node("contract", c.op, c.inputs, [n.output.type], {**c.attrs, "c": letters}, c.location)
        mapping[n.output] = graph.nodes[at].output
        removed |= {n, view}
    graph.block.nodes[:] = [n for n in graph.nodes if n not in removed]
    replace_uses(graph, mapping)
    return len(mapping)


def _permutation(view: Node) -> list[int] | None:
    """Which dimension of the input each dimension of a view is, where the view reorders dimensions and does nothing
    else."""
    source, out = view.inputs[0].type, view.outputs[0].type
    assert isinstance(source, TensorType) and isinstance(out, TensorType)
    if source.ndim != out.ndim or view.attrs["offset"] != 0:
        return None
    left = list(range(source.ndim))
    strides = source.strides()
    order: list[int] = []
    for size, stride in zip(out.sizes, view.attrs["strides"]):
        found = next((d for d in left if source.sizes[d] == size and (strides[d] == stride or size == 1)), None)
        if found is None:
            return None
        left.remove(found)
        order.append(found)
    return order


def join_slices(graph: Graph) -> int:
    """Gradients of slices (zeros with the slice's gradient written in) that add up to cover a tensor are joined instead.

    x + 0 + 0 is x + 0: each piece is still added to one zero, which turns -0 into 0 as the sum does.
    """
    users = graph.users()
    returned = set(graph.returns)
    changed = 0
    for n in list(graph.nodes):
        if (
            n.kind != "map"
            or n.op != ROLES["add"]
            or any(u.op == ROLES["add"] and _sums(u) for u in users.get(n.output, ()) if len(users[n.output]) == 1)
        ):
            continue
        leaves = _leaves(n, users, returned)
        if leaves is None:
            continue
        found = _pieces(leaves)
        if found is None:
            continue
        dim, pieces = found
        at = graph.nodes.index(n)
        new: list[Node] = []
        values = [_plus_zero(u.inputs[1], users, new) for u in pieces]
        joined = Node("cat", ROLES["cat"], values, [n.output.type], {"dim": dim}, n.location)
        graph.nodes[at:at] = [*new, joined]
        replace_uses(graph, {n.output: joined.output})
        changed += 1
    return changed


def _sums(n: Node) -> bool:
    return n.kind == "map" and all(isinstance(v.type, TensorType) and v.type == n.outputs[0].type for v in n.inputs)


def _leaves(n: Node, users: dict[Value, list[Node]], returned: set[Value]) -> list[Node] | None:
    """The `update` nodes that a tree of additions sums, or None if it sums anything else."""
    found: list[Node] = []
    stack = [n]
    while stack:
        m = stack.pop()
        if not _sums(m):
            return None
        for v in m.inputs:
            source = v.node
            if source is None or v in returned or len(users[v]) != 1:
                return None
            if source.kind == "update":
                found.append(source)
            elif source.kind == "map" and source.op == ROLES["add"]:
                stack.append(source)
            else:
                return None
    return found


def _is_zeros(v: Value) -> bool:
    n = v.node
    if n is None or n.kind != "generate" or n.op != ROLES["full"]:
        return False
    number = n.inputs[0].node
    return (
        number is not None
        and number.kind == "const"
        and number.attrs["value"] == 0
        and math.copysign(1, number.attrs["value"]) > 0
    )


def _pieces(updates: list[Node]) -> tuple[int, list[Node]] | None:
    """(dimension, updates in order) if they write slices of one dimension that lie end to end and fill it."""
    whole = updates[0].outputs[0].type
    assert isinstance(whole, TensorType)
    strides = whole.strides()
    starts: dict[Sym, Node] = {}
    dim = None
    for u in updates:
        part = u.inputs[1].type
        assert isinstance(part, TensorType)
        if not _is_zeros(u.inputs[0]) or part.ndim != whole.ndim:
            return None
        different = [d for d in range(whole.ndim) if part.sizes[d] != whole.sizes[d]]
        if len(different) != 1 or (dim is not None and different[0] != dim):
            return None
        dim = different[0]
        if any(a != b and s != 1 for a, b, s in zip(u.attrs["strides"], strides, part.sizes)):
            return None
        start = u.attrs["offset"] // strides[dim]
        if start * strides[dim] != u.attrs["offset"] or start in starts:
            return None
        starts[start] = u
    assert dim is not None
    order: list[Node] = []
    at = S.ZERO
    while at in starts:
        u = starts.pop(at)
        order.append(u)
        at = at + u.inputs[1].type.sizes[dim]  # type: ignore[union-attr]
    return (dim, order) if not starts and at == whole.sizes[dim] else None


def _plus_zero(v: Value, users: dict[Value, list[Node]], new: list[Node]) -> Value:
    """v + 0.0, added below a reshaping view so that whoever computes v can do it."""
    t = v.type
    assert isinstance(t, TensorType)
    if t.dtype not in ("f16", "bf16", "f32", "f64"):
        return v
    zero = Node("const", "number", [], [FLOAT], {"value": 0.0})
    new.append(zero)
    view = v.node if v.node is not None and v.node.kind == "view" and is_reshape(v.node) else None
    source = view.inputs[0] if view is not None else v
    sum_ = Node("map", ROLES["add"], [source, zero.output], [source.type], {"codes": (t.dtype, t.dtype)})
    new.append(sum_)
    if view is None:
        return sum_.output
    again = Node("view", view.op, [sum_.output], [t], dict(view.attrs), view.location)
    new.append(again)
    return again.output
