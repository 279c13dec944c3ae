"""Tangents in memory: where they lie, what those of views are, and tensors of several levels.

A tangent lies in memory as its tensor's elements lie in theirs, and shares it with the tangents of views only; so views
and writes do the same to both.
"""

from __future__ import annotations

import weakref
from typing import Any

from .. import _core
from ..ops.namespace import F
from .levels import value_of

Tensor = _core.Tensor


def differentiable(t: Any) -> bool:
    return isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex())


class below:
    """A block in which only levels lower than this one take part in operators."""

    def __init__(self, level: int):
        self.open = (1 << level) - 1

    def __enter__(self) -> None:
        self.before = _core.set_forward_levels(self.open)

    def __exit__(self, *error: object) -> None:
        _core.set_forward_levels(self.before)


# -- memory of tangents ------------------------------------------------------------------------------------------------
def same_layout(a: Tensor, b: Tensor) -> bool:
    return all(n < 2 or p == q for n, p, q in zip(a.shape, a.stride(), b.stride()))


def _reach(x: Tensor) -> int:
    """Elements from the first to one behind the last."""
    return 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride())) if x.numel() else 0


def in_layout(t: Tensor, like: Tensor) -> Tensor:
    """`t`, or a copy whose elements lie in memory as those of `like`."""
    if same_layout(t, like):
        return t
    memory = t.new_zeros((_reach(like),))
    return F._as_strided(memory, like.shape, like.stride(), 0, (1,)).copy_(t)


def _zeros(like: Tensor) -> Tensor:
    zeros = F.zeros_like(like)
    return zeros if same_layout(zeros, like) else in_layout(zeros, like)


def _offset(t: Tensor) -> int:
    value = value_of(t)
    return t.storage_offset() if value is None else _offset(value.inner)


def _of_base(t: Tensor, base: Tensor, tangent: Tensor) -> Tensor:
    """What view `t` of `base` is of the base's tangent."""
    offset = _offset(t) - _offset(base)
    return F._as_strided(tangent, t.shape, t.stride(), offset, tangent.stride())


def _base(t: Tensor) -> Tensor | None:
    value = value_of(t)
    return t._base if value is None else value.base


def note_view(view: Tensor, of: Tensor) -> None:
    """Remembers what a wrapped tensor is a view of; the core does for tensors with memory."""
    mine, its = value_of(view), value_of(of)
    if mine is None or its is None:
        return
    mine.base = of if its.base is None else its.base
    value_of(mine.base).views.append(weakref.ref(view))


def tangent_of(t: Any, level: int) -> Tensor | None:
    """The tangent of a tensor; that of a view comes from its base, where the base got one later."""
    if not isinstance(t, Tensor):
        return None
    found = _core.tangent(t, level)
    if found is not None:
        return found
    base = _base(t)
    whole = None if base is None or base.dtype is not t.dtype else _core.tangent(base, level)
    if base is None or whole is None:
        return None
    assert base is not None
    found = _of_base(t, base, whole)
    _core.set_tangent(t, level, found)
    return found


def tangent_for_writing(t: Tensor, level: int) -> Tensor:
    """The tangent of a tensor that is about to get one: a view's is part of its base's."""
    found = tangent_of(t, level)
    if found is not None:
        return found
    base = _base(t)
    if base is None or base.dtype is not t.dtype:
        found = _zeros(t)
        _core.set_tangent(t, level, found)
        base = t
    else:
        whole = _zeros(base)
        _core.set_tangent(base, level, whole)
        found = _of_base(t, base, whole)
        _core.set_tangent(t, level, found)
    value = value_of(base)
    for ref in () if value is None else value.views:
        view = ref()
        if view is not None and view is not t:
            tangent_of(view, level)
    return found


# -- levels inside of tensors of other transforms ----------------------------------------------------------------------
def highest(values: Any) -> int:
    """The highest open level at which one of the tensors, or what it stands for, has a tangent; -1: none."""
    level = -1
    for t in values:
        while isinstance(t, Tensor):
            level = max(level, _core.forward_level(t))
            value = value_of(t)
            t = None if value is None else value.inner
    return level


def tangent_within(t: Tensor | None, level: int) -> Tensor | None:
    """The tangent of a tensor at a level that may be below the transforms that it belongs to."""
    if t is None:
        return None
    found, value = tangent_of(t, level), value_of(t)
    if found is not None or value is None or value.level.number < level:
        return found
    inside = tangent_within(value.inner, level)
    return None if inside is None else value.level.wrap(inside)


def give_within(t: Tensor, level: int, tangent: Tensor) -> None:
    """The inverse of `tangent_within`."""
    value = value_of(t)
    if value is None or value.level.number < level:
        _core.set_tangent(t, level, in_layout(tangent, t))
    else:
        give_within(value.inner, level, value.level.batch(tangent))


def cut(t: Tensor) -> Tensor:
    """`detach`, but with its tangents."""
    value = value_of(t)
    found = t.detach() if value is None else value.level.wrap(cut(value.inner))
    _core.share_tangents(found, t)
    return found


# -- making and taking apart -------------------------------------------------------------------------------------------
def make_dual(primal: Tensor, tangent: Tensor, level: int) -> Tensor:
    """A view of `primal` whose tangent at `level` is `tangent`."""
    if not differentiable(primal):
        raise ValueError(f"Expected primal to be floating point or complex, but got: {primal.dtype}")
    if not differentiable(tangent):
        raise ValueError(f"Expected tangent to be floating point or complex, but got: {tangent.dtype}")
    if tuple(primal.shape) != tuple(tangent.shape):
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
            f"supported. Tensor is of size {list(primal.shape)} while the given forward gradient is of size "
            f"{list(tangent.shape)}."
        )
    if tangent.is_complex() and not primal.is_complex():
        raise RuntimeError("Expected the tangent of a real tensor to be real, but got a complex one")
    if tangent_of(primal, level) is not None:
        raise RuntimeError(
            f"Making a dual Tensor based on a Tensor that already has a forward gradient at the same level {level} is "
            "not supported."
        )
    with below(level):
        dual = F.alias(primal)
        tangent = in_layout(tangent, primal)
    _core.set_tangent(dual, level, tangent)
    return dual


def take_apart(t: Tensor, level: int) -> tuple[Tensor, Tensor | None]:
    """(the tensor without its tangent, the tangent or None)."""
    tangent = tangent_of(t, level)
    if tangent is None:
        return t, None
    with below(level):
        return _core.primal(t), tangent
