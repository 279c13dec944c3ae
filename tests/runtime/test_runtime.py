"""Compiles the C runtime and its C tests with the system compiler, with and without sanitizers, and runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
BASE = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/runtime/include"]
NAMES = [
    line.split('"')[1] for line in (HERE / "main.c").read_text().splitlines() if line.startswith('    {"')
]  # fmt: skip

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


def sources() -> list[str]:
    return sorted(str(p) for p in (ROOT / "runtime/src").glob("*.c"))


def compile_program(out: Path, *flags: str) -> Path:
    command = [
        COMPILER,
        *BASE,
        *flags,
        *sources(),
        *sorted(map(str, HERE.glob("*.c"))),
        "-o",
        str(out),
        "-lm",
        "-pthread",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def run(program: Path, name: str) -> None:
    env = {
        **os.environ,
        "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=0",
        "UBSAN_OPTIONS": "halt_on_error=1",
    }
    env.pop("LD_PRELOAD", None)
    done = subprocess.run([program, name], capture_output=True, text=True, timeout=240, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("runtime") / "tests", "-O1", "-g", "-fsanitize=address,undefined",
                           "-fno-sanitize-recover=all")  # fmt: skip


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_program(tmp_path_factory.mktemp("runtime") / "tests", "-O3")


# Not fork: GCC 12's AddressSanitizer holds its allocator's lock over a fork when another thread is in malloc (a worker that just
# starts is), and the child then waits for it in its first own thread. The runtime's locks are taken before a fork.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "fork"])
def test_sanitized(sanitized: Path, name: str) -> None:
    run(sanitized, name)


@pytest.mark.parametrize("name", NAMES)
def test_plain(plain: Path, name: str) -> None:
    run(plain, name)


def test_threads_without_races(tmp_path: Path) -> None:
    """The parts that share memory between threads, under ThreadSanitizer."""
    program = compile_program(tmp_path / "tests", "-O1", "-g", "-fsanitize=thread")
    for name in ("parallel_for", "parallel_callers", "memory_threads", "scatter_parts"):
        run(program, name)


@pytest.mark.parametrize("flags", [(), ("-DTD_NO_THREADS",)], ids=["threads", "no-threads"])
def test_every_file_compiles_alone(tmp_path: Path, flags: tuple[str, ...]) -> None:
    for source in sources():
        command = [COMPILER, *BASE, "-O3", *flags, "-c", source, "-o", str(tmp_path / "out.o")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
