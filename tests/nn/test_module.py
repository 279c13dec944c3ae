"""Module mechanics: registration, state dicts, hooks, iteration, errors."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest

import taeda
from taeda import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.register_buffer("count", taeda.zeros(1))
        self.register_buffer("scratch", taeda.ones(2), persistent=False)

    def forward(self, x):
        return self.second(self.first(x))


def test_names_and_order():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["first.weight", "first.bias", "second.1.weight", "second.1.bias"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "second", "second.0", "second.1"]
    assert [n for n, _ in net.named_buffers()] == ["count", "scratch"]
    assert list(net.state_dict()) == ["count", "first.weight", "first.bias", "second.1.weight", "second.1.bias"]
    assert len(list(net.children())) == 2


def test_shared_parameters_come_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4


def test_load_state_dict_lists_every_fault():
    net = Net()
    state = net.state_dict()
    del state["first.bias"]
    state["extra"] = taeda.zeros(1)
    state["first.weight"] = taeda.zeros(9, 9)
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert 'Missing key(s) in state_dict: "first.bias"' in text
    assert 'Unexpected key(s) in state_dict: "extra"' in text
    assert "size mismatch for first.weight: copying a param with shape taeda.Size([9, 9])" in text
    del state["first.weight"]
    keys = net.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["first.weight", "first.bias"]
    assert keys.unexpected_keys == ["extra"]
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1, 2])


def test_state_dict_copies_into_the_same_parameters():
    a, b = Net(), Net()
    weight = b.first.weight
    assert repr(b.load_state_dict(a.state_dict())) == "<All keys matched successfully>"
    assert b.first.weight is weight
    assert (a.first.weight == b.first.weight).all()


def test_forward_hooks_in_order_and_with_replacement():
    layer, seen = nn.Linear(2, 2), []
    layer.register_forward_pre_hook(lambda m, args: seen.append("pre") or (args[0] * 0,))
    handle = layer.register_forward_hook(lambda m, args, out: seen.append("post") or out + 1)
    layer.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(("kw", kwargs)), with_kwargs=True, prepend=True
    )
    out = layer(taeda.ones(1, 2))
    assert seen == ["pre", ("kw", {}), "post"]
    assert (out == layer.bias + 1).all()
    handle.remove()
    assert (layer(taeda.ones(1, 2)) == layer.bias).all()


def test_always_called_hook_runs_on_errors():
    seen = []

    class Bad(nn.Module):
        def forward(self):
            raise ValueError("no")

    bad = Bad()
    bad.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    with pytest.raises(ValueError, match="no"):
        bad()
    assert seen == [None]


def test_full_backward_hook_sees_and_changes_gradients():
    layer, seen = nn.Linear(2, 3), {}

    def hook(module, grad_input, grad_output):
        seen["in"], seen["out"] = grad_input[0].clone(), grad_output[0].clone()
        return (grad_input[0] * 2,)

    x = taeda.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    plain = x.grad
    x.grad = None
    layer.register_full_backward_hook(hook)
    layer(x).sum().backward()
    assert (seen["in"] == plain).all()
    assert (seen["out"] == taeda.ones(1, 3)).all()
    assert (x.grad == 2 * plain).all()


def test_attribute_errors():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'int' as parameter 'weight'"):
        net.first.weight = 3
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'third'"):
        _ = net.third
    with pytest.raises(KeyError):
        net.register_buffer("a.b", None)
    with pytest.raises(KeyError):
        net.register_parameter("", None)

    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="before Module"):
        Early()
    with pytest.raises(NotImplementedError, match='missing the required "forward"'):
        nn.Module()()


def test_shape_mismatch_deep_inside_names_the_shapes():
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(5x3 and 4x2\)|\[5, 3\]|5x3"):
        Net().second(taeda.ones(5, 3))


def test_modes_conversion_and_copies():
    net = Net().eval()
    assert not any(m.training for m in net.modules())
    net.double()
    assert all(p.dtype == taeda.float64 for p in net.parameters())
    with pytest.raises(TypeError, match="floating point"):
        net.to(taeda.int64)
    with pytest.raises(RuntimeError):
        net.to("cuda")
    other = copy.deepcopy(net)
    assert other.first.weight is not net.first.weight
    assert (other.first.weight == net.first.weight).all()
    again = pickle.loads(pickle.dumps(net))
    assert (again.first.weight == net.first.weight).all()
    assert isinstance(again.first.weight, nn.Parameter)


def test_apply_zero_grad_and_requires_grad():
    net, seen = Net(), []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Net"]
    net(taeda.ones(1, 3)).sum().backward()
    assert net.first.weight.grad is not None
    net.zero_grad()
    assert net.first.weight.grad is None
    net.requires_grad_(False)
    assert not net(taeda.ones(1, 3)).requires_grad


def test_containers():
    seq = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    assert seq.a is seq[0] and seq[-1] is seq.b and len(seq[:1]) == 1
    with pytest.raises(IndexError):
        seq[5]
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers.append(nn.ReLU())
    layers.insert(0, nn.Tanh())
    assert [type(m).__name__ for m in layers] == ["Tanh", "Linear", "ReLU"]
    del layers[0]
    assert len(layers) == 2
    table = nn.ModuleDict({"x": nn.ReLU()})
    table["y"] = nn.Tanh()
    assert list(table) == ["x", "y"] and "x" in table
    parameters = nn.ParameterList([taeda.zeros(2)])
    assert len(list(parameters.parameters())) == 1
    assert list(nn.ParameterDict({"k": taeda.zeros(2)}).state_dict()) == ["k"]


def test_clip_grad_norm():
    p = nn.Parameter(taeda.zeros(4))
    p.grad = taeda.full((4,), 3.0)
    total = nn.utils.clip_grad_norm_([p], 1.0)
    assert float(total) == 6.0
    assert abs(float(p.grad.square().sum()) - 1.0) < 1e-5
    p.grad = taeda.full((4,), float("inf"))
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)


def test_init_errors():
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        nn.init.xavier_uniform_(taeda.zeros(3))
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        nn.init.calculate_gain("nope")
