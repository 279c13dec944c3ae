"""Custom functions."""

import gc
import weakref

import pytest

import taeda
from taeda import autograd
from taeda.autograd import Function
from taeda.autograd.function import once_differentiable


def leaf(*values, dtype=taeda.float64):
    return taeda.tensor([float(v) for v in values], dtype=dtype, requires_grad=True)


class Scale(Function):
    @staticmethod
    def forward(ctx, x, k):
        ctx.save_for_backward(x)
        ctx.k = k
        return x * x * k

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        assert ctx.needs_input_grad == (True, False)
        return g * 2 * x * ctx.k, None


def test_forward_backward_and_double_backward():
    x = leaf(1, 2, 3)
    y = Scale.apply(x, 3.0)
    assert y.grad_fn.name() == "ScaleBackward" and y.grad_fn.k == 3.0
    assert autograd.gradcheck(lambda t: Scale.apply(t, 3.0), x)
    assert autograd.gradgradcheck(lambda t: Scale.apply(t, 3.0), x)


def test_keyword_arguments_and_defaults():
    class Power(Function):
        @staticmethod
        def forward(x, n=2):
            return x**n

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.n = inputs
            ctx.save_for_backward(x, output)

        @staticmethod
        def backward(ctx, g):
            x, out = ctx.saved_tensors
            assert out.grad_fn is not None or not taeda.is_grad_enabled()
            return g * ctx.n * x ** (ctx.n - 1), None

    x = leaf(1, 2)
    assert Power.apply(x).tolist() == [1, 4] and Power.apply(x, n=3).tolist() == [1, 8]
    assert autograd.gradcheck(lambda t: Power.apply(t, 3), x) and autograd.gradgradcheck(lambda t: Power.apply(t, 3), x)


def test_saved_output_has_its_history():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    x = leaf(0.5, 1)
    assert autograd.gradcheck(Exp.apply, x) and autograd.gradgradcheck(Exp.apply, x)
    y = Exp.apply(x)
    y.add_(1)
    with pytest.raises(RuntimeError, match="which is output 0 of ExpBackward, is at version 1; expected version 0"):
        y.sum().backward()
    gone = weakref.ref(y)
    del y
    gc.collect()
    assert gone() is None


def test_saved_tensors_are_freed_after_backward():
    x = leaf(1, 2)
    y = Scale.apply(x, 1.0).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_several_outputs_and_materialised_gradients():
    seen = []

    class Both(Function):
        @staticmethod
        def forward(ctx, x, materialize):
            ctx.set_materialize_grads(materialize)
            return x * 2, x * 3, "text"

        @staticmethod
        def backward(ctx, a, b, text):
            seen.append((a is None, b is None, text))
            return (a * 2 if a is not None else 0) + (b * 3 if b is not None else 0), None

    x = leaf(1, 2)
    a, b, text = Both.apply(x, True)
    assert text == "text" and a.grad_fn is b.grad_fn and b.output_nr == 1
    b.sum().backward()
    assert x.grad.tolist() == [3, 3]
    x.grad = None
    Both.apply(x, False)[0].sum().backward()
    assert x.grad.tolist() == [2, 2] and seen == [(False, False, None), (False, True, None)]


def test_non_differentiable_outputs():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            sign, count = x.sign(), (x > 0).sum()
            ctx.mark_non_differentiable(sign)
            return x.abs(), sign, count

        @staticmethod
        def backward(ctx, g, g_sign, g_count):
            return g * 2

    x = leaf(-1, 2)
    y, sign, count = Split.apply(x)
    assert y.requires_grad and not sign.requires_grad and not count.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]


def test_dirty_inputs():
    class AddOne(Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"):
        AddOne.apply(x)
    h = x * 2
    version = h._version
    assert AddOne.apply(h) is h and h._version > version and h.grad_fn.name() == "AddOneBackward"
    h.sum().backward()
    x.grad = None
    h = x * 2
    AddOne.apply(h[:1])
    h.sum().backward()
    assert x.grad.tolist() == [20, 2]

    class Forgot(AddOne):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 1

    with pytest.raises(RuntimeError, match="marked as dirty"):
        Forgot.apply(x * 1)


def test_input_returned_as_it_is():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 7

    x = leaf(1, 2)
    y = Same.apply(x)
    assert y is not x and y.data_ptr() == x.data_ptr() and x.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [7, 7]
    with pytest.raises(RuntimeError, match="Output 0 of SameBackward is a view and is being modified inplace"):
        Same.apply(x).add_(1)


def test_wrong_gradients():
    def function(result):
        class Bad(Function):
            @staticmethod
            def forward(ctx, x, k):
                return x * k

            @staticmethod
            def backward(ctx, g):
                return result(g)

        return Bad

    x = leaf(1, 2)

    def run(result):
        function(result).apply(x, 2.0).sum().backward()

    with pytest.raises(
        RuntimeError, match=r"function BadBackward returned an incorrect number of gradients \(expected 2, got 1\)"
    ):
        run(lambda g: g)
    with pytest.raises(RuntimeError, match="returned a gradient different from None at position 2"):
        run(lambda g: (g, g))
    with pytest.raises(TypeError, match="expected a Tensor or None as gradient 1, got int"):
        run(lambda g: (1, None))
    with pytest.raises(
        RuntimeError,
        match=r"invalid gradient at index 0 - got \[3\] but expected shape compatible with \[2\]",
    ):
        run(lambda g: (taeda.ones(3), None))
    run(lambda g: (g, None, None))
    assert x.grad.tolist() == [1, 1]


def test_errors_in_backward_pass_through():
    class Fails(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise ZeroDivisionError("here")

    x = leaf(1)
    with pytest.raises(ZeroDivisionError, match="here"):
        Fails.apply(x).sum().backward()
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2]


def test_misuse():
    with pytest.raises(RuntimeError, match="should not be instantiated"):
        Scale()
    with pytest.raises(NotImplementedError, match="forward"):
        Function.apply(leaf(1))

    class NoBackward(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

    with pytest.raises(NotImplementedError, match="backward or vjp"):
        NoBackward.apply(leaf(1)).sum().backward()

    class SavesNumber(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)

    with pytest.raises(TypeError, match="save_for_backward can only take variables, but argument 0 is of type int"):
        SavesNumber.apply(leaf(1))


def test_no_node_without_a_gradient():
    x = leaf(1, 2)
    with taeda.no_grad():
        assert not Scale.apply(x, 1.0).requires_grad
    assert not Scale.apply(x.detach(), 1.0).requires_grad


def test_once_differentiable():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            assert not taeda.is_grad_enabled()
            return g * 2 * ctx.saved_tensors[0]

    x = leaf(1, 2)
    (g,) = autograd.grad(Once.apply(x).sum(), x)
    assert g.tolist() == [2, 4]
    (g,) = autograd.grad(
        Once.apply(x).sum(), x, grad_outputs=taeda.ones((), dtype=taeda.float64, requires_grad=True), create_graph=True
    )
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        g.sum().backward()


def test_cycle_through_the_context_is_collected():
    class Keeps(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.out = x * 2
            return ctx.out

        @staticmethod
        def backward(ctx, g):
            return g * 2

    y = Keeps.apply(leaf(1, 2))
    gone = weakref.ref(y)
    del y
    gc.collect()
    assert gone() is None


def test_graph_built_inside_backward():
    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x * x).sum()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with taeda.enable_grad():
                t = x.detach().requires_grad_()
                y = (t * t).sum()
            return autograd.grad(y, t)[0] * g

    x = leaf(1, 2)
    Inner.apply(x).backward()
    assert x.grad.tolist() == [2, 4]
