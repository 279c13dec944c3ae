"""What a graph is lowered to: buffers, and steps over them in order.

A step reads and writes memory through `Access`: a buffer, an offset and one stride per iteration dimension, in
elements and possibly symbolic. The plan is independent of the target; `taeda.codegen.program` turns it into a host
program."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..codegen.spec import KernelSpec
from ..ir.graph import Node, Symbol, Value
from ..ir.sym import Relation, Sym
from ..ir.types import SIZE


@dataclass(eq=False)
class Buffer:
    """Memory of one materialised tensor value, row-major.

    kind: "input" (number `index` of the program), "output" (number `index`; fresh memory), "temp" (in the arena) or
    "alias" (the memory of buffer `of`)."""

    value: Value
    dtype: str
    sizes: tuple[Sym, ...]
    kind: str = "temp"
    index: int = -1
    of: Buffer | None = None
    slot: int = -1
    name: str = ""

    @property
    def base(self) -> Buffer:
        return self if self.of is None else self.of.base

    def nbytes(self) -> Sym:
        from ..ir import sym as S

        return S.product(self.sizes) * SIZE[self.dtype]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Access:
    """Elements of a buffer: one stride per dimension of the step's iteration space."""

    buffer: Buffer
    offset: Sym
    strides: tuple[Sym, ...]

    def __str__(self) -> str:
        at = "" if self.offset == 0 else f"+{self.offset}"
        return f"{self.buffer}{at}({', '.join(map(str, self.strides))})"


@dataclass(frozen=True)
class Scalar:
    """A number of the host program handed to a kernel as an element of `dtype`."""

    value: Value
    dtype: str

    def __str__(self) -> str:
        n = self.value.node
        text = (
            "?"
            if n is None
            else str(n.attrs.get("expr", n.attrs.get("value", f"{n.kind}{n.attrs.get('index', self.value.index)}")))
        )
        return f"{text}: {self.dtype}"


Operand = Access | Scalar


@dataclass
class Step:
    """One call of the runtime. `nodes` are the graph nodes it carries out."""

    nodes: list[Node]

    def reads(self) -> list[Access]:
        return []

    def writes(self) -> list[Access]:
        return []

    def title(self) -> str:
        names = [n.op for n in self.nodes]
        return " ".join(names[:12]) + (f" ... ({len(names)} ops)" if len(names) > 12 else "")


@dataclass
class KernelStep(Step):
    """A generated kernel over the iteration space `sizes`. driver: map, rows (last `nred` dims reduced), cols (`nred`
    dims from `begin`) or scan (along `begin`)."""

    driver: str
    spec: KernelSpec
    sizes: tuple[Sym, ...]
    outputs: list[Access]
    inputs: list[Operand]
    nred: int = 0
    begin: int = 0

    def reads(self):
        return [x for x in self.inputs if isinstance(x, Access)]

    def writes(self):
        return self.outputs

    def __str__(self) -> str:
        outs, ins = ", ".join(map(str, self.outputs)), ", ".join(map(str, self.inputs))
        run = f" nred={self.nred}" if self.driver in ("rows", "cols") else ""
        return f"{self.driver}[{', '.join(map(str, self.sizes))}]{run} {outs} <- {ins}   # {self.title()}"


@dataclass
class ContractStep(Step):
    """c[batch, m, n] = sum over k of a * b; each group lists letters in order, `strides` gives each operand's stride
    by letter."""

    dtype: str
    c: Access
    a: Access
    b: Access
    groups: dict[str, str]  # "batch", "m", "n", "k" -> letters
    letters: tuple[str, str, str]  # letters of a's, b's and c's strides
    sizes: dict[str, Sym]
    epilogue: KernelSpec | None = None
    extra: list[Operand] = field(default_factory=list)  # epilogue operands after c, strides over (batch, m, n) letters

    def reads(self):
        return [self.a, self.b, *(x for x in self.extra if isinstance(x, Access))]

    def writes(self):
        return [self.c]

    def __str__(self) -> str:
        shape = {g: "x".join(str(self.sizes[c]) for c in letters) or "1" for g, letters in self.groups.items()}
        tail = f" then {self.title().split(' ', 1)[1]}" if self.epilogue and len(self.nodes) > 1 else ""
        sizes = " ".join(f"{g} {text}" for g, text in shape.items())
        return f"contract {sizes} {self.c} <- {self.a}, {self.b}{tail}   # {self.title()}"


@dataclass
class CopyStep(Step):
    """Same-size elements from one place to another."""

    dst: Access
    src: Access
    sizes: tuple[Sym, ...]

    def reads(self):
        return [self.src]

    def writes(self):
        return [self.dst]

    def __str__(self) -> str:
        return f"copy[{', '.join(map(str, self.sizes))}] {self.dst} <- {self.src}   # {self.title()}"


@dataclass
class IndexStep(Step):
    """Gather (out = target[indices]) or scatter (target[indices] = or += source) over the iteration space `sizes`.

    moved: the side that is walked plainly; target: the indexed side (strides 0 where an index addresses it).
    indices: (access, dtype, bound, stride in the target, dim).
    """

    mode: str  # gather, or how scattered values combine: set, add, mul, max, min
    moved: Access
    target: Access
    indices: list[tuple[Access, str, Sym, Sym, int]]
    sizes: tuple[Sym, ...]
    wraps: bool  # negative indices count from the end

    def reads(self):
        found = [i[0] for i in self.indices]
        return [*found, self.target] if self.mode == "gather" else [*found, self.moved]

    def writes(self):
        return [self.moved if self.mode == "gather" else self.target]

    def __str__(self) -> str:
        at = ", ".join(f"dim {d} by {a}" for a, _, _, _, d in self.indices)
        arrow = "<-" if self.mode == "gather" else "->"
        space = ", ".join(map(str, self.sizes))
        return f"{self.mode}[{space}] {self.moved} {arrow} {self.target} at {at}   # {self.title()}"


@dataclass
class SortStep(Step):
    values: Access
    indices: Access
    src: Access
    sizes: tuple[Sym, ...]
    descending: bool
    k: Sym | None

    def reads(self):
        return [self.src]

    def writes(self):
        return [self.values, self.indices]

    def __str__(self) -> str:
        return f"sort[{', '.join(map(str, self.sizes))}] {self.values}, {self.indices} <- {self.src}   # {self.title()}"


@dataclass
class HostStep(Step):
    """A function of the process that runs the program. `arguments` as the node's, without its tensors."""

    op: str
    arguments: tuple
    places: tuple[int, ...]
    outputs: list[Access]
    inputs: list[Access]
    in_sizes: list[tuple[Sym, ...]]

    def reads(self):
        return self.inputs

    def writes(self):
        return self.outputs

    def __str__(self) -> str:
        return f"host {self.op} {', '.join(map(str, self.outputs))} <- {', '.join(map(str, self.inputs))}"


@dataclass
class RngStep(Step):
    """Takes `count` counters of the generator; gives (seed, offset)."""

    count: Sym
    values: tuple[Value, Value]

    def __str__(self) -> str:
        return f"rng {self.count}"


@dataclass
class Plan:
    """A lowered program."""

    name: str
    inputs: list[Buffer]
    #: One per returned value: a buffer of kind "output", or the input it is written to or is.
    outputs: list[Buffer]
    steps: list[Step]
    buffers: list[Buffer]
    symbols: dict[str, Symbol]
    guards: list[Relation]
    #: Bytes of each arena slot.
    slots: list[Sym] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"plan {self.name}: {len(self.steps)} steps, {len(self.slots)} arena slots"]
        lines += [f"  guard {g}" for g in self.guards]
        lines += [f"  {s}" for s in self.steps]
        return "\n".join(lines)
