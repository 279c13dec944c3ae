"""Orthogonal polynomials of a degree given element by element.

Recurrences, computed in float64 as loops of each element's own length. Chebyshev polynomials of degrees above 64 come from
their closed forms: with x = cos(t), T_n = cos(n t), U_n = sin((n+1) t)/sin(t), V_n = cos((n+1/2) t)/cos(t/2) and
W_n = sin((n+1/2) t)/sin(t/2); hyperbolic functions for |x| > 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .expr import Expr, as_expr, cast, const, loop, select, sqrt
from .scalar import acos, cos, cosh, log1p, sin, sinh
from .table import floating, pointwise

_CLOSED = 64
#: Higher degrees give NaN: of Laguerre's and Legendre's polynomials, of Hermite's (by dtype, as in PyTorch).
_HIGHEST, _HIGHEST_HERMITE = 1 << 24, {"f32": 128, "f64": 512}


def _recurrence(n: Expr, first: Expr, x: Expr, step: Callable, limit: int) -> Expr:
    """p_n from p_0 = 1, p_1 = `first` and p_{k+1} = step(x, k, p_k, p_{k-1}); k is a float64."""

    def repeat(p, q, k, n, x):
        return (k < n) & q.eq(q), (q, step(x, cast(k, "f64"), q, p), k + 1)

    _, last, _ = loop((as_expr(1, "f64"), first, const(1, "i64")), repeat, n, x, limit=limit)
    return select(n < 0, as_expr(0, "f64"), select(n.eq(0), as_expr(1, "f64"), last))


def _polynomial(name: str, formula: Callable, doc: str, oracle: str, domain) -> None:
    def fn(x: Expr, degree: Expr) -> Expr:
        whole = cast(select(degree.eq(degree), degree, as_expr(-1, degree.dtype)), "i64")
        return cast(formula(cast(x, "f64"), whole, x.dtype), x.dtype)

    pointwise(
        f"special_{name}",
        fn,
        types="TT->T",
        params="Tensor|Number input, Tensor|Number n",
        grad=False,
        to_float=True,
        accepts=floating,
        method=False,
        function=False,
        oracle=oracle,
        domain=(domain, (0.1, 11)),
        doc=f"{doc} of degree n (whole; 0 where it is negative or NaN) at input, broadcast together.",
    )


# -- Chebyshev ---------------------------------------------------------------------------------------------------------
def _closed(kind: str, a: Expr, n: Expr) -> Expr:
    """The polynomial of degree n at a >= 0, from its closed form."""
    n = cast(n, "f64")
    order = {"t": n, "u": n + 1}.get(kind, n + 0.5)
    inner = acos(a)
    outer = log1p(a - 1 + sqrt((a - 1) * (a + 1)))  # acosh
    part = 1.0 if kind in "tu" else 0.5
    if kind in "tv":
        divide = (lambda y, t, f: y) if kind == "t" else (lambda y, t, f: y / f(t * part))
        y = select(a < 1, divide(cos(order * inner), inner, cos), divide(cosh(order * outer), outer, cosh))
        return select(a.eq(1), as_expr(1, "f64"), y)
    y = select(a < 1, sin(order * inner) / sin(inner * part), sinh(order * outer) / sinh(outer * part))
    return select(a.eq(1), order / part, y)


def _chebyshev(kind: str) -> Callable:
    mirrored = {"t": "t", "u": "u", "v": "w", "w": "v"}[kind]  # of p(-x) = (-1)^n mirrored(x)

    def formula(x: Expr, n: Expr, dtype: str) -> Expr:
        start = {"t": x, "u": x * 2, "v": x * 2 - 1, "w": x * 2 + 1}[kind]
        low = _recurrence(n, start, x, lambda x, k, q, p: (x + x) * q - p, _CLOSED)
        a = abs(x)
        high = _closed(kind, a, n)
        other = high if mirrored == kind else _closed(mirrored, a, n)
        other = select((n & 1).eq(1), -other, other)
        return select(n > _CLOSED, select(x < 0, other, high), low)

    return formula


def _shifted(kind: str) -> Callable:
    formula = _chebyshev(kind)
    return lambda x, n, dtype: formula(x * 2 - 1, n, dtype)


for _kind, _order in (("t", "first"), ("u", "second"), ("v", "third"), ("w", "fourth")):
    _polynomial(
        f"chebyshev_polynomial_{_kind}",
        _chebyshev(_kind),
        f"The Chebyshev polynomial of the {_order} kind",
        f"oracles.chebyshev('{_kind}', a, b)",
        (-1.2, 1.2),
    )
    _polynomial(
        f"shifted_chebyshev_polynomial_{_kind}",
        _shifted(_kind),
        f"The Chebyshev polynomial of the {_order} kind, at 2 input - 1,",
        f"oracles.chebyshev('{_kind}', 2 * a - 1, b)",
        (-0.2, 1.2),
    )


# -- Hermite, Laguerre, Legendre -----------------------------------------------------------------------------------------
def _limited(n: Expr, y: Expr, highest: int) -> Expr:
    return select(n > highest, as_expr(math.nan, "f64"), y)


def _hermite(scale: int) -> Callable:
    """scale 2: the physicists' polynomials, 1: the probabilists'."""

    def formula(x: Expr, n: Expr, dtype: str) -> Expr:
        x = x * scale
        highest = _HIGHEST_HERMITE[dtype]
        return _limited(n, _recurrence(n, x, x, lambda x, k, q, p: x * q - k * scale * p, highest), highest)

    return formula


def _laguerre(x: Expr, n: Expr, dtype: str) -> Expr:
    y = _recurrence(n, 1 - x, x, lambda x, k, q, p: ((k + k + 1 - x) * q - k * p) / (k + 1), _HIGHEST)
    return _limited(n, y, _HIGHEST)


def _legendre(x: Expr, n: Expr, dtype: str) -> Expr:
    y = _recurrence(n, x, x, lambda x, k, q, p: ((k + k + 1) * x * q - k * p) / (k + 1), _HIGHEST)
    return _limited(n, y, _HIGHEST)


_polynomial(
    "hermite_polynomial_h",
    _hermite(2),
    "The physicists' Hermite polynomial",
    "scipy.special.eval_hermite(numpy.trunc(b).astype(int), a)",
    (-2, 2),
)
_polynomial(
    "hermite_polynomial_he",
    _hermite(1),
    "The probabilists' Hermite polynomial",
    "scipy.special.eval_hermitenorm(numpy.trunc(b).astype(int), a)",
    (-2, 2),
)
_polynomial(
    "laguerre_polynomial_l",
    _laguerre,
    "The Laguerre polynomial",
    "scipy.special.eval_laguerre(numpy.trunc(b).astype(int), a)",
    (-2, 2),
)
_polynomial(
    "legendre_polynomial_p",
    _legendre,
    "The Legendre polynomial",
    "scipy.special.eval_legendre(numpy.trunc(b).astype(int), a)",
    (-1.2, 1.2),
)
