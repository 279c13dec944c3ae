"""Float32 matrix products against OpenBLAS (NumPy's) and MKL (PyTorch's): python -m benchmarks.gemm_bench

Each library has a process of its own; they take turns on every size, and the others sleep meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

SIZES = ((64, 64, 64), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (64, 784, 256),
         (512, 384, 1536), (4096, 384, 384))  # fmt: skip
LIBRARIES = ("taeda", "numpy", "torch")


def product(lib: Any, name: str, m: int, k: int, n: int) -> Any:
    """A call that multiplies [m, k] by [k, n]; libraries that can are given the result's memory."""
    if name == "numpy":
        a, b = (lib.random.default_rng(0).standard_normal(s).astype("float32") for s in ((m, k), (k, n)))
        c = lib.empty((m, n), "float32")
        return lambda: lib.matmul(a, b, out=c)
    a, b = lib.randn(m, k), lib.randn(k, n)
    if name == "torch":
        c = lib.empty(m, n)
        return lambda: lib.mm(a, b, out=c)
    return lambda: lib.matmul(a, b)


def rates(lib: Any, name: str, size: tuple[int, int, int], seconds: float) -> list[float]:
    """FLOP/s of single calls (of batches of calls where one is too short to time)."""
    call = product(lib, name, *size)
    flops = 2.0 * size[0] * size[1] * size[2]
    count = max(1, int(3e7 / flops))
    call()
    result: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(result) < 3 or time.perf_counter() < deadline:
        start = time.perf_counter()
        for _ in range(count):
            call()
        result.append(count * flops / (time.perf_counter() - start))
    return result


def report(threads: tuple[int, ...], rounds: int, seconds: float, log: Any) -> list[list[str]]:
    """Rows of the table: size, threads, GFLOP/s of each library (median), ratio of ours to OpenBLAS and to MKL."""
    from .run import Peer

    rows = []
    for count in threads:
        peers = [Peer(name, count, log) for name in LIBRARIES]
        for size in SIZES:
            found: dict[str, list[float]] = {name: [] for name in LIBRARIES}
            for _ in range(rounds):
                for p in peers:
                    found[p.name] += p.ask("gemm", size=size, seconds=seconds).get("rates", [])
                    time.sleep(0.15)  # OpenBLAS's threads spin on for a while
            median = {name: statistics.median(v) / 1e9 if v else float("nan") for name, v in found.items()}
            ours = median["taeda"]
            rows.append(
                ["x".join(map(str, size)), str(count), *(f"{median[name]:.0f}" for name in LIBRARIES),
                 f"{ours / median['numpy']:.2f}", f"{ours / median['torch']:.2f}"]
            )  # fmt: skip
            print("  ".join(rows[-1]), flush=True)
        for p in peers:
            p.close()
    return rows


HEAD = ["m x k x n", "threads", "Taeda GFLOP/s", "OpenBLAS", "MKL", "Taeda / OpenBLAS", "Taeda / MKL"]


def main() -> None:
    import os

    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=lambda s: tuple(map(int, s.split(","))), default=(1, 2))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2)
    options = parser.parse_args()
    with open(os.devnull, "w") as log:
        print("  ".join(HEAD))
        report(options.threads, options.rounds, options.seconds, log)


if __name__ == "__main__":
    main()
