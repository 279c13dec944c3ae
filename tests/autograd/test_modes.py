"""no_grad, enable_grad, set_grad_enabled and inference_mode."""

import threading

import pytest

import taeda
from taeda import autograd


def leaf(*values):
    return taeda.tensor([float(v) for v in values], requires_grad=True)


def test_blocks_nest_and_restore():
    assert taeda.is_grad_enabled()
    with taeda.no_grad():
        assert not taeda.is_grad_enabled()
        with taeda.enable_grad():
            assert taeda.is_grad_enabled()
        with taeda.set_grad_enabled(True):
            assert taeda.is_grad_enabled()
        assert not taeda.is_grad_enabled()
        assert not (leaf(1) * 2).requires_grad
    assert taeda.is_grad_enabled()
    with pytest.raises(ValueError), taeda.no_grad():
        raise ValueError
    assert taeda.is_grad_enabled()


def test_set_grad_enabled_acts_at_once():
    taeda.set_grad_enabled(False)
    try:
        assert not taeda.is_grad_enabled()
    finally:
        taeda.set_grad_enabled(True)


def test_decorators():
    @taeda.no_grad()
    def f(x):
        "doc"
        return x * 2

    @taeda.no_grad
    def g(x):
        return f(x) + x

    @taeda.set_grad_enabled(False)
    def h(x):
        return x * 2

    w = leaf(1)
    assert f.__doc__ == "doc"
    assert not f(w).requires_grad and not g(w).requires_grad and not h(w).requires_grad
    assert taeda.is_grad_enabled()
    with taeda.no_grad():
        assert taeda.enable_grad()(lambda x: x * 2)(w).requires_grad
    with pytest.raises(TypeError, match="cannot decorate the class"):
        taeda.no_grad()(type("C", (), {}))


def test_decorated_generator():
    @taeda.no_grad()
    def steps():
        got = yield taeda.is_grad_enabled()
        try:
            yield (got, taeda.is_grad_enabled())
        except KeyError:
            yield "caught"
        return "end"

    it = steps()
    assert next(it) is False and taeda.is_grad_enabled()
    assert it.send(5) == (5, False) and taeda.is_grad_enabled()
    assert it.throw(KeyError()) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(it)
    assert stop.value.value == "end"


def test_modes_are_per_thread():
    seen = []
    with taeda.no_grad():
        t = threading.Thread(target=lambda: seen.append(taeda.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_backward_in_another_thread():
    w = leaf(1, 2)
    y = (w * w).sum()
    t = threading.Thread(target=y.backward)
    t.start()
    t.join()
    assert w.grad.tolist() == [2, 4]


def test_inference_mode():
    w = leaf(1, 2)
    with taeda.inference_mode():
        assert taeda.is_inference_mode_enabled() and not taeda.is_grad_enabled()
        x = w * 2
        x.add_(1)
        with taeda.inference_mode(False):
            assert (w * 2).requires_grad
        assert not taeda.is_grad_enabled()
    assert taeda.is_grad_enabled() and not taeda.is_inference_mode_enabled()
    assert x.is_inference() and not x.requires_grad
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        w * x
    with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor"):
        x.requires_grad_()
    assert (w * x.clone()).requires_grad

    @taeda.inference_mode()
    def f():
        return taeda.ones(1)

    assert f().is_inference() and autograd.inference_mode(lambda: taeda.ones(1))().is_inference()


def test_backward_under_no_grad():
    w = leaf(1, 2)
    y = (w * w).sum()
    with taeda.no_grad():
        y.backward()
    assert w.grad.tolist() == [2, 4]


def test_multithreading_setting():
    ag = taeda.autograd
    assert ag.is_multithreading_enabled()
    with ag.set_multithreading_enabled(False):
        assert not ag.is_multithreading_enabled()
    assert ag.is_multithreading_enabled()

    @ag.set_multithreading_enabled(False)
    def inside():
        return ag.is_multithreading_enabled()

    assert not inside() and ag.is_multithreading_enabled()
    ag.set_multithreading_enabled(False)
    assert not ag.is_multithreading_enabled()
    ag.set_multithreading_enabled(True)
