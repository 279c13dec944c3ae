"""Losses."""

from __future__ import annotations

import math

from .expr import index, reduce
from .helpers import product
from .namespace import F
from .normalization import vjp
from .scalar import as_expr, exp, log, log1p, maximum, select, sigmoid, sign
from .table import composite, floating, integral, pointwise, rows_op


def _mode(reduction, size_average, reduce):
    if size_average is None and reduce is None:
        if reduction not in ("none", "mean", "sum"):
            raise ValueError(f"{reduction} is not a valid value for reduction")
        return reduction
    return "none" if reduce is False else "sum" if size_average is False else "mean"


def _reduced(loss, mode):
    return F.mean(loss) if mode == "mean" else F.sum(loss) if mode == "sum" else loss


def _weighted(loss, weight, mode):
    """The mean of weighted elements is over the weights."""
    if weight is None:
        return _reduced(loss, mode)
    if tuple(weight.shape) != tuple(loss.shape):
        raise ValueError(f"Weights and input must have the same size, got {list(weight.shape)} and {list(loss.shape)}")
    loss = loss * weight
    return F.sum(loss) / F.sum(weight) if mode == "mean" else _reduced(loss, mode)


def _element(name, fn, grad=None, *, numbers="", oracle=None):
    """The loss of one element as a map operator over (input, target)."""
    count = numbers.count("Number")
    pointwise(
        name,
        fn,
        types="TT" + "p" * count + "->T",
        params="Tensor input, Tensor|Number target" + (", " + numbers if numbers else ""),
        accepts=floating,
        method=False,
        function=False,
        grad=grad and (*grad, *(None,) * count),
        oracle=oracle,
    )


_element(
    "_mse",
    lambda x, t: (x - t) * (x - t),
    (lambda g, x, t: g * ((x - t) * 2), lambda g, x, t: g * ((t - x) * 2)),
    oracle="(a - b) ** 2",
)
_element(
    "_l1",
    lambda x, t: abs(x - t),
    (lambda g, x, t: g * sign(x - t), lambda g, x, t: g * sign(t - x)),
    oracle="numpy.abs(a - b)",
)


def _smooth_l1(x, t, beta):
    d = abs(x - t)
    return select(d < beta, d * d * 0.5 / beta, d - beta * 0.5)


def _smooth_l1_slope(g, x, t, beta):
    d = x - t
    return g * select(abs(d) < beta, d / beta, sign(d))


def _huber(x, t, delta):
    d = abs(x - t)
    return select(d <= delta, d * d * 0.5, delta * (d - delta * 0.5))


def _huber_slope(g, x, t, delta):
    d = x - t
    return g * select(abs(d) <= delta, d, sign(d) * delta)


_element(
    "_smooth_l1",
    _smooth_l1,
    (_smooth_l1_slope, lambda g, x, t, beta: -_smooth_l1_slope(g, x, t, beta)),
    numbers="Number beta",
)
_element("_huber", _huber, (_huber_slope, lambda g, x, t, delta: -_huber_slope(g, x, t, delta)), numbers="Number delta")
# The logarithms are limited below by -100, so that no product is 0 * inf.
_element(
    "_bce",
    lambda x, t: -(t * maximum(log(x), -100) + (1 - t) * maximum(log1p(-x), -100)),
    (
        lambda g, x, t: g * ((x - t) / maximum(x * (1 - x), 1e-12)),
        lambda g, x: g * (maximum(log1p(-x), -100) - maximum(log(x), -100)),
    ),
)
_element(
    "_bce_logits",
    lambda x, t: maximum(x, 0) - x * t + log1p(exp(-abs(x))),
    (lambda g, x, t: g * (sigmoid(x) - t), lambda g, x: -(g * x)),
    oracle="numpy.logaddexp(0, a) - a * b",
)


def _pair_samples(t):
    return [
        ((t(3, 4), t(3, 4)), {}),
        ((t(3, 4), t(3, 4)), {"reduction": "sum"}),
        ((t(3, 4), t(3, 4)), {"reduction": "none"}),
    ]


@composite(nn=True, function=False, samples=_pair_samples, oracle="oracles.reduced(lambda x, t: (x - t) ** 2)")
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)**2, reduced."""
    return _weighted(F._mse(input, target), weight, _mode(reduction, size_average, reduce))


@composite(nn=True, function=False, samples=_pair_samples, oracle="oracles.reduced(lambda x, t: numpy.abs(x - t))")
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|, reduced."""
    exact = F.result_type(input, target).is_floating_point
    loss = F._l1(input, target) if exact else F.abs(input - target)
    return _weighted(loss, weight, _mode(reduction, size_average, reduce))


@composite(
    nn=True,
    function=False,
    samples=_pair_samples,
    oracle="oracles.reduced(lambda x, t: numpy.where(abs(x - t) < 1, (x - t) ** 2 / 2, abs(x - t) - 0.5))",
)
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """Quadratic within beta of the target, linear beyond; reduced."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    loss = F._smooth_l1(input, target, beta) if beta else F._l1(input, target)
    return _reduced(loss, _mode(reduction, size_average, reduce))


@composite(
    nn=True,
    function=False,
    samples=_pair_samples,
    oracle="oracles.reduced(lambda x, t: numpy.where(abs(x - t) < 1, (x - t) ** 2 / 2, abs(x - t) - 0.5))",
)
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """Quadratic within delta of the target, linear beyond with slope delta; reduced."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    loss, mode = F._huber(input, target, delta), _mode(reduction, None, None)
    # The mean counts every element once, unlike that of the other weighted losses.
    return _reduced(_weighted(loss, weight, "none"), mode)


@composite(
    nn=True,
    function=False,
    oracle="oracles.reduced(lambda x, t: -(t * numpy.log(x) + (1 - t) * numpy.log(1 - x)))",
    samples=lambda t: [((t(3, 4, low=0.1, high=0.9), t(3, 4, low=0.1, high=0.9)), {})],
)
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """Cross entropy of probabilities against targets in [0, 1], reduced."""
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(
            f"Using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}) "
            "is deprecated. "
            "Please ensure they have the same size."
        )
    if F.values_known() and not bool(F.logical_and(F.ge(input, 0), F.le(input, 1)).all()):
        raise RuntimeError("binary_cross_entropy(): all elements of input should be between 0 and 1")
    loss = F._bce(input, target)
    return _reduced(loss if weight is None else loss * weight, _mode(reduction, size_average, reduce))


@composite(
    "_nn_binary_cross_entropy_with_logits",
    nn="binary_cross_entropy_with_logits",
    function=False,
    oracle="oracles.bce_logits",
    samples=lambda t: [
        ((t(3, 4), t(3, 4, low=0, high=1)), {}),
        ((t(3, 4), t(3, 4, low=0, high=1)), {"pos_weight": t(4, low=0.5, high=2)}),
    ],
)
def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """binary_cross_entropy of sigmoid(input), without its rounding."""
    if tuple(input.shape) != tuple(target.shape):
        raise ValueError(f"Target size ({list(target.shape)}) must be the same as input size ({list(input.shape)})")
    if pos_weight is None:
        loss = F._bce_logits(input, target)
    else:
        factor = (pos_weight - 1) * target + 1
        loss = (1 - target) * input + factor * (F.log1p(F.exp(-F.abs(input))) + F.relu(-input))
    return _reduced(loss if weight is None else loss * weight, _mode(reduction, size_average, reduce))


# -- class targets -----------------------------------------------------------------------------------------------------
# Ignored targets become class 0 (and get no weight).
pointwise(
    "_class_index",
    lambda t, ignore: select(t.eq(ignore), 0, t),
    types="Tp->T",
    params="Tensor target, Number ignore",
    accepts=integral,
    method=False,
    function=False,
    grad=False,
)


# Where the target's logit lies in the logits, counted over all of them; -1 where ignored.
pointwise(
    "_class_place",
    lambda c, t, ignore, classes: select(t.eq(ignore), -1, index() * classes + c),
    types="iiii->i",
    params="Tensor checked, Tensor target, Number ignore, Number classes",
    method=False,
    function=False,
    grad=False,
)


def _nll_row(x, place):
    peak = reduce("max", x)
    loss = peak + log(reduce("sum", exp(x - peak))) - reduce("sum", select(index().eq(place), x, 0))
    return select(place < 0, 0, loss)


def _nll_row_slope(g, x, place):
    e = exp(x - reduce("max", x))
    p = e / reduce("sum", e)
    return select(place < 0, 0, g * (p - select(index().eq(place), as_expr(1, x.dtype), 0)))


def _nll_row_second(g, grad, input, place):
    hot = F.eq(F.reshape(F.arange(input.numel()), input.shape), place)
    hot, kept = F.cast(hot, input.dtype), F.ge(place, 0)
    return (*vjp(lambda a, b: F._where(kept, a * (F.softmax(b, -1) - hot), 0), (grad, input), (g,)), None)


rows_op(
    "_nll_rows",
    _nll_row,
    "Tensor input, Tensor place",
    types="Ti->R",
    per_row=(1,),
    grad=lambda g, input, place: (F._nll_rows_grad(g, input, place), None),
)
rows_op(
    "_nll_rows_grad",
    _nll_row_slope,
    "Tensor grad, Tensor input, Tensor place",
    types="TTi->T",
    per_row=(0, 2),
    grad=_nll_row_second,
)


def _class_last(input, op):
    """[N, C, ...] or [C] with the class dimension last."""
    if input.dim() == 0:
        raise RuntimeError(f"{op}(): input must have a class dimension, got a 0-d tensor")
    return input if input.dim() < 3 else F.movedim(input, 1, -1)


def _check_classes(input, target, op):
    if target.dtype is F.int64 and input.dim() == 2 and target.dim() == 1 and input.shape[0] == target.shape[0]:
        return
    expected = [*input.shape[:1], *input.shape[2:]] if input.dim() > 1 else []
    if len(expected) != target.dim() or any(a != b for a, b in zip(expected, target.shape)):
        if target.dim() and input.dim() > 1 and input.shape[0] != target.shape[0]:
            raise ValueError(
                f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
            )
        raise RuntimeError(
            f"{op}(): for input of shape {list(input.shape)} expected target of shape {expected}, got "
            f"{list(target.shape)}"
        )
    if target.dtype.is_floating_point or target.dtype is F.bool:
        raise RuntimeError(f"{op}(): expected target of an integer dtype, got {target.dtype}")


def _check_weight(op, input, weight):
    if weight is not None and list(weight.shape) != [input.shape[min(1, input.dim() - 1)]]:
        raise RuntimeError(
            f"{op}(): weight must have one entry for each class of the input {list(input.shape)}, got "
            f"{list(weight.shape)}"
        )


def _picked(values, safe):
    """values[..., safe] with the bounds of `safe` checked by the gather."""
    return F.squeeze(F._pick(values, -1, F.unsqueeze(safe, -1)), -1)


def _average(loss, keep, weights, mode):
    """Ignored entries count nothing; the mean is over the weights of the rest."""
    if mode == "none":
        return F._where(keep, loss, 0)
    total = F.sum(F._where(keep, loss, 0))
    if mode == "sum":
        return total
    count = F.sum(keep) if weights is None else F.sum(F._where(keep, weights, 0))
    return total / (F.cast(count, loss.dtype) if weights is None else count)


@composite(
    nn=True,
    function=False,
    oracle="oracles.nll_loss",
    samples=lambda t: [
        ((t(3, 5), t.ints(3, high=5)), {}),
        ((t(2, 5, 3), t.ints(2, 3, high=5)), {"weight": t(5, low=0.5, high=2)}),
        ((t(5), t.ints(high=5)), {"reduction": "sum"}),
    ],
)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """-input at the target class (input holds log-probabilities), reduced."""
    mode = _mode(reduction, size_average, reduce)
    _check_classes(input, target, "nll_loss")
    _check_weight("nll_loss", input, weight)
    x = _class_last(input, "nll_loss")
    target = F.cast(target, F.int64)
    safe = F._class_index(target, ignore_index)
    weights = None if weight is None else F.reshape(F.index_select(weight, 0, F.reshape(safe, (-1,))), safe.shape)
    loss = -_picked(x, safe)
    return _average(loss if weights is None else loss * weights, F.ne(target, ignore_index), weights, mode)


def _class_samples(t):
    return [
        ((t(3, 5), t.ints(3, high=5)), {}),
        ((t(3, 5), t.ints(3, high=5)), {"label_smoothing": 0.1}),
        ((t(2, 5, 3), t.ints(2, 3, high=5)), {"ignore_index": 2}),
        ((t(3, 5), t(3, 5, low=0, high=1)), {}),
        ((t(3, 5), t.ints(3, high=5)), {"weight": t(5, low=0.5, high=2), "label_smoothing": 0.2}),
        ((t(3, 5), t.ints(3, high=5)), {"reduction": "none"}),
        ((t(5), t.ints(high=5)), {}),
        ((t(3, 5), t.ints(3, high=5)), {"weight": t(5, low=0.5, high=2)}),
    ]


@composite(nn=True, function=False, samples=_class_samples, oracle="oracles.cross_entropy")
def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0
):
    """-log(softmax(input)) at the target class, or against class probabilities; reduced."""
    mode = _mode(reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.dim() == target.dim() and target.dtype.is_floating_point:
        if ignore_index >= 0:
            raise RuntimeError("cross_entropy(): ignore_index is not supported for class probabilities")
        return _probability_loss(input, target, weight, mode, label_smoothing)
    _check_classes(input, target, "cross_entropy")
    _check_weight("cross_entropy", input, weight)
    x = _class_last(input, "cross_entropy")
    classes = x.shape[-1]
    if target.dtype is not F.int64:
        target = F.cast(target, F.int64)
    safe = F._class_index(target, ignore_index)
    if weight is None and label_smoothing == 0 and not F.transforming():  # the fused kernel counts all logits
        return _fused_cross_entropy(x, target, safe, ignore_index, mode)
    keep = F.ne(target, ignore_index)
    logs = F.log_softmax(x, -1)
    picked = -_picked(logs, safe)
    weights = None if weight is None else F.reshape(F.index_select(weight, 0, F.reshape(safe, (-1,))), safe.shape)
    loss = picked if weights is None else picked * weights
    if label_smoothing:
        spread = -F.sum(logs if weight is None else logs * weight, -1)
        loss = loss * (1 - label_smoothing) + spread * (label_smoothing / classes)
    return _average(loss, keep, weights, mode)


@composite(nn=True, function=False)
def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """cross_entropy() of linear(input, linear_weight, linear_bias): input [N, in] or [in], linear_weight [C, in] or
    [C, ..., in], linear_bias [C] or [C, ...]. `options` says in PyTorch how to cut the work in chunks to save memory;
    the result is the same."""
    op = "linear_cross_entropy"
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(
            f"{op}(): the last dimensions of input and linear_weight must be the same, got {list(input.shape)} and "
            f"{list(linear_weight.shape)}"
        )
    sizes = list(linear_weight.shape[:-1])
    flat = linear_weight if len(sizes) == 1 else F.flatten(linear_weight, 0, -2)
    logits = F.linear(input, flat)
    if len(sizes) > 1:
        logits = F.reshape(logits, [*input.shape[:-1], *sizes])
    if linear_bias is not None:
        if linear_bias.dim() == 1 and len(sizes) > 1:
            linear_bias = F.reshape(linear_bias, [-1, *[1] * (len(sizes) - 1)])
        logits = logits + linear_bias
    return F.cross_entropy(
        logits, target, weight, None, -100 if ignore_index is None else ignore_index, None, reduction, label_smoothing
    )


def _fused_cross_entropy(x, target, safe, ignore_index, mode):
    """One kernel from logits to losses. Looking each class up in 0..C-1 checks its bounds."""
    classes = x.shape[-1]
    flat = safe if safe.dim() == 1 else F.reshape(safe, (-1,))
    checked = F.index_select(F._arange_int((classes,), 0, 1, dtype=F.int64), 0, flat)
    if safe.dim() != 1:
        checked = F.reshape(checked, safe.shape)
    place = F.unsqueeze(F._class_place(checked, target, ignore_index, classes), -1)
    loss = F._nll_rows(x, place)
    if mode == "none":
        return F._squeeze(loss, (-1,))
    total = F.sum(loss)
    return total if mode == "sum" else total / F.sum(F.ne(target, ignore_index))


def _probability_loss(input, target, weight, mode, smoothing):
    if tuple(input.shape) != tuple(target.shape):
        raise RuntimeError(
            f"cross_entropy(): class probabilities must have the input's shape {list(input.shape)}, got "
            f"{list(target.shape)}"
        )
    x, p = _class_last(input, "cross_entropy"), _class_last(target, "cross_entropy")
    if smoothing:
        p = p * (1 - smoothing) + smoothing / x.shape[-1]
    logs = F.log_softmax(x, -1)
    loss = -F.sum(logs * p if weight is None else logs * p * weight, -1)
    return F.sum(loss) / max(product(loss.shape), 1) if mode == "mean" else _reduced(loss, mode)


# -- further losses ----------------------------------------------------------------------------------------------------
@composite(
    "_nn_kl_div",
    nn="kl_div",
    function=False,
    oracle="lambda x, t, reduction='mean', log_target=False: (scipy.special.xlogy(t, t) - t * x).mean()",
    samples=lambda t: [((t(3, 4), t(3, 4, low=0.1, high=1)), {})],
)
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target * (log(target) - input), reduced; "batchmean" divides the sum by the batch."""
    loss = F.exp(target) * (target - input) if log_target else F.xlogy(target, target) - target * input
    if reduction == "batchmean":
        return F.sum(loss) / input.shape[0] if input.dim() else F.sum(loss)
    return _reduced(loss, _mode(reduction, size_average, reduce))


@composite(
    "_nn_poisson_nll_loss",
    nn="poisson_nll_loss",
    function=False,
    oracle="lambda x, t: (numpy.exp(x) - t * x).mean()",
    samples=lambda t: [((t(3, 4), t(3, 4, low=0, high=4)), {})],
)
def poisson_nll_loss(
    input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):
    """Negative log likelihood of a Poisson rate, reduced."""
    loss = F.exp(input) - target * input if log_input else input - target * F.log(input + eps)
    if full:
        stirling = target * F.log(target) - target + F.log(target * (2 * math.pi)) * 0.5
        loss = loss + F._where(target > 1, stirling, 0)
    return _reduced(loss, _mode(reduction, size_average, reduce))


@composite(
    nn=True,
    function=False,
    oracle="lambda x, t, v: (0.5 * (numpy.log(v) + (x - t) ** 2 / v)).mean()",
    samples=lambda t: [((t(3, 4), t(3, 4), t(3, 4, low=0.5, high=2)), {})],
)
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """Negative log likelihood of a normal with mean input and variance var, reduced."""
    if not isinstance(var, F.Tensor):
        if var < 0:
            raise ValueError(f"gaussian_nll_loss(): var has negative entries: {var}")
        var = F.full(input.shape, var, dtype=input.dtype)
    elif F.values_known() and bool(F.lt(var, 0).any()):
        raise ValueError("gaussian_nll_loss(): var has negative entries")
    if tuple(var.shape) not in (shape := tuple(input.shape), shape[:-1], (*shape[:-1], 1)):
        raise ValueError(
            f"gaussian_nll_loss(): var of size {list(var.shape)} does not fit to an input of {list(shape)}"
        )
    if var.dim() and var.dim() == input.dim() - 1 and tuple(var.shape) == tuple(input.shape[:-1]):
        var = F.unsqueeze(var, -1)
    var = F.clamp_min(var, eps)
    loss = (F.log(var) + F._mse(input, target) / var) * 0.5
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, _mode(reduction, None, None))


@composite(
    nn=True,
    oracle="lambda x, t: numpy.logaddexp(0, -t * x).mean()",
    samples=lambda t: [((t(3, 4), t(3, 4)), {})],
    function=False,
)
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-target * input)), reduced."""
    return _reduced(-F.logsigmoid(target * input), _mode(reduction, size_average, reduce))


@composite(
    "_nn_margin_ranking_loss",
    nn="margin_ranking_loss",
    function=False,
    oracle="lambda a, b, t, margin=0: numpy.maximum(-t * (a - b) + margin, 0).mean()",
    samples=lambda t: [((t(4), t(4), t(4)), {"margin": 0.5})],
)
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """max(0, -target * (input1 - input2) + margin), reduced."""
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            f"margin_ranking_loss(): all tensors should have the same number of dimensions, got {list(input1.shape)}, "
            f"{list(input2.shape)} and {list(target.shape)}"
        )
    return _reduced(F.clamp_min(-target * (input1 - input2) + margin, 0), _mode(reduction, size_average, reduce))


@composite("_nn_hinge_embedding_loss", nn="hinge_embedding_loss", function=False)
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """input where target is 1, max(0, margin - input) where it is -1; reduced."""
    loss = F._where(F.ne(target, 1), F.clamp_min(margin - input, 0), 0) + F._where(F.ne(target, -1), input, 0)
    return _reduced(loss, _mode(reduction, size_average, reduce))


@composite("_nn_cosine_embedding_loss", nn="cosine_embedding_loss", function=False)
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """1 - cos where target is 1, max(0, cos - margin) where it is -1; reduced."""
    if target.dim() > 1:
        raise RuntimeError(f"cosine_embedding_loss(): expected a 0D or 1D target, got {target.dim()}D")
    if input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1:
        raise RuntimeError(
            f"cosine_embedding_loss(): a {target.dim()}D target expects {target.dim() + 1}D inputs, got "
            f"{list(input1.shape)} and {list(input2.shape)}"
        )
    cos = F.cosine_similarity(input1, input2, -1)
    loss = F._where(F.eq(target, 1), 1 - cos, 0) + F._where(F.eq(target, -1), F.clamp_min(cos - margin, 0), 0)
    return _reduced(loss, _mode(reduction, size_average, reduce))


@composite("_nn_triplet_margin_loss", nn="triplet_margin_loss", function=False)
def triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None, reduce=None, reduction="mean"
):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), reduced."""
    if margin <= 0:
        raise ValueError(f"triplet_margin_loss(): margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "triplet_margin_loss(): expected anchor, positive and negative to have the same number of dimensions, got "
            f"{anchor.dim()}, {positive.dim()} and {negative.dim()}"
        )
    far = F.pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = F.minimum(far, F.pairwise_distance(positive, negative, p, eps))
    return _reduced(
        F.clamp_min(F.pairwise_distance(anchor, positive, p, eps) - far + margin, 0),
        _mode(reduction, size_average, reduce),
    )
