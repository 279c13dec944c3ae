"""Scalar primitives of the special functions: their names, derivatives and error bounds.

They are defined in `gamma_approximations`, `error_approximations` and `bessel_approximations`, which are imported when a
kernel of theirs is compiled. The bounds hold where a result is not near a zero of the function (the negative half-line of
lgamma and digamma, the waves of the Bessel functions): there the error is as many units of what is added up. igamma's and
igammac's hold for results down to 1e-30, since the error of an exponential grows with its argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .expr import Expr, as_expr, select
from .scalar import _function, exp, log1p, sign

_SQRT_PI, _SQRT_2PI = math.sqrt(math.pi), math.sqrt(2 * math.pi)

lgamma: Callable = _function("lgamma", lambda x, y: digamma(x), (1, 4))
digamma: Callable = _function("digamma", lambda x, y: trigamma(x), (1, 4))
trigamma: Callable = _function("trigamma", lambda x, y: -2 * zeta(as_expr(3, x.dtype), x), (1, 6))
zeta: Callable = _function("zeta", lambda s, q, y: (None, -s * zeta(s + 1, q)), (1, 8), arity=2)


# the derivative of digamma of a whole order of 2 or more, the first argument
polygamma: Callable = _function("polygamma", lambda n, x, y: (None, polygamma(n + 1, x)), (1, 10), arity=2)
# lower and upper part of the regularised incomplete gamma function, by their second argument
igamma: Callable = _function("igamma", lambda a, x, y: (None, gamma_density(a, x)), (1, 16), arity=2)
igammac: Callable = _function("igammac", lambda a, x, y: (None, -gamma_density(a, x)), (1, 50), arity=2)


def _density_partials(a, x, y):
    return None, y * ((a - 1) / x - 1)


gamma_density: Callable = _function("gamma_density", _density_partials, (1, 30), arity=2)  # x^(a-1) e^-x / Gamma(a)

erfinv: Callable = _function("erfinv", lambda x, y: exp(y * y) * (_SQRT_PI / 2), (1, 5))
erfcx: Callable = _function("erfcx", lambda x, y: 2 * x * y - 2 / _SQRT_PI, (1, 5))
ndtr: Callable = _function("ndtr", lambda x, y: exp(x * x * -0.5) / _SQRT_2PI, (1, 6))
ndtri: Callable = _function("ndtri", lambda x, y: exp(y * y * 0.5) * _SQRT_2PI, (1, 5))
log_ndtr: Callable = _function("log_ndtr", lambda x, y: math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5)), (1, 5))

i0: Callable = _function("i0", lambda x, y: i1(x), (1, 5))
i0e: Callable = _function("i0e", lambda x, y: i1e(x) - sign(x) * y, (1, 5))
i1: Callable = _function("i1", lambda x, y: select(x.eq(0), as_expr(0.5, x.dtype), i0(x) - y / x), (1, 5))
i1e: Callable = _function(
    "i1e", lambda x, y: select(x.eq(0), as_expr(0.5, x.dtype), i0e(x) - y * (sign(x) + 1 / x)), (1, 5)
)
k0: Callable = _function("k0", None, (1, 5))
k0e: Callable = _function("k0e", None, (1, 5))
k1: Callable = _function("k1", None, (1, 5))
k1e: Callable = _function("k1e", None, (1, 5))
j0: Callable = _function("j0", None, (1, 4))
j1: Callable = _function("j1", None, (1, 4))
y0: Callable = _function("y0", None, (1, 4))
y1: Callable = _function("y1", None, (1, 4))
airy_ai: Callable = _function("airy_ai", None, (1, 6))


def xlog1py(a: Expr, b: Expr) -> Expr:
    """a log(1 + b), 0 where a is 0."""
    return select(b.ne(b), b, select(a.eq(0), as_expr(0, a.dtype), a * log1p(b)))
