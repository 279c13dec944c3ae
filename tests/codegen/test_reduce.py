"""Reductions, nests of them and scans, bit for bit against a NumPy model of the canonical order."""

from __future__ import annotations

import numpy as np
import pytest
from harness import HOST_LEVELS, NUMPY, Kernel, from_bf16, to_bf16

from taeda.codegen.spec import KernelSpec
from taeda.ops import expr as ex
from taeda.ops import scalar

rng = np.random.default_rng(11)
LENGTHS = (1, 2, 5, 31, 32, 33, 64, 100, 513, 4096, 16383, 16384, 16385, 40000)


def later_if_better(greater):
    def fold(acc, v):
        keep = (acc > v) if greater else (acc < v)
        return np.where(np.isnan(acc) | keep, acc, v) if acc.dtype.kind == "f" else np.where(keep, acc, v)

    return fold


FOLDS = {
    "sum": (np.add, lambda dt: dt.type(0)),
    "prod": (np.multiply, lambda dt: dt.type(1)),
    "max": (later_if_better(True), lambda dt: dt.type(-np.inf) if dt.kind == "f" else np.iinfo(dt).min),
    "min": (later_if_better(False), lambda dt: dt.type(np.inf) if dt.kind == "f" else np.iinfo(dt).max),
    "any": (np.logical_or, lambda dt: False),
    "all": (np.logical_and, lambda dt: True),
}


def canonical_row(kind: str, x: np.ndarray):
    """The trailing-run order: blocks of 16384, lanes of 32, lanes folded by halving, blocks in order."""
    fold, start = FOLDS[kind]
    identity = start(x.dtype)
    total = np.full(1, identity, x.dtype)
    for b in range(0, len(x), 16384):
        block = x[b : b + 16384]
        lanes = np.full(32, identity, x.dtype)
        for i in range(0, len(block), 32):
            piece = block[i : i + 32]
            lanes[: len(piece)] = fold(lanes[: len(piece)], piece)
        half = 16
        while half:
            lanes = fold(lanes[:half], lanes[half : 2 * half])
            half //= 2
        total = fold(total, lanes)
    return total[0]


def canonical_col(kind: str, x: np.ndarray) -> np.ndarray:
    """Blocks of 256 rows, each in order, blocks in order."""
    fold, start = FOLDS[kind]
    total = np.full(x.shape[1], start(x.dtype), x.dtype)
    for b in range(0, len(x), 256):
        acc = np.full(x.shape[1], start(x.dtype), x.dtype)
        for row in x[b : b + 256]:
            acc = fold(acc, row)
        total = fold(total, acc)
    return total


def values(dtype: str, shape, kind: str = "sum") -> np.ndarray:
    if dtype == "b1":
        return rng.random(shape) < (0.01 if kind == "any" else 0.99)
    if dtype in ("u8", "i8", "i16", "i32", "i64"):
        return rng.integers(0 if dtype == "u8" else -100, 100, shape).astype(NUMPY[dtype])
    x = rng.standard_normal(shape)
    return (1 + x * 0.01 if kind == "prod" else x).astype(NUMPY[dtype])


def same(got, want):
    assert got.dtype == want.dtype
    assert got.tobytes() == want.tobytes() or (
        (np.isnan(got) == np.isnan(want)).all() and np.array_equal(got, want, equal_nan=True)
    ), (got, want)


CASES = [(k, d) for k in ("sum", "prod", "max", "min") for d in ("f32", "f64", "i32", "i64", "u8", "i8")] + [
    ("any", "b1"), ("all", "b1"), ("any", "f32"), ("all", "i64"), ("sum", "b1"), ("sum", "i16")]  # fmt: skip


@pytest.mark.parametrize("kind,dtype", CASES)
def test_rows(kind, dtype):
    root = ex.reduce(kind, ex.load(0, dtype))
    spec = KernelSpec((dtype,), ((root.dtype, root),))
    accumulate = NUMPY[root.args[0].dtype]
    kernels = [Kernel(spec, level) for level in HOST_LEVELS]
    assert all(k.facts.partial and k.facts.finish and k.facts.flags == 2 for k in kernels)
    for n in LENGTHS if dtype in ("f32", "b1") else LENGTHS[:10]:
        x = values(dtype, (2, n), kind)
        if dtype == "f32" and n > 100 and kind in ("max", "min"):
            x[1, n // 3] = np.nan
        want = np.array(
            [[canonical_row(kind, (row != 0) if kind in ("any", "all") else row.astype(accumulate))] for row in x]
        ).astype(NUMPY[root.dtype])
        for kernel in kernels:
            layouts = [x, np.asfortranarray(x)] if n < 20000 else [x]
            for a in layouts:
                got = kernel.rows([np.zeros((2, 1), NUMPY[root.dtype])], [a], n)[0]
                same(got, want)
                same(kernel.blocked_rows([np.zeros((2, 1), NUMPY[root.dtype])], [a], n)[0], want)


@pytest.mark.parametrize("kind,dtype", CASES)
def test_columns(kind, dtype):
    root = ex.reduce(kind, ex.load(0, dtype))
    spec = KernelSpec((dtype,), ((root.dtype, root),), "col")
    accumulate = NUMPY[root.args[0].dtype]
    kernels = [Kernel(spec, level) for level in HOST_LEVELS]
    for rows, n in ((1, 3), (2, 64), (256, 65), (257, 31), (700, 130), (3, 1)):
        x = values(dtype, (rows, n), kind)
        want = canonical_col(kind, (x != 0) if kind in ("any", "all") else x.astype(accumulate)).astype(
            NUMPY[root.dtype]
        )
        for kernel in kernels:
            for a in (x, np.asfortranarray(x), np.ascontiguousarray(x[:, ::-1])[:, ::-1]):
                same(kernel.cols([np.zeros(n, NUMPY[root.dtype])], [a], rows, n)[0], want)
    strided = np.zeros(2 * n, NUMPY[root.dtype])[::2]
    kernels[0].cols([strided], [x], rows, n)
    same(strided.copy(), want)


@pytest.mark.parametrize("kind", ("argmax", "argmin"))
@pytest.mark.parametrize("dtype", ("f32", "f64", "i32", "u8", "b1"))
def test_arg_reductions(kind, dtype):
    find = np.argmax if kind == "argmax" else np.argmin
    root = ex.reduce(kind, ex.load(0, dtype))
    row, col = (KernelSpec((dtype,), (("i64", root),), form) for form in ("row", "col"))
    for level in HOST_LEVELS:
        by_row, by_col = Kernel(row, level), Kernel(col, level)
        for n in (1, 7, 32, 33, 300, 16384, 16390):
            x = values(dtype, (4, n))
            if dtype in ("f32", "f64"):
                x[0] = -np.inf if kind == "argmax" else np.inf  # every element is the identity
                x[1] = np.round(x[1])  # ties
                x[2, n // 2 :] = np.nan
                x[3, : n // 2] = 0.0
                x[3, n // 2 :] = -0.0
            same(by_row.rows([np.zeros((4, 1), np.int64)], [x], n)[0][:, 0], find(x, 1))
            same(by_row.blocked_rows([np.zeros((4, 1), np.int64)], [x], n)[0][:, 0], find(x, 1))
            if n < 1000:
                same(by_col.cols([np.zeros(4, np.int64)], [x.T], n, 4)[0], find(x, 1))
                y = np.ascontiguousarray(np.tile(x, (1, 3)).T)
                same(by_col.cols([np.zeros(4, np.int64)], [y], len(y), 4)[0], find(y, 0))


def test_empty_runs_give_the_identity():
    for kind, want in (("sum", 0), ("prod", 1), ("max", -np.inf), ("min", np.inf)):
        root = ex.reduce(kind, ex.load(0, "f32"))
        for level in HOST_LEVELS:
            x = np.zeros((3, 0), np.float32)
            got = Kernel(KernelSpec(("f32",), (("f32", root),)), level).rows([np.full((3, 1), 9, np.float32)], [x], 0)[
                0
            ]
            assert (got == want).all()
            got = Kernel(KernelSpec(("f32",), (("f32", root),), "col"), level).cols(
                [np.full(3, 9, np.float32)], [x.T], 0, 3
            )[0]
            assert (got == want).all()


@pytest.mark.parametrize("level", HOST_LEVELS)
def test_half_types_accumulate_in_float32(level):
    x = rng.standard_normal((2, 3000)).astype(np.float16)
    spec = KernelSpec(("f16",), (("f16", ex.reduce("sum", ex.load(0, "f16"))),))
    want = np.array([[canonical_row("sum", row.astype(np.float32))] for row in x]).astype(np.float16)
    same(Kernel(spec, level).rows([np.zeros((2, 1), np.float16)], [x], 3000)[0], want)
    b = to_bf16(rng.standard_normal((300, 70)).astype(np.float32))
    spec = KernelSpec(("bf16",), (("bf16", ex.reduce("sum", ex.load(0, "bf16"))),), "col")
    want = to_bf16(canonical_col("sum", from_bf16(b)))
    same(Kernel(spec, level).cols([np.zeros(70, np.uint16)], [b], 300, 70)[0], want)


def test_pre_post_and_several_outputs():
    x, y = ex.load(0, "f32"), ex.load(1, "f32")
    dot, peak = ex.reduce("sum", x * y), ex.reduce("max", abs(x))
    outputs = (
        ("f32", ex.sqrt(abs(dot)) * 2),
        ("f32", peak),
        ("i64", ex.reduce("argmax", abs(x))),
        ("f64", ex.cast(dot, "f64")),
    )
    a, b = (rng.standard_normal((5, 20000)).astype(np.float32) for _ in range(2))
    for level in HOST_LEVELS:
        row = Kernel(KernelSpec(("f32", "f32"), outputs), level)
        outs = [np.zeros((5, 1), NUMPY[c]) for c, _ in outputs]
        row.rows(outs, [a, b], 20000)
        again = row.blocked_rows([np.zeros((5, 1), NUMPY[c]) for c, _ in outputs], [a, b], 20000)
        want = np.array([canonical_row("sum", r) for r in a * b])
        assert (outs[0][:, 0] == np.sqrt(abs(want)) * np.float32(2)).all() and (outs[3][:, 0] == want).all()
        assert (outs[1][:, 0] == abs(a).max(1)).all() and (outs[2][:, 0] == abs(a).argmax(1)).all()
        assert all(p.tobytes() == q.tobytes() for p, q in zip(outs, again))
        col = Kernel(KernelSpec(("f32", "f32"), outputs, "col"), level)
        outs = [np.zeros(300, NUMPY[c]) for c, _ in outputs]
        p, q = (v.ravel()[: 320 * 300].reshape(320, 300) for v in (a, b))
        col.cols(outs, [p, q], 320, 300)
        assert (outs[3] == canonical_col("sum", p * q)).all() and (outs[2] == abs(p).argmax(0)).all()


# -- nests -------------------------------------------------------------------------------------------------------------
def softmax(x):
    e = scalar.exp(x - ex.reduce("max", x))
    return e / ex.reduce("sum", e)


def test_softmax_is_its_unfused_steps():
    """One nested kernel gives the bits of its four steps run one by one, at every length and layout."""
    x, y = ex.load(0, "f32"), ex.load(1, "f32")
    levels = {}
    for level in HOST_LEVELS:
        fused = Kernel(KernelSpec(("f32",), (("f32", softmax(x)),)), level)
        assert fused.facts.scratch_per_elem == 4  # the exponentials are kept, the differences are not
        peak = Kernel(KernelSpec(("f32",), (("f32", ex.reduce("max", x)),)), level)
        power = Kernel(KernelSpec(("f32", "f32"), (("f32", scalar.exp(x - y)),)), level)
        total = Kernel(KernelSpec(("f32",), (("f32", ex.reduce("sum", x)),)), level)
        divide = Kernel(KernelSpec(("f32", "f32"), (("f32", x / y),)), level)
        for n in (1, 3, 10, 32, 40, 512, 1000, 20000):
            a = np.random.default_rng(n).standard_normal((3, n)).astype(np.float32) * 4
            m = peak.rows([np.zeros((3, 1), np.float32)], [a], n)[0]
            e = power.rows([np.zeros((3, n), np.float32)], [a, m], n)[0]
            s = total.rows([np.zeros((3, 1), np.float32)], [e], n)[0]
            want = divide.rows([np.zeros((3, n), np.float32)], [e, s], n)[0]
            for layout in (a, np.asfortranarray(a)):
                got = fused.rows([np.zeros((3, n), np.float32)], [layout], n)[0]
                assert got.tobytes() == want.tobytes()
            in_place = a.copy()
            fused.rows([in_place], [in_place], n)
            assert in_place.tobytes() == want.tobytes()
            assert np.allclose(want.sum(1), 1, atol=1e-5)
            assert levels.setdefault(n, want.tobytes()) == want.tobytes()


@pytest.mark.parametrize("level", HOST_LEVELS)
def test_layer_norm(level):
    """Three stages, a residual input, row statistics as further outputs, and scalars that arrive per row."""
    x, r, w, b, inv = (ex.load(j, "f32") for j in range(5))
    h = x + r
    mean = ex.reduce("sum", h) * inv
    d = h - mean
    rstd = 1 / ex.sqrt(ex.reduce("sum", d * d) * inv + 1e-5)
    spec = KernelSpec(
        ("f32",) * 5, (("f32", d * rstd * w + b), ("f32", mean), ("f32", rstd), ("f32", h)), per_row=frozenset([4])
    )
    kernel = Kernel(spec, level)
    for n in (1, 17, 384, 5000):
        arrays = [rng.standard_normal((4, n)).astype(np.float32) for _ in range(2)] + [
            rng.standard_normal((1, n)).astype(np.float32) for _ in range(2)
        ]
        scale = np.full((1, 1), 1 / n, np.float32)
        outs = [
            np.zeros((4, n), np.float32),
            np.zeros((4, 1), np.float32),
            np.zeros((4, 1), np.float32),
            np.zeros((4, n), np.float32),
        ]
        kernel.rows(outs, [*arrays, scale], n)
        ha = arrays[0] + arrays[1]
        mu = np.array([[canonical_row("sum", row) * scale[0, 0]] for row in ha])
        da = ha - mu
        rs = np.array(
            [[np.float32(1) / np.sqrt(canonical_row("sum", row * row) * scale[0, 0] + np.float32(1e-5))] for row in da]
        )
        for got, want in zip(outs, (da * rs * arrays[2] + arrays[3], mu, rs, ha)):
            assert got.tobytes() == want.astype(np.float32).tobytes(), n


@pytest.mark.parametrize("level", HOST_LEVELS)
def test_kept_values_of_several_dtypes(level):
    x = ex.load(0, "f32")
    e = scalar.exp(x)
    wide = scalar.exp(ex.cast(x, "f64"))
    flag = scalar.sin(x) > 0
    m, k = ex.reduce("sum", e), ex.reduce("max", wide)
    c = ex.reduce("sum", flag)
    spec = KernelSpec(("f32",), (("f32", e / m), ("f64", wide / k), ("b1", flag & (c > 2)), ("i64", c)))
    kernel = Kernel(spec, level)
    assert kernel.facts.scratch_per_elem == 13
    for n in (3, 50, 777):
        a = rng.standard_normal((2, n)).astype(np.float32)
        outs = [np.zeros((2, n), np.float32), np.zeros((2, n)), np.zeros((2, n), np.bool_), np.zeros((2, 1), np.int64)]
        kernel.rows(outs, [a], n)
        assert np.allclose(outs[0], np.exp(a) / np.exp(a).sum(1, keepdims=True), rtol=1e-5)
        assert np.allclose(outs[1], np.exp(a.astype(float)) / np.exp(a.astype(float)).max(1, keepdims=True), rtol=1e-12)
        assert (outs[3][:, 0] == (np.sin(a) > 0).sum(1)).all() and (outs[2] == ((np.sin(a) > 0) & (outs[3] > 2))).all()


# -- scans -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ("sum", "prod", "max", "min"))
@pytest.mark.parametrize("dtype", ("f32", "f64", "i64", "i16", "bf16"))
def test_scans(kind, dtype):
    root = ex.reduce(kind, ex.load(0, dtype))
    out = dtype if dtype == "bf16" else root.dtype
    spec = KernelSpec((dtype,), ((out, root),), "scan")
    fold, start = FOLDS[kind]
    for level in HOST_LEVELS:
        kernel = Kernel(spec, level)
        for rows, n in ((1, 1), (1, 50), (3, 20), (5, 33), (33, 7), (64, 40)):
            x = values("f32" if dtype == "bf16" else dtype, (rows, n), kind)
            stored = to_bf16(x) if dtype == "bf16" else x
            wide = (from_bf16(stored) if dtype == "bf16" else x).astype(NUMPY[root.dtype])
            want = np.empty_like(wide)
            acc = np.full(rows, start(wide.dtype), wide.dtype)
            for i in range(n):
                acc = fold(acc, wide[:, i]).astype(wide.dtype)
                want[:, i] = acc
            want = to_bf16(want) if dtype == "bf16" else want
            for order in "CF":
                got = kernel.rows([np.zeros((rows, n), NUMPY[out], order=order)], [np.array(stored, order=order)], n)[0]
                assert np.array_equal(got, want), (rows, n, order)
            in_place = stored.copy()
            if out == dtype:
                kernel.rows([in_place], [in_place], n)
                assert np.array_equal(in_place, want)
