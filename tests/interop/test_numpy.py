"""Tensors and NumPy, pandas, pyarrow and matplotlib: arrays of tensors, NumPy's functions on tensors, tensors of their data."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import taeda

DATA = np.asarray([[1.0, 2.0], [3.0, 4.0]], dtype="float32")


def same(got, want):
    want = np.asarray(want)
    got = got.numpy() if isinstance(got, taeda.Tensor) else np.asarray(got)
    assert got.shape == want.shape and got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-6)


# -- arrays of tensors -------------------------------------------------------------------------------------------------
def test_arrays_share_memory():
    x = taeda.tensor(DATA)
    array = np.asarray(x)
    array[0, 0] = 9
    assert x[0, 0] == 9 and np.may_share_memory(array, x.numpy())
    own = np.array(x)
    own[0, 0] = 1
    assert x[0, 0] == 9
    same(np.asarray(x, dtype="float64"), array.astype("float64"))
    same(np.asarray(x.T), array.T)
    same(np.array([x, x]), np.array([array, array]))
    same(np.asarray([x[0, 0], x[0, 1]]), array[0])
    assert np.asarray(x.bool()).dtype == bool and np.asarray(x.half()).dtype == np.float16
    assert np.asarray(taeda.tensor([1 + 2j])).dtype == np.complex64


def test_what_has_no_array():
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(taeda.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match=r"(?i)bfloat16"):
        np.asarray(taeda.ones(2, dtype=taeda.bfloat16))


# -- NumPy's functions -------------------------------------------------------------------------------------------------
TENSORS = """np.sin(x)
np.exp(x)
np.sqrt(x)
np.add(x, 1)
np.add(n, x)
np.multiply(x, x)
np.maximum(x, 2)
np.negative(x)
np.isnan(x)
np.greater(x, 2)
np.floor_divide(x, 2)
np.sum(x)
np.sum(x, axis=0)
np.mean(x, axis=1)
np.max(x)
np.min(x)
np.prod(x)
np.clip(x, 2, 3)
np.abs(x)
np.reshape(x, (4,))
np.transpose(x)
np.squeeze(x)
np.matmul(x, x)
np.argmax(x)
np.argsort(x)
np.cumsum(x, axis=0)
np.repeat(x, 2)
np.take(x, [1, 0], axis=0)
np.add.reduce(x)"""
ARRAYS = """np.concatenate([x, x])
np.stack([x, x])
np.where(x > 2, x, 0)
np.outer(x, x)
np.dot(x, x)
np.median(x)
np.percentile(x, 30)
np.unique(x)
np.pad(x, 1)
np.histogram(x)[0]
np.interp(1.5, x[0], x[1])
np.fft.fft(x)
np.meshgrid(x[0], x[1])[1]
np.einsum("ij,jk->ik", x, x)
np.zeros_like(x)
np.broadcast_to(x, (3, 2, 2))
np.ravel(x)"""
PLAIN = """np.shape(x)
np.ndim(x)
np.allclose(x, n)
np.array_equal(x, x)
np.iterable(x)
np.linalg.norm(x) > 5
np.size(x, 0)"""


def both(expression):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return (eval(expression, {"np": np, "x": x, "n": DATA}) for x in (taeda.tensor(DATA), DATA))


@pytest.mark.parametrize("expression", TENSORS.splitlines())
def test_functions_that_give_tensors(expression):
    got, want = both(expression)
    assert isinstance(got, taeda.Tensor)
    same(got, want)


@pytest.mark.parametrize("expression", ARRAYS.splitlines())
def test_functions_that_give_arrays(expression):
    got, want = both(expression)
    assert not isinstance(got, taeda.Tensor)
    same(got, want)


@pytest.mark.parametrize("expression", PLAIN.splitlines())
def test_functions_that_give_python_objects(expression):
    got, want = both(expression)
    assert tuple(got) == tuple(want) if isinstance(want, tuple) else got == want


def test_results_of_other_dtypes_stay_arrays():
    got = np.frompyfunc(str, 1, 1)(taeda.ones(2))
    assert isinstance(got, np.ndarray) and got.dtype == object


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "**", "@", "<", ">=", "==", "!="])
def test_operators_with_arrays(operator):
    x, n = taeda.tensor(DATA), DATA + 1
    for expression in (f"x {operator} n", f"n {operator} x"):
        got = eval(expression, {"x": x, "n": n})
        assert isinstance(got, taeda.Tensor)
        same(got, eval(expression, {"x": DATA, "n": n}))


@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "**", "<", "=="])
@pytest.mark.parametrize("scalar", [np.float32(2), np.float64(2), np.int64(2)])
def test_operators_with_scalars(operator, scalar):
    x = taeda.tensor(DATA)
    for expression in (f"x {operator} s", f"s {operator} x"):
        got = eval(expression, {"x": x, "s": scalar})
        assert isinstance(got, taeda.Tensor) and got.dtype in (taeda.float32, taeda.bool)
        same(got, eval(expression, {"x": DATA, "s": np.float32(scalar)}))


def test_indices():
    x, i, b = taeda.tensor(DATA), taeda.tensor([1, 0]), taeda.tensor([True, False])
    same(DATA[i], DATA[[1, 0]])
    same(DATA[b], DATA[:1])
    same(DATA[: i[0]], DATA[:1])
    same(x[np.asarray([1, 0])], DATA[[1, 0]])
    same(x[np.asarray([[True, False], [True, True]])], DATA[[0, 1, 1], [0, 0, 1]])
    same(x[np.int64(1)], DATA[1])
    same(x[np.asarray([0]), np.asarray([1])], DATA[[0], [1]])
    assert ["a", "b"][i[0]] == "b" and np.zeros(i[0]).shape == (1,)


def test_operators_are_copied_and_pickled_by_name():
    for function in (taeda.exp, taeda.mean, taeda.nn.functional.relu, taeda.Tensor.exp, taeda.Tensor.add_, taeda.cat):
        assert copy.deepcopy(function) is function
        assert pickle.loads(pickle.dumps(function)) is function


# -- pandas, pyarrow, matplotlib ---------------------------------------------------------------------------------------
def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]}, index=["x", "y"])
    same(taeda.tensor(frame["a"]), np.asarray([1.0, 2.0]))
    same(taeda.tensor(frame["b"]), np.asarray([3, 4]))
    same(taeda.tensor(frame), frame.to_numpy())
    same(taeda.as_tensor(frame[["b"]], dtype=taeda.float32), np.asarray([[3], [4]], "float32"))
    same(taeda.tensor(pd.Series([True, False])), np.asarray([True, False]))
    same(taeda.tensor(pd.Index([1, 2])), np.asarray([1, 2]))
    same(taeda.tensor(pd.Series([1, None], dtype="Int64").astype("float64")), np.asarray([1.0, np.nan]))
    x = taeda.arange(3.0)
    same(x[pd.Series([2, 0])], np.asarray([2.0, 0.0], "float32"))
    same(x[pd.Series([True, False, True])], np.asarray([0.0, 2.0], "float32"))
    same(pd.Series(x).to_numpy(), x.numpy())
    same(pd.DataFrame({"a": x})["a"].to_numpy(), x.numpy())
    same(pd.DataFrame(taeda.tensor(DATA)).to_numpy(), DATA)
    with pytest.raises(RuntimeError, match="infer dtype"):
        taeda.tensor(pd.Series(["a", "b"]))
    with pytest.raises(RuntimeError, match="infer dtype"):
        taeda.tensor(pd.Series(pd.to_datetime(["2020-01-01"])))


def test_pyarrow():
    pa = pytest.importorskip("pyarrow")
    array = pa.array([1.0, 2.0, 3.0])
    same(taeda.tensor(array), np.asarray([1.0, 2.0, 3.0]))
    same(taeda.from_dlpack(array), np.asarray([1.0, 2.0, 3.0]))
    same(taeda.tensor(pa.chunked_array([[1, 2], [3]])), np.asarray([1, 2, 3]))
    same(taeda.from_dlpack(pa.Tensor.from_numpy(DATA)), DATA)
    same(taeda.tensor(pa.table({"a": [1.0, 2.0], "b": [3.0, 4.0]})), np.asarray([[1.0, 3.0], [2.0, 4.0]]))
    assert pa.array(taeda.arange(3).numpy()).to_pylist() == [0, 1, 2]


def test_an_array_method_that_gives_something_else():
    class Odd:
        def __array__(self, dtype=None, copy=None):
            return [1, 2]

    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise KeyError("no data")

    with pytest.raises(RuntimeError, match="infer dtype of Odd"):
        taeda.tensor(Odd())
    with pytest.raises(KeyError, match="no data"):
        taeda.tensor(Broken())
    with pytest.raises(IndexError, match="Odd"):
        taeda.ones(3)[Odd()]


def test_matplotlib(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x, y = taeda.linspace(0, 1, 20), taeda.linspace(0, 1, 20).sin()
    figure, axes = plt.subplots(2, 4)
    (line,) = axes[0, 0].plot(x, y)
    same(np.asarray(line.get_ydata(), "float32"), y.numpy())
    axes[0, 1].scatter(x, y, c=y)
    axes[0, 2].hist(y)
    axes[0, 3].bar(x[:3], y[:3])
    axes[1, 0].imshow(taeda.rand(4, 4))
    axes[1, 1].imshow(taeda.rand(4, 4, 3))
    axes[1, 2].fill_between(x, y, y + 1)
    axes[1, 3].errorbar(x, y, yerr=y / 10)
    figure.savefig(tmp_path / "figure.png")
    plt.close(figure)
    assert (tmp_path / "figure.png").stat().st_size > 1000
