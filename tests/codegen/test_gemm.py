"""Matrix products: the canonical order of sums, edges of tiles and blocks, strides, dtypes, threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import taeda

EDGES = (1, 2, 3, 7, 13, 14, 15, 31, 32, 33, 65)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    before = taeda.get_num_threads()
    taeda.set_num_threads(request.param)
    yield request.param
    taeda.set_num_threads(before)


def short_floats(rng, *shape):
    """Float32 with 11 bits of significand: products are exact, and sums in float64 round once to float32."""
    return (rng.integers(1024, 2048, shape) / 1024 * rng.choice([-1, 1], shape)).astype(np.float32)


def in_order(a, b):
    """One float32 accumulator an output, taking its products in order of k by fused multiply-add."""
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        c = (c.astype(np.float64) + a[:, k : k + 1].astype(np.float64) * b[k].astype(np.float64)).astype(np.float32)
    return c


@pytest.mark.parametrize("m", EDGES)
@pytest.mark.parametrize("n", EDGES)
def test_tile_edges(m, n):
    rng = np.random.default_rng(m * 100 + n)
    a, b = short_floats(rng, m, 9), short_floats(rng, 9, n)
    assert np.array_equal(taeda.matmul(taeda.tensor(a), taeda.tensor(b)).numpy(), in_order(a, b))


@pytest.mark.parametrize(
    "size", [(64, 784, 256), (130, 300, 1100), (300, 513, 40), (1, 700, 1500), (1500, 700, 1), (3, 1030, 3)]
)
def test_blocks_keep_the_order(size):
    m, k, n = size
    rng = np.random.default_rng(k)
    a, b = short_floats(rng, m, k), short_floats(rng, k, n)
    assert np.array_equal(taeda.matmul(taeda.tensor(a), taeda.tensor(b)).numpy(), in_order(a, b))


@pytest.mark.parametrize("a_layout", ["rows", "columns", "every second", "expanded"])
@pytest.mark.parametrize("b_layout", ["rows", "columns", "every second", "expanded"])
@pytest.mark.parametrize("size", [(40, 70, 50), (200, 300, 260)])
def test_layouts(a_layout, b_layout, size):
    def laid(rng, rows, columns, layout):
        x = short_floats(rng, rows, columns)
        if layout == "rows":
            return x, taeda.tensor(x)
        if layout == "columns":
            return x, taeda.tensor(np.ascontiguousarray(x.T)).t()
        if layout == "expanded":
            return np.broadcast_to(x[:1], x.shape), taeda.tensor(x[:1]).expand(rows, columns)
        wide = np.zeros((rows, 2 * columns), np.float32)
        wide[:, ::2] = x
        return x, taeda.tensor(wide)[:, ::2]

    m, k, n = size
    rng = np.random.default_rng(5)
    (a, ours_a), (b, ours_b) = laid(rng, m, k, a_layout), laid(rng, k, n, b_layout)
    assert np.array_equal((ours_a @ ours_b).numpy(), in_order(a, b))


@given(
    batch=st.lists(st.integers(1, 3), max_size=2), m=st.integers(0, 40), k=st.integers(0, 40), n=st.integers(0, 70),
    seed=st.integers(0, 99), broadcast=st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_batches(batch, m, k, n, seed, broadcast):
    rng = np.random.default_rng(seed)
    a = short_floats(rng, *batch, m, k)
    b = short_floats(rng, *([1] * len(batch) if broadcast else batch), k, n)
    found = taeda.matmul(taeda.tensor(a), taeda.tensor(b)).numpy()
    assert found.shape == (*batch, m, n)
    others = np.broadcast_to(b, (*batch, k, n))
    for at in np.ndindex(*batch):
        assert np.array_equal(found[at], in_order(a[at], others[at]))


@pytest.mark.parametrize("dtype", [taeda.float64, taeda.int64, taeda.int32, taeda.int16, taeda.int8, taeda.uint8])
@pytest.mark.parametrize("size", [(5, 6, 7), (33, 270, 65), (100, 300, 130)])
def test_exact_dtypes(dtype, size):
    m, k, n = size
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 100, (m, k)), rng.integers(0, 100, (k, n))
    found = taeda.matmul(taeda.tensor(a).to(dtype), taeda.tensor(b).to(dtype)).numpy()
    assert np.array_equal(found, (a @ b).astype(found.dtype))  # integers wrap around, float64 is exact here


@pytest.mark.parametrize("dtype", [taeda.float16, taeda.bfloat16])
@pytest.mark.parametrize("size", [(3, 5, 4), (30, 300, 40), (70, 600, 1100)])
def test_halves_round_once(dtype, size):
    m, k, n = size
    rng = np.random.default_rng(2)
    a = taeda.tensor(rng.standard_normal((m, k), dtype=np.float32)).to(dtype)
    b = taeda.tensor(rng.standard_normal((k, n), dtype=np.float32)).to(dtype)
    wide = taeda.matmul(a.to(taeda.float32), b.to(taeda.float32))
    assert taeda.equal(taeda.matmul(a, b), wide.to(dtype))


def test_stale_memory_is_harmless():
    """Panels reuse memory; what lies beyond an operand must not meet the arithmetic as NaN."""
    big = taeda.full((512, 512), float("nan"))
    del big
    a, b = taeda.ones(5, 70), taeda.ones(70, 9)
    assert (taeda.matmul(a, b) == 70).all().item()


def test_special_values_stay_in_their_place():
    a = taeda.ones(20, 30)
    a[3, 4] = float("inf")
    a[5, 6] = float("nan")
    found = taeda.matmul(a, taeda.ones(30, 40)).numpy()
    assert np.isinf(found[3]).all() and np.isnan(found[5]).all()
    assert np.array_equal(np.delete(found, [3, 5], axis=0), np.full((18, 40), 30, np.float32))
