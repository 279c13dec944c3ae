"""Accumulators of reductions: identity, update, lane fold, states in memory, and the `finish` function.

The order of every fold is the canonical one (docs/architecture.md, "Canonical numerics"). An argmax/argmin accumulator
is a pair (value, index); all others are one value. States are structures of arrays: field k of n states lies at
state + n * offset(k).
"""

from __future__ import annotations

from collections.abc import Callable

from ..ops.expr import FLOATS, Expr
from .llvm import MEMORY, REGISTER, Function, Module, vector
from .memory import Access, ElementLoop, Mask, Step, iota
from .spec import SIZE, KernelSpec, reductions
from .vector import Evaluator, constant, from_memory, maximum, signed, to_memory

#: An index that no element has: the lane has not seen anything better than the identity.
UNSET = 0x7FFFFFFF
_LOWEST = {"i8": -(1 << 7), "i16": -(1 << 15), "i32": -(1 << 31), "i64": -(1 << 63), "u8": 0, "b1": False}
_HIGHEST = {"i8": (1 << 7) - 1, "i16": (1 << 15) - 1, "i32": (1 << 31) - 1, "i64": (1 << 63) - 1, "u8": 255, "b1": True}


def value_dtype(reduce: Expr) -> str:
    """The accumulator's dtype (of the value, for an arg reduction)."""
    return reduce.args[0].dtype


def is_arg(reduce: Expr) -> bool:
    return str(reduce.attr).startswith("arg")


def fields(reduce: Expr) -> list[str]:
    """Dtypes of what one state holds."""
    return [value_dtype(reduce), "i64"] if is_arg(reduce) else [value_dtype(reduce)]


def identity(reduce: Expr):
    """The value that a fold starts from."""
    dtype, kind = value_dtype(reduce), str(reduce.attr)
    if kind in ("sum", "prod"):
        return 0 if kind == "sum" else 1
    if kind in ("any", "all"):
        return kind == "all"
    largest = kind.endswith("max")
    if dtype in FLOATS:
        return float("-inf") if largest else float("inf")
    return (_LOWEST if largest else _HIGHEST)[dtype]


def beats(f: Function, reduce: Expr, v: str, best: str, width: int) -> str:
    """Whether `v` is a strictly better extreme than `best`; NaN beats everything but NaN."""
    dtype, boolean = value_dtype(reduce), vector("i1", width)
    type_ = vector(REGISTER[dtype], width)
    largest = str(reduce.attr).endswith("max")
    if dtype not in FLOATS:
        how = ("s" if signed(dtype) else "u") + ("gt" if largest else "lt")
        return f.v(f"icmp {how} {type_} {v}, {best}")
    # Unordered-or-better is true if either is NaN: that leaves only a NaN `best` to be taken out.
    loose = f.v(f"fcmp {'ugt' if largest else 'ult'} {type_} {v}, {best}")
    ordered = f.v(f"fcmp ord {type_} {best}, {best}")
    return f.v(f"and {boolean} {loose}, {ordered}")


def combine(
    f: Function, reduce: Expr, acc: tuple[str, ...], v: tuple[str, ...], width: int, index: str = "i64"
) -> tuple[str, ...]:
    """`acc` folded with the later `v`."""
    kind, dtype = str(reduce.attr), value_dtype(reduce)
    type_ = vector(REGISTER[dtype], width)
    if is_arg(reduce):
        better, boolean = beats(f, reduce, v[0], acc[0], width), vector("i1", width)
        where = vector(index, width)
        return (
            f.v(f"select {boolean} {better}, {type_} {v[0]}, {type_} {acc[0]}"),
            f.v(f"select {boolean} {better}, {where} {v[1]}, {where} {acc[1]}"),
        )
    if kind in ("max", "min"):
        return (maximum(f, v[0], acc[0], dtype, width, least=kind == "min"),)
    if kind in ("any", "all"):
        return (f.v(f"{'or' if kind == 'any' else 'and'} {type_} {acc[0]}, {v[0]}"),)
    op = "add" if kind == "sum" else "mul"
    return (f.v(f"{'f' if dtype in FLOATS else ''}{op} {type_} {acc[0]}, {v[0]}"),)


class Accumulator:
    """The lanes of one reduction in a loop. For arg reductions the index counts in i32 from where the loop starts."""

    def __init__(self, f: Function, reduce: Expr, width: int):
        self.f, self.reduce, self.width = f, reduce, width
        self.parts = [f.var(vector(REGISTER[value_dtype(reduce)], width))]
        if is_arg(reduce):
            self.parts.append(f.var(vector("i32", width)))

    def reset(self) -> None:
        self.parts[0].set(constant(identity(self.reduce), value_dtype(self.reduce), self.width))
        if is_arg(self.reduce):
            self.parts[1].set(constant(UNSET, "i32", self.width))

    def update(self, value: str, index: str | None, mask: Mask | None) -> None:
        """One vector of elements; lanes outside the mask stay as they are."""
        f = self.f
        old = tuple(p.get() for p in self.parts)
        new = combine(f, self.reduce, old, (value, str(index)), self.width, "i32")
        for part, a, b in zip(self.parts, old, new):
            if mask is not None:
                b = f.v(f"select {vector('i1', self.width)} {mask.lanes}, {part.type} {b}, {part.type} {a}")
            part.set(b)

    def fold_lanes(self) -> tuple[str, ...]:
        """The lanes folded by halving: lane l with l + 16, then 8, 4, 2, 1. Indices come out as i64."""
        f, reduce, width = self.f, self.reduce, self.width
        values = tuple(p.get() for p in self.parts)
        elements = [REGISTER[value_dtype(reduce)], "i32"][: len(values)]
        while width > 1:
            half = width // 2
            low: list[str] = []
            high: list[str] = []
            for x, element in zip(values, elements):
                for into, first in ((low, 0), (high, half)):
                    if half == 1:
                        into.append(f.v(f"extractelement {vector(element, width)} {x}, i64 {first}"))
                    else:
                        lanes = ", ".join(f"i32 {first + i}" for i in range(half))
                        type_ = vector(element, width)
                        into.append(f.v(f"shufflevector {type_} {x}, {type_} poison, <{half} x i32> <{lanes}>"))
            width = half
            values = self._fold_pair(low, high, width)
        if not is_arg(reduce):
            return values
        return values[0], self.index(values[1], 1)

    def index(self, raw: str, width: int) -> str:
        """The i32 index as i64; where nothing beat the identity, every element equals it and the first one is meant."""
        f, i32 = self.f, vector("i32", width)
        unset = f.v(f"icmp eq {i32} {raw}, {constant(UNSET, 'i32', width)}")
        found = f.v(f"select {vector('i1', width)} {unset}, {i32} {constant(0, 'i32', width)}, {i32} {raw}")
        return f.v(f"zext {i32} {found} to {vector('i64', width)}")

    def _fold_pair(self, low: list[str], high: list[str], width: int) -> tuple[str, ...]:
        f, reduce = self.f, self.reduce
        if not is_arg(reduce):
            return combine(f, reduce, tuple(low), tuple(high), width)
        # Lanes are interleaved, so of two equal extremes the lower index is the first.
        boolean, i32 = vector("i1", width), vector("i32", width)
        type_ = vector(REGISTER[value_dtype(reduce)], width)
        high_wins, low_wins = beats(f, reduce, high[0], low[0], width), beats(f, reduce, low[0], high[0], width)
        lower = f.v(f"icmp ult {i32} {high[1]}, {low[1]}")
        tie = f.v(f"select {boolean} {low_wins}, {boolean} {constant(False, 'b1', width)}, {boolean} {lower}")
        take = f.v(f"or {boolean} {high_wins}, {tie}")
        return (
            f.v(f"select {boolean} {take}, {type_} {high[0]}, {type_} {low[0]}"),
            f.v(f"select {boolean} {take}, {i32} {high[1]}, {i32} {low[1]}"),
        )


class Total:
    """The sequential fold of blocks (or of running elements), scalar or one a lane."""

    def __init__(self, f: Function, reduce: Expr, width: int = 1):
        self.f, self.reduce, self.width = f, reduce, width
        self.parts = [f.var(vector(REGISTER[d], width)) for d in fields(reduce)]

    def reset(self) -> None:
        start = [identity(self.reduce), 0]
        for part, dtype, value in zip(self.parts, fields(self.reduce), start):
            part.set(constant(value, dtype, self.width))

    def fold(self, values: tuple[str, ...]) -> None:
        new = combine(self.f, self.reduce, tuple(p.get() for p in self.parts), values, self.width)
        for part, value in zip(self.parts, new):
            part.set(value)

    def values(self) -> tuple[str, ...]:
        return tuple(p.get() for p in self.parts)

    def result(self) -> str:
        """What the reduce node itself is: the index for arg reductions."""
        return self.parts[-1].get()


# -- states in memory --------------------------------------------------------------------------------------------------
class StateLayout:
    """Where the fields of each reduction of a kernel lie in its states."""

    def __init__(self, reduces: list[Expr]):
        self.places: dict[Expr, list[tuple[str, int]]] = {}
        wide_first = sorted(((r, k, d) for r in reduces for k, d in enumerate(fields(r))), key=lambda t: -SIZE[t[2]])
        offsets: dict[tuple[Expr, int], int] = {}
        at = 0
        for r, k, d in wide_first:  # wide fields first keeps every array aligned
            offsets[r, k] = at
            at += SIZE[d]
        for r in reduces:
            self.places[r] = [(d, offsets[r, k]) for k, d in enumerate(fields(r))]
        self.size = (at + 7) & ~7

    def store_one(self, f: Function, reduce: Expr, values: tuple[str, ...], state: str) -> None:
        """Stores a single state (n = 1)."""
        for value, (dtype, offset) in zip(values, self.places[reduce]):
            f.emit(
                f"store {MEMORY[dtype]} {to_memory(f, value, dtype, 1)}, ptr {f.offset(state, str(offset))}, align 1"
            )

    def load_one(self, f: Function, reduce: Expr, state: str) -> tuple[str, ...]:
        return tuple(
            from_memory(f, f.v(f"load {MEMORY[dtype]}, ptr {f.offset(state, str(offset))}, align 1"), dtype, 1)
            for dtype, offset in self.places[reduce]
        )


def emit_finish(module: Module, name: str, spec: KernelSpec, width: int) -> None:
    """td_finish_fn: folds `count` states in order for each of n results and stores the outputs. `width`: results a step
    (1 for rows, which are finished one by one)."""
    params = [
        ("ptr", "out"),
        ("ptr", "out_stride"),
        ("ptr", "states"),
        ("i64", "state_stride"),
        ("i64", "count"),
        ("i64", "n"),
    ]
    f = Function(module, name, params)
    roots = [root for _, root in spec.outputs]
    reduces = reductions(*roots)
    layout = StateLayout(reduces)
    totals = {r: Total(f, r, width) for r in reduces}
    outputs = []
    for k, (code, _) in enumerate(spec.outputs):
        outputs.append(
            Access(code, f.var("ptr", f.item("ptr", "%out", k)), f.item("i64", "%out_stride", k), output=True)
        )
    state = {}
    for r in reduces:
        for k, (dtype, offset) in enumerate(layout.places[r]):
            start = f.offset("%states", f.mul("%n", str(offset)))
            state[r, k] = Access(dtype, f.var("ptr", start), None, output=False)
    loop = ElementLoop(f, width, [*outputs, *state.values()])

    def body(step: Step) -> None:
        if step.mask is not None:
            _ = step.mask.lanes  # made here: the loop below would not dominate the stores
        pointers = {key: a.pointer.get() for key, a in state.items()}
        for total in totals.values():
            total.reset()
        with f.loop("0", "%count"):
            for r in reduces:
                totals[r].fold(tuple(step.load(state[r, k]) for k in range(len(fields(r)))))
            for a in state.values():
                a.pointer.set(f.offset(a.pointer.get(), "%state_stride"))
        for key, pointer in pointers.items():
            state[key].pointer.set(pointer)
        known = {r: total.result() for r, total in totals.items()}
        evaluator = Evaluator(f, width, known.get)
        values = [evaluator.value(root) for root in roots]
        for a, value in zip(outputs, values):
            step.store(a, value)

    loop.run("0", "%n", [*outputs, *state.values()], body)
    f.ret()
    f.finish()


def lane_index(f: Function, step: Step, start: str) -> Callable[[], str]:
    """The i32 index of every lane, counted from `start`; made on first use."""
    made: list[str] = []

    def get() -> str:
        if not made:
            base = f.v(f"trunc i64 {f.sub(step.position, start)} to i32")
            made.append(f.v(f"add <{step.width} x i32> {f.splat(base, 'i32', step.width)}, {iota(step.width, 'i32')}"))
        return made[0]

    return get
