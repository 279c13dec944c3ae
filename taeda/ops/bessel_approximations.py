"""Definitions of the Bessel and Airy functions over base nodes, in float64; float32 rounds their results once.

Near 0: series fitted as polynomials, with the zeros as factors. Far: Hankel's amplitudes (polynomials in 1/x^2) times sine
and cosine, or for the modified functions the scaled function as a polynomial in 1/x.
"""

from __future__ import annotations

import math

from . import special_tables as table
from .approximations import _two_product, _via_f64, polynomial
from .expr import Expr, as_expr, copysign, fma, select, sqrt
from .gamma_approximations import INF, NAN, fitted
from .scalar import cos, definition, exp, log, sin

_TWO_OVER_PI = 2 / math.pi
_TWO_THIRDS = (2 / 3, 3.700743415417188e-17)


# -- J and Y -----------------------------------------------------------------------------------------------------------
def _with_zeros(z: Expr, zeros, entry) -> Expr:
    """A polynomial in z = x^2 that is zero where the function is; each zero in two parts."""
    (a, a_lo), (b, b_lo) = zeros
    return ((z - a) - a_lo) * ((z - b) - b_lo) * fitted(z, entry)


def _waves(a: Expr, order: int) -> tuple[Expr, Expr]:
    """J and Y of order 0 or 1, for a >= 5."""
    z = 1 / a
    w = z * z
    p = fitted(w, table.P1 if order else table.P0)
    q = z * fitted(w, table.Q1 if order else table.Q0)
    s, c = sin(a), cos(a)
    scale = sqrt(z * (1 / math.pi))
    plus, minus = s + c, s - c
    if order:
        return scale * (p * minus + q * plus), scale * (q * minus - p * plus)
    return scale * (p * plus - q * minus), scale * (p * minus + q * plus)


@definition("j0")
def _j0(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("j0", x)
    a = abs(x)
    y = select(a < 5, _with_zeros(x * x, table.J0_ZEROS, table.J0_NEAR), _waves(a, 0)[0])
    return select(a.eq(INF), as_expr(0, "f64"), y)


@definition("j1")
def _j1(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("j1", x)
    a = abs(x)
    near, far = x * _with_zeros(x * x, table.J1_ZEROS, table.J1_NEAR), _waves(a, 1)[0]
    y = select(a < 5, near, select(x < 0, -far, far))
    return select(a.eq(INF), as_expr(0, "f64"), y)


def _of_second_kind(x: Expr, y: Expr) -> Expr:
    """The ends of Y."""
    y = select(x.eq(0), as_expr(-INF, "f64"), select(x.eq(INF), as_expr(0, "f64"), y))
    return select(x >= 0, y, as_expr(NAN, "f64"))


@definition("y0")
def _y0(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("y0", x)
    z = x * x
    j = _with_zeros(z, table.J0_ZEROS, table.J0_NEAR)
    near = fitted(z, table.Y0_NEAR) + _TWO_OVER_PI * (log(x) * j)
    return _of_second_kind(x, select(x < 5, near, _waves(x, 0)[1]))


@definition("y1")
def _y1(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("y1", x)
    z = x * x
    j = x * _with_zeros(z, table.J1_ZEROS, table.J1_NEAR)
    near = x * fitted(z, table.Y1_NEAR) + _TWO_OVER_PI * (log(x) * j - 1 / x)
    return _of_second_kind(x, select(x < 5, near, _waves(x, 1)[1]))


# -- I and K -----------------------------------------------------------------------------------------------------------
def _first_kind(name: str, order: int, scaled: bool):
    near_table, far_table = (table.I1_NEAR, table.I1_FAR) if order else (table.I0_NEAR, table.I0_FAR)

    @definition(name)
    def define(x: Expr) -> Expr:
        if x.dtype == "f32":
            return _via_f64(name, x)
        a = abs(x)
        near = fitted(x * x, near_table)
        if order:
            near = a * near
        far = fitted(1 / a, far_table) / sqrt(a)
        if scaled:
            near = near * exp(-a)
        else:
            half = exp(a * 0.5)  # the exponential alone would overflow first
            far = select(a.eq(INF), a, far * half * half)
        y = select(a < 8, near, far)
        return copysign(y, x) if order else y


def _kind_of_decay(name: str, order: int, scaled: bool):
    near_table, far_table = (table.K1_NEAR, table.K1_FAR) if order else (table.K0_NEAR, table.K0_FAR)

    @definition(name)
    def define(x: Expr) -> Expr:
        if x.dtype == "f32":
            return _via_f64(name, x)
        z, rest = x * x, log(x)
        if order:
            near = fitted(z, near_table) / x + rest * (x * fitted(z, table.I1_SMALL))
        else:
            near = fitted(z, near_table) - rest * fitted(z, table.I0_SMALL)
        (centre, scale), coefficients = far_table
        t = select(x < 1e300, (x - 2) / (x + 2), as_expr(1, "f64"))
        far = polynomial((t - centre) * scale, coefficients) / sqrt(x)
        if scaled:
            near = near * exp(x)
        else:
            far = far * exp(-x)
        y = select(x.eq(0), as_expr(INF, "f64"), select(x < 1, near, far))
        return select(x >= 0, y, as_expr(NAN, "f64"))


for _order in (0, 1):
    for _suffix in ("", "e"):
        _first_kind(f"i{_order}{_suffix}", _order, bool(_suffix))
        _kind_of_decay(f"k{_order}{_suffix}", _order, bool(_suffix))


# -- Airy --------------------------------------------------------------------------------------------------------------
@definition("airy_ai")
def _airy_ai(x: Expr) -> Expr:
    """In the angle zeta = 2/3 |x|^(3/2), held in two parts: its rounding would show in large angles."""
    if x.dtype == "f32":
        return _via_f64("airy_ai", x)
    a = abs(x)
    root = sqrt(a)
    root_lo = select(root > 0, fma(-root, root, a) / (2 * root), as_expr(0, "f64"))
    cube, cube_lo = _two_product(a, root)
    cube_lo = cube_lo + a * root_lo
    zeta, zeta_lo = _two_product(cube, as_expr(_TWO_THIRDS[0], "f64"))
    zeta_lo = zeta_lo + (cube * _TWO_THIRDS[1] + cube_lo * _TWO_THIRDS[0])
    zeta_lo = select(zeta < 1e15, zeta_lo, as_expr(0, "f64"))  # larger angles are not known to a part of a turn
    fourth = 1 / sqrt(root)
    u = 1 / zeta
    e = exp(-zeta)
    decay = fma(-e, zeta_lo, e) * fitted(u, table.AIRY_DECAY) * (0.5 / math.sqrt(math.pi)) * fourth
    sine, cosine = sin(zeta), cos(zeta)
    s, c = fma(zeta_lo, cosine, sine), fma(-zeta_lo, sine, cosine)
    w = u * u
    p, q = fitted(w, table.AIRY_P), u * fitted(w, table.AIRY_Q)
    wave = (p * (s + c) - q * (c - s)) * math.sqrt(0.5 / math.pi) * fourth
    y = select(x < -2, fitted(x, table.AIRY_A), select(x < 0.4, fitted(x, table.AIRY_B), fitted(x, table.AIRY_C)))
    y = select(x < -4.4, wave, select(x > 2.2, select(zeta < 760, decay, as_expr(0, "f64")), y))
    return select(a < INF, y, as_expr(NAN, "f64"))
