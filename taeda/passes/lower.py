"""Groups of nodes to steps over buffers."""

from __future__ import annotations

from ..codegen.spec import KernelSpec, is_per_row
from ..ir import sym as S
from ..ir.graph import Graph, Node, Value
from ..ir.sym import Sym
from ..ir.types import TensorType
from ..ops import expr as E
from ..ops.table import ROLES, lookup
from . import kernels
from .fuse import Group, space_of
from .plan import (
    Access,
    Buffer,
    ContractStep,
    CopyStep,
    HostStep,
    IndexStep,
    KernelStep,
    Operand,
    Plan,
    RngStep,
    Scalar,
    SortStep,
    Step,
)
from .views import broadcast_strides, compose_strides, is_reshape, is_view, locate


class UnsupportedNode(Exception):
    """A node that no step can carry out."""


def tensor_type(v: Value) -> TensorType:
    assert isinstance(v.type, TensorType)
    return v.type


class Lowering:
    """Lowers the groups of one graph; `plan` is the result."""

    def __init__(self, graph: Graph, groups: list[Group], inlined: set[Node]):
        self.graph, self.groups, self.inlined = graph, groups, inlined
        self.buffers: dict[Value, Buffer] = {}
        self.steps: list[Step] = []
        self.placed: dict[Value, Access] = {}
        self.in_place: set[Value] = set()
        self.users = graph.users()
        self.returned = set(graph.returns)
        self.inputs: list[Buffer] = []
        for k, v in enumerate(graph.inputs):
            t = tensor_type(v)
            b = Buffer(v, t.dtype, t.sizes, "input", k, name=v.name or f"in{k}")
            self.buffers[v] = b
            self.inputs.append(b)

    def run(self) -> Plan:
        self._place_in_joins()
        for g in self.groups:
            if g.form == "opaque":
                self._opaque(g)
            else:
                self._kernel(g)
        outputs = [self._returned(v) for v in self.graph.returns]
        plan = Plan(
            self.graph.name,
            self.inputs,
            outputs,
            self.steps,
            list(self.buffers.values()),
            dict(self.graph.symbols),
            list(self.graph.guards),
        )
        return plan

    # -- buffers -----------------------------------------------------------------------------------------------------
    def buffer(self, v: Value) -> Buffer:
        """The buffer of a materialised value."""
        b = self.buffers.get(v)
        if b is None:
            t = tensor_type(v)
            b = self.buffers[v] = Buffer(v, t.dtype, t.sizes, name=f"t{len(self.buffers)}")
        return b

    def access(self, v: Value, space: tuple[Sym, ...]) -> Access:
        """`v` broadcast over an iteration space."""
        place = locate(v)
        return Access(self.buffer(place.root), place.offset, broadcast_strides(place, space))

    def plain(self, v: Value) -> Access:
        return self.access(v, tensor_type(v).sizes)

    def result(self, v: Value) -> Access:
        """Where a whole value is written to: a place in a join, or memory of its own."""
        place = self.placed.get(v)
        if place is None:
            return self.plain(v)
        self.in_place.add(v)
        return place

    def _place_in_joins(self) -> None:
        """A value that only a `cat` reads is computed in its place there."""
        fused = {m for g in self.groups for m in (*g.nodes, *(g.epilogue.nodes if g.epilogue else ()))}
        for n in self.graph.nodes:
            if n.kind != "cat":
                continue
            dim, t = n.attrs["dim"], tensor_type(n.output)
            at = S.ZERO
            for x in n.inputs:
                part = tensor_type(x)
                start, at = at * t.strides()[dim], at + part.sizes[dim]
                v = x
                if is_view(x):
                    assert x.node is not None
                    if len(self.users[x]) != 1 or not is_reshape(x.node):
                        continue
                    v = x.node.inputs[0]
                maker = v.node
                if (
                    maker is None
                    or maker not in fused
                    or maker.kind not in ("map", "copy", "rows", "contract")
                    or v in self.returned
                ):
                    continue
                if len(self.users[v]) != 1 or n.inputs.count(x) != 1:
                    continue
                own = tensor_type(v)
                found = compose_strides(own.sizes, own.strides(), S.ZERO, part.sizes, t.strides(), start)
                if found is not None:
                    self.placed[v] = Access(self.buffer(n.output), *found)

    def _returned(self, v: Value) -> Buffer:
        """A returned value lies in a row-major buffer of its own."""
        if not is_view(v):
            return self.buffer(v)
        copy = Node("copy", ROLES["clone"], [v], [v.type])
        t = tensor_type(v)
        self.steps.append(CopyStep([copy], self.plain(copy.output), self.plain(v), t.sizes))
        return self.buffer(copy.output)

    def _stored(self, nodes: list[Node]) -> list[Value]:
        """Members' values that are read outside of the group."""
        inside = set(nodes)

        def escapes(v: Value) -> bool:
            if v in self.returned:
                return True
            for u in self.users.get(v, ()):
                if u.kind == "view":
                    if escapes(u.output):
                        return True
                elif u in self.inlined:
                    if any(w not in inside for w in self._readers(u)):
                        return True
                elif u not in inside:
                    return True
            return False

        return [v for n in nodes for v in n.outputs if escapes(v)]

    def _readers(self, n: Node) -> list[Node]:
        found: list[Node] = []
        for u in self.users.get(n.output, ()):
            found += self._readers(u) if u in self.inlined else [u]
        return found

    # -- generated kernels ---------------------------------------------------------------------------------------------
    def _kernel(self, g: Group) -> None:
        stored = self._stored(g.nodes)
        if not stored:
            return
        if len(g.nodes) == 1 and self._plain_copy(g.nodes[0]):
            n = g.nodes[0]
            self.steps.append(
                CopyStep([n], self.result(n.output), self.plain(n.inputs[0]), tensor_type(n.output).sizes)
            )
            return
        # Column kernels and rows that span nothing else keep the space as it is; td_rows needs at least one
        # reduced dimension.
        operands: list[Operand] = []
        codes: list[str] = []
        numbers: dict[tuple, int] = {}
        current: list[tuple[Sym, ...]] = [g.space]

        def operand(v: Value, code: str) -> E.Expr:
            x: Operand
            if isinstance(v.type, TensorType):
                x = self._member_access(g, v, current[0])
                key: tuple = (id(x.buffer), x.offset, x.strides, code)
            else:
                x = Scalar(v, code)
                key = (id(v), code)
            if key not in numbers:
                numbers[key] = len(operands)
                operands.append(x)
                codes.append(code)
            return E.load(numbers[key], code)

        outputs: list[tuple[str, E.Expr]] = []
        values: dict[Value, E.Expr] = {}
        raw: dict[Value, tuple[str, E.Expr]] = {}
        for n in g.nodes:
            current[0] = g.space if g.form == "col" else space_of(n)
            mine = list(n.outputs)
            pairs, values = kernels.build([n], mine, operand, self.inlined, values)
            raw.update(zip(mine, pairs))
        outputs = [raw[v] for v in stored]
        places: list[Access] = [self._stored_access(g, v) for v in stored]
        per_row: set[int] = set()
        if g.form == "row" and g.nred:
            outer = len(g.space) - g.nred
            per_row = {
                j for j, x in enumerate(operands) if isinstance(x, Scalar) or all(s == 0 for s in x.strides[outer:])
            }
        spec = kernels.make_spec(codes, outputs, g.form, per_row)
        spread = self._row_values(g, spec, stored, places)
        driver = "cols" if g.form == "col" else "rows" if g.nred else "map"
        self.steps.append(KernelStep(list(g.nodes), driver, spec, g.space, places, operands, g.nred, g.begin))
        self.steps += spread

    def _row_values(self, g: Group, spec: KernelSpec, stored: list[Value], places: list[Access]) -> list[Step]:
        """A full-sized value that is the same along each row (a broadcast reduction) leaves the kernel once a row and
        is spread by a copy: kernels store such values once."""
        steps: list[Step] = []
        outer = len(g.space) - g.nred
        if g.form != "row" or not g.nred or all(s == 1 for s in g.space[outer:]):
            return steps
        for k, v in enumerate(stored):
            t = tensor_type(v)
            if (
                t.sizes != g.space
                or v.node is None
                or v.node.kind == "reduce"
                or not is_per_row(spec, spec.outputs[k][1])
            ):
                continue
            once = Value(TensorType(t.dtype, g.space[:outer]))
            b = self.buffer(once)
            strides = S.contiguous_strides(g.space[:outer]) + (S.ZERO,) * g.nred
            steps.append(CopyStep([v.node], places[k], Access(b, S.ZERO, strides), g.space))
            places[k] = Access(b, S.ZERO, strides)
        return steps

    def _plain_copy(self, n: Node) -> bool:
        return n.kind == "copy" and n.inputs[0].type == n.outputs[0].type

    def _member_access(self, g: Group, v: Value, space: tuple[Sym, ...]) -> Access:
        """Access over the group's space of an operand of a member whose own space may be one value a row."""
        a = self.access(v, space)
        if space == g.space:
            return a
        outer = len(g.space) - g.nred
        return Access(a.buffer, a.offset, a.strides[:outer] + (S.ZERO,) * g.nred)

    def _stored_access(self, g: Group, v: Value) -> Access:
        t = tensor_type(v)
        if g.form == "row" and v in self.placed and t.sizes == g.space:
            return self.result(v)
        b = self.buffer(v)
        if g.form == "col":
            strides = list(t.strides())
            return Access(b, S.ZERO, (*strides[: g.begin], *(S.ZERO,) * g.nred, *strides[g.begin :]))
        if t.sizes == g.space and not (g.nred and v.node is not None and v.node.kind == "reduce"):
            return Access(b, S.ZERO, t.strides())
        outer = len(g.space) - g.nred
        return Access(b, S.ZERO, t.strides()[:outer] + (S.ZERO,) * g.nred)

    # -- nodes with drivers of their own
    # ---------------------------------------------------------------------------------
    def _opaque(self, g: Group) -> None:
        (n,) = g.nodes
        if n.kind == "rng":
            seed, offset = n.outputs
            self.steps.append(RngStep([n], n.attrs["count"], (seed, offset)))
            return
        method = getattr(self, f"_{n.kind}", None)
        if method is None:
            raise UnsupportedNode(f"{n.kind} {n.op}: no step carries this out")
        method(n, g)

    def _empty(self, n: Node, g: Group) -> None:
        self.buffer(n.output)

    def _update(self, n: Node, g: Group) -> None:
        base, value = n.inputs
        out = self.buffer(n.output)
        sizes = tensor_type(n.output).sizes
        if base.node is None or base.node.kind != "empty" or is_view(base):
            self.steps.append(CopyStep([n], Access(out, S.ZERO, S.contiguous_strides(sizes)), self.plain(base), sizes))
        target = Access(out, n.attrs["offset"], n.attrs["strides"])
        self.steps.append(CopyStep([n], target, self.plain(value), tensor_type(value).sizes))

    def _cat(self, n: Node, g: Group) -> None:
        dim, out = n.attrs["dim"], self.plain(n.output)
        at = S.ZERO
        for v in n.inputs:
            t = tensor_type(v)
            source = v.node.inputs[0] if v.node is not None and is_view(v) else v
            if t.numel() != 0 and source not in self.in_place:
                self.steps.append(
                    CopyStep([n], Access(out.buffer, at * out.strides[dim], out.strides), self.plain(v), t.sizes)
                )
            at = at + t.sizes[dim]

    def _scan(self, n: Node, g: Group) -> None:
        source, out = tensor_type(n.inputs[0]), tensor_type(n.output)
        spec = lookup(n.op).scan_spec(source.dtype, out.dtype)
        self.steps.append(
            KernelStep(
                [n], "scan", spec, out.sizes, [self.plain(n.output)], [self.plain(n.inputs[0])], begin=n.attrs["dim"]
            )
        )

    def _sort(self, n: Node, g: Group) -> None:
        src = n.inputs[0]
        k = n.attrs["k"]
        self.steps.append(
            SortStep(
                [n],
                self.plain(n.outputs[0]),
                self.plain(n.outputs[1]),
                self.plain(src),
                tensor_type(src).sizes,
                n.attrs["descending"],
                None if k is None else S.as_sym(k),
            )
        )

    def _foreign(self, n: Node, g: Group) -> None:
        self.steps.append(
            HostStep(
                [n],
                n.op,
                n.attrs["arguments"],
                n.attrs["tensors"],
                [self.plain(v) for v in n.outputs],
                [self.plain(v) for v in n.inputs],
                [tensor_type(v).sizes for v in n.inputs],
            )
        )

    def _contract(self, n: Node, g: Group) -> None:
        la, lb, lc = n.attrs["a"], n.attrs["b"], n.attrs["c"]
        a, b = n.inputs[:2]
        sizes = {**dict(zip(la, tensor_type(a).sizes)), **dict(zip(lb, tensor_type(b).sizes))}
        groups = {
            "batch": "".join(c for c in lc if c in la and c in lb),
            "m": "".join(c for c in lc if c in la and c not in lb),
            "n": "".join(c for c in lc if c in lb and c not in la),
            "k": "".join(c for c in la if c not in lc),
        }
        step = ContractStep(
            [n],
            tensor_type(n.output).dtype,
            self.plain(n.output) if g.epilogue else self.result(n.output),
            self.plain(a),
            self.plain(b),
            groups,
            (la, lb, lc),
            sizes,
        )
        order = [lc.index(c) for c in groups["batch"] + groups["m"] + groups["n"]]
        nodes = list(g.epilogue.nodes) if g.epilogue else []
        bias = n.inputs[2] if len(n.inputs) > 2 else None
        if bias is not None or nodes:
            self._epilogue(step, n, bias, nodes, order)
        self.steps.append(step)

    def _epilogue(self, step: ContractStep, n: Node, bias: Value | None, nodes: list[Node], order: list[int]) -> None:
        t = tensor_type(n.output)
        extra: list[Operand] = []
        codes = [t.dtype]
        numbers: dict[tuple, int] = {}

        def operand(v: Value, code: str) -> E.Expr:
            x: Operand
            if isinstance(v.type, TensorType):
                a = self.access(v, t.sizes)
                x = Access(a.buffer, a.offset, tuple(a.strides[d] for d in order))
                key: tuple = (id(x.buffer), x.offset, x.strides, code)
            else:
                x, key = Scalar(v, code), (id(v), code)
            if key not in numbers:
                extra.append(x)
                codes.append(code)
                numbers[key] = len(extra)
            return E.load(numbers[key], code)

        value: E.Expr = E.load(0, t.dtype)
        raw = value
        if bias is not None:
            raw = value + E.cast(operand(bias, tensor_type(bias).dtype), E.COMPUTE_OF[t.dtype])
            value = E.round_to(raw, t.dtype)
        result = n.output
        if nodes:
            (result,) = self._stored([n, *nodes])
            pairs, _ = kernels.build(nodes, [result], operand, self.inlined, {n.output: value})
            raw = pairs[0][1]
        step.nodes = [n, *nodes]
        step.c = self.result(result)
        step.epilogue = kernels.make_spec(codes, [(t.dtype, raw)], "row", set())
        step.extra = extra

    def _gather(self, n: Node, g: Group) -> None:
        src, indices = n.inputs[0], n.inputs[1:]
        self._indexed(n, "gather", n.output, src, indices)

    def _scatter(self, n: Node, g: Group) -> None:
        base, values, indices = n.inputs[0], n.inputs[-1], n.inputs[1:-1]
        sizes = tensor_type(n.output).sizes
        self.steps.append(CopyStep([n], self.plain(n.output), self.plain(base), sizes))
        self._indexed(n, n.attrs["mode"], values, n.output, indices)

    def _indexed(self, n: Node, mode: str, moved: Value, target: Value, indices: list[Value]) -> None:
        """forms: index (NumPy's), along (one index an element), select (a vector for one dimension)."""
        form, dims = n.attrs["form"], n.attrs["dims"]
        place = locate(target)
        walked = tensor_type(moved).sizes
        if form == "index":
            space = n.attrs.get("space") or walked
            at = n.attrs["at"]  # where the dimensions of the broadcast indices stand in the iteration space
            rank = n.attrs["rank"]  # how many they are
            rest = [d for d in range(len(place.sizes)) if d not in dims]
            strides = [S.ZERO] * len(space)
            for d, position in zip(rest, [p for p in range(len(space)) if not at <= p < at + rank]):
                strides[position] = place.strides[d]

            def index_access(v: Value) -> Access:
                a = self.access(v, tuple(space[at : at + rank]))
                return Access(a.buffer, a.offset, (S.ZERO,) * at + a.strides + (S.ZERO,) * (len(space) - at - rank))
        else:
            (d,) = dims
            space = tensor_type(indices[0]).sizes if form == "along" else walked
            strides = [S.ZERO if k == d else s for k, s in enumerate(place.strides)]

            def index_access(v: Value) -> Access:
                if form == "along":
                    return self.access(v, space)
                p = locate(v)
                return Access(
                    self.buffer(p.root), p.offset, tuple(p.strides[0] if k == d else S.ZERO for k in range(len(space)))
                )

        source = self.access(moved, tuple(space)) if form == "index" else self._leading(moved)
        found = [
            (index_access(v), tensor_type(v).dtype, place.sizes[d], place.strides[d], d)
            for v, d in zip(indices, dims, strict=True)
        ]
        self.steps.append(
            IndexStep(
                [n],
                mode,
                source,
                Access(self.buffer(place.root), place.offset, tuple(strides)),
                found,
                tuple(space),
                form == "index",
            )
        )

    def _leading(self, v: Value) -> Access:
        """The corner of `v` that an iteration space of smaller sizes covers."""
        p = locate(v)
        return Access(self.buffer(p.root), p.offset, p.strides)


def lower(graph: Graph, groups: list[Group], inlined: set[Node]) -> Plan:
    """The plan of a graph whose nodes are grouped into `groups`."""
    return Lowering(graph, groups, inlined).run()
