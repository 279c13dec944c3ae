"""Runs one fused update over all parameters of a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taeda import Tensor, _bind, _core


def fused_step(name: str, lists: Sequence[Sequence[Tensor]], numbers: Sequence[Any]) -> None:
    """Applies the update operator `name` to the tensors at each position of `lists`, writing its outputs in place.

    In eager code this is one parallel region over all tensors; in a capture each position becomes a node of its own.
    """
    op = _bind.bound(name)
    if not _core.is_tracing():
        _core.foreach_(op, lists, numbers)
        return
    for tensors in zip(*lists):  # the capture knows from the operator which operands its results replace
        op(*tensors, *numbers)
