"""Writes `prebuilt_keys.txt`: the kernels that ship in a wheel.

They are what the built core asks for while every operator runs on its samples in the usual dtypes, forward and
backward, and while the benchmark's and the demo's models train for a step. Usage: python tools/prebuild_keys.py
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples" / "shakespeare")]
KEYS = Path(__file__).with_name("prebuilt_keys.txt")

import numpy  # noqa: E402

import taeda  # noqa: E402
from benchmarks import workloads  # noqa: E402
from taeda._bind import bound  # noqa: E402
from taeda.execute.resolve import resolve  # noqa: E402
from taeda.ops.table import TABLE  # noqa: E402
from tests.ops.samples import DTYPES, Maker, convert, is_plain_map, pointwise_sample, samples_of, tensor, with_defaults  # noqa: E402


def calls(op) -> Iterator[tuple[list, dict]]:
    """Arguments for an operator: its samples, in the dtypes that programs use most."""
    if is_plain_map(op):
        arrays = pointwise_sample(op, "same", Maker(op.name))
        for code in ("f32", "f64", "i64", "i32", "b1"):
            if code not in op.accepts:
                continue
            whole = arrays if code[0] == "f" else [numpy.trunc(x).astype(DTYPES[code]) for x in arrays]
            operands = [tensor(x, code) for x in whole]
            yield operands, {}
            if len(operands) == 2 and code != "b1":
                yield [operands[0], 2], {}
    elif op in with_defaults():
        yield [tensor(pointwise_sample(op, "same", Maker(op.name))[0], "f32")], {}
    elif op.samples:
        for code in ("f32", "f64"):
            for args, kwargs in samples_of(op):
                yield [convert(a, code) for a in args], convert(kwargs, code)


def floats(value: object) -> Iterator[taeda.Tensor]:
    if isinstance(value, taeda.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from floats(v)


def exercise(op) -> None:
    for args, kwargs in calls(op):
        inputs = [x.requires_grad_() for x in floats([*args, *kwargs.values()])] if op.grad is not False else []
        with contextlib.suppress(RuntimeError, TypeError, ValueError, IndexError):  # dtypes the operator refuses
            results = [y for y in floats(bound(op.name)(*args, **kwargs)) if y.requires_grad]
            if inputs and results:
                sum(y.sum() for y in results).backward()


def train() -> None:
    """A step of each model, with each optimizer."""
    from model import CharGPT

    for build in workloads.WORKLOADS.values():
        step, _ = build(taeda, False)
        step()
    model = CharGPT(65, 64)
    for kind, options in (
        (taeda.optim.AdamW, {}), (taeda.optim.Adam, {"amsgrad": True}), (taeda.optim.SGD, {}), (taeda.optim.SGD, {"momentum": 0.9}),
        (taeda.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    ):  # fmt: skip
        optimizer = kind(model.parameters(), lr=1e-3, **options)
        ids = taeda.randint(0, 65, (4, 65))
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        taeda.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def casts() -> None:
    codes = ("float32", "float64", "int64", "int32", "uint8", "bool", "float16", "bfloat16")
    for a in codes:
        for b in codes:
            taeda.ones(3).to(getattr(taeda, a)).to(getattr(taeda, b))
    taeda.ones(2, 2, dtype=taeda.float64) @ taeda.ones(2, 2, dtype=taeda.float64)
    str(taeda.randn(3, 3)), str(taeda.arange(3)), str(taeda.ones(3) > 0)  # printing uses some


def main() -> None:
    asked: set[str] = set()

    def record(key: str) -> int:
        asked.add(key)
        return resolve(key)

    taeda._core.set_hook("kernel", record)
    for op in list(TABLE.values()):
        exercise(op)
    train()
    casts()
    KEYS.write_text("# Made by tools/prebuild_keys.py: do not edit.\n" + "".join(f"{k}\n" for k in sorted(asked)))
    print(f"{len(asked)} kernels")


if __name__ == "__main__":
    main()
