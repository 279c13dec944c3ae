"""Softmax and the normalisations.

Row programs do the last dimension in one kernel; other dimensions are moved there and back.
"""

from __future__ import annotations

from .expr import reduce
from .helpers import product, wrap_dim
from .namespace import F
from .scalar import exp, log, rsqrt
from .table import composite, floating, pointwise, rows_op


def vjp(formula, inputs, gradients):
    """Gradients of `formula(*inputs)` (written in differentiable operators) for the given output gradients: the double
    backward of a fused kernel, rarely run, is taken from its definition."""
    with F.enable_grad():
        # Aliases, because an input may depend on another one: only the formula's own slopes are wanted.
        inputs = [F.alias(x) if isinstance(x, F.Tensor) and x.requires_grad else x for x in inputs]
        results = formula(*inputs)
    tracked = [x for x in inputs if isinstance(x, F.Tensor) and x.requires_grad]
    results = results if isinstance(results, tuple) else (results,)
    pairs = [(r, g) for r, g in zip(results, gradients) if g is not None and r.requires_grad]
    found = (
        iter(
            F.autograd_grad(
                [r for r, _ in pairs],
                tracked,
                [g for _, g in pairs],
                create_graph=F.is_grad_enabled(),
                allow_unused=True,
            )
        )
        if pairs and tracked
        else iter(())
    )
    return tuple(
        next(found, None) if isinstance(x, F.Tensor) and x.requires_grad else None
        for x in inputs
        if isinstance(x, F.Tensor)
    )


# -- softmax -----------------------------------------------------------------------------------------------------------
def _softmax_row(x):
    e = exp(x - reduce("max", x))
    return e / reduce("sum", e)


def _softmax_slope(g, y, scale):
    return y * (g - reduce("sum", g * y)) * scale


def _softmax_grad_formula(g, y, scale):
    return y * (g - F.sum(g * y, -1, True)) * scale


rows_op(
    "_softmax",
    _softmax_row,
    "Tensor input",
    types="T->T",
    grad=lambda g, out: F._softmax_grad(g, out, 1.0),
    oracle="lambda x: scipy.special.softmax(x, -1)",
    samples=lambda t: [((t(3, 5),), {}), ((t(2, 3, 17),), {})],
)
rows_op(
    "_softmax_grad",
    _softmax_slope,
    "Tensor grad, Tensor y, Number scale",
    types="TTp->T",
    grad=lambda g, grad, y, scale: vjp(lambda a, b: _softmax_grad_formula(a, b, scale), (grad, y), (g,)),
)
rows_op(
    "_log_softmax",
    lambda x: (x - reduce("max", x)) - log(reduce("sum", exp(x - reduce("max", x)))),
    "Tensor input",
    types="T->T",
    grad=lambda g, out: F._log_softmax_grad(g, out),
    oracle="lambda x: scipy.special.log_softmax(x, -1)",
    samples=lambda t: [((t(3, 5),), {})],
)
rows_op(
    "_log_softmax_grad",
    lambda g, y: g - exp(y) * reduce("sum", g),
    "Tensor grad, Tensor y",
    types="TT->T",
    grad=lambda g, grad, y: vjp(lambda a, b: a - F.exp(b) * F.sum(a, -1, True), (grad, y), (g,)),
)


def _along(op, input, dim, dtype, name):
    if dtype is not None:
        input = F.cast(input, dtype)
    if not input.is_floating_point():
        raise RuntimeError(
            f'"{name}" not implemented for {input.dtype}: needs a floating point dtype (or the dtype argument)'
        )
    n = input.dim()
    if dim is None:  # PyTorch's old implicit choice
        dim = 0 if n in (0, 1, 3) else 1
    dim = wrap_dim(dim, n)
    if n == 0:
        return F.reshape(op(F.reshape(input, (1,))), ())
    return op(input) if dim == n - 1 else F.transpose(op(F.transpose(input, dim, n - 1)), dim, n - 1).contiguous()


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3, 4), -1), {}), ((t(3, 4), 0), {}), ((t(2, 3, 4), 1), {}), ((t(), 0), {})],
    oracle="lambda x, d: scipy.special.softmax(x, d if x.ndim else None)",
)
def softmax(input, dim, dtype=None):
    """exp(input) normalised to sum 1 along a dimension."""
    return _along(F._softmax, input, dim, dtype, "softmax")


@composite("_nn_softmax", nn="softmax", function=False)
def _softmax_form(input, dim=None, _stacklevel=3, dtype=None):
    """exp(input) normalised to sum 1 along a dimension (by default 0 for 0, 1 or 3 dimensions, else 1)."""
    return _along(F._softmax, input, dim, dtype, "softmax")


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3, 4), -1), {}), ((t(3, 4), 0), {}), ((t(2, 3, 4), 1), {})],
    oracle="lambda x, d: scipy.special.log_softmax(x, d)",
)
def log_softmax(input, dim, dtype=None):
    """log(softmax(input)) along a dimension."""
    return _along(F._log_softmax, input, dim, dtype, "log_softmax")


@composite("_nn_log_softmax", nn="log_softmax", function=False)
def _log_softmax_form(input, dim=None, _stacklevel=3, dtype=None):
    """log(softmax(input)) along a dimension (by default 0 for 0, 1 or 3 dimensions, else 1)."""
    return _along(F._log_softmax, input, dim, dtype, "log_softmax")


@composite(
    nn=True, function=False, samples=lambda t: [((t(3, 4), 0), {})], oracle="lambda x, d: scipy.special.softmax(-x, d)"
)
def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """softmax(-input)."""
    return F._nn_softmax(-input, dim, dtype=dtype)


def _second(formula):
    """Double backward of a normalisation from the formula of its slope (two results)."""

    def rule(g, g1, grad, input, weight, n, eps):
        if isinstance(weight, F.Tensor):
            return vjp(lambda a, b, c: formula(a, b, c, n, eps), (grad, input, weight), (g, g1))
        return *vjp(lambda a, b: formula(a, b, weight, n, eps), (grad, input), (g, g1)), None

    return rule


# -- layer norm --------------------------------------------------------------------------------------------------------
# n is the row length: a number, because a kernel sees rows of any length.
def _standardize(x, n, eps):
    d = x - reduce("sum", x) / n
    r = rsqrt(reduce("sum", d * d) / n + eps)
    return d * r, r


def _layer_norm_slope(g, x, w, n, eps):
    y, r = _standardize(x, n, eps)
    gw = g * w
    return r * (gw - (reduce("sum", gw) + y * reduce("sum", gw * y)) / n), g * y


def _layer_norm_slope_formula(g, x, w, n, eps):
    d = x - F.sum(x, -1, True) / n
    r = F.rsqrt(F.sum(d * d, -1, True) / n + eps)
    y, gw = d * r, g * w
    return r * (gw - (F.sum(gw, -1, True) + y * F.sum(gw * y, -1, True)) / n), g * y


def _layer_norm_gradient(g, input, weight, n, eps, bias_shape, wanted):
    dx, gy = F._layer_norm_grad(g, input, weight, n, eps)
    dw = F.sum_to_size(gy, weight.shape) if wanted[1] else None
    return dx, dw, F.sum_to_size(g, bias_shape) if wanted[2] else None


def _layer_norm_row(x, w, b, n, eps):
    return _standardize(x, n, eps)[0] * w + b


rows_op(
    "_layer_norm",
    _layer_norm_row,
    "Tensor input, Tensor|Number weight, Tensor|Number bias, Number n, Number eps",
    types="TTTpp->T",
    grad=_layer_norm_gradient,
)
rows_op(
    "_layer_norm_grad",
    _layer_norm_slope,
    "Tensor grad, Tensor input, Tensor|Number weight, Number n, Number eps",
    types="TTTpp->TT",
    grad=_second(_layer_norm_slope_formula),
)


def _check_normalized(input, normalized_shape, op):
    shape = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
    if any(isinstance(s, (float, str, F.Tensor)) for s in shape):
        raise TypeError(f"{op}(): argument 'normalized_shape' must be int or a tuple of ints, got {normalized_shape}")
    if not shape:
        raise RuntimeError(f"{op}(): expected normalized_shape to be at least 1-dimensional, got {shape}")
    tail = list(input.shape[input.dim() - len(shape) :])
    if len(shape) > input.dim() or any(a is not b and a != b for a, b in zip(tail, shape)):
        raise RuntimeError(
            f"Given normalized_shape={shape}, expected input with shape [*, {', '.join(map(str, shape))}], but got "
            f"input of size {list(input.shape)}"
        )
    return shape


def _per_element(value, shape, name, op):
    """weight or bias as one row, or the number that stands for none."""
    if value is None:
        return 1.0 if name == "weight" else 0.0
    if list(value.shape) != shape:
        raise RuntimeError(
            f"{op}(): expected {name} to be of same shape as normalized_shape, but got {name} of shape "
            f"{list(value.shape)} and normalized_shape = {shape}"
        )
    return value if len(shape) == 1 else F.reshape(value, (-1,))


@composite(
    "_nn_layer_norm",
    nn="layer_norm",
    function=False,
    samples=lambda t: [
        ((t(3, 4), (4,)), {}),
        ((t(2, 3, 4), (4,), t(4), t(4)), {}),
        ((t(2, 3, 4), (3, 4), t(3, 4), t(3, 4)), {}),
    ],
    oracle="oracles.layer_norm",
)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05):
    """Zero mean and unit variance over the last dimensions, then times weight plus bias."""
    shape = _check_normalized(input, normalized_shape, "layer_norm")
    w, b = _per_element(weight, shape, "weight", "layer_norm"), _per_element(bias, shape, "bias", "layer_norm")
    if len(shape) == 1:
        return F._layer_norm(input, w, b, shape[0], eps)
    lead = list(input.shape[: input.dim() - len(shape)])
    n = product(shape)
    return F.reshape(F._layer_norm(F.reshape(input, [*lead, n]), w, b, n, eps), input.shape)


# -- RMS norm ----------------------------------------------------------------------------------------------------------
def _rms_slope(g, x, w, n, eps):
    r = rsqrt(reduce("sum", x * x) / n + eps)
    gw, y = g * w, x * r
    return r * (gw - y * (reduce("sum", gw * y) / n)), g * y


def _rms_slope_formula(g, x, w, n, eps):
    r = F.rsqrt(F.sum(x * x, -1, True) / n + eps)
    gw, y = g * w, x * r
    return r * (gw - y * (F.sum(gw * y, -1, True) / n)), g * y


def _rms_gradient(g, input, weight, n, eps, wanted):
    dx, gy = F._rms_norm_grad(g, input, weight, n, eps)
    return dx, F.sum_to_size(gy, weight.shape) if wanted[1] else None


rows_op(
    "_rms_norm",
    lambda x, w, n, eps: x * rsqrt(reduce("sum", x * x) / n + eps) * w,
    "Tensor input, Tensor|Number weight, Number n, Number eps",
    types="TTpp->T",
    grad=_rms_gradient,
)
rows_op(
    "_rms_norm_grad",
    _rms_slope,
    "Tensor grad, Tensor input, Tensor|Number weight, Number n, Number eps",
    types="TTTpp->TT",
    grad=_second(_rms_slope_formula),
)


@composite(
    nn=True,
    samples=lambda t: [((t(3, 4), (4,)), {}), ((t(2, 3, 4), (3, 4), t(3, 4)), {"eps": 1e-5})],
    oracle="oracles.rms_norm",
)
def rms_norm(input, normalized_shape, weight=None, eps=None):
    """input over the root of its mean square over the last dimensions, times weight."""
    shape = _check_normalized(input, normalized_shape, "rms_norm")
    w = _per_element(weight, shape, "weight", "rms_norm")
    eps = F.finfo(input.dtype).eps if eps is None else eps
    n = product(shape)
    x = input if len(shape) == 1 else F.reshape(input, [*input.shape[: input.dim() - len(shape)], n])
    return F.reshape(F._rms_norm(x, w, n, eps), input.shape)


# -- norms over channels -----------------------------------------------------------------------------------------------
def _channels(value, ndim):
    return F.reshape(value, [-1] + [1] * (ndim - 2))


def _affine(x, weight, bias):
    if weight is not None:
        x = x * _channels(weight, x.dim())
    return x if bias is None else x + _channels(bias, x.dim())


@composite(
    "_nn_group_norm",
    nn="group_norm",
    function=False,
    samples=lambda t: [((t(2, 4, 3), 2, t(4), t(4)), {}), ((t(2, 4, 3, 3), 4), {})],
    oracle="oracles.group_norm",
)
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-05):
    """Normalised over groups of channels and all positions."""
    if input.dim() < 2 or input.shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    n = product(input.shape[1:]) // num_groups
    x = F._layer_norm(F.reshape(input, (input.shape[0], num_groups, n)), 1.0, 0.0, n, eps)
    return _affine(F.reshape(x, input.shape), weight, bias)


@composite(
    "_nn_instance_norm",
    nn="instance_norm",
    function=False,
    samples=lambda t: [((t(2, 3, 4),), {}), ((t(2, 3, 2, 2),), {"weight": t(3), "bias": t(3)})],
    oracle="oracles.instance_norm",
)
def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-05
):
    """Normalised over the positions of each channel of each sample; running statistics, where given, follow their means
    over the batch."""
    if not use_input_stats:
        return F._nn_batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    spatial = list(range(2, input.dim()))
    count = product(input.shape[2:])
    if count == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(input.shape)}")
    if running_mean is not None and running_var is not None:
        with F.no_grad():
            variance, mean = F.var_mean(input.detach(), spatial)
            running_mean.lerp_(F.cast(F.mean(mean, 0), running_mean.dtype), momentum)
            running_var.lerp_(F.cast(F.mean(variance, 0), running_var.dtype), momentum)
    return F._nn_group_norm(input, input.shape[1], weight, bias, eps)


pointwise(
    "_batch_scale",
    lambda d, v, eps: d * rsqrt(v + eps),
    types="TTp->T",
    params="Tensor d, Tensor variance, Number eps",
    accepts=floating,
    method=False,
    function=False,
    out=False,
)


@composite(
    "_nn_batch_norm",
    nn="batch_norm",
    function=False,
    samples=lambda t: [((t(4, 3), None, None, t(3), t(3), True), {}), ((t(4, 3, 5), t(3), t(3, low=0.5, high=1)), {})],
    oracle="oracles.batch_norm",
)
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-05):
    """Normalised per channel over the batch and all positions; while training the running statistics follow."""
    if input.dim() < 2:
        raise RuntimeError(f"batch_norm(): expected at least 2 dimensions, got {input.dim()}")
    dims = (0, *range(2, input.dim()))
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("batch_norm(): running_mean and running_var must be given unless training")
    if training:
        count = product(input.shape[d] for d in dims)
        if isinstance(count, int) and count <= 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size {list(input.shape)}"
            )
        x = input if input.dtype not in (F.float16, F.bfloat16) else F.cast(input, F.float32)
        center = F.sum(x, dims, True) / count
        d = x - center
        variance = F._sum_squares(d, dims, True) / count
        if running_mean is not None:
            with F.no_grad():
                running_mean.lerp_(F.cast(F.reshape(center, (-1,)), running_mean.dtype), momentum)
                running_var.lerp_(
                    F.cast(F.reshape(variance * (count / (count - 1)), (-1,)), running_var.dtype), momentum
                )
        out = F._batch_scale(d, variance, eps)
        return _affine(F.cast(out, input.dtype), weight, bias)
    scale = F.rsqrt(running_var + eps)
    return _affine((input - _channels(running_mean, input.dim())) * _channels(scale, input.dim()), weight, bias)


@composite(nn=True, function=False, samples=lambda t: [((t(2, 5, 3, 3), 3), {})], oracle="oracles.local_response_norm")
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k: float = 1.0):
    """input over a power of the mean square across neighbouring channels."""
    if input.dim() < 3:
        raise ValueError(f"local_response_norm(): expected 3D or higher dimensionality input, got {input.dim()}D")
    square = F.unsqueeze(F.square(input), 1)
    tail = [0, 0] * (input.dim() - 2)
    padded = F.pad(square, [*tail, size // 2, (size - 1) // 2])
    total = F.sum(F.unfold(padded, 2, size, 1), -1) / size
    return input / F._pow(F.squeeze(total, 1) * alpha + k, beta)
