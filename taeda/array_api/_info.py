"""What the namespace says about itself."""

from __future__ import annotations

from typing import Any

import taeda as td
from taeda import _core

from ._dtypes import default_dtypes, dtypes_of_kind


class NamespaceInfo:
    """Inspection of the namespace: capabilities, devices and dtypes."""

    def capabilities(self) -> dict[str, Any]:
        """What optional behaviour there is."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": _core.max_dims}

    def default_device(self) -> td.device:
        """The device of new tensors."""
        return td.device("cpu")

    def devices(self) -> list[td.device]:
        """All devices."""
        return [td.device("cpu")]

    def default_dtypes(self, *, device: Any = None) -> dict[str, td.dtype]:
        """The dtypes that functions give where none is asked for: "real floating", "complex floating", "integral" and
        "indexing"."""
        return default_dtypes()

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, td.dtype]:
        """Name -> dtype of one kind ("numeric", ...), of several, or of all."""
        return dtypes_of_kind(kind)


def __array_namespace_info__() -> NamespaceInfo:
    """Inspection of the namespace."""
    return NamespaceInfo()


__all__ = [
    "__array_namespace_info__",
]
