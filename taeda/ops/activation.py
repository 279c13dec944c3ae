"""Activations. The pointwise ones are formulas; the rest are composites over them."""

from __future__ import annotations

import math

from .helpers import wrap_dim
from .namespace import F
from .scalar import erf, exp, expm1, log1p, maximum, minimum, select, sigmoid, tanh
from .table import composite, floating, numeric, pointwise

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_PI = math.sqrt(2 / math.pi)
_INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)


def _activation(
    name,
    fn,
    grad=None,
    *,
    numbers="",
    oracle,
    method=False,
    function=False,
    inplace=False,
    doc,
    domain=None,
    accepts=floating,
    **more,
):
    """A function of one tensor and the parameters `numbers` (schema text)."""
    count = numbers.count("Number")
    pointwise(
        name,
        fn,
        types="T" + "p" * count + "->T",
        params="Tensor input" + (", " + numbers if numbers else ""),
        grad=grad if grad is None else (grad, *(None,) * count),
        accepts=accepts,
        method=method,
        function=function,
        inplace=inplace,
        domain=domain,
        oracle=oracle,
        doc=doc,
        traits={"nn": True},
        **more,
    )


_activation(
    "relu",
    lambda x: maximum(x, 0),
    lambda g, x, y: select(y > 0, g, 0),
    oracle="numpy.maximum(x, 0)",
    method=True,
    function=True,
    inplace=True,
    accepts=numeric,
    doc="max(input, 0).",
)
_activation(
    "relu6",
    lambda x: minimum(maximum(x, 0), 6),
    lambda g, x: select((x > 0) & (x < 6), g, 0),
    oracle="numpy.clip(x, 0, 6)",
    inplace=True,
    domain=(-3, 9),
    doc="min(max(input, 0), 6).",
)


def _gelu_slope(g, x):
    return g * ((erf(x * _SQRT_HALF) + 1) * 0.5 + x * (exp(x * x * -0.5) * _INV_SQRT_2PI))


_activation(
    "_gelu",
    lambda x: x * 0.5 * (erf(x * _SQRT_HALF) + 1),
    _gelu_slope,
    oracle="x * scipy.stats.norm.cdf(x)",
    doc="x * Phi(x).",
)


def _gelu_tanh_slope(g, x):
    t = tanh((x + x * x * x * 0.044715) * _SQRT_2_PI)
    return g * ((t + 1) * 0.5 + x * 0.5 * (1 - t * t) * ((x * x * (3 * 0.044715) + 1) * _SQRT_2_PI))


_activation(
    "_gelu_tanh",
    lambda x: x * 0.5 * (tanh((x + x * x * x * 0.044715) * _SQRT_2_PI) + 1),
    _gelu_tanh_slope,
    oracle="x / 2 * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x ** 3)))",
    doc="gelu by its tanh approximation.",
)


@composite(
    function=False,
    nn=True,
    oracle="lambda x, approximate='none': x * scipy.stats.norm.cdf(x)",
    samples=lambda t: [((t(3, 4),), {})],
)
def gelu(input, *, approximate="none"):
    """input * Phi(input), Phi the normal distribution function; approximate="tanh" takes the tanh formula."""
    if approximate == "none":
        return F._gelu(input)
    if approximate == "tanh":
        return F._gelu_tanh(input)
    raise RuntimeError(f"approximate argument must be either none or tanh, got {approximate!r}")


def _silu_slope(g, x):
    s = sigmoid(x)
    return g * (s * (x * (1 - s) + 1))


_activation(
    "silu",
    lambda x: x * sigmoid(x),
    _silu_slope,
    oracle="x * scipy.special.expit(x)",
    inplace=True,
    doc="input * sigmoid(input).",
)


def _softplus(x, beta, threshold):
    z = x * beta
    return select(z > threshold, x, log1p(exp(z)) / beta)


_activation(
    "softplus",
    _softplus,
    lambda g, x, beta, threshold: select(x * beta > threshold, g, g * sigmoid(x * beta)),
    numbers="Number beta=1.0, Number threshold=20.0",
    oracle="lambda x, beta=1, threshold=20: numpy.logaddexp(0, beta * x) / beta",
    doc="log(1 + exp(beta * input)) / beta.",
)
_activation(
    "elu",
    lambda x, alpha: select(x > 0, x, expm1(x) * alpha),
    lambda g, x, alpha: select(x > 0, g, g * (exp(x) * alpha)),
    numbers="Number alpha=1.0",
    oracle="lambda x, alpha=1: numpy.where(x > 0, x, alpha * numpy.expm1(numpy.minimum(x, 0)))",
    inplace=True,
    doc="input, or alpha * (exp(input) - 1) below 0.",
)
_activation(
    "celu",
    lambda x, alpha: maximum(x, 0) + minimum(expm1(x / alpha) * alpha, 0),
    lambda g, x, alpha: select(x > 0, g, g * exp(x / alpha)),
    numbers="Number alpha=1.0",
    inplace=True,
    function=True,
    oracle="lambda x, alpha=1: numpy.maximum(x, 0) + numpy.minimum(0, alpha * numpy.expm1(x / alpha))",
    doc="Continuously differentiable elu.",
)
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
_activation(
    "selu",
    lambda x: select(x > 0, x, expm1(x) * _SELU_ALPHA) * _SELU_SCALE,
    lambda g, x: g * select(x > 0, _SELU_SCALE, exp(x) * (_SELU_ALPHA * _SELU_SCALE)),
    inplace=True,
    function=True,
    oracle="1.0507009873554804934 * numpy.where(x > 0, x, 1.6732632423543772848 * numpy.expm1(numpy.minimum(x, 0)))",
    doc="Scaled elu with its self-normalising constants.",
)
_activation(
    "leaky_relu",
    lambda x, slope: select(x > 0, x, x * slope),
    lambda g, x, slope: select(x > 0, g, g * slope),
    numbers="Number negative_slope=0.01",
    oracle="lambda x, negative_slope=0.01: numpy.where(x > 0, x, x * negative_slope)",
    inplace=True,
    doc="input, times negative_slope below 0.",
)
_activation(
    "hardtanh",
    lambda x, lo, hi: minimum(maximum(x, lo), hi),
    lambda g, x, lo, hi: select((x > lo) & (x < hi), g, 0),
    numbers="Number min_val=-1.0, Number max_val=1.0",
    oracle="lambda x, min_val=-1, max_val=1: numpy.clip(x, min_val, max_val)",
    inplace=True,
    doc="input limited to [min_val, max_val].",
)
_activation(
    "hardsigmoid",
    lambda x: minimum(maximum(x + 3, 0), 6) / 6,
    lambda g, x: select((x > -3) & (x < 3), g / 6, 0),
    inplace=True,
    domain=(-5, 5),
    oracle="numpy.clip(x + 3, 0, 6) / 6",
    doc="Piecewise linear sigmoid.",
)
_activation(
    "hardswish",
    lambda x: x * minimum(maximum(x + 3, 0), 6) / 6,
    lambda g, x: select(x <= -3, 0, select(x < 3, g * (x / 3 + 0.5), g)),
    inplace=True,
    domain=(-5, 5),
    oracle="x * numpy.clip(x + 3, 0, 6) / 6",
    doc="input * hardsigmoid(input).",
)


def _mish_slope(g, x):
    t = tanh(_softplus(x, 1, 20))
    return g * (t + x * (sigmoid(x) * (1 - t * t)))


_activation(
    "mish",
    lambda x: x * tanh(_softplus(x, 1, 20)),
    _mish_slope,
    inplace=True,
    oracle="x * numpy.tanh(numpy.logaddexp(0, x))",
    doc="input * tanh(softplus(input)).",
)
_activation("softsign", lambda x: x / (abs(x) + 1), oracle="x / (1 + numpy.abs(x))", doc="input / (1 + |input|).")
_activation("tanhshrink", lambda x: x - tanh(x), oracle="x - numpy.tanh(x)", doc="input - tanh(input).")
_activation(
    "hardshrink",
    lambda x, lambd: select((x >= -lambd) & (x <= lambd), 0, x),
    lambda g, x, lambd: select((x >= -lambd) & (x <= lambd), 0, g),
    numbers="Number lambd=0.5",
    method=True,
    function=True,
    oracle="lambda x, lambd=0.5: numpy.where(numpy.abs(x) > lambd, x, 0)",
    doc="input, 0 within [-lambd, lambd].",
)
_activation(
    "softshrink",
    lambda x, lambd: select(x > lambd, x - lambd, select(x < -lambd, x + lambd, 0)),
    lambda g, x, lambd: select((x >= -lambd) & (x <= lambd), 0, g),
    numbers="Number lambd=0.5",
    oracle="lambda x, lambd=0.5: numpy.sign(x) * numpy.maximum(numpy.abs(x) - lambd, 0)",
    doc="input shrunk toward 0 by lambd.",
)
_activation(
    "threshold",
    lambda x, t, value: select(x <= t, value, x),
    lambda g, x, t, value: select(x <= t, 0, g),
    numbers="Number threshold, Number value",
    accepts=numeric,
    inplace=True,
    function=True,
    oracle="lambda x, t, v: numpy.where(x > t, x, v)",
    samples=lambda t: [((t(3, 4), 0.1, 2.5), {})],
    doc="input where above the threshold, else value.",
)
_activation(
    "logsigmoid",
    lambda x: minimum(x, 0) - log1p(exp(-abs(x))),
    lambda g, x: g * sigmoid(-x),
    oracle="-numpy.logaddexp(0, -x)",
    doc="log(sigmoid(input)).",
)


@composite(
    method=True,
    out=True,
    nn=True,
    oracle="lambda x, w: numpy.where(x > 0, x, x * w.reshape((1, -1) + (1,) * (x.ndim - 2)))",
    samples=lambda t: [((t(2, 3, 4), t(3)), {}), ((t(2, 3), t(1)), {})],
)
def prelu(input, weight):
    """input, times weight (one, or one a channel) below 0."""
    if weight.numel() != 1 and weight.dim() == 1 and input.dim() > 1:
        if weight.numel() != input.shape[1]:
            raise RuntimeError(
                "prelu(): Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} "
                f"and channel size = {input.shape[1]}."
            )
        weight = weight.reshape([-1] + [1] * (input.dim() - 2))
    return F._where(input > 0, input, input * weight)


@composite(
    function=False,
    nn=True,
    oracle="lambda x, dim=-1: (lambda a, b: a * scipy.special.expit(b))(*numpy.split(x, 2, dim))",
    samples=lambda t: [((t(3, 4),), {}), ((t(4, 3),), {"dim": 0})],
)
def glu(input, dim=-1):
    """First half of the dimension, times the sigmoid of the second half."""
    if input.dim() == 0:
        raise RuntimeError("glu(): does not support scalars because halving size must be even")
    size = input.shape[wrap_dim(dim, input.dim())]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    return F.narrow(input, dim, 0, size // 2) * F.sigmoid(F.narrow(input, dim, size // 2, size // 2))


@composite(
    method=True,
    out=True,
    inplace="function",
    oracle="lambda x, eps=None: scipy.special.logit(x if eps is None else numpy.clip(x, eps, 1 - eps))",
    samples=lambda t: [((t(3, 4, low=0.1, high=0.9),), {}), ((t(3, 4),), {"eps": 0.1})],
)
def logit(input, eps=None):
    """log(input / (1 - input)); input is first limited to [eps, 1 - eps] where eps is given."""
    return F._logit(input if eps is None else F.clamp(input, eps, 1 - eps))


# The forms of nn.functional that check their numbers; they take the place of the operators themselves there.
@composite("_nn_hardtanh", nn="hardtanh", function=False)
def _hardtanh_form(input, min_val=-1.0, max_val=1.0, inplace=False):
    """input limited to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError(f"hardtanh(): min_val cannot be greater than max_val, got {min_val} and {max_val}")
    return (F.hardtanh_ if inplace else F.hardtanh)(input, min_val, max_val)


@composite("_nn_softshrink", nn="softshrink", function=False)
def _softshrink_form(input, lambd=0.5):
    """input shrunk toward 0 by lambd."""
    if lambd < 0:
        raise RuntimeError(f"softshrink(): lambd must not be negative, got {lambd}")
    return F.softshrink(input, lambd)
