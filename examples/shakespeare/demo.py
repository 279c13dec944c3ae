"""Trains a character GPT on all of Shakespeare's plays, compiles it, exports it and lets a C++ program write on.

DEMO_SECONDS (default 100) is the training time. Results land in examples/shakespeare/out/. Ctrl-C stops training and leaves a usable
checkpoint; a second run with DEMO_RESUME=1 goes on from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import taeda

sys.path.insert(0, str(Path(__file__).resolve().parent))
from model import Characters, CharGPT
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from tensorboardX import SummaryWriter

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
ALPHABET = OUT / "export" / "alphabet.txt"
PROMPT = "ROMEO."
BATCH, CONTEXT = 32, 64
PEAK_RATE, WARMUP = 2e-3, 60


def learning_rate(progress: float, steps: int) -> float:
    """A line from the peak down to a twentieth as `progress` goes from 0 to 1, reached over the first WARMUP steps."""
    return PEAK_RATE * min(1.0, (steps + 1) / WARMUP) * (1 - 0.95 * progress)


class Run:
    """Training by the clock: a phase of eager steps, then the same step compiled."""

    def __init__(self, seconds: float, console: Console) -> None:
        self.console, self.seconds = console, seconds
        taeda.manual_seed(1)
        self.text = Characters()
        self.model = CharGPT(len(self.text.alphabet), CONTEXT)
        self.optimizer = taeda.optim.AdamW(self.model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=0.1)
        self.curve: list[tuple[int, float]] = []
        self.held_out: list[tuple[int, float]] = []
        self.steps = 0
        self.spent = 0.0
        self.writer = SummaryWriter(str(OUT / "events"))

    def step(self, ids: taeda.Tensor, targets: taeda.Tensor) -> taeda.Tensor:
        self.optimizer.zero_grad()
        loss = self.model.loss(ids, targets)
        loss.backward()
        self.optimizer.step()
        return loss

    def evaluate(self) -> float:
        generator = taeda.Generator().manual_seed(7)
        with taeda.no_grad():
            losses = [float(self.model.loss(*self.text.batch("held out", BATCH, CONTEXT, generator))) for _ in range(8)]
        return sum(losses) / len(losses)

    def phase(
        self, name: str, step: Callable[..., taeda.Tensor], seconds: float, progress: Progress, task: Any
    ) -> float:
        """Steps for `seconds`; returns the median steps per second."""
        times: list[float] = []
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(min(self.spent / self.seconds, 1.0), self.steps)
            begin = time.perf_counter()
            batch = self.text.batch("train", BATCH, CONTEXT)
            stepped = time.perf_counter()
            loss = float(step(*batch))
            now = time.perf_counter()
            times.append(now - stepped)
            self.spent += now - begin
            self.steps += 1
            self.curve.append((self.steps, loss))
            self.writer.add_scalar("loss/train", loss, self.steps)
            if self.steps % 200 == 0:
                self.held_out.append((self.steps, self.evaluate()))
                self.writer.add_scalar("loss/held out", self.held_out[-1][1], self.steps)
            recent = [value for _, value in self.curve[-50:]]
            progress.update(
                task,
                completed=min(self.spent, self.seconds),
                phase=name,
                loss=sum(recent) / len(recent),
                rate=1 / times[-1],
            )
        return 1 / sorted(times[1:] or times)[len(times[1:] or times) // 2]

    def train(self) -> dict[str, float]:
        rates: dict[str, float] = {}
        columns = (
            TextColumn("[bold]{task.fields[phase]:>8}"), BarColumn(), TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[rate]:.1f} steps/s"), TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task("train", total=self.seconds, phase="eager", loss=float("nan"), rate=0.0)
            try:
                rates["eager"] = self.phase("eager", self.step, 0.2 * self.seconds, progress, task)
                compiled = taeda.compile(self.step)
                begin = time.perf_counter()
                float(compiled(*self.text.batch("train", BATCH, CONTEXT)))
                rates["compile seconds"] = time.perf_counter() - begin
                rates["compiled"] = self.phase("compiled", compiled, self.seconds - self.spent, progress, task)
            except KeyboardInterrupt:
                self.console.print("[yellow]stopped by Ctrl-C: keeping what was learnt")
                rates["interrupted"] = 1.0
        self.held_out.append((self.steps, self.evaluate()))
        self.save()
        return rates

    def save(self) -> None:
        taeda.save(self.model.state_dict(), OUT / "char_gpt.safetensors")
        self.writer.close()

    def draw(self) -> None:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(figsize=(8, 4.5), dpi=120)
        axes.plot(*zip(*self.curve), color="#9ecae1", linewidth=0.6, label="train, each batch")
        width = max(1, len(self.curve) // 100)
        smooth = [
            (self.curve[i][0], sum(v for _, v in self.curve[i - width : i]) / width)
            for i in range(width, len(self.curve), width)
        ]
        if smooth:
            axes.plot(*zip(*smooth), color="#08519c", linewidth=1.6, label="train, mean")
        axes.plot(*zip(*self.held_out), "o-", color="#d94801", markersize=3, linewidth=1, label="held out")
        axes.set_xlabel("step")
        axes.set_ylabel("cross entropy, nats per character")
        axes.grid(alpha=0.3)
        axes.legend()
        figure.tight_layout()
        figure.savefig(OUT / "loss.png")


def export(run: Run, console: Console) -> Path:
    """Builds the shared library and the C++ program; returns the program."""
    run.model.eval()
    example = run.text.batch("held out", 2, CONTEXT)[0]
    built = taeda.export.build(run.model, (example,), OUT / "export", name="char_gpt")
    ALPHABET.write_text(run.text.alphabet)
    program = OUT / "generate"
    command = [os.environ.get("CXX", "c++"), "-std=c++20", "-O2", "-I", str(OUT / "export"), str(HERE / "generate.cpp"), "-o", str(program),
               str(built.library), f"-Wl,-rpath,{OUT / 'export'}"]  # fmt: skip
    subprocess.run(command, check=True)
    libraries = subprocess.run(
        ["ldd", str(program), str(built.library)], capture_output=True, text=True, check=True
    ).stdout
    if "python" in libraries.lower():
        raise RuntimeError("the exported program must not depend on Python:\n" + libraries)
    said = subprocess.run(
        [str(program), str(ALPHABET), str(CONTEXT), "0", PROMPT], capture_output=True, text=True, check=True
    ).stdout
    ids = taeda.tensor([[run.text.alphabet.index(c) for c in PROMPT]])
    with taeda.no_grad():
        expected = run.model(ids)[0, -1].tolist()
    if [float.fromhex(line) for line in said.split()] != expected:
        raise RuntimeError("the C++ program's logits differ from the eager model's")
    size = built.library.stat().st_size / 1e6
    console.print(
        f"exported {built.library.name} ({size:.1f} MB); ldd shows no Python; its logits equal eager's bit for bit"
    )
    return program


def main() -> None:
    console = Console()
    seconds = float(os.environ.get("DEMO_SECONDS", "100"))
    OUT.mkdir(exist_ok=True)
    run = Run(seconds, console)
    if os.environ.get("DEMO_RESUME") == "1" and (OUT / "char_gpt.safetensors").exists():
        run.model.load_state_dict(taeda.load(OUT / "char_gpt.safetensors"))
    parameters = sum(p.numel() for p in run.model.parameters())
    console.print(
        f"[bold]Character GPT[/] with {parameters:,} parameters on {sum(map(len, run.text.parts.values())):,} characters of Shakespeare"
    )
    rates = run.train()
    run.draw()

    table = Table(title="Training")
    for column in ("", "steps/s"):
        table.add_column(column, justify="right" if column else "left")
    for name in ("eager", "compiled"):
        if name in rates:
            table.add_row(name, f"{rates[name]:.1f}")
    if "compiled" in rates:
        table.add_row("speed-up", f"{rates['compiled'] / rates['eager']:.2f}x")
        table.add_row("compiling took", f"{rates['compile seconds']:.1f} s")
    console.print(table)
    console.print(
        f"{run.steps} steps; held-out loss {run.held_out[-1][1]:.3f}; curve in {OUT / 'loss.png'}, events in {OUT / 'events'}"
    )

    program = export(run, console)
    text = subprocess.run(
        [str(program), str(ALPHABET), str(CONTEXT), "600", PROMPT], capture_output=True, text=True, check=True
    ).stdout
    console.rule("written by the C++ program")
    console.print(text, markup=False, highlight=False)


if __name__ == "__main__":
    main()
