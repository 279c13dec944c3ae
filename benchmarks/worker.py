"""One framework in one process, driven over pipes: python -m benchmarks.worker NAME THREADS

Reads one JSON command a line on stdin and answers one JSON line: build a workload, run it for a number of steps, run the small
operations, report memory. Workers of other frameworks stay blocked meanwhile, so that nobody else's threads spin.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any


def load(name: str, threads: int) -> Any:
    """The framework's module, set to `threads` threads."""
    if name.startswith("jax"):
        os.environ["XLA_FLAGS"] = (
            f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={threads}"
        )
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))
        import jax

        return jax
    if name.startswith("torch"):
        import torch

        torch.set_num_threads(threads)
        return torch
    if name == "numpy":  # its threads come from OPENBLAS_NUM_THREADS
        import numpy

        return numpy
    import taeda

    taeda.set_num_threads(threads)
    return taeda


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Worker:
    def __init__(self, name: str, threads: int) -> None:
        start = time.perf_counter()
        self.lib = load(name, threads)
        self.import_seconds = time.perf_counter() - start
        self.name = name
        self.step: Any = None

    def build(self, workload: str) -> dict[str, Any]:
        flops = 0.0
        start = time.perf_counter()
        if self.name.startswith("jax"):
            from . import jax_workloads

            self.step = jax_workloads.WORKLOADS[workload](self.lib)
        else:
            from . import workloads

            self.step, flops = workloads.WORKLOADS[workload](self.lib, self.name.endswith("compiled"))
        built = time.perf_counter()
        loss = float(self.step())
        last = float(
            self.step()
        )  # compiled steps are compiled here at the latest: the first makes the optimizer's state
        first = time.perf_counter() - built
        last = float(self.step())
        return {
            "build_s": built - start,
            "first_steps_s": first,
            "flops": flops,
            "losses": [loss, last],
            "peak_mib": peak_mib(),
        }

    def run(self, seconds: float, at_least: int) -> dict[str, Any]:
        times: list[float] = []
        deadline = time.perf_counter() + seconds
        while len(times) < at_least or time.perf_counter() < deadline:
            start = time.perf_counter()
            loss = self.step()
            times.append(time.perf_counter() - start)
        return {"times": times, "loss": float(loss), "peak_mib": peak_mib()}

    def small(self, repeats: int) -> dict[str, float]:
        from . import workloads

        result = {}
        for label, call in workloads.small_ops(self.lib).items():
            n = 20 if "chain" in label else 2000
            call()
            best = []
            for _ in range(repeats):
                start = time.perf_counter()
                for _ in range(n):
                    call()
                best.append((time.perf_counter() - start) / n)
            result[label] = sorted(best)[len(best) // 2]
        return result

    def gemm(self, size: list[int], seconds: float) -> dict[str, Any]:
        from . import gemm_bench

        return {"rates": gemm_bench.rates(self.lib, self.name, (size[0], size[1], size[2]), seconds)}

    def limits(self, repeats: int) -> dict[str, float]:
        from . import workloads

        result = {}
        for label, call in workloads.limits(self.lib).items():
            rates = []
            for _ in range(repeats):
                start = time.perf_counter()
                amount, _ = call()
                rates.append(amount / (time.perf_counter() - start))
            result[label] = max(rates)
        return result


def main() -> None:
    worker = Worker(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({"import_s": worker.import_seconds}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            answer: Any = getattr(worker, name)(**command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
