"""Ctrl-C stops eager loops, compiled loops, compilation and the demo cleanly; nothing on disk is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import taeda

ROOT = Path(__file__).resolve().parents[2]
GUARD = 120  # seconds until a hang counts as one

SETUP = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import taeda
from taeda import nn
taeda.set_num_threads(2)
taeda.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 8))
optimizer = taeda.optim.AdamW(model.parameters())
x, y = taeda.randn(512, 64), taeda.randint(0, 8, (512,))
def step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
"""
LOOPS = {
    "eager": "run = step",
    "compiled": "run = taeda.compile(step)\nfor _ in range(3): run(x, y)",
    # every round compiles a program that no cache holds
    "compiling": "run = lambda x, y, n=iter(range(10**9)): taeda.compile(lambda a, k=next(n) + 0.5: (a * k).exp() + k)(x)",
}
TAIL = """
print("running", flush=True)
try:
    while True:
        run(x, y)
except KeyboardInterrupt:
    taeda.save(model.state_dict(), sys.argv[1])
    print("stopped", float(step(x, y)) > 0, flush=True)
"""


def child(code: str, *arguments: str, cache: Path) -> subprocess.Popen:
    environment = {**os.environ, "TAEDA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("loop", LOOPS)
def test_loops_stop(loop, tmp_path):
    cache, checkpoint = tmp_path / "cache", tmp_path / "model.safetensors"
    process = child(SETUP + LOOPS[loop] + TAIL, str(checkpoint), cache=cache)
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, out) == (0, "stopped True\n"), err
    assert sorted(taeda.load(checkpoint)) == ["0.bias", "0.weight", "2.bias", "2.weight"]

    # what the interrupted process left in its cache serves the next one
    process = child(SETUP + "print(float(step(x, y)) > 0)", cache=cache)
    out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, out, err) == (0, "True\n", "")


def test_uncaught_interrupt_ends_the_process():
    process = child(SETUP + "print('running', flush=True)\nwhile True: step(x, y)", cache=Path(os.devnull) / "none")
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=GUARD)
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in err


def test_demo_keeps_what_was_learnt(tmp_path):
    pytest.importorskip("rich")
    pytest.importorskip("tensorboardX")
    pytest.importorskip("matplotlib")
    example = tmp_path / "shakespeare"
    example.mkdir()
    for source in (ROOT / "examples" / "shakespeare").iterdir():
        if source.is_file():
            (example / source.name).symlink_to(source)
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"import sys; sys.path.insert(0, {str(example)!r})\n"
        "import os, demo, pathlib\n"
        f"demo.OUT = pathlib.Path({str(tmp_path)!r}) / 'out'\n"
        "demo.ALPHABET = demo.OUT / 'export' / 'alphabet.txt'\n"
        "real = demo.Run.step\n"
        "def step(self, *batch):\n"
        "    if self.steps == 3: print('training', flush=True)\n"
        "    return real(self, *batch)\n"
        "demo.Run.step = step\n"
        "demo.main()\n"
    )
    environment = {
        **os.environ, "DEMO_SECONDS": "600", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    before = []
    for line in process.stdout:
        before.append(line)
        if line.startswith("training"):
            break
    process.send_signal(signal.SIGINT)
    after, _ = process.communicate(timeout=GUARD)
    assert process.returncode == 0, "".join(before) + after
    assert "stopped by Ctrl-C" in after
    state = taeda.load(tmp_path / "out" / "char_gpt.safetensors")
    assert "token.weight" in state
