"""Shared by the comparisons with PyTorch: conversion and closeness."""

from __future__ import annotations

import numpy as np
import pytest

import taeda

torch = pytest.importorskip("torch")


def to_torch(t):
    return torch.from_numpy(np.array(t.detach().numpy(), copy=True)).requires_grad_(t.requires_grad)


def to_taeda(t):
    return taeda.tensor(t.detach().numpy().copy(), requires_grad=t.requires_grad)


def assert_close(ours, theirs, rtol=2e-5, atol=2e-6, what=""):
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape, f"{what}: shape {a.shape} != {b.shape}"
    assert str(a.dtype) == str(b.dtype), f"{what}: dtype {a.dtype} != {b.dtype}"
    np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=what)


def copy_state(ours, theirs):
    """Gives `ours` the parameters of `theirs`, by name; the state dicts must have the same keys in the same order."""
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({k: to_taeda(v) for k, v in state.items()})
