"""Checks an installed wheel from outside of the repository: python check_wheel.py EXAMPLES_FOLDER

The first eager training steps of a perceptron and of the character GPT must find every kernel in the wheel, without the
code generator; then compile() and export work too.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CACHE = tempfile.TemporaryDirectory()
os.environ["TAEDA_CACHE_DIR"] = CACHE.name
sys.path.insert(0, sys.argv[1])

import taeda  # noqa: E402
from taeda import nn  # noqa: E402


def import_milliseconds() -> float:
    """Median time that `import taeda` adds to an interpreter's start."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    pairs = [(seconds("import taeda"), seconds("pass")) for _ in range(15)]
    return 1e3 * statistics.median(a - b for a, b in pairs)


def train(model: nn.Module, loss_of, batch: tuple, compiled: bool) -> float:
    optimizer = taeda.optim.AdamW(model.parameters(), lr=1e-3)

    def step(*batch):
        optimizer.zero_grad()
        loss = loss_of(model, *batch)
        loss.backward()
        optimizer.step()
        return loss

    run = taeda.compile(step) if compiled else step
    return [float(run(*batch)) for _ in range(3)][-1]


def main() -> None:
    from model import CharGPT

    package = Path(taeda.__file__).parent
    assert (package / "_kernels_v3.so").exists() and (package / "_kernels_v4.so").exists(), "no prebuilt kernels"
    assert (package / "py.typed").exists() and (package / "__init__.pyi").exists(), "no type stubs"

    def perceptron() -> nn.Module:
        taeda.manual_seed(0)
        return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

    def classify(m, x, y):
        return nn.functional.cross_entropy(m(x), y)

    digits = taeda.randn(64, 784), taeda.randint(0, 10, (64,))
    ids = taeda.randint(0, 65, (4, 65))
    eager = train(perceptron(), classify, digits, False)
    taeda.manual_seed(0)
    gpt = CharGPT(65, 64)
    train(gpt, lambda m, x, y: m.loss(x, y), (ids[:, :-1], ids[:, 1:]), False)
    made = sorted(p.name for p in Path(CACHE.name).rglob("*.tdo"))
    assert "llvmlite" not in sys.modules and not made, f"kernels were missing from the wheel: {made}"

    assert train(perceptron(), classify, digits, True) == eager, "compiled and eager steps differ"

    model = perceptron().eval()
    built = taeda.export.build(model, (digits[0],), Path(CACHE.name) / "export", name="mlp")
    ctypes.CDLL(str(built.library))
    print(f"wheel works; import {import_milliseconds():.0f} ms")


if __name__ == "__main__":
    main()
