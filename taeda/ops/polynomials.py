"""Orthogonal polynomials of a degree that may differ from element to element."""

from __future__ import annotations

import math

from .expr import Expr, as_expr, cast, select
from .gamma import in_double
from .namespace import F
from .scalar import acos, acosh, cos, cosh, isnan, sin, sinh, trunc
from .table import composite, floating, pointwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _sign(n: Expr) -> Expr:
    """(-1)^n."""
    odd = (n - 2 * trunc(n * 0.5)).ne(0)
    return select(odd, as_expr(-1, n.dtype), 1)


def _outside(x: Expr) -> tuple[Expr, Expr]:
    """(|x| > 1, acosh |x|)."""
    return abs(x) > 1, acosh(select(abs(x) > 1, abs(x), as_expr(1, x.dtype)))


def _angle(x: Expr) -> Expr:
    return acos(select(abs(x) > 1, as_expr(0, x.dtype), x))


def _degree(n: Expr) -> Expr:
    return trunc(n)


def _kind(x: Expr, n: Expr, inside: Expr, outside: Expr, at_one: Expr, at_minus_one: Expr) -> Expr:
    found = select(abs(x) > 1, outside, inside)
    found = select(x.eq(1), at_one, select(x.eq(-1), at_minus_one, found))
    found = select(n < 0, as_expr(0, x.dtype), found)
    return select(isnan(x), x, found)


@in_double
def chebyshev_t(x: Expr, n: Expr) -> Expr:
    n, theta = _degree(n), _angle(x)
    grown = cosh(n * _outside(x)[1])
    one = as_expr(1, x.dtype)
    return _kind(x, n, cos(n * theta), select(x < 0, _sign(n) * grown, grown), one, _sign(n))


@in_double
def chebyshev_u(x: Expr, n: Expr) -> Expr:
    n, theta = _degree(n), _angle(x)
    u = _outside(x)[1]
    grown = sinh((n + 1) * u) / sinh(u)
    return _kind(
        x, n, sin((n + 1) * theta) / sin(theta), select(x < 0, _sign(n) * grown, grown), n + 1, _sign(n) * (n + 1)
    )


@in_double
def chebyshev_v(x: Expr, n: Expr) -> Expr:
    n, theta = _degree(n), _angle(x)
    u = _outside(x)[1]
    above = cosh((n + 0.5) * u) / cosh(u * 0.5)
    below = _sign(n) * sinh((n + 0.5) * u) / sinh(u * 0.5)
    inside = cos((n + 0.5) * theta) / cos(theta * 0.5)
    return _kind(x, n, inside, select(x < 0, below, above), as_expr(1, x.dtype), _sign(n) * (n * 2 + 1))


@in_double
def chebyshev_w(x: Expr, n: Expr) -> Expr:
    n, theta = _degree(n), _angle(x)
    u = _outside(x)[1]
    above = sinh((n + 0.5) * u) / sinh(u * 0.5)
    below = _sign(n) * cosh((n + 0.5) * u) / cosh(u * 0.5)
    inside = sin((n + 0.5) * theta) / sin(theta * 0.5)
    return _kind(x, n, inside, select(x < 0, below, above), n * 2 + 1, _sign(n))


def _doc(text: str) -> str:
    return f"{text} of degree n at input. No gradient, as in PyTorch."


for _letter, _fn in zip("tuvw", (chebyshev_t, chebyshev_u, chebyshev_v, chebyshev_w)):
    pointwise(
        f"special_chebyshev_polynomial_{_letter}",
        _fn,
        types="TT->T",
        params="Tensor|Number input, Tensor|Number n",
        to_float=True,
        accepts=floating,
        grad=False,
        method=False,
        function=False,
        doc=_doc(f"The Chebyshev polynomial {_letter.upper()}"),
    )
    pointwise(
        f"special_shifted_chebyshev_polynomial_{_letter}",
        lambda x, n, _fn=_fn: cast(_fn(cast(x, "f64") * 2 - 1, cast(n, "f64")), x.dtype),
        types="TT->T",
        params="Tensor|Number input, Tensor|Number n",
        to_float=True,
        accepts=floating,
        grad=False,
        method=False,
        function=False,
        doc=_doc(f"The shifted Chebyshev polynomial {_letter.upper()}*"),
    )


# -- by recurrence -----------------------------------------------------------------------------------------------------
_MOST = 4096


def _recurrence(name, doc, first, step):
    """An operator whose value at degree k + 1 is `step(x, k, at k, at k - 1)`."""

    def polynomial(input: Any, n: Any):
        if not isinstance(input, F.Tensor) and not isinstance(n, F.Tensor):
            raise TypeError(f"{name}(): at least one of input and n must be Tensor, got {type(input).__name__}")
        dtype = F.result_type(input, n)
        if dtype.is_complex:
            raise NotImplementedError(f'"{name}" not implemented for {dtype}')
        dtype = dtype if dtype.is_floating_point else F.get_default_dtype()
        x = F.cast(input, F.float64) if isinstance(input, F.Tensor) else F.full((), float(input), dtype=F.float64)
        if isinstance(n, F.Tensor):
            degree = F.trunc(F.cast(n, F.float64)).detach()
            most = int(degree.max().item()) if degree.numel() else 0
        else:
            degree, most = math.trunc(n), math.trunc(n)
        if most > _MOST:
            raise RuntimeError(f"{name}(): degrees of up to {_MOST} are supported, got {most}")
        x = x.detach()
        before, now = F.ones_like(x), first(x)
        values = [before, now]
        for k in range(1, most):
            values = [values[1], step(x, k, values[1], values[0])]
            if isinstance(degree, F.Tensor):
                now = F.where(F.eq(degree, k + 1), values[1], now)
        if not isinstance(degree, F.Tensor):
            found = F.zeros_like(x) if degree < 0 else before if degree == 0 else values[1]
        else:
            found = F.where(F.eq(degree, 0), before, now)
            found = F.where(F.lt(degree, 0), F.zeros_like(found), found)
        return F.cast(found, dtype)

    polynomial.__name__ = polynomial.__qualname__ = name
    polynomial.__doc__ = _doc(doc)
    composite(f"special_{name}", function=False, out=True, opcheck=False)(polynomial)


_recurrence(
    "hermite_polynomial_h",
    "The physicists' Hermite polynomial H",
    lambda x: x * 2,
    lambda x, k, p, q: 2 * (x * p - k * q),
)
_recurrence(
    "hermite_polynomial_he", "The probabilists' Hermite polynomial He", lambda x: x, lambda x, k, p, q: x * p - k * q
)
_recurrence(
    "laguerre_polynomial_l",
    "The Laguerre polynomial L",
    lambda x: 1 - x,
    lambda x, k, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1),
)
_recurrence(
    "legendre_polynomial_p",
    "The Legendre polynomial P",
    lambda x: x,
    lambda x, k, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1),
)
