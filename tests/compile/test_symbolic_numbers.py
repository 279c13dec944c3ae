"""Arithmetic of sizes with fractions in compiled functions: one program for every size, unless Python must know the number."""

from __future__ import annotations

import math

import pytest

import taeda as td

FREE = {
    "product": lambda x: x * (x.shape[0] * 0.5),
    "difference": lambda x: x * (x.shape[0] - 0.5),
    "reversed": lambda x: x * (0.5 - x.shape[0]),
    "sum": lambda x: x + (1.5 + x.shape[0]),
    "quotient": lambda x: x / x.shape[0],
    "inverse": lambda x: x * (1.0 / x.shape[0]),
    "power": lambda x: x * x.shape[0] ** -0.5,
    "chain": lambda x: x * ((x.shape[0] * 0.5 - 1) / x.shape[0]) ** 2,
    "with a size": lambda x: x * (x.shape[0] * 0.5) * x.shape[0] * (x.shape[0] * (x.shape[0] * 0.25)),
    "a tensor below": lambda x: x.shape[0] / (x + 1),
    "filled": lambda x: td.full((x.shape[0],), x.shape[0] * 0.5),
    "correction": lambda x: x.var(correction=0.5),
}
FIXED = {
    "int": lambda x: x[: int(x.shape[0] * 0.5)],
    "round": lambda x: x + round(x.shape[0] * 0.3),
    "float": lambda x: x * float(x.shape[0] * 0.5),
    "branch": lambda x: x * 2 if x.shape[0] * 0.5 > 1.9 else x,
    "equal": lambda x: x if x.shape[0] * 0.5 == 2 else -x,
    "truth": lambda x: x if x.shape[0] * 0.5 - 2 else -x,
    "largest": lambda x: x / max(x.shape[0] * 0.5, 2),
    "root": lambda x: x / math.sqrt(x.shape[0] * 2.0),
}


@pytest.mark.parametrize("name", [*FREE, *FIXED])
def test_numbers_of_sizes(name):
    f = (FREE | FIXED)[name]
    compiled = td.compile(f)
    for n in (3, 4, 5, 3):
        x = td.randn(n)
        want, got = f(x), compiled(x)
        assert got.shape == want.shape and bool((got == want).all())
    assert sum(map(len, compiled.entries.values())) == (1 if name in FREE else 3)


def test_what_is_no_number():
    with pytest.raises(TypeError, match="unsupported operand"):
        td.compile(lambda x: x * (x.shape[0] - "a"))(td.ones(3))
    with pytest.raises(TypeError, match="interpreted as an integer"):
        td.compile(lambda x: x[: x.shape[0] * 0.5])(td.ones(4))
