"""The tracer: turns the operator calls of one run of Python into a graph.

It stands behind the core's `trace` hook. Memory is functionalised: every storage is a `Cell` with its current value, a
tensor is a `Variable`, that is a cell and a geometry, and a write makes a new value of the cell. Real tensors that the
run meets (parameters, buffers, optimiser state, what a closure holds) become inputs of the graph, known by
identity."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..ir import sym as S
from ..ir.graph import Graph, Node, Symbol, Value
from ..ir.sym import Sym
from ..ir.types import FLOAT, INT, ScalarType, TensorType
from ..ops.table import PART, ROLES
from .errors import CaptureError, refuse_complex, user_location
from .geometry import Geometry, contiguous, is_contiguous, memory_order
from .layout import Layouts, dense_order, stored
from .symint import ShapeEnv, SymBool, SymInt, SymNumber

_active = threading.local()


def current() -> Tracer:
    """The tracer of this thread's capture."""
    tracer = getattr(_active, "tracer", None)
    if tracer is None:
        raise CaptureError("a number of a captured program was used outside of the capture")
    return tracer


def active() -> Tracer | None:
    return getattr(_active, "tracer", None)


class Cell:
    """A piece of memory: its value now, and how often it got a new one. `version` is what the tape compares: it is
    counted after the tape has noted what a writing operator saves. `source`: the graph input it came from, or None.
    `reshaped`: a reshape of it was taken that eager code might have made as a copy."""

    __slots__ = ("reshaped", "source", "value", "version", "writes")

    def __init__(self, value: Value, source: int | None = None):
        self.value, self.writes, self.version, self.source = value, 0, 0, source
        self.reshaped = False


class Variable:
    """What the core keeps in a traced tensor."""

    __slots__ = ("cell", "geometry", "read_at", "read_value")

    def __init__(self, cell: Cell, geometry: Geometry):
        self.cell, self.geometry = cell, geometry
        self.read_at = -1
        self.read_value: Value | None = None

    @property
    def dtype(self) -> str:
        return self.cell.value.type.dtype  # type: ignore[union-attr]


#: Python's operators for arithmetic of numbers.
_PYTHON: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "pow": operator.pow,
    "neg": operator.neg,
}


def _concrete(x: Any) -> Any:
    """A number that only sizes determine; they are fixed by it."""
    return int(x) if isinstance(x, SymInt) else x.read("computing with") if isinstance(x, SymNumber) else x


class Tracer:
    """One capture. `core` gives what it needs of the extension (so that tests can do without)."""

    def __init__(self, core: Any, name: str = "program"):
        self.core = core
        self.graph = Graph(name)
        self.env = ShapeEnv()
        self.layouts = Layouts(self)
        self.lifted: dict[
            int, tuple[Any, Variable]
        ] = {}  # id of a real tensor -> the tensor (kept alive), its variable
        self.lifted_order: list[Any] = []
        self.cells: list[Cell] = []  # of each graph input
        self.host_functions: list[tuple[Callable[[], tuple[float, ...]], tuple[float, ...]]] = []
        self.on_lift: Callable[[Any, int], None] | None = None
        self._symbols: dict[str, Symbol] = {}
        self._location: tuple[str, int] | None = None
        self._constants: dict[tuple, Value] = {}

    # -- values ----------------------------------------------------------------------------------------------------
    def add(self, kind: str, op: str, inputs: Sequence[Value], types: Sequence, **attrs) -> Node:
        return self.graph.append(Node(kind, op, inputs, types, attrs, self._location))

    def type_of(self, dtype: str, sizes: Sequence[Sym]) -> TensorType:
        return TensorType(dtype, tuple(self.env.resolve(s) for s in sizes))

    def read(self, v: Variable) -> Value:
        """The tensor's value now."""
        base = v.cell.value
        t = base.type
        assert isinstance(t, TensorType)
        g = v.geometry
        if g.offset == 0 and g.sizes == t.sizes and g.strides == t.strides():
            return base
        if v.read_value is None or v.read_at != v.cell.writes:
            sizes = tuple(self.env.resolve(s) for s in g.sizes)
            strides = tuple(self.env.resolve(s) for s in g.strides)
            v.read_value = self.add(
                "view",
                ROLES["as_strided"],
                [base],
                [TensorType(t.dtype, sizes)],
                offset=self.env.resolve(g.offset),
                strides=strides,
            ).output
            v.read_at = v.cell.writes
        return v.read_value

    def write(self, v: Variable, value: Value) -> None:
        """Replaces the tensor's elements; every other view of its memory sees it."""
        if v.cell.reshaped:
            raise CaptureError(
                f"{user_location().text()}: this writes into a tensor whose elements do not fill a block of memory and that "
                "was reshaped before: whether the reshape shares its memory depends on the call. Call contiguous() first."
            )
        base = v.cell.value
        t = base.type
        assert isinstance(t, TensorType) and isinstance(value.type, TensorType)
        g = v.geometry
        if g.offset == 0 and self.env.same(g.numel(), t.numel()) and is_contiguous(g, self.env):
            if value.type != t:  # the same elements under other sizes
                value = self.add("view", ROLES["reshape"], [value], [t], offset=S.ZERO, strides=t.strides()).output
            v.cell.value = value
        else:
            strides = tuple(self.env.resolve(s) for s in g.strides)
            v.cell.value = self.add(
                "update", "write", [base, value], [t], offset=self.env.resolve(g.offset), strides=strides
            ).output
        v.cell.writes += 1

    def tensor(self, v: Variable) -> Any:
        """A traced tensor for a variable."""
        g = v.geometry
        sizes, strides = [self.env.hint(s) for s in g.sizes], [self.env.hint(s) for s in g.strides]
        return self.core.make_traced(v, sizes, strides, self.core.dtypes[v.dtype])

    def fresh(self, value: Value) -> Any:
        """A traced tensor in memory of its own."""
        t = value.type
        assert isinstance(t, TensorType)
        return self.tensor(Variable(Cell(value), contiguous(t.sizes)))

    def fresh_like(self, value: Value, inputs: Sequence[Variable]) -> Any:
        """A traced tensor in memory of its own whose dimensions lie in the order in which the inputs' do, as eager
        results' do."""
        t = value.type
        assert isinstance(t, TensorType)
        order = memory_order(t.sizes, [v.geometry for v in inputs], self.env)
        if order == list(range(t.ndim)):
            return self.fresh(value)
        # The cell's base is row-major in the order of memory; the tensor is a permutation of it.
        strides = t.strides()
        base = self.add(
            "view",
            ROLES["permute"],
            [value],
            [TensorType(t.dtype, tuple(t.sizes[d] for d in order))],
            offset=S.ZERO,
            strides=tuple(strides[d] for d in order),
        ).output
        return self.tensor(Variable(Cell(base), stored(t.sizes, order)))

    # -- inputs ----------------------------------------------------------------------------------------------------
    def argument(self, t: Any, name: str = "") -> tuple[Any, tuple[int, ...]]:
        """A traced tensor for an example input, whose sizes get names, and the order of its dimensions in memory."""
        index = len(self.graph.inputs)
        order = dense_order(t)
        sizes = []
        for d, n in enumerate(t.shape):
            s = self.env.symbol(int(n))
            (known,) = s.symbols()
            self._symbols[known] = Symbol(known, index, order.index(d), int(n))
            sizes.append(s)
        traced = self.tensor(self._stored(t, sizes, order, name))
        if t.requires_grad:
            traced.requires_grad_()
        return traced, order

    def _stored(self, t: Any, sizes: Sequence[Sym], order: Sequence[int], name: str) -> Variable:
        """A new graph input for a real tensor, row-major in the order of memory, as a tensor of the given sizes."""
        if t.dtype.code in PART:
            refuse_complex("a complex tensor")
        whole = stored(sizes, order)
        self.layouts.add(len(self.cells), t, whole, order)
        block = TensorType(t.dtype.code, tuple(sizes[d] for d in order))
        return Variable(self._input_cell(self.graph.add_input(block, name)), whole)

    def _input_cell(self, value: Value) -> Cell:
        self.cells.append(Cell(value, len(self.cells)))
        return self.cells[-1]

    def variable(self, t: Any) -> Variable:
        """The variable of a tensor; a real one becomes an input."""
        v = self.core.traced_value(t)
        if v is not None:
            return v
        known = self.lifted.get(id(t))
        if known is not None:
            return known[1]
        index = len(self.graph.inputs)
        order = dense_order(t)
        v = self._stored(t, [S.as_sym(int(n)) for n in t.shape], order, f"p{len(self.lifted_order)}")
        self.lifted[id(t)] = (t, v)
        self.lifted_order.append((t, order))
        if self.on_lift is not None:
            self.on_lift(t, index)
        return v

    # -- numbers ---------------------------------------------------------------------------------------------------
    def sym(self, x: Any) -> Sym:
        """A size argument."""
        if isinstance(x, SymInt):
            return self.env.resolve(x.expr)
        return S.as_sym(x.__index__() if isinstance(x, SymNumber) else int(x))

    def size(self, s: Sym) -> int | SymInt:
        """What Python sees of a size."""
        s = self.env.resolve(s)
        return s.value if s.value is not None else SymInt(s, self.env)

    def scalar(self, x: Any) -> Value:
        """An IR value for a number operand."""
        if isinstance(x, SymNumber):
            return x.value
        if isinstance(x, SymBool):
            x = bool(x)
        if isinstance(x, SymInt):
            return self._constant("size", "size", INT, expr=self.env.resolve(x.expr))
        kind = "bool" if isinstance(x, bool) else "int" if isinstance(x, int) else "float"
        return self._constant("const", "number", ScalarType(kind), value=x)

    def _constant(self, kind: str, op: str, type_: ScalarType, **attrs) -> Value:
        key = (kind, type_.kind, *(f"{type(a).__name__} {a!r}" for a in attrs.values()))
        if key not in self._constants:
            self._constants[key] = self.add(kind, op, [], [type_], **attrs).output
        return self._constants[key]

    def number_code(self, x: Any) -> str:
        """b1, i64 or f64: the category of a number operand."""
        if isinstance(x, SymNumber):
            return "f64" if x.value.type == FLOAT else "i64"
        if isinstance(x, (bool, SymBool)):
            return "b1"
        return "i64" if isinstance(x, (int, SymInt)) else "f64"

    def number(self, op: str, a: Any, b: Any = None) -> SymNumber:
        """Arithmetic of numbers that are known at run time."""
        inputs = [self.scalar(x) for x in (a, b) if x is not None]
        whole = all(v.type != FLOAT for v in inputs) and op in ("add", "sub", "mul", "neg")
        known = None
        if all(not isinstance(x, SymNumber) or x.known is not None for x in (a, b)):

            def known() -> float:
                return _PYTHON[op](*(_concrete(x) for x in (a, b) if x is not None))

        return SymNumber(self.add("number", op, inputs, [INT if whole else FLOAT]).output, known)

    def host_numbers(self, fn: Callable[[], tuple[float, ...]]) -> tuple[SymNumber, ...]:
        """Floats that `fn()` gives anew at each call of the compiled program. It is called once now, for this call's
        values."""
        values = tuple(float(x) for x in fn())
        first = sum(len(v) for _, v in self.host_functions)
        self.host_functions.append((fn, values))
        return tuple(
            SymNumber(self.add("host", "float", [], [FLOAT], index=first + k).output) for k in range(len(values))
        )

    def rng_reserve(self, count: Any) -> tuple[SymNumber, SymNumber]:
        """(seed, first counter): taken from the generator when the program runs."""
        seed, offset = self.add("rng", "reserve", [], [INT, INT], count=self.sym(count)).outputs
        return SymNumber(seed), SymNumber(offset)

    # -- the hook --------------------------------------------------------------------------------------------------
    def call(self, op: Any, args: Sequence[Any]) -> Any:
        """One operator call of the captured run."""
        from .rules import trace_op

        location = user_location()
        self._location = (location.file, location.line)
        return trace_op(self, op, list(args))

    def shape(self, t: Any) -> tuple:
        """The sizes of a traced tensor as Python sees them."""
        return tuple(self.size(s) for s in self.core.traced_value(t).geometry.sizes)

    def layout(self, t: Any, what: str) -> Any:
        """stride, storage_offset or is_contiguous of a traced tensor."""
        return getattr(self.layouts, what)(self.core.traced_value(t))

    def version(self, t: Any) -> int:
        """How often the tape has seen the memory of a traced or real tensor written."""
        v = self.core.traced_value(t)
        if v is not None:
            return v.cell.version
        known = self.lifted.get(id(t))
        return t._version + (known[1].cell.version if known is not None else 0)

    def written(self, t: Any) -> None:
        """An operator that writes has been put on the tape."""
        self.variable(t).cell.version += 1

    def refuse_read(self, t: Any, what: str) -> None:
        where = user_location().text()
        raise CaptureError(
            f"{where}: {what}() needs a tensor's value, which is not known while the function is captured. A "
            f"branch on it would be frozen to "
            "this run's outcome. Use tensor operators (for example where()) instead of Python control flow, "
            "or move the line out of the "
            "compiled function."
        )

    # -- the end ---------------------------------------------------------------------------------------------------
    def finish(self, returns: Sequence[Value], writes: Sequence[int | None]) -> Graph:
        """The graph, with everything known about sizes put in."""
        g = self.graph
        g.block.returns, g.writes = list(returns), list(writes)
        g.substitute(self.env.known)
        used = {n for v in g.inputs for s in v.type.sizes for n in s.symbols()}  # type: ignore[union-attr]
        g.symbols = {n: s for n, s in self._symbols.items() if n in used}
        seen = set()
        for r in self.env.guards:
            r = r.substitute(self.env.known)
            if r.decide() is not True and r not in seen:
                seen.add(r)
                g.guards.append(r)
        return g

    def __enter__(self) -> Tracer:
        if active() is not None:
            raise CaptureError("a capture is running on this thread already")
        _active.tracer = self
        self.core.begin_trace()
        return self

    def __exit__(self, *exc) -> None:
        self.core.end_trace()
        _active.tracer = None


class paused:
    """`with paused():` real tensors run for real inside a capture (to make optimiser state, for example)."""

    def __enter__(self) -> None:
        self.tracer = active()
        if self.tracer is not None:
            self.tracer.core.end_trace()
            _active.tracer = None

    def __exit__(self, *exc) -> None:
        if self.tracer is not None:
            _active.tracer = self.tracer
            self.tracer.core.begin_trace()
