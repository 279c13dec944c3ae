"""What tests/export/test_four_ways.py leaves out of "the same bits": dropout inside models, cross-attention, accumulated gradients,
clipping and schedules, many threads, and models built again in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import taeda
import taeda.nn.functional as F
from taeda import nn

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def threads_as_before():
    before = taeda.get_num_threads()
    yield
    taeda.set_num_threads(before)


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 8, 3, stride=2)
        self.head = nn.Linear(8 * 6 * 6, 10)

    def forward(self, x):
        x = F.dropout(F.max_pool2d(F.relu(self.first(x)), 2), 0.2, self.training)
        x = F.relu(self.second(x)).flatten(1)
        return self.head(F.dropout(x, 0.4, self.training))


class Translator(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 16)
        self.transformer = nn.Transformer(16, 4, 1, 2, 32, dropout=0.25, batch_first=True)
        self.head = nn.Linear(16, 30)

    def forward(self, ids):
        source, target = self.embedding(ids), self.embedding(ids[:, 1:])
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        return self.head(self.transformer(source, target, tgt_mask=mask)).flatten(0, 1)


MODELS = {
    "convolutions": (Convolutions, lambda n: taeda.randn(n, 1, 28, 28)),
    "translator": (Translator, lambda n: taeda.randint(0, 30, (n, 9))),
}


def train(name: str, compiled: bool, accumulate: int = 1) -> list[taeda.Tensor]:
    """Losses, gradients, parameters and optimizer state of some steps; also what the generator gives afterwards."""
    make, inputs = MODELS[name]
    taeda.manual_seed(3)
    model = make()
    optimizer = taeda.optim.AdamW(model.parameters(), lr=0.01)
    schedule = taeda.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    batches = [inputs(n) for n in (5, 5, 4, 5)]

    def pass_(x):
        y = model(x)
        loss = F.cross_entropy(y, taeda.arange(y.shape[0]) % y.shape[1])
        loss.backward()
        return loss

    def finish():
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        return norm

    if compiled:
        pass_, finish = taeda.compile(pass_), taeda.compile(finish)
    found = []
    for x in batches:
        found += [pass_(x).detach() for _ in range(accumulate)]
        found += [p.grad.clone() for p in model.parameters()]
        found.append(finish())
        schedule.step()
    found += [p.detach() for p in model.parameters()]
    for state in optimizer.state_dict()["state"].values():
        found += [v if isinstance(v, taeda.Tensor) else taeda.tensor(v) for v in state.values()]
    return [*found, taeda.rand(3)]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_training(name, accumulate):
    results = []
    for threads in (1, 2, 5):
        taeda.set_num_threads(threads)
        results += [train(name, compiled, accumulate) for compiled in (False, True)]
    for other in results[1:]:
        assert len(other) == len(results[0])
        assert all(taeda.equal(a, b) for a, b in zip(results[0], other))


def test_inference_mode_and_layouts():
    """Grad modes and the memory order of inputs change no bit."""
    taeda.manual_seed(4)
    model = Convolutions().eval()
    x = taeda.randn(28, 28, 1, 3).permute(3, 2, 0, 1)
    expected = model(x.contiguous())
    compiled = taeda.compile(model)
    for run in (model, compiled):
        for mode in (taeda.no_grad, taeda.enable_grad, taeda.inference_mode):
            with mode():
                assert taeda.equal(run(x), expected) and taeda.equal(run(x.contiguous()), expected)


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import taeda
taeda.set_num_threads(int(sys.argv[2]))
from test_same_bits import train
for t in train("translator", sys.argv[3] == "compiled"):
    print([float(v).hex() for v in t.flatten().tolist()])
"""


def test_another_process():
    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = run("1", "eager")
    assert first.count("\n") > 50
    assert run("2", "compiled") == first
