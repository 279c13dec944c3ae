"""Definitions of the gamma function's relatives over base nodes, in float64; float32 rounds their results once.

lgamma and its derivatives: polynomials around 1 and 2 that have the zeros as factors, Stirling's series beyond, reflection
below 0. zeta: Euler and Maclaurin's sum (as in Cephes, Moshier 1989). Incomplete gamma functions: the power series, Legendre's
continued fraction, and for large parameters near the diagonal Temme's uniform expansion (SIAM J. Math. Anal. 10, 1979).
"""

from __future__ import annotations

import math

from . import scalar_tables
from . import special_tables as table
from .approximations import (
    _cos_reduced,
    _estrin,
    _log_double,
    _sin_reduced,
    _two_product,
    _two_sum,
    _via_f64,
    polynomial,
)
from .expr import Expr, as_expr, copysign, fma, loop, maximum, minimum, rint, select, sqrt, trunc
from .scalar import definition, exp, expm1, isnan, log, pow
from .special_functions import erfcx, zeta

INF, NAN = math.inf, math.nan
_PI_LO = 1.2246467991473532e-16
_EPS = 2.0**-53


def fitted(x: Expr, entry) -> Expr:
    """A polynomial of `special_tables` at x."""
    (centre, scale), coefficients = entry
    return polynomial((x - centre) * scale if (centre, scale) != (0, 1) else x, coefficients)


def _sin_cos_pi(r: Expr) -> tuple[Expr, Expr]:
    """sin(pi r) and cos(pi r), 0 <= r <= 1/2."""
    upper = r > 0.25
    q = select(upper, 0.5 - r, r)
    hi, lo = _two_product(q, as_expr(math.pi, "f64"))
    lo = fma(q, _PI_LO, lo)
    s, c = _sin_reduced(hi, lo), _cos_reduced(hi, lo)
    return select(upper, c, s), select(upper, s, c)


def _log_gamma_1p(x: Expr) -> Expr:
    """lgamma(1 + x), -0.3 <= x <= 0.7; exact near 0."""
    u = x + 1
    return x * (x - 1) * select(u < 1.5, fitted(u, table.LOG_GAMMA_A), fitted(u, table.LOG_GAMMA_B))


@definition("lgamma")
def _lgamma(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("lgamma", x)
    a = abs(x)
    direct = x > -0.3
    v = select(direct, x, a)
    small = v < 0.69
    u = select(small, v + 1, v)
    rest = select(u < 1.5, fitted(u, table.LOG_GAMMA_A), fitted(u, table.LOG_GAMMA_B))
    near = select(small, v, v - 1) * (select(small, v, v - 1) - 1) * rest
    logarithm = log(abs(v))
    z = 1 / v
    far = fma(v - 0.5, logarithm - 1, _stirling(z) + (0.5 * math.log(2 * math.pi) - 0.5))
    y = select(u > 3, far, select(small, near - logarithm, near + 0))
    sine, _ = _sin_cos_pi(abs(a - rint(a)))
    y = select(direct, y, log(math.pi / (a * sine)) - y)
    return select(isnan(x), x, select(a.eq(INF) | (x.eq(trunc(x)) & (x <= 0)), as_expr(INF, "f64"), y))


def _stirling(z: Expr) -> Expr:
    """What Stirling's formula lacks of lgamma(1/z), 1/z >= 3."""
    return z * fitted(z * z, table.STIRLING)


def _reflected(x: Expr) -> tuple[Expr, Expr, Expr, Expr]:
    """1 - x where x is negative: (that, whether it is below 1, that or one more, distance of x to the next integer)."""
    v = select(x < 0, 1 - x, x)
    small = v < 1
    return v, small, select(small, v + 1, v), x - rint(x)


@definition("digamma")
def _digamma(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("digamma", x)
    v, small, u, r = _reflected(x)
    root, root_lo = table.DIGAMMA_ROOT
    near = ((u - root) - root_lo) * fitted(u, table.DIGAMMA_NEAR)
    z = 1 / v
    far = log(v) - fma(z * z, fitted(z * z, table.DIGAMMA_FAR), z * 0.5)
    y = select(u < 2.4, near, far)
    y = select(small, y - z, y)
    s, c = _sin_cos_pi(abs(r))
    y = select(x < 0, y - copysign(math.pi * c / s, r), y)
    return select((x < 0) & r.eq(0), as_expr(NAN, "f64"), y)


@definition("trigamma")
def _trigamma(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("trigamma", x)
    v, small, u, r = _reflected(x)
    z = 1 / v
    far = fma(z * z, fma(z, fitted(z * z, table.TRIGAMMA_FAR), 0.5), z)
    y = select(u < 2.4, fitted(u, table.TRIGAMMA_NEAR), far)
    y = select(small, y + z * z, y)
    s, _ = _sin_cos_pi(abs(r))
    s = s * (1 / math.pi)
    return select(x < 0, 1 / (s * s) - y, y)


#: (2k)!/B_2k, k = 1..12
_EULER_MACLAURIN = tuple(
    math.factorial(2 * k) * d / n
    for k, (n, d) in enumerate(
        ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510), (43867, 798), (-174611, 330),
         (854513, 138), (-236364091, 2730)), 1
    )
)  # fmt: skip


def _zeta_positive(s: Expr, q: Expr, wanted: Expr) -> Expr:
    """The Hurwitz zeta function for q > 0 and s > 1: terms until they vanish or q + i > 9, then the rest of the sum."""

    def step(total, term, at, k, s, wanted):
        new = pow(at + 1, -s)
        more = wanted & ((k < 9) | (at <= 9)) & (term > total * _EPS)
        return more, (total + new, new, at + 1, k + 1)

    first = pow(q, -s)
    total, term, w, _ = loop((first, first, q, as_expr(0, "f64")), step, s, wanted, limit=20)
    y = total + term * w / (s - 1) - term * 0.5
    factor, power = s, term / w
    for k, a in enumerate(_EULER_MACLAURIN):
        y = y + factor * power / a
        factor = factor * ((s + (2 * k + 1)) * (s + (2 * k + 2)))
        power = power / (w * w)
    return select(term <= total * _EPS, total, y)


@definition("zeta")
def _zeta(s: Expr, q: Expr) -> Expr:
    """Below 0, where s is whole: the sums up to and from the step over 0, with what is left of the one up to it."""
    if s.dtype == "f32":
        return _via_f64("zeta", s, q)
    negative = q < 0
    part = q - trunc(q)  # exact; of (-1, 0] below 0
    y = _zeta_positive(s, select(negative, part + 1, q), s > 1)
    odd = (trunc(s * 0.5) * 2).ne(s)
    left = _zeta_positive(s, -part, negative) - _zeta_positive(s, 1 - q, negative)
    y = select(negative, y + select(odd, -left, left), y)
    y = select(negative & trunc(s).ne(s), as_expr(NAN, "f64"), y)
    y = select((q <= 0) & trunc(q).eq(q), as_expr(INF, "f64"), y)
    y = select(q.eq(INF), as_expr(0, "f64"), y)
    y = select(s.eq(1), as_expr(INF, "f64"), select(s < 1, as_expr(NAN, "f64"), y))
    return select(isnan(s) | isnan(q), as_expr(NAN, "f64"), y)


@definition("polygamma")
def _polygamma(n: Expr, x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("polygamma", n, x)
    one = as_expr(1, "f64")
    factorial, _ = loop((one, one), lambda f, k, n: (k < n, (f * (k + 1), k + 1)), n, limit=200)
    factorial = select(n > 170, as_expr(INF, "f64"), factorial)
    odd = (trunc(n * 0.5) * 2).ne(n)
    return select(odd, factorial, -factorial) * zeta(n + 1, x)


# -- incomplete gamma functions ----------------------------------------------------------------------------------------
def _logarithm(a: Expr, x: Expr) -> tuple[Expr, Expr, Expr]:
    """(x - a)/a, and log(x / a) - x/a + 1 in two parts: times a it is an exponent, whose error counts."""
    difference, lost = _two_sum(x, -a)
    mu = difference / a
    mu_lo = (fma(-mu, a, difference) + lost) / a
    s = mu / (mu + 2)
    z = s * s
    half_square, square_lo = _two_product(mu * 0.5, mu)
    near, near_lo = _two_sum(-half_square, s * (half_square + z * _estrin(z, scalar_tables.ATANH_F64)))
    one = mu + 1
    hi, lo = _log_double(one)
    rounded = select(mu < 1, mu - (one - 1), 1 - (one - mu))
    far, far_lo = _two_sum(hi, -mu)
    close = abs(mu) < 0.29
    low = select(close, near_lo - square_lo, far_lo + (lo + rounded / one)) - mu / one * mu_lo
    return mu, select(close, near, far), low


def _power(a: Expr, hi: Expr, lo: Expr) -> Expr:
    """exp(a (hi + lo)) for exponents of up to 0."""
    p, p_lo = _two_product(a, hi)
    e = exp(p)
    return select(e > 0, fma(e, fma(a, lo, p_lo), e), as_expr(0, "f64"))


def _density(a: Expr, x: Expr, power: Expr) -> Expr:
    """x**a exp(-x) / Gamma(a + 1). power: exp(a (log(x / a) - x / a + 1))."""
    z = 1 / maximum(a, as_expr(3.0, "f64"))
    large = power * exp(-_stirling(z)) * sqrt(z * (1 / (2 * math.pi)))
    gamma = exp(select(a < 0.69, _log_gamma_1p(a), _lgamma(maximum(a, as_expr(0.5, "f64")) + 1)))
    small = pow(minimum(x, as_expr(1000.0, "f64")), a) * exp(-x) / gamma
    return select(a < 3, small, large)


@definition("gamma_density")
def _gamma_density(a: Expr, x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("gamma_density", a, x)
    _, hi, lo = _logarithm(a, x)
    return _density(a, x, _power(a, hi, lo)) * (a / x)


def _incomplete(a: Expr, x: Expr, upper: bool) -> tuple[Expr, Expr]:
    """(value, whether it is the upper part). `upper`: small upper parts are wanted to full precision."""
    zero, one = as_expr(0, "f64"), as_expr(1, "f64")
    mu, logarithm, low = _logarithm(a, x)
    power = _power(a, logarithm, low)
    uniform = (a > 50) & (abs(mu) < 0.29)
    fraction = ~uniform & (x > 1.1) & (x >= a)
    series = ~uniform & ~fraction
    density = _density(a, x, power)

    # the power series of the lower part
    def power_step(total, term, c, x, active):
        new = term * (x / (c + 1))
        return active & (term > total * _EPS), (total + new, new, c + 1)

    total, _, _ = loop((one, one, a), power_step, x, series, limit=2000)
    y = density * total
    is_upper = fraction
    if upper:  # small a and x: 1 - x^a / Gamma(a+1) and a series that starts with x
        near_one = series & (x <= 1.1) & select(x <= 0.5, a * log(x) >= -0.4, a <= x * 1.1)

        def alternating_step(total, term, k, x, a, active):
            new = term * (-x / (k + 1))
            part = new / (a + (k + 1))
            return active & (abs(term) > abs(total) * _EPS), (total + part, new, k + 1)

        total, _, _ = loop((zero, one, zero), alternating_step, x, a, near_one, limit=100)
        gap = expm1(a * log(x) - select(a < 0.69, _log_gamma_1p(a), _lgamma(maximum(a, as_expr(0.5, "f64")) + 1)))
        y = select(near_one, -gap - a * (gap + 1) * total, y)
        is_upper = is_upper | near_one

    y = select(fraction, density * a * _fraction(x, a, fraction), y)
    # Temme's expansion: half of erfc and a series in 1/a, of the smaller part
    eta = sqrt(-2 * (logarithm + low))
    eta = copysign(eta, mu)
    inverse = 1 / a
    correction = as_expr(0, "f64")
    for row in reversed(table.TEMME):
        correction = fma(correction, inverse, polynomial(eta, row))
    correction = correction * sqrt(inverse * (1 / (2 * math.pi)))
    tail = 0.5 * erfcx(abs(eta) * sqrt(a * 0.5))
    y = select(uniform, power * select(mu >= 0, tail + correction, tail - correction), y)
    return y, is_upper | (uniform & (mu >= 0))


def _fraction(x: Expr, a: Expr, active: Expr) -> Expr:
    """Legendre's continued fraction of Gamma(a, x) e^x / x^a, by its convergents (as in Cephes)."""
    one, zero = as_expr(1, "f64"), as_expr(0, "f64")

    def step(ans, change, c, p, q, p_old, q_old, x, a, active):
        k = c + 1
        factor, z = (k + 1 - a) * k, x + (k * 2 + 2) - a
        new_p, new_q = p * z - p_old * factor, q * z - q_old * factor
        ratio = select(new_q.eq(0), ans, new_p / new_q)
        moved = select(new_q.eq(0), one, abs((ans - ratio) / ratio))
        scale = select(abs(new_p) > 2.0**52, as_expr(2.0**-52, "f64"), one)
        states = (ratio, moved, k, new_p * scale, new_q * scale, p * scale, q * scale)
        return active & (change > _EPS), states

    p, q = x + 1, (x + 2 - a) * x
    return loop((p / q, one, zero, p, q, one, x), step, x, a, active, limit=2000)[0]


def _ends(a: Expr, x: Expr, y: Expr, none: float, all_: float) -> Expr:
    """The values at 0 and infinity, and NaN outside."""
    nan, least, most = (as_expr(v, "f64") for v in (NAN, none, all_))
    y = select(x.eq(0), least, select(x.eq(INF), most, y))
    y = select(a.eq(INF), select(x.eq(INF), nan, least), select(a.eq(0), select(x > 0, most, nan), y))
    return select((a >= 0) & (x >= 0), y, nan)


@definition("igamma")
def _igamma(a: Expr, x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("igamma", a, x)
    y, is_upper = _incomplete(a, x, upper=False)
    return _ends(a, x, select(is_upper, 1 - y, y), 0, 1)


@definition("igammac")
def _igammac(a: Expr, x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("igammac", a, x)
    y, is_upper = _incomplete(a, x, upper=True)
    return _ends(a, x, select(is_upper, y, 1 - y), 1, 0)
