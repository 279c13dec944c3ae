"""Order statistics: medians, quantiles, modes, and running extremes."""

from __future__ import annotations

import math

from .helpers import kept, tensor_argument, wrap_dim
from .namespace import F
from .table import composite, numeric, scan_op


def _length(input, dim):
    return input.shape[wrap_dim(dim, input.dim())] if input.dim() else 1


def _ordered(op, input):
    tensor_argument(op, "input", input)
    if input.dtype is F.bool or input.is_complex():
        raise NotImplementedError(f"{op}(): not implemented for {input.dtype}")


def _result(op, values, indices, out):
    result = F.result_pair(op, values, indices)
    return result if out is None else F.write_pair(op, result, out)


@composite(
    method=True, out=True, samples=lambda t: [((t(3, 4),), {}), ((t(5),), {})], oracle="lambda x: numpy.sort(x, 0)"
)
def msort(input):
    """The elements in ascending order along the first dimension. As sort(input, 0)[0]."""
    return F.sort(input, 0)[0]


@composite(
    method=True, samples=lambda t: [((t(3, 5), 2), {}), ((t(5, 3), 1, 0), {})], opcheck=False, oracle="oracles.kthvalue"
)
def kthvalue(input, k, dim=-1, keepdim=False, *, out=None):
    """(value, index) of the k-th smallest along a dimension, k counted from 1."""
    _ordered("kthvalue", input)
    size = _length(input, dim)
    if isinstance(size, int) and size == 0:
        raise IndexError(f"kthvalue(): dimension {dim} is empty")
    if not 1 <= k <= size:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}, got k={k}")
    values, indices = F._sort(input, dim, False, k)
    if input.dim():
        values, indices = (kept(F.slice(x, dim, k - 1, k, 1), dim, keepdim) for x in (values, indices))
    return _result("kthvalue", values, indices, out)


# -- medians -----------------------------------------------------------------------------------------------------------
def _middle(op, input, dim, keepdim, skip_nan):
    size = _length(input, dim)
    if isinstance(size, int) and size == 0:
        raise IndexError(f"{op}(): dimension {dim} is empty")
    values, indices = F._sort(input, dim, False)
    place = F.full((), (size - 1) // 2, dtype=F.int64)
    if input.is_floating_point():
        numbers = F.sum(F.logical_not(F.isnan(input.detach())), dim, True)
        if skip_nan:
            place = F.clamp_min(F.floor_divide(numbers - 1, 2), 0)
        else:  # NaN sorts last: the first of them is the answer
            place = F._where(F.lt(numbers, size), numbers, place)
    if values.dim():
        dim = wrap_dim(dim, values.dim())
        place = F.expand(place, [*values.shape[:dim], 1, *values.shape[dim + 1 :]])
    else:
        place = F.reshape(place, ())
    values, indices = F.gather(values, dim, place), F.gather(indices, dim, place)
    return kept(values, dim, keepdim), kept(indices, dim, keepdim)


def _median(op, doc, skip_nan, oracle):
    def median(input, dim=None, keepdim=False, *, out=None):
        _ordered(op, input)
        if dim is not None:
            return _result(op, *_middle(op, input, dim, keepdim, skip_nan), out)
        if input.numel() == 0:
            if input.is_floating_point():
                return F.full((), math.nan, dtype=input.dtype)
            return F.full((), F.iinfo(input.dtype).min if input.dtype.is_signed else 0, dtype=input.dtype)
        return F.write_out(op, _middle(op, F.reshape(input, (-1,)), 0, False, skip_nan)[0], out)

    median.__name__ = median.__qualname__ = op
    median.__doc__ = doc
    composite(op, method=True, samples=lambda t: [((t(5),), {}), ((t(3, 5), 1), {})], opcheck=False, oracle=oracle)(
        median
    )


_median(
    "median",
    "The lower median of all elements; with dim, (values, indices) along it. NaN if there is one.",
    False,
    "oracles.median",
)
_median(
    "nanmedian",
    "The lower median of the elements that are not NaN; with dim, (values, indices) along it. NaN if all are.",
    True,
    "oracles.median",
)


@composite(
    method=True,
    samples=lambda t: [((t.ints(3, 9, high=4),), {}), ((t.ints(9, 3, high=4), 0, True), {})],
    opcheck=False,
    oracle="oracles.mode",
)
def mode(input, dim=-1, keepdim=False, *, out=None):
    """(values, indices) of the most frequent element along a dimension: the smallest of several, at its last place. NaN
    is equal to nothing.
    """
    tensor_argument("mode", "input", input)
    if input.dim() == 0:
        wrap_dim(dim, 0)
        return _result("mode", F.clone(input), F.zeros((), dtype=F.int64), out)
    dim = wrap_dim(dim, input.dim())
    size = input.shape[dim]
    if isinstance(size, int) and size == 0:
        raise IndexError(f"mode(): dimension {dim} is empty")
    values, order = F._sort(input.detach(), dim, False)
    at = F.reshape(F.arange(size), [-1] + [1] * (input.dim() - 1 - dim))
    same = F.eq(F.slice(values, dim, 1, None, 1), F.slice(values, dim, 0, -1, 1))
    fresh = F.cat([F.ones_like(F.slice(values, dim, 0, 1, 1), dtype=F.bool), F.logical_not(same)], dim)
    start = F._cummax(F._where(fresh, F.expand(at, fresh.shape), 0), dim)
    last = F.argmax(at - start, dim, True)  # the first that is furthest into its run of equal values
    index = F.gather(order, dim, last)
    picked = F.gather(input, dim, index)
    return _result("mode", kept(picked, dim, keepdim), kept(index, dim, keepdim), out)


# -- quantiles ---------------------------------------------------------------------------------------------------------
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _checked_fractions(op, input, q):
    """q as a tensor of the input's dtype, after PyTorch's checks."""
    tensor_argument(op, "input", input)
    if input.numel() == 0:
        raise RuntimeError(f"{op}() input tensor must be non-empty")
    if input.dtype not in (F.float32, F.float64):
        raise RuntimeError(f"{op}() input tensor must be either float or double dtype, got {input.dtype}")
    if not isinstance(q, F.Tensor):
        if isinstance(q, bool) or not isinstance(q, (int, float)):
            raise TypeError(f"{op}(): argument 'q' must be a number or a Tensor, not {type(q).__name__}")
        if not 0 <= q <= 1:
            raise RuntimeError(f"{op}() q must be in the range [0, 1] but got {q}")
        return F.full((), q, dtype=input.dtype)
    if q.dim() > 1:
        raise RuntimeError(f"{op}() q must be a scalar or 1D tensor, got {q.dim()} dimensions")
    if q.dtype is not input.dtype:
        raise RuntimeError(f"{op}() q tensor must be same dtype as the input tensor: {q.dtype} and {input.dtype}")
    if F.values_known() and not bool(F.logical_and(F.ge(q, 0), F.le(q, 1)).all()):
        raise RuntimeError(f"{op}() q values must be in the range [0, 1]")
    return q


def _quantile(op, input, q, dim, keepdim, interpolation, skip_nan):
    q = _checked_fractions(op, input, q)
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{op}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}"
        )
    n = input.dim()
    if dim is None:
        rows = F.reshape(input, (-1,))
    else:
        dim = wrap_dim(dim, n)
        rows = F.movedim(input, dim, -1) if n else F.reshape(input, (1,))
    size = rows.shape[-1]
    values = F._sort(rows, -1, False)[0]
    count = q.numel()
    fractions = F.reshape(q, (-1,))
    if skip_nan:
        last = F.clamp_min(F.sum(F.logical_not(F.isnan(values.detach())), -1, True) - 1, 0)
        ranks = fractions * F.cast(last, q.dtype)
    else:  # NaN sorts last, and is the answer where there is one
        ranks = F._where(F.isnan(F.slice(values.detach(), -1, size - 1, None, 1)), size - 1, fractions * (size - 1))
    ranks = F.expand(ranks, [*rows.shape[:-1], count])
    if interpolation in ("lower", "higher", "nearest"):
        ranks = {"lower": F.floor, "higher": F.ceil, "nearest": F.round}[interpolation](ranks)
    below = F.floor(ranks.detach())
    found = F.gather(values, -1, F.cast(below, F.int64))
    if interpolation in ("linear", "midpoint"):
        weight = 0.5 if interpolation == "midpoint" else ranks - below
        found = F.lerp(found, F.gather(values, -1, F.cast(F.ceil(ranks.detach()), F.int64)), weight)
    if dim is None:
        lead = [1] * n if keepdim else []
    else:
        lead = list(input.shape[:dim]) + [1] * keepdim + list(input.shape[dim + 1 :]) if n else []
    return F.reshape(found, lead) if q.dim() == 0 else F.reshape(F.movedim(found, -1, 0), [count, *lead])


def _quantile_samples(t):
    return [
        ((t(7), 0.3), {}),
        ((t(3, 4), 0.5, 1), {}),
        ((t(3, 4), _fractions(t), 0), {}),
        ((t(2, 3), 0.6), {"interpolation": "lower"}),
    ]


def _fractions(t):
    """Quantiles away from the places where the nearest elements change."""
    return t(3, low=0.05, high=0.95)


_ORACLE = "lambda x, q, dim=None, keepdim=False, interpolation='linear': numpy.{}(x, q, dim, keepdims=keepdim, method=interpolation)"


@composite(method=True, out=True, samples=_quantile_samples, oracle=_ORACLE.format("quantile"))
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """The q-th quantiles (q in [0, 1]: a number, or a vector for as many results in a new first dimension) of all
    elements or along a dimension. Between two elements: linear, lower, higher, nearest or midpoint. NaN if there is one.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@composite(method=True, out=True, samples=_quantile_samples, oracle=_ORACLE.format("nanquantile"))
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear"):
    """quantile() of the elements that are not NaN."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


# -- running extremes --------------------------------------------------------------------------------------------------
def _last_hits(input, extreme, dim):
    """Where the running extreme was reached last, at every place."""
    shape = input.shape
    at = F.reshape(F.arange(shape[dim]), [-1] + [1] * (len(shape) - 1 - dim))
    return F._cummax(F._where(F._same(input, extreme), F.expand(at, shape), 0), dim)


def _running_gradient(g, input, out, dim):
    if not input.dim():
        return g
    dim = wrap_dim(dim, input.dim())
    places = _last_hits(input, out, dim)
    return F.scatter_add(F.zeros(input.shape, dtype=g.dtype), dim, places, g)


def _running(name, kind):
    scan_op(f"_{name}", kind, grad=_running_gradient, accepts=numeric, public=False)

    def running(input, dim, *, out=None):
        tensor_argument(name, "input", input)
        if input.is_complex():
            raise NotImplementedError(f"{name}(): not implemented for {input.dtype}")
        dim = wrap_dim(dim, input.dim())
        x = F.cast(input, F.uint8) if input.dtype is F.bool else input
        values = getattr(F, f"_{name}")(x, dim, dtype=x.dtype)
        indices = _last_hits(x.detach(), values.detach(), dim) if x.dim() else F.zeros((), dtype=F.int64)
        return _result(name, F.cast(values, input.dtype), indices, out)

    running.__name__ = running.__qualname__ = name
    running.__doc__ = (
        f"(values, indices) of the running {kind}imum along a dimension; of equal elements the last. NaN stays."
    )
    composite(
        name,
        method=True,
        samples=lambda t: [((t(5), 0), {}), ((t(3, 4), 1), {}), ((t(4, 3), 0), {}), ((t(2, 3, 4), -2), {})],
        oracle=f"lambda x, d: oracles.running(numpy.{kind}imum, x, d)",
    )(running)


_running("cummax", "max")
_running("cummin", "min")
