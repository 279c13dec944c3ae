"""The C compiler that links an export: the system's, or the one of the ziglang package."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class ExportError(RuntimeError):
    """Something that an export cannot be made of or with."""


_ZIG = {"x86-64-v3": "x86_64-linux-gnu", "x86-64-v4": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
_CROSS = {"aarch64": ("aarch64-linux-gnu-gcc",)}


def _architecture(target: str) -> str:
    return "aarch64" if target == "aarch64" else "x86_64"


@dataclass(frozen=True)
class Toolchain:
    """A command that compiles C and links."""

    command: tuple[str, ...]

    def run(self, *arguments: str, cwd: Path | None = None) -> None:
        full = [*self.command, *arguments]
        done = subprocess.run(full, capture_output=True, text=True, cwd=cwd)
        if done.returncode:
            raise ExportError(f"export: {shlex.join(full)} failed:\n{(done.stderr or done.stdout)[-4000:]}")

    def compile(self, source: Path, out: Path, include: Sequence[Path] = (), flags: Sequence[str] = ()) -> Path:
        self.run("-c", "-O2", "-fPIC", *flags, *(f"-I{d}" for d in include), str(source), "-o", str(out))
        return out

    def link_shared(self, objects: Sequence[Path], out: Path, exported: Sequence[str]) -> None:
        """A shared library of which only `exported` symbols are visible."""
        script = out.with_suffix(".exports")
        script.write_text("{ global: " + " ".join(f"{name};" for name in exported) + " local: *; };\n")
        try:
            self.run(
                "-shared",
                *map(str, objects),
                "-o",
                str(out),
                f"-Wl,--version-script={script}",
                "-Wl,-z,noexecstack",
                "-lpthread",
                "-lm",
            )
        finally:
            script.unlink(missing_ok=True)


def find(target: str) -> Toolchain:
    """A compiler for `target`: $CC, the system's, or ziglang. Raises ExportError if there is none."""
    native = _architecture(target) == {"arm64": "aarch64", "AMD64": "x86_64"}.get(
        platform.machine(), platform.machine()
    )
    names = [os.environ["CC"]] if native and os.environ.get("CC") else []
    names += ["cc", "gcc", "clang"] if native else list(_CROSS.get(target, ()))
    for name in names:
        parts = shlex.split(name)
        found = shutil.which(parts[0])
        if found:
            return Toolchain((found, *parts[1:]))
    if importlib.util.find_spec("ziglang") is not None:
        return Toolchain((sys.executable, "-m", "ziglang", "cc", "-target", _ZIG[target]))
    raise ExportError(
        f"export.build(): no C compiler for {target} was found to link the library with. Install gcc or clang, "
        f"set CC, or run "
        "`pip install ziglang` (it links for every target)."
    )


def runtime_folder() -> Path:
    """The runtime's C sources: inside the installed package, or in the repository."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_runtime", package.parent / "runtime"):
        if (folder / "include" / "taeda_rt.h").is_file() and (folder / "src").is_dir():
            return folder
    raise ExportError(
        "export.build(): the runtime's C sources are missing from this installation (expected in taeda/_runtime)"
    )
