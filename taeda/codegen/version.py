"""What generated code depends on besides its spec and target.

Kept apart so that a cache hit need not import the compiler.
"""

from __future__ import annotations

import functools
import hashlib
import pathlib


@functools.cache
def source_version() -> str:
    """Changes whenever this package's sources or llvmlite change: part of every cache key."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    from importlib import metadata

    try:
        digest.update(metadata.version("llvmlite").encode())
    except metadata.PackageNotFoundError:
        digest.update(b"no llvmlite")
    return digest.hexdigest()
