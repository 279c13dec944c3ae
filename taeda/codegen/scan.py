"""Scan kernels: running reductions along a row, in order from the first element.

Rows are independent. Where every operand's rows lie side by side, a vector holds one row a lane; else four rows run
interleaved as scalars, so that the latency of one does not bound the others.
"""

from __future__ import annotations

from ..ops import expr as ex
from ..ops.expr import Expr
from .accumulate import Total, is_arg
from .llvm import MEMORY, Function, Module, row_parameters
from .memory import Mask, load_raw, store_raw
from .spec import LANES, SIZE, TD_K_REDUCES, KernelFacts, KernelSpec, cost, operand, reductions
from .vector import Evaluator, from_memory, to_memory

_ROWS_AT_ONCE = 4


class _Scan:
    def __init__(self, f: Function, spec: KernelSpec):
        self.f, self.spec = f, spec
        self.roots = [root for _, root in spec.outputs]
        self.reduces = reductions(*self.roots)
        n_out = len(spec.outputs)
        codes = [code for code, _ in spec.outputs] + list(spec.inputs)
        self.used = list(range(n_out)) + [n_out + j for j in ex.loads(*self.roots)]
        self.code = {k: codes[k] for k in self.used}
        self.base = {k: f.item("ptr", "%ptr", k) for k in self.used}
        self.along = {k: f.item("i64", "%es", k) for k in self.used}
        self.across = {k: f.item("i64", "%rs", k) for k in self.used}
        self.tail = f.alloca("i8", 8 * LANES)

    def rows(self, first: str, count: int, width: int, mask: Mask | None) -> None:
        """Scans `count` groups of `width` rows side by side, beginning with row `first`."""
        f, spec, n_out = self.f, self.spec, len(self.spec.outputs)
        if mask is not None:
            _ = mask.lanes  # made before the loop, which would not dominate later uses
        at = [{k: f.var("ptr") for k in self.used} for _ in range(count)]
        totals = [{r: Total(f, r, width) for r in self.reduces} for _ in range(count)]
        for g in range(count):
            for k in self.used:
                row = f.add(first, str(g))
                at[g][k].set(f.offset(self.base[k], f.mul(row, self.across[k])))
            for total in totals[g].values():
                total.reset()

        with f.loop("0", "%n") as i:
            for g in range(count):
                group, running = at[g], totals[g]
                if width == 1:

                    def load(k: int, group=group) -> str:
                        raw = f.v(f"load {MEMORY[self.code[k]]}, ptr {group[k].get()}, align {SIZE[self.code[k]]}")
                        return from_memory(f, raw, self.code[k], 1)
                else:

                    def load(k: int, group=group) -> str:
                        raw = load_raw(f, group[k].get(), self.code[k], width, mask, self.tail)
                        return from_memory(f, raw, self.code[k], width)

                values: dict[Expr, str] = {}

                def leaf(e: Expr, load=load, values=values) -> str | None:
                    return load(n_out + operand(e)) if e.op == "load" else values.get(e)

                evaluator = Evaluator(f, width, leaf)
                for r in self.reduces:
                    value = evaluator.value(r.args[0])
                    running[r].fold((value, f.splat(i, "i64", width)) if is_arg(r) else (value,))
                    values[r] = running[r].result()
                results = [evaluator.value(root) for root in self.roots]
                for k, result in enumerate(results):
                    code = spec.outputs[k][0]
                    store_raw(f, to_memory(f, result, code, width), group[k].get(), code, width, mask, self.tail)
                for k in self.used:
                    group[k].set(f.offset(group[k].get(), self.along[k]))


def emit_scan(module: Module, symbol: str, spec: KernelSpec) -> KernelFacts:
    """Writes a scan kernel (td_row_fn: elem_stride runs along the scan)."""
    f = Function(module, symbol, row_parameters())
    scan = _Scan(f, spec)
    side_by_side = f.compare("sgt", "%rows", "1")
    for k in scan.used:
        adjacent = f.compare("eq", scan.across[k], str(SIZE[scan.code[k]]))
        side_by_side = f.v(f"and i1 {side_by_side}, {adjacent}")
    vectors, scalars = f.label("vectors"), f.label("scalars")
    f.branch(side_by_side, vectors, scalars)

    f.at(vectors)
    whole = f.v(f"and i64 %rows, {-LANES}")
    with f.loop("0", whole, LANES) as first:
        scan.rows(first, 1, LANES, None)
    rest = f.sub("%rows", whole)
    with f.when(f.compare("ne", rest, "0")):
        scan.rows(whole, 1, LANES, Mask(f, LANES, rest))
    f.ret()

    f.at(scalars)
    groups = f.v(f"and i64 %rows, {-_ROWS_AT_ONCE}")
    with f.loop("0", groups, _ROWS_AT_ONCE) as first:
        scan.rows(first, _ROWS_AT_ONCE, 1, None)
    with f.loop(groups, "%rows") as first:
        scan.rows(first, 1, 1, None)
    f.ret()
    f.finish()
    return KernelFacts(symbol, None, None, TD_K_REDUCES, len(spec.outputs), len(spec.inputs), 0, 0, cost(*scan.roots))
