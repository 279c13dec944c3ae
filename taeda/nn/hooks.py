"""Registration handles and the backward hooks of modules."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import taeda
from taeda.autograd import Function

_counter = itertools.count()


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off; also a context manager that removes at exit."""

    def __init__(self, *stores: dict, first: bool = False) -> None:
        self.id = next(_counter)
        self._stores = stores

    def remove(self) -> None:
        for store in self._stores:
            store.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def register(store: OrderedDict, hook: Callable, *flags: dict, prepend: bool = False) -> RemovableHandle:
    """Adds `hook` to `store`; in `flags` the caller keeps sets of handle ids with options."""
    handle = RemovableHandle(store, *flags)
    store[handle.id] = hook
    if prepend:
        store.move_to_end(handle.id, last=False)
    return handle


class _Boundary(Function):
    """Identity whose backward sees the gradients of all the tensors of one side of a module."""

    @staticmethod
    def forward(ctx: Any, callback: Callable, *tensors: taeda.Tensor) -> Any:
        ctx.callback = callback
        ctx.set_materialize_grads(False)
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: taeda.Tensor | None) -> Any:
        return (None, *ctx.callback(grads))


def through_boundary(value: Any, callback: Callable) -> Any:
    """Passes every differentiable tensor of `value` (a tensor or tuple) through an identity that reports gradients.

    callback(grads of all positions) returns the gradients to send on.
    """
    single = isinstance(value, taeda.Tensor)
    items = (value,) if single else tuple(value)
    places = [i for i, v in enumerate(items) if isinstance(v, taeda.Tensor) and v.requires_grad]
    if not places or not taeda.is_grad_enabled():
        return value

    def spread(grads: tuple) -> tuple:
        full: list = [None] * len(items)
        for place, g in zip(places, grads):
            full[place] = g
        sent = callback(tuple(full))
        return tuple(sent[place] for place in places)

    outputs = _Boundary.apply(spread, *(items[i] for i in places))
    result = list(items)
    for place, out in zip(places, outputs):
        result[place] = out
    return result[0] if single else tuple(result)
