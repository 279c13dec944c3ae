"""The same call in `taeda.array_api` and in array-api-strict (NumPy underneath): results must agree."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import taeda
from taeda import array_api as ours

strict = pytest.importorskip("array_api_strict")
strict.set_array_api_strict_flags(api_version="2024.12")

BOOL, INTEGERS, FLOATS, COMPLEX = (
    ("bool",),
    ("uint8", "int8", "int16", "int32", "int64"),
    ("float32", "float64"),
    ("complex64", "complex128"),
)
REAL, NUMERIC = INTEGERS + FLOATS, INTEGERS + FLOATS + COMPLEX
FLOATING, ANY = FLOATS + COMPLEX, BOOL + NUMERIC
TOLERANCE = {"float32": 2e-6, "complex64": 4e-6, "float64": 1e-13, "complex128": 1e-13}


def convert(xp, x):
    """NumPy arrays, dtype names (as `dtype(name)`) and nests of them in a namespace."""
    if isinstance(x, np.ndarray):
        return xp.asarray(x.copy())
    if isinstance(x, np.dtype):
        return getattr(xp, x.name)
    if isinstance(x, (list, tuple)):
        return type(x)(convert(xp, e) for e in x)
    return x


def plain(x):
    """A result as NumPy arrays, numbers and names."""
    if isinstance(x, taeda.Tensor):
        return x.numpy()
    if isinstance(x, taeda.dtype):
        return str(x).rpartition(".")[2]
    if type(x).__module__.startswith("array_api_strict") and hasattr(x, "_array"):
        return np.asarray(x._array)
    if type(x).__name__ == "DType":
        return x._np_dtype.name
    if isinstance(x, (list, tuple)):
        return [getattr(type(x), "_fields", ()), *(plain(e) for e in x)]
    return x


def same(a, b, tolerance: float | None = None, signs: bool = True) -> None:
    """Asserts that two plain results agree: shapes, dtypes, values, and the signs of zeros where `signs`."""
    if isinstance(b, list):
        assert isinstance(a, list) and len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y, tolerance, signs)
    elif isinstance(b, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        near = TOLERANCE.get(b.dtype.name, 0) if tolerance is None else tolerance
        if b.dtype.kind == "c" and not np.isfinite(b).all():  # the infinite numbers part by part
            a, b = (np.stack([x.real, x.imag]) for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=near, atol=near, equal_nan=True)
        if signs and b.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(a) & (a == 0) & (b == 0), np.signbit(b) & (a == 0) & (b == 0))
    else:
        assert a == b


def check(call, *arguments, tolerance: float | None = None, signs: bool = True, **keywords) -> None:
    """call(xp, *arguments, **keywords) in both namespaces gives the same."""

    def result(xp):
        return plain(call(xp, *convert(xp, list(arguments)), **{k: convert(xp, v) for k, v in keywords.items()}))

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        same(result(ours), result(strict), tolerance, signs)


def function(name: str):
    """`call` of `check` for a function of the namespace, or of an extension ("linalg.det")."""

    def call(xp, *arguments, **keywords):
        for part in name.split("."):
            xp = getattr(xp, part)
        return xp(*arguments, **keywords)

    return call
