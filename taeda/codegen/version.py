"""What generated code depends on besides its spec and target.

Kept apart so that a cache hit need not import the compiler.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import pathlib


@functools.cache
def source_version() -> str:
    """Changes whenever this package's sources or llvmlite change: part of every cache key."""
    digest = hashlib.sha256()
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    found = importlib.util.find_spec("llvmlite")  # importlib.metadata would cost 30 ms
    if found is not None and found.origin:
        version = pathlib.Path(found.origin).with_name("_version.py")
        digest.update(version.read_bytes() if version.exists() else found.origin.encode())
    return digest.hexdigest()
