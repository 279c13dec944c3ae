"""Kernels on demand: what the core calls when neither an operator's table nor the prebuilt library has a kernel."""

from __future__ import annotations

import functools
import os

from ..codegen.target import TARGETS, named
from .cache import ObjectCache, default_directory
from .lock import ForkLock

#: Kernels compiled or loaded by this process, by key. Loaded code is never unloaded, so addresses stay valid.
_addresses: dict[str, int] = {}
_lock = ForkLock()


@functools.cache
def _cache() -> ObjectCache:
    return ObjectCache(default_directory())


@functools.cache
def target_name() -> str:
    """The target of this process: $TAEDA_TARGET, else the best level of the machine."""
    name = os.environ.get("TAEDA_TARGET")
    if not name:  # set but empty: as if it were not set, as the core takes it
        from .. import _core

        name = _core.cpu_level()
    if name not in TARGETS:
        raise RuntimeError(
            f"taeda: no code can be generated for this machine ({name}); it takes x86-64 with AVX2 and FMA, or aarch64"
        )
    return name


def resolve(key: str) -> int:
    """Address of the td_kernel (or td_gemm_kernels) of `key`; it lives as long as the process."""
    with _lock.held():
        address = _addresses.get(key)
        if address is None:
            address = _addresses[key] = _gemm(key) if key.startswith("gemm/") else _kernel(key)
        return address


def _kernel(key: str) -> int:
    from ..codegen.keys import kernel_spec
    from ..codegen.spec import canonical_text

    spec = kernel_spec(key)

    def build() -> bytes:
        from ..codegen.compile import compile_kernels

        return compile_kernels({"k": spec}, named(target_name()))[0]

    return load_cached(canonical_text(spec), build)["k_kernel"]


def _gemm(key: str) -> int:
    code = key.partition("/")[2]

    def build() -> bytes:
        from ..codegen.gemm import gemm_kernels

        return gemm_kernels(code, named(target_name()))[0]

    return load_cached(key, build)[f"gemm_{code}"]


def load_cached(text: str, build) -> dict[str, int]:
    """Symbols of the object for `text`: from the cache, or made by `build()` and kept.

    What `text` says, with the target and the version of the generator, must determine the object.
    """
    from .. import _core
    from ..codegen.version import source_version

    full = "\n".join((target_name(), source_version(), text))
    found = _cache().get(full)
    if found is not None:
        try:
            return _core.load_object(found[1])
        except RuntimeError:
            pass  # an intact file that cannot be loaded here: built again below
    data = build()
    symbols = _core.load_object(data)
    _cache().put(full, data)
    return symbols
