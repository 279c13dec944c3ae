"""repr() of tensors is PyTorch's."""

from __future__ import annotations

import numpy
import pytest

import taeda

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

CASES = {
    "ints": [[1, 2], [3, 40]],
    "floats": [[1.0, 2.5], [-3.25, 1e-3]],
    "whole": [1.0, 2.0, -3.0],
    "large": [1e9, 1.0],
    "small": [1e-6, 1.0],
    "ratio": [1.0, 20000.5],
    "special": [float("nan"), float("inf"), -1.5],
    "bools": [True, False],
    "scalar": 3.5,
    "whole_scalar": 2.0,
    "long": list(range(2000)),
    "lines": [float(k) / 7 for k in range(40)],
    "cube": numpy.arange(24.0).reshape(2, 3, 4).tolist(),
    "wide": numpy.arange(3000.0).reshape(30, 100).tolist(),
    "deep": numpy.zeros((8, 8, 20)).tolist(),
}


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    assert repr(taeda.tensor(CASES[name])) == repr(torch.tensor(CASES[name]))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int32", "uint8", "bool"])
def test_dtypes(dtype):
    ours = taeda.tensor([[1, 0], [3, 4]]).to(getattr(taeda, dtype))
    theirs = torch.tensor([[1, 0], [3, 4]]).to(getattr(torch, dtype))
    assert repr(ours) == repr(theirs).replace("torch.", "taeda.")


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_empty(shape):
    assert repr(taeda.zeros(shape)) == repr(torch.zeros(shape))
    assert repr(taeda.zeros(shape, dtype=taeda.int32)) == repr(torch.zeros(shape, dtype=torch.int32)).replace(
        "torch.", "taeda."
    )


def test_gradients_are_named():
    ours, theirs = taeda.tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    assert repr(ours) == repr(theirs)
    assert repr(ours * 2) == repr(theirs * 2)
    assert repr((ours + 1).sum()) == repr((theirs + 1).sum())


def test_format_of_one_element():
    assert f"{taeda.tensor(1.23456):.2f}" == "1.23"
    assert str(taeda.tensor([1.0]).shape) == "taeda.Size([1])"
