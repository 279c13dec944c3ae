"""Functional derivatives, gradcheck itself and checkpointing."""

import pytest

import taeda
from taeda import autograd
from taeda.autograd import functional
from taeda.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


def tensor(values, **kw):
    return taeda.tensor(values, dtype=taeda.float64, **kw)


def close(a, b):
    assert tuple(a.shape) == tuple(b.shape) and (a - b).abs().max().item() < 1e-12


def test_vjp_and_jvp():
    x, v = tensor([1.0, 2.0, 3.0]), tensor([1.0, 0.0, 2.0])
    y, g = functional.vjp(lambda t: t * t, x, v)
    assert y.tolist() == [1, 4, 9] and g.tolist() == [2, 0, 12] and not g.requires_grad and not y.requires_grad
    y, g = functional.jvp(lambda t: (t * t, t.sum()), x, v)
    assert g[0].tolist() == [2, 0, 12] and g[1].item() == 3
    y, g = functional.jvp(lambda t: taeda.ones(2, dtype=taeda.float64), x, v)
    assert g.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="can only be None"):
        functional.vjp(lambda t: t * t, x)
    with pytest.raises(RuntimeError, match=r"v has invalid size: should be .*3.* but got .*2"):
        functional.vjp(lambda t: t * t, x, tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="independent of input 1"):
        functional.vjp(lambda a, b: a, (x, x), v, strict=True)
    with pytest.raises(TypeError, match="inputs given to vjp must be either a Tensor or a tuple of Tensors"):
        functional.vjp(lambda t: t, 3)


def test_jacobian():
    a, b = tensor([1.0, 2.0]), tensor([3.0, 4.0, 5.0])
    jac = functional.jacobian(lambda x, y: (x.unsqueeze(1) * y, x.sum()), (a, b))
    (ja, jb), (sa, sb) = jac
    assert ja.shape == (2, 3, 2) and jb.shape == (2, 3, 3)
    assert ja[1].tolist() == [[0, 3], [0, 4], [0, 5]] and jb[1, 2].tolist() == [0, 0, 2]
    assert sa.tolist() == [1, 1] and sb.tolist() == [0, 0, 0]
    x = tensor([1.0, 2.0], requires_grad=True)
    jac = functional.jacobian(lambda t: t * t * t, x, create_graph=True)
    assert autograd.grad(jac.sum(), x)[0].tolist() == [6, 12]


def test_hessian_and_products():
    x = tensor([1.0, 2.0, 3.0])

    def f(t):
        return (t * t * t).sum() + t[0] * t[1]

    h = functional.hessian(f, x)
    expected = tensor([[6.0, 1, 0], [1, 12, 0], [0, 0, 18]])
    close(h, expected)
    v = tensor([1.0, 2.0, 3.0])
    close(functional.hvp(f, x, v)[1], expected @ v)
    close(functional.vhp(f, x, v)[1], expected @ v)
    blocks = functional.hessian(lambda a, b: (a * b).sum(), (x, x))
    assert blocks[0][0].sum().item() == 0 and blocks[0][1].tolist() == taeda.eye(3).tolist()
    with pytest.raises(RuntimeError, match="should contain a single element"):
        functional.hessian(lambda t: t, x)


def test_gradcheck_finds_wrong_gradients():
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(autograd.GradcheckError, match="Jacobian mismatch for output 0 with respect to input 0"):
        autograd.gradcheck(Wrong.apply, x)
    assert not autograd.gradcheck(Wrong.apply, x, raise_exception=False)
    assert autograd.gradcheck(lambda a, k: a.exp() * k, (x, 3))
    with pytest.raises(ValueError, match="expects at least one input tensor to require gradient"):
        autograd.gradcheck(Wrong.apply, x.detach())


def model(x, w):
    h = (x * w).exp()
    return (h * taeda.rand(3, dtype=taeda.float64)).sum() + (h * h).sum()


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoint_gives_the_same_gradients(reentrant):
    x, w = tensor([0.1, 0.2, 0.3], requires_grad=True), tensor([1.0, 2.0, 3.0], requires_grad=True)
    taeda.manual_seed(3)
    plain = model(x * 1, w)
    expected = autograd.grad(plain, (x, w))
    taeda.manual_seed(3)
    calls = []

    def counted(*args):
        calls.append(taeda.is_grad_enabled())
        return model(*args)

    y = checkpoint(counted, x * 1, w, use_reentrant=reentrant)
    state = taeda.get_rng_state()
    assert y.item() == plain.item() and len(calls) == 1
    y.backward()
    assert len(calls) == 2 and calls[1]
    assert x.grad.tolist() == expected[0].tolist() and w.grad.tolist() == expected[1].tolist()
    assert taeda.get_rng_state().tolist() == state.tolist()


def test_checkpoint_keeps_nothing():
    x = tensor([0.1, 0.2], requires_grad=True)
    made = []

    def f(t):
        h = t.exp()
        made.append(h.data_ptr())
        return (h * h).sin()

    y = checkpoint(f, x)
    assert autograd.gradcheck(lambda t: checkpoint(f, t), x)
    y.sum().backward(retain_graph=True)
    first = x.grad.tolist()
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == first
    (g,) = autograd.grad(checkpoint(f, x).sum(), x, create_graph=True)
    (plain,) = autograd.grad(f(x).sum(), x, create_graph=True)
    assert autograd.grad(g.sum(), x)[0].tolist() == autograd.grad(plain.sum(), x)[0].tolist()


def test_checkpoint_inside_checkpoint():
    x = tensor([0.1, 0.2], requires_grad=True)

    def inner(t):
        return (t * t).exp()

    def outer(t):
        return checkpoint(inner, t.sin()) * t

    assert autograd.gradcheck(lambda t: checkpoint(outer, t), x)


def test_checkpoint_that_changes_its_mind():
    x = tensor([0.1, 0.2], requires_grad=True)
    runs = []

    def f(t):
        runs.append(1)
        return t * 2 if len(runs) > 1 else t.exp().exp()

    with pytest.raises(CheckpointError, match="different number of tensors was saved"):
        checkpoint(f, x).sum().backward()
    runs.clear()

    def g(t):
        runs.append(1)
        return (t[:1] if len(runs) > 1 else t).exp()

    with pytest.raises(CheckpointError, match="different metadata"):
        checkpoint(g, x).sum().backward()


def test_checkpoint_sequential():
    x = tensor([0.1, 0.2], requires_grad=True)
    steps = [taeda.sin, taeda.exp, taeda.cos, taeda.tanh]
    y = checkpoint_sequential(steps, 2, x)
    plain = x.sin().exp().cos().tanh()
    assert y.tolist() == plain.tolist()
    assert autograd.grad(y.sum(), x)[0].tolist() == autograd.grad(plain.sum(), x)[0].tolist()
    with pytest.raises(ValueError, match="segments"):
        checkpoint_sequential(steps, 9, x)
