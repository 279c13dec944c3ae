"""The typed SSA graph: what a captured program is.

A `Graph` has one `Block`; a block has parameters, nodes in order and returned values; a node may hold nested blocks
(the bodies of `if` and `loop`). A node is `kind`, operator name, input values, attributes and output values. Kinds are
those of docs/architecture.md, and the few that only a program has:

    const    a Python number                               attrs value
    size     an integer computed from sizes                attrs expr
    number   arithmetic of numbers: add, sub, mul, div, pow, neg
    host     a number that the caller computes per call    attrs index
    view     elements of its input at other places         attrs offset, strides (in elements of the row-major input)
    update   input 0 with input 1 written at such places   attrs offset, strides
    empty    a tensor whose elements do not matter
    foreign  a host operator: a library's values       attrs arguments (schema order), tensors (places of the inputs)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .sym import Relation, Sym
from .types import Type


class Value:
    """One SSA value."""

    __slots__ = ("index", "name", "node", "type")

    def __init__(self, type_: Type, name: str = ""):
        self.type = type_
        self.name = name
        self.node: Node | None = None  # None: a block's parameter
        self.index = 0

    def __repr__(self) -> str:
        return f"%{self.name or '?'}: {self.type}"


class Node:
    """One operation. `location` is (file, line) of the user's code."""

    __slots__ = ("attrs", "blocks", "inputs", "kind", "location", "op", "outputs")

    def __init__(
        self,
        kind: str,
        op: str,
        inputs: Iterable[Value],
        types: Iterable[Type],
        attrs: dict | None = None,
        location=None,
        blocks: Iterable[Block] = (),
    ):
        self.kind, self.op = kind, op
        self.inputs: list[Value] = list(inputs)
        self.attrs: dict = attrs or {}
        self.location: tuple[str, int] | None = location
        self.blocks: list[Block] = list(blocks)
        self.outputs: list[Value] = []
        for k, t in enumerate(types):
            v = Value(t)
            v.node, v.index = self, k
            self.outputs.append(v)

    @property
    def output(self) -> Value:
        (only,) = self.outputs
        return only

    def __repr__(self) -> str:
        return f"<{self.kind} {self.op}>"


@dataclass
class Block:
    params: list[Value] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    returns: list[Value] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Every node, nested ones after the node that holds them."""
        for n in self.nodes:
            yield n
            for b in n.blocks:
                yield from b.walk()


@dataclass(frozen=True)
class Symbol:
    """Where a named size comes from: dimension `dim` of graph input `input`; `hint` is its value in the example."""

    name: str
    input: int
    dim: int
    hint: int


@dataclass
class Graph:
    """A captured program. `writes[k]` is the index of the input that return value k is written back to, or None."""

    name: str = "program"
    block: Block = field(default_factory=Block)
    symbols: dict[str, Symbol] = field(default_factory=dict)
    guards: list[Relation] = field(default_factory=list)
    writes: list[int | None] = field(default_factory=list)

    @property
    def inputs(self) -> list[Value]:
        return self.block.params

    @property
    def returns(self) -> list[Value]:
        return self.block.returns

    @property
    def nodes(self) -> list[Node]:
        return self.block.nodes

    def add_input(self, type_: Type, name: str = "") -> Value:
        v = Value(type_, name or f"in{len(self.inputs)}")
        self.inputs.append(v)
        return v

    def append(self, node: Node) -> Node:
        """The node, which is the last one now."""
        self.nodes.append(node)
        return node

    def hints(self) -> dict[str, int]:
        """The example's value of every named size."""
        return {s.name: s.hint for s in self.symbols.values()}

    def users(self) -> dict[Value, list[Node]]:
        """Nodes that read each value."""
        found: dict[Value, list[Node]] = {}
        for n in self.block.walk():
            for v in n.inputs:
                found.setdefault(v, []).append(n)
        return found

    def substitute(self, mapping: dict[str, Sym]) -> None:
        """Replaces named sizes by expressions everywhere."""
        if not mapping:
            return

        def fix(x):
            if isinstance(x, Sym):
                return x.substitute(mapping)
            if isinstance(x, tuple):
                return tuple(fix(e) for e in x)
            return x

        def fix_type(v: Value):
            sizes = getattr(v.type, "sizes", None)
            if sizes:
                v.type = type(v.type)(v.type.dtype, fix(sizes))  # type: ignore[union-attr, call-arg]

        for v in self.inputs:
            fix_type(v)
        for n in self.block.walk():
            n.attrs = {k: fix(a) for k, a in n.attrs.items()}
            for v in n.outputs:
                fix_type(v)

    def __str__(self) -> str:
        from .text import print_graph

        return print_graph(self)


def replace_uses(graph: Graph, mapping: dict[Value, Value]) -> None:
    """Every use of a key reads the mapped value instead (chains are followed)."""
    if not mapping:
        return

    def find(v: Value) -> Value:
        while v in mapping:
            v = mapping[v]
        return v

    for n in graph.block.walk():
        n.inputs = [find(v) for v in n.inputs]
        for b in n.blocks:
            b.returns = [find(v) for v in b.returns]
    graph.block.returns = [find(v) for v in graph.returns]
