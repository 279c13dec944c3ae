"""Forward mode, its nesting with the other transforms and the functional derivatives against PyTorch: whole programs
that both run on the same data."""

from __future__ import annotations

import numpy as np
import pytest

import taeda

from .expressions import flatten

torch = pytest.importorskip("torch")

PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


class Data:
    """Numbers for one of the two libraries: the same in the same order."""

    def __init__(self, m):
        self.m, self.random = m, np.random.default_rng(11)

    def __call__(self, *shape, low=-1.0, high=1.0):
        return self.m.tensor(self.random.uniform(low, high, shape))

    def complex(self, *shape):
        return self.m.tensor(self.random.uniform(-1, 1, shape) + 1j * self.random.uniform(-1, 1, shape))

    def ints(self, high, *shape):
        return self.m.tensor(self.random.integers(0, high, shape))

    def fill(self, module):
        """Parameters and buffers of float64."""
        module = module.double()
        with self.m.no_grad():
            for t in (*module.parameters(), *module.buffers()):
                if t.is_floating_point():
                    t.copy_(self(*t.shape, low=0.1))
        return module


def mlp(m, data, wide=5):
    nn = m.nn
    return data.fill(nn.Sequential(nn.Linear(3, wide), nn.Tanh(), nn.Linear(wide, 2)))


def net(m, x, w1, b1, w2):
    return m.tanh(x @ w1 + b1) @ w2


def weights(d):
    return d(3, 4), d(4), d(4, 2)


# -- vmap --------------------------------------------------------------------------------------------------------------
@program
def vmap_of_dot(m, d):
    return m.vmap(m.dot)(d(4, 3), d(4, 3))


@program
def vmap_dims(m, d):
    x, y = d(3, 4), d(5, 3, 2)
    return [
        m.vmap(lambda a, b: a[:, None] * b.sum(), in_dims=(0, 1))(x, y),
        m.vmap(lambda a: (a * 2, a.sum()), in_dims=1, out_dims=(1, 0))(x),
        m.vmap(lambda a, b: a + b, in_dims=(0, None), out_dims=1)(x, d(4)),
        m.vmap(lambda a, b: a + b, in_dims=(-1, None), out_dims=-1)(x, 2.0),
    ]


@program
def vmap_trees(m, d):
    def f(tree, scale=1.0):
        a, (b, c) = tree["a"], tree["bc"]
        return {"sum": a + b * scale, "parts": [a.sum(), c.prod()]}

    tree = {"a": d(3, 2), "bc": (d(2), d(3))}
    return [
        m.vmap(f, in_dims=({"a": 0, "bc": (None, 0)},))(tree),
        m.vmap(f, in_dims=({"a": 0, "bc": (None, 0)},), out_dims={"sum": 1, "parts": [0, 0]})(tree, scale=3.0),
    ]


@program
def vmap_nested(m, d):
    x, y = d(3, 4), d(5, 4)
    return m.vmap(lambda a: m.vmap(lambda b: m.dot(a, b))(y))(x), m.vmap(m.vmap(m.sin))(x)


@program
def vmap_chunks(m, d):
    x = d(7, 3)
    return m.vmap(lambda a: a.softmax(0).sum() + a.max(), chunk_size=2)(x), m.vmap(m.sum, chunk_size=7)(x)


@program
def vmap_indexing(m, d):
    x, i = d(4, 5), d.ints(5, 4, 3)
    return (
        m.vmap(lambda a, k: a[k])(x, i),
        m.vmap(lambda a, k: a.index_select(0, k), in_dims=(None, 0))(x[0], i),
        m.vmap(lambda a, k: a.gather(0, k).cumsum(0))(x, i),
        m.vmap(lambda a: a[1:3].flip(0))(x),
        m.vmap(lambda a, k: a.scatter_add(0, k, m.ones(3, dtype=m.float64)))(x, i),
        m.vmap(lambda a: m.where(a > 0, a, -a).sort().values)(x),
        m.vmap(lambda a, b: m.cat([a, b]).reshape(2, -1).t(), in_dims=(0, None))(x, x[0]),
    )


@program
def vmap_rows_of_their_own(m, d):
    table, ids, x, src, i = (
        d(4, 3),
        m.tensor([[0, 1, 1], [3, 3, 3]]),
        d(2, 3, 4),
        d(2, 3, 2),
        m.tensor([[0, 3], [2, 1]]),
    )
    loss = lambda w, k: (m.nn.functional.embedding(k, w) ** 2).sum()  # noqa: E731
    return (
        m.vmap(m.func.grad(loss), in_dims=(None, 0))(table, ids),
        m.vmap(lambda a, k, s: a.index_add(1, k, s, alpha=2))(x, i, src),
        m.vmap(lambda a, k, s: a.index_copy(1, k, s))(x, i, src),
        m.vmap(lambda a, k, s: a.clone().index_add_(-1, k, s))(x, i, src),
    )


@program
def vmap_linear_algebra(m, d):
    x = d(3, 4, 2, 2) + 3 * m.eye(2, dtype=m.float64)
    functions = (
        m.linalg.inv,
        m.linalg.slogdet,
        m.linalg.svdvals,
        lambda a: m.linalg.solve(a, a.sum(-1)),
        lambda a: m.linalg.eigh(a + a.mT)[0],
        lambda a: m.fft.fft2(a),
        lambda a: m.fft.irfft(a, 5),
    )
    return [tuple(y) if isinstance(y, tuple) else y for y in (m.vmap(f)(x) for f in functions)]


@program
def vmap_writes(m, d):
    def f(a, b):
        a = a.clone()
        a[0] = b.sum()
        a.mul_(2).add_(b)
        return a

    return m.vmap(f)(d(3, 4), d(3, 4))


@program
def vmap_modules(m, d):
    F = m.nn.functional
    x, w = d(2, 3, 4, 6, 6), d(5, 4, 3, 3)
    return (
        m.vmap(lambda a: F.conv2d(a, w, padding=1))(x),
        m.vmap(lambda a: F.max_pool2d(F.relu(a), 2))(x),
        m.vmap(lambda a: F.layer_norm(a, (6,)))(x),
        m.vmap(lambda a: F.log_softmax(a, -1))(x),
        m.vmap(lambda a, k: F.cross_entropy(a, k))(d(4, 3, 5), d.ints(5, 4, 3)),
        m.vmap(lambda q: F.scaled_dot_product_attention(q, q, q))(d(2, 1, 3, 4)),
    )


# -- reverse mode ------------------------------------------------------------------------------------------------------
@program
def grads(m, d):
    f = m.func
    x, y = d(3), d(3)

    def g(a, b):
        return (a * b.sin()).sum()

    return (
        f.grad(g)(x, y),
        f.grad(g, argnums=1)(x, y),
        f.grad(g, argnums=(0, 1))(x, y),
        f.grad_and_value(g)(x, y),
        f.grad(lambda a: ((a**3).sum(), {"a": a}), has_aux=True)(x),
        f.grad_and_value(lambda a: ((a**3).sum(), a * 2), has_aux=True)(x),
        f.grad(lambda tree: (tree["a"] * tree["b"][0]).sum())({"a": x, "b": [y]}),
        f.grad(f.grad(m.sin))(m.tensor(0.3)),
    )


@program
def vjps(m, d):
    x = d(3)
    y, pull = m.func.vjp(lambda a: (a.sin(), {"k": a.sum() * a}), x)
    z, pull2, aux = m.func.vjp(lambda a, b: (a * b, a + b), x, d(3), has_aux=True)
    return y, pull((d(3), {"k": d(3)})), z, pull2(d(3)), aux


@program
def jacobians(m, d):
    f = m.func
    args = weights(d)
    x = d(3)
    return (
        f.jacrev(lambda a: net(m, a, *args))(x),
        f.jacfwd(lambda a: net(m, a, *args))(x),
        f.jacrev(lambda a, b, c: net(m, x, a, b, c), argnums=(0, 2))(*args),
        f.jacfwd(lambda a, b, c: net(m, x, a, b, c), argnums=(1, 2))(*args),
        f.jacrev(lambda a: {"sin": a.sin(), "sum": a.sum()})(x),
        f.jacfwd(lambda a: (a.sin(), a.sum()))(x),
        f.jacrev(lambda a: (a.sin(), a), has_aux=True)(x),
        f.jacfwd(lambda a: (a.sin(), a), has_aux=True)(x),
        f.jacrev(lambda a: a.outer(a), chunk_size=2)(x),
        f.jacrev(lambda a: m.ones(2, dtype=m.float64))(x),
        f.jacfwd(lambda a: m.ones(2, dtype=m.float64))(x),
    )


@program
def hessians(m, d):
    f = m.func
    w1, b1, w2 = weights(d)
    x = d(3)

    def loss(a):
        return (net(m, a, w1, b1, w2) ** 2).sum()

    return (
        f.hessian(loss)(x),
        f.jacfwd(f.jacrev(loss))(x),
        f.jacrev(f.jacfwd(loss))(x),
        f.jacrev(f.jacrev(loss))(x),
        f.jacfwd(f.jacfwd(loss))(x),
        f.hessian(lambda a, b: (net(m, x, a, b1, b)).pow(2).sum(), argnums=(0, 1))(w1, w2),
    )


@program
def third_order(m, d):
    f = m.func
    x = d(3)
    g = lambda a: (a**4).sum() + a.prod()  # noqa: E731
    return f.jacfwd(f.jacrev(f.jacfwd(g)))(x), f.jacrev(f.hessian(g))(x), f.grad(lambda a: f.hessian(g)(a).sum())(x)


# -- forward mode ------------------------------------------------------------------------------------------------------
@program
def jvps(m, d):
    f = m.func
    x, t = d(3), d(3)
    return (
        f.jvp(m.sin, (x,), (t,)),
        f.jvp(lambda a, b: a * b.exp(), (x, x), (t, d(3))),
        f.jvp(lambda a: (a.sum(), a * 2), (x,), (t,)),
        f.jvp(lambda a: (a.sum(), a * 2), (x,), (t,), has_aux=True),
        f.jvp(lambda a: m.ones(2), (x,), (t,)),
        f.jvp(lambda tree: tree["a"] * tree["b"][0], ({"a": x, "b": [x]},), ({"a": t, "b": [d(3)]},)),
        f.jvp(lambda a: f.jvp(lambda b: (b**3).sum(), (a,), (t,))[1], (x,), (d(3),)),
        f.jvp(lambda a: f.jvp(lambda b: (a * b).sum(), (x,), (t,))[1], (x,), (d(3),)),  # no confusion of levels
    )


@program
def forward_over_reverse(m, d):
    f = m.func
    x, v = d(3), d(3)
    g = lambda a: (a.sin() * a.flip(0).exp()).sum()  # noqa: E731
    y, push = f.linearize(f.grad(g), x)
    return (
        f.jvp(f.grad(g), (x,), (v,)),
        f.grad(lambda a: m.dot(f.grad(g)(a), v))(x),
        f.grad(lambda a: f.jvp(g, (a,), (v,))[1])(x),
        f.vjp(f.grad(g), x)[1](v),
        y,
        push(v),
        push(v * 2),
    )


@program
def batched_tangents(m, d):
    f = m.func
    x, vs = d(3), d(5, 3)
    g = lambda a: m.stack([a.prod(), a.sum() ** 2])  # noqa: E731
    return (
        m.vmap(lambda v: f.jvp(g, (x,), (v,))[1])(vs),
        m.vmap(lambda a: f.jvp(g, (a,), (x,))[1])(vs),
        f.jvp(m.vmap(g), (vs,), (vs * 2,)),
        m.vmap(f.jacfwd(g))(vs),
        m.vmap(f.jacrev(g))(vs),
        m.vmap(f.hessian(m.prod))(vs),
    )


@program
def dual_numbers(m, d):
    fw = m.autograd.forward_ad
    x, t = d(2, 3), d(2, 3)
    with fw.dual_level():
        a = fw.make_dual(x, t)
        results = (
            a.exp(),
            a @ a.t(),
            a.softmax(-1),
            a.sum(0),
            a.mean(),
            a.var(1),
            a.max(1).values,
            a.norm(),
            a.prod(1),
            a.cumsum(1),
            a[0],
            a[:, [0, 2]],
            a.t().reshape(-1),
            m.stack([a, x]),
            m.where(x > 0, a, a * 2),
            a.to(m.float32),
            a.sort(1).values,
            a.unfold(1, 2, 1),
            a.roll(1, 1),
            m.einsum("ij,kj->ik", a, x),
            a.logsumexp(0),
            a.clamp(-0.5, 0.5),
            a.detach(),
            a > 0,
            m.nn.functional.layer_norm(a, (3,)),
            m.nn.functional.gelu(a),
            m.nn.functional.linear(x, a, x[:, 0]),
            m.nn.functional.conv1d(a[None], x.t()[:, :, None]),
            m.nn.functional.cross_entropy(a, m.tensor([0, 2])),
            m.nn.functional.mse_loss(a, x),
            m.nn.functional.avg_pool1d(a, 2),
            m.nn.functional.max_pool1d(a, 2),
            m.nn.functional.interpolate(a[None], scale_factor=2, mode="linear"),
            m.nn.functional.pad(a, (1, 1)),
            m.nn.functional.scaled_dot_product_attention(a[None], a[None], a[None]),
        )
        return [tuple(fw.unpack_dual(y)) for y in results], float(a.sum()) > 100


@program
def dual_writes(m, d):
    fw = m.autograd.forward_ad
    x, t, y = d(3), d(3), d(3)
    with fw.dual_level():
        a = fw.make_dual(x.clone(), t.clone())
        b = a * 1
        view = b[1:]
        b.mul_(a).add_(y)
        view.exp_()
        c = m.zeros(4, dtype=m.float64)
        c[1:] = a
        c[0] = 5.0
        e = a.clone()
        e.copy_(y)
        g = a.clone()
        g[0] = 1.0
        h = a.clone().transpose_(0, 0).unsqueeze_(0)
        k = m.zeros(3, dtype=m.float64)
        k.add_(a)
        return [tuple(fw.unpack_dual(z)) for z in (a, b, view, c, e, g, h, k)]


@program
def dual_complex(m, d):
    f = m.func
    z, t = d.complex(3), d.complex(3)
    return [
        f.jvp(g, (z,), (t,))
        for g in (
            m.exp,
            m.abs,
            m.angle,
            m.real,
            m.conj,
            lambda a: a * a.conj(),
            lambda a: a @ a,
            lambda a: a.sum().abs() ** 2,
            lambda a: m.view_as_real(a) ** 2,
            lambda a: a / (a + 2),
            m.sqrt,
        )
    ]


@program
def dual_and_tape(m, d):
    fw = m.autograd.forward_ad
    x, t = d(3).requires_grad_(), d(3)
    with fw.dual_level():
        a = fw.make_dual(x, t)
        y = (a**3).sum()
        yp, yt = fw.unpack_dual(y)
        (g,) = m.autograd.grad(yt, x, retain_graph=True)
        (h,) = m.autograd.grad(y, x)
        return yp.detach(), yt.detach(), g, tuple(fw.unpack_dual(h)), a.requires_grad


@program
def custom_functions(m, d):
    fw = m.autograd.forward_ad

    class Cube(m.autograd.Function):
        @staticmethod
        def forward(ctx, x, k):
            ctx.save_for_backward(x)
            ctx.save_for_forward(x)
            ctx.k = k
            return k * x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * ctx.k * x**2 * g, None

        @staticmethod
        def jvp(ctx, t, _):
            (x,) = ctx.saved_tensors
            return 3 * ctx.k * x**2 * t

    x = d(3)
    with fw.dual_level():
        return tuple(fw.unpack_dual(Cube.apply(fw.make_dual(x, d(3)), 2.0) + 1))


# -- modules -----------------------------------------------------------------------------------------------------------
@program
def per_sample_gradients(m, d):
    f = m.func
    model = mlp(m, d)
    params = {k: v.detach() for k, v in model.named_parameters()}
    x, y = d(6, 3), d.ints(2, 6)

    def loss(p, a, b):
        out = f.functional_call(model, p, (a[None],))
        return m.nn.functional.cross_entropy(out, b[None])

    each = m.vmap(f.grad(loss), in_dims=(None, 0, 0))(params, x, y)
    both = m.vmap(f.grad_and_value(loss), in_dims=(None, 0, 0))(params, x, y)
    return each, both, f.jacrev(loss)(params, x[0], y[0])


@program
def ensembles(m, d):
    f = m.func
    models = [mlp(m, d) for _ in range(3)]
    params, buffers = f.stack_module_state(models)

    def run(p, b, x):
        return f.functional_call(models[0], (p, b), (x,))

    x = d(4, 3)
    return (
        {k: v.detach() for k, v in params.items()},
        m.vmap(run, in_dims=(0, 0, None))(params, buffers, x).detach(),
        m.vmap(run)(params, buffers, d(3, 4, 3)).detach(),
    )


@program
def maml(m, d):
    f = m.func
    args = weights(d)
    xs, ys = d(4, 5, 3), d(4, 5, 2)

    def loss(p, x, y):
        return ((net(m, x, *p) - y) ** 2).mean()

    def adapted(p, x, y):
        gs = f.grad(loss)(p, x[:3], y[:3])
        p = tuple(a - 0.1 * g for a, g in zip(p, gs))
        return loss(p, x[3:], y[3:])

    def outer(p):
        return m.vmap(adapted, in_dims=(None, 0, 0))(p, xs, ys).mean()

    return f.grad_and_value(outer)(args)


@program
def grad_through_the_outer_tape(m, d):
    f = m.func
    x, w = d(3).requires_grad_(), d(3).requires_grad_()
    g = f.grad(lambda a: (a**2 * w).sum())(x)
    batch = m.vmap(lambda a: (a * w).sum())(m.stack([x, x * 2]))
    y, t = f.jvp(lambda a: (a**2 * w).sum(), (x,), (w,))
    return (
        m.autograd.grad(g.sum(), (x, w)),
        m.autograd.grad(batch.sum(), (x, w)),
        m.autograd.grad(t, (x, w), retain_graph=True),
        m.autograd.grad(y, (x, w)),
    )


@program
def functionalized(m, d):
    def f(a):
        b = a.clone()
        b[0] = 3
        b.add_(a)
        return b

    return m.func.functionalize(f)(d(3))


@program
def second_derivatives_of_fused_kernels(m, d):
    F = m.nn.functional
    x, w, q, k = d(2, 4), d(4), d(1, 3, 2), m.tensor([0, 3])
    functions = (
        lambda a: (a.softmax(-1) ** 2).sum(),
        lambda a: (a.log_softmax(-1) ** 2).sum(),
        lambda a: (F.layer_norm(a, (4,), w, w + 1) ** 3).sum(),
        lambda a: (F.rms_norm(a, (4,), w) ** 3).sum(),
        lambda a: F.cross_entropy(a * a.sum(), k) ** 2,
        lambda a: (a.logsumexp(-1) ** 2).sum(),
        lambda a: a.norm() ** 3,
        lambda a: a.std(0).sum() ** 2,
    )
    found = [t(f)(x) for f in functions for t in (m.func.hessian, lambda f: m.func.jacrev(m.func.jacrev(f)))]
    attend = lambda a: (F.scaled_dot_product_attention(a, a, a) ** 2).sum()  # noqa: E731
    return found, m.func.hessian(attend)(q), [m.autograd.functional.hessian(f, x) for f in functions]


# -- functional derivatives --------------------------------------------------------------------------------------------
@program
def functional_derivatives(m, d):
    A = m.autograd.functional
    x, y, v = d(3), d(2), d(3)

    def f(a, b):
        return a[:, None] * b.exp(), (a**2).sum()

    def g(a, b):
        return (a**3).sum() * b.sum()

    def lists(value):
        return [list(row) for row in value]

    forward = {"vectorize": True, "strategy": "forward-mode"}
    return (
        A.jacobian(f, (x, y)),
        A.jacobian(f, (x, y), vectorize=True),
        lists(A.jacobian(f, (x, y), **forward)),
        A.hessian(g, (x, y)),
        A.hessian(g, (x, y), vectorize=True),
        lists(A.hessian(g, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode")),
        A.jacobian(m.sin, x, **forward),
        A.hessian(m.prod, x, vectorize=True),
        A.vjp(f, (x, y), (d(3, 2), d())),
        A.jvp(f, (x, y), (v, y)),
        A.vhp(g, (x, y), (v, y)),
        A.hvp(g, (x, y), (v, y)),
        m.autograd.grad(A.jacobian(lambda a: a**3, x.requires_grad_(), create_graph=True, vectorize=True).sum(), x),
    )


def _inside(m, name):
    """A functional derivative, which PyTorch has as a transform only where other transforms are under way."""
    if m is torch:
        return {"jacobian": m.func.jacrev, "hessian": m.func.hessian}[name]
    return lambda f: lambda a: getattr(m.autograd.functional, name)(f, a)


@program
def functional_derivatives_inside_of_transforms(m, d):
    x, jacobian, hessian = d(2, 3), _inside(m, "jacobian"), _inside(m, "hessian")
    g = lambda a: (a**3).sum() * a[0]  # noqa: E731
    return (
        m.vmap(jacobian(m.sin))(x),
        m.vmap(hessian(g))(x),
        m.func.jvp(jacobian(m.sin), (x[0],), (x[1],)),
        m.func.jvp(hessian(g), (x[0],), (x[1],)),
        m.vmap(lambda a: m.func.jvp(jacobian(g), (a,), (a,)))(x),
    )


@program
def batched_gradients(m, d):
    x = d(3).requires_grad_()
    y = m.stack([x.prod(), (x**2).sum()])
    return (
        m.autograd.grad(y, x, m.eye(2, dtype=m.float64), is_grads_batched=True, retain_graph=True),
        m.vmap(lambda v: m.autograd.grad(y, x, v, retain_graph=True)[0])(d(4, 2)),
    )


def comparable(value, lib):
    return [v.detach() if isinstance(v, lib.Tensor) else v for v in flatten(value, lib)]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.filterwarnings("ignore")
def test_program(name):
    ours = comparable(PROGRAMS[name](taeda, Data(taeda)), taeda)
    theirs = comparable(PROGRAMS[name](torch, Data(torch)), torch)
    assert len(ours) == len(theirs)
    for k, (a, b) in enumerate(zip(ours, theirs)):
        if not isinstance(b, torch.Tensor):
            assert a == b, f"{name}, part {k}: {a!r}, PyTorch: {b!r}"
            continue
        assert str(a.dtype).rpartition(".")[2] == str(b.dtype).rpartition(".")[2], f"{name}, part {k}"
        x, y = np.asarray(a.resolve_conj().tolist()), np.asarray(b.resolve_conj().tolist())
        assert tuple(a.shape) == tuple(b.shape), f"{name}, part {k}: {tuple(a.shape)}, PyTorch: {tuple(b.shape)}"
        tolerance = 1e-10 if "64" in str(b.dtype) or "128" in str(b.dtype) else 1e-5
        np.testing.assert_allclose(x, y, tolerance, tolerance, err_msg=f"{name}, part {k}")
