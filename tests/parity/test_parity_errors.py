"""Wrong calls raise what PyTorch raises, and the message names the operation or argument, what came and what was expected."""

from __future__ import annotations

import pytest
import torch

import taeda

# (call, words that our message must hold)
CALLS = {
    "add shapes": (lambda t: t.ones(2, 3) + t.ones(4), "add|size"),
    "add_ shape": (lambda t: t.ones(3).add_(t.ones(2, 3)), "[2, 3]"),
    "matmul shapes": (lambda t: t.ones(2, 3) @ t.ones(4, 5), "2x3|4x5"),
    "matmul dtype": (lambda t: t.ones(2, 2) @ t.ones(2, 2, dtype=t.int64), "dtype|int64|long"),
    "mm rank": (lambda t: t.mm(t.ones(3), t.ones(3, 3)), "mm|1"),
    "bmm batch": (lambda t: t.bmm(t.ones(2, 3, 4), t.ones(3, 4, 5)), "2|3"),
    "einsum": (lambda t: t.einsum("ij,jk->ik", t.ones(2, 3), t.ones(4, 5)), "einsum|j|3|4"),
    "cat shapes": (lambda t: t.cat([t.ones(2, 3), t.ones(2, 4)]), "3|4"),
    "cat empty": (lambda t: t.cat([]), "cat|empty"),
    "stack shapes": (lambda t: t.stack([t.ones(2), t.ones(3)]), "2|3"),
    "view size": (lambda t: t.ones(6).view(4), "[4]|6"),
    "view stride": (lambda t: t.ones(2, 3).t().view(6), "view|stride"),
    "reshape two unknown": (lambda t: t.ones(6).reshape(-1, -1), "-1|infer"),
    "permute": (lambda t: t.ones(2, 3).permute(0, 0), "permute|dim"),
    "transpose dim": (lambda t: t.ones(2, 3).transpose(0, 2), "2|range"),
    "squeeze dim": (lambda t: t.ones(2, 3).squeeze(5), "5|[-2, 1]"),
    "unsqueeze dim": (lambda t: t.ones(2).unsqueeze(3), "3|[-2, 1]"),
    "expand": (lambda t: t.ones(2, 3).expand(2, 4), "3|4"),
    "sum dim": (lambda t: t.ones(2).sum(2), "2|[-1, 0]"),
    "softmax dim": (lambda t: t.ones(2).softmax(3), "3"),
    "argmax empty": (lambda t: t.empty(0).argmax(), "argmax|empty"),
    "max empty": (lambda t: t.empty(0).max(), "max|empty"),
    "index": (lambda t: t.ones(2)[5], "5|size 2"),
    "index too many": (lambda t: t.ones(2)[0, 0], "indices|1"),
    "index tensor": (lambda t: t.ones(3)[t.tensor([0, 7])], "7|3"),
    "index float": (lambda t: t.ones(3)[t.tensor([0.5])], "float|integer|long|index"),
    "index mask shape": (lambda t: t.ones(3)[t.tensor([True, False])], "2|3"),
    "gather index": (lambda t: t.gather(t.ones(2), 0, t.tensor([4])), "4"),
    "gather dtype": (lambda t: t.gather(t.ones(2), 0, t.tensor([0.0])), "int64"),
    "index_select": (lambda t: t.ones(3).index_select(0, t.tensor([9])), "9|3|out of"),
    "scatter": (lambda t: t.zeros(3).scatter(0, t.tensor([8]), t.ones(1)), "8"),
    "narrow": (lambda t: t.ones(3).narrow(0, 2, 2), "2|3"),
    "select": (lambda t: t.ones(3).select(0, 4), "4|3"),
    "split": (lambda t: t.ones(5).split([2, 2]), "split|5"),
    "chunk": (lambda t: t.ones(5).chunk(0), "chunk|0"),
    "as_strided": (lambda t: t.ones(3).as_strided((4,), (2,)), "storage"),
    "item": (lambda t: t.ones(2).item(), "2|scalar"),
    "bool": (lambda t: bool(t.ones(2)), "ambiguous"),
    "float of many": (lambda t: float(t.ones(3)), "scalar|3"),
    "index type": (lambda t: t.ones(2)[{}], "index|dict"),
    "logical shift of floats": (lambda t: t.ones(2) << t.ones(2), "shift|float"),
    "bitwise of floats": (lambda t: t.ones(2) & t.ones(2), "bitwise|float"),
    "not of floats": (lambda t: t.bitwise_not(t.ones(2)), "bitwise_not|float"),
    "minus of bools": (lambda t: t.ones(2, dtype=t.bool) - t.ones(2, dtype=t.bool), "Bool|bool"),
    "in-place dtype": (lambda t: t.ones(2, dtype=t.int64).add_(0.5), "float|int64|long|cast"),
    "integer division by zero": (lambda t: t.ones(2, dtype=t.int64) // t.zeros(2, dtype=t.int64), "zero|ZeroDivision"),
    "mean of ints": (lambda t: t.ones(2, dtype=t.int64).mean(), "mean|dtype|float"),
    "requires_grad of ints": (lambda t: t.ones(2, dtype=t.int64, requires_grad=True), "float"),
    "backward of many": (lambda t: t.ones(2, requires_grad=True).exp().backward(), "scalar"),
    "backward twice": (lambda t: [y.backward() for y in [t.ones((), requires_grad=True).exp()] * 2], "second time|retain_graph"),
    "backward of none": (lambda t: t.ones(()).backward(), "require"),
    "gradient shape": (lambda t: t.ones(2, requires_grad=True).exp().backward(t.ones(3)), "2|3"),
    "leaf in place": (lambda t: t.ones(2, requires_grad=True).add_(1), "leaf|in-place"),
    "numpy of grad": (lambda t: t.ones(2, requires_grad=True).numpy(), "detach"),
    "device": (lambda t: t.ones(2, device="nowhere"), "nowhere|device"),
    "negative size": (lambda t: t.zeros(-1), "-1|negative"),
    "huge size": (lambda t: t.empty(2**40, 2**40), "memory|large|overflow|storage"),
    "ragged": (lambda t: t.tensor([[1, 2], [3]]), "length|expected"),
    "tensor of objects": (lambda t: t.tensor([object()]), "object|infer"),
    "arange step": (lambda t: t.arange(0, 5, 0), "step|zero"),
    "arange sign": (lambda t: t.arange(5, 0, 1), "bound|sign|step"),
    "randint": (lambda t: t.randint(3, 3, (2,)), "3|from"),
    "multinomial": (lambda t: t.multinomial(t.tensor([0.5, -1.0]), 1), "negative|>= 0|< 0|inf"),
    "topk": (lambda t: t.ones(3).topk(4), "k|4|range"),
    "tril rank": (lambda t: t.ones(3).tril(), "2"),
    "clamp": (lambda t: t.ones(3).clamp(), "min|max"),
    "where dtype": (lambda t: t.where(t.ones(2), t.ones(2), t.ones(2)), "bool|condition"),
    "masked_fill mask": (lambda t: t.ones(2).masked_fill(t.ones(2), 0), "bool|mask"),
    "sort dim": (lambda t: t.ones(2).sort(3), "3"),
    "cumsum dim": (lambda t: t.ones(2).cumsum(3), "3"),
    "unknown argument": (lambda t: t.sum(t.ones(2), nothing=1), "nothing"),
    "missing argument": (lambda t: t.gather(t.ones(2)), "gather|missing|dim"),
    "not a tensor": (lambda t: t.exp("a"), "str"),
    "linear": (lambda t: t.nn.functional.linear(t.ones(2, 3), t.ones(4, 5)), "2x3|5x4|4x5"),
    "embedding": (lambda t: t.nn.functional.embedding(t.tensor([7]), t.ones(3, 2)), "7|range|index"),
    "embedding dtype": (lambda t: t.nn.functional.embedding(t.tensor([0.5]), t.ones(3, 2)), "float|int|Long"),
    "layer_norm": (lambda t: t.nn.functional.layer_norm(t.ones(2, 3), (4,)), "4|3"),
    "cross_entropy batch": (lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.tensor([0])), "2|1"),
    "cross_entropy class": (lambda t: t.nn.functional.cross_entropy(t.ones(1, 3), t.tensor([3])), "3|out of"),
    "mse_loss": (lambda t: t.nn.functional.mse_loss(t.ones(2), t.ones(3)), "2|3"),
    "dropout p": (lambda t: t.nn.functional.dropout(t.ones(2), 1.5), "1.5"),
    "conv2d channels": (lambda t: t.nn.functional.conv2d(t.ones(1, 3, 8, 8), t.ones(4, 2, 3, 3)), "2|3|channels"),
    "conv2d kernel": (lambda t: t.nn.functional.conv2d(t.ones(1, 1, 2, 2), t.ones(1, 1, 3, 3)), "3|2|Kernel|kernel"),
    "conv2d rank": (lambda t: t.nn.functional.conv2d(t.ones(8, 8), t.ones(4, 2, 3, 3)), "conv2d|2D|3D"),
    "max_pool2d": (lambda t: t.nn.functional.max_pool2d(t.ones(1, 1, 2, 2), 5), "5|small"),
    "attention": (
        lambda t: t.nn.functional.scaled_dot_product_attention(t.ones(1, 1, 2, 4), t.ones(1, 1, 2, 5), t.ones(1, 1, 2, 5)), "4|5",
    ),
    "MultiheadAttention": (lambda t: t.nn.MultiheadAttention(10, 3), "10|3|divisible"),
    "module input": (lambda t: t.nn.Sequential(t.nn.Linear(3, 4), t.nn.ReLU(), t.nn.Linear(5, 6))(t.ones(2, 3)), "2x4|5x6|6x5"),
    "encoder input": (
        lambda t: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(8, 2, 16), 2)(t.ones(5, 2, 9)), "8|9",
    ),
    "load_state_dict": (lambda t: t.nn.Linear(2, 3).load_state_dict({"weight": t.ones(3, 2)}), "bias|Missing"),
    "load_state_dict shape": (
        lambda t: t.nn.Linear(2, 3).load_state_dict({"weight": t.ones(2, 2), "bias": t.ones(3)}), "weight|[2, 2]|[3, 2]",
    ),
    "unknown attribute": (lambda t: t.nn.Linear(2, 3).nothing, "nothing"),
    "parameter is not one": (lambda t: setattr(t.nn.Linear(2, 3), "weight", t.ones(3, 2)), "weight|Parameter"),
    "forward is missing": (lambda t: t.nn.Module()(1), "forward"),
    "optimizer empty": (lambda t: t.optim.SGD([], lr=0.1), "empty"),
    "optimizer rate": (lambda t: t.optim.Adam([t.ones(2, requires_grad=True)], lr=-1), "learning rate|-1"),
    "optimizer leaf": (lambda t: t.optim.SGD([t.ones(2, requires_grad=True).exp()], lr=0.1), "leaf"),
    "module name": (lambda t: t.nn.Module().add_module("a.b", t.nn.ReLU()), "dot|\".\"|'.'"),
    "random_split": (lambda t: (t.utils.data if t is torch else t.data).random_split([1, 2], [1, 2]), "length|sum"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_same_exception(name):
    call, words = CALLS[name]
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(Exception) as ours:
        call(taeda)
    kind = theirs.type if theirs.type.__module__ == "builtins" else theirs.type.__mro__[1]
    assert issubclass(ours.type, kind), f"PyTorch: {theirs.value!r}; Taeda: {ours.value!r}"
    text = str(ours.value)
    assert any(word in text for word in words.split("|")), text


def test_a_mismatch_deep_inside_points_at_the_line():
    class Inner(taeda.nn.Module):
        def __init__(self):
            super().__init__()
            self.project = taeda.nn.Linear(4, 4)

        def forward(self, x):
            narrowed = x[..., :3]
            return self.project(narrowed)  # the wrong line

    model = taeda.nn.Sequential(taeda.nn.Linear(2, 4), taeda.nn.Sequential(taeda.nn.ReLU(), Inner()))
    ways = {
        "eager": model,
        "compiled": taeda.compile(model),
        "traced": lambda x: taeda.jit.trace(model, (x,))(x),
    }
    for way, call in ways.items():
        with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(5x3 and 4x4\)") as raised:
            call(taeda.ones(5, 2))
        lines = [str(entry.statement) for entry in raised.traceback]
        assert any("# the wrong line" in line for line in lines), way
