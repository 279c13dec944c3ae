"""Strides, storage offsets and contiguity under capture: symbolic or guarded, never frozen."""

from __future__ import annotations

import pytest

import taeda as td
from taeda.capture.errors import CaptureError


def layouts():
    """Tensors of one dtype and rank with all kinds of memory."""
    base = td.arange(60.0)
    yield "rows", base[:12].view(3, 4)
    yield "more_rows", base[:20].view(4, 5)
    yield "transposed", base[:12].view(4, 3).t()
    yield "larger_transposed", base[:35].view(7, 5).t()
    yield "gapped", base[:24].view(3, 8)[:, ::2]
    yield "wider_gaps", base[:36].view(3, 12)[:, ::3]
    yield "gapped_transposed", base[:24].view(4, 6).t()[::2]
    yield "offset", base[8:20].view(3, 4)
    yield "expanded", base[:4].expand(3, 4)
    yield "one_row", base[:4].view(1, 4)
    yield "one_row_of_a_column", base[:4].view(4, 1).t()
    yield "one_column", base[:4].view(4, 1)
    yield "empty", td.zeros(0, 4)
    yield "no_columns", td.zeros(3, 0)


def by_stride(x):
    a, b = x.stride()
    return x * a - b


def by_one_stride(x):
    return x + x.stride(0) * 100 + x.stride(-1)


def by_contiguity(x):
    return x * 2 if x.is_contiguous() else x - 1


def by_offset(x):
    return x + x.storage_offset()


def of_a_result(x):
    y = (x + 1).exp()
    a, b = y.stride()
    return y * a + b + y.storage_offset() + (1000 if y.is_contiguous() else 0)


def of_a_view_of_a_result(x):
    y = (x + 1)[1:]
    return y * y.stride(1) + y.storage_offset() + (1000 if y.t().is_contiguous() else 0)


FUNCTIONS = (by_stride, by_one_stride, by_contiguity, by_offset, of_a_result, of_a_view_of_a_result)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_compiled_follows_the_layout_of_each_call(f):
    compiled = td.compile(f)
    for _ in range(2):
        for name, x in layouts():
            got, expected = compiled(x), f(x)
            assert td.equal(got, expected), name
            assert got.stride() == expected.stride() or x.numel() <= 4, name


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_traced_fits_or_refuses(f):
    """A traced function holds one program: it serves a layout, or says that it does not."""
    served = 0
    for name, example in layouts():
        traced = td.jit.trace(f, example)
        for other, x in layouts():
            try:
                got = traced(x)
            except RuntimeError as e:
                assert (name != other and "do not fit" in str(e)) or "memory layout" in str(e)
                continue
            served += 1
            assert td.equal(got, f(x)), (name, other)
    assert served >= len(list(layouts()))


def test_symbolic_strides_serve_all_sizes():
    f = td.compile(by_stride)
    for rows, columns in ((3, 4), (5, 2), (7, 9)):
        x = td.randn(rows, columns)
        assert td.equal(f(x), by_stride(x))
        assert td.equal(f(x.t()), by_stride(x.t()))
    assert sum(map(len, f.entries.values())) == 2


def test_contiguous_takes_no_guard():
    f = td.compile(lambda x: x.t().contiguous() + 1)
    for shape in ((3, 4), (1, 4), (4, 1), (0, 3)):
        x = td.randn(*shape)
        assert td.equal(f(x), x.t() + 1)
    assert sum(map(len, f.entries.values())) == 1


def test_views_of_gapped_arguments_cannot_tell():
    f = td.compile(lambda x: x[0] * x[0].stride(0))
    assert f(td.ones(2, 3)).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(CaptureError, match=r"test_layouts.py:\d+.*contiguous\(\) on the tensor first"):
        f(td.ones(2, 6)[:, ::2])


def test_as_strided():
    def f(x):
        return x.as_strided((2, 2), (1, 2), x.storage_offset() + 1) * 2

    compiled = td.compile(f)
    base = td.arange(40.0)
    for x in (base[:12].view(3, 4), base[12:24].view(3, 4), base[5:17].view(4, 3).t(), base[:6].view(2, 3)):
        assert td.equal(compiled(x), f(x))
    g = td.compile(lambda x: x.as_strided((3,), (4,), 0))
    assert g(base[:9]).tolist() == [0.0, 4.0, 8.0]
    with pytest.raises(CaptureError, match="reaches elements 0 to 8 of a tensor of"):
        g(base[:8])


def test_saved_programs_keep_their_guards(tmp_path):
    traced = td.jit.trace(by_stride, td.ones(3, 4))
    td.jit.save(traced, tmp_path / "p")
    loaded = td.jit.load(tmp_path / "p")
    x = td.randn(5, 6)
    assert td.equal(loaded(x), by_stride(x))
    with pytest.raises(RuntimeError, match="memory layout of input 0"):
        loaded(x.t())


def test_writes_around_a_reshape_that_may_copy():
    def f(x):
        y = x.reshape(-1)
        y += 1
        return x * 1

    compiled = td.compile(f)
    for x in (td.zeros(2, 3), td.zeros(3, 2).t()):  # eager code: a view, a copy
        a, b = x.clone(), x.clone()
        assert td.equal(compiled(a), f(b)) and td.equal(a, b)
    with pytest.raises(CaptureError, match=r"contiguous\(\) first"):
        compiled(td.zeros(2, 6)[:, ::2])
    assert td.compile(lambda x: x.reshape(-1) + 1)(td.zeros(2, 6)[:, ::2]).tolist() == [1.0] * 6


def test_arguments_keep_their_shape():
    with pytest.raises(CaptureError, match=r"changes the shape of argument 0 in place"):
        td.compile(lambda x: x.t_() + 1)(td.ones(2, 3))
    held = td.ones(2, 3)
    with pytest.raises(RuntimeError, match=r"from outside|no view of"):
        td.compile(lambda x: held.t_() @ x)(td.ones(2, 3))
    assert held.shape == (2, 3)
    assert td.compile(lambda x: (x * 2).t_().unsqueeze_(0))(td.ones(2, 3)).shape == (1, 3, 2)
