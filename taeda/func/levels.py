"""The stack of function transforms that are under way, and the tensors that belong to them.

A tensor of a transform stands for a `Value`: a tensor of the level below, and what the transform knows about it. Any
operator that meets one is handed to `transform`, which lets the highest level among the arguments interpret it; that
level calls the operator again on the inner tensors. So transforms nest by recursion, and the tape sees only the
innermost, physical tensors.
"""

from __future__ import annotations

import threading
from typing import Any

from .. import _core
from ..ops.table import OpDef, lookup
from .errors import finished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self

Tensor = _core.Tensor


class Value:
    """What a wrapped tensor stands for at `level`."""

    __slots__ = ("base", "inner", "level", "views")

    def __init__(self, inner: Tensor, level: Level):
        self.inner, self.level = inner, level
        self.base: Tensor | None = None  # of a view, while tangents may be written
        self.views: list = []  # weak references to views of it

    @property
    def requires_grad(self) -> bool:
        return self.inner.requires_grad

    @property
    def grad_fn(self) -> Any:
        return self.inner.grad_fn


class Level:
    """One transform that is under way: it says what an operator does to its tensors."""

    def __init__(self) -> None:
        self.number = -1

    def __enter__(self) -> Self:
        self.number = len(stack())
        stack().append(self)
        return self

    def __exit__(self, *error: object) -> None:
        stack().pop()

    def process(self, op: Any, entry: OpDef, inplace: bool, args: list) -> Any:
        """What `op` gives for `args` in schema order, some of which belong to this level."""
        raise NotImplementedError


class _Stack(threading.local):
    def __init__(self) -> None:
        self.levels: list[Level] = []


_stack = _Stack()


def stack() -> list[Level]:
    """The transforms under way on this thread, the outermost first."""
    return _stack.levels


def value_of(t: Any) -> Any:
    """The `Value` a tensor stands for, or None for ordinary tensors and other objects."""
    return _core.wrapped_value(t) if isinstance(t, Tensor) else None


def level_of(t: Any) -> Level | None:
    v = value_of(t)
    return None if v is None else v.level


#: What hook `forward` is; nothing has tangents before it is set.
forward_rule: Any = None
_ENTRIES: dict[Any, tuple[OpDef, bool]] = {}


def entry_of(op: Any) -> tuple[OpDef, bool]:
    """(the table's entry of an operator, whether this is its in-place twin)."""
    found = _ENTRIES.get(op)
    if found is None:
        try:
            found = lookup(op.name), op.name.endswith("_") and not op.name.startswith("__")
        except KeyError:
            found = lookup(op.name[:-1]), True
        _ENTRIES[op] = found
    return found


def transform(op: Any, args: list) -> Any:
    """The core's hook: an operator with at least one wrapped tensor among its arguments."""
    level: Level | None = None
    for a in args:
        for t in a if isinstance(a, (list, tuple)) else (a,):
            mine = level_of(t)
            if mine is not None and (level is None or mine.number > level.number):
                level = mine
    assert level is not None
    tangents = _core.forward_level(*args)
    if tangents > level.number:
        before = _core.set_forward_levels((1 << tangents) - 1)
        try:
            return forward_rule(op, args, tangents)
        finally:
            _core.set_forward_levels(before)
    levels = stack()
    if level.number >= len(levels) or levels[level.number] is not level:
        raise finished(op.name)
    entry, inplace = entry_of(op)
    if entry.kind == "composite" and (entry.traits["batch"] == "parts" or not _wants_gradient(args)):
        return entry.fn(*args)  # its parts, which every level knows
    return level.process(op, entry, inplace, args)


def _wants_gradient(args: list) -> bool:
    return _core.is_grad_enabled() and any(
        isinstance(t, Tensor) and t.requires_grad for a in args for t in (a if isinstance(a, (list, tuple)) else (a,))
    )


def install() -> None:
    """Tells the core where operators on wrapped tensors go. Called when the first transform is used."""
    _core.set_hook("transform", transform)
    _core.set_hook("wrapped_shape", lambda t: value_of(t).shape())
    _core.set_hook("wrapped_layout", lambda t, what: value_of(t).layout(what))
    _core.set_hook("wrapped_read", lambda t, what: value_of(t).read(what))


install()
