"""Bessel, modified Bessel and Airy functions of orders 0 and 1: Chebyshev series near 0 and of the asymptotic forms
(tools/fit_special.py says of what), in float64. Errors are some ulp of the function's scale: near zeros they are
absolute."""

from __future__ import annotations

import math

from . import special_tables as tables
from .expr import Expr, as_expr, maximum, minimum, select
from .gamma import chebyshev, in_double
from .scalar import cos, exp, isinf, isnan, log, sign, sin, sqrt
from .table import floating, pointwise


def _far(x: Expr, table) -> Expr:
    """A series in 8 / x, for x >= 8."""
    return chebyshev(16 / maximum(x, as_expr(8, x.dtype)) - 1, table)


def _i_scaled(x: Expr, order: int) -> Expr:
    """exp(-|x|) I(x)."""
    y = abs(x)
    near = chebyshev(minimum(y, as_expr(8, y.dtype)) * 0.25 - 1, tables.I1E_NEAR if order else tables.I0E_NEAR)
    far = _far(y, tables.I1E_FAR if order else tables.I0E_FAR) / sqrt(y)
    if order:
        return select(y < 8, near * x, select(x < 0, -far, far))
    return select(y < 8, near, far)


@in_double
def i0e(x: Expr) -> Expr:
    return _i_scaled(x, 0)


@in_double
def i1e(x: Expr) -> Expr:
    return _i_scaled(x, 1)


def _unscaled(value: Expr, x: Expr) -> Expr:
    half = exp(abs(x) * 0.5)  # in two steps: exp(x) alone would overflow first
    return value * half * half


@in_double
def i0(x: Expr) -> Expr:
    return select(isinf(x), abs(x), _unscaled(_i_scaled(x, 0), x))


@in_double
def i1(x: Expr) -> Expr:
    return select(isinf(x), x, _unscaled(_i_scaled(x, 1), x))


def _k(x: Expr, order: int, scaled: bool) -> Expr:
    y = maximum(x, as_expr(0, x.dtype))
    small = minimum(y, as_expr(2, y.dtype))
    t = small * small * 0.5 - 1
    unscaled = _unscaled(_i_scaled(small, order), small)
    if order:
        near = log(small * 0.5) * unscaled + chebyshev(t, tables.K1_NEAR) / small
    else:
        near = chebyshev(t, tables.K0_NEAR) - log(small * 0.5) * unscaled
    far = chebyshev(4 / maximum(y, as_expr(2, y.dtype)) - 1, tables.K1E_FAR if order else tables.K0E_FAR) / sqrt(y)
    near, far = (near * exp(small), far) if scaled else (near, far * exp(-y))
    found = select(x <= 2, near, select(isinf(x), as_expr(0, x.dtype), far))
    found = select(x.eq(0), as_expr(math.inf, x.dtype), found)
    return select((x < 0) | isnan(x), math.nan, found)


@in_double
def k0(x: Expr) -> Expr:
    return _k(x, 0, False)


@in_double
def k1(x: Expr) -> Expr:
    return _k(x, 1, False)


@in_double
def k0e(x: Expr) -> Expr:
    return _k(x, 0, True)


@in_double
def k1e(x: Expr) -> Expr:
    return _k(x, 1, True)


# -- oscillating ones --------------------------------------------------------------------------------------------------
def _hankel(y: Expr, order: int) -> tuple[Expr, Expr]:
    """(J, Y) for y >= 8 from modulus and phase."""
    z = 8 / maximum(y, as_expr(8, y.dtype))
    t = z * z * 2 - 1
    p = chebyshev(t, tables.P1 if order else tables.P0)
    q = chebyshev(t, tables.Q1 if order else tables.Q0) / y
    c, s = cos(y), sin(y)
    # cos and sin of y - (2 order + 1) pi / 4
    if order:
        cosine, sine = (s - c) * math.sqrt(0.5), -(s + c) * math.sqrt(0.5)
    else:
        cosine, sine = (c + s) * math.sqrt(0.5), (s - c) * math.sqrt(0.5)
    size = sqrt(2 / math.pi / y)
    return size * (p * cosine - q * sine), size * (p * sine + q * cosine)


def _near(y: Expr, table) -> Expr:
    """A series in y^2, for y <= 8."""
    y = minimum(y, as_expr(8, y.dtype))
    return chebyshev(y * y * (1 / 32) - 1, table)


def _j(x: Expr, order: int) -> Expr:
    y = abs(x)
    if order:
        far = _hankel(y, 1)[0]
        found = select(y < 8, _near(y, tables.J1_NEAR) * x, select(x < 0, -far, far))
    else:
        found = select(y < 8, _near(y, tables.J0_NEAR), _hankel(y, 0)[0])
    return select(isinf(x), as_expr(0, x.dtype), found)


@in_double
def j0(x: Expr) -> Expr:
    return _j(x, 0)


@in_double
def j1(x: Expr) -> Expr:
    return _j(x, 1)


def _y(x: Expr, order: int) -> Expr:
    small = minimum(maximum(x, as_expr(0, x.dtype)), as_expr(8, x.dtype))
    if order:
        near = 2 / math.pi * (log(small) * _j(small, 1) - 1 / small) + _near(small, tables.Y1_NEAR) * small
    else:
        near = 2 / math.pi * log(small) * _j(small, 0) + _near(small, tables.Y0_NEAR)
    found = select(x < 8, near, select(isinf(x), as_expr(0, x.dtype), _hankel(x, order)[1]))
    found = select(x.eq(0), as_expr(-math.inf, x.dtype), found)
    return select((x < 0) | isnan(x), math.nan, found)


@in_double
def y0(x: Expr) -> Expr:
    return _y(x, 0)


@in_double
def y1(x: Expr) -> Expr:
    return _y(x, 1)


@in_double
def airy_ai(x: Expr) -> Expr:
    """Airy's function Ai."""
    middle = minimum(maximum(x, as_expr(-4, x.dtype)), as_expr(2, x.dtype))
    near = chebyshev((middle + 1) / 3, tables.AIRY_NEAR)
    y = abs(x)
    root = sqrt(y)
    quarter, zeta = sqrt(root), y * root * (2 / 3)
    far_zeta = maximum(zeta, as_expr(2 * 2**1.5 / 3, x.dtype))
    far = (
        exp(-zeta)
        * chebyshev(2 * (2 * 2**1.5 / 3) / far_zeta - 1, tables.AIRY_FAR)
        / (2 * math.sqrt(math.pi) * quarter)
    )
    ratio = (16 / 3) / maximum(zeta, as_expr(16 / 3, x.dtype))
    t = ratio * ratio * 2 - 1
    p, q = chebyshev(t, tables.AIRY_P), chebyshev(t, tables.AIRY_Q) / maximum(zeta, as_expr(16 / 3, x.dtype))
    c, s = cos(zeta), sin(zeta)
    sine, cosine = (s + c) * math.sqrt(0.5), (c - s) * math.sqrt(0.5)
    wave = (p * sine + q * cosine) / (math.sqrt(math.pi) * quarter)
    found = select(x > 2, far, select(x < -4, wave, near))
    found = select(isinf(x), select(x > 0, as_expr(0, x.dtype), math.nan), found)
    return select(isnan(x), x, found)


def _spherical_j0(x: Expr) -> Expr:
    found = select(abs(x) < 0.5, _sinc_series(x), sin(x) / x)
    return select(isinf(x), as_expr(0, x.dtype), found)


def _sinc_series(x: Expr) -> Expr:
    square = x * x
    total = as_expr(1 / 6227020800, x.dtype)
    for c in (-1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6, 1.0):
        total = total * square + c
    return total


@in_double
def spherical_bessel_j0(x: Expr) -> Expr:
    return _spherical_j0(x)


def _register(name, fn, oracle, doc, domain, grad=False, **more):
    given = {"method": False, "function": False, **more}
    pointwise(name, fn, grad=grad, oracle=oracle, doc=doc, domain=domain, to_float=True, accepts=floating, **given)


_register(
    "i0", i0, "scipy.special.i0(x)", "The modified Bessel function of the first kind, of order 0.", (-12, 12),
    lambda g, x: g * i1(x), method=True, function=True, aliases=("special_i0",),
)  # fmt: skip
_register(
    "special_i0e", i0e, "scipy.special.i0e(x)", "exp(-|input|) * i0(input).", (-12, 12),
    lambda g, x, y: g * (i1e(x) - sign(x) * y),
)  # fmt: skip
_register(
    "special_i1", i1, "scipy.special.i1(x)", "The modified Bessel function of the first kind, of order 1.", (-12, 12),
    lambda g, x, y: g * (i0(x) - select(x.eq(0), as_expr(0.5, x.dtype), y / x)),
)  # fmt: skip
_register(
    "special_i1e", i1e, "scipy.special.i1e(x)", "exp(-|input|) * i1(input).", (-12, 12),
    lambda g, x, y: g * (i0e(x) - y * (sign(x) + select(x.eq(0), 0, 1 / x)) - select(x.eq(0), as_expr(0.5, x.dtype), 0)),
)  # fmt: skip
for _name, _fn, _oracle, _doc, _domain in (
    ("modified_bessel_i0", i0, "i0", "The modified Bessel function of the first kind, of order 0.", (-12, 12)),
    ("modified_bessel_i1", i1, "i1", "The modified Bessel function of the first kind, of order 1.", (-12, 12)),
    ("modified_bessel_k0", k0, "k0", "The modified Bessel function of the second kind, of order 0.", (0.1, 12)),
    ("modified_bessel_k1", k1, "k1", "The modified Bessel function of the second kind, of order 1.", (0.1, 12)),
    ("scaled_modified_bessel_k0", k0e, "k0e", "exp(input) * modified_bessel_k0(input).", (0.1, 12)),
    ("scaled_modified_bessel_k1", k1e, "k1e", "exp(input) * modified_bessel_k1(input).", (0.1, 12)),
    ("bessel_j0", j0, "j0", "The Bessel function of the first kind, of order 0.", (-30, 30)),
    ("bessel_j1", j1, "j1", "The Bessel function of the first kind, of order 1.", (-30, 30)),
    ("bessel_y0", y0, "y0", "The Bessel function of the second kind, of order 0.", (0.1, 30)),
    ("bessel_y1", y1, "y1", "The Bessel function of the second kind, of order 1.", (0.1, 30)),
):
    _register(f"special_{_name}", _fn, f"scipy.special.{_oracle}(x)", _doc, _domain)
_register("special_airy_ai", airy_ai, "scipy.special.airy(x)[0]", "Airy's function Ai.", (-12, 8))
_register(
    "special_spherical_bessel_j0", spherical_bessel_j0, "scipy.special.spherical_jn(0, numpy.abs(x))",
    "sin(input) / input, 1 at 0.", (-12, 12),
)  # fmt: skip
