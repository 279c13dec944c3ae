"""Definitions of the error function's relatives over base nodes, in float64; float32 rounds their results once."""

from __future__ import annotations

import math

from . import special_tables as table
from .approximations import _two_product, _via_f64, polynomial
from .expr import Expr, as_expr, copysign, fma, minimum, select, sqrt
from .gamma_approximations import INF, NAN, fitted
from .scalar import definition, erf, exp, log, log1p
from .special_functions import erfcx

_SQRT_HALF = math.sqrt(0.5)


@definition("erfinv")
def _erfinv(x: Expr) -> Expr:
    """x times a polynomial in w = -log(1 - x^2), or in sqrt(w) (Giles, "Approximating the erfinv function", 2010)."""
    if x.dtype == "f32":
        return _via_f64("erfinv", x)
    a = abs(x)
    w = -log((1 - a) * (1 + a))
    s = sqrt(w)
    y = x * select(
        w < 6.25, fitted(w, table.ERFINV_A), select(s < 4, fitted(s, table.ERFINV_B), fitted(s, table.ERFINV_C))
    )
    y = select(a.eq(1), copysign(as_expr(INF, "f64"), x), y)
    return select(a <= 1, y, as_expr(NAN, "f64"))


@definition("ndtri")
def _ndtri(p: Expr) -> Expr:
    """The central part from p - 1/2, the tails from sqrt(-2 log(p))."""
    if p.dtype == "f32":
        return _via_f64("ndtri", p)
    r = p - 0.5
    tail = minimum(p, 1 - p)
    s = sqrt(-2 * log(tail))
    far = select(s < 5, fitted(s, table.NDTRI_B), select(s < 13, fitted(s, table.NDTRI_C), fitted(s, table.NDTRI_D)))
    y = select(abs(r) <= 0.375, r * fitted(r * r, table.NDTRI_A), copysign(far, r))
    y = select(p.eq(0), as_expr(-INF, "f64"), select(p.eq(1), as_expr(INF, "f64"), y))
    return select((p >= 0) & (p <= 1), y, as_expr(NAN, "f64"))


def _erfcx_positive(a: Expr) -> Expr:
    """erfcx for a >= 0."""
    t = minimum(a, as_expr(1e300, "f64"))
    (centre, scale), coefficients = table.ERFCX_FAR
    far = polynomial(((t - 4) / (t + 4) - centre) * scale, coefficients) / (a + 4)
    return select(a < 1, fitted(a, table.ERFCX_NEAR), far)


@definition("erfcx")
def _erfcx(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("erfcx", x)
    y = _erfcx_positive(abs(x))
    square, low = _two_product(x, x)
    e = exp(square)
    return select(x < 0, select(e < INF, 2 * fma(e, low, e) - y, e), y)


def _normal_tail(a: Expr) -> Expr:
    """The normal distribution's weight beyond a >= 0."""
    square, low = _two_product(a, a)
    e = exp(square * -0.5)
    return fma(e, low * -0.5, e) * (0.5 * _erfcx_positive(a * _SQRT_HALF))


@definition("ndtr")
def _ndtr(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("ndtr", x)
    a = abs(x)
    tail = select(a < 40, _normal_tail(minimum(a, as_expr(40.0, "f64"))), as_expr(0, "f64"))
    y = select(a < 1, 0.5 + 0.5 * erf(x * _SQRT_HALF), select(x < 0, tail, 1 - tail))
    return select(x.eq(x), y, x)


@definition("log_ndtr")
def _log_ndtr(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("log_ndtr", x)
    t = x * _SQRT_HALF
    below, above = log(0.5 * erfcx(-t)) - x * x * 0.5, log1p(-_normal_tail(minimum(abs(x), as_expr(40.0, "f64"))))
    return select(x < -1, below, select(x < 0, log(0.5 + 0.5 * erf(t)), above))
