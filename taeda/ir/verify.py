"""The verifier: what every graph must obey between passes. It states the rules of the IR in one place."""

from __future__ import annotations

from collections.abc import Callable

from .graph import Block, Graph, Node, Value
from .sym import Sym
from .types import FLOAT, INT, ScalarType, TensorType


class VerifyError(Exception):
    """A graph that breaks a rule: an error of the compiler, never of the user."""


#: kind -> (fewest inputs, most inputs or None, outputs or None, attributes that must be there)
_SHAPE: dict[str, tuple[int, int | None, int | None, tuple[str, ...]]] = {
    "const": (0, 0, 1, ("value",)),
    "size": (0, 0, 1, ("expr",)),
    "host": (0, 0, 1, ("index",)),
    "number": (1, 2, 1, ()),
    "rng": (0, 0, 2, ("count",)),
    "empty": (0, 0, 1, ()),
    "view": (1, 1, 1, ("offset", "strides")),
    "update": (2, 2, 1, ("offset", "strides")),
    "map": (1, None, None, ("codes",)),
    "generate": (0, None, 1, ("codes",)),
    "rows": (1, None, None, ("codes",)),
    "reduce": (1, 1, 1, ("begin", "count", "stage")),
    "scan": (1, 1, 1, ("dim",)),
    "contract": (2, 3, 1, ("a", "b", "c")),
    "gather": (2, None, 1, ("dims", "form")),
    "scatter": (3, None, 1, ("dims", "form", "mode")),
    "sort": (1, 1, 2, ("dim", "descending", "k")),
    "cat": (1, None, 1, ("dim",)),
    "copy": (1, 1, 1, ()),
    "foreign": (1, None, None, ("arguments", "tensors")),
}


def verify(graph: Graph) -> None:
    """Raises VerifyError unless `graph` obeys the IR's rules."""
    known = set(graph.symbols)
    defined: set[Value] = set()

    def fail(n: Node | None, why: str):
        return VerifyError(f"graph {graph.name}: {'' if n is None else f'{n.kind} {n.op}: '}{why}")

    def symbols(n: Node | None, s: Sym) -> None:
        unknown = s.symbols() - known
        if unknown:
            raise fail(n, f"size {s} uses {', '.join(sorted(unknown))}, which the graph does not define")

    def check_type(n: Node | None, v: Value) -> None:
        if isinstance(v.type, TensorType):
            for s in v.type.sizes:
                symbols(n, s)
        elif not isinstance(v.type, ScalarType):
            raise fail(n, f"value has no type, got {v.type!r}")

    def check_block(block: Block) -> None:
        mine: set[Value] = set()

        def define(n: Node | None, v: Value) -> None:
            if v in defined:
                raise fail(n, "a value is defined twice")
            check_type(n, v)
            defined.add(v)
            mine.add(v)

        for v in block.params:
            if v.node is not None:
                raise fail(None, "a block parameter claims a node")
            define(None, v)
        for n in block.nodes:
            shape = _SHAPE.get(n.kind)
            if shape is None:
                raise fail(n, "unknown kind")
            low, high, outs, attrs = shape
            if len(n.inputs) < low or (high is not None and len(n.inputs) > high):
                raise fail(
                    n,
                    f"takes {low}{'' if high == low else ' or more' if high is None else f' to {high}'} "
                    f"inputs, got {len(n.inputs)}",
                )
            if outs is not None and len(n.outputs) != outs:
                raise fail(n, f"has {outs} outputs, got {len(n.outputs)}")
            missing = [a for a in attrs if a not in n.attrs]
            if missing:
                raise fail(n, f"lacks attribute {missing[0]}")
            for v in n.inputs:
                if v not in defined:
                    raise fail(n, f"reads {v!r} before it is defined")
            for a in n.attrs.values():
                for s in a if isinstance(a, tuple) else (a,):
                    if isinstance(s, Sym):
                        symbols(n, s)
            rule = _RULES.get(n.kind)
            why = rule(n) if rule else None
            if why:
                raise fail(n, why)
            for k, v in enumerate(n.outputs):
                if v.node is not n or v.index != k:
                    raise fail(n, "an output does not point back at its node")
                define(n, v)
            for b in n.blocks:
                check_block(b)
        for v in block.returns:
            if v not in defined:
                raise fail(None, f"returns {v!r}, which is not defined here")
        if block is not graph.block:
            defined.difference_update(mine)

    for s in graph.symbols.values():
        if not 0 <= s.input < len(graph.inputs):
            raise fail(None, f"size {s.name} comes from input {s.input}, the graph has {len(graph.inputs)}")
        t = graph.inputs[s.input].type
        if not isinstance(t, TensorType) or not 0 <= s.dim < t.ndim:
            raise fail(None, f"size {s.name} comes from dimension {s.dim} of input {s.input}, which has none")
    for g in graph.guards:
        symbols(None, g.a)
        symbols(None, g.b)
    if graph.writes and len(graph.writes) != len(graph.returns):
        raise fail(None, f"{len(graph.returns)} values are returned, {len(graph.writes)} destinations given")
    for v, w in zip(graph.returns, graph.writes):
        if w is not None and graph.inputs[w].type != v.type:
            raise fail(None, f"a value of type {v.type} is written back to input {w} of type {graph.inputs[w].type}")
    check_block(graph.block)


# -- rules of single kinds: each returns what is wrong, or None
# ----------------------------------------------------------
def _tensor(v: Value) -> TensorType:
    if not isinstance(v.type, TensorType):
        raise VerifyError(f"a tensor is needed where {v!r} is given")
    return v.type


def _view(n: Node) -> str | None:
    _tensor(n.inputs[0])
    out = _tensor(n.outputs[0])
    if len(n.attrs["strides"]) != out.ndim:
        return f"{len(n.attrs['strides'])} strides for {out.ndim} dimensions"
    return None if out.dtype == _tensor(n.inputs[0]).dtype else "a view cannot change the dtype"


def _update(n: Node) -> str | None:
    base, value = _tensor(n.inputs[0]), _tensor(n.inputs[1])
    if n.outputs[0].type != base:
        return "the result has the type of input 0"
    if value.dtype != base.dtype:
        return f"{value.dtype} cannot be written into {base.dtype}"
    return None if len(n.attrs["strides"]) == value.ndim else "one stride a dimension of the written value is needed"


def _map(n: Node) -> str | None:
    codes = n.attrs["codes"]
    if len(codes) != len(n.inputs):
        return f"{len(codes)} operand dtypes for {len(n.inputs)} operands"
    for v, code in zip(n.inputs, codes):
        if isinstance(v.type, TensorType) and v.type.dtype != code:
            return f"operand {v!r} is read as {code}"
    if n.kind == "generate":
        return None
    full = _tensor(n.outputs[0])
    for v in n.inputs:
        if isinstance(v.type, TensorType):
            sizes = v.type.sizes
            space = full.sizes if n.kind == "map" else n.attrs.get("space", full.sizes)
            if len(sizes) > len(space):
                return f"operand {v!r} has more dimensions than the result"
            for s, t in zip(reversed(sizes), reversed(space)):
                if s != 1 and s != t:
                    return f"operand {v!r} does not broadcast to {full}"
    return None


def _reduce(n: Node) -> str | None:
    t, out = _tensor(n.inputs[0]), _tensor(n.outputs[0])
    begin, count = n.attrs["begin"], n.attrs["count"]
    if not (begin >= 0 and count >= 0 and begin + count <= t.ndim):
        return f"dimensions {begin}..{begin + count} of {t}"
    kept = t.sizes[:begin] + t.sizes[begin + count :]
    return None if out.sizes == kept else f"the result must have sizes {list(kept)}, got {out}"


def _contract(n: Node) -> str | None:
    terms = (n.attrs["a"], n.attrs["b"], n.attrs["c"])
    values = (*n.inputs[:2], n.outputs[0])
    sizes: dict[str, Sym] = {}
    for letters, v in zip(terms, values):
        t = _tensor(v)
        if len(letters) != t.ndim or len(set(letters)) != len(letters):
            return f"letters {letters!r} for {t}"
        for c, s in zip(letters, t.sizes):
            if sizes.setdefault(c, s) != s:
                return f"dimension {c} is {sizes[c]} and {s}"
    for c in sizes:
        if sum(c in letters for letters in terms) < 2:
            return f"dimension {c} occurs once"
    return None


def _scalar(t: ScalarType) -> Callable[[Node], str | None]:
    return lambda n: None if all(v.type == t for v in n.outputs) else f"gives {t} values"


def _foreign(n: Node) -> str | None:
    if len(n.attrs["tensors"]) != len(n.inputs):
        return f"{len(n.attrs['tensors'])} places for {len(n.inputs)} tensors"
    return None if all(0 <= k < len(n.attrs["arguments"]) for k in n.attrs["tensors"]) else "a tensor has no place"


_RULES: dict[str, Callable[[Node], str | None]] = {
    "foreign": _foreign,
    "view": _view,
    "update": _update,
    "map": _map,
    "generate": _map,
    "rows": _map,
    "reduce": _reduce,
    "contract": _contract,
    "size": _scalar(INT),
    "host": _scalar(FLOAT),
    "rng": _scalar(INT),
}
