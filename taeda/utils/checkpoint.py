"""Trading computation for memory: parts of a model run again in the backward pass instead of keeping their tensors."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

from .. import _core
from ..autograd import Function, backward, enable_grad
from ..autograd.graph import saved_tensors_hooks

Tensor = _core.Tensor


class CheckpointError(RuntimeError):
    """A checkpointed function did something else when it was run again."""


class _RandomState:
    """The state of the default generator, to start from again."""

    def __init__(self, keep: bool):
        self.state = _core.default_generator.get_state() if keep else None

    @contextlib.contextmanager
    def restored(self):
        if self.state is None:
            yield
            return
        now = _core.default_generator.get_state()
        _core.default_generator.set_state(self.state)
        try:
            yield
        finally:
            _core.default_generator.set_state(now)


def checkpoint(
    function: Callable,
    *args: Any,
    use_reentrant: bool = False,
    context_fn: Callable | None = None,
    determinism_check: str = "default",
    preserve_rng_state: bool = True,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), without keeping what its operations save for backward: they are run again for that.

    preserve_rng_state: random operations give the same numbers again. context_fn returns two context managers, for the
    first run and for the second. determinism_check "default" compares the shapes and dtypes of what is saved, "none"
    does not. use_reentrant=True is the older way: the whole function runs again inside the backward pass, and `grad()`
    of tensors inside does not work.
    """
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], got {determinism_check!r}")
    if use_reentrant:
        if kwargs or context_fn is not None:
            raise ValueError("keyword arguments and context_fn are only supported when use_reentrant=False.")
        return _Reentrant.apply(function, preserve_rng_state, *args)
    first, second = context_fn() if context_fn else (contextlib.nullcontext(), contextlib.nullcontext())
    frame = _Frame(
        lambda: function(*args, **kwargs),
        second,
        _RandomState(preserve_rng_state),
        determinism_check != "none",
        early_stop,
    )
    if not _core.is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


def checkpoint_sequential(functions: Any, segments: int, input: Any, use_reentrant: bool = False, **kwargs: Any) -> Any:
    """Runs functions one after the other in `segments` parts, all but the last of them checkpointed."""
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(len(functions), 1):
        raise ValueError(f"checkpoint_sequential: segments must be between 1 and {len(functions)}, got {segments}")

    def part(first: int, last: int) -> Callable:
        def run(x: Any) -> Any:
            for f in functions[first:last]:
                x = f(x)
            return x

        return run

    size, at = len(functions) // segments, 0
    for _ in range(segments - 1):
        input = checkpoint(part(at, at + size), input, use_reentrant=use_reentrant, **kwargs)
        at += size
    return part(at, len(functions))(input)


class _Stop(Exception):
    pass


class _Holder:
    """Stands for one saved tensor; the tape owns it."""

    __slots__ = ("__weakref__", "index")

    def __init__(self, index: int):
        self.index = index


class _Frame:
    """One checkpointed call: the places of its saved tensors, and their values once it was run again."""

    def __init__(self, run: Callable, context: Any, random: _RandomState, check: bool, early_stop: bool):
        self.run, self.context, self.random, self.check, self.early_stop = run, context, random, check, early_stop
        self.holders: list[weakref.ref] = []
        self.facts: list[tuple] = []
        self.values: dict[int, dict[int, Tensor]] = {}  # backward pass -> place -> tensor

    def pack(self, t: Tensor) -> _Holder:
        holder = _Holder(len(self.holders))
        self.holders.append(weakref.ref(holder))
        self.facts.append((tuple(t.shape), t.dtype))
        return holder

    def unpack(self, holder: _Holder) -> Tensor:
        run = _core.current_engine_run()
        for old in [r for r in self.values if r != run]:
            del self.values[old]
        values = self.values.get(run)
        if values is None:
            values = self._again()
            if run:  # outside of a pass nothing tells how long they would be good for
                self.values[run] = values
        if holder.index not in values:
            self._missing()
        return values[holder.index]

    def _missing(self) -> None:
        raise CheckpointError(
            "checkpoint: A different number of tensors was saved during the original forward and recomputation."
        )

    def _again(self) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        last = max((i for i, h in enumerate(self.holders) if h() is not None), default=-1)
        count = 0

        def keep(t: Tensor) -> Tensor:
            nonlocal count
            place, count = count, count + 1
            if place < len(self.holders) and self.holders[place]() is not None:
                if self.check and self.facts[place] != (tuple(t.shape), t.dtype):
                    raise CheckpointError(
                        "checkpoint: Recomputed values for the following tensors have different metadata than during "
                        f"the forward pass: tensor {place} was {self.facts[place]}, now {(tuple(t.shape), t.dtype)}"
                    )
                found[place] = t.detach()
            if self.early_stop and place == last:
                raise _Stop
            return t.detach()

        with (
            contextlib.suppress(_Stop),
            self.random.restored(),
            enable_grad(),
            saved_tensors_hooks(keep, lambda t: t),
            self.context,
        ):
            self.run()
        if count < last + 1 or (not self.early_stop and count != len(self.holders)):
            self._missing()
        return found


class _Reentrant(Function):
    """Runs the function without recording, and again with recording inside the backward pass."""

    @staticmethod
    def forward(ctx, function, preserve_rng_state, *args):
        ctx.function, ctx.random = function, _RandomState(preserve_rng_state)
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.rest = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        return function(*args)

    @staticmethod
    def backward(ctx, *grads):
        args = list(ctx.rest)
        for i, t in zip(ctx.places, ctx.saved_tensors):
            args[i] = t.detach().requires_grad_() if t.requires_grad else t.detach()
        with ctx.random.restored(), enable_grad():
            outputs = ctx.function(*args)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        backward([o for o, _ in pairs], [g for _, g in pairs])
        return (
            None,
            None,
            *(a.grad if isinstance(a, Tensor) and a.is_leaf and a.requires_grad else None for a in args),
        )
