"""From a captured graph to something that runs: passes, host program, kernels compiled or loaded, entry address."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from .. import _core
from ..ir.graph import Graph
from ..passes.pipeline import Report, run_passes
from ..passes.plan import Plan
from .resolve import load_cached, resolve, target_name

#: td_kernel addresses of every kernel this process has, by symbol.
_kernels: dict[str, int] = {}
_lock = threading.RLock()


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

    @property
    def n_outputs(self) -> int:
        return len(self.plan.outputs)


def build(graph: Graph) -> Executable:
    """Compiles `graph` for this process."""
    timing = Timing()
    text = str(graph)
    start = time.perf_counter()
    plan, report = run_passes(graph)
    timing.passes = time.perf_counter() - start
    start = time.perf_counter()
    from ..codegen.program import host_program
    from ..codegen.target import named

    target = named(target_name())
    name = "taeda_program"
    host = host_program(plan, target, name)
    timing.host_text = time.perf_counter() - start
    with _lock:
        start = time.perf_counter()
        table = {f"gemm_{dtype}": resolve(f"gemm/{dtype}") for dtype in host.gemms}
        for symbol, spec in host.kernels.items():
            if symbol not in _kernels:
                _kernels[symbol] = _kernel(symbol, spec, target)
                timing.new_kernels += 1
            table[f"{symbol}_kernel"] = _kernels[symbol]
        timing.kernels = time.perf_counter() - start
        start = time.perf_counter()
        address = _host(host, target, table)
        timing.host_code = time.perf_counter() - start
    return Executable(address, plan, report, timing, text, list(host.kernels))


def _kernel(symbol: str, spec, target) -> int:
    from ..codegen.spec import canonical_text

    def make() -> bytes:
        from ..codegen.compile import compile_kernels

        return compile_kernels({"k": spec}, target)[0]

    return load_cached(canonical_text(spec), make)["k_kernel"]


def _host(host, target, table: dict[str, int]) -> int:
    """Loads a host program. The addresses of this process's kernels are kept out of the cached code: they come in a table."""
    import ctypes

    def make() -> bytes:
        from ..codegen.compile import compile_ir

        return compile_ir(host.text, target, quick=True)

    symbols = load_cached(host.text, make)
    if table:
        slots = symbols[f"{host.name}_imports"]
        for k, name in enumerate(host.imports):
            ctypes.c_void_p.from_address(slots + 8 * k).value = table[name]
    return symbols[host.name]


def run(executable: Executable, inputs: list, scalars: list[float]) -> list | None:
    """Runs the program on tensors; None if they do not pass its guards."""
    status, outputs = _core.run_program(executable.address, inputs, scalars, executable.n_outputs)
    return outputs if status == 0 else None
