"""Complex numbers in scalar expressions: a pair of real expressions, and the functions of it.

An operator's formula is run on `Complex` values for the complex dtypes, so it is written once for real and complex
numbers. Functions of a complex64 are computed through float64 where float32 would cancel or overflow on the way.

Sources: the branch cuts and the formulas of the inverse functions are those of W. Kahan, "Branch cuts for complex
elementary functions" (1987); the quotient is R. L. Smith's (Algorithm 116, CACM 1962).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import expr as E
from . import scalar as s
from .expr import Compound, Expr, const, copysign, select

PART = {"c64": "f32", "c128": "f64"}
OF_PART = {"f32": "c64", "f64": "c128"}


class Complex(Compound):
    """`re + im j`; both parts of one dtype."""

    __slots__ = ("im", "re")

    def __init__(self, re: Expr, im: Expr):
        self.re, self.im = re, im

    @property
    def parts(self) -> tuple[Expr, ...]:
        return self.re, self.im

    @property
    def dtype(self) -> str:
        return OF_PART[self.re.dtype]

    def conj(self) -> Complex:
        return Complex(self.re, -self.im)

    # -- arithmetic ------------------------------------------------------------------------------------------------
    def __add__(self, o):
        if _is_real(o):
            return Complex(self.re + _real(o, self), self.im)
        o = _complex(o, self)
        return Complex(self.re + o.re, self.im + o.im)

    __radd__ = __add__

    def __sub__(self, o):
        if _is_real(o):
            return Complex(self.re - _real(o, self), self.im)
        o = _complex(o, self)
        return Complex(self.re - o.re, self.im - o.im)

    def __rsub__(self, o):
        return -self + o

    def __mul__(self, o):
        if _is_real(o):
            o = _real(o, self)
            return Complex(self.re * o, self.im * o)
        o = _complex(o, self)
        return Complex(self.re * o.re - self.im * o.im, self.re * o.im + self.im * o.re)

    __rmul__ = __mul__

    def __truediv__(self, o):
        if _is_real(o):
            o = _real(o, self)
            return Complex(self.re / o, self.im / o)
        o = _complex(o, self)
        # by the larger part of the divisor, so that nothing overflows on the way
        by_re = abs(o.re) >= abs(o.im)
        big, small = select(by_re, o.re, o.im), select(by_re, o.im, o.re)
        ratio = small / big
        scale = 1 / (big + small * ratio)
        re = select(by_re, self.re + self.im * ratio, self.re * ratio + self.im) * scale
        im = select(by_re, self.im - self.re * ratio, self.im * ratio - self.re) * scale
        zero = o.re.eq(0) & o.im.eq(0)
        return Complex(select(zero, self.re / abs(o.re), re), select(zero, self.im / abs(o.re), im))

    def __rtruediv__(self, o):
        return _complex(o, self) / self

    def __neg__(self):
        return Complex(-self.re, -self.im)

    def __abs__(self):
        return modulus(self)

    def eq(self, o):
        o = _complex(o, self)
        return self.re.eq(o.re) & self.im.eq(o.im)

    def ne(self, o):
        return ~self.eq(o)

    def __bool__(self):
        raise TypeError("a scalar expression has no truth value: use select(condition, a, b)")

    # -- what `expr` asks of a compound ------------------------------------------------------------------------------
    @classmethod
    def constant(cls, value, dtype: str) -> Complex:
        value = complex(value)
        return cls(const(value.real, PART[dtype]), const(value.imag, PART[dtype]))

    def cast(self, dtype: str):
        """To a real dtype the real part is taken; to b1, whether any part is not 0."""
        if dtype == "b1":
            return self.re.ne(0) | self.im.ne(0)
        if dtype in PART:
            return Complex(E.cast(self.re, PART[dtype]), E.cast(self.im, PART[dtype]))
        return E.cast(self.re, dtype)

    @classmethod
    def from_real(cls, x: Expr, dtype: str) -> Complex:
        return cls(E.cast(x, PART[dtype]), const(0, PART[dtype]))

    def select(self, condition: Expr, other, mine_first: bool) -> Complex:
        other = _complex(other, self)
        a, b = (self, other) if mine_first else (other, self)
        return Complex(select(condition, a.re, b.re), select(condition, a.im, b.im))

    def unary(self, op: str):
        if op == "sqrt":
            return FUNCTIONS["sqrt"](self)
        if op == "neg":
            return -self
        raise TypeError(f"{op}: not defined on complex numbers")


def _is_real(value) -> bool:
    return isinstance(value, (bool, int, float, Expr))


def _real(value, like: Complex) -> Expr:
    return E.cast(value, like.re.dtype) if isinstance(value, Expr) else const(value, like.re.dtype)


def _complex(value, like: Complex) -> Complex:
    if isinstance(value, Complex):
        return value
    if isinstance(value, Expr):
        return Complex.from_real(value, like.dtype)
    return Complex.constant(value, like.dtype)


E.register_compound(Complex, tuple(PART))


# -- functions ---------------------------------------------------------------------------------------------------------
FUNCTIONS: dict[str, Callable] = {}


def _function(name: str, wide: bool = True) -> Callable:
    """Registers what primitive `name` is on complex numbers. wide: computed in float64 for complex64 too."""

    def register(fn: Callable) -> Callable:
        def function(*args):
            first = next(a for a in args if isinstance(a, Complex))
            values = [_complex(a, first) for a in args]
            if wide and first.dtype == "c64":
                return fn(*(v.cast("c128") for v in values)).cast("c64")
            return fn(*values)

        FUNCTIONS[name] = function
        return fn

    return register


def modulus(z: Complex) -> Expr:
    """|z|, without overflow on the way."""
    if z.dtype == "c64":
        x, y = E.cast(z.re, "f64"), E.cast(z.im, "f64")
        square = x * x + y * y
        root = E.sqrt(select(square.eq(0), const(1, "f64"), square))  # a root of 0 has no derivative
        return E.cast(select(square.eq(0), const(0, "f64"), root), "f32")
    return _hypot(z.re, z.im)


def _hypot(x: Expr, y: Expr) -> Expr:
    big = E.maximum(abs(x), abs(y))
    # The result does not depend on the scale: its bits are taken so that no derivative does.
    scale = E.bitcast(E.bitcast(select(big.eq(0), const(1, x.dtype), big), "i64"), x.dtype)
    p, q = x / scale, y / scale
    square = select(big.eq(0), const(1, x.dtype), p * p + q * q)
    found = select(big.eq(0), const(0, x.dtype), scale * E.sqrt(square))
    return select(abs(x).eq(math.inf) | abs(y).eq(math.inf), const(math.inf, x.dtype), found)


def angle(z: Complex) -> Expr:
    """The argument of z, in (-pi, pi]."""
    return s.atan2(z.im, z.re)


def _times_i(z: Complex) -> Complex:
    return Complex(-z.im, z.re)


def _over_i(z: Complex) -> Complex:
    return Complex(z.im, -z.re)


def _nonzero_product(factor: Expr, x: Expr) -> Expr:
    """factor * x, but 0 where x is 0 whatever the factor (inf * 0)."""
    return select(x.eq(0), x, factor * x)


@_function("sqrt")
def _sqrt(z: Complex) -> Complex:
    x, y = z.parts
    # halves of the parts, so that the modulus of the largest numbers is finite
    half = E.sqrt(_hypot(x * 0.5, y * 0.5) + abs(x) * 0.5)
    other = select(half.eq(0), half, y / (half * 2))
    positive = x >= 0
    re, im = select(positive, half, abs(other)), select(positive, other, copysign(half, y))
    infinite = abs(y).eq(math.inf)
    return Complex(select(infinite, abs(y), re), select(infinite, y, im))


@_function("rsqrt")
def _rsqrt(z: Complex) -> Complex:
    return 1 / _sqrt(z)


@_function("exp")
def _exp(z: Complex) -> Complex:
    size = s.exp(z.re)
    zero = size.eq(0)  # exp(-inf + i y) is 0 for every y
    re, im = _nonzero_product(size, s.cos(z.im)), _nonzero_product(size, s.sin(z.im))
    return Complex(select(zero, size, re), select(zero, size, select(z.im.eq(0), z.im, im)))


@_function("exp2")
def _exp2(z: Complex) -> Complex:
    return _exp(z * math.log(2))


@_function("expm1")
def _expm1(z: Complex) -> Complex:
    h = s.sin(z.im * 0.5)
    return Complex(s.expm1(z.re) * s.cos(z.im) - h * h * 2, _nonzero_product(s.exp(z.re), s.sin(z.im)))


def _log_modulus(z: Complex) -> Expr:
    x, y = abs(z.re), abs(z.im)
    big, small = E.maximum(x, y), E.minimum(x, y)
    ratio = small / big
    far = s.log(big) + s.log1p(ratio * ratio) * 0.5
    far = select(big.eq(0) | big.eq(math.inf), s.log(big), far)
    near = s.log1p((big - 1) * (big + 1) + small * small) * 0.5  # no cancellation around |z| = 1
    return select((big > 0.5) & (big < 2.0), near, far)


@_function("log")
def _log(z: Complex) -> Complex:
    return Complex(_log_modulus(z), angle(z))


@_function("log2")
def _log2(z: Complex) -> Complex:
    return _log(z) * (1 / math.log(2))


@_function("log10")
def _log10(z: Complex) -> Complex:
    return _log(z) * (1 / math.log(10))


@_function("log1p")
def _log1p(z: Complex) -> Complex:
    x, y = z.parts
    near = s.log1p(x * (x + 2) + y * y) * 0.5
    small = (abs(x) < 0.5) & (abs(y) < 0.5)
    w = Complex(x + 1, y)
    return Complex(select(small, near, _log_modulus(w)), angle(w))


@_function("sinh")
def _sinh(z: Complex) -> Complex:
    re = _nonzero_product(s.cos(z.im), s.sinh(z.re))
    return Complex(re, _nonzero_product(s.cosh(z.re), s.sin(z.im)))


@_function("cosh")
def _cosh(z: Complex) -> Complex:
    return Complex(s.cosh(z.re) * s.cos(z.im), _nonzero_product(s.sinh(z.re), s.sin(z.im)))


@_function("tanh")
def _tanh(z: Complex) -> Complex:
    x, y = z.parts
    t, sh = s.tan(y), s.sinh(E.maximum(E.minimum(x, const(30, x.dtype)), const(-30, x.dtype)))
    beta = 1 + t * t
    rho = E.sqrt(1 + sh * sh)
    den = 1 + beta * sh * sh
    far = abs(x) > 20
    sign = copysign(const(1, x.dtype), x)
    fading = 4 * s.sin(y) * s.cos(y) * s.exp(-2 * abs(x))
    return Complex(select(far, sign, beta * rho * sh / den), select(far, fading, t / den))


@_function("sin")
def _sin(z: Complex) -> Complex:
    return _over_i(_sinh(_times_i(z)))


@_function("cos")
def _cos(z: Complex) -> Complex:
    return _cosh(_times_i(z))


@_function("tan")
def _tan(z: Complex) -> Complex:
    return _over_i(_tanh(_times_i(z)))


@_function("asin")
def _asin(z: Complex) -> Complex:
    a, b = _sqrt(_one_minus(z)), _sqrt(z + 1)
    return Complex(s.atan2(z.re, a.re * b.re - a.im * b.im), s.asinh(a.re * b.im - a.im * b.re))


@_function("acos")
def _acos(z: Complex) -> Complex:
    a, b = _sqrt(_one_minus(z)), _sqrt(z + 1)
    return Complex(s.atan2(a.re, b.re) * 2, s.asinh(b.re * a.im - b.im * a.re))


@_function("asinh")
def _asinh(z: Complex) -> Complex:
    return _over_i(_asin(_times_i(z)))


@_function("acosh")
def _acosh(z: Complex) -> Complex:
    a, b = _sqrt(z - 1), _sqrt(z + 1)
    return Complex(s.asinh(a.re * b.re + a.im * b.im), s.atan2(a.im, b.re) * 2)


@_function("atanh")
def _atanh(z: Complex) -> Complex:
    x, y = z.parts
    down, up = 1 - x, 1 + x
    re = s.log1p(4 * x / (down * down + y * y)) * 0.25
    im = s.atan2(2 * y, down * up - y * y) * 0.5
    huge = E.maximum(abs(x), abs(y)) > 1e150  # the squares overflow: 1/z, and a quarter turn
    inverse = Complex(const(1, x.dtype), const(0, x.dtype)) / z
    return Complex(select(huge, inverse.re, re), select(huge, copysign(const(math.pi / 2, x.dtype), y), im))


@_function("atan")
def _atan(z: Complex) -> Complex:
    return _over_i(_atanh(_times_i(z)))


@_function("sigmoid")
def _sigmoid(z: Complex) -> Complex:
    return 1 / (_exp(-z) + 1)


@_function("pow")
def _pow(z: Complex, w: Complex) -> Complex:
    power = _exp(w * _log(z))
    zero, one = const(0, z.re.dtype), const(1, z.re.dtype)
    at_zero = z.re.eq(0) & z.im.eq(0) & (w.re > 0)
    whole = w.re.eq(0) & w.im.eq(0)
    re = select(whole, one, select(at_zero, zero, power.re))
    return Complex(re, select(whole | at_zero, zero, power.im))


def _one_minus(z: Complex) -> Complex:
    """1 - z; the sign of a zero imaginary part, which chooses the side of a branch cut, is kept."""
    return Complex(1 - z.re, -z.im)


# -- predicates --------------------------------------------------------------------------------------------------------
def isnan(z: Complex) -> Expr:
    return s.isnan(z.re) | s.isnan(z.im)


def isinf(z: Complex) -> Expr:
    return s.isinf(z.re) | s.isinf(z.im)


def isfinite(z: Complex) -> Expr:
    return s.isfinite(z.re) & s.isfinite(z.im)


FUNCTIONS.update(isnan=isnan, isinf=isinf, isfinite=isfinite)


# -- loads, and the gradient of a formula that is not holomorphic ----------------------------------------------------
def load(slot: int, dtype: str):
    """The element of an operand whose first kernel slot is `slot`: complex operands take two."""
    if dtype in PART:
        return Complex(E.load(slot, PART[dtype]), E.load(slot + 1, PART[dtype]))
    return E.load(slot, dtype)


def gradient(results, seed, leaf):
    """The derivative of a real loss wrt `leaf` (d/dre + i d/dim), given that wrt the formula's result: the parts are
    differentiated as real functions."""
    pairs = list(zip(_parts(results), _parts(seed)))
    terms: list[Expr | None] = [None] * len(_parts(leaf))
    for root, g in pairs:
        for k, found in enumerate(s.gradient(root, g, _parts(leaf))):
            if found is not None:
                terms[k] = found if terms[k] is None else terms[k] + found
    if all(t is None for t in terms):
        return None
    part = _parts(leaf)[0].dtype
    filled = [const(0, part) if t is None else t for t in terms]
    return Complex(*filled) if isinstance(leaf, Complex) else filled[0]


def _parts(x) -> tuple[Expr, ...]:
    return x.parts if isinstance(x, Complex) else (x,)
