"""Numbers that change from call to call without being tensors: learning rates, step counts.

While a step is captured for compilation, a plain Python float would be frozen into the program. `host_numbers(fn)` is the way out: in eager
code it just calls fn; in a capture fn is kept, its numbers become inputs of the program, and it runs again before every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Set by a running capture: takes fn, returns symbolic floats in the place of its results.
capturing: Callable[[Callable[[], tuple[float, ...]]], tuple[Any, ...]] | None = None


def host_numbers(fn: Callable[[], tuple[float, ...]]) -> tuple[Any, ...]:
    """The floats that fn() returns; fn may advance counters, and is called once per step."""
    return fn() if capturing is None else capturing(fn)
