"""Autograd: the same program with both libraries gives the same values, gradients and events."""

from __future__ import annotations

import warnings

import numpy
import pytest

import taeda

torch = pytest.importorskip("torch")


def data(lib, *shape, seed=0, grad=True):
    values = numpy.random.default_rng(seed).standard_normal(shape)
    return lib.tensor(values, dtype=lib.float64, requires_grad=grad)


def same(a, b):
    if isinstance(b, torch.Tensor):
        assert str(a.dtype).rpartition(".")[2] == str(b.dtype).rpartition(".")[2]
        assert tuple(a.shape) == tuple(b.shape)
        assert a.requires_grad == b.requires_grad
        numpy.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-9, 1e-11)
    elif isinstance(b, dict):
        assert list(a) == list(b)
        same(list(a.values()), list(b.values()))
    elif isinstance(b, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    else:
        assert a == b


PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


@program
def backward(m, d):
    x, y = d(3), d(3, seed=1)
    m.autograd.backward([(x * y).sum(), (x**2).sum()])
    m.autograd.backward((x * 2,), (m.ones(3, dtype=m.float64),))
    return x.grad, y.grad


@program
def backward_into_some(m, d):
    x, y = d(3), d(3, seed=1)
    m.autograd.backward((x * y).sum(), inputs=[x])
    return x.grad, y.grad


@program
def higher_order(m, d):
    x = d(3)
    (g,) = m.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = m.autograd.grad(g.sum(), x, create_graph=True)
    (k,) = m.autograd.grad(h.sum(), x)
    return g, h, k


@program
def unused_inputs(m, d):
    x, y = d(3), d(2)
    first = m.autograd.grad(x.sum(), [x, y], allow_unused=True)
    return first, m.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)


@program
def batched_gradients(m, d):
    x = d(3)
    y = x.sin() * x
    return m.autograd.grad(y, x, m.eye(3, dtype=m.float64), is_grads_batched=True)


@program
def functions(m, d):
    class Cube(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return x**3 * scale

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False)
            return g * 3 * x**2 * ctx.scale, None

    x = d(3)
    y = Cube.apply(x, 2.0)
    (g,) = m.autograd.grad(y.sum(), x, create_graph=True)
    return y, g, m.autograd.grad(g.sum(), x)


@program
def functions_with_setup(m, d):
    class Both(m.autograd.Function):
        @staticmethod
        def forward(x, y):
            return x * y, x + y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.set_materialize_grads(False)

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            assert h is None
            return g * y, g * x

    x, y = d(3), d(3, seed=1)
    return m.autograd.grad(Both.apply(x, y)[0].sum(), [x, y])


@program
def functions_that_write(m, d):
    class Twice(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        @m.autograd.function.once_differentiable
        def backward(ctx, g):
            return g * 2

    x = d(3)
    y = Twice.apply(x.clone())
    return y, m.autograd.grad(y.sum(), x)


@program
def functions_without_some_gradients(m, d):
    class Split(m.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            index = x.argsort()
            ctx.mark_non_differentiable(index)
            ctx.save_for_backward(index)
            return x[index], index

        @staticmethod
        def backward(ctx, g, _):
            (index,) = ctx.saved_tensors
            return m.zeros_like(g).index_add(0, index, g)

    x = d(4)
    y, index = Split.apply(x)
    return y, index, m.autograd.grad((y * m.arange(4)).sum(), x)


@program
def tensor_hooks(m, d):
    seen = []
    x = d(3)
    y = x * 2
    handle = y.register_hook(lambda g: seen.append(g.clone()))
    y.register_hook(lambda g: g * 10)
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.clone()))
    y.sum().backward()
    handle.remove()
    (x * 3).sum().backward()
    return seen, x.grad


@program
def node_hooks(m, d):
    seen = []
    x = d(3)
    y = x.exp()
    y.grad_fn.register_prehook(lambda grads: (grads[0] * 2,))
    y.grad_fn.register_hook(lambda ins, outs: seen.append((ins[0].clone(), outs[0].clone())))
    y.sum().backward()
    return seen, x.grad, y.grad_fn.name(), len(y.grad_fn.next_functions)


@program
def several_tensors_hook(m, d):
    seen = []
    x, y = d(3), d(3, seed=1)
    handle = m.autograd.graph.register_multi_grad_hook([x, y], lambda grads: seen.append([g.clone() for g in grads]))
    (x * y).sum().backward()
    handle.remove()
    m.autograd.graph.register_multi_grad_hook([x, y], lambda g: seen.append(g.clone()), mode="any")
    (x * 5).sum().backward()
    return seen


@program
def saved_tensors(m, d):
    packed = []

    def pack(t):
        packed.append(tuple(t.shape))
        return t.detach().numpy()

    x = d(3)
    with m.autograd.graph.saved_tensors_hooks(pack, lambda a: m.tensor(a)):
        y = (x * x.exp()).sum()
    y.backward()
    with m.autograd.graph.save_on_cpu():
        z = (x * x).sum()
    z.backward()
    return packed, x.grad


@program
def mutation_of_saved_tensors(m, d):
    x = d(3)
    y = x.clone()
    with m.autograd.graph.allow_mutation_on_saved_tensors():
        out = (y**2).sum()
        y.detach().sin_()
        out.backward()
    return x.grad


@program
def edges(m, d):
    x = d(3)
    y = x * 2
    edge = m.autograd.graph.get_gradient_edge(y)
    v = x.detach().clone()
    before = v._version
    m.autograd.graph.increment_version(v)
    return edge.output_nr, isinstance(edge, m.autograd.graph.GradientEdge), v._version - before


@program
def modes(m, d):
    x = d(3)
    with m.no_grad():
        a = x * 2
        with m.autograd.enable_grad():
            b = x * 2
    with m.autograd.set_grad_enabled(False):
        c = x * 2
    with m.autograd.inference_mode():
        e = x * 2
    f = m.autograd.no_grad()(lambda t: t * 2)(x)
    return [t.requires_grad for t in (a, b, c, e, f)], e.is_inference(), m.is_grad_enabled()


@program
def anomaly(m, d):
    x = d(3)
    with m.autograd.detect_anomaly(check_nan=False):
        (x * 2).sum().backward()
    with m.autograd.set_detect_anomaly(False):
        (x * 2).sum().backward()
    return x.grad


@program
def jacobians(m, d):
    def fn(a, b):
        return a.sin() * b, (a * b).sum()

    F, args = m.autograd.functional, (d(3), d(3, seed=1))
    plain = F.jacobian(fn, args)
    forward = F.jacobian(fn, args, vectorize=True, strategy="forward-mode")
    return plain, F.jacobian(fn, args, vectorize=True), [[x.detach() for x in row] for row in forward]


@program
def hessians(m, d):
    fn = lambda x: (x**3).sum() * x[0]  # noqa: E731
    F, x, v = m.autograd.functional, d(3), d(3, seed=1, grad=False)
    return F.hessian(fn, x), F.hessian(fn, x, vectorize=True), F.vhp(fn, x, v), F.hvp(fn, x, v)


@program
def products(m, d):
    F, x, v = m.autograd.functional, d(3), d(3, seed=1, grad=False)
    return F.vjp(lambda a: a.exp() * a.sum(), x, v), F.jvp(lambda a: a.exp() * a.sum(), x, v)


@program
def forward_mode(m, d):
    fwd, x, t = m.autograd.forward_ad, d(3, grad=False), d(3, seed=1, grad=False)
    with fwd.dual_level():
        dual = fwd.make_dual(x, t)
        y = (dual.sin() * dual.cumsum(0)).exp()
        primal, tangent = fwd.unpack_dual(y)
        plain = fwd.unpack_dual(x * 2)
        return primal, tangent, plain.tangent, isinstance(plain, fwd.UnpackedDualTensor)


@program
def forward_mode_levels(m, d):
    fwd, x = m.autograd.forward_ad, d(3, grad=False)
    level = fwd.enter_dual_level()
    y = fwd.make_dual(x, m.ones_like(x)) @ m.ones(3, dtype=m.float64)
    found = fwd.unpack_dual(y).tangent
    fwd.exit_dual_level(level=level)
    return found


@program
def checkpoints(m, d):
    w = d(3, 3)

    def block(x):
        return (x @ w).tanh()

    x = d(2, 3, seed=2)
    y = m.utils.checkpoint.checkpoint(block, x, use_reentrant=False)
    z = m.utils.checkpoint.checkpoint_sequential([block, block], 2, y, use_reentrant=False)
    z.sum().backward()
    return z, x.grad, w.grad


@program
def gradient_checks(m, d):
    ok = m.autograd.gradcheck(lambda a: a.sin().sum(0), d(3, 2))
    again = m.autograd.gradgradcheck(lambda a: (a**3).sum(), d(3))
    wrong = m.autograd.gradcheck(lambda a: a.detach() * a, d(3), raise_exception=False)
    return ok, again, wrong


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [PROGRAMS[name](lib, lambda *s, lib=lib, **k: data(lib, *s, **k)) for lib in (taeda, torch)]
    same(*results)


WRONG = {
    "twice": lambda m, d: [y.backward() for y in [(d(3) ** 2).sum()] * 2],
    "not a number": lambda m, d: (d(3) * 2).backward(),
    "no graph": lambda m, d: d(3, grad=False).sum().backward(),
    "written": lambda m, d: (lambda y: ((y**2).sum(), y.mul_(2))[0].backward())(d(3).clone()),
    "write into a leaf": lambda m, d: d(3).add_(1),
    "unused": lambda m, d: m.autograd.grad(d(3).sum(), d(2)),
    "no inputs": lambda m, d: m.autograd.grad(d(3).sum(), []),
    "shape of the gradient": lambda m, d: (d(3) * 2).backward(m.ones(2, dtype=m.float64)),
    "integers": lambda m, d: m.tensor([1]).requires_grad_(),
    "refused hooks": lambda m, d: _saved_without(m, d),
    "inference tensors": lambda m, d: _inference(m, d),
    "a node's hook": lambda m, d: d(3).grad_fn.register_hook(print),
    "strict": lambda m, d: m.autograd.functional.jacobian(lambda a: m.ones(2), d(3), strict=True),
    "gradcheck of floats": lambda m, d: m.autograd.gradcheck(lambda a: a.detach() * a, d(3)),
    "dual shapes": lambda m, d: _dual(m, d),
}


def _saved_without(m, d):
    with m.autograd.graph.disable_saved_tensors_hooks("not here"), m.autograd.graph.save_on_cpu():
        return d(3)


def _inference(m, d):
    with m.inference_mode():
        x = m.ones(3)
    return (x * d(3)).sum()


def _dual(m, d):
    with m.autograd.forward_ad.dual_level():
        m.autograd.forward_ad.make_dual(d(3), d(2))


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    for lib in (torch, taeda):
        with pytest.raises(Exception) as caught:
            WRONG[name](lib, lambda *s, lib=lib, **k: data(lib, *s, **k))
        if lib is torch:
            theirs = type(caught.value)
        else:
            ours = type(caught.value)
            related = issubclass(ours, theirs) or issubclass(theirs, ours) or ours.__name__ == theirs.__name__
            assert related, f"{caught.value!r}, PyTorch: {theirs}"
