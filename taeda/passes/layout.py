"""Where results of contractions lie: in the order in which they are read, so that no copy has to bring them there."""

from __future__ import annotations

from ..ir.graph import Graph, Node, Value, replace_uses
from ..ir.types import TensorType


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
