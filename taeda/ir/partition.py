"""Cuts a jointly captured forward and backward pass into two programs.

Nodes before the cut are the forward program; the backward program reads tangents, and what the forward one saves for
it.
Views, numbers and sizes are made again on the other side instead of being saved.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import sym as S
from .graph import Graph, Node, Symbol, Value
from .types import FLOAT, TensorType, tensor

_AGAIN = frozenset(("const", "size", "host", "number"))


@dataclass
class Saved:
    """One value kept for the backward program: return value `output` of the forward program, or its input `input`."""

    output: int = -1
    input: int = -1


@dataclass
class Split:
    forward: Graph
    backward: Graph
    saved: list[Saved]
    #: named sizes handed over in the shape of an empty tensor, the backward program's last input
    carried: list[str] = field(default_factory=list)


def split(graph: Graph, cut: int, tangents: list[Value], gradients: list[Value]) -> Split:
    """`graph` in two: the first `cut` nodes with the graph's returns, and what computes `gradients` from `tangents`."""
    return _Splitter(graph, cut, tangents, gradients).run()


class _Splitter:
    def __init__(self, graph: Graph, cut: int, tangents: list[Value], gradients: list[Value]):
        self.graph, self.tangents, self.gradients = graph, tangents, gradients
        self.early = set(graph.nodes[:cut])
        self.first, self.rest = graph.nodes[:cut], graph.nodes[cut:]
        self.backward = Graph(graph.name + "_backward")
        self.here: dict[Value, Value] = {}
        self.saved: list[Saved] = []
        self.returns, self.writes = list(graph.returns), list(graph.writes)
        self.prologue: list[Node] = []

    def run(self) -> Split:
        for t in self.tangents:
            self.here[t] = self.backward.add_input(t.type, t.name)
        needed = self._needed()
        body: list[Node] = []
        for n in self.rest:
            if n in needed:
                inputs = [self._value(v) for v in n.inputs]
                copy = Node(n.kind, n.op, inputs, [v.type for v in n.outputs], dict(n.attrs), n.location)
                self.here.update(zip(n.outputs, copy.outputs))
                body.append(copy)
        returns = [self._value(v) for v in self.gradients]
        # Values made again were collected while the body was copied; they depend on inputs only.
        self.backward.block.nodes[:] = self.prologue + body
        self.backward.block.returns = returns
        self.backward.writes = [None] * len(returns)
        carried = self._symbols()
        g = self.graph
        keep = [v for v in g.inputs if v not in set(self.tangents)]
        g.block.params[:] = keep
        g.block.nodes[:] = self.first
        g.block.returns, g.writes = self.returns, self.writes
        return Split(g, self.backward, self.saved, carried)

    def _needed(self) -> set[Node]:
        needed: set[Node] = set()
        live = set(self.gradients)
        for n in reversed(self.rest):
            if any(v in live for v in n.outputs):
                needed.add(n)
                live.update(n.inputs)
        return needed

    def _value(self, v: Value) -> Value:
        """The value that stands for `v` in the backward program."""
        if v not in self.here:
            n = v.node
            if n is not None and (n.kind in _AGAIN or n.kind == "view"):
                inputs = [self._value(x) for x in n.inputs]
                copy = Node(n.kind, n.op, inputs, [x.type for x in n.outputs], dict(n.attrs), n.location)
                self.prologue.append(copy)
                self.here[v] = copy.output
            else:
                self.here[v] = self._save(v)
        return self.here[v]

    def _save(self, v: Value) -> Value:
        if not isinstance(v.type, TensorType):  # a counter of the generator: kept as a tensor of one element
            t = tensor("f64" if v.type == FLOAT else "i64")
            n = Node("generate", "_full", [v], [t], {"codes": (t.dtype,)})
            self.first.append(n)
            v = n.output
        if v.node is None:
            index = self.graph.inputs.index(v)
            if index not in self.writes:
                self.saved.append(Saved(input=index))
                return self.backward.add_input(v.type, f"saved{len(self.saved)}")
            n = Node("copy", "save", [v], [v.type], {"keep": True})  # the input is overwritten: what it was is kept
            self.first.insert(0, n)
            v = n.output
        if v in self.returns and self.writes[self.returns.index(v)] is None:
            self.saved.append(Saved(output=self.returns.index(v)))
        else:
            self.saved.append(Saved(output=len(self.returns)))
            self.returns.append(v)
            self.writes.append(None)
        return self.backward.add_input(v.type, f"saved{len(self.saved)}")

    def _symbols(self) -> list[str]:
        """Sources of the backward program's named sizes; those that are no input's size are carried by an empty
        tensor."""
        b, hints = self.backward, self.graph.hints()
        used: set[str] = set()
        for v in [*b.inputs, *(v for n in b.nodes for v in n.outputs)]:
            for s in getattr(v.type, "sizes", ()):
                used |= s.symbols()
        for n in b.nodes:
            for a in n.attrs.values():
                for s in a if isinstance(a, tuple) else (a,):
                    if isinstance(s, S.Sym):
                        used |= s.symbols()
        for k, v in enumerate(b.inputs):
            for d, s in enumerate(getattr(v.type, "sizes", ())):
                names = s.symbols()
                if len(names) == 1 and s == S.symbol(next(iter(names))):
                    (name,) = names
                    b.symbols.setdefault(name, Symbol(name, k, d, hints[name]))
        carried = sorted(used - b.symbols.keys())
        if carried:
            k = len(b.inputs)
            b.add_input(tensor("u8", *map(S.symbol, carried), 0), "sizes")
            for d, name in enumerate(carried):
                b.symbols[name] = Symbol(name, k, d, hints[name])
        return carried
