"""Facts about the machines that code is generated for: one small record a target."""

from __future__ import annotations

import os
from dataclasses import dataclass

from .spec import CodegenError


@dataclass(frozen=True)
class Target:
    name: str
    triple: str
    cpu: str
    features: str
    #: Bits of one vector register.
    vector_bits: int
    #: Element sizes (bytes) that masked loads and stores exist for; others go through a buffer.
    masked_sizes: tuple[int, ...]
    #: Elements a map loop handles a step: enough registers for latency, few enough not to spill.
    map_width: int
    has_fma: bool = True

    @property
    def attributes(self) -> str:
        """Attributes of every generated function."""
        return f'nounwind "prefer-vector-width"="{self.vector_bits}"'


TARGETS = {
    t.name: t
    for t in (
        Target("x86-64-v4", "x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit", 512, (1, 2, 4, 8), 32),
        Target("x86-64-v3", "x86_64-unknown-linux-gnu", "x86-64-v3", "", 256, (4, 8), 16),
        Target("aarch64", "aarch64-unknown-linux-gnu", "generic", "+neon,+fp-armv8", 128, (), 16),
    )
}
#: x86-64 levels, best first; each includes the ones after it.
LEVELS = ("x86-64-v4", "x86-64-v3")

_LEVEL_FEATURES = {
    "x86-64-v4": ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
    "x86-64-v3": ("avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe"),
}


def named(name: str) -> Target:
    """The record of target `name`."""
    try:
        return TARGETS[name]
    except KeyError:
        raise CodegenError(f"target: unknown target {name!r}, known are {', '.join(TARGETS)}") from None


def host() -> Target:
    """The best target this machine runs. TAEDA_TARGET overrides it (to test a lower level)."""
    override = os.environ.get("TAEDA_TARGET")
    if override:
        return named(override)
    import llvmlite.binding as llvm

    machine = llvm.get_process_triple().split("-")[0]
    if machine in ("aarch64", "arm64"):
        return TARGETS["aarch64"]
    features = llvm.get_host_cpu_features()
    found = None
    for level in reversed(LEVELS):
        if not all(features.get(f) for f in _LEVEL_FEATURES[level]):
            break
        found = TARGETS[level]
    if found is None:
        raise CodegenError(
            f"target: no code can be generated for this machine ({machine}); it takes AVX2 and FMA, or aarch64"
        )
    return found
