"""Modules against PyTorch: outputs, gradients of inputs and parameters, state-dict keys, repr."""

from __future__ import annotations

import numpy as np
import pytest

import taeda
from taeda import nn

from .conftest import assert_close, copy_state, to_taeda, torch

tnn = torch.nn
rng = np.random.default_rng(0)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def ints(high, *shape):
    return rng.integers(0, high, shape)


CASES = [
    ("Linear", (5, 3), {}, [floats(4, 5)]),
    ("Linear", (5, 3), {"bias": False}, [floats(2, 4, 5)]),
    ("Linear", (5, 3), {}, [floats(5)]),
    ("Embedding", (10, 4), {}, [ints(10, 3, 5)]),
    ("Embedding", (10, 4), {"padding_idx": 2}, [ints(10, 6)]),
    ("LayerNorm", (6,), {}, [floats(4, 6)]),
    ("LayerNorm", ((3, 6),), {"eps": 1e-3}, [floats(2, 3, 6)]),
    ("LayerNorm", (6,), {"elementwise_affine": False}, [floats(4, 6)]),
    ("LayerNorm", (6,), {"bias": False}, [floats(4, 6)]),
    ("ReLU", (), {}, [floats(4, 6)]),
    ("GELU", (), {}, [floats(4, 6)]),
    ("GELU", (), {"approximate": "tanh"}, [floats(4, 6)]),
    ("SiLU", (), {}, [floats(4, 6)]),
    ("Sigmoid", (), {}, [floats(4, 6)]),
    ("Tanh", (), {}, [floats(4, 6)]),
    ("LeakyReLU", (0.2,), {}, [floats(4, 6)]),
    ("ELU", (), {}, [floats(4, 6)]),
    ("Softplus", (), {"beta": 2.0}, [floats(4, 6)]),
    ("Softmax", (-1,), {}, [floats(4, 6)]),
    ("LogSoftmax", (0,), {}, [floats(4, 6)]),
    ("Flatten", (), {}, [floats(2, 3, 4)]),
    ("Identity", (), {}, [floats(2, 3)]),
    ("Conv2d", (3, 4, 3), {}, [floats(2, 3, 8, 9)]),
    ("Conv2d", (4, 6, (3, 2)), {"stride": 2, "padding": 1, "groups": 2}, [floats(2, 4, 9, 8)]),
    ("Conv2d", (2, 3, 3), {"padding": "same", "dilation": 2, "bias": False}, [floats(1, 2, 7, 7)]),
    ("Conv2d", (2, 3, 3), {"padding": 1, "padding_mode": "reflect"}, [floats(2, 7, 7)]),
    ("MaxPool2d", (2,), {}, [floats(2, 3, 8, 8)]),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1}, [floats(2, 3, 9, 8)]),
    ("MaxPool2d", (2,), {"stride": 2, "ceil_mode": True}, [floats(1, 2, 7, 7)]),
    ("MSELoss", (), {}, [floats(4, 6), floats(4, 6)]),
    ("L1Loss", (), {"reduction": "sum"}, [floats(4, 6), floats(4, 6)]),
    ("SmoothL1Loss", (), {"beta": 0.5}, [floats(4, 6), floats(4, 6)]),
    ("CrossEntropyLoss", (), {}, [floats(4, 6), ints(6, 4)]),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1, "reduction": "none"}, [floats(4, 6), ints(6, 4)]),
    ("CrossEntropyLoss", (), {"ignore_index": 1}, [floats(4, 3, 5), ints(3, 4, 5)]),
    ("CrossEntropyLoss", (), {}, [floats(4, 3), floats(4, 3)]),
    ("NLLLoss", (), {}, [floats(4, 6), ints(6, 4)]),
    ("BCEWithLogitsLoss", (), {}, [floats(4, 6), ints(2, 4, 6).astype(np.float32)]),
    ("MultiheadAttention", (8, 2), {}, [floats(5, 3, 8), floats(6, 3, 8), floats(6, 3, 8)]),
    (
        "MultiheadAttention",
        (8, 2),
        {"batch_first": True, "kdim": 6, "vdim": 4},
        [floats(3, 5, 8), floats(3, 7, 6), floats(3, 7, 4)],
    ),
    ("MultiheadAttention", (8, 4), {"add_bias_kv": True, "add_zero_attn": True}, [floats(5, 3, 8)] * 3),
    ("MultiheadAttention", (8, 2), {"bias": False}, [floats(5, 8)] * 3),
    ("TransformerEncoderLayer", (8, 2, 16), {"dropout": 0.0}, [floats(5, 3, 8)]),
    (
        "TransformerEncoderLayer",
        (8, 2, 16),
        {"dropout": 0.0, "norm_first": True, "batch_first": True, "activation": "gelu"},
        [floats(3, 5, 8)],
    ),
    ("TransformerDecoderLayer", (8, 2, 16), {"dropout": 0.0}, [floats(5, 3, 8), floats(6, 3, 8)]),
    ("Transformer", (8, 2, 1, 2, 16), {"dropout": 0.0, "batch_first": True}, [floats(3, 5, 8), floats(3, 4, 8)]),
]


def first_of(output):
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize(("name", "args", "kwargs", "inputs"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)])
@pytest.mark.parametrize("training", [True, False])
def test_module(name, args, kwargs, inputs, training):
    torch.manual_seed(0)
    theirs = getattr(tnn, name)(*args, **kwargs).train(training)
    ours = getattr(nn, name)(*args, **kwargs).train(training)
    copy_state(ours, theirs)
    assert repr(ours) == repr(theirs)
    their_inputs = [torch.tensor(x, requires_grad=x.dtype == np.float32) for x in inputs]
    our_inputs = [to_taeda(x) for x in their_inputs]
    expected, got = theirs(*their_inputs), ours(*our_inputs)
    if isinstance(expected, tuple):
        for a, b in zip(got, expected):
            assert_close(a, b, what=f"{name} output")
    expected, got = first_of(expected), first_of(got)
    assert_close(got, expected, what=f"{name} output")
    weight = floats(*expected.shape)
    (expected * torch.tensor(weight)).sum().backward()
    (got * taeda.tensor(weight)).sum().backward()
    for a, b in zip(our_inputs, their_inputs):
        if b.grad is not None:
            assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5, what=f"{name} input gradient")
    for (key, a), b in zip(ours.named_parameters(), theirs.parameters()):
        assert_close(a.grad, b.grad, rtol=1e-4, atol=2e-5, what=f"{name} gradient of {key}")


def mask_cases():
    causal = np.triu(np.full((5, 5), -np.inf, np.float32), 1)
    padding = np.array([[False] * 5, [False, False, False, True, True], [False, False, False, False, True]])
    return [
        {"src_mask": causal},
        {"src_mask": causal == -np.inf},
        {"src_key_padding_mask": padding},
        {"src_mask": causal == -np.inf, "src_key_padding_mask": padding},
        {"src_mask": causal, "is_causal": True},
    ]


@pytest.mark.parametrize("masks", mask_cases())
@pytest.mark.parametrize("training", [True, False])
def test_encoder_masks(masks, training):
    theirs = tnn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).train(training)
    ours = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).train(training)
    copy_state(ours, theirs)
    x = floats(3, 5, 8)
    torch_masks = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in masks.items()}
    our_masks = {k: taeda.tensor(v) if isinstance(v, np.ndarray) else v for k, v in masks.items()}
    expected = theirs(torch.tensor(x, requires_grad=True), **torch_masks)
    assert_close(ours(taeda.tensor(x, requires_grad=True), **our_masks), expected)


def test_train_and_eval_give_the_same_bits():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2)
    x = taeda.tensor(floats(3, 5, 8))
    a = model.train()(x)
    with taeda.no_grad():
        b = model.eval()(x)
    assert (a == b).all()


def test_initial_distributions():
    torch.manual_seed(0)
    taeda.manual_seed(0)
    for name, args in (
        ("Linear", (200, 300)),
        ("Conv2d", (16, 32, 5)),
        ("Embedding", (300, 64)),
        ("MultiheadAttention", (64, 4)),
    ):
        for (key, a), b in zip(getattr(nn, name)(*args).named_parameters(), getattr(tnn, name)(*args).parameters()):
            a, b = a.detach().numpy(), b.detach().numpy()
            assert abs(a.std() - b.std()) <= 0.15 * b.std() + 1e-6, f"{name}.{key}: std {a.std()} against {b.std()}"
            assert abs(abs(a).max() - abs(b).max()) <= 0.25 * abs(b).max() + 1e-6, f"{name}.{key}: range"
