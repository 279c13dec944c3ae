"""Writing in place on the tape: versions, leaves, views and their bases."""

import pytest

import taeda
from taeda import autograd


def leaf(*values):
    return taeda.tensor([float(v) for v in values], requires_grad=True)


def test_history_follows_the_write():
    w = leaf(1, 2, 3)
    y = w * 2
    y.mul_(3)
    y.add_(w)
    assert y.grad_fn.name() == "AddBackward0" and y._version == 2
    y.sum().backward()
    assert w.grad.tolist() == [7, 7, 7]


def test_old_value_is_kept_where_the_gradient_reads_it():
    w, v = leaf(1, 2), leaf(3, 4)
    y = w * 1
    y.mul_(v)
    y.sum().backward()
    assert w.grad.tolist() == [3, 4] and v.grad.tolist() == [1, 2]
    x = taeda.tensor([5.0, 6.0])  # no gradient of its own before
    x.mul_(v)
    v.grad = None
    x.sum().backward()
    assert v.grad.tolist() == [5, 6]


def test_second_derivative_through_a_write():
    x = taeda.tensor([1.0, 2.0], dtype=taeda.float64, requires_grad=True)

    def f(t):
        y = t * 1
        y.mul_(t)
        y.mul_(t)
        y.exp_()
        return y

    assert autograd.gradcheck(f, x) and autograd.gradgradcheck(f, x)


def test_leaf_errors():
    w = leaf(1, 2)
    with pytest.raises(
        RuntimeError, match=r"^a leaf Variable that requires grad is being used in an in-place operation"
    ):
        w.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place"):
        w[0].add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        w[0] = 3
    assert w.tolist() == [1, 2] and w._version == 0
    with taeda.no_grad():
        w.add_(1)
        w[0] = 5
    assert w.tolist() == [5, 3] and w._version == 2 and w.is_leaf


def test_write_to_a_saved_output():
    w = leaf(1, 2)
    y = w.exp()
    y.add_(1)
    with pytest.raises(RuntimeError) as error:
        y.sum().backward()
    assert (
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        "[taeda.FloatTensor [2]], which is output 0 of ExpBackward0, is at version 1; expected version 0 instead."
    ) in str(error.value)


def test_write_to_a_saved_input():
    w = leaf(1, 2)
    h = w * 2
    y = h * w
    h.add_(1)
    with pytest.raises(RuntimeError, match=r"which is output 0 of MulBackward0, is at version 1; expected version 0"):
        y.sum().backward()
    y = w.exp() * taeda.ones(2)
    with taeda.no_grad():
        w.add_(1)
    y.sum().backward()  # exp keeps its result, not w
    y = w * w
    with taeda.no_grad():
        w[0] = 3  # through a view
    with pytest.raises(RuntimeError, match=r"\[taeda.FloatTensor \[2\]\] is at version 2; expected version 1"):
        y.sum().backward()


def test_write_to_itself():
    w = leaf(1, 2)
    y = w * 1
    y.mul_(y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_write_through_a_view_reaches_the_base():
    w = leaf(1, 2, 3)
    y = w * 2
    v = y[1:]
    v.mul_(w[:2])
    assert y.grad_fn.name() == "CopySlices"
    assert y.tolist() == [2, 4, 12]
    y.sum().backward()
    assert w.grad.tolist() == [2 + 4, 2 + 6, 4]


def test_values_put_into_a_tensor_without_gradient():
    w = leaf(1, 2, 3)
    x = taeda.zeros(2, 3)
    x[0] = w
    x[1, 1] = w[2] * 2
    assert x.requires_grad and x.tolist() == [[1, 2, 3], [0, 6, 0]]
    (x * x).sum().backward()
    assert w.grad.tolist() == [2, 4, 6 + 24]


def test_other_views_see_the_new_history():
    w = leaf(1, 2, 3)
    y = w * 2
    early = y[:2]
    inner = early[1:]
    y.mul_(5)
    assert early.tolist() == [10, 20] and inner.tolist() == [20]
    (gw,) = autograd.grad(early.sum(), w, retain_graph=True)
    assert gw.tolist() == [10, 10, 0]
    (gw,) = autograd.grad(inner.sum(), w)
    assert gw.tolist() == [0, 10, 0]


def test_view_of_a_base_that_later_needs_a_gradient():
    w = leaf(2, 3)
    x = taeda.zeros(4)
    first, last = x[:2], x[2:]
    first.copy_(w)
    assert x.requires_grad and last.requires_grad and x.view(2, 2)[0].requires_grad
    (first * first).sum().backward()
    assert w.grad.tolist() == [4, 6]


def test_view_chains():
    w = taeda.arange(12, dtype=taeda.float64).requires_grad_()

    def f(t):
        y = t.reshape(3, 4) * 1
        v = y.t()[1:3].unsqueeze(0)
        v.mul_(v * 2 + 1)
        y.diagonal().add_(t[:3] * t[1:4])
        y[0].exp_()
        return y

    x = (w.detach() / 10).requires_grad_()
    assert autograd.gradcheck(f, x)
    assert autograd.gradgradcheck(f, x)


def test_write_into_a_view_zeroes_the_gradient_there():
    w = leaf(1, 2, 3)
    y = w * 2
    y[1] = 7
    y.sum().backward()
    assert y.tolist() == [2, 7, 6] and w.grad.tolist() == [2, 0, 2]


def test_transposed_gradient_into_a_view():
    w = taeda.ones(2, 3, requires_grad=True)
    y = w * 2
    y.view(-1)[:2].mul_(5)
    (y.t() * taeda.tensor([[1.0, 2], [3, 4], [5, 6]])).sum().backward()
    assert w.grad.tolist() == [[10, 30, 10], [4, 8, 12]]


def test_index_put_and_masks():
    w = leaf(1, 2, 3)
    y = w * 2
    y[taeda.tensor([0, 2])] = w[:2] * 10
    y.sum().backward()
    assert y.tolist() == [10, 4, 20] and w.grad.tolist() == [10, 12, 0]
    w.grad = None
    y = w * 2
    y[y > 3] = 0
    y.sum().backward()
    assert w.grad.tolist() == [2, 0, 0]


def test_views_of_no_grad_mode():
    w = leaf(1, 2)
    base = w * 2
    with taeda.no_grad():
        v = base.view(2)
    assert not v.requires_grad
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode and is being modified inplace"):
        v.add_(1)
    with taeda.no_grad():
        v.add_(1)
    assert base.tolist() == [3, 5]


def test_overlapping_memory():
    with pytest.raises(
        RuntimeError, match="more than one element of the written-to tensor refers to a single memory location"
    ):
        taeda.zeros(3).expand(2, 3).add_(1)


def test_retained_gradient_moves_with_the_tensor():
    w = leaf(1, 2)
    y = w * 2
    y.retain_grad()
    y.mul_(3)
    (y * 5).sum().backward()
    assert y.grad.tolist() == [5, 5] and w.grad.tolist() == [30, 30]


def test_hook_stays_with_the_old_value():
    w = leaf(1, 2)
    y = w * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.mul_(3)
    y.sum().backward()
    assert seen == [[3, 3]]
