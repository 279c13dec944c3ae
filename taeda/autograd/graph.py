"""Looking at the tape, and hooks on what it saves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .. import _core
from ..utils.hooks import RemovableHandle

Node = _core.Node
Tensor = _core.Tensor


class GradientEdge(NamedTuple):
    """Where the gradient of a tensor goes: an output of a node."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge of a tensor that requires a gradient."""
    node, slot = _core.gradient_edge(tensor)
    if node is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(node, slot)


class saved_tensors_hooks:
    """In the block, what is saved for backward goes through `pack_hook`, and back through `unpack_hook` on use."""

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook
        self._before: list = []

    def __enter__(self) -> None:
        self._before.append(_core.set_saved_tensor_hooks(self.pack_hook, self.unpack_hook))

    def __exit__(self, *error: object) -> None:
        _core.set_saved_tensor_hooks(*self._before.pop())


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all") -> RemovableHandle:
    """Calls fn(gradients) when those of all `tensors` are there (mode "all"), or fn(gradient) with the first of them in
    each backward pass (mode "any")."""
    if mode not in ("all", "any"):
        raise ValueError(f"mode must be 'all' or 'any', got {mode!r}")
    tensors = tuple(tensors)
    found: dict[int, dict[int, Tensor]] = {}  # backward pass -> place -> gradient

    def arrived(place: int, gradient: Tensor) -> None:
        run = _core.current_engine_run()
        for old in [r for r in found if r < run]:
            del found[old]
        gradients = found.setdefault(run, {})
        gradients[place] = gradient
        if mode == "any":
            if len(gradients) == 1:
                fn(gradient)
        elif len(gradients) == len(tensors):
            fn([gradients[i] for i in range(len(tensors))])

    hooks: dict[int, Callable] = {}
    handles = [t.register_hook(lambda g, i=i: arrived(i, g)) for i, t in enumerate(tensors)]

    class Handles(RemovableHandle):
        def remove(self) -> None:
            for h in handles:
                h.remove()

    return Handles(hooks)
