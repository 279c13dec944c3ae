"""Checks an installed wheel from outside of the repository: python check_wheel.py EXAMPLES_FOLDER

The first eager training steps of a perceptron and of the character GPT must find every kernel in the wheel, without the
code generator, and come to the same bits with each of its libraries; compile() must come to them too, and an export must
work in a C program.
"""

from __future__ import annotations

import hashlib
import os
import shutil
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

PROGRAM = r"""
#include "mlp.h"
#include <stdio.h>
static float x[64 * 784], expected[64 * 10];
int main(void) {
  FILE *file = fopen("data.bin", "rb");
  if (!file || fread(x, 1, sizeof x, file) != sizeof x || fread(expected, 1, sizeof expected, file) != sizeof expected) return 1;
  mlp_model *model = mlp_create(NULL);
  td_tensor in = {.data = (char *)x, .dtype = TD_F32, .ndim = 2, .sizes = {64, 784}, .strides = {784 * 4, 4}}, out = {0};
  if (!model || mlp_run(model, &in, &out)) return puts(mlp_error()), 2;
  for (int k = 0; k < 640; ++k)
    if (((float *)out.data)[k] != expected[k]) return 3;
  mlp_free(&out);
  mlp_destroy(model);
  return 0;
}
"""


def milliseconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return 1e3 * (time.perf_counter() - start)


def import_times() -> tuple[float, float]:
    """What `import taeda` adds to an interpreter's start (median of 20), and what -X importtime says."""
    added = statistics.median(milliseconds("import taeda") - milliseconds("pass") for _ in range(20))
    command = [sys.executable, "-X", "importtime", "-c", "import taeda"]
    log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return added, int(log.strip().splitlines()[-1].split("|")[1]) / 1e3


def train(model: nn.Module, loss_of, batch: tuple, compiled: bool = False) -> str:
    """The bits of the parameters and of the loss after three steps."""
    optimizer = taeda.optim.AdamW(model.parameters(), lr=1e-3)

    def step(*batch):
        optimizer.zero_grad()
        loss = loss_of(model, *batch)
        loss.backward()
        optimizer.step()
        return loss

    run = taeda.compile(step) if compiled else step
    for _ in range(3):
        loss = run(*batch)
    digest = hashlib.sha256()
    for t in (loss, *model.parameters()):
        digest.update(t.detach().numpy().tobytes())
    return digest.hexdigest()


def perceptron() -> nn.Module:
    taeda.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def digits() -> tuple:
    taeda.manual_seed(1)
    return taeda.randn(64, 784), taeda.randint(0, 10, (64,))


def classify(m, x, y):
    return nn.functional.cross_entropy(m(x), y)


def eager() -> list[str]:
    """Trains eagerly; every kernel must come from the wheel."""
    from model import CharGPT

    taeda.manual_seed(0)
    ids, gpt = taeda.randint(0, 65, (4, 65)), CharGPT(65, 64)
    bits = [
        train(perceptron(), classify, digits()),
        train(gpt, lambda m, x, y: m.loss(x, y), (ids[:, :-1], ids[:, 1:])),
    ]
    made = sorted(p.name for p in Path(CACHE.name).rglob("*.tdo"))
    assert "llvmlite" not in sys.modules and not made, f"kernels were missing from the wheel: {made}"
    return bits


def check_export() -> None:
    model, (x, _), folder = perceptron().eval(), digits(), Path(CACHE.name) / "export"
    taeda.export.build(model, (x[:2],), folder, name="mlp")
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "no C compiler"
    (folder / "main.c").write_text(PROGRAM)
    (folder / "data.bin").write_bytes(x.numpy().tobytes() + model(x).detach().numpy().tobytes())
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wl,-rpath,$ORIGIN"]
    subprocess.run([compiler, *flags, "main.c", "-o", "main", "-L.", "-lmlp"], cwd=folder, check=True)
    subprocess.run(["./main"], cwd=folder, check=True)


def main() -> None:
    package = Path(taeda.__file__).parent
    assert "site-packages" in str(package), f"{package} is no installed wheel"
    assert (package / "py.typed").exists() and (package / "__init__.pyi").exists(), "no type stubs"
    bits = eager()
    if "--bits" in sys.argv:
        print(*bits)
        return
    best = taeda._core.cpu_level()
    if best.startswith("x86-64"):
        for level in ("x86-64-v3", "x86-64-v4"):
            assert (package / f"_kernels_{level[-2:]}.so").exists(), f"no prebuilt kernels for {level}"
            if level <= best:
                command = [sys.executable, __file__, sys.argv[1], "--bits"]
                environment = {**os.environ, "TAEDA_TARGET": level}
                found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
                assert found.split() == bits, f"{level} and {best} differ in their bits"
    assert train(perceptron(), classify, digits(), compiled=True) == bits[0], "compiled and eager steps differ"
    check_export()
    added, total = import_times()
    print(f"wheel works; import {added:.0f} ms (of which {total:.0f} ms in modules, by -X importtime)")


if __name__ == "__main__":
    main()
