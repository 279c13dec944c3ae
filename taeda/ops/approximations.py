"""Definitions of the scalar primitives over base nodes.

Coefficients come from `scalar_tables.py` (fitted by tools/fit_primitives.py). float32 versions of the hot functions work in
float32; the rest evaluate the float64 version and round once, which is within half an ulp and a bit. Error bounds stand in
`scalar.ULP`. All are branch-free: both sides of a select are computed.
"""

from __future__ import annotations

import math

from . import scalar_tables as table
from .expr import Expr, as_expr, bitcast, cast, copysign, fma, maximum, minimum, mod_pio2, rint, select, sqrt, trunc
from .scalar import definition, exp, expm1, isnan, log1p, prim

INF, NAN = math.inf, math.nan
_LN2_HI_F32, _LN2_LO_F32 = 0.693145751953125, 1.428606765330187e-06  # the first has 16 bits: n * hi is exact
_LN2_HI_F64, _LN2_LO_F64 = 0.6931471805598903, 5.497923018708371e-14  # the first has 42 bits


def polynomial(x: Expr, coefficients: tuple[float, ...]) -> Expr:
    """Horner's scheme with fused multiply-add, lowest power first."""
    p = as_expr(coefficients[-1], x.dtype)
    for c in reversed(coefficients[:-1]):
        p = fma(p, x, c)
    return p


def _estrin(x: Expr, coefficients: tuple[float, ...]) -> Expr:
    """The same polynomial by Estrin's scheme: a shorter dependency chain for long ones."""
    terms: list = [as_expr(c, x.dtype) for c in coefficients]
    power = x
    while len(terms) > 1:
        paired = [fma(terms[i + 1], power, terms[i]) for i in range(0, len(terms) - 1, 2)]
        if len(terms) % 2:
            paired.append(terms[-1])
        terms = paired
        power = power * power
    return terms[0]


def _via_f64(name: str, *args: Expr) -> Expr:
    return cast(prim(name, *(cast(a, "f64") for a in args)), "f32")


def _power_of_two(n: Expr, dtype: str) -> Expr:
    """2**n for an integer-valued float n whose result is normal, built in the exponent field."""
    if dtype == "f32":
        return bitcast((cast(n, "i32") + 127) << 23, "f32")
    return bitcast((cast(n, "i64") + 1023) << 52, "f64")


def _scale(y: Expr, n: Expr) -> Expr:
    """y * 2**n in two steps, so that results beyond the normal range round once."""
    half = trunc(n * 0.5)
    return y * _power_of_two(half, y.dtype) * _power_of_two(n - half, y.dtype)


def _exp_reduced(r: Expr) -> Expr:
    """e**r for |r| <= ln(2)/2."""
    q = polynomial(r, table.EXP_F32) if r.dtype == "f32" else _estrin(r, table.EXP_F64)
    return fma(r * r, q, r) + 1


@definition("exp")
def _exp(x: Expr) -> Expr:
    single = x.dtype == "f32"
    lowest, highest = (-104.0, 90.0) if single else (-746.0, 711.0)
    # What underflows to 0 (a masked score in softmax: -inf) must not be computed: a subnormal result costs 100 cycles.
    vanishes = x < lowest
    x = select(vanishes, as_expr(-1.0, x.dtype), minimum(x, as_expr(highest, x.dtype)))
    n = rint(x * (1 / math.log(2)))
    r = fma(n, -(_LN2_HI_F32 if single else _LN2_HI_F64), x)
    r = fma(n, -(_LN2_LO_F32 if single else _LN2_LO_F64), r)
    return select(vanishes, as_expr(0.0, x.dtype), _scale(_exp_reduced(r), n))


@definition("exp2")
def _exp2(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("exp2", x)
    x = maximum(minimum(x, as_expr(1025.0, x.dtype)), as_expr(-1080.0, x.dtype))
    n = rint(x)
    f = x - n
    hi = f * math.log(2)
    lo = fma(f, math.log(2), -hi) + f * 2.3190468138462996e-17
    q = _estrin(hi, table.EXP_F64)
    return _scale((fma(hi * hi, q, lo) + hi) + 1, n)


@definition("expm1")
def _expm1(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("expm1", x)
    clamped = maximum(minimum(x, as_expr(710.0, x.dtype)), as_expr(-80.0, x.dtype))
    n = rint(clamped * (1 / math.log(2)))
    r_hi = fma(n, -_LN2_HI_F64, clamped)
    r_lo = n * _LN2_LO_F64
    r = r_hi - r_lo
    error = (r_hi - r) - r_lo
    p = r + (fma(r * r, _estrin(r, table.EXP_F64), error))
    half = _power_of_two(n - 1, "f64")  # 2**(n-1): n = 1024 must not overflow
    y = fma(p, half, half - 0.5) * 2
    return select(abs(x) < 1e-300, x, y)


def _split_log_argument(x: Expr) -> tuple[Expr, Expr]:
    """x = m * 2**e with m in [sqrt(1/2), sqrt(2)): (m - 1, e), for positive finite x."""
    if x.dtype == "f32":
        small = x < 1.1754943508222875e-38
        bits = bitcast(select(small, x * 2.0**25, x), "i32") - 0x3F3504F3
        e = bits >> 23
        m = bitcast((bits & 0x7FFFFF) + 0x3F3504F3, "f32")
        return m - 1, cast(e, "f32") - select(small, as_expr(25, "f32"), as_expr(0, "f32"))
    small = x < 2.2250738585072014e-308
    bits = bitcast(select(small, x * 2.0**54, x), "i64") - 0x3FE6A09E667F3BCD
    e = bits >> 52
    m = bitcast((bits & 0xFFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD, "f64")
    return m - 1, cast(e, "f64") - select(small, as_expr(54, "f64"), as_expr(0, "f64"))


def _log_special(x: Expr, y: Expr) -> Expr:
    y = select(x.eq(0), as_expr(-INF, x.dtype), y)
    y = select(x < INF, y, x)  # +inf and NaN
    return select(x < 0, as_expr(NAN, x.dtype), y)


@definition("log")
def _log(x: Expr) -> Expr:
    f, e = _split_log_argument(x)
    if x.dtype == "f32":
        p = polynomial(f, table.LOG_F32)
        half_square = f * f * 0.5
        tail = fma(f * f * f, p, e * _LN2_LO_F32)
        y = fma(e, _LN2_HI_F32, f - (half_square - tail))
    else:
        y = _log_f64(f, e, None)
    return _log_special(x, y)


def _log_f64(f: Expr, e: Expr, correction: Expr | None) -> Expr:
    """log((1 + f) * 2**e) (+ correction), through s = f / (2 + f) and atanh's series."""
    s = f / (f + 2)
    z = s * s
    r = z * _estrin(z, table.ATANH_F64)
    half_square = f * f * 0.5
    low = e * _LN2_LO_F64
    if correction is not None:
        low = low + correction
    tail = fma(s, half_square + r, low)
    return fma(e, _LN2_HI_F64, f - (half_square - tail))


@definition("log1p")
def _log1p(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("log1p", x)
    u = x + 1
    # what rounding lost: exact, whichever of 1 and x is larger
    lost = select(abs(x) < 1, x - (u - 1), 1 - (u - x))
    f, e = _split_log_argument(u)
    y = _log_f64(f, e, lost / u)
    y = select(abs(x) < 1e-300, x, y)
    y = select(x.eq(-1), as_expr(-INF, "f64"), y)
    y = select(x < INF, y, x)
    return select(x < -1, as_expr(NAN, "f64"), y)


# -- double-double logarithm: for log2, log10 and pow -------------------------------------------------------------------
def _two_sum(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _fast_two_sum(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    s = a + b
    return s, b - (s - a)


def _two_product(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    p = a * b
    return p, fma(a, b, -p)


def _log_double(x: Expr) -> tuple[Expr, Expr]:
    """log(x) as an unevaluated sum hi + lo of float64 (about 2**-68 relative), positive finite x."""
    f, e = _split_log_argument(x)
    d_hi, d_lo = _fast_two_sum(as_expr(2, "f64"), f)
    s = f / d_hi
    s_lo = (fma(-s, d_hi, f) - s * d_lo) / d_hi
    z = s * s
    z_lo = fma(s, s, -z) + 2 * s * s_lo
    # 2 atanh(s) = 2 s + s^3 (2/3 + z (2/5 + ...)); the leading 2/3 needs its own low part
    rest = z * _estrin(z, table.ATANH_F64[1:])
    c_hi, c_lo = _two_sum(as_expr(table.ATANH_F64[0], "f64"), rest)
    c_lo = c_lo + (2 / 3 - table.ATANH_F64[0]) + 3.700743415417188e-17
    cube, cube_lo = _two_product(s, z)
    cube_lo = cube_lo + fma(s, z_lo, s_lo * z)
    t, t_lo = _two_product(cube, c_hi)
    t_lo = t_lo + fma(cube, c_lo, cube_lo * c_hi)
    hi, lo = _fast_two_sum(2 * s, t)
    lo = lo + (t_lo + 2 * s_lo)
    base_hi, base_lo = _two_product(e, as_expr(_LN2_HI_F64, "f64"))
    total, carry = _two_sum(base_hi, hi)
    carry = carry + (base_lo + (lo + e * _LN2_LO_F64))
    return _fast_two_sum(total, carry)


def _log_over(x: Expr, inverse_hi: float, inverse_lo: float) -> Expr:
    hi, lo = _log_double(x)
    p, p_lo = _two_product(hi, as_expr(inverse_hi, "f64"))
    return _log_special(x, p + (p_lo + fma(hi, inverse_lo, lo * inverse_hi)))


@definition("log2")
def _log2(x: Expr) -> Expr:
    return _via_f64("log2", x) if x.dtype == "f32" else _log_over(x, 1.4426950408889634, 2.0355273740931033e-17)


@definition("log10")
def _log10(x: Expr) -> Expr:
    return _via_f64("log10", x) if x.dtype == "f32" else _log_over(x, 0.4342944819032518, 1.098319650216765e-17)


@definition("pow")
def _pow(x: Expr, p: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("pow", x, p)
    magnitude = abs(x)
    hi, lo = _log_double(magnitude)
    t, t_lo = _two_product(hi, p)
    t_lo = fma(lo, p, t_lo)
    t_lo = select(abs(t) < 800, t_lo, as_expr(0, "f64"))
    t = maximum(minimum(t, as_expr(800.0, "f64")), as_expr(-800.0, "f64"))
    n = rint(t * (1 / math.log(2)))
    r = fma(n, -_LN2_HI_F64, t)
    r_hi, r_lo = _fast_two_sum(r, fma(n, -_LN2_LO_F64, t_lo))
    y = _scale(fma(r_hi * r_hi, _estrin(r_hi, table.EXP_F64), r_lo * (1 + r_hi)) + r_hi + 1, n)
    # integer exponents give negative bases a sign
    whole = trunc(p).eq(p)
    odd = whole & (trunc(p * 0.5) * 2).ne(p)
    zero, one, inf = as_expr(0, "f64"), as_expr(1, "f64"), as_expr(INF, "f64")
    grows = select(p > 0, inf, zero)  # inf ** p
    shrinks = select(p > 0, zero, inf)  # 0 ** p
    y = select(magnitude.eq(0), shrinks, select(magnitude.eq(INF), grows, y))
    infinite = select(magnitude.eq(1), one, select((magnitude > 1) ^ (p < 0), inf, zero))
    y = select(abs(p).eq(INF), infinite, y)
    y = select((x < 0) & ~whole & (magnitude < INF) & (abs(p) < INF), as_expr(NAN, "f64"), y)
    y = select(odd, copysign(y, x), y)
    y = select(isnan(x) | isnan(p), as_expr(NAN, "f64"), y)
    return select(p.eq(0) | x.eq(1), one, y)


# -- trigonometry ----------------------------------------------------------------------------------------------------------
_PIO2 = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)  # pi/2 in three parts


def _reduce_pi_over_2(x: Expr) -> tuple[Expr, Expr, Expr]:
    """x (f64) = n * pi/2 + (r + r_lo), |r| <= pi/4 and a bit; n (modulo 4 where x is huge) as i64."""
    x, x_lo = mod_pio2(x, 40)
    n = rint(x * (2 / math.pi))
    a = fma(n, -_PIO2[0], x)
    b, b_lo = _two_product(n, as_expr(_PIO2[1], "f64"))
    r = a - b
    r_lo = ((a - r) - b) - fma(n, _PIO2[2], b_lo) + x_lo
    return r, r_lo, cast(n, "i64") + (bitcast(x_lo, "i64") & 3)


def _sin_reduced(r: Expr, r_lo: Expr) -> Expr:
    z = r * r
    return r + fma(z * r, _estrin(z, table.SIN_F64), fma(-z * 0.5, r_lo, r_lo))


def _cos_reduced(r: Expr, r_lo: Expr) -> Expr:
    z = r * r
    half = z * 0.5
    w = 1 - half
    return w + (((1 - w) - half) + fma(z * z, _estrin(z, table.COS_F64), -(r * r_lo)))


def _sine(x: Expr, shift: int) -> Expr:
    """sin(x + shift * pi/2)."""
    if x.dtype == "f32":
        wide, wide_lo = mod_pio2(cast(x, "f64"), 30)
        n = rint(wide * (2 / math.pi))
        exact = fma(n, -_PIO2[1], fma(n, -_PIO2[0], wide)) + wide_lo
        r = cast(exact, "f32")
        r_lo = cast(exact - cast(r, "f64"), "f32")
        quadrant = cast(n, "i32") + cast(bitcast(wide_lo, "i64") & 3, "i32") + shift
        z = r * r
        s = r + fma(z * r, polynomial(z, table.SIN_F32), r_lo)
        half = z * 0.5
        w = 1 - half
        c = w + (((1 - w) - half) + fma(z * z, polynomial(z, table.COS_F32), -(r * r_lo)))
    else:
        r, r_lo, quadrant = _reduce_pi_over_2(x)
        quadrant = quadrant + shift
        s, c = _sin_reduced(r, r_lo), _cos_reduced(r, r_lo)
    y = select((quadrant & 1).eq(1), c, s)
    y = select((quadrant & 2).eq(2), -y, y)
    if shift == 0:
        y = select(x.eq(0), x, y)  # keeps -0
    return select(abs(x) < INF, y, as_expr(NAN, x.dtype))


@definition("sin")
def _sin(x: Expr) -> Expr:
    return _sine(x, 0)


@definition("cos")
def _cos(x: Expr) -> Expr:
    return _sine(x, 1)


@definition("tan")
def _tan(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("tan", x)
    r, r_lo, quadrant = _reduce_pi_over_2(x)
    s, c = _sin_reduced(r, r_lo), _cos_reduced(r, r_lo)
    odd = (quadrant & 1).eq(1)
    y = select(odd, -c, s) / select(odd, s, c)
    y = select(x.eq(0), x, y)
    return select(abs(x) < INF, y, as_expr(NAN, x.dtype))


@definition("asin")
def _asin(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("asin", x)
    a = abs(x)
    big = a > 0.5
    z = select(big, (1 - a) * 0.5, a * a)
    s = select(big, sqrt(z), a)
    y = fma(z * s, _estrin(z, table.ASIN_F64), s)
    s_lo = fma(-s, s, z) / (2 * s)  # sqrt's rounding, matters near 1
    y_big = _PIO2[0] - (2 * (y + select(s > 0, s_lo, as_expr(0, "f64"))) - _PIO2[1])
    return copysign(select(big, y_big, y), x)


@definition("acos")
def _acos(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("acos", x)
    a = abs(x)
    z = (1 - a) * 0.5
    s = sqrt(z)
    s_lo = select(s > 0, fma(-s, s, z) / (2 * s), as_expr(0, "f64"))
    outer = 2 * (fma(z * s, _estrin(z, table.ASIN_F64), s_lo) + s)
    outer = select(x < 0, 2 * _PIO2[0] - (outer - 2 * _PIO2[1]), outer)
    square = x * x
    inner = _PIO2[0] - (x - (_PIO2[1] - square * x * _estrin(square, table.ASIN_F64)))
    return select(a > 0.5, outer, inner)


def _atan_positive(x: Expr) -> tuple[Expr, Expr]:
    """atan for x >= 0 as (main, correction)."""
    t8 = math.tan(math.pi / 8)
    large, middle = x > 1 / t8, x > t8
    zero = as_expr(0, "f64")
    t = select(large, -1 / x, select(middle, (x - 1) / (x + 1), x))
    base = select(large, as_expr(_PIO2[0], "f64"), select(middle, as_expr(_PIO2[0] / 2, "f64"), zero))
    low = select(large, as_expr(_PIO2[1], "f64"), select(middle, as_expr(_PIO2[1] / 2, "f64"), zero))
    z = t * t
    return base, t + fma(z * t, _estrin(z, table.ATAN_F64), low)


@definition("atan")
def _atan(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("atan", x)
    base, rest = _atan_positive(abs(x))
    return copysign(base + rest, x)


@definition("atan2")
def _atan2(y: Expr, x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("atan2", y, x)
    ay, ax = abs(y), abs(x)
    both_inf = ay.eq(INF) & ax.eq(INF)
    ratio = select(both_inf, as_expr(1, "f64"), select(ay.eq(0) & ax.eq(0), as_expr(0, "f64"), ay / ax))
    base, rest = _atan_positive(ratio)
    angle = base + rest
    negative = copysign(as_expr(1, "f64"), x) < 0
    angle = select(negative, 2 * _PIO2[0] - (angle - 2 * _PIO2[1]), angle)
    return copysign(angle, y)


# -- hyperbolic ------------------------------------------------------------------------------------------------------------
@definition("tanh")
def _tanh(x: Expr) -> Expr:
    a = abs(x)
    coefficients = table.TANH_F32 if x.dtype == "f32" else table.TANH_F64
    z = x * x
    near = fma(z * x, polynomial(z, coefficients) if x.dtype == "f32" else _estrin(z, coefficients), x)
    far = 1 - 2 / (exp(2 * a) + 1)
    return copysign(select(a < 0.85, near, far), x)


@definition("sigmoid")
def _sigmoid(x: Expr) -> Expr:
    return 1 / (exp(-x) + 1)


@definition("sinh")
def _sinh(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("sinh", x)
    a = abs(x)
    m = expm1(a)
    e = exp(a * 0.5)
    y = select(a < 22, (m + m / (m + 1)) * 0.5, e * 0.5 * e)
    return copysign(y, x)


@definition("cosh")
def _cosh(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("cosh", x)
    a = abs(x)
    half = exp(a * 0.5)
    e = exp(a)
    return select(a < 22, (e + 1 / e) * 0.5, half * 0.5 * half)


@definition("asinh")
def _asinh(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("asinh", x)
    a = abs(x)
    square = a * a
    near = log1p(a + square / (sqrt(square + 1) + 1))
    return copysign(select(a < 1e150, near, prim("log", a) + math.log(2)), x)


@definition("acosh")
def _acosh(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("acosh", x)
    t = x - 1
    return select(x < 1e150, log1p(t + sqrt(t * t + 2 * t)), prim("log", x) + math.log(2))


@definition("atanh")
def _atanh(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("atanh", x)
    a = abs(x)
    return copysign(0.5 * log1p(2 * a / (1 - a)), x)


# -- error function ----------------------------------------------------------------------------------------------------------
@definition("erf")
def _erf(x: Expr) -> Expr:
    a = abs(x)
    if x.dtype == "f32":
        z = minimum(x * x, as_expr(0.86, "f32"))
        near = fma(x, polynomial(z, table.ERF_F32), x)
        a = minimum(a, as_expr(4.0, "f32"))
        far = copysign(1 - exp(-a * polynomial(a, table.ERFC_LOG_F32)), x)
        return select(a < 0.925, near, far)
    z = minimum(x * x, as_expr(1.0, "f64"))
    near = fma(x, _estrin(z, table.ERF_F64), x)
    return select(a < 1, near, copysign(1 - _erfc_positive(a), x))


def _erfc_positive(a: Expr) -> Expr:
    """erfc for a >= 1, float64: exp(-a^2) erfcx(a)."""
    a = minimum(a, as_expr(28.0, "f64"))
    t = (a - 4) / (a + 4)
    scaled = polynomial(t, table.ERFCX_F64) / (a + 4)
    square, low = _two_product(a, a)
    e = exp(-square)
    return fma(-e, low, e) * scaled


@definition("erfc")
def _erfc(x: Expr) -> Expr:
    if x.dtype == "f32":
        return _via_f64("erfc", x)
    a = abs(x)
    z = minimum(x * x, as_expr(1.0, "f64"))
    near = select(x < 0.5, 1 - fma(x, _estrin(z, table.ERF_F64), x), 0.5 - (x - 0.5 + x * _estrin(z, table.ERF_F64)))
    tail = _erfc_positive(a)
    return select(a < 1, near, select(x < 0, 2 - tail, tail))
