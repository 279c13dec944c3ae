"""Finite-difference checks of gradients, first and second order, in float64."""

from __future__ import annotations

import numpy

import taeda
from taeda.autograd import grad

STEP = 1e-6


def _floats(value):
    return isinstance(value, taeda.Tensor) and value.dtype is taeda.float64


def _outputs(result):
    found = result if isinstance(result, (tuple, list)) else (result,)
    return [r for r in found if isinstance(r, taeda.Tensor) and r.dtype.is_floating_point]


def _leaves(args):
    """Float tensors in the arguments, lists of tensors included."""
    for a in args:
        if _floats(a):
            yield a
        elif isinstance(a, list):
            yield from (v for v in a if _floats(v))


def _numeric(scalar, leaf):
    """d scalar() / d leaf by central differences; `leaf` is changed in place and put back."""
    array = leaf.detach().numpy()
    found = numpy.zeros(array.shape)
    for at in numpy.ndindex(*array.shape):
        old = array[at]
        array[at] = old + STEP
        high = scalar()
        array[at] = old - STEP
        low = scalar()
        array[at] = old
        found[at] = (high - low) / (2 * STEP)
    return found


def check(fn, args, kwargs, second=True, what="", rtol=2e-5, atol=2e-6):
    """Compares the tape's gradient with differences of fn, and the gradient's gradient with differences of the
    gradient. False: there is no tensor to differentiate by.
    """
    random = numpy.random.default_rng(0)
    leaves = [x.requires_grad_() for x in _leaves((*args, *kwargs.values()))]
    if not leaves:
        return False
    outputs = _outputs(fn(*args, **kwargs))
    if not any(o.requires_grad for o in outputs):
        raise AssertionError(f"{what}: no output requires a gradient")
    weights = [taeda.from_numpy(random.standard_normal(tuple(o.shape))) for o in outputs]

    def value():
        with taeda.no_grad():
            return sum(float((o * w).sum()) for o, w in zip(_outputs(fn(*args, **kwargs)), weights))

    def gradients(create_graph):
        pairs = [(o, w) for o, w in zip(_outputs(fn(*args, **kwargs)), weights) if o.requires_grad]
        found = grad([o for o, _ in pairs], leaves, [w for _, w in pairs], create_graph=create_graph, allow_unused=True)
        return [g for g in found if g is not None]

    pairs = [(o, w) for o, w in zip(outputs, weights) if o.requires_grad]
    found = grad([o for o, _ in pairs], leaves, [w for _, w in pairs], allow_unused=True)
    for k, (leaf, g) in enumerate(zip(leaves, found)):
        expected = _numeric(value, leaf)
        actual = numpy.zeros(expected.shape) if g is None else g.detach().numpy()
        assert actual.shape == expected.shape, (
            f"{what}: gradient {k} has shape {actual.shape}, input has {expected.shape}"
        )
        numpy.testing.assert_allclose(actual, expected, rtol, atol, err_msg=f"{what}: gradient {k}")
    if not second:
        return True
    first = gradients(True)
    connected = [g for g in first if g.requires_grad]
    if not connected:
        return True
    scales = [taeda.from_numpy(random.standard_normal(tuple(g.shape))) for g in first]

    def slope():
        return sum(float((g.detach() * s).sum()) for g, s in zip(gradients(False), scales))

    pairs = [(g, s) for g, s in zip(first, scales) if g.requires_grad]
    again = grad([g for g, _ in pairs], leaves, [s for _, s in pairs], allow_unused=True)
    for k, (leaf, g) in enumerate(zip(leaves, again)):
        expected = _numeric(slope, leaf)
        actual = numpy.zeros(expected.shape) if g is None else g.detach().numpy()
        numpy.testing.assert_allclose(actual, expected, 10 * rtol, 10 * atol, err_msg=f"{what}: second gradient {k}")
    return True
