"""Hooks on tensors and nodes, in their order; hooks on what is saved."""

import pytest

import taeda
from taeda import autograd
from taeda.autograd.graph import get_gradient_edge, register_multi_grad_hook, saved_tensors_hooks


def leaf(*values):
    return taeda.tensor([float(v) for v in values], requires_grad=True)


def test_a_hook_sees_and_replaces_the_gradient():
    w = leaf(1, 2)
    h = w * 2
    seen = []
    first = h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: seen.append(g.tolist()))
    (h * 3).sum().backward(retain_graph=True)
    assert seen == [[30, 30]] and w.grad.tolist() == [60, 60]
    first.remove()
    first.remove()
    w.grad = None
    with w.register_hook(lambda g: -g):
        (h * 3).sum().backward(retain_graph=True)
    assert w.grad.tolist() == [-6, -6]
    (h * 3).sum().backward()
    assert w.grad.tolist() == [0, 0]


def test_order():
    w = leaf(1, 2)
    h = w * 2
    calls = []
    note = calls.append
    h.register_hook(lambda g: note("tensor"))
    h.retain_grad()
    h.grad_fn.register_prehook(lambda gs: note("pre"))
    h.grad_fn.register_hook(lambda gi, go: note("post"))
    w.register_hook(lambda g: note("leaf"))
    accumulate = h.grad_fn.next_functions[0][0]
    accumulate.register_prehook(lambda gs: note("leaf pre"))
    accumulate.register_hook(lambda gi, go: note("leaf post"))
    w.register_post_accumulate_grad_hook(lambda t: note(("accumulated", t is w, t.grad.tolist())))
    h.sum().backward()
    assert calls == ["tensor", "pre", "post", "leaf", "leaf pre", ("accumulated", True, [2, 2]), "leaf post"]


def test_node_hooks_replace_gradients():
    w = leaf(1, 2)
    h = w * 3
    h.grad_fn.register_prehook(lambda gs: (gs[0] * 10,))
    h.grad_fn.register_hook(lambda gi, go: (gi[0] + go[0], gi[1]))
    h.sum().backward()
    assert w.grad.tolist() == [40, 40]
    h = w * 3
    h.grad_fn.register_prehook(lambda gs: 3)
    with pytest.raises(TypeError, match="a hook of MulBackward0 must return None or a tuple of 1 gradients, got int"):
        h.sum().backward()


def test_bad_results_of_tensor_hooks():
    w = leaf(1, 2)
    for result, error, match in (
        (3, TypeError, "expected Variable, but hook returned 'int'"),
        (taeda.ones(3), RuntimeError, "hook has changed the size of value"),
        (taeda.ones(2, dtype=taeda.float64), RuntimeError, "hook has changed the type of value"),
    ):
        h = w * 2
        h.register_hook(lambda g, r=result: r)
        with pytest.raises(error, match=match):
            h.sum().backward()
    assert w.grad is None


def test_registering_needs_a_gradient():
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
        taeda.ones(2).register_hook(print)
    with pytest.raises(RuntimeError, match="post accumulate grad hooks cannot be registered on non-leaf tensors"):
        (leaf(1) * 2).register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"):
        taeda.ones(2).retain_grad()
    with pytest.raises(TypeError, match="a hook must be callable"):
        leaf(1).register_hook(3)


def test_retain_grad():
    w = leaf(1, 2)
    h = w * 2
    assert not h.retains_grad
    h.retain_grad()
    assert h.retains_grad and h.grad is None
    y = (h * h).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert h.grad.tolist() == [8, 16]
    h = w * 2
    h.retain_grad()
    h.register_hook(lambda g: g * 100)
    h.sum().backward()
    assert h.grad.tolist() == [100, 100]
    w.retain_grad()  # nothing to do for a leaf


def test_hook_on_an_input_of_grad():
    w = leaf(1, 2)
    h = w * 2
    h.register_hook(lambda g: g * 10)
    assert autograd.grad((h * 3).sum(), h)[0].tolist() == [30, 30]


def test_hook_with_history():
    w = leaf(3)
    h = w * w
    h.register_hook(lambda g: g * w)
    (g,) = autograd.grad(h.sum(), w, create_graph=True)
    assert g.tolist() == [18]
    assert autograd.grad(g.sum(), w)[0].tolist() == [12]


def test_multi_grad_hooks():
    a, b = leaf(1), leaf(2)
    seen, first = [], []
    register_multi_grad_hook((a, b), lambda gs: seen.append([g.item() for g in gs]))
    handle = register_multi_grad_hook((a, b), lambda g: first.append(g.item()), mode="any")
    (a * b).sum().backward()
    (a * b * 2).sum().backward()
    assert seen == [[2, 1], [4, 2]] and len(first) == 2
    handle.remove()
    (a * b).sum().backward()
    assert len(first) == 2 and len(seen) == 3


def test_gradient_edge():
    w = leaf(1)
    assert get_gradient_edge(w).node.variable is w
    h = w * 2
    assert get_gradient_edge(h) == (h.grad_fn, 0)
    with pytest.raises(RuntimeError, match="does not require gradients"):
        get_gradient_edge(taeda.ones(1))


def test_saved_tensor_hooks():
    w = taeda.tensor([1.0, 2.0], dtype=taeda.float64, requires_grad=True)
    packed = []

    def pack(t):
        packed.append(tuple(t.shape))
        return t.detach().tolist()

    def unpack(values):
        return taeda.tensor(values, dtype=taeda.float64)

    def f(t):
        with saved_tensors_hooks(pack, unpack):
            return (t * t).exp()

    y = f(w)
    assert packed == [(2,)] * 3
    y.sum().backward()
    assert w.grad.tolist() == (2 * w * (w * w).exp()).tolist()
    assert autograd.gradgradcheck(f, w)
    with saved_tensors_hooks(pack, lambda o: 3):
        y = w.exp()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor"):
        y.sum().backward()
    w.exp().sum().backward()


def test_leaf_hooks_are_not_called_for_other_inputs():
    a, b = leaf(1), leaf(2)
    calls = []
    a.register_hook(lambda g: calls.append("a"))
    (a * b).sum().backward(inputs=[b])
    assert calls == [] and a.grad is None
