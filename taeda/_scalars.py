"""Functions of plain numbers and of the symbolic sizes of a capture, and names of types."""

from __future__ import annotations

import math
from typing import Any

from ._core import Tensor


def _is_float(x: Any) -> bool:
    return isinstance(x, float) or type(x).__name__ == "SymNumber"


def _extreme(op: str, a: Any, b: Any) -> Any:
    for x, y in ((a, b), (b, a)):
        special = getattr(x, f"__{op}__", None)
        if special is not None and not _is_float(y):
            return special(y)
    found = (max if op == "sym_max" else min)(a, b)
    return float(found) if _is_float(a) or _is_float(b) else found


def sym_max(a: Any, b: Any) -> Any:
    """The larger of two numbers, symbolic where one is; a float where one is."""
    return _extreme("sym_max", a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller of two numbers, symbolic where one is; a float where one is."""
    return _extreme("sym_min", a, b)


def sym_int(a: Any) -> Any:
    """a as an integer, rounded towards zero."""
    return a if type(a).__name__ == "SymInt" else math.trunc(a)


def sym_float(a: Any) -> Any:
    """a as a float."""
    return a / 1 if type(a).__name__ in ("SymInt", "SymNumber") else float(a)


def sym_not(a: Any) -> Any:
    """The negation of a truth value."""
    return ~a if type(a).__name__ == "SymBool" else not a


def sym_ite(b: Any, t: Any, f: Any) -> Any:
    """t where b holds, else f; both of one type."""
    if type(t) is not type(f):
        raise AssertionError(
            f"sym_ite(): both values must be of one type, got {type(t).__name__} and {type(f).__name__}"
        )
    return t if b else f


def sym_sum(args: Any) -> Any:
    """The sum of several numbers."""
    total: Any = 0
    for a in args:
        total = total + a
    return total


def sym_sqrt(a: Any) -> Any:
    """The square root of a number."""
    return a**0.5 if type(a).__name__ in ("SymInt", "SymNumber") else math.sqrt(a)


def typename(obj: Any, /) -> str:
    """The name of an object's type (of a class or function: its own), with the module: "taeda.FloatTensor"."""
    if isinstance(obj, Tensor):
        return obj.type()
    named = obj if hasattr(obj, "__qualname__") and hasattr(obj, "__module__") else type(obj)
    module = getattr(named, "__module__", "") or ""
    return named.__qualname__ if module in ("", "builtins") else f"{module}.{named.__qualname__}"
