"""Wrong dtypes, shapes, indices and devices: PyTorch's exception type and a message that names the operator, what came and
what was expected, in eager, compiled and traced code alike. (That the types are PyTorch's is compared in tests/parity.)"""

from __future__ import annotations

import re
import traceback

import pytest

import taeda
import taeda.nn.functional as F
from taeda import nn


def ints(*values):
    return taeda.tensor(values)


def ones(*shape, dtype=None):
    return taeda.ones(*shape, dtype=dtype)


# (function, arguments that fit, arguments that do not, exception, what the message holds)
PROGRAMS = {
    "add": (lambda a, b: a + b, (ones(2, 3), ones(3)), (ones(2, 3), ones(4)), RuntimeError, "size of tensor a (3) tensor b (4) dimension 1"),
    "in place": (lambda a, b: a.clone().add_(b), (ones(3), ones(3)), (ones(3), ones(2, 3)), RuntimeError, "[3] [2, 3]"),
    "where": (taeda.where, (ones(3) > 0, ones(3), ones(3)), (ones(3) > 0, ones(3), ones(2)), RuntimeError, "(3) (2) dimension 0"),
    "matmul": (taeda.matmul, (ones(2, 3), ones(3, 4)), (ones(2, 3), ones(4, 5)), RuntimeError, "multiplied 2x3 4x5"),
    "matmul dtype": (taeda.matmul, (ones(2, 3), ones(3, 4)), (ones(2, 3), ones(3, 4, dtype=taeda.int64)), RuntimeError, "float int64|long"),
    "bmm": (taeda.bmm, (ones(2, 3, 4), ones(2, 4, 5)), (ones(2, 3, 4), ones(3, 4, 5)), RuntimeError, "2 3"),
    "einsum": (
        lambda a, b: taeda.einsum("ij,jk->ik", a, b), (ones(2, 3), ones(3, 4)), (ones(2, 3), ones(4, 4)), RuntimeError, "einsum 3 4",
    ),
    "cat": (lambda a, b: taeda.cat([a, b]), (ones(2, 3), ones(1, 3)), (ones(2, 3), ones(1, 4)), RuntimeError, "size 3 size 4 tensor number 1"),
    "stack": (lambda a, b: taeda.stack([a, b]), (ones(2), ones(2)), (ones(2), ones(3)), RuntimeError, "2 3"),
    "view": (lambda a: a.view(2, 3), (ones(6),), (ones(7),), RuntimeError, "shape '[2, 3]' size 7"),
    "reshape": (lambda a: a.reshape(2, -1), (ones(4),), (ones(5),), RuntimeError, "shape '[2, -1]' size 5"),
    "expand": (lambda a: a.expand(4, 3), (ones(1, 3),), (ones(2, 3),), RuntimeError, "(4) (2)"),
    "split": (lambda a: a.split([2, 3])[0], (ones(5),), (ones(6),), RuntimeError, "split 6"),
    "narrow": (lambda a: a.narrow(0, 1, 3), (ones(4),), (ones(3),), RuntimeError, "start (1) length (3) (3)"),
    "select": (lambda a: a[3], (ones(4),), (ones(3),), IndexError, "index 3 size 3"),
    "rank": (lambda a: a.sum(1), (ones(2, 3),), (ones(2),), IndexError, "[-1, 0] 1"),
    "softmax": (lambda a: a.softmax(2), (ones(2, 3, 4),), (ones(2, 3),), IndexError, "[-2, 1] 2"),
    "topk": (lambda a: a.topk(3)[0], (ones(6),), (ones(2),), RuntimeError, "k=3 2"),
    "sort": (lambda a: a.sort(1)[0], (ones(2, 3),), (ones(2),), IndexError, "[-1, 0] 1"),
    "cumsum": (lambda a: a.cumsum(1), (ones(2, 3),), (ones(2),), IndexError, "[-1, 0] 1"),
    "empty maximum": (lambda a: a.max(), (ones(3),), (ones(0),), RuntimeError, "max"),
    "index": (lambda a, i: a[i], (ones(3), ints(0, 1)), (ones(3), ints(0, 7)), IndexError, "index 7 dimension 0 size 3"),
    "index dtype": (lambda a, i: a[i], (ones(3), ints(0, 1)), (ones(3), ones(2)), IndexError, "long float"),
    "index_select": (lambda a, i: a.index_select(0, i), (ones(3), ints(0, 1)), (ones(3), ints(0, 7)), IndexError, "index_select 7 3"),
    "gather": (lambda a, i: a.gather(0, i), (ones(3), ints(0, 1)), (ones(3), ints(0, -1)), RuntimeError, "gather -1 dimension 0 size 3"),
    "scatter": (
        lambda a, i: a.scatter(0, i, taeda.ones(2)), (ones(3), ints(0, 1)), (ones(3), ints(0, 7)), RuntimeError, "scatter 7 dimension 0 size 3",
    ),
    "index_put": (lambda a, i: a.clone().index_put_((i,), taeda.ones(2)), (ones(3), ints(0, 1)), (ones(3), ints(0, 7)), IndexError, "7 0 3"),
    "masked_fill": (lambda a, m: a.masked_fill(m, 0), (ones(3), ones(3) > 0), (ones(3), ones(2) > 0), RuntimeError, "3 2"),
    "tril": (lambda a: a.tril(), (ones(2, 2),), (ones(2),), RuntimeError, "tril 2"),
    "bitwise": (lambda a, b: a & b, (ints(1), ints(1)), (ones(1), ints(1)), RuntimeError, "bitwise_and loat"),
    "minus of bools": (lambda a, b: a - b, (ones(1), ones(1) > 0), (ones(1) > 0, ones(1) > 0), RuntimeError, "ool"),
    "mean of whole numbers": (lambda a: a.mean(), (ones(2),), (ints(1, 2),), RuntimeError, "mean loat"),
    "linear": (F.linear, (ones(2, 3), ones(4, 3)), (ones(2, 3), ones(4, 5)), RuntimeError, "2x3 5x4"),
    "layer_norm": (lambda x: F.layer_norm(x, (4,)), (ones(2, 4),), (ones(2, 5),), RuntimeError, "normalized_shape=[4] [2, 5]"),
    "embedding": (F.embedding, (ints(1), ones(5, 2)), (ints(9), ones(5, 2)), IndexError, "9 5"),
    "cross_entropy batch": (F.cross_entropy, (ones(2, 3), ints(0, 1)), (ones(2, 3), ints(0, 1, 2)), ValueError, "(2) (3)"),
    "cross_entropy class": (F.cross_entropy, (ones(2, 3), ints(0, 1)), (ones(2, 3), ints(0, 7)), IndexError, "7"),
    "mse_loss": (F.mse_loss, (ones(2), ones(2)), (ones(2), ones(3)), RuntimeError, "(2) (3)"),
    "conv2d channels": (F.conv2d, (ones(1, 3, 8, 8), ones(4, 3, 3, 3)), (ones(1, 2, 8, 8), ones(4, 3, 3, 3)), RuntimeError, "3 channels 2 channels"),
    "conv2d kernel": (F.conv2d, (ones(1, 1, 8, 8), ones(1, 1, 3, 3)), (ones(1, 1, 2, 2), ones(1, 1, 3, 3)), RuntimeError, "2 3"),
    "max_pool2d": (lambda x: F.max_pool2d(x, 5), (ones(1, 1, 9, 9),), (ones(1, 1, 2, 2),), RuntimeError, "small|2"),
    "attention": (
        F.scaled_dot_product_attention, (ones(1, 1, 2, 4),) * 3, (ones(1, 1, 2, 4), ones(1, 1, 2, 5), ones(1, 1, 2, 5)), RuntimeError, "4 5",
    ),
}  # fmt: skip


def holds(error: BaseException, words: str) -> None:
    text = str(error)
    for word in words.split(" "):
        assert any(w in text for w in word.split("|")), f"{word!r} is not in: {text}"


def refused(kind, words, call, *arguments) -> BaseException:
    with pytest.raises(kind) as raised:
        call(*arguments)
    assert raised.type is kind or issubclass(raised.type, kind)
    holds(raised.value, words)
    return raised.value


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    call, good, bad, kind, words = PROGRAMS[name]
    before = [t.clone() for t in bad]
    refused(kind, words, call, *bad)
    refused(kind, words, taeda.compile(call), *bad)
    with pytest.raises(kind) as raised:
        taeda.jit.trace(call, bad)(*bad)
    holds(raised.value, words)

    expected = call(*good)
    compiled, traced = taeda.compile(call), taeda.jit.trace(call, good)
    for run in (compiled, traced):
        assert taeda.equal(run(*good), expected)
    refused(kind, words, compiled, *bad)
    with pytest.raises((kind, RuntimeError)) as raised:
        traced(*bad)
    assert re.search(r"shape|size|index|got", str(raised.value)), raised.value
    for run in (compiled, traced):  # and go on
        assert taeda.equal(run(*good), expected)
    assert all(taeda.equal(t, b) for t, b in zip(bad, before))


CALLS = {
    "device": (lambda: taeda.ones(2, device="nowhere"), RuntimeError, "nowhere"),
    "device of a copy": (lambda: taeda.ones(2).to("cuda:0"), (RuntimeError, AssertionError), "cuda|CUDA"),
    "device of a module": (lambda: nn.Linear(2, 2).to("nowhere"), RuntimeError, "nowhere"),
    "negative size": (lambda: taeda.zeros(-1), RuntimeError, "negative -1"),
    "endless size": (lambda: taeda.empty(2**40, 2**40), RuntimeError, "1099511627776"),
    "ragged": (lambda: taeda.tensor([[1, 2], [3]]), ValueError, "length 2 1"),
    "objects": (lambda: taeda.tensor([object()]), (RuntimeError, TypeError), "object"),
    "too large a number": (lambda: taeda.tensor(2**70), (RuntimeError, OverflowError), "large|int64"),
    "no number": (lambda: taeda.ones(3) + "a", TypeError, "+ str"),
    "no tensor": (lambda: taeda.exp("a"), TypeError, "exp input str Tensor"),
    "unknown argument": (lambda: taeda.sum(ones(1), nothing=1), TypeError, "sum nothing"),
    "missing argument": (lambda: taeda.gather(ones(1)), TypeError, "gather dim|index"),
    "too many arguments": (lambda: taeda.exp(ones(1), 2, 3), TypeError, "exp"),
    "dim of a wrong type": (lambda: ones(2, 2).sum("rows"), TypeError, "sum str"),
    "shape of a wrong type": (lambda: ones(4).view("2", 2), TypeError, "view ('2',"),
    "dtype of a wrong type": (lambda: ones(2).to(dtype="float"), TypeError, "dtype str"),
    "in-place dtype": (lambda: ints(1).add_(0.5), RuntimeError, "loat"),
    "leaf": (lambda: taeda.ones(2, requires_grad=True).add_(1), RuntimeError, "leaf in-place"),
    "backward of many": (lambda: taeda.ones(2, requires_grad=True).exp().backward(), RuntimeError, "scalar"),
    "gradient of whole numbers": (lambda: taeda.ones(2, dtype=taeda.int64, requires_grad=True), RuntimeError, "loat"),
    "item": (lambda: ones(2).item(), RuntimeError, "2 Scalar|scalar"),
    "truth": (lambda: bool(ones(2)), RuntimeError, "ambiguous"),
    "numpy of a gradient": (lambda: taeda.ones(2, requires_grad=True).numpy(), RuntimeError, "detach"),
    "overlap": (lambda: ones(1).expand(3).add_(1), RuntimeError, "single memory location"),
    "storage": (lambda: ones(3).as_strided((4,), (2,)), RuntimeError, "storage [4] [2]"),
    "optimizer without parameters": (lambda: taeda.optim.SGD([], lr=0.1), ValueError, "empty"),
    "learning rate": (lambda: taeda.optim.Adam([taeda.ones(1, requires_grad=True)], lr=-1), ValueError, "learning rate -1"),
    "state dict": (lambda: nn.Linear(2, 3).load_state_dict({"weight": ones(2, 2)}), RuntimeError, "bias weight [2, 2] [3, 2]"),
    "other optimizer's state": (
        lambda: taeda.optim.SGD([ones(1)], lr=1).load_state_dict({"state": {}, "param_groups": []}), ValueError, "group",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    call, kind, words = CALLS[name]
    with pytest.raises(kind) as raised:
        call()
    holds(raised.value, words)


# (layer, what it takes, what it does not take, exception, what the message holds)
LAYERS = {
    "Linear": (lambda: nn.Linear(3, 4), (ones(2, 3),), (ones(2, 5),), RuntimeError, "2x5 3x4"),
    "Linear dtype": (lambda: nn.Linear(3, 4), (ones(2, 3),), (ones(2, 3, dtype=taeda.float64),), RuntimeError, "float64|double float32|float"),
    "Embedding": (lambda: nn.Embedding(5, 2), (ints(1, 2),), (ints(1, 9),), IndexError, "9 5"),
    "Embedding dtype": (lambda: nn.Embedding(5, 2), (ints(1, 2),), (ones(2),), RuntimeError, "loat"),
    "LayerNorm": (lambda: nn.LayerNorm(4), (ones(2, 4),), (ones(2, 5),), RuntimeError, "[4] [2, 5]"),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3), (ones(1, 3, 8, 8),), (ones(1, 2, 8, 8),), RuntimeError, "3 2"),
    "Conv2d rank": (lambda: nn.Conv2d(3, 4, 3), (ones(1, 3, 8, 8),), (ones(8, 8),), RuntimeError, "[8, 8]"),
    "MaxPool2d": (lambda: nn.MaxPool2d(3), (ones(1, 3, 8, 8),), (ones(1, 3, 2, 2),), RuntimeError, "small|2"),
    "Flatten": (lambda: nn.Flatten(2), (ones(1, 3, 2, 2),), (ones(2),), IndexError, "2"),
    "ReLU": (lambda: nn.ReLU(), (ones(2),), (None,), TypeError, "None"),
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(8, 2), (ones(3, 1, 8),) * 3, (ones(3, 1, 7),) * 3, (RuntimeError, AssertionError), "8 7",
    ),
    "TransformerEncoderLayer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16), (ones(5, 2, 8),), (ones(5, 2, 9),), (RuntimeError, AssertionError), "8 9",
    ),
    "TransformerDecoderLayer": (
        lambda: nn.TransformerDecoderLayer(8, 2, 16), (ones(5, 2, 8), ones(4, 2, 8)), (ones(5, 2, 8), ones(4, 2, 9)),
        (RuntimeError, AssertionError), "8|9",
    ),
    "Transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 16), (ones(5, 2, 8), ones(4, 2, 8)), (ones(5, 2, 8), ones(4, 3, 8)), RuntimeError, "batch",
    ),
    "CrossEntropyLoss": (lambda: nn.CrossEntropyLoss(), (ones(2, 3), ints(0, 1)), (ones(2, 3), ints(0, 3)), IndexError, "3"),
    "MSELoss": (lambda: nn.MSELoss(), (ones(2), ones(2)), (ones(2), ones(3)), RuntimeError, "2 3"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:Using a target size")
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    make, good, bad, kind, words = LAYERS[name]
    layer = make()
    state = {k: v.clone() for k, v in layer.state_dict().items()}
    layer(*good)
    with pytest.raises(kind) as raised:
        layer(*bad)
    holds(raised.value, words)
    if all(isinstance(x, taeda.Tensor) for x in bad):
        compiled = taeda.compile(layer)
        for _ in range(2):
            compiled(*good)
            with pytest.raises(kind) as raised:
                compiled(*bad)
            holds(raised.value, words)
    layer(*good)
    assert all(taeda.equal(v, state[k]) for k, v in layer.state_dict().items())


class Narrow(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 4)

    def forward(self, x):
        x = x[..., :3]
        return self.project(x)  # the wrong line


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 4)

    def forward(self, x):
        row = x.argmax(-1) + 4
        return self.table(row)  # the wrong row


DEEP = {
    "shape": (Narrow, RuntimeError, "5x3 4x4", "return self.project(x)  # the wrong line"),
    "index": (Lookup, IndexError, "4", "return self.table(row)  # the wrong row"),
}


@pytest.mark.parametrize("way", ["eager", "compiled", "traced", "step"])
@pytest.mark.parametrize("name", DEEP)
def test_the_line_deep_inside_a_model_is_named(name, way):
    make, kind, words, line = DEEP[name]
    model = nn.Sequential(nn.Linear(2, 4), nn.Sequential(nn.ReLU(), nn.Sequential(make(), nn.Tanh())))
    x = taeda.ones(5, 2)
    if way == "step":
        optimizer = taeda.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x):
            loss = model(x).sum()
            loss.backward()
            optimizer.step()
            return loss

    run = {
        "eager": model,
        "compiled": taeda.compile(model),
        "traced": lambda x: taeda.jit.trace(model, (x,))(x),
        "step": taeda.compile(step) if way == "step" else None,
    }[way]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(kind) as raised:
        run(x)
    holds(raised.value, words)
    shown = "".join(traceback.format_exception(raised.type, raised.value, raised.tb))
    assert line in shown or line.split("  #")[0] in shown
    assert all(taeda.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_transformer_names_the_line_that_made_the_shape():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.blocks, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(9, 3)

        def forward(self, x):
            h = self.blocks(x)
            return self.head(h)  # 8 wide

    model, x = Model().eval(), taeda.ones(2, 5, 8)
    for run in (model, taeda.compile(model), lambda x: taeda.jit.trace(model, (x,))(x)):
        with pytest.raises(RuntimeError, match="multiplied") as raised:
            run(x)
        holds(raised.value, "10x8 9x3")
        assert "return self.head(h)  # 8 wide" in "".join(traceback.format_tb(raised.tb))


def test_saved_values_that_were_written():
    w = taeda.ones(3, requires_grad=True)

    def step(x):
        y = (x * w).exp()
        y.add_(1)
        y.sum().backward()
        return y

    for run in (step, taeda.compile(step)):
        with pytest.raises(RuntimeError, match="modified by an inplace operation") as raised:
            run(taeda.ones(3))
        holds(raised.value, "[3] ExpBackward0 version 1; version 0")
        assert w.grad is None
