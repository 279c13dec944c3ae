"""What the options of gradcheck and gradgradcheck check: each finds the mistake that it is for."""

import pytest

import taeda
from taeda.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def tensor(*values, dtype=taeda.float64):
    return taeda.tensor(values, dtype=dtype, requires_grad=True)


def made(backward=lambda ctx, g: g * 2, jvp=lambda ctx, t: t * 2, forward=lambda x: x * 2):
    """y = 2 x with the given rules."""

    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            return forward(x)

    Double.backward, Double.jvp = staticmethod(backward), staticmethod(jvp)
    return Double.apply


X = tensor(0.5, -1.5, 2.25)
Z = tensor(0.5 + 1j, -1.5 - 0.3j, dtype=taeda.complex128)
GOOD = {
    "map": (lambda x: x.sin() * x, X),
    "several": (lambda x, y: (x * y, (x + y).exp().sum()), (X, tensor(1.0, 2.0, 3.0))),
    "the same twice": (lambda x, y: x * y, (X, X)),
    "constants": (lambda x, k: x * k, (X, 3)),
    "complex": (lambda z: z * z.conj() + z.exp(), Z),
    "to real": (lambda z: z.abs(), Z),
    "from real": (lambda x: taeda.complex(x, x * x), X),
    "in place": (lambda x: x.clone().mul_(x), X),
    "empty": (lambda x: x * 2, taeda.empty(0, dtype=taeda.float64, requires_grad=True)),
    "zero dimensions": (lambda x: x**3, taeda.tensor(2.0, dtype=taeda.float64, requires_grad=True)),
}


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("name", GOOD)
def test_right_derivatives_pass(name, fast):
    fn, inputs = GOOD[name]
    assert gradcheck(
        fn, inputs, fast_mode=fast, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True,
        check_grad_dtypes=True,
    )  # fmt: skip


@pytest.mark.parametrize("fast", [False, True])
def test_second_derivatives(fast):
    for name in ("map", "several", "complex"):
        fn, inputs = GOOD[name]
        assert gradgradcheck(
            fn, inputs, fast_mode=fast, gen_non_contig_grad_outputs=True, check_fwd_over_rev=True,
            check_batched_grad=True,
        )  # fmt: skip

    class First(Function):  # its backward has a wrong derivative
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0].detach() * g

    assert gradcheck(First.apply, X)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradgradcheck(First.apply, X)


WRONG = {
    "Jacobian mismatch for output 0 with respect to input 0": (made(lambda ctx, g: g * 3), {}),
    "the imaginary part of complex outputs only": (
        lambda z: made(lambda ctx, g: g * 1)(z.imag) * 1j + z.real,
        {"inputs": Z},
    ),
    "products of the Jacobian with random vectors": (made(lambda ctx, g: g * 3), {"fast_mode": True}),
    "computed with forward mode": (made(jvp=lambda ctx, t: t * 3), {"check_forward_ad": True}),
    "not multiplied by grad_output": (made(lambda ctx, g: g * 2 + 1e-9), {}),
    "not reentrant": (made(lambda ctx, g: g * 2 + g * taeda.rand(()) * 1e-7), {}),
    "expected to be zero": (lambda x: x.detach() * 2, {}),
    "batched gradients": (made(lambda ctx, g: g * 2 if g.tolist() else g), {"check_batched_grad": True}),
}


@pytest.mark.parametrize("message", WRONG)
def test_mistakes_are_found(message):
    fn, options = WRONG[message]
    options = dict(options)
    inputs = options.pop("inputs", X)
    with pytest.raises(GradcheckError, match=message):
        gradcheck(fn, inputs, **options)
    assert not gradcheck(fn, inputs, raise_exception=False, **options)


def test_a_tolerance_for_noise():
    fn = made(lambda ctx, g: g * 2 + g * taeda.rand(()) * 1e-7)
    assert gradcheck(fn, X, nondet_tol=1e-5)


def test_gradients_left_out():
    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            return g * 2 + h * 3

    with pytest.raises(TypeError):
        gradcheck(Two.apply, X)

    class Leaks(Two):
        @staticmethod
        def backward(ctx, g, h):
            if g is None:
                return h * 3
            if h is None:
                return g * 2 if g.any() else g + 1
            return g * 2 + h * 3

    with pytest.raises(GradcheckError, match="left out"):
        gradcheck(Leaks.apply, X)


def test_what_is_refused():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(lambda x: x, X.detach())
    with pytest.raises(RuntimeError, match="stride 0"):
        gradcheck(lambda x: x, taeda.ones(1, dtype=taeda.float64, requires_grad=True).expand(3))
    with pytest.raises(AssertionError, match="at least one of check_forward_ad"):
        gradcheck(lambda x: x, X, check_backward_ad=False)
    with pytest.raises(AssertionError, match="requires check_backward_ad"):
        gradcheck(lambda x: x, X, check_backward_ad=False, check_forward_ad=True, check_batched_grad=True)
    with pytest.raises(AssertionError, match="requires check_forward_ad"):
        gradcheck(lambda x: x, X, check_batched_forward_grad=True)
    with pytest.warns(UserWarning, match="not a double precision"):
        gradcheck(lambda x: x * 1, tensor(1.0, dtype=taeda.float32), eps=1e-2, atol=1e-2)
    assert gradcheck(lambda x: taeda.ones(2), X) and gradcheck(lambda x: x.floor(), X)
