"""From a captured graph to a plan: clean-up, fusion, lowering, memory plan. Imports nothing of the core."""

from .pipeline import GRAPH_PASSES, Report, run_passes
from .plan import Plan

__all__ = ["GRAPH_PASSES", "Plan", "Report", "run_passes"]
