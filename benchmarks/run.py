"""Runs every workload on every framework, alternating, and writes docs/benchmarks.md.

python -m benchmarks.run [--threads 2] [--workloads mlp,gpt_small] [--rounds 5] [--seconds 1.0] [--out docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import gemm_bench

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("taeda", "taeda-compiled", "torch", "torch-compiled", "jax")
TITLES = {"taeda": "Taeda eager", "taeda-compiled": "Taeda compiled", "torch": "PyTorch eager", "torch-compiled": "torch.compile",
          "jax": "JAX jit"}  # fmt: skip


class Peer:
    """A worker process."""

    def __init__(self, name: str, threads: int, log: Any, **variables: str) -> None:
        environment = {
            **os.environ,
            **variables,
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "TAEDA_NUM_THREADS": str(threads),
        }
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log, text=True, cwd=ROOT, env=environment,
        )  # fmt: skip
        self.hello = self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            if not line:
                return {"error": f"worker ended (exit {self.process.wait()})"}
            if line.startswith("{"):
                return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        if self.process.poll() is not None:
            return {"error": "worker ended"}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process.wait(timeout=60)


def measure_workload(name: str, options: argparse.Namespace, log: Any) -> dict[str, dict[str, Any]]:
    """Fresh workers per workload (peak memory is per process); rounds alternate over the frameworks."""
    results: dict[str, dict[str, Any]] = {}
    peers: dict[str, Peer] = {}
    for framework in options.frameworks:
        peer = Peer(framework, options.threads, log)
        if "error" in peer.hello:
            results[framework] = peer.hello
            continue
        built = peer.ask("build", workload=name)
        results[framework] = {**peer.hello, **built, "times": []}
        if "error" in built:
            print(f"  {TITLES[framework]}: {built['error']}", file=sys.stderr)
            peer.close()
        else:
            peers[framework] = peer
    for _ in range(options.rounds):
        for framework, peer in peers.items():
            answer = peer.ask("run", seconds=options.seconds, at_least=3)
            if "error" in answer:
                results[framework]["error"] = answer["error"]
            else:
                results[framework]["times"] += answer["times"]
                results[framework]["peak_mib"] = answer["peak_mib"]
    for peer in peers.values():
        peer.close()
    for result in results.values():
        if result.get("times"):
            result["ms"] = 1e3 * statistics.median(result["times"])
    return results


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]) + "\n"


def ratio(a: float | None, b: float | None) -> str:
    return "-" if not a or not b else f"{a / b:.2f}"


def report_workloads(all_results: dict[str, Any], peak: float) -> str:
    from .workloads import WORKLOADS

    rows, ratios, costs = [], [], []
    for name, results in all_results.items():
        ms = {f: results.get(f, {}).get("ms") for f in FRAMEWORKS}
        flops = max((r.get("flops", 0) for r in results.values()), default=0)
        limit = 1e3 * flops / peak if peak else 0
        title = (WORKLOADS[name].__doc__ or name).rstrip(".")
        rows.append([title, *(f"{ms[f]:.2f}" if ms[f] else "-" for f in FRAMEWORKS), f"{limit:.2f}"])
        peers = [ms[f] for f in ("torch", "torch-compiled", "jax") if ms[f]]
        best = min(peers) if peers else None
        ratios.append([title, ratio(ms["taeda"], ms["torch"]), *(ratio(ms["taeda-compiled"], ms[f]) for f in ("torch", "torch-compiled", "jax")),
                       ratio(ms["taeda-compiled"], best), ratio(ms["taeda-compiled"], limit)])  # fmt: skip
        costs.append([title, *(f"{results[f]['first_steps_s']:.2f}" if "first_steps_s" in results.get(f, {}) else "-" for f in FRAMEWORKS),
                      *(f"{results[f]['peak_mib']:.0f}" if "peak_mib" in results.get(f, {}) else "-" for f in FRAMEWORKS)])  # fmt: skip
    titles = [TITLES[f] for f in FRAMEWORKS]
    return (
        "## One training step, milliseconds (median)\n\n" + table(["workload", *titles, "limit"], rows)
        + "\n## Ratios (below 1: Taeda is faster)\n\n"
        + table(["workload", "eager / PyTorch eager", "compiled / PyTorch eager", "compiled / torch.compile", "compiled / JAX",
                 "compiled / best peer", "compiled / limit"], ratios)
        + "\n## First two steps, seconds (compilation included), and peak memory of the process, MiB\n\n"
        + table(["workload", *(f"{t} s" for t in titles), *(f"{t} MiB" for t in titles)], costs)
    )  # fmt: skip


def report_small(ours: dict[str, float], theirs: dict[str, float]) -> str:
    rows = [
        [k, f"{1e6 * ours[k]:.2f}", f"{1e6 * theirs[k]:.2f}", ratio(ours[k], theirs[k])] for k in ours if k in theirs
    ]
    values = [ours[k] / theirs[k] for k in ours if k in theirs]
    mean = statistics.geometric_mean(values) if values else float("nan")
    rows.append(["geometric mean", "", "", f"{mean:.2f}"])
    return "## Small operations, microseconds a call\n\n" + table(["call", "Taeda", "PyTorch", "ratio"], rows)


def compile_times(threads: int, log: Any) -> str:
    """Seconds until the compiled GPT step runs, with an empty kernel cache and with the one that this left."""
    seconds = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            peer = Peer("taeda-compiled", threads, log, TAEDA_CACHE_DIR=cache)
            seconds.append(peer.ask("build", workload="gpt_small").get("first_steps_s", float("nan")))
            peer.close()
    return table(["first two steps of GPT 4 layers, compiled", "s"],
                 [["empty kernel cache", f"{seconds[0]:.2f}"], ["filled kernel cache", f"{seconds[1]:.2f}"]])  # fmt: skip


def write_readme(path: Path, text: str) -> None:
    """The page's first table, between the markers of the README."""
    readme = path.read_text()
    begin, end = (readme.index(m) for m in ("<!-- benchmarks:", "<!-- end of benchmarks"))
    begin = readme.index("\n", begin) + 1
    first = text[text.index("## One training step") :]
    body = first[first.index("|") : first.index("## First two steps")].replace("## Ratios", "### Ratios")
    path.write_text(readme[:begin] + "\nOne training step, milliseconds:\n\n" + body + readme[end:])


def imports(repeats: int = 7) -> dict[str, float]:
    """Seconds to import each package in a fresh interpreter, less an empty interpreter's start, medians."""
    result = {}
    for name, code in (("python", "pass"), ("taeda", "import taeda"), ("torch", "import torch"), ("jax", "import jax")):
        times = []
        for _ in range(repeats if name != "torch" else 3):
            out = subprocess.run(
                [sys.executable, "-c", f"import time; s=time.perf_counter()\n{code}\nprint(time.perf_counter()-s)"],
                capture_output=True, text=True, cwd=ROOT,
            )  # fmt: skip
            if out.returncode == 0:
                times.append(float(out.stdout.split()[-1]))
        if times:
            result[name] = statistics.median(times)
    return result


def main() -> None:
    from .workloads import WORKLOADS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workloads", type=lambda s: s.split(","), default=list(WORKLOADS))
    parser.add_argument("--frameworks", type=lambda s: s.split(","), default=list(FRAMEWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--no-gemm", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()
    log = open(ROOT / "build" / "bench.log", "w")  # noqa: SIM115  (lives as long as the workers)

    print("limits and small operations ...", flush=True)
    ours, theirs = Peer("taeda", options.threads, log), Peer("torch", options.threads, log)
    bounds = {p.name: p.ask("limits", repeats=10) for p in (ours, theirs)}
    small: dict[str, dict[str, list[float]]] = {"taeda": {}, "torch": {}}
    for _ in range(options.rounds):
        for p in (ours, theirs):
            for k, v in p.ask("small", repeats=3).items():
                if isinstance(v, float):
                    small[p.name].setdefault(k, []).append(v)
    ours.close()
    theirs.close()
    medians = {f: {k: statistics.median(v) for k, v in d.items()} for f, d in small.items()}
    peak = max((b.get("gemm", 0.0) for b in bounds.values()), default=0.0)
    copy = max((b.get("copy", 0.0) for b in bounds.values()), default=0.0)

    results = {}
    for name in options.workloads:
        print(f"{name} ...", flush=True)
        results[name] = measure_workload(name, options, log)
    seconds = imports()
    text = (
        "# Benchmarks\n\nMade by `make bench`; every figure of this page comes from one run that alternates the frameworks on the same work "
        f"with {options.threads} threads. {platform.machine()}, Python {platform.python_version()}.\n\n"
        f"Measured limits of the machine in this run: GEMM {peak / 1e9:.0f} GFLOP/s, copy {copy / 1e9:.1f} GB/s.\n\n"
        + report_workloads(results, peak) + "\n" + report_small(medians["taeda"], medians["torch"])
        + "\n## Import, milliseconds\n\n" + table(["package", "ms"], [[k, f"{1e3 * v:.0f}"] for k, v in seconds.items()])
    )  # fmt: skip
    text += "\n## Compile time\n\n" + compile_times(options.threads, log)
    if not options.no_gemm:
        print("gemm ...", flush=True)
        rows = gemm_bench.report(tuple(range(1, options.threads + 1)), options.rounds, 0.2, log)
        text += "\n## Matrix products, float32\n\n" + table(gemm_bench.HEAD, rows)
    options.out.write_text(text)
    if options.out == ROOT / "docs" / "benchmarks.md":
        write_readme(ROOT / "README.md", text)
    print(text)


if __name__ == "__main__":
    main()
