"""Where operators find each other: `F.exp(x)` is the bound operator.

`taeda._bind` fills the namespace once the core is loaded; nothing may be read from it while the table is being built.
Besides operators it carries the dtypes (`F.float32`) and the few functions of the core that composites need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The annotation of a parameter of a composite that must be a tensor, where its name does not say so already.
Tensor: Any = object


class Namespace:
    """Plain attributes; a miss names the operator instead of Python's generic message."""

    def __getattr__(self, name: str):
        raise AttributeError(f"taeda has no operator or dtype named {name!r}")

    if TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None: ...


F = Namespace()
