"""The host program of a plan, as LLVM IR text: checks inputs and guards, computes sizes, takes memory, and calls the
runtime's drivers with operand descriptors. Entry: `td_status <name>(td_ctx *, const td_tensor *inputs, td_tensor
*outputs)`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from ..ir import sym as S
from ..ir.graph import Value
from ..ir.sym import Relation, Sym
from ..ir.types import DTYPES, INT, SIZE, TensorType
from ..passes.memory import ALIGN
from ..passes.plan import (
    Access,
    Buffer,
    ContractStep,
    CopyStep,
    HostStep,
    IndexStep,
    KernelStep,
    Plan,
    RngStep,
    Scalar,
    SortStep,
    Step,
)
from . import host_calls
from .compile import lowered
from .host_text import CHECK_INPUT, Host
from .llvm import Module
from .spec import CodegenError, KernelSpec, canonical_text
from .target import Target

#: Byte offsets in td_tensor and td_ctx (runtime/include/taeda_rt.h).
TENSOR_BYTES, T_DTYPE, T_NDIM, T_SIZES, T_STRIDES, T_OWNER = 536, 8, 12, 16, 272, 528
CTX_RNG, CTX_SCALARS, CTX_WEIGHTS = 0, 8, 16
ERR_MEMORY, ERR_GUARD = 1, 7


@dataclass
class HostProgram:
    """IR text of a host program and what it refers to."""

    name: str
    text: str
    #: symbol of the td_kernel -> spec (over base nodes)
    kernels: dict[str, KernelSpec] = field(default_factory=dict)
    #: dtypes of contractions: symbols gemm_<dtype>
    gemms: set[str] = field(default_factory=set)
    #: symbol of the td_host -> (host operator, arguments, places of the tensors among them)
    hosts: dict[str, tuple[str, tuple, tuple[int, ...]]] = field(default_factory=dict)
    #: entries of the table `<name>_imports` that the loader fills, in order (empty where symbols are linked)
    imports: list[str] = field(default_factory=list)


def kernel_symbol(spec: KernelSpec) -> str:
    """Name of a kernel's td_kernel: equal for equal specs."""
    return "k" + hashlib.sha256(canonical_text(spec).encode()).hexdigest()[:20]


class ProgramEmitter:
    """Writes the entry function of one plan."""

    TENSOR_BYTES = TENSOR_BYTES

    def __init__(
        self, plan: Plan, module: Module, name: str, weights: int = 0, linked: bool = False, timed: bool = False
    ):
        """The last `weights` inputs are taken from `ctx->weights` instead of `inputs`. linked: kernels are symbols of
        other objects; else they are read from a table of addresses that whoever loads the code fills. timed: the cycle
        counter goes to the table `<name>_cycles` before the first step and after each."""
        self.timed = timed
        self.plan, self.module, self.name = plan, module, name
        self.program = HostProgram(name, "")
        self.h = Host(module, name, linked)
        self.f = self.h.f
        self.first_weight = len(plan.inputs) - weights
        self.pointers: dict[Buffer, str] = {}
        self.scalars: dict[Value, tuple[str, str]] = {}  # register and type (i64 or double)
        self.converted: dict[tuple[Value, str], str] = {}
        self.arena = ""
        self.slot_offsets: list[str] = []

    # -- the function ------------------------------------------------------------------------------------------------
    def emit(self) -> HostProgram:
        self._inputs()
        self._guards()
        self._arena()
        for k in range(len(self.plan.outputs)):
            self.f.emit(f"store ptr null, ptr {self.f.offset('%outputs', str(k * TENSOR_BYTES + T_OWNER))}")
        self._stamp(0)
        for k, step in enumerate(self.plan.steps):
            self.h.step = k
            self._step(step)
            self._stamp(k + 1)
        for k, b in enumerate(self.plan.outputs):
            self._output(k, b)
        self.f.call("void", self.h.runtime("td_free", "void", "ptr"), f"ptr {self.arena}")
        self.f.ret("i32 0")
        self._failure()
        self.f.finish()
        self.program.imports = self.h.finish_imports()
        self.program.text = self.module.text()
        return self.program

    def _stamp(self, k: int) -> None:
        if self.timed:
            if k == 0:
                self.module.add(f"@{self.name}_cycles = global [{len(self.plan.steps) + 1} x i64] zeroinitializer")
            now = self.f.call("i64", self.module.intrinsic("llvm.readcyclecounter", "i64"))
            self.f.emit(f"store i64 {now}, ptr {self.f.offset(f'@{self.name}_cycles', str(8 * k))}")

    def _failure(self) -> None:
        self.f.at("failed")
        free = self.h.runtime("td_free", "void", "ptr")
        for k, b in enumerate(self.plan.outputs):
            if b.kind == "output":
                place = self.f.offset("%outputs", str(k * TENSOR_BYTES + T_OWNER))
                self.f.call("void", free, f"ptr {self.f.v(f'load ptr, ptr {place}')}")
                self.f.emit(f"store ptr null, ptr {place}")
        self.f.call("void", free, f"ptr {self.f.v('load ptr, ptr %arena_slot')}")
        self.f.ret(f"i32 {self.f.v('load i32, ptr %status')}")

    def _tensor(self, k: int) -> str:
        """Address of input k's td_tensor."""
        if k < self.first_weight:
            return self.f.offset("%inputs", str(k * TENSOR_BYTES))
        weights = self.h.weights_pointer(CTX_WEIGHTS)
        return self.f.offset(weights, str((k - self.first_weight) * TENSOR_BYTES))

    def _inputs(self) -> None:
        """Checks every input against its type, and reads the sizes that have names."""
        self.module.helper("taeda_check_input", lambda m: m.add(CHECK_INPUT))
        known: set[str] = set()
        later: list[tuple[int, int, Sym]] = []
        for k, b in enumerate(self.plan.inputs):
            t = b.value.type
            assert isinstance(t, TensorType)
            expected = [s.value if s.value is not None else -1 for s in t.sizes]
            tensor = self._tensor(k)
            self.h.checked(
                "@taeda_check_input",
                f"ptr {tensor}",
                f"i32 {DTYPES.index(t.dtype)}",
                f"i32 {t.ndim}",
                f"ptr {self.h.constant_array(expected)}",
                f"ptr {self.h.string(b.name or f'input {k}')}",
                f"i64 {SIZE[t.dtype]}",
            )
            self.pointers[b] = self.f.v(f"load ptr, ptr {tensor}")
            for d, s in enumerate(t.sizes):
                if s.value is None:
                    names = s.symbols()
                    if len(names) == 1 and s == S.symbol(next(iter(names))) and not names & known:
                        (name,) = names
                        known |= names
                        self.h.sizes[name] = self._size_of(k, d)
                    else:
                        later.append((k, d, s))
        missing = set(self.plan.symbols) - known
        used = {n for b in self.plan.buffers for s in b.sizes for n in s.symbols()}
        if missing & used:
            raise CodegenError(f"program {self.name}: size {sorted(missing & used)[0]} is not the size of any input")
        for k, d, s in later:
            name = self.plan.inputs[k].name or f"input {k}"
            self._require(
                "eq",
                self._size_of(k, d),
                self.h.size(s),
                f"{name}: size of dimension {d} must be {s}, as in the other inputs",
            )

    def _size_of(self, k: int, d: int) -> str:
        return self.f.v(f"load i64, ptr {self.f.offset(self._tensor(k), str(T_SIZES + 8 * d))}")

    def _guards(self) -> None:
        how = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle"}
        for g in self.plan.guards:
            if g.decide() is not True:
                assert isinstance(g, Relation)
                self._require(how[g.op], self.h.size(g.a), self.h.size(g.b), f"the sizes must satisfy {g}")

    def _require(self, how: str, a: str, b: str, message: str) -> None:
        bad = self.f.v(f"icmp {how} i64 {a}, {b}")
        after, fail = self.f.label("held"), self.f.label("guard")
        self.f.branch(bad, after, fail)
        self.f.at(fail)
        status = self.h.fail(ERR_GUARD, message)
        self.f.emit(f"store i32 {status}, ptr %status")
        self.f.jump("failed")
        self.f.at(after)

    def _arena(self) -> None:
        total = S.ZERO
        offsets: list[Sym] = []
        running = "0"
        for size in self.plan.slots:
            if size.value is not None:
                size = S.as_sym(-(-size.value // ALIGN) * ALIGN)
                offsets.append(total)
                self.slot_offsets.append(self.f.add(running, self.h.size(total)))
                total = total + size
            else:
                self.slot_offsets.append(self.f.add(running, self.h.size(total)))
                bytes_ = self.f.v(f"and i64 {self.f.add(self.h.size(size), str(ALIGN - 1))}, {-ALIGN}")
                running = self.f.add(running, bytes_)
        whole = self.f.add(running, self.h.size(total))
        if self.plan.slots:
            self.arena = self._allocate(whole)
        else:
            self.arena = "null"
        self.f.emit(f"store ptr {self.arena}, ptr %arena_slot")

    def _allocate(self, count: str) -> str:
        block = self.f.call("ptr", self.h.runtime("td_alloc", "ptr", "i64"), f"i64 {count}")
        fail, after = self.f.label("memory"), self.f.label("allocated")
        self.f.branch(self.f.v(f"icmp ne ptr {block}, null"), after, fail)
        self.f.at(fail)
        self.f.emit(f"store i32 {self.h.fail(ERR_MEMORY, f'{self.name}: out of memory')}, ptr %status")
        self.f.jump("failed")
        self.f.at(after)
        return block

    def _output(self, k: int, b: Buffer) -> None:
        place = self.f.offset("%outputs", str(k * TENSOR_BYTES))
        self.describe(place, self.pointer(b), b.dtype, b.sizes, S.contiguous_strides(b.sizes))

    def describe(self, place: str, data: str, dtype: str, sizes: tuple[Sym, ...], strides: tuple[Sym, ...]) -> None:
        """Fills the td_tensor at `place`, its owner excepted."""
        self.f.emit(f"store ptr {data}, ptr {place}")
        self.f.emit(f"store i32 {DTYPES.index(dtype)}, ptr {self.f.offset(place, str(T_DTYPE))}")
        self.f.emit(f"store i32 {len(sizes)}, ptr {self.f.offset(place, str(T_NDIM))}")
        for d, (size, stride) in enumerate(zip(sizes, strides)):
            self.f.emit(f"store i64 {self.h.size(size)}, ptr {self.f.offset(place, str(T_SIZES + 8 * d))}")
            self.f.emit(
                f"store i64 {self.h.size(stride * SIZE[dtype])}, ptr {self.f.offset(place, str(T_STRIDES + 8 * d))}"
            )

    # -- operands ------------------------------------------------------------------------------------------------------
    def pointer(self, b: Buffer) -> str:
        """Address of a buffer's first element."""
        root = b.base
        if root not in self.pointers:
            if root.kind == "output":
                block = self._allocate(self.h.size(root.nbytes()))
                self.f.emit(
                    f"store ptr {block}, ptr {self.f.offset('%outputs', str(root.index * TENSOR_BYTES + T_OWNER))}"
                )
                self.pointers[root] = block
            elif root.kind == "temp" and root.slot >= 0:
                self.pointers[root] = self.f.offset(self.arena, self.slot_offsets[root.slot])
            else:
                raise CodegenError(f"program {self.name}: buffer {root.name} ({root.kind}) has no memory")
        return self.pointers[root]

    def address(self, a: Access) -> str:
        return self.f.offset(self.pointer(a.buffer), self.h.size(a.offset * SIZE[a.buffer.dtype]))

    def byte_strides(self, a: Access, order: list[int] | None = None) -> str:
        """Address of the strides of an access, in bytes."""
        item = SIZE[a.buffer.dtype]
        strides = a.strides if order is None else tuple(a.strides[d] for d in order)
        return self.h.array([s * item for s in strides])

    def scalar(self, x: Scalar) -> str:
        """Address of a number stored as an element."""
        key = (x.value, x.dtype)
        if key not in self.converted:
            self.converted[key] = self.h.store_number(*self.number(x.value), x.dtype)
        return self.converted[key]

    def number(self, v: Value) -> tuple[str, str]:
        """Register and LLVM type of a number."""
        if v not in self.scalars:
            n = v.node
            assert n is not None
            if n.kind == "size":
                self.scalars[v] = (self.h.size(n.attrs["expr"]), "i64")
            elif n.kind == "const":
                self.scalars[v] = self.h.literal(n.attrs["value"])
            elif n.kind == "host":
                table = self.f.v(f"load ptr, ptr {self.f.offset('%ctx', str(CTX_SCALARS))}")
                place = self.f.offset(table, str(8 * n.attrs["index"]))
                self.scalars[v] = (self.f.v(f"load double, ptr {place}"), "double")
            elif n.kind == "number":
                self.scalars[v] = self.h.arithmetic(
                    n.op, [self.number(x) for x in n.inputs], "i64" if v.type == INT else "double"
                )
            else:
                raise CodegenError(f"program {self.name}: {n.kind} gives no number before its step")
        return self.scalars[v]

    def kernel(self, spec: KernelSpec) -> str:
        """Symbol of the td_kernel of `spec`."""
        spec = lowered(spec)
        symbol = kernel_symbol(spec)
        self.program.kernels[symbol] = spec
        return self.h.external(f"{symbol}_kernel")

    def gemm(self, dtype: str) -> str:
        self.program.gemms.add(dtype)
        return self.h.external(f"gemm_{dtype}")

    def host(self, step: HostStep) -> str:
        """Address of the td_host that carries out `step`."""
        if self.h.linked:
            raise CodegenError(f"program {self.name}: {step.op} is computed by a library of the process")
        text = repr((step.op, step.arguments, step.places))
        symbol = f"host_{hashlib.sha256(text.encode()).hexdigest()[:20]}"
        self.program.hosts[symbol] = (step.op, step.arguments, step.places)
        return self.h.external(symbol)

    # -- steps ---------------------------------------------------------------------------------------------------------
    def _step(self, step: Step) -> None:
        if isinstance(step, KernelStep):
            host_calls.kernel(self, step)
        elif isinstance(step, ContractStep):
            host_calls.contract(self, step)
        elif isinstance(step, CopyStep):
            host_calls.copy(self, step)
        elif isinstance(step, IndexStep):
            host_calls.index(self, step)
        elif isinstance(step, SortStep):
            host_calls.sort(self, step)
        elif isinstance(step, HostStep):
            host_calls.foreign(self, step)
        elif isinstance(step, RngStep):
            rng = self.f.v(f"load ptr, ptr {self.f.offset('%ctx', str(CTX_RNG))}")
            offset = self.f.call(
                "i64",
                self.h.runtime("td_rng_reserve", "i64", "ptr", "i64"),
                f"ptr {rng}",
                f"i64 {self.h.size(step.count)}",
            )
            seed = self.f.v(f"load i64, ptr {rng}")
            self.scalars[step.values[0]], self.scalars[step.values[1]] = (seed, "i64"), (offset, "i64")
        else:
            raise CodegenError(f"program {self.name}: no code for step {type(step).__name__}")


def host_program(
    plan: Plan, target: Target, name: str, weights: int = 0, linked: bool = False, timed: bool = False
) -> HostProgram:
    """The host program of `plan`; see `ProgramEmitter` for the arguments."""
    return ProgramEmitter(plan, Module(target), name, weights, linked, timed).emit()
