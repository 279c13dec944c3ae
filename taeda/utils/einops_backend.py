"""What einops needs to know about tensors. Loaded once both packages are imported, in either order."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .. import _core

#: einops finds subclasses by weak references.
_KEPT: list[type] = []


def register(backends: ModuleType) -> None:
    """Defines the backend; einops finds it among the subclasses of its base class."""

    base: Any = backends.AbstractBackend

    class TaedaBackend(base):
        """Operations on tensors in einops' words."""

        framework_name = "taeda"

        def __init__(self) -> None:
            import taeda

            self.taeda = taeda

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, _core.Tensor)

        def from_numpy(self, x: Any) -> Any:
            return self.taeda.from_numpy(x)

        def to_numpy(self, x: Any) -> Any:
            return x.detach().numpy()

        def arange(self, start: int, stop: int) -> Any:
            return self.taeda.arange(start, stop)

        def shape(self, x: Any) -> Any:
            # einops keeps what it derives from a shape under the shape; sizes that are names belong to one capture
            # only. A list is no key.
            return [*x.shape] if _core.is_tracing() else x.shape

        def reduce(self, x: Any, operation: str, axes: Any) -> Any:
            axes = tuple(axes)
            if operation in ("min", "max", "sum", "mean"):
                name = {"min": "amin", "max": "amax"}.get(operation, operation)
                return getattr(x, name)(dim=axes)
            for axis in sorted(axes, reverse=True):  # prod, any, all take one dimension
                x = getattr(x, operation)(dim=axis)
            return x

        def transpose(self, x: Any, axes: Any) -> Any:
            return x.permute(axes)

        def stack_on_zeroth_dimension(self, tensors: list) -> Any:
            return self.taeda.stack(tensors)

        def add_axis(self, x: Any, new_position: int) -> Any:
            return x.unsqueeze(new_position)

        def add_axes(self, x: Any, n_axes: int, pos2len: dict[int, int]) -> Any:
            sizes: list[int] = [-1] * n_axes
            for position, length in pos2len.items():
                x, sizes[position] = x.unsqueeze(position), length
            return x.expand(sizes)

        def tile(self, x: Any, repeats: Any) -> Any:
            return x.tile(repeats)

        def concat(self, tensors: list, axis: int) -> Any:
            return self.taeda.cat(tensors, dim=axis)

        def is_float_type(self, x: Any) -> bool:
            return x.is_floating_point() or x.is_complex()

        def layers(self) -> ModuleType:
            from importlib import import_module

            return import_module("taeda.nn.einops")

        def einsum(self, pattern: str, *x: Any) -> Any:
            return self.taeda.einsum(pattern, *x)

    _KEPT.append(TaedaBackend)
