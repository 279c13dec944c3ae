"""Capturing and compiling Python: `compile`, `function`, `explain`, `trace`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import taeda

from ..capture import CaptureError
from ..execute.compiled import CompiledFunction
from .traced import Traced, load, save, trace

__all__ = [
    "CaptureError",
    "CompiledFunction",
    "Report",
    "Traced",
    "compile",
    "explain",
    "function",
    "load",
    "save",
    "trace",
]


class CompiledModule:
    """A module whose calls run compiled. Every other attribute is the module's own."""

    def __init__(self, module: Any):
        object.__setattr__(self, "_original", module)
        object.__setattr__(self, "_compiled", CompiledFunction(module, type(module).__name__))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._compiled(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._original, name, value)

    def __repr__(self) -> str:
        return f"Compiled({self._original!r})"


def compile(target: Callable | None = None, *, name: str | None = None) -> Any:
    """Compiles a function, a module, or a whole training step with `backward()` and `optimizer.step()`.

    Returns a callable with the same results, gradients and in-place changes, bit for bit. It captures on the first call
    for each kind of arguments (dtypes, ranks, layouts, Python values and the state it reaches); sizes stay free.
    Also a decorator: `@taeda.compile` or `@taeda.compile(name="step")`.
    """
    if target is None:
        return lambda fn: compile(fn, name=name)
    if isinstance(target, taeda.nn.Module):
        return CompiledModule(target)
    if not callable(target):
        raise TypeError(f"compile(): expected a function or a module, got {type(target).__name__}")
    return target if isinstance(target, CompiledFunction) else CompiledFunction(target, name)


function = compile


class Report(str):
    """What `explain` returns: text that shows itself as it is."""

    def __repr__(self) -> str:
        return str(self)


def explain(compiled: Any, *args: Any, **kwargs: Any) -> Report:
    """Says what was captured, guarded, fused and planned for these arguments, and how long it took."""
    if isinstance(compiled, CompiledModule):
        compiled = compiled._compiled
    if not isinstance(compiled, CompiledFunction):
        compiled = compile(compiled)
        return explain(compiled, *args, **kwargs)
    return Report(compiled.explain(*args, **kwargs))
