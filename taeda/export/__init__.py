"""Ahead-of-time: a module as a shared library with a C header and a C++ wrapper. The library holds no Python."""

from .build import Exported, ExportError, build

__all__ = ["ExportError", "Exported", "build"]
