"""The backward pass: accumulation, graphs kept and freed, errors, deep graphs, second derivatives."""

import gc
import threading
import time
import weakref

import pytest

import taeda
from taeda import autograd


def leaf(*values):
    return taeda.tensor([float(v) for v in values], requires_grad=True)


def test_gradients_add_up_and_grad_keeps_its_identity():
    w = leaf(1, 2)
    (w * w).sum().backward()
    first = w.grad
    assert first.tolist() == [2, 4]
    (w * 3).sum().backward()
    assert w.grad is first and first.tolist() == [5, 7]


def test_an_input_used_many_times():
    w = leaf(2)
    y = w * w + w * 3 + w
    y.backward(taeda.tensor([10.0]))
    assert w.grad.tolist() == [80]


def test_broadcast_gradients_are_summed():
    a, b = taeda.ones(3, 1, requires_grad=True), taeda.ones(2, 1, 4, requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.tolist() == [[8.0]] * 3
    assert b.grad.shape == (2, 1, 4) and b.grad[0, 0, 0].item() == 3


def test_gradients_have_the_dtype_of_the_input():
    a, b = taeda.ones(2, requires_grad=True), taeda.ones(2, dtype=taeda.float64, requires_grad=True)
    (a * b).sum().backward()
    assert a.grad.dtype is taeda.float32 and b.grad.dtype is taeda.float64


def test_a_leaf_gradient_owns_its_memory():
    a, b = leaf(1, 2), leaf(3, 4)
    g = taeda.ones(2)
    (a + b).backward(g)
    a.grad.add_(1)
    assert b.grad.tolist() == [1, 1] and g.tolist() == [1, 1]
    w = leaf(1, 2, 3)
    w.sum().backward()
    assert w.grad.is_contiguous() and w.grad.stride() == (1,)


def test_freed_graph():
    w = leaf(1, 2)
    y = w.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()
    y = w.exp().sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    z = (w + 1).sum()  # nothing saved: nothing to free
    z.backward()
    z.backward()


def test_errors_of_backward():
    w = leaf(1, 2)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (w * 2).backward()
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"):
        taeda.ones(()).backward()
    with pytest.raises(
        RuntimeError, match=r"Mismatch in shape: grad_output\[0\] has a shape of .*\[3\].* and output\[0\]"
    ):
        (w * 2).backward(taeda.ones(3))
    with pytest.raises(TypeError):
        (w * 2).backward(3.0)
    with pytest.raises(RuntimeError, match="cannot be empty"):
        w.sum().backward(inputs=[])
    assert w.grad is None


def test_grad_function():
    a, b, c = leaf(1, 2), leaf(3, 4), leaf(5, 6)
    y = (a * b).sum()
    ga, gb = autograd.grad(y, (a, b), retain_graph=True)
    assert ga.tolist() == [3, 4] and gb.tolist() == [1, 2] and a.grad is None
    with pytest.raises(RuntimeError, match="index 0 appears to not have been used in the graph"):
        autograd.grad(y, c, retain_graph=True)
    assert autograd.grad(y, (a, c), allow_unused=True, retain_graph=True)[1] is None
    assert autograd.grad(y, (a, c), materialize_grads=True, retain_graph=True)[1].tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="One of the differentiated Tensors does not require grad"):
        autograd.grad(y, taeda.ones(2))
    with pytest.raises(RuntimeError, match="cannot be empty"):
        autograd.grad(y, ())


def test_grad_of_a_computed_tensor_stops_there():
    w = leaf(2)
    h = w * 3
    calls = []
    w.register_hook(lambda g: calls.append(g))
    (g,) = autograd.grad((h * h).sum(), h)
    assert g.tolist() == [12] and not calls
    gh, gw = autograd.grad(((w * 3) * h).sum(), (h, w), allow_unused=True)
    assert gh.tolist() == [6] and gw.tolist() == [36]


def test_backward_of_some_inputs():
    a, b = leaf(1, 2), leaf(3, 4)
    h = a * b
    (h * 2).sum().backward(inputs=[a, h])
    assert a.grad.tolist() == [6, 8] and b.grad is None and h.grad.tolist() == [2, 2]
    (a * 1).sum().backward(inputs=[a, a])
    assert a.grad.tolist() == [7, 9]


def test_batched_gradients():
    w = leaf(1, 2)
    (rows,) = autograd.grad(w * w, w, taeda.eye(2), is_grads_batched=True)
    assert rows.tolist() == [[2, 0], [0, 4]]


def test_several_roots():
    w = leaf(2)
    h = w * w
    autograd.backward([h, h * 3], [taeda.ones(1), taeda.ones(1)])
    assert w.grad.tolist() == [16]


def test_backward_of_a_leaf():
    w = leaf(2)
    w.backward(taeda.tensor([5.0]))
    assert w.grad.tolist() == [5]


def test_second_derivative():
    x = taeda.tensor([1.0, 2.0, 3.0], dtype=taeda.float64, requires_grad=True)
    (g,) = autograd.grad((x * x * x).sum(), x, create_graph=True)
    (h,) = autograd.grad(g.sum(), x, create_graph=True)
    (k,) = autograd.grad(h.sum(), x)
    assert g.tolist() == [3, 12, 27] and h.tolist() == [6, 12, 18] and k.tolist() == [6, 6, 6]
    y = x.exp().sum()
    with pytest.warns(UserWarning, match="reference cycle"):
        y.backward(create_graph=True)
    (h,) = autograd.grad(x.grad.sum(), x)
    assert h.tolist() == x.exp().tolist()
    x.grad = None


@pytest.mark.filterwarnings("ignore:Using backward")
def test_accumulating_with_create_graph_makes_a_new_gradient():
    w = leaf(3)
    (w * w).sum().backward(create_graph=True)
    first = w.grad
    (w * w).sum().backward(create_graph=True)
    assert w.grad is not first and first.tolist() == [6] and w.grad.tolist() == [12] and w.grad.requires_grad
    w.grad = None


def test_flat_operators_give_zero():
    w = leaf(1.5, 2.5)
    y = w.floor()
    assert y.requires_grad
    y.sum().backward()
    assert w.grad.tolist() == [0, 0]


@pytest.mark.parametrize("walk", [False, True])
def test_deep_graph(walk):
    w = leaf(1, 2)
    y = w
    for _ in range(100_000):
        y = y + 1
    if walk:
        node = y.grad_fn
        while node.next_functions:
            node = node.next_functions[0][0]
        assert node.variable is w
        del node
    y.sum().backward()
    assert w.grad.tolist() == [1, 1]
    del y
    gc.collect()


def test_deep_chain_of_saved_tensors_and_of_writes():
    w = leaf(1, 1)
    y = w * 1
    for _ in range(30_000):
        y = y * w
    x = taeda.zeros(2)
    for _ in range(5_000):
        x[0] = w[0]
    (y.sum() + x.sum()).backward()
    del y, x


def test_next_functions():
    a, b = leaf(1), leaf(2)
    y = a * b + 1
    assert y.grad_fn.name() == "AddBackward0" and not y.is_leaf and a.is_leaf
    mul = y.grad_fn.next_functions[0][0]
    assert mul.name() == "MulBackward0"
    assert [n.variable for n, _ in mul.next_functions] == [a, b]
    assert (a * taeda.ones(1)).grad_fn.next_functions[1][0] is None
    assert y.grad_fn is y.grad_fn
    assert "MulBackward0" in repr(mul)
    mul.metadata["note"] = 3
    assert mul.metadata["note"] == 3
    with pytest.raises(AttributeError):
        mul.variable  # noqa: B018


def test_views_and_multiple_outputs():
    w = taeda.tensor([[3.0, 1.0], [2.0, 4.0]], requires_grad=True)
    values, indices = w.sort(-1)
    assert values.requires_grad and not indices.requires_grad
    (values * taeda.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert w.grad.tolist() == [[2, 1], [3, 4]]
    w.grad = None
    a, b = w.t().unbind(0)
    (a * 2 + b).sum().backward()
    assert w.grad.tolist() == [[2, 1], [2, 1]]


def test_interrupt_and_errors_leave_the_engine_usable():
    w = leaf(1, 2)
    h = w * 2

    def fail(g):
        raise KeyboardInterrupt

    handle = h.register_hook(fail)
    y = (h * h).sum()
    with pytest.raises(KeyboardInterrupt):
        y.backward(retain_graph=True)
    handle.remove()
    assert taeda.is_grad_enabled() and w.grad is None
    y.backward()
    assert w.grad.tolist() == [8, 16]


def test_backward_inside_backward():
    w, v = leaf(2), leaf(3)
    inner = []

    def hook(g):
        with taeda.enable_grad():
            z = (v * v).sum()
        z.backward()
        inner.append(v.grad.tolist())
        return g * 10

    h = w * 3
    h.register_hook(hook)
    h.sum().backward()
    assert inner == [[6]] and w.grad.tolist() == [30]


def test_backward_inside_backward_through_the_same_nodes():
    w = leaf(2)
    h = w * w
    y = (h * 1).sum()
    seen = []

    def hook(g):
        if not seen:
            seen.append(True)
            seen.append(autograd.grad(y, w, retain_graph=True)[0].tolist())

    h.register_hook(hook)
    y.backward()
    assert seen == [True, [4]] and w.grad.tolist() == [4]


def test_two_threads_through_the_same_nodes():
    w = leaf(2)
    h = w * w
    h.register_hook(lambda g: time.sleep(0.001))
    roots = [(h * k).sum() for k in range(1, 5)]
    found = [None] * 4

    def run(k):
        found[k] = autograd.grad(roots[k], w, retain_graph=True)[0].item()

    for _ in range(5):
        threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert found == [4, 8, 12, 16]


def test_graph_is_freed():
    w = leaf(1, 2)
    h = w * 2
    y = (h * h).sum()
    gone = weakref.ref(h)
    del h
    assert gone() is not None  # saved by the product
    y.backward()
    assert gone() is None


def test_cycle_through_a_hook_is_collected():
    w = leaf(1, 2)
    h = w * 2
    gone = weakref.ref(h)
    h.register_hook(lambda g, keep=h: g)
    del h
    gc.collect()
    assert gone() is None


def test_grad_attribute_checks():
    w = leaf(1, 2)
    with pytest.raises(TypeError, match="expected to be a Tensor or None but got grad of type int"):
        w.grad = 3
    with pytest.raises(
        RuntimeError, match=r"attempting to assign a gradient of size '\[3\]' to a tensor of size '\[2\]'"
    ):
        w.grad = taeda.ones(3)
    with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype 'float64'"):
        w.grad = taeda.ones(2, dtype=taeda.float64)
    with pytest.raises(RuntimeError, match="its own grad"):
        w.grad = w
    g = taeda.ones(2)
    w.grad = g
    assert w.grad is g
    del w.grad
    assert w.grad is None
    with pytest.warns(UserWarning, match="not a leaf Tensor is being accessed"):
        assert (w * 2).grad is None


def test_requires_grad_attribute():
    w = taeda.ones(2)
    assert not w.requires_grad and w.requires_grad_() is w and w.requires_grad
    w.requires_grad = False
    assert not w.requires_grad
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        taeda.ones(2, dtype=taeda.int64).requires_grad_()
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        (leaf(1) * 2).requires_grad_(False)
    with pytest.raises(RuntimeError, match="must be a bool"):
        w.requires_grad = 1


def test_detach_and_data():
    w = leaf(1, 2)
    d = w.detach()
    assert not d.requires_grad and d.is_leaf and d.data_ptr() == w.data_ptr()
    d.add_(1)
    assert w.tolist() == [2, 3] and w._version == 1
    w.data = taeda.tensor([7.0, 8.0, 9.0])
    assert w.tolist() == [7, 8, 9] and w.requires_grad
    (w * w).sum().backward()
    assert w.grad.tolist() == [14, 16, 18]
    h = w * 2
    assert h.detach_() is h and h.is_leaf and not h.requires_grad
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        w.view(3).detach_()


def test_anomaly_mode_names_the_forward_call():
    w = leaf(0, 1)
    with autograd.detect_anomaly():
        y = (w * 0).sqrt().sum()  # the slope at zero is infinite, and infinity times zero is NaN
        with (
            pytest.warns(UserWarning, match=r"(?s)Error detected in .*test_anomaly_mode_names_the_forward_call"),
            pytest.raises(RuntimeError, match="returned nan values in its 0th output"),
        ):
            y.backward()
    assert w.grad is None
    (w * 0).sqrt().sum().backward()
