"""The error function's relatives and the normal distribution's functions."""

from __future__ import annotations

import math

from .expr import as_expr, select
from .scalar import exp, log1p
from .special_functions import erfcx, erfinv, log_ndtr, ndtr, ndtri, xlog1py
from .table import floating, pointwise

_SQRT_PI, _SQRT_2PI = math.sqrt(math.pi), math.sqrt(2 * math.pi)

pointwise(
    "erfinv",
    erfinv,
    grad=lambda g, x, y: g * (exp(y * y) * (_SQRT_PI / 2)),
    to_float=True,
    accepts=floating,
    domain=(-0.9, 0.9),
    oracle="scipy.special.erfinv(x)",
    doc="The inverse of erf on [-1, 1]; NaN outside.",
)


def _special(name, fn, grad, oracle, doc, domain=None, accepts=floating, types=None):
    pointwise(
        f"special_{name}",
        fn,
        types=types or "T->T",
        grad=grad,
        to_float=True,
        accepts=accepts,
        method=False,
        function=False,
        domain=domain,
        oracle=oracle,
        doc=doc,
    )


_special(
    "erfcx",
    erfcx,
    lambda g, x, y: g * (2 * x * y - 2 / _SQRT_PI),
    "scipy.special.erfcx(x)",
    "exp(input ** 2) * erfc(input), without overflow for large inputs.",
)
_special(
    "ndtr",
    ndtr,
    lambda g, x: g * (exp(x * x * -0.5) / _SQRT_2PI),
    "scipy.special.ndtr(x)",
    "The normal distribution's weight below input.",
    accepts=floating,
)
_special(
    "ndtri",
    ndtri,
    lambda g, x, y: g * (exp(y * y * 0.5) * _SQRT_2PI),
    "scipy.special.ndtri(x)",
    "The inverse of ndtr on [0, 1]; NaN outside.",
    (0.05, 0.95),
)
_special(
    "log_ndtr",
    log_ndtr,
    lambda g, x: g * math.sqrt(2 / math.pi) / erfcx(x * -math.sqrt(0.5)),
    "scipy.special.log_ndtr(x)",
    "log(ndtr(input)), exact in the lower tail.",
)
_special(
    "xlog1py",
    xlog1py,
    (
        lambda g, a, b: select(a.eq(0) & (b <= -1), as_expr(0, a.dtype), g * log1p(b)),
        lambda g, a, b: g * (a / (b + 1)),
    ),
    "scipy.special.xlog1py(a, b)",
    "input * log1p(other), 0 where input is 0.",
    ((0.1, 3), (-0.5, 3)),
    floating,
    "TT->T",
)
