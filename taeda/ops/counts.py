"""Random counts (Poisson, binomial, geometric) and Cauchy numbers.

Counts are drawn for all elements at once: by inversion of the distribution function where the mean is small, else by
the transformed rejection of Hoermann (1993, PTRS and BTRS), in rounds over the elements not yet decided. The number of
rounds depends on the numbers drawn, so that a capture cannot hold these functions.
"""

from __future__ import annotations

from .helpers import tensor_argument
from .namespace import F
from .random import _in_place, _uniform
from .table import composite

#: Up to this mean a count is found by inversion.
_SMALL = 10.0


def _inverted(uniform, first, ratio):
    """The smallest k with P(count <= k) >= uniform, where P(0) is `first` and P(k) / P(k - 1) is ratio(k)."""
    term, total, count, k = first, first, F.zeros(uniform.shape, dtype=F.float64), 0
    while k < 1000 and bool((more := F.gt(uniform, total)).any()):  # a mean of 10: rounding ends the sum long before
        k += 1
        count = count + F.cast(more, F.float64)
        term = term * ratio(k)
        total = total + term
    return count


def _rejected(parameters, draw, generator):
    """Rounds of rejection: draw(parameters of the undecided, two uniforms) gives counts and which of them are kept."""
    (size,) = parameters[0].shape
    result, open_ = F.zeros((size,), dtype=F.float64), F.arange(size)
    while open_.shape[0]:
        shape = (open_.shape[0],)
        u, v = (_uniform(shape, F.float64, generator=generator) for _ in range(2))
        count, kept = draw([F.index_select(x, 0, open_) for x in parameters], u - 0.5, 1 - v)
        taken = F.reshape(F.nonzero(kept), (-1,))
        result = F.index_copy(result, 0, F.index_select(open_, 0, taken), F.index_select(count, 0, taken))
        open_ = F.index_select(open_, 0, F.reshape(F.nonzero(F.logical_not(kept)), (-1,)))
    return result


def _by_size(large, parameters, generator, inversion, rejection):
    """Both methods, each over its elements."""
    result = F.zeros(large.shape, dtype=F.float64)
    for mask, method in ((F.logical_not(large), inversion), (large, lambda p: _rejected(p, rejection, generator))):
        places = F.reshape(F.nonzero(mask), (-1,))
        if places.shape[0]:
            result = F.index_copy(result, 0, places, method([F.index_select(x, 0, places) for x in parameters]))
    return result


def _poisson_round(parameters, u, v):
    (rate,) = parameters
    b = F.sqrt(rate) * 2.53 + 0.931
    a = b * 0.02483 - 0.059
    us = 0.5 - F.abs(u)
    k = F.floor((2 * a / us + b) * u + rate + 0.43)
    quick = F.logical_and(F.ge(us, 0.07), F.le(v, 0.9277 - 3.6224 / (b - 2)))
    bound = F.log(v) + F.log(1.1239 + 1.1328 / (b - 3.4)) - F.log(a / (us * us) + b)
    fits = F.le(bound, k * F.log(rate) - rate - F.lgamma(F.clamp_min(k, 0) + 1))
    allowed = F.logical_and(F.ge(k, 0), F.logical_or(F.ge(us, 0.013), F.le(v, us)))
    return k, F.logical_or(quick, F.logical_and(allowed, fits))


@composite(opcheck=False)
def poisson(input, generator=None):
    """Counts with Poisson distributions of the given rates, in the input's dtype."""
    tensor_argument("poisson", "input", input)
    if not input.is_floating_point():
        raise NotImplementedError(f"poisson(): not implemented for {input.dtype}: rates must be floating point")
    with F.no_grad():
        rate = F.reshape(F.cast(input.detach(), F.float64), (-1,))
        if bool(F.lt(rate, 0).any()):
            raise RuntimeError("poisson(): rates must not be negative")

        def inversion(parameters):
            (r,) = parameters
            return _inverted(_uniform(r.shape, F.float64, generator=generator), F.exp(-r), lambda k: r / k)

        # A rate that is infinite or NaN stays what it is.
        known = F.isfinite(rate)
        safe = F._where(known, rate, 0)
        found = _by_size(F.ge(safe, _SMALL), [safe], generator, inversion, _poisson_round)
        return F.cast(F.reshape(F._where(known, found, rate), input.shape), input.dtype)


def _binomial_round(parameters, u, v):
    n, p = parameters
    spread = F.sqrt(n * p * (1 - p))
    b = spread * 2.53 + 1.15
    a = b * 0.0248 - 0.0873 + p * 0.01
    us = 0.5 - F.abs(u)
    k = F.floor((2 * a / us + b) * u + n * p + 0.5)
    quick = F.logical_and(F.ge(us, 0.07), F.le(v, 0.92 - 4.2 / b))
    inside = F.logical_and(F.ge(k, 0), F.le(k, n))
    at, mode = F.clamp(k, 0, n), F.floor((n + 1) * p)
    bound = F.log(v * ((2.83 + 5.1 / b) * spread) / (a / (us * us) + b))
    odds = F.log(p / (1 - p))
    fits = F.le(
        bound,
        F.lgamma(mode + 1) + F.lgamma(n - mode + 1) - F.lgamma(at + 1) - F.lgamma(n - at + 1) + (at - mode) * odds,
    )
    return k, F.logical_and(inside, F.logical_or(quick, fits))


@composite(opcheck=False)
def binomial(count, prob, generator=None):
    """How many of `count` trials succeed with probability prob each, in count's dtype; the two broadcast."""
    tensor_argument("binomial", "count", count)
    tensor_argument("binomial", "prob", prob)
    for name, x in (("count", count), ("prob", prob)):
        if not x.is_floating_point():
            raise ValueError(f"binomial(): {name} must be floating point, got {x.dtype}")
    with F.no_grad():
        n, p = F.broadcast_tensors(count.detach(), prob.detach())
        shape = n.shape
        n, p = (F.cast(F.reshape(x, (-1,)), F.float64) for x in (n, p))
        known = F.logical_and(F.isfinite(n), F.logical_not(F.isnan(p)))
        trials, p = F.clamp_min(F._where(known, n, 0), 0), F.clamp(F._where(known, p, 0), 0, 1)
        flipped = F.gt(p, 0.5)
        q = F._where(flipped, 1 - p, p)

        def inversion(parameters):
            n, p = parameters
            odds = p / (1 - p)
            uniform = _uniform(n.shape, F.float64, generator=generator)
            return _inverted(uniform, F.exp(n * F.log1p(-p)), lambda k: F.clamp_min(n - (k - 1), 0) / k * odds)

        found = _by_size(F.ge(trials * q, _SMALL), [trials, q], generator, inversion, _binomial_round)
        found = F._where(known, F._where(flipped, trials - found, found), float("nan"))
        return F.cast(F.reshape(found, shape), count.dtype)


# -- in place ----------------------------------------------------------------------------------------------------------
@_in_place("geometric_", "How many trials of success probability p it takes to succeed.")
def _geometric_(self, generator, p):
    if self.dtype is F.bool or self.is_complex():
        raise NotImplementedError(f"geometric_(): not implemented for {self.dtype}")
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_(): p must lie between 0 and 1, got {p}")
    u = 1 - _uniform(self.shape, F.float64, generator=generator)
    import math

    return F.cast(F.clamp_min(F.ceil(F.log(u) / math.log1p(-p)), 1), self.dtype)


@_in_place("cauchy_", "Cauchy with the given median and half width.")
def _cauchy_(self, generator, median=0.0, sigma=1.0):
    if not self.is_floating_point():
        raise RuntimeError(f"cauchy_(): needs a floating point dtype, got {self.dtype}")
    if sigma <= 0:
        raise RuntimeError(f"cauchy_(): sigma must be positive, got {sigma}")
    import math

    u = _uniform(self.shape, F.float64, generator=generator)
    return F.cast(F.tan((u - 0.5) * math.pi) * sigma + median, self.dtype)
