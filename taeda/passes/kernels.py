"""Formulas of nodes, and the kernel spec of a group of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from ..codegen.spec import KernelSpec
from ..ir.graph import Node, Value
from ..ir.types import TensorType
from ..ops import expr as E
from ..ops.table import OpDef, lookup


def round_half(value: float, code: str) -> float:
    """`value` rounded to a 16-bit float dtype."""
    if value != value or value in (float("inf"), float("-inf")):
        return value
    if code == "f16":
        try:
            return struct.unpack("<e", struct.pack("<e", value))[0]
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    try:
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def constant(value, code: str) -> E.Expr:
    """A Python number as an element of storage dtype `code`."""
    if code in ("f16", "bf16"):
        value = round_half(float(value), code)
    return E.const(value, E.COMPUTE_OF[code])


def uses_index(op: OpDef, n: Node) -> bool:
    """True if the node's formula reads the linear index of its element."""
    outs = tuple(v.type.dtype for v in n.outputs)  # type: ignore[union-attr]
    return any(e.op == "index" for e in E.topological(*(e for _, e in op.map_outputs(n.attrs["codes"], outs))))


def formulas(n: Node, operands: list[E.Expr]) -> list[E.Expr]:
    """The node's outputs over its operands' values, before they are rounded to their storage dtypes."""
    outs = tuple(v.type.dtype for v in n.outputs)  # type: ignore[union-attr]
    if n.kind == "copy":
        return [E.cast(operands[0], outs[0])]
    op = lookup(n.op)
    if n.kind == "reduce":
        source = n.inputs[0].type
        assert isinstance(source, TensorType)
        codes: tuple[str, ...] = (source.dtype,)
        found = op.reduce_outputs(source.dtype, outs[0], n.attrs["stage"])
    else:
        codes = n.attrs["codes"]
        found = op.map_outputs(codes, outs)
    mapping = {E.load(j, code): x for j, (code, x) in enumerate(zip(codes, operands, strict=True))}
    return list(E.substitute(tuple(e for _, e in found), mapping))


def build(
    nodes: list[Node],
    stored: list[Value],
    operand: Callable[[Value, str], E.Expr | int],
    inlined: AbstractSet[Node] = frozenset(),
    given: dict[Value, E.Expr] | None = None,
) -> tuple[list[tuple[str, E.Expr]], dict[Value, E.Expr]]:
    """Expressions of the `stored` values of a group.

    operand(value, code) gives the expression of a value that comes from outside; values of members are passed on
    rounded to their storage dtype, as a store and a load would round them."""
    values: dict[Value, E.Expr] = dict(given or {})
    raw: dict[Value, E.Expr] = {}

    def compute(n: Node) -> None:
        codes = n.attrs.get("codes") or tuple(v.type.dtype for v in n.inputs)  # type: ignore[union-attr]
        operands = [read(v, code) for v, code in zip(n.inputs, codes, strict=True)]
        for v, e in zip(n.outputs, formulas(n, operands), strict=True):
            raw[v] = e
            values[v] = E.round_to(e, v.type.dtype)  # type: ignore[union-attr]

    def read(v: Value, code: str) -> E.Expr:
        source = v
        while source.node is not None and source.node.kind == "view" and source not in values:
            source = source.node.inputs[0]
        if source in values:
            return values[source]
        if v.node is not None and v.node in inlined:
            compute(v.node)
            return values[v]
        if v.node is not None and v.node.kind == "const":
            return constant(v.node.attrs["value"], code)
        e = operand(v, code)
        assert isinstance(e, E.Expr)
        return e

    for n in nodes:
        compute(n)
    return [(v.type.dtype, raw[v]) for v in stored], values  # type: ignore[union-attr]


def make_spec(codes: list[str], outputs: list[tuple[str, E.Expr]], form: str, per_row: set[int]) -> KernelSpec:
    return KernelSpec(tuple(codes), tuple(outputs), form, frozenset(per_row))
