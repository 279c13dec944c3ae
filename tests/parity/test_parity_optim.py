"""Five steps of each optimizer and the schedules against PyTorch, and state dicts that move over."""

from __future__ import annotations

import numpy as np
import pytest

import taeda

from .conftest import assert_close, to_taeda, torch

rng = np.random.default_rng(0)

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.5, "amsgrad": True}),
]


def pair(dtype=np.float32):
    arrays = [rng.standard_normal(s).astype(dtype) for s in ((5, 3), (7,), ())]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    return [to_taeda(t) for t in theirs], theirs


def one_step(ours, theirs, our_optimizer, their_optimizer, skip=()):
    for i, (a, b) in enumerate(zip(ours, theirs)):
        g = rng.standard_normal(tuple(b.shape)).astype(b.detach().numpy().dtype)
        b.grad = None if i in skip else torch.tensor(g)
        a.grad = None if i in skip else taeda.tensor(g)
    our_optimizer.step()
    their_optimizer.step()


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_five_steps(name, options, dtype):
    ours, theirs = pair(dtype)
    a, b = getattr(taeda.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for i in range(5):
        one_step(ours, theirs, a, b, skip=(1,) if i == 0 else ())
        for x, y in zip(ours, theirs):
            assert_close(
                x,
                y,
                rtol=3e-6 if dtype is np.float32 else 1e-12,
                atol=3e-7 if dtype is np.float32 else 1e-14,
                what=f"{name} step {i}",
            )


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_state_dicts_move_over(name, options):
    ours, theirs = pair()
    a, b = getattr(taeda.optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    one_step(ours, theirs, a, b)
    state = b.state_dict()
    converted = {
        "state": {
            k: {n: to_taeda(v) if isinstance(v, torch.Tensor) else v for n, v in s.items()}
            for k, s in state["state"].items()
        },
        "param_groups": state["param_groups"],
    }
    fresh = getattr(taeda.optim, name)(ours, **options)
    fresh.load_state_dict(converted)
    one_step(ours, theirs, fresh, b)
    for x, y in zip(ours, theirs):
        assert_close(x, y, rtol=3e-6, atol=1e-7)
    saved = fresh.state_dict()
    assert saved["state"].keys() == b.state_dict()["state"].keys()
    for number, entry in b.state_dict()["state"].items():
        assert set(saved["state"][number]) == set(entry)


SCHEDULES = [
    ("LambdaLR", {"lr_lambda": lambda e: 0.9**e}),
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": 6, "eta_min": 0.01}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 20}),
    (
        "OneCycleLR",
        {"max_lr": 0.5, "epochs": 4, "steps_per_epoch": 5, "anneal_strategy": "linear", "three_phase": True},
    ),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules(name, options):
    ours, theirs = pair()
    a = taeda.optim.SGD(ours, lr=0.1, momentum=0.9)
    b = torch.optim.SGD(theirs, lr=0.1, momentum=0.9)
    sa, sb = (
        getattr(taeda.optim.lr_scheduler, name)(a, **options),
        getattr(torch.optim.lr_scheduler, name)(b, **options),
    )
    for _ in range(19):
        assert sa.get_last_lr() == pytest.approx(sb.get_last_lr(), rel=1e-12)
        assert a.param_groups[0]["momentum"] == pytest.approx(b.param_groups[0]["momentum"], rel=1e-12)
        a.step(), b.step()
        sa.step(), sb.step()


@pytest.mark.parametrize("bad", [{"lr": -1}, {"betas": (1.0, 0.9)}, {"eps": -1.0}, {"weight_decay": -0.1}])
def test_bad_hyperparameters(bad):
    for lib in (taeda, torch):
        with pytest.raises(ValueError, match="Invalid"):
            lib.optim.Adam([lib.zeros(1, requires_grad=True)], **bad)


def test_bad_parameters():
    p = taeda.zeros(2, requires_grad=True)
    with pytest.raises(ValueError, match="empty parameter list"):
        taeda.optim.SGD([])
    with pytest.raises(TypeError, match="iterable of Tensors"):
        taeda.optim.SGD(p)
    with pytest.raises(TypeError, match="can only optimize Tensors"):
        taeda.optim.SGD([1])
    with pytest.raises(ValueError, match="non-leaf"):
        taeda.optim.SGD([p * 2])
    with pytest.raises(ValueError, match="more than one parameter group"):
        taeda.optim.SGD([{"params": [p]}, {"params": [p]}])
