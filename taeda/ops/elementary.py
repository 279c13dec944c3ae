"""Elementary functions: one line each over the scalar primitives."""

from __future__ import annotations

import math

from .expr import Compound, select
from .scalar import (
    acos,
    acosh,
    as_expr,
    asin,
    asinh,
    atan,
    atanh,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    isnan,
    log,
    log1p,
    log2,
    log10,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from .table import field, floating, pointwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _function(name, fn, grad, oracle, doc, domain=None, aliases=(), accepts=field, **more):
    pointwise(
        name,
        fn,
        grad=grad,
        oracle=oracle,
        doc=doc,
        domain=domain,
        aliases=aliases,
        accepts=accepts,
        to_float=True,
        **more,
    )


def _acosh_slope(g: Any, x: Any):
    # on complex numbers by parts: the branch of the square root of a product is another
    compound = isinstance(x, Compound)
    return g * (rsqrt(x - 1) * rsqrt(x + 1)) if compound else g * rsqrt(x * x - 1)


_function("exp", exp, lambda g, x, y: g * y, "numpy.exp(x)", "e ** input.")
_function("exp2", exp2, lambda g, x, y: g * (y * math.log(2)), "numpy.exp2(x)", "2 ** input.")
_function("expm1", expm1, lambda g, x, y: g * (y + 1), "numpy.expm1(x)", "exp(input) - 1, exact near 0.")
_function("log", log, lambda g, x: g / x, "numpy.log(x)", "Natural logarithm.", (0.1, 4))
_function("log2", log2, lambda g, x: g / (x * math.log(2)), "numpy.log2(x)", "Logarithm to base 2.", (0.1, 4))
_function("log10", log10, lambda g, x: g / (x * math.log(10)), "numpy.log10(x)", "Logarithm to base 10.", (0.1, 4))
_function("log1p", log1p, lambda g, x: g / (x + 1), "numpy.log1p(x)", "log(1 + input), exact near 0.", (-0.5, 4))
_function("sqrt", sqrt, lambda g, x, y: g / (y * 2), "numpy.sqrt(x)", "Square root.", (0.1, 4))
_function("rsqrt", rsqrt, lambda g, x, y: g * (y * y * y * -0.5), "1 / numpy.sqrt(x)", "1 / sqrt(input).", (0.1, 4))
_function("sin", sin, lambda g, x: g * cos(x), "numpy.sin(x)", "Sine.")
_function("cos", cos, lambda g, x: -(g * sin(x)), "numpy.cos(x)", "Cosine.")
_function("tan", tan, lambda g, x, y: g * (y * y + 1), "numpy.tan(x)", "Tangent.", (-1.2, 1.2))
_function("asin", asin, lambda g, x: g * rsqrt(1 - x * x), "numpy.arcsin(x)", "Arc sine.", (-0.9, 0.9), ("arcsin",))
_function(
    "acos", acos, lambda g, x: -(g * rsqrt(1 - x * x)), "numpy.arccos(x)", "Arc cosine.", (-0.9, 0.9), ("arccos",)
)
_function("atan", atan, lambda g, x: g / (x * x + 1), "numpy.arctan(x)", "Arc tangent.", None, ("arctan",))
_function("sinh", sinh, lambda g, x: g * cosh(x), "numpy.sinh(x)", "Hyperbolic sine.")
_function("cosh", cosh, lambda g, x: g * sinh(x), "numpy.cosh(x)", "Hyperbolic cosine.")
_function("tanh", tanh, lambda g, x, y: g * (1 - y * y), "numpy.tanh(x)", "Hyperbolic tangent.")
_function(
    "asinh",
    asinh,
    lambda g, x: g * rsqrt(x * x + 1),
    "numpy.arcsinh(x)",
    "Inverse hyperbolic sine.",
    None,
    ("arcsinh",),
)
_function(
    "acosh",
    acosh,
    lambda g, x: _acosh_slope(g, x),
    "numpy.arccosh(x)",
    "Inverse hyperbolic cosine.",
    (1.2, 4),
    ("arccosh",),
)
_function(
    "atanh",
    atanh,
    lambda g, x: g / (1 - x * x),
    "numpy.arctanh(x)",
    "Inverse hyperbolic tangent.",
    (-0.9, 0.9),
    ("arctanh",),
)
_function(
    "erf",
    erf,
    lambda g, x: g * (exp(-(x * x)) * (2 / math.sqrt(math.pi))),
    "scipy.special.erf(x)",
    "Error function.",
    accepts=floating,
)
_function(
    "erfc",
    erfc,
    lambda g, x: g * (exp(-(x * x)) * (-2 / math.sqrt(math.pi))),
    "scipy.special.erfc(x)",
    "1 - erf(input).",
    accepts=floating,
)
_function(
    "sigmoid",
    sigmoid,
    lambda g, x, y: g * (y * (1 - y)),
    "scipy.special.expit(x)",
    "1 / (1 + exp(-input)).",
    None,
    ("special_expit",),
)
_function(
    "_logit",
    lambda x: log(x / (1 - x)),
    lambda g, x: g / (x * (1 - x)),
    "scipy.special.logit(x)",
    "log(input / (1 - input)).",
    (0.1, 0.9),
    accepts=floating,
    method=False,
)
_function(
    "sinc",
    lambda x: select(x.eq(0), 1, sin(x * math.pi) / (x * math.pi)),
    lambda g, x, y: g * select(x.eq(0), 0, (cos(x * math.pi) - y) / x),
    "numpy.sinc(x)",
    "sin(pi x) / (pi x).",
    (0.2, 3),
)
_function(
    "_entropy",
    lambda x: select(isnan(x), x, select(x > 0, -(x * log(x)), select(x.eq(0), as_expr(0, x.dtype), -math.inf))),
    lambda g, x: -(g * (log(x) + 1)),
    "scipy.special.entr(x)",
    "-input * log(input).",
    (0.1, 3),
    aliases=("special_entr",),
    accepts=floating,
    method=False,
)
