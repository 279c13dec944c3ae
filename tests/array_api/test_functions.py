"""The other functions of the namespace against array-api-strict: generated arguments, and calls written down."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import taeda
from taeda import array_api as ours

from .test_elementwise import PROFILE, arrays
from .worlds import ANY, COMPLEX, FLOATING, FLOATS, INTEGERS, NUMERIC, REAL, check, function, strict

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def draw_axes(data, ndim: int):
    """None, an axis, several, or none of them."""
    if not ndim:
        return data.draw(st.sampled_from([None, ()]))
    axis = st.integers(-ndim, ndim - 1)
    several = st.lists(st.integers(0, ndim - 1), unique=True).map(tuple)
    return data.draw(st.one_of(st.none(), axis, several))


def count(shape, axes) -> int:
    axes = range(len(shape)) if axes is None else (axes,) if isinstance(axes, int) else axes
    return int(np.prod([shape[a] for a in axes], dtype=int))


# -- reductions --------------------------------------------------------------------------------------------------------
REDUCTIONS = {
    **dict.fromkeys(["sum", "prod"], NUMERIC),
    "mean": FLOATING,
    **dict.fromkeys(["var", "std"], FLOATS),
    **dict.fromkeys(["max", "min"], REAL),
    **dict.fromkeys(["all", "any", "count_nonzero"], ANY),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@PROFILE
@given(data=st.data())
def test_reductions(name, data):
    dtype = data.draw(st.sampled_from([d for d in REDUCTIONS[name] if d != "uint8" or name not in ("sum", "prod")]))
    x = data.draw(arrays(dtype, SHAPES, low=-3 if dtype != "uint8" else 0, high=3))
    axes, keywords = draw_axes(data, x.ndim), {}
    if name in ("max", "min") and not count(x.shape, axes):
        return  # no largest one of none
    if name in ("var", "std") and data.draw(st.booleans()):
        keywords["correction"] = data.draw(st.sampled_from([0, 1, 0.5]))
    if name in ("sum", "prod") and data.draw(st.booleans()):
        keywords["dtype"] = np.dtype("complex128" if dtype in COMPLEX else "float64" if dtype in FLOATS else "int64")
    loose = 1e-4 if dtype in ("float32", "complex64") else 1e-10 if dtype in FLOATING else None
    check(function(name), x, axis=axes, keepdims=data.draw(st.booleans()), tolerance=loose, **keywords)


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
@PROFILE
@given(data=st.data())
def test_running(name, data):
    dtype = data.draw(st.sampled_from([d for d in NUMERIC if d != "uint8"]))
    x = data.draw(arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), low=-3, high=3))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1)) if x.ndim > 1 else data.draw(st.sampled_from([None, 0, -1]))
    check(function(name), x, axis=axis, include_initial=data.draw(st.booleans()), tolerance=1e-4)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@PROFILE
@given(data=st.data())
def test_places(name, data):
    dtype = data.draw(st.sampled_from(REAL))
    x = data.draw(arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), low=-3, high=3))
    axis = data.draw(st.sampled_from([None, *range(-x.ndim, x.ndim)]))
    check(function(name), x, axis=axis, keepdims=data.draw(st.booleans()))


@PROFILE
@given(data=st.data())
def test_diff(data):
    dtype = data.draw(st.sampled_from(NUMERIC))
    x = data.draw(arrays(dtype, (3, 4), low=0, high=3))
    axis, order = data.draw(st.integers(-2, 1)), data.draw(st.integers(0, 3))
    shape = tuple(2 if d == axis % 2 else n for d, n in enumerate(x.shape))
    ends = {
        k: data.draw(arrays(dtype, shape, low=0, high=3)) for k in ("prepend", "append") if data.draw(st.booleans())
    }
    check(function("diff"), x, axis=axis, n=order, tolerance=1e-5, **ends)


# -- order and sets ----------------------------------------------------------------------------------------------------
@PROFILE
@given(data=st.data())
def test_sorting(data):
    dtype = data.draw(st.sampled_from(REAL))
    x = data.draw(arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5), low=-3, high=3))
    keywords = {"axis": data.draw(st.integers(-x.ndim, x.ndim - 1)), "descending": data.draw(st.booleans())}
    check(function("sort"), x, **keywords)
    check(function("argsort"), x, **keywords)


@PROFILE
@given(data=st.data())
def test_sets(data):
    dtype = data.draw(st.sampled_from(ANY))
    x = data.draw(arrays(dtype, SHAPES, low=-2, high=2))
    for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
        check(function(name), x, signs=False)  # which one of 0 and -0 stands for both is left open


def test_every_nan_is_an_element_of_its_own():
    x = ours.asarray([np.nan, 1.0, np.nan])
    assert ours.unique_counts(x).counts.tolist() == [1, 1, 1]


@PROFILE
@given(data=st.data())
def test_searchsorted(data):
    a, b = data.draw(
        st.sampled_from([("int32", "int64"), ("float32", "float64"), ("int64", "int64"), ("float64", "float32")])
    )
    x = data.draw(arrays(a, (5,), low=-3, high=3))
    y = data.draw(arrays(b, SHAPES, low=-4, high=4))
    side = data.draw(st.sampled_from(["left", "right"]))
    check(function("searchsorted"), np.sort(x), y, side=side)
    check(function("searchsorted"), x, y, side=side, sorter=np.argsort(x))


@PROFILE
@given(data=st.data())
def test_where(data):
    dtypes = data.draw(
        st.sampled_from([("int8", "int32"), ("float32", "float64"), ("bool", "bool"), ("complex64", "complex128")])
    )
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3)).input_shapes
    condition = data.draw(arrays("bool", shapes[0]))
    a, b = (data.draw(arrays(d, s)) for d, s in zip(dtypes, shapes[1:]))
    check(function("where"), condition, a, b)
    number = True if dtypes[0] == "bool" else 2
    check(function("where"), condition, a, number)
    check(function("where"), condition, number, b)


# -- calls written down ------------------------------------------------------------------------------------------------
A, B, V, I = (
    np.arange(24.0).reshape(2, 3, 4),
    np.arange(12, dtype="float32").reshape(3, 4),
    np.arange(5.0),
    np.arange(6),
)
Z = (np.arange(6) + 1j * np.arange(6, 0, -1)).reshape(2, 3)
F32, F64, I8, I64, BOOLEAN, C64 = (np.dtype(n) for n in ("float32", "float64", "int8", "int64", "bool", "complex64"))
CALLS = {
    # creation
    "arange": [((5,), {}), ((2, 9, 3), {}), ((9, 2, -3), {}), ((5, 0), {}), ((0.0, 1.0, 0.25), {}), ((3,), {"dtype": F32}),
        ((1, None), {}), ((0,), {})],
    "asarray": [((3,), {}), ((2.5,), {}), ((True,), {}), ((1j,), {}), (([[1, 2], [3, 4]],), {}), (([1, 2.5],), {}), (([],), {}),
        ((B,), {"dtype": F64}), ((B,), {"copy": True}), (([True, False],), {}), (([1, 2j],), {"dtype": C64}),
        (((1.0, 2.0),), {"dtype": F32})],
    "eye": [((3,), {}), ((2, 3), {}), ((3, 2), {"k": 1}), ((3,), {"k": -1, "dtype": I64}), ((2,), {"k": 5}), ((0, 3), {})],
    "full": [((3, 2), {}), (((2, 3), 1.5), {}), (((), True), {}), (((2,), 1j), {}), (((2, 0), 1), {"dtype": F32})],
    "full_like": [((B, 2.5), {}), ((B, 2), {"dtype": I64})],
    "linspace": [((0, 1, 5), {}), ((0.0, 1.0, 4), {"endpoint": False}), ((5, -5, 3), {"dtype": F32}), ((0, 1, 1), {}), ((0, 1, 0), {})],
    "zeros": [((3,), {}), (((2, 3),), {"dtype": I8}), (((),), {})],
    "ones": [((3,), {}), (((2, 3),), {"dtype": BOOLEAN})],
    "zeros_like": [((A,), {}), ((A,), {"dtype": I8})],
    "ones_like": [((A,), {}), ((I,), {})],
    "tril": [((A,), {}), ((B,), {"k": 1}), ((B,), {"k": -9})],
    "triu": [((A,), {}), ((B,), {"k": 1}), ((B,), {"k": 9})],
    "meshgrid": [((V, I.astype(float)), {}), ((V, V, V), {"indexing": "ij"}), ((V,), {}), ((), {})],
    # dtypes
    "astype": [((B, F64), {}), ((B, F32), {"copy": False}), ((I, BOOLEAN), {}), ((V, I64), {})],
    "can_cast": [((I8, I64), {}), ((F64, F32), {}), ((V, F32), {}), ((F32, np.dtype("complex64")), {})],
    "isdtype": [((F32, "real floating"), {}), ((I8, ("bool", "integral")), {}), ((I8, F32), {}), ((C64, "numeric"), {}),
        ((BOOLEAN, "numeric"), {}), ((np.dtype("uint8"), "unsigned integer"), {}), ((I8, (F32, I8)), {})],
    "result_type": [((I8, I64), {}), ((F32, C64), {}), ((B, F64), {}), ((np.dtype("uint8"), I8), {}), ((V,), {}), ((F32, 1.0), {}),
        ((I8, 1), {}), ((F32, 1j), {})],
    # shapes
    "broadcast_arrays": [((A, B), {}), ((V[:, None], I[None]), {}), ((V,), {})],
    "broadcast_to": [((B, (2, 3, 4)), {}), ((V, (1, 5)), {}), ((np.asarray(3), (2, 2)), {})],
    "concat": [(([B, B],), {}), (([B, B.astype("float64")],), {"axis": 1}), (([A, A],), {"axis": None}), (([B],), {"axis": -1}),
        (([I, I[:0]],), {})],
    "expand_dims": [((B, 0), {}), ((B, -1), {}), ((B,), {"axis": 2})],
    "flip": [((A,), {}), ((A,), {"axis": -1}), ((A,), {"axis": (0, 2)}), ((np.asarray(1.0),), {})],
    "moveaxis": [((A, 0, -1), {}), ((A, (0, 1), (2, 0)), {})],
    "permute_dims": [((A, (2, 0, 1)), {}), ((A, (0, -1, 1)), {})],
    "repeat": [((B, 2), {}), ((B, 3), {"axis": 1}), ((V, np.asarray([1, 0, 2, 1, 0])), {}), ((B, np.asarray([2, 0, 1])), {"axis": 0}),
        ((B, 0), {})],
    "reshape": [((A, (6, -1)), {}), ((A, (24,)), {"copy": True}), ((A, (4, 6)), {"copy": False}), ((np.asarray(1.0), (1, 1)), {})],
    "roll": [((A, 1), {}), ((A, 2), {"axis": -1}), ((A, (1, -2)), {"axis": (0, 2)}), ((A, 1), {"axis": (1, 2)}), ((V, -7), {})],
    "squeeze": [((A[:, None], 1), {}), ((A[None, :, None], (0, -3)), {})],
    "stack": [(([B, B],), {}), (([B, B],), {"axis": -1}), (([B, B.astype("float64")],), {"axis": 1})],
    "tile": [((B, (2,)), {}), ((B, (2, 1, 2)), {}), ((B, ()), {}), ((B, (0, 1)), {})],
    "unstack": [((A,), {}), ((A,), {"axis": -1}), ((A[:0],), {})],
    # indices
    "take": [((V, np.asarray([0, 4, 1])), {}), ((A, np.asarray([1, 0])), {"axis": 0}), ((A, np.asarray([2, 2, 0])), {"axis": -1}),
        ((V, I[:0]), {})],
    "take_along_axis": [((B, np.asarray([[1], [0], [3]])), {}), ((B, np.asarray([[2, 0, 1, 2]])), {"axis": 0})],
    "nonzero": [((A,), {}), ((V > 2,), {}), ((I[:0],), {})],
    # products
    "matmul": [((A, B.T.astype("float64")), {}), ((V, V), {}), ((B, B.T), {}), ((B, B.T.astype("float64")), {}), ((Z, Z.T), {}),
        ((I, I), {})],
    "matrix_transpose": [((A,), {}), ((Z,), {})],
    "tensordot": [((A, B.T.astype("float64")), {"axes": 1}), ((A, A), {"axes": ((1, 2), (1, 2))}), ((V, V), {"axes": 0}),
        ((A, A), {"axes": 3})],
    "vecdot": [((A, B.astype("float64")), {}), ((Z, Z), {}), ((A, A), {"axis": -2}), ((I, I), {})],
}  # fmt: skip


@pytest.fixture
def float64_default():
    """NumPy's default dtype."""
    taeda.set_default_dtype(taeda.float64)
    yield
    taeda.set_default_dtype(taeda.float32)


@pytest.mark.parametrize("name", CALLS)
def test_calls(name, float64_default):
    for arguments, keywords in CALLS[name]:
        check(function(name), *arguments, **keywords)


def test_limits():
    for dtype in FLOATING:
        mine, theirs = ours.finfo(getattr(ours, dtype)), strict.finfo(getattr(strict, dtype))
        for name in ("bits", "eps", "max", "min", "smallest_normal"):
            assert getattr(mine, name) == getattr(theirs, name), (dtype, name)
        assert str(mine.dtype).endswith(theirs.dtype._np_dtype.name)
    for dtype in INTEGERS:
        mine, theirs = ours.iinfo(ours.ones(1, dtype=getattr(ours, dtype))), strict.iinfo(getattr(strict, dtype))
        assert (mine.bits, mine.max, mine.min) == (theirs.bits, theirs.max, theirs.min)
        assert mine.dtype is getattr(ours, dtype)


def test_constants():
    for name in ("e", "inf", "pi", "newaxis"):
        assert getattr(ours, name) == getattr(strict, name)
    assert ours.nan != ours.nan


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda x: ours.take(x, ours.asarray([9]), axis=0), IndexError),
        (lambda x: ours.take(x, ours.asarray([0])), ValueError),
        (lambda x: ours.sum(x, axis=4), IndexError),
        (lambda x: ours.sum(x, axis=(0, 0)), ValueError),
        (lambda x: ours.squeeze(x, 0), ValueError),
        (lambda x: ours.nonzero(ours.asarray(1)), ValueError),
        (lambda x: ours.isdtype(x.dtype, "number"), ValueError),
        (lambda x: ours.isdtype("float32", "numeric"), TypeError),
        (lambda x: ours.isdtype(x.dtype, 3), TypeError),
        (lambda x: ours.result_type(), ValueError),
        (lambda x: ours.result_type(1, 2.0), ValueError),
        (lambda x: ours.result_type(x, "float32"), TypeError),
        (lambda x: ours.meshgrid(x[0], indexing="yx"), ValueError),
        (lambda x: ours.cumulative_sum(x), ValueError),
        (lambda x: ours.searchsorted(x[0], x, side="middle"), ValueError),
        (lambda x: ours.reshape(x.mT, (4,), copy=False), ValueError),
        (lambda x: ours.asarray([1.0], copy=False), ValueError),
        (lambda x: ours.asarray(x, dtype=ours.int8, copy=False), ValueError),
        (lambda x: ours.concat([x, x[0]]), ValueError),
        (lambda x: ours.concat([x, x], axis=2), IndexError),
        (lambda x: ours.vecdot(x, x[:, :1]), ValueError),
        (lambda x: ours.vecdot(x, x, axis=0), IndexError),
        (lambda x: ours.take_along_axis(x, ours.asarray([0])), ValueError),
        (lambda x: ours.where(x > 0, 1, 2), TypeError),
        (lambda x: ours.from_dlpack(3), TypeError),
        (lambda x: x.to_device("cpu", stream=1), ValueError),
        (lambda x: x.to_device("cuda"), RuntimeError),
        (lambda x: x.__array_namespace__(api_version="2019.01"), ValueError),
    ],
)
def test_errors(call, error):
    with pytest.raises(error):
        call(ours.asarray([[1.0, 2.0], [3.0, 4.0]]))


# -- gradients and compiled programs -----------------------------------------------------------------------------------
def test_gradients_flow():
    x = taeda.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = ours.sum(ours.std(ours.multiply(x, 2), axis=0, correction=1) + ours.vecdot(x, x) + ours.clip(x[0], 0, 1))
    y.backward()
    assert x.grad is not None and bool(x.grad.isfinite().all())


def test_functions_compile():
    def f(x):
        parts = ours.unstack(ours.concat([x, ours.flip(x, axis=1)], axis=0), axis=1)
        flat = ours.reshape(ours.asarray(x), (-1,))
        found = ours.mean(ours.stack(parts), axis=(0, 1), keepdims=True) + ours.max(x, axis=()) + ours.prod(flat)
        return ours.where(ours.any(x > 2, axis=0), found, ours.var(x, axis=0)) + ours.take(flat, ours.arange(4))

    x = taeda.randn(3, 4)
    for size in (3, 5):
        x = taeda.randn(size, 4)
        assert bool((taeda.compile(f)(x) == f(x)).all())
