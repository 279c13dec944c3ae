"""From a captured graph to something that runs: passes, host program, kernels compiled or loaded, entry address."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .. import _core
from ..ir.graph import Graph
from ..ir.sym import Sym
from ..passes.pipeline import Report, run_passes
from ..passes.plan import Plan
from .lock import ForkLock
from .resolve import load_cached, resolve, target_name

#: Addresses of every td_kernel and td_host that this process has, by symbol.
_kernels: dict[str, int] = {}
_lock = ForkLock()


@dataclass
class Timing:
    """Where the time of one build went, in seconds."""

    passes: float = 0.0
    host_text: float = 0.0
    kernels: float = 0.0
    host_code: float = 0.0
    new_kernels: int = 0

    @property
    def total(self) -> float:
        return self.passes + self.host_text + self.kernels + self.host_code


@dataclass
class Executable:
    """A compiled program. `address` is its td_program_fn."""

    address: int
    plan: Plan
    report: Report
    timing: Timing
    ir: str
    kernel_symbols: list[str] = field(default_factory=list)
    #: address of the cycle counts of a timed program
    cycles: int = 0

    @property
    def n_outputs(self) -> int:
        return len(self.plan.outputs)


def build(graph: Graph) -> Executable:
    """Compiles `graph` for this process."""
    text = str(graph)
    start = time.perf_counter()
    plan, report = run_passes(graph)
    return build_plan(plan, report, text, time.perf_counter() - start)


def build_plan(plan: Plan, report: Report, text: str = "", seconds: float = 0.0, timed: bool = False) -> Executable:
    """Compiles a plan. timed: the program counts the cycles of its steps."""
    timing = Timing(passes=seconds)
    start = time.perf_counter()
    from ..codegen.program import host_program
    from ..codegen.target import named

    target = named(target_name())
    name = "taeda_program"
    host = host_program(plan, target, name, timed=timed)
    timing.host_text = time.perf_counter() - start
    with _lock.held():
        start = time.perf_counter()
        table = {f"gemm_{dtype}": resolve(f"gemm/{dtype}") for dtype in host.gemms}
        for symbol, spec in host.kernels.items():
            if symbol not in _kernels:
                _kernels[symbol] = _kernel(symbol, spec, target)
                timing.new_kernels += 1
            table[f"{symbol}_kernel"] = _kernels[symbol]
        for symbol, call in host.hosts.items():
            if symbol not in _kernels:
                _kernels[symbol] = _core.host_call(_host_call(*call))
            table[symbol] = _kernels[symbol]
        timing.kernels = time.perf_counter() - start
        start = time.perf_counter()
        symbols = _host(host, target, table)
        timing.host_code = time.perf_counter() - start
    return Executable(symbols[name], plan, report, timing, text, list(host.kernels), symbols.get(f"{name}_cycles", 0))


def _host_call(op: str, arguments: tuple, places: tuple[int, ...]):
    """What a program calls for a host operator: (tensors, sizes known at run time) to tensors."""
    from .._bind import host_function
    from ..ops.table import lookup

    fn = host_function(lookup(op))

    def call(tensors: list, numbers: tuple[int, ...]):
        known = iter(numbers)
        args = [x if not isinstance(x, Sym) else next(known) if x.value is None else x.value for x in arguments]
        for k, t in zip(places, tensors):
            args[k] = t
        return fn(*args)

    return call


def _kernel(symbol: str, spec, target) -> int:
    from ..codegen.spec import canonical_text

    def make() -> bytes:
        from ..codegen.compile import compile_kernels

        return compile_kernels({"k": spec}, target)[0]

    return load_cached(canonical_text(spec), make)["k_kernel"]


def _host(host, target, table: dict[str, int]) -> dict[str, int]:
    """Loads a host program. The addresses of this process's kernels are kept out of the cached code: they come in a
    table."""
    import ctypes

    def make() -> bytes:
        from ..codegen.compile import compile_ir

        return compile_ir(host.text, target, quick=True)

    symbols = load_cached(host.text, make)
    if table:
        slots = symbols[f"{host.name}_imports"]
        for k, name in enumerate(host.imports):
            ctypes.c_void_p.from_address(slots + 8 * k).value = table[name]
    return symbols


def step_times(executable: Executable, inputs: list, scalars: list[float], repeat: int = 5) -> list[float]:
    """Seconds of each step: the least of `repeat` runs. Runs the program for real: what it writes, it writes `repeat`
    times."""
    import ctypes

    timed = build_plan(executable.plan, executable.report, timed=True)
    count = len(executable.plan.steps)
    best = [float("inf")] * count
    for _ in range(repeat):
        start = time.perf_counter()
        run(timed, inputs, scalars)
        seconds = time.perf_counter() - start
        stamps = (ctypes.c_int64 * (count + 1)).from_address(timed.cycles)
        span = stamps[count] - stamps[0]
        for k in range(count):
            best[k] = min(best[k], (stamps[k + 1] - stamps[k]) * seconds / span if span else 0.0)
    return best


def run(executable: Executable, inputs: list, scalars: list[float]) -> list | None:
    """Runs the program on tensors; None if they do not pass its guards."""
    status, result = _core.run_program(executable.address, inputs, scalars, executable.n_outputs)
    if status == 0:
        return result
    if status == _GUARD:
        return None
    raise _error(executable.plan, status, *result)


_GUARD = 7  # TD_ERR_GUARD
_ERRORS: dict[int, type[Exception]] = {1: MemoryError, 2: IndexError, 4: ValueError}  # by td_status


def _error(plan: Plan, status: int, step: int, text: str) -> Exception:
    """What eager code raises, with the operator and the user's line."""
    kind = _ERRORS.get(status, RuntimeError)
    if step < 0:
        return kind(f"compiled program: {text}")
    from ..capture.errors import Location
    from ..ops.table import TABLE

    nodes = plan.steps[step].nodes
    node = next((n for n in nodes if n.kind in ("gather", "scatter")), nodes[0])
    op = TABLE.get(node.op)
    if op is not None and kind is IndexError and op.traits.get("form") == "along" and not op.traits.get("index_error"):
        kind = RuntimeError
    where = f" ({Location(*node.location).text()})" if node.location else ""
    return kind(f"{node.op.lstrip('_')}(): {text}{where}")
