"""The passes, in order: from a captured graph to a plan. TAEDA_LOG=passes prints what each did and how long it took."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..ir.graph import Graph
from ..ir.verify import verify
from .clean import common_values, dead_code, fold_sizes, materialise_views, simplify
from .fuse import Fuser
from .layout import contraction_layout, join_slices
from .lower import lower
from .memory import plan_memory
from .plan import Plan

#: Passes over the graph: name and function; each returns how much it changed.
GRAPH_PASSES: list[tuple[str, Callable[[Graph], int]]] = [
    ("dead code", dead_code),
    ("fold sizes", fold_sizes),
    ("simplify", simplify),
    ("common values", common_values),
    ("simplify again", simplify),
    ("join slices", join_slices),
    ("materialise views of views", materialise_views),
    ("contraction layout", contraction_layout),
    ("dead code at last", dead_code),
]


@dataclass
class Report:
    """What the passes did: (name, changes, seconds)."""

    passes: list[tuple[str, int, float]] = field(default_factory=list)

    def add(self, name: str, changed: int, seconds: float) -> None:
        self.passes.append((name, changed, seconds))
        if "passes" in os.environ.get("TAEDA_LOG", "").split(","):
            print(f"taeda: pass {name}: {changed} changes, {seconds * 1e3:.1f} ms", file=sys.stderr)

    def __str__(self) -> str:
        return "\n".join(f"  {name:28} {changed:6} {seconds * 1e3:8.1f} ms" for name, changed, seconds in self.passes)


def run_passes(graph: Graph, check: bool | None = None) -> tuple[Plan, Report]:
    """Optimises `graph` in place and lowers it. check: run the verifier between passes (default: if TAEDA_VERIFY is
    set)."""
    if check is None:
        check = bool(os.environ.get("TAEDA_VERIFY"))
    report = Report()
    if check:
        verify(graph)
    for name, apply in GRAPH_PASSES:
        start = time.perf_counter()
        changed = apply(graph)
        report.add(name, changed, time.perf_counter() - start)
        if check:
            verify(graph)
    start = time.perf_counter()
    fuser = Fuser(graph)
    groups = fuser.run()
    report.add("fuse", len(graph.nodes) - len(groups), time.perf_counter() - start)
    start = time.perf_counter()
    plan = lower(graph, groups, fuser.inlined)
    report.add("lower", len(plan.steps), time.perf_counter() - start)
    start = time.perf_counter()
    plan_memory(plan, graph)
    report.add("memory plan", len(plan.slots), time.perf_counter() - start)
    return plan, report
