"""Relatives of the error function and of the normal distribution.

erfinv and ndtri follow M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (1988), whose
relative error is about 1e-16; erfcx is the series of M. M. Shepherd and J. G. Laframboise (1981). All in float64.
"""

from __future__ import annotations

import math

from . import special_tables as tables
from .expr import Expr, as_expr, fma, select
from .gamma import chebyshev, in_double
from .scalar import copysign, erfc, exp, isinf, isnan, log, log1p, sqrt
from .table import floating, pointwise

_CENTER = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
     3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1, 1.48103976427480074590e-1,
     1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
     1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def _quotient(r: Expr, table) -> Expr:
    def polynomial(coefficients):
        total = as_expr(coefficients[-1], r.dtype)
        for c in reversed(coefficients[:-1]):
            total = fma(total, r, c)
        return total

    return polynomial(table[0]) / polynomial(table[1])


def _normal_quantile(q: Expr, tail: Expr) -> Expr:
    """The quantile at 0.5 + q; `tail` is the smaller of the probabilities on both sides."""
    center = q * _quotient(0.180625 - q * q, _CENTER)
    r = sqrt(-log(tail))
    outside = copysign(select(r <= 5, _quotient(r - 1.6, _TAIL), _quotient(r - 5, _FAR)), q)
    found = select(abs(q) <= 0.425, center, outside)
    return select(tail.eq(0), copysign(as_expr(math.inf, q.dtype), q), found)


@in_double
def erfinv(x: Expr) -> Expr:
    """The inverse of erf."""
    found = _normal_quantile(x * 0.5, (1 - abs(x)) * 0.5) * math.sqrt(0.5)
    return select((abs(x) > 1) | isnan(x), math.nan, found)


@in_double
def ndtri(p: Expr) -> Expr:
    """The inverse of ndtr."""
    found = _normal_quantile(p - 0.5, select(p < 0.5, p, 1 - p))
    return select((p < 0) | (p > 1) | isnan(p), math.nan, found)


@in_double
def erfcx(x: Expr) -> Expr:
    """exp(x^2) erfc(x), without overflow on the way."""
    y = abs(x)
    positive = chebyshev((y - 3.75) / (y + 3.75), tables.ERFCX) / (1 + y * 2)
    positive = select(isinf(y), as_expr(0, x.dtype), positive)
    return select(x < 0, 2 * exp(x * x) - positive, positive)


@in_double
def ndtr(x: Expr) -> Expr:
    """The normal distribution function."""
    return erfc(x * -math.sqrt(0.5)) * 0.5


@in_double
def log_ndtr(x: Expr) -> Expr:
    """log(ndtr(x)), without underflow on the way."""
    t = x * math.sqrt(0.5)
    low = log(erfcx(-t) * 0.5) - t * t
    low = select(isinf(x), as_expr(-math.inf, x.dtype), low)
    return select(x < -1, low, log1p(erfc(t) * -0.5))


_DENSITY = 1 / math.sqrt(2 * math.pi)


def _special(name, fn, grad, oracle, domain, doc, **more):
    given = {"method": False, "function": False, **more}
    pointwise(name, fn, grad=grad, oracle=oracle, domain=domain, doc=doc, to_float=True, accepts=floating, **given)


_special(
    "erfinv", erfinv, lambda g, x, y: g * (exp(y * y) * (math.sqrt(math.pi) / 2)), "scipy.special.erfinv(x)",
    (-0.95, 0.95), "The inverse of erf.", method=True, function=True,
)  # fmt: skip
_special(
    "special_ndtri", ndtri, lambda g, x, y: g * (exp(y * y * 0.5) * math.sqrt(2 * math.pi)), "scipy.special.ndtri(x)",
    (0.02, 0.98), "The inverse of ndtr: quantiles of the normal distribution.",
)  # fmt: skip
_special(
    "special_erfcx", erfcx, lambda g, x, y: g * (x * y * 2 - 2 / math.sqrt(math.pi)), "scipy.special.erfcx(x)", (-2, 6),
    "exp(input^2) * erfc(input).",
)  # fmt: skip
_special(
    "special_ndtr", ndtr, lambda g, x: g * (exp(x * x * -0.5) * _DENSITY), "scipy.special.ndtr(x)", (-4, 4),
    "The area under the normal density below input.",
)  # fmt: skip
_special(
    "special_log_ndtr", log_ndtr, lambda g, x: g * (math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5))),
    "scipy.special.log_ndtr(x)", (-8, 4), "log(ndtr(input)).",
)  # fmt: skip
pointwise(
    "special_xlog1py",
    lambda a, b: select(isnan(b), b, select(a.eq(0), 0, a * log1p(b))),
    to_float=True,
    accepts=floating,
    method=False,
    function=False,
    params="Tensor|Number input, Tensor|Number other",
    grad=(lambda g, a, b: select(a.eq(0) & (b <= -1), 0, g * log1p(b)), lambda g, a, b: g * (a / (b + 1))),
    domain=((0.1, 3), (0.1, 3)),
    oracle="scipy.special.xlog1py(a, b)",
    doc="input * log1p(other), 0 where input is 0.",
)
