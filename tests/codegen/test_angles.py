"""sin, cos and tan of huge angles against many digits."""

from __future__ import annotations

import math
import random

import mpmath
import pytest

import taeda
from taeda.codegen.angles import _two_over_pi

DTYPES = {"float32": (taeda.float32, 24, 127), "float64": (taeda.float64, 53, 1023)}


def ulps(got: float, exact, digits: int) -> float:
    unit = mpmath.ldexp(1, int(mpmath.floor(mpmath.log(abs(exact), 2))) + 1 - digits)
    return float(abs(mpmath.mpf(got) - exact) / unit)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_many_digits(name, dtype):
    kind, digits, largest = DTYPES[dtype]
    r = random.Random(0)
    angles = [
        r.choice((-1, 1)) * math.ldexp(r.uniform(1, 2), e)
        for e in range(20, largest, 1 + largest // 60)
        for _ in range(3)
    ]
    angles += [2.0**30, 2.0**40, math.nextafter(2.0**40, 0), math.ldexp(2 - 2.0 ** (1 - digits), largest)]
    if digits == 53:  # nearest to a multiple of pi/2 among all doubles
        angles.append(6381956970095103.0 * 2.0**797)
    x = taeda.tensor(angles, dtype=kind)
    bound = 2 if name == "tan" else 1
    with mpmath.workprec(1300):
        for angle, got in zip(x.tolist(), getattr(taeda, name)(x).tolist()):
            assert ulps(got, getattr(mpmath, name)(mpmath.mpf(angle)), digits) <= bound, angle


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_angle_at_all(dtype):
    x = taeda.tensor([math.inf, -math.inf, math.nan, 1e30, -0.0], dtype=DTYPES[dtype][0])
    for f in (taeda.sin, taeda.cos, taeda.tan):
        y = f(x)
        assert y.isnan().tolist() == [True, True, True, False, False]
    assert math.copysign(1, x.sin()[4].item()) == -1


def test_table():
    with mpmath.workprec(1400):
        words = _two_over_pi()
        assert words[0] == 0
        assert sum(w << (32 * (len(words) - 1 - k)) for k, w in enumerate(words)) == int(
            mpmath.floor(mpmath.ldexp(2 / mpmath.pi, 32 * (len(words) - 1)))
        )
