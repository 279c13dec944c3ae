"""Row kernels: elementwise work, reductions along rows, and any nest of the two.

Nested reductions run in stages: stage d walks the row once and computes the reductions whose argument holds d levels
of other reductions. A value that an earlier stage computed is kept in scratch if computing it again is expensive; both
ways give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ops import expr as ex
from ..ops.expr import COMPUTE_OF, Expr
from .accumulate import Accumulator, StateLayout, Total, emit_finish, is_arg, lane_index
from .llvm import MEMORY, REGISTER, Function, Module, row_parameters
from .memory import Access, ElementLoop, Step, iota
from .spec import (
    LANES,
    NODE_COST,
    ROW_BLOCK,
    SIZE,
    TD_K_INDEX,
    TD_K_REDUCES,
    KernelFacts,
    KernelSpec,
    cost,
    is_per_row,
    operand,
    reductions,
)
from .vector import Evaluator, from_memory, to_memory

#: A value is kept in scratch if the nodes to compute it again cost more than this (in simple adds).
KEEP_COST = 8


@dataclass
class Stage:
    reduces: list[Expr] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    #: Values to store to scratch.
    keeps: list[Expr] = field(default_factory=list)
    #: Values read from scratch.
    kept: set[Expr] = field(default_factory=set)
    #: Inputs read element by element.
    inputs: set[int] = field(default_factory=set)
    #: Per-row values used between elements, arguments first.
    uniforms: list[Expr] = field(default_factory=list)

    @property
    def roots(self) -> list[Expr]:
        return [r.args[0] for r in self.reduces]


class Plan:
    """Which stage computes what."""

    def __init__(self, spec: KernelSpec):
        self.spec = spec
        self.roots = [root for _, root in spec.outputs]
        nodes = ex.topological(*self.roots)
        self.uniform: set[Expr] = set()
        depth: dict[Expr, int] = {}
        for e in nodes:
            depth[e] = max((depth[a] for a in e.args), default=0) + (e.op == "reduce")
            if (
                e.op in ("const", "reduce")
                or (e.op == "load" and e.attr in spec.per_row)
                or (e.args and all(a in self.uniform for a in e.args))
            ):
                self.uniform.add(e)
        self.reduces = [e for e in nodes if e.op == "reduce"]
        self.row_outputs = [k for k, root in enumerate(self.roots) if is_per_row(spec, root)]
        stages = [Stage() for _ in range(max((depth[r] for r in self.reduces), default=0) + 1)]
        for r in self.reduces:
            stages[depth[r] - 1].reduces.append(r)
        element_outputs = [k for k in range(len(self.roots)) if k not in self.row_outputs]
        # An output may share memory with an input, so it is stored in the last stage that reads elements, not before.
        last = max((depth[self.roots[k]] for k in element_outputs), default=0)
        if element_outputs:
            last = max(last, max((depth[r] - 1 for r in self.reduces if r.args[0] not in self.uniform), default=0))
            stages[last].outputs = element_outputs
        self.stages = [s for s in stages if s.reduces or s.outputs]
        self.slots: dict[Expr, int] = {}
        self._place_values()
        self.uses_index = any(e.op == "index" for e in nodes)

    def _place_values(self) -> None:
        first: dict[Expr, int] = {}
        for number, stage in enumerate(self.stages):
            uniforms: set[Expr] = set()
            seen: set[Expr] = set()
            stack = stage.roots + [self.roots[k] for k in stage.outputs]
            while stack:
                e = stack.pop()
                if e in seen:
                    continue
                seen.add(e)
                if e in self.uniform:
                    if e.op != "const":
                        uniforms.add(e)
                    continue
                if e.op == "load":
                    stage.inputs.add(operand(e))
                    continue
                if first.get(e, number) < number and (e in self.slots or self._recompute_cost(e) > KEEP_COST):
                    if e not in self.slots:
                        self.slots[e] = len(self.slots)
                        self.stages[first[e]].keeps.append(e)
                    stage.kept.add(e)
                    continue
                first.setdefault(e, number)
                stack.extend(e.args)
            stage.uniforms = [e for e in ex.topological(*self.roots) if e in uniforms]
        for stage in self.stages:
            # What an input is read for may have moved to scratch after the walk above began.
            stage.keeps.sort(key=lambda e: self.slots[e])

    def _recompute_cost(self, e: Expr) -> int:
        seen: set[Expr] = set()
        stack, total = [e], 0
        while stack:
            x = stack.pop()
            if x in seen or x in self.uniform or (x in self.slots and x is not e):
                continue
            seen.add(x)
            total += NODE_COST.get(x.op, 1)
            stack.extend(x.args)
        return total

    def scratch(self) -> tuple[dict[Expr, int], int]:
        """Byte offset per element of each kept value, and the bytes of all. Wide values first: all are aligned."""
        offsets, at = {}, 0
        for e in sorted(self.slots, key=lambda e: (-SIZE[e.dtype], self.slots[e])):
            offsets[e] = at
            at += SIZE[e.dtype]
        return offsets, at


class _RowFunction:
    """Operands and per-row values of a row function being written."""

    def __init__(self, f: Function, plan: Plan, elements: bool = True):
        """`elements`: whether this function itself reads and writes along the row."""
        self.f, self.plan, self.spec = f, plan, plan.spec
        n_out = len(self.spec.outputs)
        used = sorted({j for s in plan.stages for j in s.inputs}) if elements else []
        written = [k for s in plan.stages for k in s.outputs] if elements else []
        self.inputs = {j: self._operand(n_out + j, self.spec.inputs[j], False) for j in used}
        self.outputs = {k: self._operand(k, self.spec.outputs[k][0], True) for k in written}
        #: Values that are known for the whole row.
        self.row_values: dict[Expr, str] = {}

    def _operand(self, number: int, code: str, output: bool) -> Access:
        f = self.f
        return Access(code, f.var("ptr", f.item("ptr", "%ptr", number)), f.item("i64", "%es", number), output)

    def uniform_value(self, e: Expr) -> str:
        """A per-row value as a scalar, computed once."""
        value = Evaluator(self.f, 1, self.row_values.get).value(e)
        self.row_values[e] = value
        return value

    def evaluator(
        self, step: Step, stage: Stage, splats: dict[Expr, str], kept: dict[Expr, Access], index_base: str | None
    ) -> Evaluator:
        f, w = self.f, step.width

        def leaf(e: Expr) -> str | None:
            if e in splats:
                return splats[e]
            if e.op == "load":
                return step.load(self.inputs[operand(e)])
            if e in stage.kept:
                return step.load(kept[e])
            if e.op == "index":
                first = f.splat(f.add(str(index_base), step.position), "i64", w)
                return f.v(f"add <{w} x i64> {first}, {iota(w, 'i64')}")
            return None

        return Evaluator(f, w, leaf)

    def splats(self, stage: Stage, width: int) -> dict[Expr, str]:
        return {e: self.f.splat(self.uniform_value(e), REGISTER[e.dtype], width) for e in stage.uniforms}


def _reduce_block(
    rf: _RowFunction,
    loop: ElementLoop,
    stage: Stage,
    accs: dict[Expr, Accumulator],
    splats: dict[Expr, str],
    kept: dict[Expr, Access],
    start: str,
    length: str,
    index_base: str | None,
) -> None:
    """One stage over elements [start, start + length): lanes of its reductions, element outputs, values to keep."""
    f = rf.f
    for acc in accs.values():
        acc.reset()
    accesses = [rf.inputs[j] for j in sorted(stage.inputs)] + [rf.outputs[k] for k in stage.outputs]
    accesses += [kept[e] for e in kept if e in stage.kept or e in stage.keeps]

    def body(step: Step) -> None:
        evaluator = rf.evaluator(step, stage, splats, kept, index_base)
        where = lane_index(f, step, start)
        for r in stage.reduces:
            value = evaluator.value(r.args[0])
            accs[r].update(value, where() if is_arg(r) else None, step.mask)
        # All values first: an output may be the same memory as an input.
        values = [(rf.outputs[k], evaluator.value(rf.plan.roots[k])) for k in stage.outputs]
        values += [(kept[e], evaluator.value(e)) for e in stage.keeps]
        for access, value in values:
            step.store(access, value)

    loop.run(start, length, accesses, body)


def _emit_partial(module: Module, name: str, plan: Plan) -> None:
    """td_partial_row_fn: the accumulator states of elements [i0, i0 + n) of one row, one canonical block."""
    f = Function(module, name, [("ptr", "ptr"), ("ptr", "es"), ("i64", "n"), ("i64", "i0"), ("ptr", "state")])
    rf = _RowFunction(f, plan)
    stage = plan.stages[0]
    loop = ElementLoop(f, LANES, list(rf.inputs.values()))
    accs = {r: Accumulator(f, r, LANES) for r in stage.reduces}
    _reduce_block(rf, loop, stage, accs, rf.splats(stage, LANES), {}, "%i0", "%n", None)
    layout = StateLayout(plan.reduces)
    for r, acc in accs.items():
        values = acc.fold_lanes()
        if is_arg(r):
            values = (values[0], f.add(values[1], "%i0"))
        layout.store_one(f, r, values, "%state")
    f.ret()
    f.finish()


def _bind_per_row(rf: _RowFunction, pointers: dict[int, str]) -> None:
    """Loads the inputs that hold one value a row."""
    f = rf.f
    for j, pointer in sorted(pointers.items()):
        code = rf.spec.inputs[j]
        raw = f.v(f"load {MEMORY[code]}, ptr {pointer}, align {SIZE[code]}")
        rf.row_values[ex.load(j, COMPUTE_OF[code])] = from_memory(f, raw, code, 1)


def _emit_fn(module: Module, name: str, plan: Plan, partial: str | None) -> int:
    """td_row_fn. Returns scratch_per_elem."""
    f = Function(module, name, row_parameters())
    spec, n_out = plan.spec, len(plan.spec.outputs)
    operands = n_out + len(spec.inputs)
    strides = [f.item("i64", "%rs", j) for j in range(operands)]
    offsets, scratch_bytes = plan.scratch()
    kept: dict[Expr, Access] = {}
    rf = _RowFunction(f, plan, elements=partial is None)
    if partial is None:
        for e, offset in offsets.items():
            place = f.offset("%scratch", f.mul("%n", str(offset)))
            kept[e] = Access(e.dtype, f.var("ptr", place), None, output=False)
        width = LANES if plan.reduces else module.target.map_width
        loop = ElementLoop(f, width, [*rf.inputs.values(), *rf.outputs.values(), *kept.values()])
        accs = {r: Accumulator(f, r, LANES) for r in plan.reduces}
        moving = {n_out + j: a.row for j, a in rf.inputs.items()} | {k: a.row for k, a in rf.outputs.items()}
    else:  # the block function reads its operands from memory
        pointers = f.alloca("ptr", operands)
        state = f.alloca("i8", StateLayout(plan.reduces).size)
        moving = {}
        for j in range(n_out, operands):
            f.emit(f"store ptr {f.item('ptr', '%ptr', j)}, ptr {f.offset(pointers, str(8 * j))}")
    totals = {r: Total(f, r) for r in plan.reduces}
    for number in {n_out + j for j in spec.per_row} | set(plan.row_outputs):
        if number not in moving:
            moving[number] = f.var("ptr", f.item("ptr", "%ptr", number))
    row_base = f.var("i64", "%index") if plan.uses_index else None

    with f.loop("0", "%rows"):
        rf.row_values.clear()
        _bind_per_row(rf, {j: moving[n_out + j].get() for j in spec.per_row})
        for stage in plan.stages:
            for r in stage.reduces:
                totals[r].reset()
            if partial is not None:
                _call_partial(f, plan, partial, pointers, state, totals)
            elif not stage.reduces:
                base = row_base.get() if row_base else None
                _reduce_block(rf, loop, stage, {}, rf.splats(stage, width), kept, "0", "%n", base)
            else:
                splats = rf.splats(stage, LANES)
                base = row_base.get() if row_base else None
                with f.loop("0", "%n", ROW_BLOCK) as begin:
                    length = f.minimum(f.sub("%n", begin), str(ROW_BLOCK))
                    mine = {r: accs[r] for r in stage.reduces}
                    _reduce_block(rf, loop, stage, mine, splats, kept, begin, length, base)
                    for r, acc in mine.items():
                        values = acc.fold_lanes()
                        totals[r].fold((values[0], f.add(values[1], begin)) if is_arg(r) else values)
            for r in stage.reduces:
                rf.row_values[r] = totals[r].result()
        for k in plan.row_outputs:
            code = spec.outputs[k][0]
            raw = to_memory(f, rf.uniform_value(plan.roots[k]), code, 1)
            f.emit(f"store {MEMORY[code]} {raw}, ptr {moving[k].get()}, align {SIZE[code]}")
        for number, row in moving.items():
            row.set(f.offset(row.get(), strides[number]))
        if partial is not None:
            for j in range(n_out, operands):
                moved = f.offset(f.item("ptr", pointers, j), strides[j])
                f.emit(f"store ptr {moved}, ptr {f.offset(pointers, str(8 * j))}")
        if row_base:
            row_base.set(f.add(row_base.get(), "%n"))
    f.ret()
    f.finish()
    return scratch_bytes


def _call_partial(f: Function, plan: Plan, partial: str, pointers: str, state: str, totals: dict[Expr, Total]) -> None:
    layout = StateLayout(plan.reduces)
    with f.loop("0", "%n", ROW_BLOCK) as begin:
        length = f.minimum(f.sub("%n", begin), str(ROW_BLOCK))
        f.call("void", f"@{partial}", f"ptr {pointers}", "ptr %es", f"i64 {length}", f"i64 {begin}", f"ptr {state}")
        for r, total in totals.items():
            total.fold(layout.load_one(f, r, state))


def emit_row(module: Module, symbol: str, spec: KernelSpec) -> KernelFacts:
    """Writes the functions of a row kernel."""
    plan = Plan(spec)
    roots = plan.roots
    only_reduces = (
        bool(plan.reduces)
        and len(plan.row_outputs) == len(roots)
        and not any(reductions(*r.args) for r in plan.reduces)
    )
    # Blocks of one row can be reduced apart if nothing but the reductions is needed to finish.
    blocked = only_reduces and not plan.uses_index and not spec.per_row
    if blocked:
        _emit_partial(module, f"{symbol}_partial", plan)
        emit_finish(module, f"{symbol}_finish", spec, 1)
    scratch = _emit_fn(module, symbol, plan, f"{symbol}_partial" if blocked else None)
    return KernelFacts(
        fn=symbol,
        partial=f"{symbol}_partial" if blocked else None,
        finish=f"{symbol}_finish" if blocked else None,
        flags=(TD_K_INDEX if plan.uses_index else 0) | (TD_K_REDUCES if plan.reduces else 0),
        n_out=len(roots),
        n_in=len(spec.inputs),
        scratch_per_elem=scratch,
        state_size=StateLayout(plan.reduces).size if blocked else 0,
        cost=cost(*roots),
    )
