"""Kernel keys ("map/add/f32,f32/f32") to kernel specs, through the operator table.

The grammar is in docs/architecture.md, section 3.
"""

from __future__ import annotations

from ..ops.table import PART
from .spec import SIZE, CodegenError, KernelSpec

_NAMES = {"c64": "complex64", "c128": "complex128"}


def parse(key: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...], str]:
    """(form, op, input codes, output codes, stage) of a key."""
    parts = key.split("/")
    form = parts[0]
    if form not in ("map", "rows", "cols", "scan") or len(parts) != (5 if form == "cols" else 4):
        raise CodegenError(f"kernel key: {key!r} is not map|rows|scan/<op>/<in>/<out> or cols/<op>/<in>/<out>/<stage>")
    ins = tuple(parts[2].split(",")) if parts[2] else ()
    outs = tuple(parts[3].split(","))
    for code in (*ins, *outs):
        if code not in SIZE and (form != "map" or code not in PART):
            raise NotImplementedError(f"{parts[1]}: not implemented for dtype {_NAMES.get(code, code)}")
    stage = parts[4] if form == "cols" else "first"
    if stage not in ("first", "next"):
        raise CodegenError(f"kernel key: {key!r}: the stage must be first or next")
    return form, parts[1], ins, outs, stage


def kernel_spec(key: str) -> KernelSpec:
    """What the kernel of `key` computes."""
    form, name, ins, outs, stage = parse(key)
    from .. import ops  # noqa: F401  (fills the table)
    from ..ops.table import lookup

    op = lookup(name)
    if form == "map":
        return op.map_spec(ins, outs)
    if form == "scan":
        return op.scan_spec(ins[0], outs[0])
    return op.reduce_spec(ins[0], outs[0], "col" if form == "cols" else "row", stage)
