"""Handles of registered hooks."""

from __future__ import annotations

import itertools
from collections.abc import Callable

_ids = itertools.count()


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off; as a context manager it does so at the end."""

    __slots__ = ("__weakref__", "_hooks", "id")

    def __init__(self, hooks: dict):
        self._hooks = hooks
        self.id = next(_ids)

    @classmethod
    def add(cls, hooks: dict, hook: Callable) -> RemovableHandle:
        """Adds `hook` to a dict of hooks."""
        if not callable(hook):
            raise TypeError(f"a hook must be callable, got {type(hook).__name__}")
        handle = cls(hooks)
        hooks[handle.id] = hook
        return handle

    def remove(self) -> None:
        """Takes the hook off; once more does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
