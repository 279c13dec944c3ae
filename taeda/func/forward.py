"""Forward mode: operators on tensors with tangents.

A tensor carries a tangent at every level (a `jvp` or `dual_level` under way) at which it is a dual number. The core hands
an operator on such tensors to `forward`, highest level first: it runs the operator again with that level closed, so the
tape and lower transforms see what they always see, and gives the results their tangents.
"""

from __future__ import annotations

from typing import Any

from .. import _core
from .._bind import write_back
from ..ops.namespace import F
from . import levels
from .duals import (
    differentiable,
    highest,
    in_layout,
    make_dual,
    same_layout,
    take_apart,
    tangent_for_writing,
    tangent_of,
)
from .levels import Level, value_of
from .tangents import Tangents, invoke, push

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

Tensor = _core.Tensor


class ForwardLevel(Level):
    """One `jvp` or `dual_level` under way. Its tensors lose their tangents when it ends."""

    def __enter__(self) -> Self:
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
            _core.set_tangent(y, level, t if op.kind == "view" else own_tangent(t, y, tangents))
    return results if len(results) > 1 else results[0]


def own_tangent(t: Tensor, y: Tensor, given: Tangents) -> Tensor:
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


def _differentiated(t: Tensor) -> bool:
    return (F.is_grad_enabled() and t.requires_grad) or highest([t]) >= 0


vars(F).update(differentiated=_differentiated)
levels.forward_rule = forward
_core.set_hook("forward", forward)

__all__ = ["ForwardLevel", "make_dual", "own_tangent", "take_apart"]
