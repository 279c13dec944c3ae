"""Whether operations are recorded: context managers that are decorators too."""

from __future__ import annotations

import functools

from .. import _core

TYPE_CHECKING = False  # without importing typing, which would triple this package's import time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_set = _core._set_grad_enabled


def _decorate(make: Callable[[], Any], function: Any) -> Any:
    """`function` run inside a fresh `make()`; a generator is suspended outside of it."""
    import inspect

    if inspect.isclass(function):
        raise TypeError(f"cannot decorate the class {function.__name__}; decorate its methods")
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args, **kwargs):
            steps = function(*args, **kwargs)
            advance, given = steps.send, None
            while True:
                try:
                    with make():
                        value = advance(given)
                except StopIteration as stop:
                    return stop.value
                try:
                    given = yield value
                    advance = steps.send
                except GeneratorExit:
                    with make():
                        steps.close()
                    raise
                except BaseException as error:
                    advance, given = steps.throw, error

        return generator

    @functools.wraps(function)
    def call(*args, **kwargs):
        with make():
            return function(*args, **kwargs)

    return call


class _GradMode:
    """A setting of the recording for a `with` block or a decorated function."""

    __slots__ = ("before",)
    _on = True

    def __new__(cls, function: Callable | None = None):
        self = object.__new__(cls)
        return self if function is None else _decorate(cls, function)

    def __enter__(self) -> None:
        self.before = _set(self._on)

    def __exit__(self, *error: object) -> None:
        _set(self.before)

    def __call__(self, function: Callable) -> Callable:
        return _decorate(type(self), function)


class no_grad(_GradMode):
    """Operations are not recorded: results need no gradient."""

    __slots__ = ()
    _on = False


class enable_grad(_GradMode):
    """Operations are recorded, also inside `no_grad`."""

    __slots__ = ()


class set_grad_enabled:
    """Sets the recording at once; as a context manager it restores what was set before."""

    __slots__ = ("before", "mode")

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self.before = _set(self.mode)

    def __enter__(self) -> None:
        _set(self.mode)

    def __exit__(self, *error: object) -> None:
        _set(self.before)

    def __call__(self, function: Callable) -> Callable:
        _set(self.before)  # a decorator sets it for the calls only
        return _decorate(functools.partial(set_grad_enabled, self.mode), function)


class inference_mode:
    """Like `no_grad`, and tensors made inside can never take part in a recorded operation."""

    __slots__ = ("before", "mode")
    mode: bool

    def __new__(cls, mode: bool | Callable = True):
        if not isinstance(mode, bool):
            return _decorate(cls, mode)
        self = object.__new__(cls)
        self.mode = mode
        return self

    def __enter__(self) -> None:
        self.before = _core._set_inference_mode(self.mode)
        if not self.mode:
            _set(True)

    def __exit__(self, *error: object) -> None:
        grad, inference = self.before
        _core._set_inference_mode(inference)
        _set(grad)

    def __call__(self, function: Callable) -> Callable:
        return _decorate(functools.partial(inference_mode, self.mode), function)


_multithreading = True


def is_multithreading_enabled() -> bool:
    """Whether a backward pass may use several threads (a setting: nodes run on the calling thread, their operators on
    the pool)."""
    return _multithreading


class set_multithreading_enabled:
    """Sets at once whether a backward pass may use several threads; as a context manager it restores the setting."""

    __slots__ = ("before", "mode")

    def __init__(self, mode: bool):
        global _multithreading
        self.mode, self.before = bool(mode), _multithreading
        _multithreading = self.mode

    def __enter__(self) -> None:
        global _multithreading
        _multithreading = self.mode

    def __exit__(self, *error: object) -> None:
        global _multithreading
        _multithreading = self.before

    def __call__(self, function: Callable) -> Callable:
        self.__exit__()
        return _decorate(functools.partial(set_multithreading_enabled, self.mode), function)
