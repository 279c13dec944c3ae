"""Memory plan: which buffers share memory.

Values that an input is to be overwritten with are computed in the input's own memory where nobody reads the old value
later; a step's result takes the place of an operand that dies there; and buffers whose lives do not overlap share arena
slots. Sizes may be symbolic: a slot is as large as the largest of its buffers, computed when the program starts.
"""

from __future__ import annotations

from ..ir import sym as S
from ..ir.graph import Graph
from .plan import Access, Buffer, CopyStep, KernelStep, Plan, Step
from .views import same_strides

ALIGN = 64


def plan_memory(plan: Plan, graph: Graph) -> None:
    """Decides the memory of every buffer of `plan`."""
    _outputs(plan, graph)
    _drop_base_copies(plan)
    _write_backs(plan, graph)
    _reuse_operands(plan)
    _slots(plan, graph)
    plan.buffers = [b for b in plan.buffers if b.kind != "unused"]


def _lives(plan: Plan) -> dict[Buffer, tuple[int, int]]:
    """(first write, last use) of each buffer, by step number; buffers that leave the program live to its end."""
    first: dict[Buffer, int] = {}
    last: dict[Buffer, int] = {}
    for k, step in enumerate(plan.steps):
        for a in step.writes():
            first.setdefault(a.buffer, k)
            last[a.buffer] = k
        for a in step.reads():
            last[a.buffer] = k
    for b in plan.outputs:
        last[b] = len(plan.steps)
    return {b: (first.get(b, -1), last[b]) for b in last}


def _outputs(plan: Plan, graph: Graph) -> None:
    """Returned values that nobody is to be overwritten with get memory of their own."""
    for k, b in enumerate(plan.outputs):
        target = graph.writes[k] if k < len(graph.writes) else None
        if b.kind == "temp" and target is None:
            b.kind, b.index = "output", k


def _drop_base_copies(plan: Plan) -> None:
    """`update` and `scatter` first copy their base. Where the base dies there, the result takes over its memory
    instead."""
    lives = _lives(plan)
    kept: list[Step] = []
    for k, step in enumerate(plan.steps):
        if isinstance(step, CopyStep) and step.nodes[0].kind in ("update", "scatter") and step.dst.offset == 0:
            src, dst = step.src.buffer, step.dst.buffer
            whole = (
                step.src.offset == 0
                and same_strides(step.src.strides, step.dst.strides, step.sizes)
                and src.sizes == dst.sizes
            )
            first_copy = lives[dst][0] == k
            if (
                whole
                and first_copy
                and src.kind == "temp"
                and src.of is None
                and lives[src][1] == k
                and lives[src][0] >= 0
            ):
                src.of, src.kind = dst, "alias"
                lives[dst] = (lives[src][0], lives[dst][1])
                continue
        kept.append(step)
    plan.steps[:] = kept


def _write_backs(plan: Plan, graph: Graph) -> None:
    """A value that ends in an input's memory is computed there if the input's old value is not read after that."""
    lives = _lives(plan)
    reads = [{a.buffer for a in step.reads()} for step in plan.steps]
    writes = [{a.buffer for a in step.writes()} for step in plan.steps]
    chains: dict[Buffer, set[Buffer]] = {}
    for b in plan.buffers:
        chains.setdefault(b.base, set()).add(b)
    # Old values of inputs that are wanted after the last step: nothing may be computed over them.
    wanted = {b for b in plan.outputs if b.kind == "input"}
    reads.append(wanted)
    writes.append(set())
    first: list[Step] = []
    copies: list[Step] = []
    homes = {plan.inputs[t] for t in graph.writes if t is not None}
    for k, target in enumerate(graph.writes):
        if target is None:
            continue
        b, home = plan.outputs[k], plan.inputs[target]
        if b is home:
            continue
        if (
            b.kind == "temp"
            and b.of is None
            and plan.outputs.count(b) == 1
            and _safe_in(plan, chains[b], chains[home], lives, reads, writes)
        ):
            b.of, b.kind = home, "alias"
            chains[home] |= chains.pop(b)
        else:
            if b in homes:  # an old value that is overwritten too (two inputs exchanged): kept aside first
                aside = Buffer(b.value, b.dtype, b.sizes, name=f"{b.name}_old")
                plan.buffers.append(aside)
                first.append(_whole_copy(aside, b))
                b = aside
            copies.append(_whole_copy(home, b))
        plan.outputs[k] = home
    plan.steps += first + copies


def _whole_copy(dst: Buffer, src: Buffer) -> CopyStep:
    strides = S.contiguous_strides(src.sizes)
    n = src.value.node
    return CopyStep([n] if n else [], Access(dst, S.ZERO, strides), Access(src, S.ZERO, strides), src.sizes)


def _safe_in(
    plan: Plan, mine: set[Buffer], theirs: set[Buffer], lives, reads: list[set[Buffer]], writes: list[set[Buffer]]
) -> bool:
    """True if the buffers `mine` may lie where `theirs` do: later steps do not read theirs, and the writing step
    reads it in step."""
    start = min((lives[x][0] for x in mine if x in lives), default=-1)
    if start < 0:
        return False
    for k in range(start, len(reads)):
        if writes[k] & theirs:
            return False
        if reads[k] & theirs and (k > start or not _in_step(plan.steps[k], mine, theirs)):
            return False
    return True


def _in_step(step: Step, written: set[Buffer], read: set[Buffer]) -> bool:
    """True if the step reads each element of `read` no later than it writes that element of `written`."""
    if isinstance(step, KernelStep) and step.driver in ("map", "rows"):
        outs = [a for a in step.writes() if a.buffer in written]
        ins = [a for a in step.reads() if a.buffer in read]
        full = [o for o in outs if all(s != 0 or n == 1 for s, n in zip(o.strides, step.sizes))]
        if len(outs) != 1 or len(full) != 1:
            return False
        same = [a for a in ins if a.offset == outs[0].offset and same_strides(a.strides, outs[0].strides, step.sizes)]
        return len(same) == len(ins) and all(a.buffer.dtype == outs[0].buffer.dtype for a in ins)
    return False


def _reuse_operands(plan: Plan) -> None:
    """A map's result takes the memory of an operand of the same type that dies there."""
    lives = _lives(plan)
    chains: dict[Buffer, set[Buffer]] = {}
    for b in plan.buffers:
        chains.setdefault(b.base, set()).add(b)
    for k, step in enumerate(plan.steps):
        if not isinstance(step, KernelStep) or step.driver not in ("map", "rows"):
            continue
        taken: set[Buffer] = set()
        for out in step.writes():
            b = out.buffer
            if b.kind != "temp" or b.of is not None or lives[b][0] != k:
                continue
            for a in step.reads():
                x = a.buffer
                root = x.base
                if root.kind != "temp" or root in taken or x.dtype != b.dtype or root.sizes != b.sizes or root is b:
                    continue
                if max(lives[y][1] for y in chains[root] if y in lives) != k or not _in_step(step, {b}, chains[root]):
                    continue
                b.of, b.kind = root, "alias"
                chains[root] |= chains.pop(b)
                lives[root] = (lives[root][0], max(lives[root][1], lives[b][1]))
                taken.add(root)
                break


def _slots(plan: Plan, graph: Graph) -> None:
    """Arena slots of the remaining buffers, longest-lived choices first come first served."""
    lives = _lives(plan)
    hints = graph.hints()
    spans: dict[Buffer, tuple[int, int]] = {}
    for b, (first, last) in lives.items():
        root = b.base
        low, high = spans.get(root, (len(plan.steps), -1))
        spans[root] = (min(low, first if first >= 0 else 0), max(high, last))
    for b in plan.buffers:
        if b.kind == "temp" and b not in spans:
            b.kind = "unused"
    slots: list[tuple[list[S.Sym], int, int]] = []  # sizes, hint, step after which it is free
    for root in sorted((b for b in spans if b.kind == "temp"), key=lambda b: spans[b][0]):
        first, last = spans[root]
        size = root.nbytes()
        hint = size.evaluate(hints)
        best = None
        for k, (sizes, have, free) in enumerate(slots):
            if free < first:
                # The closest fit by the example's sizes; an equal expression is a perfect one.
                waste = 0 if size in sizes else max(have, hint) - min(have, hint)
                if best is None or waste < best[0]:
                    best = (waste, k)
        if best is not None and (best[0] <= hint or slots[best[1]][1] >= hint):
            k = best[1]
            sizes, have, _ = slots[k]
            slots[k] = (sizes if size in sizes else [*sizes, size], max(have, hint), last)
        else:
            k = len(slots)
            slots.append(([size], hint, last))
        root.slot = k
    for sizes, _, _ in slots:
        total = sizes[0]
        for s in sizes[1:]:
            total = S.maximum(total, s)
        plan.slots.append(total)
