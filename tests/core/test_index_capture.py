"""Indexing under capture: symbolic sizes, recorded assignments, refused reads of values (at the user's line)."""

import pytest

import taeda
from taeda import jit


def program(x, mask, rows):
    n = x.shape[0]
    y = x * 1.0
    y[0] = 5.0
    y[mask] = 9.0
    y[:, 1] = y[:, 2]
    y[rows] = -1.0
    return y[n - 1] + y[: n - 1].sum(0) + y[rows].sum() + y[..., None].sum()


def arguments(n):
    x = taeda.arange(n * 5.0).reshape(n, 5)
    return x, x > 11, taeda.tensor([1, 2])


def test_one_program_serves_every_size():
    traced = jit.trace(program, arguments(4))
    for n in (4, 7, 3):
        assert traced(*arguments(n)).tolist() == program(*arguments(n)).tolist()


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.item(),
        lambda x: bool(x.sum() > 0),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: float(x.sum()),
        lambda x: x.data_ptr(),
        lambda x: x[x > 3],
        lambda x: taeda.tensor(x),
        lambda x: memoryview(x),
        lambda x: [1, 2][x.sum().long()],
        lambda x: x.resize_(3),
        lambda x: x.__dlpack__(),
    ],
)
def test_reading_values_is_refused(read):
    with pytest.raises(RuntimeError, match=r"test_index_capture\.py:\d+.*needs a tensor's value"):
        jit.trace(lambda x: (read(x), x + 1)[1], (taeda.ones(4, 5),))


def test_attributes_of_a_traced_tensor_are_symbolic():
    seen = {}

    def f(x):
        seen.update(size=repr(x.size(0)), numel=repr(x.numel()), nbytes=repr(x.nbytes), ndim=x.ndim, dtype=x.dtype)
        return x + 1

    jit.trace(f, (taeda.ones(4, 5),))
    assert seen["ndim"] == 2 and seen["dtype"] is taeda.float32
    assert not any(seen[k].isdigit() for k in ("size", "numel", "nbytes")), seen


def test_an_index_that_is_a_traced_number_stays_in_the_program():
    traced = jit.trace(lambda x, i: x[i], (taeda.arange(4.0), taeda.tensor(1)))
    assert traced(taeda.arange(6.0), taeda.tensor(5)).item() == 5.0
