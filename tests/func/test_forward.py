"""Forward mode: levels, writes into dual tensors and views, nesting with the tape and with vmap, custom functions."""

import gc

import pytest

import taeda
from taeda import func
from taeda.autograd import Function, forward_ad, grad
from taeda.autograd.forward_ad import dual_level, make_dual, unpack_dual


def tensor(*values, **kw):
    return taeda.tensor(values, dtype=taeda.float64, **kw)


def test_levels():
    x, t = tensor(1.0, 2.0), tensor(3.0, 4.0)
    with pytest.raises(RuntimeError, match="no level exists"):
        make_dual(x, t)
    with pytest.raises(RuntimeError):
        forward_ad.exit_dual_level()
    with dual_level() as number:
        assert number == 0
        y = make_dual(x, t)
        z = y * y
        assert unpack_dual(z).tangent.tolist() == [6, 16] and unpack_dual(x).tangent is None
        assert isinstance(unpack_dual(z), forward_ad.UnpackedDualTensor)
        with pytest.raises(RuntimeError, match="Nested forward mode"):
            forward_ad.enter_dual_level()
        with pytest.raises(RuntimeError, match="already has a forward gradient"):
            make_dual(y, t)
        assert unpack_dual(z.detach()).tangent is None
        assert unpack_dual(unpack_dual(z).primal * 2).tangent is None
        assert "tangent=tensor([6., 16.]" in repr(z).replace(" ", "").replace("tensor([6.,16.]", "tensor([6., 16.]")
        assert z[0].item() == 1 and bool(z[1] == 4) and z.tolist() == [1, 4]
    assert unpack_dual(z).tangent is None and (z + 1).tolist() == [2, 5]
    with dual_level():
        assert unpack_dual(z).tangent is None and unpack_dual(y).tangent is None


@pytest.mark.parametrize(
    ("primal", "tangent", "error"),
    [
        (lambda: taeda.ones(2), lambda: taeda.ones(3), RuntimeError),
        (lambda: taeda.ones(2, dtype=taeda.int64), lambda: taeda.ones(2), ValueError),
        (lambda: taeda.ones(2), lambda: taeda.ones(2, dtype=taeda.int64), ValueError),
        (lambda: 3.0, lambda: taeda.ones(2), TypeError),
        (lambda: taeda.ones(2), lambda: None, TypeError),
    ],
)
def test_bad_duals(primal, tangent, error):
    with dual_level(), pytest.raises(error):
        make_dual(primal(), tangent())


def test_operators_off():
    with dual_level():
        y = make_dual(tensor(1.0), tensor(1.0))
        with forward_ad._set_fwd_grad_enabled(False):
            assert unpack_dual(y * 2).tangent is None
        assert unpack_dual(y * 2).tangent.tolist() == [2]


def test_results_without_derivative():
    with dual_level():
        y = make_dual(tensor(1.5, -2.5), tensor(1.0, 1.0))
        assert unpack_dual(y > 0).tangent is None and unpack_dual(y.argmax()).tangent is None
        assert unpack_dual(y.to(taeda.int64)).tangent is None
        assert unpack_dual(y.sort().indices).tangent is None


def test_writes_reach_views_and_bases():
    with dual_level():
        x = make_dual(tensor(1.0, 2.0), tensor(3.0, 4.0))
        base = taeda.zeros(4, dtype=taeda.float64)
        early = base[1:3]
        base[:2] = x
        assert unpack_dual(base).tangent.tolist() == [3, 4, 0, 0]
        assert unpack_dual(early).tangent.tolist() == [4, 0]
        late = base.reshape(2, 2)
        late.mul_(2)
        assert unpack_dual(base).tangent.tolist() == [6, 8, 0, 0] and unpack_dual(early).tangent.tolist() == [8, 0]
        early.fill_(1.0)
        assert unpack_dual(late).tangent.tolist() == [[6, 0], [0, 0]]
        y = x + 1  # the tangent is the same numbers, in memory of its own
        y.mul_(10)
        assert unpack_dual(x).tangent.tolist() == [3, 4] and unpack_dual(y).tangent.tolist() == [30, 40]
        e = x.expand(2, 2) * 1
        e[0] = 0.0
        assert unpack_dual(e).tangent.tolist() == [[0, 0], [3, 4]] and unpack_dual(x).tangent.tolist() == [3, 4]
        s = (x * 1).unsqueeze_(0)
        assert unpack_dual(s).tangent.tolist() == [[3, 4]]


def test_strides_of_tangents():
    x = taeda.arange(6, dtype=taeda.float64).reshape(2, 3)
    t = x + 10
    with dual_level():
        d = make_dual(x.t(), t.t().contiguous())
        assert unpack_dual(d.as_strided((2, 2), (3, 1))).tangent.tolist() == [[10, 11], [13, 14]]
        gaps = make_dual(x[:, ::2], t[:, ::2].contiguous())
        assert unpack_dual(gaps.as_strided((2,), (3,), 2)).tangent.tolist() == [12, 15]


def test_tape_and_tangents():
    x, t = tensor(1.0, 2.0, requires_grad=True), tensor(3.0, 4.0)
    with dual_level():
        y = (make_dual(x, t) ** 3).sum()
        (g,) = grad(y, x, create_graph=True)
        assert g.tolist() == [3, 12] and unpack_dual(g).tangent.tolist() == [18, 48]
        slope = unpack_dual(y).tangent
        assert grad(slope, x, retain_graph=True)[0].tolist() == [18, 48]
        z = make_dual(x, t).exp()
        (h,) = grad((z * z).sum(), z, retain_graph=True)
        expected = 2 * x.exp() * t
        assert taeda.allclose(unpack_dual(h).tangent, expected)
        y.backward()
    assert x.grad.tolist() == [3, 12]


def test_tangents_that_require_gradients():
    x, t = tensor(1.0, 2.0), tensor(3.0, 4.0, requires_grad=True)
    out = func.jvp(lambda a: (a**2).sum(), (x,), (t,))[1]
    assert grad(out, t)[0].tolist() == [2, 4]
    out = func.jvp(func.grad(lambda a: (a**3).sum()), (x,), (t,))[1]
    assert grad(out.sum(), t)[0].tolist() == [6, 12]
    with taeda.no_grad():
        assert not func.jvp(lambda a: a.softmax(0), (x,), (t,))[1].requires_grad


def test_nothing_is_recorded_without_need():
    y, t = func.jvp(lambda a: a.softmax(0) @ a, (tensor(1.0, 2.0),), (tensor(1.0, 0.0),))
    assert not y.requires_grad and not t.requires_grad


def test_levels_are_told_apart():
    x = tensor(2.0)

    def inner(a):
        return func.jvp(lambda b: a * b, (x,), (taeda.ones_like(x),))[1]

    assert func.jvp(inner, (x,), (taeda.ones_like(x),))[1].tolist() == [1]
    assert func.grad(lambda a: func.jvp(lambda b: (a * b).sum(), (a,), (taeda.ones_like(a),))[1])(x).tolist() == [1]


def test_forward_mode_over_batches():
    x = taeda.arange(6, dtype=taeda.float64).reshape(2, 3)

    def f(a):
        c = taeda.zeros_like(a)
        early = c[:2]
        c[1:] = a[1:] ** 2
        c.add_(a)
        return c, early * 1

    expected = taeda.stack([taeda.stack([func.jvp(f, (r,), (r,))[1][0]])[0] for r in x])
    (_, _), (t, early) = taeda.vmap(lambda a: func.jvp(f, (a,), (a,)))(x)
    assert t.tolist() == expected.tolist() and early.tolist() == t[:, :2].tolist()
    (_, _), (t, early) = func.jvp(taeda.vmap(f), (x,), (x,))
    assert t.tolist() == expected.tolist() and early.tolist() == t[:, :2].tolist()


def test_gradients_by_tensors_from_outside_of_vmap():
    w, x = tensor(1.0, 2.0, requires_grad=True), taeda.arange(6, dtype=taeda.float64).reshape(3, 2)
    each = taeda.vmap(lambda a: grad((w**2 * a).sum(), w)[0])(x)
    assert each.tolist() == (2 * w.detach() * x).tolist()
    both = taeda.vmap(lambda a, v: grad(func.jvp(lambda b: (b * w).prod(), (a,), (v,))[1], w)[0])(x, x + 1)
    loop = [grad(func.jvp(lambda b: (b * w).prod(), (a,), (a + 1,))[1], w)[0].tolist() for a in x]
    assert both.tolist() == loop


class Cube(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, k):
        return k * x**3, x.sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.k = inputs[1]

    @staticmethod
    def backward(ctx, g, h):
        (x,) = ctx.saved_tensors
        return 3 * ctx.k * x**2 * g + h, None

    @staticmethod
    def jvp(ctx, t, _):
        (x,) = ctx.saved_tensors
        return 3 * ctx.k * x**2 * t, t.sum()


class CubeOfBatches(Cube):
    generate_vmap_rule = False
    seen: list = []  # noqa: RUF012

    @staticmethod
    def vmap(info, in_dims, x, k):
        CubeOfBatches.seen.append((info.batch_size, info.randomness, in_dims))
        return (k * x**3, x.sum(1)), (0, 0)


@pytest.mark.parametrize("cls", [Cube, CubeOfBatches])
def test_custom_functions(cls):
    x = taeda.arange(6, dtype=taeda.float64).reshape(2, 3)

    def f(a):
        y, s = cls.apply(a, 2.0)
        return y.sum() + s**2

    def plain(a):
        return (2 * a**3).sum() + a.sum() ** 2

    transforms = (
        lambda g: func.jvp(g, (x[0],), (x[1],)),
        lambda g: func.grad(g)(x[1]),
        lambda g: taeda.vmap(func.grad(g))(x),
        lambda g: func.grad(lambda a: taeda.vmap(g)(a).sum())(x),
        lambda g: taeda.vmap(lambda a: func.jvp(g, (a,), (a,)))(x),
        lambda g: func.jvp(taeda.vmap(g), (x,), (x + 1,)),
        lambda g: func.jvp(func.grad(g), (x[0],), (x[1],)),
        lambda g: taeda.vmap(func.hessian(g))(x),
        lambda g: taeda.vmap(lambda b: func.grad(lambda a: g(a * b))(x[0]))(x),
    )
    for transform in transforms:
        ours, expected = transform(f), transform(plain)
        for a, b in zip(ours, expected):
            assert taeda.allclose(a, b)
    if cls is CubeOfBatches:
        assert (2, "error", (0, None)) in cls.seen


def test_custom_functions_that_cannot():
    class Plain(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = tensor(1.0, 2.0)
    with pytest.raises(NotImplementedError, match="implement the jvp function"):
        func.jvp(Plain.apply, (x,), (x,))
    with pytest.raises(RuntimeError, match="does not have vmap support"):
        taeda.vmap(Plain.apply)(x)

    class WrongShape(Cube):
        @staticmethod
        def jvp(ctx, t, _):
            return t.sum(), t.sum()

    with pytest.raises(RuntimeError, match="expected a tangent of shape"):
        func.jvp(lambda a: WrongShape.apply(a, 1.0), (x,), (x,))


def test_tangents_do_not_outlive_their_level():
    x = tensor(1.0, 2.0, requires_grad=True)
    freed = []

    class Noted:
        def __del__(self):
            freed.append(1)

    with dual_level():
        t = tensor(1.0, 1.0)
        t.note = Noted()
        y = make_dual(x, t)
        kept = (y * y).exp()
        del t
        gc.collect()
        assert not freed
    gc.collect()
    assert freed and kept.requires_grad


def test_captured_programs():
    def f(x, t):
        y, slope = func.jvp(lambda a: (a.sin() * a).sum(), (x,), (t,))
        return y, slope

    x, t = tensor(1.0, 2.0), tensor(3.0, 4.0)
    compiled = taeda.compile(f)
    for a, b in zip(compiled(x, t), f(x, t)):
        assert taeda.allclose(a, b)
