"""Compiled programs on the tape: one node whose backward pass is a compiled program too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import _core
from ..autograd.function import Function, once_differentiable
from . import program

if TYPE_CHECKING:
    from .compiled import Entry


class _Program(Function):
    """forward(entry, call, leaves...): runs the forward program and keeps what the backward one reads."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *leaves: Any) -> Any:
        outputs = call.execute()
        backward = call.entry.captured.backward
        assert backward is not None
        kept = [outputs[s.output] if s.output >= 0 else call.inputs[s.input] for s in backward.saved]
        ctx.save_for_backward(*kept)
        ctx.call = call
        call.outputs = outputs
        call.inputs = []
        wanted = {call.entry.captured.results[k].value for k in backward.results}
        differentiable = tuple(outputs[v] for v in sorted(wanted))
        return differentiable

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        call = ctx.call
        entry: Entry = call.entry
        backward = entry.captured.backward
        assert backward is not None
        if entry.backward_executable is None:
            entry.backward_executable = program.build(backward.graph)
        order = sorted({entry.captured.results[k].value for k in backward.results})
        by_value = dict(zip(order, grads))
        inputs = []
        for k in backward.results:
            r = entry.captured.results[k]
            inputs.append(by_value[r.value])
        inputs += ctx.saved_tensors
        if backward.carried:
            inputs.append(_core.empty([*(call.sizes[n] for n in backward.carried), 0], _core.uint8))
        inputs = [t.detach().contiguous() for t in inputs]
        found = program.run(entry.backward_executable, inputs, call.scalars)
        if found is None:
            raise RuntimeError("a compiled backward program refused its inputs: please report this")
        gradients = [None if k is None else found[k] for _, k in backward.leaves]
        return (None, *gradients)


class _Call:
    """What one call hands to the node."""

    __slots__ = ("entry", "execute", "inputs", "outputs", "scalars", "sizes")

    def __init__(
        self,
        entry: Entry,
        inputs: list[Any],
        scalars: list[float],
        sizes: dict[str, int],
        execute: Callable[[], list[Any]],
    ):
        self.entry, self.inputs, self.scalars, self.sizes, self.execute = entry, inputs, scalars, sizes, execute
        self.outputs: list[Any] = []


def run(
    entry: Entry, tensors: list[Any], inputs: list[Any], scalars: list[float], execute: Callable[[], list[Any]]
) -> list[Any]:
    """The outputs of the program, those that carry gradients attached to the tape."""
    backward = entry.captured.backward
    assert backward is not None
    leaves = [tensors[s.index] if s.kind == "argument" else s.tensor for s, _ in backward.leaves]
    call = _Call(entry, inputs, scalars, entry.sizes(tensors), execute)
    attached = _Program.apply(call, *leaves)
    outputs = list(call.outputs)
    call.outputs = []
    order = sorted({entry.captured.results[k].value for k in backward.results})
    for value, t in zip(order, attached):
        outputs[value] = t
    return outputs
