"""Counts, histograms and covariances."""

from __future__ import annotations

import math

from .helpers import product, tensor_argument
from .namespace import F
from .scalar import cast, minimum, select
from .table import composite, floating, pointwise


@composite(
    method=True,
    samples=lambda t: [((t.ints(9, high=4),), {}), ((t.ints(9, high=4), t(9)), {"minlength": 6})],
    opcheck=False,
    oracle="lambda x, w=None, minlength=0: numpy.bincount(x, w, minlength)",
)
def bincount(input, weights=None, minlength=0):
    """How often each non-negative integer occurs (int64), or the sum of its weights (float32 of float32 weights, else
    float64).
    """
    tensor_argument("bincount", "input", input)
    if input.dtype.is_floating_point or input.dtype.is_complex or input.dtype is F.bool:
        raise NotImplementedError(f"bincount(): not implemented for {input.dtype}: input must be integers")
    if minlength < 0:
        raise RuntimeError(f"bincount(): minlength must not be negative, got {minlength}")
    if input.dim() == 1 and input.shape[0] == 0:
        return F.zeros((minlength,), dtype=F.int64)
    if input.dim() != 1 or int(input.min().item()) < 0:
        raise RuntimeError("bincount(): input must be a vector of non-negative integers")
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise RuntimeError(
            f"bincount(): weights must have the shape of input, got {list(weights.shape)} and {list(input.shape)}"
        )
    size = max(int(input.max().item()) + 1, minlength)
    if weights is None:
        weights = F.ones(input.shape, dtype=F.int64)
    elif weights.dtype is not F.float32:
        weights = F.cast(weights.detach(), F.float64)
    return F._index_add(F.zeros((size,), dtype=weights.dtype), 0, F.cast(input, F.int64), weights.detach())


# -- histograms --------------------------------------------------------------------------------------------------------
def _floats(op, input, halves=False):
    tensor_argument(op, "input", input)
    if input.dtype not in ((F.float32, F.float64, F.float16, F.bfloat16) if halves else (F.float32, F.float64)):
        raise NotImplementedError(f"{op}(): not implemented for {input.dtype}: input must be floating point")


def _range(op, input, low, high):
    """The ends of the bins: given, or the extremes of the data; never equal."""
    if low == high and input.numel():
        low, high = float(input.min().item()), float(input.max().item())
    if low == high:
        low, high = low - 1, high + 1
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{op}(): range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{op}(): max must be larger than min, got [{low}, {high}]")
    return low, high


def _sums(places, inside, weight, count):
    """Weights summed by place; those not inside are left out."""
    total = F.zeros((count + 1,), dtype=weight.dtype)
    total = F._index_add(total, 0, F._where(inside, places, count), weight)
    return F.slice(total, 0, 0, count, 1)


# The place among `bins` equal bins; `bins` for what lies outside.
pointwise(
    "_bin",
    lambda x, low, high, bins: select(
        (x >= low) & (x <= high), cast(minimum((x - low) * bins / (high - low), bins - 1), "i64"), cast(bins, "i64")
    ),
    types="Tppp->i",
    params="Tensor input, Number low, Number high, Number bins",
    grad=False,
    accepts=floating,
    method=False,
    function=False,
)


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(20), 4, -1, 1), {}), ((t(3, 4), 5), {}), ((t(9), 3, -0.5, 0.5), {})],
    opcheck=False,
    oracle="lambda x, b, lo=0, hi=0: numpy.histogram(x, b, None if lo == hi else (lo, hi))[0].astype(float)",
)
def histc(input, bins=100, min=0, max=0):
    """How many elements fall into each of `bins` equal bins between min and max (both 0: the extremes of the data), in
    the input's dtype. Elements outside are not counted; max is in the last bin.
    """
    _floats("histc", input, halves=True)
    if not isinstance(bins, int):
        raise TypeError(f"histc(): argument 'bins' must be int, not {type(bins).__name__}")
    if bins <= 0:
        raise RuntimeError(f"histc(): bins must be positive, got {bins}")
    flat = F.reshape(input.detach(), (-1,))
    low, high = _range("histc", flat, min, max)
    places = F._bin(flat, low, high, bins)
    counts = F._index_add(F.zeros((bins + 1,), dtype=F.int64), 0, places, F.ones(flat.shape, dtype=F.int64))
    return F.cast(F.slice(counts, 0, 0, bins, 1), input.dtype)


def _density(hist, edges):
    hist = hist / F.sum(hist)
    for d, e in enumerate(edges):
        hist = hist / F.reshape(F.diff(e), [-1 if k == d else 1 for k in range(hist.dim())])
    return hist


def _at(edges, places):
    return F.index_select(edges, 0, places)


def _binned(samples, edges, even, weight, density):
    """The histogram of samples [count, D] between the D vectors of edges; even: they are equally spaced."""
    count = samples.shape[0]
    sizes = [e.shape[0] - 1 for e in edges]
    place, inside = F.zeros((count,), dtype=F.int64), F.ones((count,), dtype=F.bool)
    for d, (e, n) in enumerate(zip(edges, sizes)):
        x = F.select(samples, 1, d)
        low, high = F.select(e, 0, 0), F.select(e, 0, -1)
        within = F.logical_and(F.ge(x, low), F.le(x, high))
        if even:  # within a place of the right one, which the edges decide
            guess = F._where(within, (x - low) * (n / (high - low)), 0)
            at = F.clamp_max(F.cast(guess, F.int64), n - 1)
            at = at - F.cast(F.lt(x, _at(e, at)), F.int64)
            at = F.clamp(at + F.cast(F.ge(x, _at(e, at + 1)), F.int64), 0, n - 1)
        else:
            at = F.clamp(F.searchsorted(e, x, right=True) - 1, 0, max(n - 1, 0))
        place, inside = place * n + at, F.logical_and(inside, within)
    if weight is None:
        weight = F.ones((count,), dtype=samples.dtype)
    hist = F.reshape(_sums(place, inside, weight, product(sizes)), sizes)
    return _density(hist, edges) if density else hist


def _edges(op, samples, bins, range):
    """One vector of edges for each column of samples."""
    columns = samples.shape[1]
    if isinstance(bins, (tuple, list)) and all(isinstance(b, F.Tensor) for b in bins) and len(bins):
        if len(bins) != columns:
            raise RuntimeError(f"{op}(): expected {columns} sequences of bin edges, got {len(bins)}")
        for d, e in enumerate(bins):
            if e.dim() != 1:
                raise RuntimeError(
                    f"{op}(): bins tensor should have one dimension, but got {e.dim()} dimensions in bins {d}"
                )
            if e.dtype is not samples.dtype:
                raise RuntimeError(
                    f"{op}(): input tensor and bins tensors should have the same dtype, but got input with dtype "
                    f"{samples.dtype} and bins with dtype {e.dtype}"
                )
            if e.shape[0] < 1:
                raise RuntimeError(
                    f"{op}(): bins tensor should have at least 1 element, but got 0 elements in bins {d}"
                )
        return [e.detach() for e in bins]
    bins = [bins] * columns if isinstance(bins, int) else list(bins)
    if len(bins) != columns:
        raise RuntimeError(
            f"{op}(): The size of bins must be equal to the innermost dimension of the input: {columns}, got {len(bins)}"
        )
    if range is not None and len(range) != 2 * columns:
        raise RuntimeError(f"{op}(): range should have {2 * columns} elements, but got {len(range)}")
    found = []
    for d, n in enumerate(bins):
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"{op}(): argument 'bins' must be int, ints or Tensors, not {type(n).__name__}")
        if n <= 0:
            raise RuntimeError(f"{op}(): bins {d} must be > 0, got {n}")
        x = F.select(samples, 1, d)
        if range is not None:
            low, high = float(range[2 * d]), float(range[2 * d + 1])
            if not (math.isfinite(low) and math.isfinite(high)):
                raise RuntimeError(f"{op}(): dimension {d}'s range [{low}, {high}] is not finite")
            if low > high:
                raise RuntimeError(f"{op}(): min should not exceed max, but got min {low} max {high} for dimension {d}")
            if low == high:
                low, high = low - 0.5, high + 0.5
        elif x.numel():
            low, high = float(x.min().item()), float(x.max().item())
            if not (math.isfinite(low) and math.isfinite(high)):
                raise RuntimeError(f"{op}(): dimension {d}'s range [{low}, {high}] is not finite")
            if low == high:
                low, high = low - 0.5, high + 0.5
        else:
            low, high = 0.0, 1.0
        found.append(F.linspace(low, high, n + 1, dtype=samples.dtype))
    return found


def _weights(op, weight, shape, dtype):
    if weight is None:
        return None
    if tuple(weight.shape) != tuple(shape):
        raise RuntimeError(
            f"{op}(): if weight tensor is provided it should have the same shape as the input tensor excluding its "
            f"innermost dimension, but got weight of {list(weight.shape)} where {list(shape)} was expected"
        )
    if weight.dtype is not dtype:
        raise RuntimeError(f"{op}(): input and weight should have the same dtype, but got {dtype} and {weight.dtype}")
    return F.reshape(weight.detach(), (-1,))


@composite(
    method=True,
    out=True,
    samples=lambda t: [
        ((t(20), 4), {}),
        ((t(3, 4), 5), {"range": (-0.5, 0.5), "density": True}),
        ((t(9), t.sorted(5)), {"weight": t(9)}),
    ],
    opcheck=False,
    oracle="lambda x, b, range=None, weight=None, density=False: numpy.histogram(x, b, range, density, "
    "None if weight is None else weight)",
)
def histogram(input, bins=100, *, range=None, weight=None, density=False):
    """(hist, bin_edges) of all elements. bins: their number, or their edges in order. range: the outer edges, else the
    extremes of the data. weight: what each element counts. density: scaled so that the integral is 1.
    """
    _floats("histogram", input)
    samples = F.reshape(input.detach(), (-1, 1))
    weight = _weights("histogram", weight, input.shape, input.dtype)
    if not isinstance(bins, (int, F.Tensor)):
        raise TypeError(f"histogram(): argument 'bins' must be int or Tensor, not {type(bins).__name__}")
    (edges,) = _edges("histogram", samples, [bins], range)
    return F.result_pair("histogram", _binned(samples, [edges], isinstance(bins, int), weight, density), edges)


@composite(opcheck=False, samples=lambda t: [((t(20, 2), [3, 4]), {})], oracle="oracles.histogramdd")
def histogramdd(input, bins, range=None, weight=None, density=False):
    """(hist, bin_edges) of points in D dimensions, the last of input. bins: one number for all dimensions, one number a
    dimension, or one vector of edges a dimension. range: 2 D numbers.
    """
    _floats("histogramdd", input)
    if input.dim() < 2:
        raise RuntimeError(f"histogramdd(): input tensor should have at least 2 dimensions, but got {input.dim()}")
    columns = input.shape[-1]
    samples = F.reshape(input.detach(), (product(input.shape[:-1]), columns))
    weight = _weights("histogramdd", weight, input.shape[:-1], input.dtype)
    edges = _edges("histogramdd", samples, bins, range)
    even = isinstance(bins, int) or not any(isinstance(b, F.Tensor) for b in bins)
    return F.result_pair("histogramdd", _binned(samples, edges, even, weight, density), tuple(edges))


# -- covariances -------------------------------------------------------------------------------------------------------
def _check_weights(op, weights, name, count, floats):
    tensor_argument(op, name, weights)
    if weights.dim() > 1:
        raise RuntimeError(
            f"{op}(): expected {name} to have one or fewer dimensions but got {name} with {weights.dim()} dimensions"
        )
    if floats != weights.is_floating_point() or weights.dtype is F.bool:
        raise RuntimeError(
            f"{op}(): expected {name} to have {'floating point' if floats else 'integral'} dtype but got {weights.dtype}"
        )
    if weights.numel() != count:
        raise RuntimeError(
            f"{op}(): expected {name} to have the same numel: {count} observations but got {weights.numel()}"
        )
    if F.values_known() and not bool(F.ge(weights, 0).all()):
        raise RuntimeError(f"{op}(): {name} cannot be negative")


def _conjugate(x):
    return F.conj(x) if x.is_complex() else x


@composite(
    method=True,
    samples=lambda t: [
        ((t(3, 5),), {}),
        ((t(5),), {}),
        ((t(3, 5),), {"correction": 0}),
        ((t(2, 4),), {"fweights": t.ints(4, low=1, high=4)}),
        ((t(2, 4),), {"aweights": t(4, low=0.5, high=2)}),
    ],
    oracle="lambda x, correction=1, fweights=None, aweights=None: numpy.cov(x, ddof=correction, fweights=fweights, "
    "aweights=aweights)",
)
def cov(input, *, correction=1, fweights=None, aweights=None):
    """Covariance matrix of variables (rows) over observations (columns); of a vector its variance. fweights: how often
    each observation counts (integers), aweights: its relative weight.
    """
    tensor_argument("cov", "input", input)
    if input.dim() > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions"
        )
    if input.dtype is F.bool:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input if input.dim() == 2 else F.reshape(input, (1, -1))
    count = x.shape[1]
    weights = None
    if fweights is not None:
        _check_weights("cov", fweights, "fweights", count, False)
        weights = F.reshape(fweights, (-1,))
    if aweights is not None:
        _check_weights("cov", aweights, "aweights", count, True)
        aweights = F.reshape(aweights, (-1,))
        weights = aweights if weights is None else weights * aweights
    total = count if weights is None else F.sum(weights)
    if F.values_known() and weights is not None and not bool(total != 0):
        raise RuntimeError("cov(): weights sum to zero, can't be normalized")
    weighted = x if weights is None else x * weights
    center = F.sum(weighted, (1,)) / total
    if aweights is not None and correction != 0:
        freedom = total - correction * F.sum(weights * aweights) / total
    else:
        freedom = total - correction
    if isinstance(freedom, F.Tensor):
        freedom = F._where(F.le(freedom, 0), 0, freedom)
    elif freedom <= 0:
        import warnings

        warnings.warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
            stacklevel=2,
        )
        freedom = 0
    x = x - F.unsqueeze(center, 1)
    other = x if weights is None else x * weights
    return F.squeeze(F.matmul(x, F.transpose(_conjugate(other), 0, 1)) / freedom)


@composite(
    method=True,
    samples=lambda t: [((t(3, 5),), {}), ((t(5),), {})],
    oracle="lambda x: numpy.corrcoef(x)",
)
def corrcoef(input):
    """Pearson's correlation coefficients of variables (rows) over observations (columns), in [-1, 1]."""
    tensor_argument("corrcoef", "input", input)
    if input.dim() > 2:
        raise RuntimeError(
            f"corrcoef(): expected input to have two or fewer dimensions but got an input with {input.dim()} dimensions"
        )
    c = F.cov(input)
    if c.dim() == 0:
        return c / c
    deviation = F.sqrt(F.diagonal(c))
    c = c / F.unsqueeze(deviation, 1) / F.unsqueeze(deviation, 0)
    if c.is_complex():
        return F.complex(F.clamp(F.real(c), -1, 1), F.clamp(F.imag(c), -1, 1))
    return F.clamp(c, -1, 1)
