"""Looking at the tape, and hooks on what it saves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from .. import _core
from ..utils.hooks import RemovableHandle
from .grad_mode import no_grad

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
        if _disabled:
            raise RuntimeError(_disabled[-1])
        self._before.append(_core.set_saved_tensor_hooks(self.pack_hook, self.unpack_hook))

    def __exit__(self, *error: object) -> None:
        _core.set_saved_tensor_hooks(*self._before.pop())


#: Messages of the `disable_saved_tensors_hooks` blocks that are open.
_disabled: list[str] = []


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """In the block, `saved_tensors_hooks` raises a RuntimeError with this message."""
    _disabled.append(error_message)
    try:
        yield
    finally:
        _disabled.pop()


class save_on_cpu(saved_tensors_hooks):
    """In the block, what is saved for backward is kept in the memory of the CPU and comes back to its device on use."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda kept: kept[1].to(kept[0]))


class allow_mutation_on_saved_tensors(saved_tensors_hooks):
    """In the block, tensors that backward needs may be written: backward sees the values that they had. (It keeps
    copies.)"""

    def __init__(self) -> None:
        super().__init__(lambda t: t.detach().clone(), lambda kept: kept)

    def __enter__(self) -> allow_mutation_on_saved_tensors:  # type: ignore[override]
        super().__enter__()
        return self


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Counts a write into the tensors, as an in-place operation does: backward then refuses the values it saved."""
    for t in (tensor,) if isinstance(tensor, Tensor) else _all_tensors(tensor):
        if t.is_inference():
            raise RuntimeError("Cannot increment the version of an inference tensor")
        with no_grad():
            t.detach().as_strided((0,), (1,)).zero_()


def _all_tensors(items: Any) -> tuple[Tensor, ...]:
    found = tuple(items) if isinstance(items, Iterable) else (items,)
    for t in found:
        if not isinstance(t, Tensor):
            raise RuntimeError(f"increment_version expects a Tensor or an Iterable[Tensor], not {type(t).__name__}")
    return found


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
