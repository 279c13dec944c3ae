"""Dropout of elements and of whole channels, its self-normalising form, and the randomised leaky ReLU.

Masks are functions of (seed, counter): the backward pass computes them again instead of keeping them.
"""

from __future__ import annotations

import math

from .expr import index
from .namespace import F
from .random import _counters
from .scalar import cast, select, uniform
from .table import composite, floating, pointwise


def _masked(name, kept, slope, numbers):
    """A map operator over elements that chance keeps (`kept` of the element and the numbers) or drops."""
    count = 1 + numbers.count("Number")

    def keeps(seed, offset, p):
        return uniform(seed, offset + index(), "f32") >= cast(p, "f32")

    pointwise(
        name,
        lambda x, seed, offset, p, *more: select(keeps(seed, offset, p), *kept(x, *more)),
        types="Tii" + "p" * count + "->T",
        params=f"Tensor input, Number seed, Number offset, Number p, {numbers}",
        accepts=floating,
        method=False,
        function=False,
        grad=(slope(keeps), *(None,) * (2 + count)),
    )


_masked(
    "_dropout",
    lambda x, scale: (x * scale, 0),
    lambda keeps: lambda g, x, seed, offset, p, scale: select(keeps(seed, offset, p), g * scale, 0),
    "Number scale",
)
_masked(
    "_alpha_dropout",
    lambda x, scale, shift, dropped: (x * scale + shift, dropped),
    lambda keeps: lambda g, x, seed, offset, p, scale: select(keeps(seed, offset, p), g * scale, 0),
    "Number scale, Number shift, Number dropped",
)


def _probability(p, error):
    if not 0 <= p <= 1:
        raise error(f"dropout probability has to be between 0 and 1, but got {p}")


def _keep(shape, p):
    """A mask as a tensor, where the masks of a transformed function's elements must differ."""
    return F.ge(F.rand(shape), p)


def _elements(input, p):
    if p == 1:
        return F.mul(input, 0)
    if F.transforming():
        return F._where(_keep(input.shape, p), input * (1 / (1 - p)), 0)
    seed, offset = _counters(input.shape)
    return F._dropout(input, seed, offset, p, 1 / (1 - p))


def _channels(input, p, op):
    """Dimensions 0 and 1 have one chance each."""
    if input.dim() < 2:
        raise RuntimeError(f"{op}(): feature dropout requires at least 2 dimensions in the input, got {input.dim()}")
    return input * _elements(F.ones([*input.shape[:2], *[1] * (input.dim() - 2)], dtype=input.dtype), p)


#: What dropped elements become: the limit of selu() for very negative inputs, negated.
_ALPHA = 1.7580993408473766


def _alpha(p):
    """(scale, shift) that keep the mean 0 and the variance 1 (Klambauer et al., 2017)."""
    scale = 1 / math.sqrt((_ALPHA * _ALPHA * p + 1) * (1 - p))
    return scale, scale * _ALPHA * p


def _alpha_elements(input, p):
    if p == 1:
        return F.mul(input, 0)
    scale, shift = _alpha(p)
    if F.transforming():
        return F._where(_keep(input.shape, p), input * scale + shift, shift - scale * _ALPHA)
    seed, offset = _counters(input.shape)
    return F._alpha_dropout(input, seed, offset, p, scale, shift, shift - scale * _ALPHA)


def _alpha_channels(input, p, op):
    if input.dim() < 2:
        raise RuntimeError(f"{op}(): feature dropout requires at least 2 dimensions in the input, got {input.dim()}")
    if p == 1:
        return F.mul(input, 0)
    scale, shift = _alpha(p)
    shape = [*input.shape[:2], *[1] * (input.dim() - 2)]
    keep = F.gt(_elements(F.ones(shape, dtype=F.float32), p), 0)
    return F._where(keep, input * scale + shift, shift - scale * _ALPHA)


# -- with the flag `train` and twins in place --------------------------------------------------------------------------
@composite(inplace="function")
def dropout(input, p: float, train: bool):
    """Zeroes each element with probability p and scales the rest by 1/(1-p), where `train` holds."""
    _probability(p, RuntimeError)
    return _elements(input, p) if train and p else input


@composite(inplace="function")
def feature_dropout(input, p: float, train: bool):
    """dropout() of whole channels [N, C]."""
    _probability(p, RuntimeError)
    return _channels(input, p, "feature_dropout") if train and p else input


@composite(inplace="function")
def alpha_dropout(input, p: float, train: bool):
    """Dropout that keeps the mean 0 and the variance 1 of its input (Klambauer et al., 2017), where `train` holds."""
    _probability(p, RuntimeError)
    return _alpha_elements(input, p) if train and p else input


@composite(inplace="function")
def feature_alpha_dropout(input, p: float, train: bool):
    """alpha_dropout() of whole channels [N, C]."""
    _probability(p, RuntimeError)
    return _alpha_channels(input, p, "feature_alpha_dropout") if train and p else input


# -- the forms of nn.functional ----------------------------------------------------------------------------------------
def _register(name, base, default, doc, check=None):
    """`check(input)` gives (whether a batch dimension is to be added) or raises."""

    def apply(input, p, training, inplace):
        _probability(p, ValueError)
        add = check(input) if check else False
        if not training or p == 0:
            return input
        x = F.unsqueeze(input, 0) if add else input
        result = getattr(F, base)(x, p, True)
        result = F.squeeze(result, 0) if add else result
        return input.copy_(result) if inplace else result

    if default:

        def fn(input, p=0.5, training: bool = True, inplace=False):
            return apply(input, p, training, inplace)
    else:

        def fn(input, p=0.5, training: bool = False, inplace=False):
            return apply(input, p, training, inplace)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = doc
    composite("_nn_" + name, nn=name, function=False)(fn)


def _spatial(op, n):
    """Inputs of dropout{n}d: [N, C, ...], or [C, ...] where that has a channel dimension and n more."""

    def check(input):
        if n == 1 and input.dim() not in (2, 3):
            raise RuntimeError(f"{op}(): expected 2D or 3D input, but received a {input.dim()}D input")
        return input.dim() == n + 1 and n != 2

    return check


_register(
    "dropout", "dropout", True, "Zeroes each element with probability p and scales the rest by 1/(1-p), while training."
)
_register("alpha_dropout", "alpha_dropout", False, "Dropout that keeps the mean 0 and the variance 1 of its input.")
_register("feature_alpha_dropout", "feature_alpha_dropout", False, "alpha_dropout() of whole channels [N, C].")
for _n, _shapes in ((1, "[N, C, L] or [C, L]"), (2, "[N, C, H, W]"), (3, "[N, C, D, H, W] or [C, D, H, W]")):
    _register(
        f"dropout{_n}d",
        "feature_dropout",
        True,
        f"Dropout of whole channels of {_shapes}.",
        _spatial(f"dropout{_n}d", _n),
    )


# -- randomised leaky ReLU ---------------------------------------------------------------------------------------------
def _random_slope(seed, offset, lower, upper, dtype):
    return uniform(seed, offset + index(), dtype) * (upper - lower) + lower


pointwise(
    "_rrelu",
    lambda x, seed, offset, lower, upper: select(x > 0, x, x * _random_slope(seed, offset, lower, upper, x.dtype)),
    types="Tiipp->T",
    params="Tensor input, Number seed, Number offset, Number lower, Number upper",
    accepts=floating,
    method=False,
    function=False,
    grad=(
        lambda g, x, seed, offset, lower, upper: select(
            x > 0, g, g * _random_slope(seed, offset, lower, upper, x.dtype)
        ),
        None,
        None,
        None,
        None,
    ),
)


@composite(inplace="function")
def rrelu(input, lower=1 / 8, upper=1 / 3, training=False, generator=None):
    """input, below 0 times a slope: while training one at random in [lower, upper) for each element, else their mean
    (Xu et al., 2015)."""
    if lower > upper:
        raise RuntimeError(f"rrelu(): lower must not be above upper, got {lower} and {upper}")
    if not input.is_floating_point():
        raise NotImplementedError(f"rrelu(): input must be of a floating point dtype, got {input.dtype}")
    if not training:
        return F.leaky_relu(input, (lower + upper) / 2)
    if F.transforming():
        slope = F.rand(input.shape, dtype=input.dtype, generator=generator) * (upper - lower) + lower
        return F._where(F.gt(input, 0), input, input * slope)
    seed, offset = _counters(input.shape, generator)
    return F._rrelu(input, seed, offset, lower, upper)


@composite("_nn_rrelu", nn="rrelu", function=False)
def _rrelu_form(input, lower=1 / 8, upper=1 / 3, training=False, inplace=False):
    """input, below 0 times a slope: while training one at random in [lower, upper) for each element, else their
    mean."""
    return (F.rrelu_ if inplace else F.rrelu)(input, lower, upper, training)
