"""The gamma function and its relatives.

Formulas are computed in float64 for every dtype. lgamma is a few ulp from the exact value, digamma, trigamma and zeta
within 1e-14 of the larger of 1 and it, away from the poles.
"""

from __future__ import annotations

import functools
import math

from . import special_tables as tables
from .expr import Expr, as_expr, cast, const, fma, maximum, minimum, select
from .namespace import F
from .scalar import copysign, cos, floor, gradient, isinf, log, pow, rint, sin
from .table import composite, floating, pointwise


def chebyshev(t: Expr, coefficients) -> Expr:
    """The series at t in [-1, 1], by Clenshaw's recurrence."""
    twice, b1, b2 = t * 2, as_expr(0, t.dtype), as_expr(0, t.dtype)
    for c in reversed(coefficients[1:]):
        b1, b2 = fma(twice, b1, c - b2), b1
    return fma(t, b1, coefficients[0] - b2)


def in_double(fn):
    """The formula computed in float64 and rounded once."""

    @functools.wraps(fn)
    def call(*args):
        dtype = args[0].dtype
        if dtype == "f64":
            return fn(*args)
        return cast(fn(*(cast(x, "f64") for x in args)), dtype)

    return call


def sinpi(x: Expr) -> Expr:
    """sin(pi x); exact 0 at whole numbers."""
    n = rint(x)
    s = sin((x - n) * math.pi)
    return select(abs(n - rint(n * 0.5) * 2).eq(1), -s, s)


# -- logarithm of gamma ------------------------------------------------------------------------------------------------
#: Stirling's series: B(2k) / (2k (2k - 1)).
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)


def _stirling(z: Expr) -> Expr:
    w = 1 / z
    square = w * w
    series = as_expr(_STIRLING[-1], z.dtype)
    for c in reversed(_STIRLING[:-1]):
        series = fma(series, square, c)
    logarithm = log(z)
    return z * (logarithm - 1) - logarithm * 0.5 + (0.9189385332046727418 + series * w)


@in_double
def lgamma(x: Expr) -> Expr:
    """log |gamma(x)|: a series around 1 and 2, where it is 0, products from there up to 8.5, Stirling's series beyond,
    the reflection for negative x."""
    y = select(x < 0, 1 - x, x)
    tiny = y < 0.5
    z = select(tiny, y + 1, y)
    steps = minimum(maximum(rint(z - 2), as_expr(0, z.dtype)), as_expr(6, z.dtype))
    product = as_expr(1, z.dtype)
    for k in range(1, 7):
        product = product * select(steps >= k, z - k, 1)
    rest = minimum(z - steps, as_expr(2.5, z.dtype))
    near = (rest - 1) * (rest - 2) * chebyshev(rest - 1.5, tables.LGAMMA) + log(product)
    positive = select(z < 8.5, near, _stirling(z))
    positive = select(tiny, positive - log(y), positive)
    reflected = math.log(math.pi) - log(abs(sinpi(x))) - positive
    found = select(x < 0, reflected, positive)
    return select(isinf(x), as_expr(math.inf, x.dtype), found)


# -- derivatives of it -------------------------------------------------------------------------------------------------
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)


@in_double
def digamma(x: Expr) -> Expr:
    """The derivative of lgamma: upwards to 10, then its asymptotic series; the reflection for negative x."""
    y = select(x < 0, 1 - x, x)
    total = as_expr(0, y.dtype)
    z = y
    for _ in range(10):
        low = z < 10
        total = total + select(low, 1 / z, 0)
        z = z + select(low, as_expr(1, z.dtype), 0)
    square = 1 / (z * z)
    series = as_expr(_DIGAMMA[-1], z.dtype)
    for c in reversed(_DIGAMMA[:-1]):
        series = fma(series, square, c)
    positive = log(z) - 0.5 / z - series * square - total
    turn = (x - rint(x)) * math.pi
    reflected = positive - math.pi * cos(turn) / sin(turn)
    found = select(x < 0, select(x.eq(floor(x)), math.nan, reflected), positive)
    return select(x.eq(0), copysign(as_expr(math.inf, x.dtype), -x), found)


_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


@in_double
def trigamma(x: Expr) -> Expr:
    """The derivative of digamma."""
    y = select(x < 0.5, 1 - x, x)
    total = as_expr(0, y.dtype)
    z = y
    for _ in range(10):
        low = z < 10
        total = total + select(low, 1 / (z * z), 0)
        z = z + select(low, as_expr(1, z.dtype), 0)
    square = 1 / (z * z)
    series = as_expr(_TRIGAMMA[-1], z.dtype)
    for c in reversed(_TRIGAMMA[:-1]):
        series = fma(series, square, c)
    positive = 1 / z + square * 0.5 + series * square / z + total
    s = sinpi(x)
    return select(x < 0.5, math.pi * math.pi / (s * s) - positive, positive)


#: B(2k) / (2k)!
_EULER_MACLAURIN = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000, -174611 / 802857662698291200000,
)  # fmt: skip


@in_double
def zeta(s: Expr, q: Expr) -> Expr:
    """Hurwitz' zeta function for s > 1: terms up to q + k = 12, then Euler and Maclaurin's summation. Negative q down to
    -12 are shifted, below the result is NaN."""
    total = as_expr(0, s.dtype)
    a = q
    for k in range(24):
        use = a < 12 if k >= 12 else None
        term = pow(a, -s)
        total = total + (term if use is None else select(use, term, 0))
        a = a + (1 if use is None else select(use, as_expr(1, a.dtype), 0))
    power = pow(a, -s)
    total = total + a * power / (s - 1) + power * 0.5
    factor, scale = s, power / a
    for k, c in enumerate(_EULER_MACLAURIN):
        total = total + c * factor * scale
        factor = factor * (s + (2 * k + 1)) * (s + (2 * k + 2))
        scale = scale / (a * a)
    found = select(q < -12, math.nan, total)
    found = select((q <= 0) & s.ne(floor(s)), math.nan, found)
    found = select((q <= 0) & q.eq(floor(q)), math.inf, found)
    found = select(isinf(q) & (q > 0), as_expr(0, s.dtype), found)
    return select(s <= 1, select(s.eq(1), as_expr(math.inf, s.dtype), math.nan), found)


pointwise(
    "lgamma",
    lgamma,
    grad=lambda g, x: g * digamma(x),
    to_float=True,
    accepts=floating,
    oracle="scipy.special.gammaln(x)",
    domain=(-3.4, 12),
    doc="log |gamma(input)|.",
)
pointwise(
    "digamma",
    digamma,
    grad=lambda g, x: g * trigamma(x),
    to_float=True,
    accepts=floating,
    oracle="scipy.special.digamma(x)",
    domain=(0.3, 12),
    doc="The derivative of lgamma.",
)
pointwise(
    "_trigamma",
    trigamma,
    grad=lambda g, x: g * (zeta(const(3, x.dtype), x) * -2),
    to_float=True,
    accepts=floating,
    method=False,
    oracle="scipy.special.polygamma(1, x)",
    domain=(0.3, 12),
)
pointwise(
    "special_zeta",
    zeta,
    types="TT->T",
    grad=(lambda g, s, q: gradient(zeta(s, q), g, (s,))[0], lambda g, s, q: g * (-s * zeta(s + 1, q))),
    params="Tensor|Number input, Tensor|Number other",
    to_float=True,
    accepts=floating,
    method=False,
    function=False,
    oracle="scipy.special.zeta(a, b)",
    domain=((1.5, 6), (0.5, 8)),
    doc="Hurwitz' zeta function: the sum of 1 / (other + k)^input over k >= 0.",
)


@composite(
    method=True,
    out=True,
    opcheck=False,
    samples=lambda t: [((t(3, 4, low=0.3, high=8), 1), {})],
    oracle="lambda x, p: scipy.special.multigammaln(x, 1) if p == 1 else None",
    inplace=True,
)
def mvlgamma(input, p):
    """log of the multivariate gamma function of dimension p, for elements above (p - 1) / 2."""
    if not isinstance(input, F.Tensor):
        raise TypeError(f"mvlgamma(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if not isinstance(p, int) or isinstance(p, bool):
        raise TypeError(f"mvlgamma(): argument 'p' (position 2) must be int, not {type(p).__name__}")
    if p < 1:
        raise RuntimeError(f"p has to be greater than or equal to 1, got {p}")
    x = input if input.is_floating_point() else F.cast(input, F.get_default_dtype())
    total = F.lgamma(x)
    for k in range(1, p):
        total = total + F.lgamma(x - k / 2)
    return total + p * (p - 1) / 4 * math.log(math.pi)


@composite("polygamma", out=True)
def polygamma(n, input):
    """The n-th derivative of digamma."""
    if isinstance(n, F.Tensor) and isinstance(input, int):  # the method
        n, input = input, n
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    if not isinstance(input, F.Tensor):
        raise TypeError(f"polygamma(): argument 'input' (position 2) must be Tensor, not {type(input).__name__}")
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n < 2:
        return F._trigamma(input) if n else F.digamma(input)
    x = input if input.is_floating_point() else F.cast(input, F.get_default_dtype())
    try:
        factorial = math.exp(math.lgamma(n + 1)) if n > 20 else float(math.factorial(n))
    except OverflowError:
        factorial = math.inf
    return F.special_zeta(float(n + 1), x) * (factorial if n % 2 else -factorial)


def _polygamma_method(self, n):
    """The n-th derivative of digamma."""
    return F.polygamma(n, self)


composite("_polygamma_method", method="polygamma", function=False)(_polygamma_method)
composite("_polygamma_in_place", method="polygamma_", function=False)(
    lambda self, n: self.copy_(F.polygamma(n, F.clone(self)))
)


# -- incomplete gamma --------------------------------------------------------------------------------------------------
_MOST_TERMS = 2000


def _finished(test) -> bool:
    return F.values_known() and bool(test)


def _incomplete(a, x):
    """(P(a, x), Q(a, x)) in float64: the power series below a + 1, Lentz' continued fraction above (Numerical Recipes,
    6.2)."""
    tiny, eps = 1e-300, 2.0**-53
    below = F.lt(x, a + 1)
    safe_a, safe_x = F.clamp_min(a, tiny), F.clamp(x, tiny, 1e300)
    factor = F.exp(safe_a * F.log(safe_x) - safe_x - F.lgamma(safe_a))
    sx, sa = F._where(below, safe_x, 0.0), safe_a  # the series runs where it converges
    term = 1 / sa
    total, n = term, sa
    for k in range(1, _MOST_TERMS):
        n = n + 1
        term = term * (sx / n)
        total = total + term
        if k % 8 == 0 and _finished((term <= total * eps).all()):
            break
    cx = F._where(below, safe_a + 2, safe_x)
    b = cx + 1 - safe_a
    c, d = F.full_like(b, 1 / tiny), 1 / b
    h = d
    for i in range(1, _MOST_TERMS):
        step = (safe_a - i) * i
        b = b + 2
        d = step * d + b
        d = 1 / F._where(F.lt(F.abs(d), tiny), tiny, d)
        c = b + step / c
        c = F._where(F.lt(F.abs(c), tiny), tiny, c)
        change = d * c
        h = h * change
        if i % 8 == 0 and _finished((F.abs(change - 1) < eps * 2).all()):
            break
    lower, upper = factor * total, factor * h
    p, q = F._where(below, lower, 1 - upper), F._where(below, 1 - lower, upper)
    zero, endless = F.eq(x, 0), F.eq(x, math.inf)
    p, q = F._where(zero, 0.0, p), F._where(zero, 1.0, q)
    p, q = F._where(endless, 1.0, p), F._where(endless, 0.0, q)
    degenerate = F.eq(a, 0)
    p, q = F._where(degenerate, 1.0, p), F._where(degenerate, 0.0, q)
    infinite = F.eq(a, math.inf)
    p, q = F._where(infinite, 0.0, p), F._where(infinite, 1.0, q)
    wrong = (a < 0) | (x < 0) | F.isnan(a) | F.isnan(x) | (degenerate & zero) | (infinite & endless)
    return F._where(wrong, math.nan, p), F._where(wrong, math.nan, q)


def _operands(op, input, other):
    for name, t in (("input", input), ("other", other)):
        if not isinstance(t, F.Tensor):
            raise TypeError(f"{op}(): argument '{name}' must be Tensor, not {type(t).__name__}")
    dtype = F.result_type(input, other)
    if dtype.is_complex:
        raise NotImplementedError(f'"{op}" not implemented for {dtype}')
    dtype = dtype if dtype.is_floating_point else F.get_default_dtype()
    return F.cast(input, dtype), F.cast(other, dtype)


def _slope(op, sign):
    def gradient(g, input, other, wanted):
        if wanted[0]:
            raise NotImplementedError(f"the derivative for '{op}: input' is not implemented.")
        a, x = F.cast(input, F.float64), F.cast(other, F.float64)
        slope = F.exp((a - 1) * F.log(x) - x - F.lgamma(a)) * sign
        return None, F.sum_to_size(g * F.cast(slope, g.dtype), other.shape)

    return gradient


for _name, _part, _sign in (("gammainc", 0, 1.0), ("gammaincc", 1, -1.0)):

    def _make(name=_name, part=_part, sign=_sign):
        def values(input, other):
            return F.cast(_incomplete(F.cast(input, F.float64), F.cast(other, F.float64))[part], input.dtype)

        composite(
            f"_{name}",
            params="Tensor input, Tensor other",
            grad=_slope({"gammainc": "igamma", "gammaincc": "igammac"}[name], sign),
            function=False,
        )(values)

        def special(input, other):
            a, x = _operands(name, input, other)
            return getattr(F, f"_{name}")(a, x)

        side = "lower" if sign > 0 else "upper"
        special.__doc__ = f"The regularised {side} incomplete gamma function of order `input` at `other`."
        return special

    _function = _make()
    composite(
        f"special_{_name}",
        function=False,
        out=True,
        opcheck=False,
        samples=lambda t: [((t(3, 4, low=0.3, high=6), t(4, low=0.1, high=9)), {})],
        oracle=f"scipy.special.{_name}",
    )(_function)
    _short = {"gammainc": "igamma", "gammaincc": "igammac"}[_name]

    def _forward(target):
        def call(input, other):
            return getattr(F, target)(input, other)

        return call

    _plain = _forward(f"special_{_name}")
    _plain.__name__ = _plain.__qualname__ = _short
    _plain.__doc__ = _function.__doc__
    composite(_short, method=True, out=True, inplace=True)(_plain)
