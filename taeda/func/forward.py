"""Forward mode: operators on tensors with tangents.

A tensor carries a tangent at every level (a `jvp` or `dual_level` under way) at which it is a dual number. The core hands
an operator on such tensors to `forward`, highest level first: it runs the operator again with that level closed, so the
tape and lower transforms see what they always see, and gives the results their tangents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from .._bind import write_back
from ..ops.namespace import F
from . import levels
from .duals import below, differentiable, in_layout, make_dual, same_layout, take_apart, tangent_for_writing, tangent_of
from .levels import Level, value_of
from .tangents import Tangents, invoke, push

Tensor = _core.Tensor


class ForwardLevel(Level):
    """One `jvp` or `dual_level` under way. Its tensors lose their tangents when it ends."""

    def __enter__(self) -> ForwardLevel:
        super().__enter__()
        if self.number > 31:
            super().__exit__()
            raise RuntimeError("forward mode: at most 32 function transforms can be nested")
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        _core.close_forward_level(self.number)


# -- operators ---------------------------------------------------------------------------------------------------------
def forward(op: Any, args: list, level: int) -> Any:
    """The core's hook: an operator with tangents at `level` among its arguments; higher levels are closed already."""
    tangents: Tangents = [
        [tangent_of(x, level) for x in a] if isinstance(a, (list, tuple)) else tangent_of(a, level) for a in args
    ]
    if op.inplace_arg >= 0:
        return _write(op, args, tangents, level)
    results, pushed = push(op, args, tangents)
    for y, t in zip(results, pushed):
        if t is not None and not any(y is a for a in args):
            _core.set_tangent(y, level, t if op.kind == "view" else _own(t, y, tangents))
    return results if len(results) > 1 else results[0]


def _own(t: Tensor, y: Tensor, given: Tangents) -> Tensor:
    """The tangent in memory that it shares with no other."""
    shared = (
        value_of(t) is not None
        or t._is_view()
        or any(t is g for a in given for g in (a if isinstance(a, list) else (a,)))
    )
    if not same_layout(t, y):
        return in_layout(t, y)
    return F.clone(t) if shared else t


def _write(op: Any, args: list, tangents: Tangents, level: int) -> Tensor:
    """An operator that writes into its first argument."""
    target = args[0]
    if op.form == "copy_":
        t = tangents[1]
        invoke(op, args)
    else:
        if F.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in args):
            args = [F.clone(target), *args[1:]]  # gradients may read the old values
        (y, *_), (t, *_) = push(op.functional, args, tangents)
        write_back(op.name, target, y)
    if t is None:
        if tangents[0] is not None:
            tangents[0].zero_()
    elif differentiable(target):
        own = tangent_for_writing(target, level)
        own.copy_(t.real if t.is_complex() and not own.is_complex() else t)
    return target


# -- functions of the user's own ---------------------------------------------------------------------------------------
def apply_function(cls: Any, args: tuple, run: Callable, make_context: Callable) -> Any:
    """`Function.apply` on arguments with tangents: forward runs without them, `jvp` gives those of the results."""
    return _applied(cls, args, run, make_context)[0]


def _applied(cls: Any, args: tuple, run: Callable, make_context: Callable) -> tuple[Any, Any]:
    level = _core.forward_level(*args)
    if level < 0:
        contexts: list = []

        def make() -> Any:
            contexts.append(make_context())
            return contexts[-1]

        return run(cls, make, args), contexts[0]
    given = [tangent_of(a, level) for a in args]
    with below(level):
        result, ctx = _applied(cls, args, run, make_context)
        pushed = cls.jvp(ctx.of_forward_mode(), *given)
        several = result if isinstance(result, (tuple, list)) else (result,)
        pushed = pushed if isinstance(pushed, (tuple, list)) else (pushed,)
        if len(pushed) != len(several):
            raise RuntimeError(
                f"{cls.__name__}.jvp: expected {len(several)} tangents, one per output of forward, got {len(pushed)}"
            )
        for y, t in zip(several, pushed):
            if t is None or not differentiable(y):
                continue
            if tuple(t.shape) != tuple(y.shape):
                raise RuntimeError(
                    f"{cls.__name__}.jvp: expected a tangent of shape {list(y.shape)}, got {list(t.shape)}"
                )
            _core.set_tangent(y, level, _own(t, y, given))
    return result, ctx


levels.forward_rule = forward
_core.set_hook("forward", forward)

__all__ = ["ForwardLevel", "apply_function", "make_dual", "take_apart"]
