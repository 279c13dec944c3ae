"""Column kernels: reductions over rows, vectorised over columns.

A tile of columns keeps its accumulators in registers while the rows pass; each column folds its rows in order.
"""

from __future__ import annotations

from ..ops import expr as ex
from ..ops.expr import Expr
from .accumulate import Accumulator, StateLayout, emit_finish, is_arg, value_dtype
from .llvm import Function, Module, row_parameters
from .memory import Mask, load_raw, move, store_raw
from .spec import LANES, SIZE, TD_K_REDUCES, KernelFacts, KernelSpec, cost, operand, reductions
from .vector import Evaluator, from_memory, to_memory

#: Registers that the accumulators of one reduction take in a tile.
_TILE_REGISTERS = 4


def _tile_width(module: Module, reduces: list[Expr]) -> int:
    widest = max(SIZE[value_dtype(r)] for r in reduces)
    lanes = _TILE_REGISTERS * module.target.vector_bits // (8 * widest)
    return max(8, min(64, lanes if len(reduces) <= 2 else lanes // 2))


def emit_col(module: Module, symbol: str, spec: KernelSpec) -> KernelFacts:
    """Writes td_partial_col_fn and its finish."""
    f = Function(module, symbol, row_parameters("r0", "state"))
    roots = [root for _, root in spec.outputs]
    reduces = reductions(*roots)
    layout = StateLayout(reduces)
    width = _tile_width(module, reduces)
    n_out = len(spec.outputs)
    used = ex.loads(*(r.args[0] for r in reduces))

    base = {j: f.item("ptr", "%ptr", n_out + j) for j in used}
    stride = {j: f.item("i64", "%es", n_out + j) for j in used}
    down = {j: f.item("i64", "%rs", n_out + j) for j in used}
    current = {j: f.var("ptr") for j in used}
    source = {j: f.var("ptr") for j in used}
    buffer = {j: f.alloca("i8", SIZE[spec.inputs[j]] * width) for j in used}
    strided = {j: f.compare("ne", stride[j], str(SIZE[spec.inputs[j]])) for j in used}
    accs = {r: Accumulator(f, r, width) for r in reduces}
    tail = f.alloca("i8", 8 * width)

    def tile(first: str, mask: Mask | None) -> None:
        count = str(width) if mask is None else mask.count
        if mask is not None:
            _ = mask.lanes  # made before the loop, which would not dominate the stores
        for j in used:
            current[j].set(f.offset(base[j], f.mul(first, stride[j])))
        for acc in accs.values():
            acc.reset()
        with f.loop("0", "%rows") as r:
            for j in used:
                here, size = current[j].get(), SIZE[spec.inputs[j]]
                source[j].set(here)
                with f.when(strided[j]):
                    move(f, size, buffer[j], str(size), here, stride[j], count)
                    source[j].set(buffer[j])

            def leaf(e: Expr) -> str | None:
                if e.op != "load":
                    return None
                code = spec.inputs[operand(e)]
                return from_memory(f, load_raw(f, source[operand(e)].get(), code, width, mask, tail), code, width)

            evaluator = Evaluator(f, width, leaf)
            row = f.splat(f.v(f"trunc i64 {r} to i32"), "i32", width) if any(is_arg(x) for x in reduces) else None
            for x, acc in accs.items():
                acc.update(
                    evaluator.value(x.args[0]), row, None
                )  # columns are apart: lanes past the mask are not stored
            for j in used:
                current[j].set(f.offset(current[j].get(), down[j]))
        for x, acc in accs.items():
            values = [acc.parts[0].get()]
            if is_arg(x):
                found = acc.index(acc.parts[1].get(), width)
                values.append(f.v(f"add <{width} x i64> {found}, {f.splat('%r0', 'i64', width)}"))
            for value, (dtype, offset) in zip(values, layout.places[x]):
                place = f.offset(f.offset("%state", f.mul("%n", str(offset))), f.mul(first, str(SIZE[dtype])))
                store_raw(f, to_memory(f, value, dtype, width), place, dtype, width, mask, tail)

    whole = f.v(f"and i64 %n, {-width}")
    with f.loop("0", whole, width) as first:
        tile(first, None)
    rest = f.sub("%n", whole)
    with f.when(f.compare("ne", rest, "0")):
        tile(whole, Mask(f, width, rest))
    f.ret()
    f.finish()
    emit_finish(module, f"{symbol}_finish", spec, LANES // 2)
    return KernelFacts(
        symbol, None, f"{symbol}_finish", TD_K_REDUCES, n_out, len(spec.inputs), 0, layout.size, cost(*roots)
    )
