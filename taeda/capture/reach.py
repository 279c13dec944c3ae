"""What a function can reach without its arguments: modules, optimizers, numbers. These are Python state that a
captured program is valid for, so each becomes a guard: a place (a dict or a cell) and the value it had."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

_SIMPLE = (bool, int, float, str, bytes, type(None))
_DEPTH = 3
_MODES = frozenset(
    ("no_grad", "enable_grad", "set_grad_enabled", "requires_grad", "requires_grad_", "is_grad_enabled", "grad_fn")
)


class Place:
    """One spot of Python state with the value it had. `check()` is true while the value is the same."""

    __slots__ = ("expected", "key", "name", "where")

    def __init__(self, where: Any, key: Any, expected: Any, name: str):
        self.where, self.key, self.expected, self.name = where, key, expected, name

    def now(self) -> Any:
        return self.where.get(self.key, _MISSING) if type(self.where) is dict else self.where.cell_contents

    def check(self) -> bool:
        value = self.where.get(self.key, _MISSING) if type(self.where) is dict else self.where.cell_contents
        expected = self.expected
        if value is expected:
            return True
        return type(value) is type(expected) and isinstance(value, _SIMPLE) and value == expected


_MISSING = type("missing", (), {"__repr__": lambda self: "nothing"})()


def _class(path: str, name: str) -> type | None:
    """A class of a user room, if that room is loaded: nothing of it can be reachable otherwise."""
    module = sys.modules.get(path)
    return getattr(module, name, None) if module is not None else None


class Reach:
    """Modules, optimizers and simple values that a callable and its arguments reach."""

    def __init__(self, fn: Callable, arguments: Any = ()):
        self.modules: list[Any] = []
        self.optimizers: list[Any] = []
        self.places: list[Place] = []
        #: whether the function's own code names something about gradients, or an optimizer is in reach
        self.mentions_gradients = False
        self._seen: set[int] = set()
        self._module_type = _class("taeda.nn", "Module")
        self._optimizer_type = _class("taeda.optim", "Optimizer") or _class("taeda.optim.optimizer", "Optimizer")
        self._callable(fn, 0)
        self._value(arguments, 0)
        self.mentions_gradients = self.mentions_gradients or bool(self.optimizers)

    # -- walking -----------------------------------------------------------------------------------------------------
    def _value(self, x: Any, depth: int) -> None:
        if isinstance(x, _SIMPLE) or id(x) in self._seen or depth > _DEPTH:
            return
        self._seen.add(id(x))
        if self._module_type is not None and isinstance(x, self._module_type):
            self._module(x)
        elif self._optimizer_type is not None and isinstance(x, self._optimizer_type):
            self.optimizers.append(x)
        elif isinstance(x, (tuple, list)):
            for e in x:
                self._value(e, depth + 1)
        elif isinstance(x, dict):
            for e in x.values():
                self._value(e, depth + 1)
        elif isinstance(x, (types.FunctionType, types.MethodType, functools.partial)):
            self._callable(x, depth + 1)
        elif (
            hasattr(x, "__dict__")
            and not isinstance(x, (type, types.ModuleType))
            and type(x).__module__.partition(".")[0] != "taeda"
        ):
            for e in vars(x).values():
                self._value(e, depth + 1)

    def _callable(self, fn: Any, depth: int) -> None:
        if isinstance(fn, functools.partial):
            self._callable(fn.func, depth)
            self._value((fn.args, fn.keywords), depth)
            return
        if isinstance(fn, types.MethodType):
            self._value(fn.__self__, depth)
            self._attributes(fn.__self__, fn.__func__)
            fn = fn.__func__
        if not isinstance(fn, types.FunctionType):
            self._value(fn, depth)
            return
        if id(fn) in self._seen:
            return
        self._seen.add(id(fn))
        wrapped = getattr(fn, "__wrapped__", None)
        if wrapped is not None:
            self._callable(wrapped, depth)
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or ()):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self._held(cell, None, value, name, depth)
        names = _global_names(fn.__code__)
        if any("grad" in n and n not in _MODES for n in names):
            self.mentions_gradients = True
        for name in names:
            if name in fn.__globals__:
                value = fn.__globals__[name]
                self._held(fn.__globals__, name, value, name, depth)
        self._value((fn.__defaults__, fn.__kwdefaults__), depth)

    def _held(self, where: Any, key: Any, value: Any, name: str, depth: int) -> None:
        if isinstance(value, _SIMPLE):
            self.places.append(Place(where, key, value, name))
            return
        if isinstance(value, types.FunctionType) and value.__module__.partition(".")[0] == "taeda":
            return
        if not isinstance(value, (types.ModuleType, type)):
            self.places.append(Place(where, key, value, name))
        self._value(value, depth + 1)

    def _attributes(self, owner: Any, fn: Any) -> None:
        """What a method names of its object: numbers, and which modules and tensors."""
        own = getattr(owner, "__dict__", None)
        if (
            type(own) is dict
            and isinstance(fn, types.FunctionType)
            and id(own) not in {id(vars(m)) for m in self.modules}
        ):
            for name in sorted(_global_names(fn.__code__) & own.keys()):
                value = own[name]
                if not isinstance(value, (list, dict, set)):
                    self.places.append(Place(own, name, value, f"{type(owner).__name__}.{name}"))

    def _module(self, root: Any) -> None:
        for path, m in root.named_modules():
            if id(m) in self._seen and m is not root:
                continue
            self._seen.add(id(m))
            self.modules.append(m)
            own = vars(m)
            label = f"{type(root).__name__}{'.' + path if path else ''}"
            for key, value in own.items():
                if isinstance(value, _SIMPLE):
                    self.places.append(Place(own, key, value, f"{label}.{key}"))
            for store in ("_parameters", "_buffers", "_modules"):
                for key, value in own[store].items():
                    self.places.append(Place(own[store], key, value, f"{label}.{key}"))

    # -- what hangs on it ---------------------------------------------------------------------------------------------
    def parameters(self) -> Iterator[Any]:
        """Leaves whose .grad a captured function may read or set."""
        seen: set[int] = set()
        for m in self.modules:
            for p in m._parameters.values():
                if p is not None and id(p) not in seen:
                    seen.add(id(p))
                    yield p
        for o in self.optimizers:
            for group in o.param_groups:
                for p in group["params"]:
                    if id(p) not in seen:
                        seen.add(id(p))
                        yield p

    def optimizer_places(self) -> list[Place]:
        """Guards of optimizers: options that are no numbers, and which tensors their state holds."""
        found = []
        for o in self.optimizers:
            label = type(o).__name__
            for group in o.param_groups:
                for key, value in group.items():
                    if isinstance(value, (bool, str, type(None))):
                        found.append(Place(group, key, value, f"{label}.{key}"))
                for p in group["params"]:
                    state = o.state.get(p)
                    if state is not None:
                        for key, value in state.items():
                            if not isinstance(value, _SIMPLE):
                                found.append(Place(state, key, value, f"{label} state {key}"))
        return found

    def unready(self) -> list[Any]:
        """Optimizers that have not made any state yet."""
        return [o for o in self.optimizers if not o.state]

    def holders(self) -> Iterator[dict]:
        """Dicts in which a captured function may leave new tensors."""
        for m in self.modules:
            yield vars(m)
            yield m._buffers
        for o in self.optimizers:
            for state in list(o.state.values()):
                if type(state) is dict:
                    yield state


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for c in code.co_consts:
        if isinstance(c, types.CodeType):
            names |= _global_names(c)
    return names
