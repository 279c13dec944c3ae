"""Ctrl-C stops eager loops, compiled loops, compilation and the demo cleanly; nothing on disk is lost.

Every child gets its signals at seeded moments, after it has said that it is ready; what it computes afterwards is checked bit for bit.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import taeda

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "shakespeare"
GUARD = 120  # seconds until a hang counts as one
pytestmark = pytest.mark.timeout(GUARD)

# A child of a shell's background job ignores SIGINT until told otherwise.
SETUP = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import taeda
from taeda import nn
from tests.robustness.training import make, stepper
taeda.set_num_threads(2)
def losses(wrap):
    _, step, x, y = make()
    run = wrap(step)
    return [run(x, y).item().hex() for _ in range(4)]
model, step, x, y = make()
"""
LOOPS = {
    "eager": "run = step; run(x, y)",
    "compiled": "run = taeda.compile(step)\nfor _ in range(3): run(x, y)",
    # every round compiles a program that no cache holds
    "compiling": "run = lambda x, y, n=iter(range(10**9)): taeda.compile(lambda a, k=next(n) + 0.5: (a * k).exp() + k)(x)",
    # the first compilation of a training step, again and again with another width
    "first": """
def run(x, y, n=iter(range(10**9))):
    inner = nn.Linear(64, 65 + next(n))
    step = stepper(lambda x: inner(x).softmax(1).log(), taeda.optim.Adam(inner.parameters()))
    taeda.compile(step)(x, y)
""",
}
# The signal comes only after "running", so it always lands inside the try.
TAIL = """
for line in range(int(sys.argv[2])):
    try:
        print("running", flush=True)
        while True:
            run(x, y)
    except KeyboardInterrupt:
        pass
taeda.save(model.state_dict(), sys.argv[1])
"""
CHECK = """
print(*losses(lambda f: f))
print(*losses(taeda.compile))
"""


@contextmanager
def child(code: str, *arguments: str, cache: Path, **variables: str):
    environment = {**os.environ, "TAEDA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, **variables},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What a process that nobody interrupts prints for CHECK."""
    with child(SETUP + CHECK, cache=tmp_path_factory.mktemp("undisturbed")) as process:
        out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, err) == (0, "")
    return out


@pytest.mark.parametrize("loop", LOOPS)
def test_loops_stop_and_go_on(loop, expected, tmp_path):
    cache, checkpoint, moments, rounds = tmp_path / "cache", tmp_path / "model.safetensors", random.Random(loop), 12
    with child(SETUP + LOOPS[loop] + TAIL + CHECK, str(checkpoint), str(rounds), cache=cache) as process:
        for _ in range(rounds):
            line = process.stdout.readline()
            assert line == "running\n", process.stderr.read()
            time.sleep(moments.choice((0, 0.002, 0.1)) * moments.random())
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, out, err) == (0, expected, "")
    assert sorted(taeda.load(checkpoint)) == sorted(
        f"{layer}.{name}" for layer in (0, 2, 3) for name in ("weight", "bias")
    )

    # what the interrupted process left in its cache serves the next one
    assert not [file for file in cache.rglob("*") if file.is_file() and file.suffix in (".tmp", ".partial")]
    with child(SETUP + CHECK, cache=cache) as process:
        out, err = process.communicate(timeout=GUARD)
    assert (process.returncode, out, err) == (0, expected, "")


@pytest.mark.parametrize("loop", LOOPS)
def test_uncaught_interrupt_ends_the_process(loop, tmp_path):
    code = SETUP + LOOPS[loop] + "\nprint('running', flush=True)\nwhile True: run(x, y)"
    with child(code, cache=tmp_path) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=GUARD)
    assert process.returncode == -signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt"), err


def test_demo_keeps_what_was_learnt(tmp_path):
    for package in ("rich", "tensorboardX", "matplotlib"):
        pytest.importorskip(package)
    code = f"""
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {str(DEMO)!r})
import demo
demo.OUT = pathlib.Path({str(tmp_path)!r}) / "out"
demo.ALPHABET = demo.OUT / "export" / "alphabet.txt"
real = demo.Run.step
def step(self, *batch):
    if self.steps == 3: print("training", flush=True)
    return real(self, *batch)
demo.Run.step = step
demo.export = lambda run, console: sys.exit()  # tests/export covers what follows; it takes the compilers long
demo.main()
"""
    with child(code, cache=tmp_path / "cache", DEMO_SECONDS="60") as process:
        before = []
        for line in process.stdout:
            before.append(line)
            if line.startswith("training"):
                break
        process.send_signal(signal.SIGINT)
        after, err = process.communicate(timeout=GUARD)
    assert process.returncode == 0, "".join(before) + after + err
    assert "stopped by Ctrl-C" in after and "held-out loss" in after
    state = taeda.load(tmp_path / "out" / "char_gpt.safetensors")
    assert all(bool(value.isfinite().all()) for value in state.values()) and "token.weight" in state

    # the checkpoint fits the model of a later run
    code = f"""
import sys
sys.path.insert(0, {str(DEMO)!r})
import taeda
from model import Characters, CharGPT
state = taeda.load({str(tmp_path / "out" / "char_gpt.safetensors")!r})
print(CharGPT(len(Characters().alphabet), {64}).load_state_dict(state))
"""
    with child(code, cache=tmp_path / "cache") as process:
        out, err = process.communicate(timeout=GUARD)
    assert process.returncode == 0 and "All keys matched" in out, out + err
