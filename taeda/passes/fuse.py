"""Grouping of nodes into kernels.

A *group* becomes one generated kernel. Members share one iteration space; a row group may also reduce along its last
`nred` dimensions, and members behind such a reduction have one value a row. A value moves from member to member in
registers, and is stored only if somebody outside reads it. Nothing is computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir import sym as S
from ..ir.graph import Graph, Node, Value
from ..ir.sym import Sym
from ..ir.types import TensorType
from .views import Place, broadcast_strides, locate, same_strides

#: Operands of one kernel: beyond this, loads and stores no longer fit in registers and address units.
MAX_OPERANDS = 40
#: A reduction over fewer rows than this, each longer than LONG_ROW, is cut along the row for threads; then the kernel
#: may only reduce.
FEW_ROWS, LONG_ROW = 8, 16384

#: Kinds that do one thing per element.
ELEMENTWISE = frozenset(("map", "generate", "copy"))
SCALARS = frozenset(("const", "size", "host", "number"))


@dataclass(eq=False)
class Group:
    """Nodes that become one step. form: row, col, or opaque (a node with a driver of its own)."""

    form: str
    space: tuple[Sym, ...]
    number: int
    nodes: list[Node] = field(default_factory=list)
    nred: int = 0
    begin: int = 0
    mask: int = 0  # groups this one depends on, as bits of their numbers
    epilogue: Group | None = None
    operands: set[tuple] = field(default_factory=set)

    @property
    def outer(self) -> tuple[Sym, ...]:
        return self.space[: len(self.space) - self.nred]

    def per_row(self, sizes: tuple[Sym, ...]) -> bool:
        """True for the sizes of a value with one element a row."""
        outer = self.outer
        return self.nred > 0 and sizes in (outer, outer + (S.ONE,) * self.nred)


def space_of(n: Node) -> tuple[Sym, ...]:
    """The iteration space of a node that a kernel can carry out."""
    t = n.inputs[0].type if n.kind == "reduce" else n.outputs[0].type
    assert isinstance(t, TensorType)
    return n.attrs.get("space", t.sizes) if n.kind == "rows" else t.sizes


def is_row_reduction(n: Node) -> bool:
    t = n.inputs[0].type
    assert isinstance(t, TensorType)
    return n.attrs["begin"] + n.attrs["count"] == t.ndim


class Fuser:
    """Builds the groups of one graph in one walk over its nodes."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.hints = graph.hints()
        self.users = graph.users()
        self.returned = set(graph.returns)
        self.groups: list[Group] = []
        self.alive: list[Group | None] = []
        self.of: dict[Node, Group] = {}
        self.inlined: set[Node] = set()  # producers that every reading column reduction computes for itself
        self.log: list[str] = []

    # -- structure -------------------------------------------------------------------------------------------------
    def run(self) -> list[Group]:
        self._mark_column_producers()
        for n in self.graph.nodes:
            if n.kind in SCALARS or n.kind == "view" or n in self.inlined:
                continue
            if n.kind in ELEMENTWISE or n.kind == "rows" or (n.kind == "reduce" and is_row_reduction(n)):
                self._place_row(n)
            elif n.kind == "reduce":
                self._place_column(n)
            else:
                self._new("opaque", (), n)
        groups = [g for g in self.alive if g is not None]
        self._epilogues(groups)
        return self._ordered([g for g in self.alive if g is not None])

    def _producers(self, n: Node) -> list[Node]:
        """Nodes whose values `n` reads, through views and inlined producers."""
        found: list[Node] = []
        stack = list(n.inputs)
        while stack:
            m = stack.pop().node
            if m is None or m.kind in SCALARS:
                continue
            if m.kind == "view" or m in self.inlined:
                stack.extend(m.inputs)
            else:
                found.append(m)
        return found

    def _new(self, form: str, space: tuple[Sym, ...], n: Node, nred: int = 0) -> Group:
        g = Group(form, space, len(self.groups), nred=nred)
        self.groups.append(g)
        self.alive.append(g)
        self._add(g, n)
        return g

    def _add(self, g: Group, n: Node) -> None:
        g.nodes.append(n)
        self.of[n] = g
        self._depend(g, self._depends(n) & ~(1 << g.number))
        g.operands |= self._operands(n)

    def _depends(self, n: Node) -> int:
        mask = 0
        for m in self._producers(n):
            p = self.of[m]
            mask |= p.mask | (1 << p.number)
        return mask

    def _depend(self, g: Group, mask: int) -> None:
        if mask & ~g.mask:
            g.mask |= mask
            bit = 1 << g.number
            for h in self.alive:
                if h is not None and h.mask & bit:
                    h.mask |= g.mask

    def _operands(self, n: Node) -> set[tuple]:
        found: set[tuple] = set()
        for v in n.inputs:
            if isinstance(v.type, TensorType):
                p = locate(v)
                found.add((id(p.root), str(p.offset), str(p.strides)))
            elif v.node is not None and v.node.kind != "const":
                found.add((id(v),))
        return found

    # -- row groups ------------------------------------------------------------------------------------------------
    def _place_row(self, n: Node) -> None:
        space = space_of(n)
        nred = 1 if n.kind == "rows" else n.attrs["count"] if n.kind == "reduce" else 0
        producers = {self.of[m].number: self.of[m] for m in self._producers(n)}
        candidates = sorted((g for g in producers.values() if g.form == "row"), key=lambda g: -g.number)
        for g in candidates:
            if self._fits(g, n, space, nred):
                self._join(g, n, nred)
                for h in candidates:
                    if h is not g and self.alive[h.number] is h:
                        self._merge(g, h)
                return
        for g in self._siblings(n, space):
            if self._fits(g, n, space, nred):
                self._join(g, n, nred)
                return
        self._new("row", space, n, nred)

    def _join(self, g: Group, n: Node, nred: int) -> None:
        g.nred = max(g.nred, nred)
        self._add(g, n)

    def _siblings(self, n: Node, space: tuple[Sym, ...]) -> list[Group]:
        """Groups over the same space that read an operand of `n` in the same way: one pass over memory serves both."""
        mine = {o for o in self._operands(n) if len(o) > 1}
        if not mine or n.kind == "generate":
            return []
        return [
            g
            for g in reversed(self.groups[-24:])
            if self.alive[g.number] is g and g.form == "row" and g.space == space and g.operands & mine
        ]

    def _fits(self, g: Group, n: Node, space: tuple[Sym, ...], nred: int) -> bool:
        if g.nred and nred and g.nred != nred:
            return False
        run = max(g.nred, nred)
        per_row = False
        if space != g.space:
            # Only a node behind the group's reduction may have another space: one value a row.
            if nred or n.kind in ("generate", "rows") or not g.per_row(space) or self._uses_index(n):
                return False
            per_row = True
        elif len(space) < run:
            return False
        if len(g.operands | self._operands(n)) + self._stored(g, n) > MAX_OPERANDS:
            return False
        joined = False
        for v in n.inputs:
            if not isinstance(v.type, TensorType):
                continue
            place = locate(v)
            m = place.root.node
            if m is None or m.kind in SCALARS:
                continue
            if m in self.inlined:
                return False
            p = self.of[m]
            if p is g:
                if not self._in_registers(g, place, space, run, per_row):
                    return False
                joined = joined or not per_row or self._row_value(g, place.root)
            elif p.mask >> g.number & 1:
                return False  # the operand is computed from the group's values outside of it
        if per_row and not joined:
            return False
        for m in self._producers(n):
            p = self.of[m]
            if p is not g and p.mask >> g.number & 1:
                return False
        return not run or self._may_reduce(g, n, run, per_row or n.kind == "reduce")

    def _row_value(self, g: Group, v: Value) -> bool:
        t = v.type
        return isinstance(t, TensorType) and g.per_row(t.sizes) and v.node is not None and v.node in g.nodes

    def _in_registers(self, g: Group, place: Place, space: tuple[Sym, ...], run: int, per_row: bool) -> bool:
        """True if the reader's element (r, i) needs just the member's element (r, i), or its value of row r."""
        root = place.root.type
        assert isinstance(root, TensorType)
        if place.offset != 0:
            return False
        strides = broadcast_strides(place, space)
        outer = g.space[: len(g.space) - run]
        is_row = run > 0 and root.sizes in (outer, outer + (S.ONE,) * run) and (root.sizes != g.space or per_row)
        if per_row:
            return is_row and same_strides(strides[: len(outer)], S.contiguous_strides(outer), outer)
        if is_row:
            want = S.contiguous_strides(outer) + (S.ZERO,) * run
            if (
                place.root.node is not None
                and place.root.node.kind not in ("reduce", "rows")
                and not self._behind_reduction(g, place.root.node)
            ):
                return False
            return same_strides(strides, want, space)
        return root.sizes == g.space and same_strides(strides, root.strides(), space)

    def _behind_reduction(self, g: Group, n: Node) -> bool:
        """A member with one value a row that is computed from the group's reductions."""
        return n in g.nodes and space_of(n) != g.space

    def _uses_index(self, n: Node) -> bool:
        from ..ops.table import lookup
        from .kernels import uses_index

        return n.kind == "map" and uses_index(lookup(n.op), n)

    def _stored(self, g: Group, n: Node) -> int:
        """How many members' values are read outside the group (with `n` in it) or returned."""
        inside = {*g.nodes, n}
        return sum(1 for m in inside for v in m.outputs if self._escapes(v, inside))

    def _escapes(self, v: Value, inside: set[Node]) -> bool:
        if v in self.returned:
            return True
        for u in self.users.get(v, ()):
            if u.kind == "view":
                if self._escapes(u.output, inside):
                    return True
            elif u not in inside:
                return True
        return False

    def _may_reduce(self, g: Group, n: Node, run: int, row_valued: bool) -> bool:
        """Few long rows leave the other threads idle unless the kernel does nothing but reduce."""
        space = g.space
        rows = S.product(space[: len(space) - run]).evaluate(self.hints)
        length = S.product(space[len(space) - run :]).evaluate(self.hints)
        if rows >= FEW_ROWS or length <= LONG_ROW:
            return True
        if n.kind == "rows" or not row_valued:
            return False
        inside = {*g.nodes, n}
        for m in inside:
            for v in m.outputs:
                t = v.type
                if isinstance(t, TensorType) and t.sizes == space and self._escapes(v, inside):
                    return False
        return not any(m.kind in ("reduce", "rows") for m in g.nodes) or n.kind != "reduce"

    def _merge(self, g: Group, h: Group) -> None:
        """Takes `h` into `g` where one kernel can do both."""
        if h.form != "row" or h.space != g.space or (g.nred and h.nred and g.nred != h.nred):
            return
        if g.mask >> h.number & 1 and self._path_outside(h, g):
            return
        if h.mask >> g.number & 1:
            return
        if len(g.operands | h.operands) + self._stored(g, g.nodes[0]) + self._stored(h, h.nodes[0]) > MAX_OPERANDS:
            return
        run = max(g.nred, h.nred)
        if run and not (g.nred and h.nred):
            rows = S.product(g.space[: len(g.space) - run]).evaluate(self.hints)
            if rows < FEW_ROWS:
                return
        # Every value that crosses between them must cross in registers.
        both = {*g.nodes, *h.nodes}
        for n in both:
            for v in n.inputs:
                if isinstance(v.type, TensorType):
                    place = locate(v)
                    m = place.root.node
                    if m is not None and m in both and self.of[m] is not self.of[n]:
                        space = space_of(n)
                        probe = Group("row", g.space, -1, list(both), run)
                        if not self._in_registers(probe, place, space, run, space != g.space):
                            return
        order = {n: k for k, n in enumerate(self.graph.nodes)}
        g.nodes = sorted(both, key=order.__getitem__)
        g.nred = run
        for n in h.nodes:
            self.of[n] = g
        g.operands |= h.operands
        self.alive[h.number] = None
        old, bit = 1 << h.number, 1 << g.number
        g.mask = (g.mask | h.mask) & ~old & ~bit
        for other in self.alive:
            if other is not None and other.mask & (old | bit):
                other.mask = (other.mask & ~old) | bit | g.mask

    def _path_outside(self, h: Group, g: Group) -> bool:
        """True if `g` reads a value that is computed from `h` by somebody else."""
        for n in g.nodes:
            for m in self._producers(n):
                p = self.of[m]
                if p is not h and p is not g and p.mask >> h.number & 1:
                    return True
        return False

    # -- column groups -----------------------------------------------------------------------------------------------
    def _mark_column_producers(self) -> None:
        """Elementwise nodes that only column reductions read are computed inside them."""
        for n in reversed(self.graph.nodes):
            if n.kind not in ("map", "copy") or len(n.outputs) != 1 or self._uses_index(n):
                continue
            users = self._through_views(n)
            if users and all(self._column_reader(u, n) for u in users) and len(users) == 1:
                self.inlined.add(n)

    def _through_views(self, n: Node) -> list[Node] | None:
        v = n.output
        if v in self.returned:
            return None
        users = self.users.get(v, [])
        return None if any(u.kind == "view" for u in users) else users

    def _column_reader(self, u: Node, n: Node) -> bool:
        if u.kind == "reduce":
            return not is_row_reduction(u) and not str(u.op).startswith("arg")
        out = n.outputs[0].type
        return u in self.inlined and u.outputs[0].type.sizes == out.sizes  # type: ignore[union-attr]

    def _place_column(self, n: Node) -> None:
        space, begin, count = space_of(n), n.attrs["begin"], n.attrs["count"]
        for g in reversed(self.groups[-16:]):
            if (
                self.alive[g.number] is not g
                or g.form != "col"
                or g.space != space
                or (g.begin, g.nred) != (begin, count)
            ):
                continue
            if (
                self._depends(n) >> g.number & 1
                or len(g.operands | self._operands(n)) > 16
                or str(n.op).startswith("arg")
            ):
                continue
            self._add(g, n)
            return
        g = self._new("col", space, n, count)
        g.begin = begin

    # -- epilogues of contractions -------------------------------------------------------------------------------------
    def _epilogues(self, groups: list[Group]) -> None:
        """A map group that is the only reader of a contraction's result is applied to its tiles."""
        for g in groups:
            if g.form != "opaque" or g.nodes[0].kind != "contract":
                continue
            v = g.nodes[0].output
            users = self.users.get(v, [])
            if v in self.returned or not users or any(u.kind not in ELEMENTWISE or u.kind == "generate" for u in users):
                continue
            e = self.of.get(users[0])
            if e is None or any(self.of.get(u) is not e for u in users) or self.alive[e.number] is not e:
                continue
            inside = set(e.nodes)
            stored = [w for m in e.nodes for w in m.outputs if self._escapes(w, inside)]
            if e.nred or e.space != v.type.sizes or len(stored) != 1 or stored[0].type != v.type:  # type: ignore[union-attr]
                continue
            if any(m.kind == "generate" or self._uses_index(m) for m in e.nodes) or len(e.operands) > 8:
                continue
            if any(
                locate(x).root is v and locate(x) != locate(v)
                for m in e.nodes
                for x in m.inputs
                if isinstance(x.type, TensorType)
            ):
                continue
            if e.mask & ~g.mask & ~(1 << g.number) and self._path_outside(g, e):
                continue
            g.epilogue = e
            self.alive[e.number] = None
            for m in e.nodes:
                self.of[m] = g
            old, bit = 1 << e.number, 1 << g.number
            self._depend(g, e.mask & ~bit)
            for other in self.alive:
                if other is not None and other.mask & old:
                    other.mask = (other.mask & ~old) | bit | g.mask

    # -- order ---------------------------------------------------------------------------------------------------------
    def _ordered(self, groups: list[Group]) -> list[Group]:
        """Groups in an order that respects what they read; among ready ones, the one that came first in the program."""
        import heapq

        order = {n: k for k, n in enumerate(self.graph.nodes)}
        members = {g.number: g.nodes + (g.epilogue.nodes if g.epilogue else []) for g in groups}
        after: dict[int, set[int]] = {g.number: set() for g in groups}
        missing: dict[int, int] = {}
        for g in groups:
            before = {self.of[m].number for n in members[g.number] for m in self._producers(n)} - {g.number}
            missing[g.number] = len(before)
            for b in before:
                after[b].add(g.number)
        ready = [(max(order[n] for n in members[k]), k) for k, count in missing.items() if not count]
        heapq.heapify(ready)
        by_number = {g.number: g for g in groups}
        result: list[Group] = []
        while ready:
            _, k = heapq.heappop(ready)
            result.append(by_number[k])
            for j in after[k]:
                missing[j] -= 1
                if not missing[j]:
                    heapq.heappush(ready, (max(order[n] for n in members[j]), j))
        if len(result) != len(groups):
            raise AssertionError("fusion made groups that wait for each other")
        return result
