"""Modules, data, schedules and tensors as Python objects: the same program with PyTorch and with Taeda."""

from __future__ import annotations

import copy
import pickle
import random
from collections import OrderedDict

import numpy as np
import pytest

import taeda

torch = pytest.importorskip("torch")


def both(program, *args, texts=True):
    """The program's result must be the same (PyTorch's name in texts is ours); of an error, type and text."""

    def run(lib):
        try:
            return plain(program(lib, *args))
        except Exception as e:
            return type(e).__name__, str(e) if texts else ""

    ours, theirs = run(taeda), renamed(run(torch))
    assert ours == theirs, f"{ours}\nPyTorch: {theirs}"


def plain(value):
    if isinstance(value, (torch.Tensor, taeda.Tensor)):
        return (str(value.dtype).rpartition(".")[2], np.round(value.detach().double().numpy(), 5).tolist())
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 10)
    return value


def renamed(value):
    if isinstance(value, str):
        return value.replace("torch", "taeda")
    if isinstance(value, list):
        return [renamed(v) for v in value]
    if isinstance(value, tuple):
        return tuple(renamed(v) for v in value)
    if isinstance(value, dict):
        return {k: renamed(v) for k, v in value.items()}
    return value


def network(m):
    net = m.nn.Sequential(
        OrderedDict(
            first=m.nn.Linear(3, 4), act=m.nn.ReLU(), inner=m.nn.Sequential(m.nn.Linear(4, 4), m.nn.LayerNorm(4))
        )
    )
    net.register_buffer("steps", m.zeros(2))
    net.register_buffer("scratch", m.zeros(1), persistent=False)
    with m.no_grad():
        for k, p in enumerate(net.parameters()):
            p.copy_(m.arange(p.numel(), dtype=m.float32).reshape(p.shape) * 0.1 - k * 0.2)
    return net


# -- state dicts -------------------------------------------------------------------------------------------------------
def test_state_dict_names_and_values():
    both(lambda m: dict(network(m).state_dict()))
    both(lambda m: dict(network(m).state_dict(prefix="x.")))
    both(lambda m: [v.requires_grad for v in network(m).state_dict(keep_vars=True).values()])
    both(lambda m: [v.requires_grad for v in network(m).state_dict().values()])
    both(lambda m: network(m).load_state_dict(network(m).state_dict()))
    both(lambda m: repr(network(m).load_state_dict(network(m).state_dict())))


def change(m, **changes):
    state = network(m).state_dict()
    for name, value in changes.items():
        name = name.replace("__", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value if not isinstance(value, tuple) else m.ones(value)
    return state


@pytest.mark.parametrize(
    "changes",
    [
        {"first__weight": None},
        {"first__weight": None, "steps": None, "inner__1__bias": None},
        {"more": (2,)},
        {"more": (2,), "inner__7__weight": (1,), "first__weight": None},
        {"first__weight": (4, 5)},
        {"first__weight": (12,), "steps": (3,), "act": (1,)},
        {"first__bias": "text"},
        {"first__bias": 3},
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_state_dict_faults(changes, strict):
    both(lambda m: network(m).load_state_dict(change(m, **changes), strict=strict))


def test_state_dict_of_something_else():
    both(lambda m: network(m).load_state_dict([1, 2]))
    both(lambda m: network(m).load_state_dict({}, strict=False))
    both(lambda m: m.nn.Linear(2, 2).load_state_dict({"weight": m.ones(2, 2)}))


def test_assigned_state_replaces_parameters():
    def program(m):
        net, state = network(m), network(m).state_dict()
        before = net.first.weight
        net.load_state_dict(state, assign=True)
        return net.first.weight is before, net.first.weight.requires_grad, type(net.first.weight).__name__

    both(program)


def test_state_dict_hooks_and_extra_state():
    def program(m):
        log = []

        class Net(m.nn.Linear):
            def get_extra_state(self):
                return {"a": 3}

            def set_extra_state(self, state):
                log.append(state)

        net = Net(2, 2)
        net.register_state_dict_pre_hook(lambda module, prefix, keep: log.append(("pre", prefix, keep)))
        net.register_load_state_dict_pre_hook(lambda module, state, *rest: log.append(("load", len(rest))))
        net.register_load_state_dict_post_hook(lambda module, keys: log.append(("post", list(keys.missing_keys))))
        state = net.state_dict()
        net.load_state_dict(state)
        del state["_extra_state"]
        log.append(net.load_state_dict(state, strict=False).missing_keys)
        return log, list(net.state_dict())

    both(program)


# -- modules -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "names",
    [
        lambda net: [k for k, _ in net.named_parameters()],
        lambda net: [k for k, _ in net.named_parameters(prefix="p", recurse=False)],
        lambda net: [k for k, _ in net.named_modules()],
        lambda net: [k for k, _ in net.named_children()],
        lambda net: [k for k, _ in net.named_buffers()],
        lambda net: [k for k, _ in net.inner.named_parameters(prefix="q")],
        lambda net: len(list(net.modules())) + len(list(net.children())) + len(list(net.buffers())),
        lambda net: repr(net),
        lambda net: net.get_submodule("inner.1").eps,
        lambda net: net.get_parameter("first.weight").shape[0],
        lambda net: net.get_buffer("steps").tolist(),
        lambda net: net.get_submodule("inner.7"),
        lambda net: net.get_parameter("first.nothing"),
        lambda net: net.get_parameter("act"),
        lambda net: net.nothing,
        lambda net: net.register_parameter("a.b", None),
        lambda net: net.register_parameter("", None),
        lambda net: net.register_parameter("act", None),
        lambda net: net.register_buffer("first", None),
        lambda net: net.register_buffer("b", 3),
        lambda net: net.add_module("steps", net.act),
        lambda net: net.add_module("m", 3),
        lambda net: setattr(net.first, "weight", 3),
        lambda net: setattr(net, "first", 3),
        lambda net: setattr(net, "steps", 3),
        lambda net: setattr(net, "steps", None),
        lambda net: delattr(net, "first") or [k for k, _ in net.named_modules()],
        lambda net: [m.training for m in net.eval().modules()],
        lambda net: net.train("yes"),
        lambda net: [p.requires_grad for p in net.requires_grad_(False).parameters()],
        lambda net: [str(p.dtype) for p in net.double().state_dict().values()],
        lambda net: [str(p.dtype) for p in net.half().state_dict().values()],
        lambda net: net.to("cpu") is net,
        lambda net: str(net.apply(lambda m: setattr(m, "mark", 1)).inner[0].mark),
        lambda net: copy.deepcopy(net).first.weight is net.first.weight,
        lambda net: pickle.loads(pickle.dumps(net)).state_dict(),
        lambda net: [k for k in pickle.loads(pickle.dumps(net.eval())).__dict__ if k == "training"],
        lambda net: net.zero_grad(),
        lambda net: sorted(k for k in dir(net) if k in ("first", "steps", "act", "nothing")),
    ],
)  # fmt: skip
def test_modules(names):
    both(lambda m: names(network(m)))


def test_hooks_see_and_change_what_pytorch_shows():
    def program(m):
        net, log = network(m), []
        x = m.ones(2, 3, requires_grad=True)
        handles = [
            net.first.register_forward_pre_hook(lambda mod, args: log.append(("pre", args[0].shape[0]))),
            net.first.register_forward_pre_hook(lambda mod, args, kw: ((args[0] * 2,), kw), with_kwargs=True),
            net.first.register_forward_hook(lambda mod, args, out: log.append(("post", args[0]))),
            net.first.register_forward_hook(lambda mod, args, out: out + 1, prepend=True),
            net.inner.register_full_backward_hook(lambda mod, gi, go: log.append(("back", gi, go))),
            net.inner.register_full_backward_pre_hook(lambda mod, go: (go[0] * 2,)),
        ]
        net(x).square().sum().backward()
        log.append(x.grad)
        for h in handles:
            h.remove()
        log.append(net(x))
        return log

    both(program)


def test_module_wide_hooks():
    def program(m):
        log = []
        module = m.nn.modules.module if m is torch else m.nn.module
        a = module.register_module_forward_pre_hook(lambda mod, args: log.append(type(mod).__name__))
        b = module.register_module_forward_hook(lambda mod, args, out: log.append(type(mod).__name__))
        network(m)(m.ones(1, 3))
        a.remove(), b.remove()
        network(m)(m.ones(1, 3))
        return log

    both(program)


# -- clipping ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [2.0, 1.0, float("inf"), 3.0])
@pytest.mark.parametrize("limit", [0.1, 1e3])
def test_clip_grad_norm(kind, limit):
    def program(m):
        ps = [m.ones(3, requires_grad=True), m.ones(2, 2, requires_grad=True), m.ones(1, requires_grad=True)]
        for k, p in enumerate(ps[:2]):
            p.grad = m.arange(float(p.numel())).reshape(p.shape) * (k + 1) - 1
        total = m.nn.utils.clip_grad_norm_(ps, limit, kind)
        return total, [p.grad for p in ps[:2]], ps[2].grad

    both(program)


def test_clip_of_bad_gradients():
    def program(m, value, strict):
        p = m.ones(2, requires_grad=True)
        p.grad = m.tensor([value, 1.0])
        return m.nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=strict), p.grad

    def values(m):
        p = m.ones(3, requires_grad=True)
        p.grad = m.tensor([-3.0, 0.2, 5.0])
        m.nn.utils.clip_grad_value_([p], 0.5)
        return p.grad

    both(program, float("inf"), True)
    both(program, 2.0, False)
    both(values)


def test_parameters_as_one_vector():
    def program(m):
        net = network(m)
        v = m.nn.utils.parameters_to_vector(net.parameters())
        m.nn.utils.vector_to_parameters(v * 2, net.parameters())
        return v, dict(net.state_dict())

    both(program)


# -- initial values ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("uniform_", {"a": -2.0, "b": 3.0}),
        ("normal_", {"mean": 1.0, "std": 0.5}),
        ("trunc_normal_", {"std": 2.0, "a": -1.0, "b": 3.0}),
        ("xavier_uniform_", {"gain": 1.5}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 0.3, "nonlinearity": "leaky_relu"}),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", {"nonlinearity": "tanh"}),
    ],
)
@pytest.mark.parametrize("shape", [(200, 120), (24, 32, 5, 5)])
def test_initial_distributions(name, kwargs, shape):
    def drawn(m):
        m.manual_seed(1)
        x = getattr(m.nn.init, name)(m.empty(shape), **kwargs).numpy().ravel().astype(np.float64)
        return np.quantile(x, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]), x.min(), x.max()

    (ours, low, high), (theirs, their_low, their_high) = drawn(taeda), drawn(torch)
    scale = theirs[-1] - theirs[0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.03 * scale)
    if "uniform" in name or "trunc" in name:
        assert abs(low - their_low) < 0.01 * scale and abs(high - their_high) < 0.01 * scale


@pytest.mark.parametrize(
    "program",
    [
        lambda m: m.nn.init.constant_(m.empty(2, 3), 0.3),
        lambda m: m.nn.init.ones_(m.empty(2, 3)),
        lambda m: m.nn.init.zeros_(m.empty(2, 3)),
        lambda m: m.nn.init.eye_(m.empty(2, 3)),
        lambda m: m.nn.init.eye_(m.empty(3)),
        lambda m: m.nn.init.dirac_(m.empty(4, 3, 3, 3)),
        lambda m: m.nn.init.dirac_(m.empty(4, 3, 2), groups=2),
        lambda m: m.nn.init.dirac_(m.empty(4, 3)),
        lambda m: m.nn.init.xavier_uniform_(m.empty(4)),
        lambda m: m.nn.init.kaiming_uniform_(m.empty(4, 3), mode="bad"),
        lambda m: [m.nn.init.calculate_gain(n) for n in ("linear", "relu", "tanh", "sigmoid", "selu", "leaky_relu")],
        lambda m: m.nn.init.calculate_gain("leaky_relu", 0.3),
        lambda m: m.nn.init.calculate_gain("bad"),
        lambda m: (m.nn.init.sparse_(m.empty(50, 4), 0.3) == 0).sum(0),
        lambda m: ((w := m.nn.init.orthogonal_(m.empty(5, 8), 2.0)) @ w.T).round(decimals=3) + 0.0,
        lambda m: (
            ((w := m.nn.init.orthogonal_(m.empty(8, 3, 2))).reshape(8, 6).T @ w.reshape(8, 6)).round(decimals=3) + 0.0
        ),
    ],
)
def test_init_values(program):
    both(program)


# -- data --------------------------------------------------------------------------------------------------------------
def test_data_is_where_pytorch_has_it():
    assert taeda.utils.data.DataLoader is taeda.data.DataLoader


def rows(m, n=10):
    return m.utils.data.TensorDataset(m.arange(float(n * 2)).reshape(n, 2), m.arange(n))


@pytest.mark.parametrize(
    "program",
    [
        lambda m, d: list(d.DataLoader(rows(m), 4)),
        lambda m, d: list(d.DataLoader(rows(m), 4, drop_last=True)),
        lambda m, d: len(d.DataLoader(rows(m), 4)),
        lambda m, d: len(d.DataLoader(rows(m), 4, drop_last=True)),
        lambda m, d: list(d.DataLoader(rows(m), batch_size=None))[3],
        lambda m, d: list(d.DataLoader([{"a": 1, "b": [1.5, 2.5]}, {"a": 2, "b": [3.5, 4.5]}], 2)),
        lambda m, d: list(d.DataLoader(["x", "y", "z"], 2)),
        lambda m, d: list(d.DataLoader([np.ones(2), np.zeros(2)], 2)),
        lambda m, d: list(d.DataLoader([(1, np.float32(2.0)), (3, np.float32(4.0))], 2)),
        lambda m, d: list(d.DataLoader([1.5, 2.5, 3.5], 2)),
        lambda m, d: list(d.DataLoader([m.ones(2), m.ones(3)], 2)),
        lambda m, d: list(d.DataLoader([1, None], 2)),
        lambda m, d: list(d.DataLoader(range(5), 2, collate_fn=list)),
        lambda m, d: list(d.DataLoader(range(6), sampler=[3, 1, 5], batch_size=2)),
        lambda m, d: list(d.DataLoader(range(6), batch_sampler=[[1, 2], [0]])),
        lambda m, d: d.DataLoader(range(6), shuffle=True, sampler=[1]),
        lambda m, d: d.DataLoader(range(6), batch_sampler=[[1]], batch_size=2),
        lambda m, d: d.DataLoader(range(6), batch_size=None, drop_last=True),
        lambda m, d: d.DataLoader(range(6), batch_size=0),
        lambda m, d: sorted(x for b in d.DataLoader(range(20), 3, shuffle=True) for x in b.tolist()),
        lambda m, d: [len(x) for x in d.random_split(range(10), [3, 7])],
        lambda m, d: [len(x) for x in d.random_split(range(11), [0.5, 0.3, 0.2])],
        lambda m, d: sorted(v for x in d.random_split(range(10), [3, 7]) for v in x),
        lambda m, d: d.random_split(range(10), [3, 8]),
        lambda m, d: d.random_split(range(10), [0.5, 0.6]),
        lambda m, d: list(d.Subset(range(10), [1, 3, 5])),
        lambda m, d: [d.ConcatDataset([range(3), range(5)])[k] for k in (0, 3, -1)],
        lambda m, d: d.ConcatDataset([]),
        lambda m, d: d.ConcatDataset([range(3)])[4],
        lambda m, d: d.TensorDataset(m.ones(2), m.ones(3)),
        lambda m, d: list(d.BatchSampler(d.SequentialSampler(range(5)), 2, False)),
        lambda m, d: sorted(d.RandomSampler(range(5))),
        lambda m, d: len(list(d.RandomSampler(range(5), replacement=True, num_samples=9))),
        lambda m, d: list(d.WeightedRandomSampler([0.0, 1.0, 0.0], 4)),
        lambda m, d: sorted(d.SubsetRandomSampler([4, 2, 7])),
        lambda m, d: d.default_collate([{"a": m.ones(1), "b": (1, 2)}] * 2),
    ],
)  # fmt: skip
def test_data(program):
    both(lambda m: program(m, m.utils.data), texts=False)


def test_shuffling_is_reproducible():
    loader = taeda.data.DataLoader(range(20), 5, shuffle=True, generator=taeda.Generator().manual_seed(3))
    other = taeda.data.DataLoader(range(20), 5, shuffle=True, generator=taeda.Generator().manual_seed(3))
    first = [b.tolist() for b in loader]
    assert first == [b.tolist() for b in other]
    assert first != [b.tolist() for b in loader]


# -- schedules ---------------------------------------------------------------------------------------------------------
SCHEDULES = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (1 + e)]),
    "StepLR": lambda s, o: s.StepLR(o, 4, 0.3),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 7, 0.01),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, [0.5, 1.0], 31, pct_start=0.4, div_factor=10.0),
    "OneCycle linear": lambda s, o: s.OneCycleLR(o, 0.5, epochs=4, steps_per_epoch=9, anneal_strategy="linear"),
    "OneCycle phases": lambda s, o: s.OneCycleLR(o, 0.5, 31, three_phase=True, cycle_momentum=False),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_over_thirty_steps(name):
    def program(m):
        groups = [{"params": [m.ones(2, requires_grad=True)]}, {"params": [m.ones(1, requires_grad=True)], "lr": 0.4}]
        optimizer = m.optim.SGD(groups, lr=0.1, momentum=0.9)
        schedule = SCHEDULES[name](m.optim.lr_scheduler, optimizer)
        curve = []
        for _ in range(30):
            curve.append([[g["lr"], g["momentum"]] for g in optimizer.param_groups])
            curve.append(schedule.get_last_lr())
            optimizer.step(), schedule.step()
        return curve

    both(program)


def test_schedules_go_on_from_their_state():
    def program(m):
        def make():
            optimizer = m.optim.SGD([m.ones(2, requires_grad=True)], lr=0.1, momentum=0.9)
            return optimizer, m.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, 31)

        optimizer, schedule = make()
        for _ in range(10):
            optimizer.step(), schedule.step()
        again, fresh = make()
        again.load_state_dict(optimizer.state_dict())
        fresh.load_state_dict(schedule.state_dict())
        curve = []
        for _ in range(10):
            again.step(), fresh.step()
            curve.append(again.param_groups[0]["lr"])
        return curve, fresh.last_epoch

    both(program)


def test_too_many_steps():
    def program(m):
        optimizer = m.optim.SGD([m.ones(2, requires_grad=True)], lr=0.1, momentum=0.9)
        schedule = m.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, 3)
        for _ in range(5):
            optimizer.step(), schedule.step()

    both(program)


# -- memory shared with NumPy and others -------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["rows", "columns", "steps", "scalar", "empty"])
def test_memory_is_shared_both_ways(dtype, layout):
    base = np.arange(24).reshape(4, 6).astype(dtype)
    array = {"rows": base, "columns": base.T, "steps": base[::2, 1::2], "scalar": base[1:2, 1:2].reshape(()),
             "empty": base[:0]}[layout]  # fmt: skip
    ways = {
        "from_numpy": taeda.from_numpy,
        "as_tensor": taeda.as_tensor,
        "from_dlpack": taeda.from_dlpack,
        "torch": lambda a: taeda.from_dlpack(torch.from_numpy(a)),
    }
    for name, way in ways.items():
        if name == "from_dlpack" and layout == "scalar":
            continue  # NumPy gives no DLPack of a scalar's view here
        t = way(array)
        assert str(t.dtype) == f"taeda.{dtype}" and tuple(t.shape) == array.shape, name
        assert np.array_equal(t.numpy(), array), name
        backs = [t.numpy(), np.asarray(t), np.from_dlpack(t), torch.from_dlpack(t).numpy()]
        if t.numel():
            array[...] = 0
            assert not t.any(), name
            t.fill_(1)
            assert array.all() and all(b.all() for b in backs), name
        assert all(b.shape == array.shape and b.strides == array.strides for b in backs if t.numel()), name


def test_buffer_protocol():
    t = taeda.arange(6, dtype=taeda.int32).reshape(2, 3)
    view = memoryview(t)
    assert (view.format, view.shape, view.strides, view.readonly) == ("i", (2, 3), (12, 4), False)
    view[1, 2] = 50
    assert int(t[1, 2]) == 50
    column = memoryview(t.t())
    assert column.shape == (3, 2) and column.strides == (4, 12) and column.tolist()[2][1] == 50
    data = bytearray(b"\x01\x02\x03\x04")
    shared = taeda.frombuffer(data, dtype=taeda.uint8)
    shared += 1
    assert bytes(data) == b"\x02\x03\x04\x05"
    assert bytes(taeda.tensor([1, 2], dtype=taeda.uint8)) == b"\x01\x02"


def test_readonly_memory_is_not_written():
    array = np.arange(3.0)
    array.flags.writeable = False
    with pytest.warns(UserWarning):
        t = taeda.from_numpy(array)
    assert t.tolist() == [0.0, 1.0, 2.0]


def test_shared_memory_outlives_its_maker():
    t = taeda.from_numpy(np.arange(1000.0))
    array = (taeda.arange(1000.0) + 1).numpy()
    assert float(t.sum()) == 499500.0 and float(array.sum()) == 500500.0


# -- copies and pickles ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "program",
    [
        lambda m, t: pickle.loads(pickle.dumps(t)),
        lambda m, t: copy.deepcopy(t),
        lambda m, t: copy.copy(t),
        lambda m, t: pickle.loads(pickle.dumps(t.t())).stride(),
        lambda m, t: copy.deepcopy(t.t()).stride(),
        lambda m, t: copy.deepcopy(t[1:]).storage_offset(),
        lambda m, t: pickle.loads(pickle.dumps(m.nn.Parameter(t))).requires_grad,
        lambda m, t: type(copy.deepcopy(m.nn.Parameter(t))).__name__,
        lambda m, t: copy.deepcopy(t.requires_grad_() * 2),
        lambda m, t: copy.deepcopy([a := t.clone(), a])[0].shape[0],
        lambda m, t: (lambda d: d[0] is d[1])(copy.deepcopy([t, t])),
        lambda m, t: (lambda d: d[0].add_(1).sum() == d[1].sum())(copy.deepcopy([t, t[:]])),
        lambda m, t: pickle.loads(pickle.dumps(t.requires_grad_())).requires_grad,
        lambda m, t: pickle.loads(pickle.dumps(m.float32)) is m.float32,
        lambda m, t: copy.deepcopy(m.int64) is m.int64,
        lambda m, t: pickle.loads(pickle.dumps(t.shape)).numel(),
        lambda m, t: type(pickle.loads(pickle.dumps(t.shape))).__name__,
        lambda m, t: pickle.loads(pickle.dumps(m.device("cpu"))).type,
        lambda m, t: len(pickle.loads(pickle.dumps(m.optim.Adam([t.requires_grad_()]))).param_groups),
    ],
)
def test_copies(program):
    both(lambda m: program(m, m.arange(6.0).reshape(2, 3)), texts=False)


# -- files -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float16", "bfloat16", "float32", "float64"])
def test_safetensors_move_both_ways(tmp_path, dtype):
    safetensors = pytest.importorskip("safetensors.torch")
    values = [[random.Random(k).randint(0, 1) for _ in range(3)] for k in range(2)]
    ours = {"a.b": taeda.tensor(values, dtype=getattr(taeda, dtype)), "c": taeda.tensor(1).to(getattr(taeda, dtype))}
    taeda.save(ours, tmp_path / "ours.safetensors")
    read = safetensors.load_file(tmp_path / "ours.safetensors")
    for name, t in ours.items():
        assert str(read[name].dtype) == f"torch.{dtype}" and read[name].tolist() == t.tolist()
    safetensors.save_file({k: v.contiguous() for k, v in read.items()}, tmp_path / "theirs.safetensors")
    back = taeda.load(tmp_path / "theirs.safetensors")
    assert {k: v.tolist() for k, v in back.items()} == {k: v.tolist() for k, v in ours.items()}


def test_a_model_is_saved_and_loaded(tmp_path):
    net = network(taeda)
    taeda.save(net.state_dict(), tmp_path / "net.safetensors")
    other = network(taeda)
    with taeda.no_grad():
        for p in other.parameters():
            p.zero_()
    other.load_state_dict(taeda.load(tmp_path / "net.safetensors"))
    x = taeda.ones(2, 3)
    assert taeda.equal(net(x), other(x))
