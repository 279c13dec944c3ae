"""Arithmetic, bitwise operators and what is built from them alone."""

from __future__ import annotations

from .expr import FLOATS, Expr
from .namespace import F
from .scalar import (as_expr, atan2, ceil, copysign, exp, exp2, floor, isinf, isnan, log, log1p, log2, maximum, minimum, pow, rint, select, sign,
                     sqrt, trunc)  # fmt: skip
from .table import composite, discrete, floating, integral, numeric, pointwise

_signed = ("i8", "i16", "i32", "i64", *floating)


def _is_float(x: Expr) -> bool:
    return x.dtype in FLOATS


# -- the four operations -------------------------------------------------------------------------------------------------
def _scaled(name):
    """PyTorch's `alpha`, and names of one-sided spellings: the plain operator does not take them."""

    def front(input, other, *, alpha=1, out=None):
        if alpha != 1:
            other = F.mul(other, alpha) if isinstance(other, F.Tensor) else other * alpha
        op = getattr(F, name)
        return op(input, other) if out is None else op(input, other, out=out)

    return front


pointwise("add", lambda a, b: a | b if a.dtype == "b1" else a + b, grad=(lambda g: g, lambda g: g), slots=("nb_add",), front=_scaled("add"),
          role="add", oracle="a + b", doc="input + alpha * other.")  # fmt: skip
pointwise("sub", lambda a, b: a - b, grad=(lambda g: g, lambda g: -g), accepts=numeric, slots=("nb_subtract",), aliases=("subtract",),
          front=_scaled("sub"), oracle="a - b", doc="input - alpha * other.")  # fmt: skip
pointwise("mul", lambda a, b: a & b if a.dtype == "b1" else a * b, grad=(lambda g, a, b: g * b, lambda g, a: g * a), slots=("nb_multiply",),
          aliases=("multiply",), oracle="a * b", doc="input * other.")  # fmt: skip


def _div_front(input, other, *, rounding_mode=None, out=None):
    if rounding_mode is None:
        result = F.div(input, other)
    elif rounding_mode == "floor":
        result = F.floor_divide(input, other)
    elif rounding_mode == "trunc":
        result = F._div_trunc(input, other)
    else:
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    return F.write_out("div", result, out)


pointwise("div", lambda a, b: a / b, grad=(lambda g, a, b: g / b, lambda g, a, b, y: -(g * (y / b))), to_float=True, accepts=floating,
          slots=("nb_true_divide",), aliases=("divide", "true_divide"), front=_div_front, oracle="a / b", domain=((-3, 3), (0.5, 3)),
          doc="input / other; integers divide to the default float dtype. rounding_mode: None, 'trunc' or 'floor'.")  # fmt: skip
pointwise("_div_trunc", lambda a, b: trunc(a / b), grad=False, accepts=numeric, method=False, oracle="numpy.trunc(a / b).astype(a.dtype)",
          domain=((-9, 9), (1, 5)), doc="Quotient rounded toward zero.")  # fmt: skip


def _differ_in_sign(r, b):
    return r.ne(0) & (r < 0).ne(b < 0)


def _floor_divide(a, b):
    if not _is_float(a):
        q = a / b
        return q if a.dtype == "u8" else select(_differ_in_sign(a % b, b), q - 1, q)
    # The exact remainder decides, as Python's // does; a plain floor(a / b) is off where the quotient rounds up.
    r = a % b
    q = (a - r) / b
    q = select(_differ_in_sign(r, b), q - 1, q)
    whole = floor(q)
    whole = select(q - whole > 0.5, whole + 1, whole)
    return select(b.eq(0), a / b, select(q.ne(0), whole, copysign(as_expr(0, a.dtype), a / b)))


def _remainder(a, b):
    r = a % b
    if a.dtype == "u8":
        return r
    return select(_differ_in_sign(r, b), r + b, r)


pointwise("floor_divide", _floor_divide, grad=False, accepts=numeric, slots=("nb_floor_divide",), oracle="numpy.floor_divide(a, b)",
          domain=((-9, 9), (1, 5)), doc="Quotient rounded toward minus infinity.")  # fmt: skip
pointwise("remainder", _remainder, grad=(lambda g: g, lambda g, a, b: -(g * floor(a / b))), accepts=numeric, slots=("nb_remainder",),
          oracle="numpy.remainder(a, b)", domain=((-9, 9), (1, 5)), doc="Remainder with the sign of the divisor, as Python's %.")  # fmt: skip
pointwise("fmod", lambda a, b: a % b, grad=(lambda g: g, lambda g, a, b: -(g * trunc(a / b))), accepts=numeric, oracle="numpy.fmod(a, b)",
          domain=((-9, 9), (1, 5)), doc="Remainder with the sign of the dividend, as C's fmod.")  # fmt: skip

# -- one operand ---------------------------------------------------------------------------------------------------------
pointwise("neg", lambda x: -x, grad=lambda g: -g, accepts=numeric, slots=("nb_negative",), aliases=("negative",), oracle="-x", doc="-input.")
pointwise("abs", lambda x: abs(x), grad=lambda g, x: g * sign(x), accepts=numeric, slots=("nb_absolute",), aliases=("absolute",),
          oracle="numpy.abs(x)", doc="Absolute value.")  # fmt: skip
pointwise("sign", sign, grad=lambda g: as_expr(0, g.dtype), oracle="numpy.sign(x)", doc="-1, 0 or 1.", aliases=("sgn",))
pointwise("square", lambda x: x * x, grad=lambda g, x: g * (x * 2), accepts=numeric, oracle="x * x", doc="input * input.")
pointwise("reciprocal", lambda x: 1 / x, grad=lambda g, x, y: -(g * (y * y)), to_float=True, accepts=floating, oracle="1 / x", domain=(0.5, 3),
          doc="1 / input.")  # fmt: skip
pointwise("floor", floor, grad=lambda g: as_expr(0, g.dtype), accepts=numeric, oracle="numpy.floor(x)", doc="Largest integer <= input.")
pointwise("ceil", ceil, grad=lambda g: as_expr(0, g.dtype), accepts=numeric,
          oracle="numpy.ceil(x)", doc="Smallest integer >= input.")  # fmt: skip
pointwise("trunc", trunc, grad=lambda g: as_expr(0, g.dtype), accepts=numeric, aliases=("fix",), oracle="numpy.trunc(x)",
          doc="Integer part.")  # fmt: skip
pointwise("frac", lambda x: x - trunc(x), grad=lambda g: g, accepts=floating, oracle="x - numpy.trunc(x)", doc="Fractional part.")
pointwise("deg2rad", lambda x: x * 0.017453292519943295, to_float=True, accepts=floating, oracle="numpy.deg2rad(x)", doc="Degrees to radians.")
pointwise("rad2deg", lambda x: x * 57.29577951308232, to_float=True, accepts=floating, oracle="numpy.rad2deg(x)", doc="Radians to degrees.")


def _round_front(input, *, decimals=0, out=None):
    if decimals == 0:
        result = F.round(input)
    elif not input.is_floating_point():
        raise RuntimeError(f"round(): decimals={decimals} needs a floating point input, got {input.dtype}")
    else:
        result = F._round_decimals(input, 10.0 ** abs(decimals)) if decimals > 0 else F._round_tens(input, 10.0 ** abs(decimals))
    return F.write_out("round", result, out)


pointwise("round", rint, grad=lambda g: as_expr(0, g.dtype), accepts=numeric, front=_round_front, slots=(), oracle="numpy.round(x)",
          doc="Nearest integer, halves to even; with decimals, to that many decimal places.")  # fmt: skip
pointwise("_round_decimals", lambda x, p: rint(x * p) / p, types="Tp->T", params="Tensor input, Number power", accepts=floating, method=False,
          grad=(lambda g: as_expr(0, g.dtype), None))  # fmt: skip
pointwise("_round_tens", lambda x, p: rint(x / p) * p, types="Tp->T", params="Tensor input, Number power", accepts=floating, method=False,
          grad=(lambda g: as_expr(0, g.dtype), None))  # fmt: skip

# -- bits ----------------------------------------------------------------------------------------------------------------
pointwise("bitwise_and", lambda a, b: a & b, grad=False, accepts=discrete, slots=("nb_and",), oracle="a & b", doc="Bitwise and.")
pointwise("bitwise_or", lambda a, b: a | b, grad=False, accepts=discrete, slots=("nb_or",), oracle="a | b", doc="Bitwise or.")
pointwise("bitwise_xor", lambda a, b: a ^ b, grad=False, accepts=discrete, slots=("nb_xor",), oracle="a ^ b", doc="Bitwise exclusive or.")
pointwise("bitwise_not", lambda x: ~x, grad=False, accepts=discrete, slots=("nb_invert",), oracle="~x", doc="Bitwise not.")


def _bits(x):
    return {"u8": 8, "i8": 8, "i16": 16, "i32": 32, "i64": 64}[x.dtype]


def _shift_left(a, b):  # a shift by the width or more (or a negative one) is undefined on the machine: give 0, as PyTorch
    inside = (b < _bits(a)) if b.dtype == "u8" else (b >= 0) & (b < _bits(a))
    return select(inside, a << select(inside, b, 0), 0)


def _shift_right(a, b):
    inside = (b < _bits(a)) if b.dtype == "u8" else (b >= 0) & (b < _bits(a))
    return a >> select(inside, b, _bits(a) - 1) if a.dtype != "u8" else select(inside, a >> select(inside, b, 0), 0)


pointwise("bitwise_left_shift", _shift_left, grad=False, accepts=integral, slots=("nb_lshift",), aliases=("__lshift__",), oracle="a << b",
          domain=((-9, 9), (0, 5)), doc="input << other.")  # fmt: skip
pointwise("bitwise_right_shift", _shift_right, grad=False, accepts=integral, slots=("nb_rshift",), aliases=("__rshift__",), oracle="a >> b",
          domain=((-9, 9), (0, 5)), doc="input >> other; arithmetic on signed integers.")  # fmt: skip

# -- powers --------------------------------------------------------------------------------------------------------------


def _integer_pow(a, b):
    """Repeated squaring over the bits of b; a negative exponent gives 0 unless the base is 1 or -1."""
    result = one = as_expr(1, a.dtype)
    factor = a
    bits = _bits(a) - (b.dtype != "u8")
    for k in range(bits):
        result = select(((b >> k) & 1).ne(0), result * factor, result)
        factor = factor * factor
    if b.dtype == "u8":
        return result
    negative = select(a.eq(1), one, select(a.eq(-1), select((b & 1).eq(0), one, -one), 0))
    return select(b < 0, negative, result)


def _pow(a, b):
    return pow(a, b) if _is_float(a) else _integer_pow(a, b)


pointwise("_pow", _pow, accepts=numeric, method=False, oracle="numpy.power(a, b)", domain=((0.3, 3), (0, 3)),
          grad=(lambda g, a, b: select(b.eq(0), 0, g * (b * pow(a, b - 1))),
                lambda g, a, b, y: select(a.eq(0) & (b >= 0), 0, g * (y * log(a)))))  # fmt: skip


@composite("pow", method=True, out=True, inplace=True, slots=("nb_power",), oracle="numpy.power(a, b)")
def pow_(input, exponent):
    """input ** exponent. Common exponents take the cheaper operator that gives the same or a better result."""
    if type(exponent) in (int, float) and isinstance(input, F.Tensor):
        if exponent == 2 and input.dtype is not F.bool:
            return F.square(input)
        if exponent == 1:
            return F.clone(input)
        floats = input.is_floating_point()
        if exponent == 3 and floats:
            return F._cube(input)
        if exponent == 0.5 and floats:
            return F.sqrt(input)
        if exponent == -0.5 and floats:
            return F.rsqrt(input)
        if exponent == -1 and floats:
            return F.reciprocal(input)
        if not floats and type(exponent) is int and exponent < 0:
            raise RuntimeError("Integers to negative integer powers are not allowed.")
    elif not isinstance(input, F.Tensor) and not isinstance(exponent, F.Tensor):
        raise TypeError(f"pow(): argument 'input' must be Tensor, got {type(input).__name__}")
    return F._pow(input, exponent)


pointwise("_cube", lambda x: x * x * x, accepts=floating, method=False, grad=lambda g, x: g * (x * x * 3), oracle="x * x * x")

# -- two and more operands -------------------------------------------------------------------------------------------------


def _half_tie(first, g, a, b):
    """Gradient of minimum and maximum: to the chosen side, halves to both at a tie."""
    return select(first, g, select(a.eq(b), g * 0.5, 0))


pointwise("maximum", lambda a, b: a | b if a.dtype == "b1" else maximum(a, b), oracle="numpy.maximum(a, b)",
          grad=(lambda g, a, b: _half_tie(a > b, g, a, b), lambda g, a, b: _half_tie(b > a, g, a, b)),
          doc="Larger of the two; NaN if either is.")  # fmt: skip
pointwise("minimum", lambda a, b: a & b if a.dtype == "b1" else minimum(a, b), oracle="numpy.minimum(a, b)",
          grad=(lambda g, a, b: _half_tie(a < b, g, a, b), lambda g, a, b: _half_tie(b < a, g, a, b)),
          doc="Smaller of the two; NaN if either is.")  # fmt: skip
pointwise("fmax", lambda a, b: select(isnan(a), b, select(isnan(b), a, maximum(a, b))), accepts=numeric, oracle="numpy.fmax(a, b)",
          grad=(lambda g, a, b: select((a >= b) | isnan(b), g, 0), lambda g, a, b: select((a >= b) | isnan(b), 0, g)),
          doc="Larger of the two; a number wins over NaN.")  # fmt: skip
pointwise("fmin", lambda a, b: select(isnan(a), b, select(isnan(b), a, minimum(a, b))), accepts=numeric, oracle="numpy.fmin(a, b)",
          grad=(lambda g, a, b: select((a <= b) | isnan(b), g, 0), lambda g, a, b: select((a <= b) | isnan(b), 0, g)),
          doc="Smaller of the two; a number wins over NaN.")  # fmt: skip


def _hypot(a, b):  # scaled by the larger side, so that squares neither overflow nor vanish
    a, b = abs(a), abs(b)
    big, small = maximum(a, b), minimum(a, b)
    ratio = small / select(big.eq(0), 1, big)
    return select(isinf(a) | isinf(b), as_expr(float("inf"), a.dtype), big * sqrt(ratio * ratio + 1))


pointwise("hypot", _hypot, accepts=floating, oracle="numpy.hypot(a, b)", grad=(lambda g, a, b, y: g * (a / y), lambda g, a, b, y: g * (b / y)),
          doc="sqrt(input**2 + other**2) without overflow.")  # fmt: skip
pointwise("atan2", atan2, types="TT->T", to_float=True, accepts=floating, aliases=("arctan2",), oracle="numpy.arctan2(a, b)",
          doc="Angle of the point (other, input).")  # fmt: skip
pointwise("copysign", copysign, to_float=True, accepts=floating, oracle="numpy.copysign(a, b)",
          grad=(lambda g, a, b: g * select(a.eq(0), 0, copysign(as_expr(1, a.dtype), a) * copysign(as_expr(1, a.dtype), b)),
                lambda g: as_expr(0, g.dtype)), doc="Magnitude of input, sign of other.")  # fmt: skip
pointwise("xlogy", lambda a, b: select(isnan(b), b, select(a.eq(0), 0, a * log(b))), to_float=True, accepts=floating,
          grad=(lambda g, a, b: select(a.eq(0) & (b <= 0), 0, g * log(b)), lambda g, a, b: g * (a / b)), domain=((0.1, 3), (0.1, 3)),
          oracle="scipy.special.xlogy(a, b)", doc="input * log(other), 0 where input is 0.")  # fmt: skip
pointwise("heaviside", lambda a, b: select(a.eq(0), b, select(a > 0, as_expr(1, a.dtype), 0)), grad=False, oracle="numpy.heaviside(a, b)",
          accepts=numeric, params="Tensor input, Tensor values", doc="0 below zero, 1 above, values at zero.")  # fmt: skip


def _logaddexp(a, b):
    big = maximum(a, b)
    return select(isinf(a) & a.eq(b), a, big + log1p(exp(-abs(a - b))))


pointwise("logaddexp", _logaddexp, accepts=floating, oracle="numpy.logaddexp(a, b)",
          grad=(lambda g, a, b, y: g * exp(a - y), lambda g, a, b, y: g * exp(b - y)), doc="log(exp(input) + exp(other)).")  # fmt: skip
pointwise("logaddexp2", lambda a, b: select(isinf(a) & a.eq(b), a, maximum(a, b) + log2(exp2(-abs(a - b)) + 1)), accepts=floating,
          grad=(lambda g, a, b, y: g * exp2(a - y), lambda g, a, b, y: g * exp2(b - y)), oracle="numpy.logaddexp2(a, b)",
          doc="log2(2**input + 2**other).")  # fmt: skip
pointwise("ldexp", lambda a, b: a * exp2(b), to_float=True, accepts=floating, oracle="a * 2 ** b", doc="input * 2**other.")


def _lerp(a, b, w):  # from the nearer end, so that w = 1 gives b exactly
    return select(abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w))


pointwise("lerp", _lerp, params="Tensor input, Tensor end, Tensor|Number weight", accepts=floating, oracle="a + c * (b - a)",
          grad=(lambda g, a, b, w: g * (1 - w), lambda g, a, b, w: g * w, lambda g, a, b: g * (b - a)),
          doc="input + weight * (end - input).")  # fmt: skip
pointwise("addcmul", lambda x, a, b, v: x + v * (a * b), types="TTTp->T", params="Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1",
          accepts=numeric, grad=(lambda g: g, lambda g, x, a, b, v: g * (b * v), lambda g, x, a, b, v: g * (a * v), None),
          samples=lambda t: [((t(3, 4), t(3, 4), t(4)), {}), ((t(3, 4), t(3, 1), t(4)), {"value": 0.5})],
          oracle="lambda x, a, b, value=1: x + value * (a * b)", doc="input + value * tensor1 * tensor2.")  # fmt: skip
pointwise("addcdiv", lambda x, a, b, v: x + v * (a / b), types="TTTp->T", params="Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1",
          accepts=floating, grad=(lambda g: g, lambda g, x, a, b, v: g * (v / b), lambda g, x, a, b, v: -(g * (v * (a / (b * b)))), None),
          samples=lambda t: [((t(3, 4), t(3, 4), t(4, low=0.5)), {}), ((t(3, 4), t(3, 1), t(4, low=0.5)), {"value": 0.5})],
          oracle="lambda x, a, b, value=1: x + value * (a / b)", doc="input + value * tensor1 / tensor2.")  # fmt: skip

# -- clamping ------------------------------------------------------------------------------------------------------------
# Bounds in PyTorch's order: max wins where min > max; NaN stays.
pointwise("_clamp", lambda x, lo, hi: minimum(maximum(x, lo), hi), params="Tensor input, Tensor|Number min, Tensor|Number max", accepts=numeric,
          method=False, grad=(lambda g, x, lo, hi: select((x >= lo) & (x <= hi), g, 0), lambda g, x, lo, hi: select((x < lo) & (lo < hi), g, 0),
                              lambda g, x, lo, hi: select((x > hi) | (lo > hi), g, 0)),
          oracle="numpy.minimum(numpy.maximum(a, b), c)", domain=((-3, 3), (-2, -1), (1, 2)))  # fmt: skip
pointwise("_clamp_min", lambda x, lo: maximum(x, lo), params="Tensor input, Tensor|Number min", accepts=numeric, method=False,
          grad=(lambda g, x, lo: select(x >= lo, g, 0), lambda g, x, lo: select(x < lo, g, 0)), oracle="numpy.maximum(a, b)")  # fmt: skip
pointwise("_clamp_max", lambda x, hi: minimum(x, hi), params="Tensor input, Tensor|Number max", accepts=numeric, method=False,
          grad=(lambda g, x, hi: select(x <= hi, g, 0), lambda g, x, hi: select(x > hi, g, 0)), oracle="numpy.minimum(a, b)")  # fmt: skip


@composite(method=True, out=True, inplace=True, aliases=("clip",), oracle="lambda x, min=None, max=None: numpy.clip(x, min, max)",
           samples=lambda t: [((t(3, 4),), {"min": -0.5, "max": 0.5}), ((t(3, 4),), {"min": 0.25}), ((t(3, 4),), {"max": 0.25}),
                              ((t(3, 4), t(4, low=-1, high=-0.2), t(3, 1, low=0.2, high=1)), {})])  # fmt: skip
def clamp(input, min=None, max=None):
    """Limits the elements to [min, max]; either bound may be left out, and may be a number or a tensor."""
    if min is None and max is None:
        raise RuntimeError("clamp(): at least one of 'min' or 'max' must not be None")
    if min is None:
        return F._clamp_max(input, max)
    return F._clamp_min(input, min) if max is None else F._clamp(input, min, max)


@composite(method=True, out=True, inplace=True)
def clamp_min(input, min):
    """Limits the elements from below."""
    return F._clamp_min(input, min)


@composite(method=True, out=True, inplace=True)
def clamp_max(input, max):
    """Limits the elements from above."""
    return F._clamp_max(input, max)


@composite(method=True)
def positive(input):
    """The input itself; an error on bool."""
    if input.dtype is F.bool:
        raise RuntimeError("positive(): the + operator is not supported on bool tensors")
    return input


@composite(out=True)
def rsub(input, other, *, alpha=1):
    """other - alpha * input."""
    return F.sub(other, input if alpha == 1 else F.mul(input, alpha))


@composite(method=True, out=True, inplace=True)
def float_power(input, exponent):
    """input ** exponent in float64."""
    as_double = [x.double() if isinstance(x, F.Tensor) else float(x) for x in (input, exponent)]
    return F._pow(*as_double)


def _nan_to_num(x, nan, high, low):
    return select(isnan(x), nan, select(x.eq(float("inf")), high, select(x.eq(float("-inf")), low, x)))


pointwise("_nan_to_num", _nan_to_num, types="Tppp->T", params="Tensor input, Number nan, Number posinf, Number neginf", accepts=floating, method=False,
          grad=(lambda g, x: select(isinf(x) | isnan(x), 0, g), None, None, None))  # fmt: skip


@composite(method=True, out=True, inplace=True)
def nan_to_num(input, nan=0.0, posinf=None, neginf=None):
    """Replaces NaN and infinities by numbers (the dtype's extremes where not given)."""
    if not input.is_floating_point():
        return F.clone(input)
    info = F.finfo(input.dtype)
    return F._nan_to_num(input, nan, info.max if posinf is None else posinf, info.min if neginf is None else neginf)


