"""What users touch: names, signatures, error types and messages, results with names, random numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import taeda
from taeda.ops.table import TABLE, lookup


def test_import_brings_no_heavy_module():
    code = (
        "import sys, taeda; "
        "bad = {'numpy', 'llvmlite', 'dataclasses', 'inspect', 'typing', 'asyncio'} & set(sys.modules); "
        "import taeda; print(sorted(bad))"
    )
    found = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_operator_has_a_docstring_and_a_function():
    for op in TABLE.values():
        if op.function and op.name[0] != "_":
            assert op.doc, op.name
            assert callable(getattr(taeda, op.name)), op.name


def test_gradient_operators_are_found_by_name():
    assert lookup("mul.grad0.grad1").parent == ("mul.grad0", 1)
    with pytest.raises(KeyError, match="no operator is called 'nothing'"):
        lookup("nothing")


def test_python_operators():
    x = taeda.tensor([7, -7])
    assert (x // 2).tolist() == [3, -4]
    assert (x % 3).tolist() == [1, 2]
    assert (x / 2).dtype is taeda.float32
    assert (2 - x).tolist() == [-5, 9]
    assert (2 ** taeda.tensor([3])).tolist() == [8]
    assert (x & 3).tolist() == [3, 1]
    assert (~taeda.tensor([True])).tolist() == [False]
    assert (1 << taeda.tensor([3])).tolist() == [8]
    y = x
    x += 1
    assert y.tolist() == [8, -6]
    assert (x == 8).tolist() == [True, False]
    assert 8 in x
    assert 9 not in x


def test_results_with_names():
    values, indices = taeda.tensor([[1.0, 3.0], [5.0, 2.0]]).max(1)
    assert (values.tolist(), indices.tolist()) == ([3.0, 5.0], [1, 0])
    assert taeda.sort(taeda.tensor([2, 1])).indices.tolist() == [1, 0]
    assert repr(taeda.tensor([1, 2]).max(0)).startswith("taeda.return_types.max(\nvalues=tensor(2)")


def test_varargs_and_keywords():
    x = taeda.arange(6)
    assert x.view(2, 3).shape == x.view((2, 3)).shape == x.reshape(2, -1).shape
    assert taeda.zeros(2, 3).permute(1, 0).shape == (3, 2)
    assert taeda.zeros(1, 3).expand(4, -1).shape == (4, 3)
    assert taeda.sum(input=taeda.ones(2, 3), dim=1, keepdim=True).shape == (2, 1)
    assert taeda.add(taeda.ones(2), taeda.ones(2), alpha=3).tolist() == [4.0, 4.0]
    assert taeda.ones(2).add_(taeda.ones(2), alpha=3).tolist() == [4.0, 4.0]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: taeda.zeros(2, 3) + taeda.zeros(4), RuntimeError, "must match the size"),
        (lambda: taeda.zeros(2, 3) @ taeda.zeros(4, 5), RuntimeError, "matmul|mat1 and mat2"),
        (lambda: taeda.zeros(2, 3).sum(5), IndexError, "Dimension out of range"),
        (lambda: taeda.zeros(2, 3).view(4), RuntimeError, "invalid for input of size"),
        (lambda: taeda.zeros(2, 3).softmax(2), IndexError, "Dimension out of range"),
        (lambda: taeda.cat([]), (RuntimeError, ValueError), "non-empty"),
        (lambda: taeda.stack([taeda.zeros(2), taeda.zeros(3)]), RuntimeError, "equal size"),
        (lambda: taeda.zeros(2, dtype=taeda.bool) - taeda.zeros(2, dtype=taeda.bool), RuntimeError, "sub"),
        (lambda: taeda.zeros(3).index_select(0, taeda.tensor([5])), (RuntimeError, IndexError), "out of"),
        (lambda: taeda.zeros(3)[5], IndexError, "out of bounds"),
        (lambda: taeda.zeros(2).add("x"), TypeError, "add"),
        (lambda: taeda.zeros(2).add(), TypeError, "add"),
        (lambda: taeda.tensor([1.0]) & 1, RuntimeError, "bitwise_and"),
        (lambda: taeda.tensor([1]).mean(), RuntimeError, "could not infer output dtype"),
        (lambda: taeda.zeros(2).cuda(), RuntimeError, "not available"),
        (lambda: taeda.nn.functional.cross_entropy(taeda.zeros(2, 3), taeda.tensor([0, 3])), IndexError, "out of"),
        (lambda: taeda.nn.functional.cross_entropy(taeda.zeros(2, 3), taeda.tensor([0, -1])), IndexError, "out of"),
        (lambda: taeda.nn.functional.embedding(taeda.tensor([3]), taeda.zeros(3, 2)), IndexError, "out of"),
        (lambda: taeda.nn.functional.embedding(taeda.tensor([-1]), taeda.zeros(3, 2)), IndexError, "out of"),
        (lambda: taeda.einsum("ij,jk->iz", taeda.zeros(2, 3), taeda.zeros(3, 4)), RuntimeError, "output subscript z"),
        (lambda: taeda.nn.functional.conv2d(taeda.ones(1, 3, 5, 5), taeda.ones(4, 2, 3, 3)), RuntimeError, "channels"),
        (lambda: taeda.full((2,), taeda.zeros(2)), TypeError, "fill_value"),
        (lambda: taeda.arange(0, 5, 0), RuntimeError, "nonzero"),
        (lambda: taeda.multinomial(taeda.tensor([0.0, 0.0]), 1), RuntimeError, "invalid multinomial"),
        (lambda: taeda.abs(taeda.tensor([-1.5]), out=taeda.zeros(1, dtype=taeda.int64)), RuntimeError, "can't be cast"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(call, error, text):
    with pytest.raises(error, match=text):
        call()


# -- random ------------------------------------------------------------------------------------------------------------
def test_random_is_reproducible_and_moves_on():
    taeda.manual_seed(3)
    first, second = taeda.rand(5), taeda.rand(5)
    taeda.manual_seed(3)
    assert taeda.equal(taeda.rand(5), first)
    assert not taeda.equal(first, second)
    generator = taeda.Generator().manual_seed(3)
    assert taeda.equal(taeda.rand(5, generator=generator), first)


def test_distributions():
    taeda.manual_seed(0)
    u = taeda.rand(20000)
    assert float(u.min()) >= 0 and float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.01
    n = taeda.randn(20000, dtype=taeda.float64)
    assert abs(float(n.mean())) < 0.03 and abs(float(n.std()) - 1) < 0.03
    half = taeda.rand(20000, dtype=taeda.float16)
    assert float(half.max()) < 1
    k = taeda.randint(-3, 4, (20000,))
    assert k.dtype is taeda.int64 and sorted(set(k.tolist())) == list(range(-3, 4))
    assert sorted(taeda.randperm(100).tolist()) == list(range(100))
    e = taeda.empty(20000).exponential_(2.0)
    assert abs(float(e.mean()) - 0.5) < 0.02
    b = taeda.full((20000,), 0.3).bernoulli()
    assert abs(float(b.mean()) - 0.3) < 0.02


def test_multinomial():
    taeda.manual_seed(0)
    weights = taeda.tensor([0.0, 1.0, 3.0])
    drawn = weights.multinomial(20000, replacement=True)
    assert abs(float((drawn == 2).float().mean()) - 0.75) < 0.02
    assert int((drawn == 0).sum()) == 0
    pair = taeda.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 0.0]]).multinomial(2)
    assert all(len(set(row)) == 2 for row in pair.tolist())
    assert set(pair[1].tolist()) == {0, 1}


def test_dropout_recomputes_its_mask():
    taeda.manual_seed(0)
    x = taeda.ones(1000, requires_grad=True)
    y = taeda.nn.functional.dropout(x, 0.25)
    y.sum().backward()
    assert taeda.equal(x.grad, y.detach())
    assert abs(float((y == 0).float().mean()) - 0.25) < 0.05
    assert taeda.nn.functional.dropout(x, 0.25, training=False) is x


def test_padding_row_of_an_embedding_gets_no_gradient():
    weight = taeda.rand(4, 3, requires_grad=True)
    taeda.nn.functional.embedding(taeda.tensor([1, 2, 1]), weight, padding_idx=1).sum().backward()
    assert weight.grad.tolist() == [[0.0] * 3, [0.0] * 3, [1.0] * 3, [0.0] * 3]
