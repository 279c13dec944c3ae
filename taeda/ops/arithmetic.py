"""Arithmetic, bitwise operators and what is built from them alone."""

from __future__ import annotations

from .bits import bit_count
from .expr import FLOATS, Compound, Expr
from .namespace import F
from .scalar import (
    as_expr,
    atan2,
    ceil,
    copysign,
    exp,
    exp2,
    floor,
    isinf,
    isnan,
    log,
    log1p,
    log2,
    maximum,
    minimum,
    pow,
    rint,
    select,
    sign,
    sqrt,
    trunc,
)
from .table import composite, everything, field, floating, numbers, numeric, pointwise

_signed = ("i8", "i16", "i32", "i64", *floating)


def _is_float(x: Expr) -> bool:
    return x.dtype in FLOATS


# -- the four operations -----------------------------------------------------------------------------------------------
def _misfit(op, input, other):
    """The error for operands that are neither tensors nor numbers (a front gets what the schema refused)."""
    for name, x in (("input", input), ("other", other)):
        if not isinstance(x, (F.Tensor, bool, int, float, complex)):
            return TypeError(f"{op}(): argument '{name}' must be Tensor or Number, not {type(x).__name__}")
    return TypeError(f"{op}(): at least one argument must be a Tensor")


def _scaled(name):
    """PyTorch's `alpha`, which the plain operator does not take."""

    def front(input, other, *, alpha=1):
        tensor = isinstance(other, F.Tensor)
        if not isinstance(input, F.Tensor) or not (tensor or isinstance(other, (bool, int, float, complex))):
            raise _misfit(name, input, other)
        if isinstance(alpha, (bool, float, complex)):
            kind = F.result_type(input, other)
            if isinstance(alpha, bool) and kind is not F.bool:
                raise RuntimeError("Boolean alpha only supported for Boolean results.")
            if isinstance(alpha, complex) and not kind.is_complex:
                raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
            if isinstance(alpha, float) and not (kind.is_floating_point or kind.is_complex):
                raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
        if alpha == 1 or (tensor and other.dtype is F.bool and input.dtype is F.bool):
            return getattr(F, name)(input, other if alpha else F.logical_and(other, False))
        return getattr(F, name)(input, F.mul(other, alpha) if tensor else other * alpha)

    return front


pointwise(
    "add",
    lambda a, b: a | b if a.dtype == "b1" else a + b,
    grad=(lambda g: g, lambda g: g),
    slots=("nb_add",),
    front=_scaled("add"),
    role="add",
    accepts=everything,
    oracle="a + b",
    doc="input + alpha * other.",
)
pointwise(
    "sub",
    lambda a, b: a - b,
    grad=(lambda g: g, lambda g: -g),
    accepts=numbers,
    slots=("nb_subtract",),
    aliases=("subtract",),
    front=_scaled("sub"),
    oracle="a - b",
    doc="input - alpha * other.",
)
pointwise(
    "mul",
    lambda a, b: a & b if a.dtype == "b1" else a * b,
    grad=(lambda g, a, b: g * b, lambda g, a: g * a),
    slots=("nb_multiply",),
    aliases=("multiply",),
    accepts=everything,
    oracle="a * b",
    doc="input * other.",
)


def _div_front(input, other, *, rounding_mode=None):
    ops = {None: F.div, "floor": F.floor_divide, "trunc": F._div_trunc}
    if rounding_mode not in ops:
        raise RuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    if not isinstance(input, F.Tensor) or not isinstance(other, (F.Tensor, bool, int, float, complex)):
        raise _misfit("div", input, other)
    return ops[rounding_mode](input, other)


pointwise(
    "div",
    lambda a, b: a / b,
    grad=(lambda g, a, b: g / b, lambda g, a, b, y: -(g * (y / b))),
    to_float=True,
    accepts=field,
    slots=("nb_true_divide",),
    aliases=("divide", "true_divide"),
    front=_div_front,
    oracle="a / b",
    domain=((-3, 3), (0.5, 3)),
    doc="input / other; integers divide to the default float dtype. rounding_mode: None, 'trunc' or 'floor'.",
)
pointwise(
    "_div_trunc",
    lambda a, b: trunc(a / b),
    grad=False,
    traits={"divisor": 1},
    accepts=numeric,
    method=False,
    oracle="numpy.trunc(a / b).astype(a.dtype)",
    domain=((-9, 9), (1, 5)),
    doc="Quotient rounded toward zero.",
)


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


pointwise(
    "floor_divide",
    _floor_divide,
    grad=False,
    traits={"divisor": 1},
    accepts=numeric,
    slots=("nb_floor_divide",),
    oracle="numpy.floor_divide(a, b)",
    domain=((-9, 9), (1, 5)),
    doc="Quotient rounded toward minus infinity.",
)
pointwise(
    "remainder",
    _remainder,
    grad=(lambda g: g, lambda g, a, b: -(g * floor(a / b))),
    traits={"divisor": 1},
    accepts=numeric,
    slots=("nb_remainder",),
    oracle="numpy.remainder(a, b)",
    domain=((-9, 9), (1, 5)),
    doc="Remainder with the sign of the divisor, as Python's %.",
)
pointwise(
    "fmod",
    lambda a, b: a % b,
    grad=(lambda g: g, lambda g, a, b: -(g * trunc(a / b))),
    traits={"divisor": 1},
    accepts=numeric,
    oracle="numpy.fmod(a, b)",
    domain=((-9, 9), (1, 5)),
    doc="Remainder with the sign of the dividend, as C's fmod.",
)

# -- one operand -------------------------------------------------------------------------------------------------------
pointwise(
    "neg",
    lambda x: -x,
    grad=lambda g: -g,
    accepts=numbers,
    slots=("nb_negative",),
    aliases=("negative",),
    oracle="-x",
    doc="-input.",
)
pointwise(
    "abs",
    lambda x: abs(x),
    types="T->r",
    inplace=True,
    grad=lambda g, x: g * sign(x),
    accepts=numbers,
    slots=("nb_absolute",),
    aliases=("absolute",),
    oracle="numpy.abs(x)",
    doc="Absolute value.",
)
pointwise(
    "sign",
    sign,
    grad=lambda g: as_expr(0, g.dtype),
    oracle="x if x.dtype == bool else numpy.sign(x)",
    doc="-1, 0 or 1.",
)
pointwise(
    "square", lambda x: x * x, grad=lambda g, x: g * (x * 2), accepts=numbers, oracle="x * x", doc="input * input."
)
pointwise(
    "reciprocal",
    lambda x: 1 / x,
    grad=lambda g, x, y: -(g * (y * y)),
    to_float=True,
    accepts=field,
    oracle="1 / x",
    domain=(0.5, 3),
    doc="1 / input.",
)
pointwise(
    "floor",
    floor,
    grad=lambda g: as_expr(0, g.dtype),
    accepts=numeric,
    oracle="numpy.floor(x)",
    doc="Largest integer <= input.",
)
pointwise(
    "ceil",
    ceil,
    grad=lambda g: as_expr(0, g.dtype),
    accepts=numeric,
    oracle="numpy.ceil(x)",
    doc="Smallest integer >= input.",
)
pointwise(
    "trunc",
    trunc,
    grad=lambda g: as_expr(0, g.dtype),
    accepts=numeric,
    aliases=("fix",),
    oracle="numpy.trunc(x)",
    doc="Integer part.",
)
pointwise(
    "frac",
    lambda x: x - trunc(x),
    grad=lambda g: g,
    accepts=floating,
    oracle="x - numpy.trunc(x)",
    doc="Fractional part.",
)
pointwise(
    "deg2rad",
    lambda x: x * 0.017453292519943295,
    to_float=True,
    accepts=floating,
    oracle="numpy.deg2rad(x)",
    doc="Degrees to radians.",
)
pointwise(
    "rad2deg",
    lambda x: x * 57.29577951308232,
    to_float=True,
    accepts=floating,
    oracle="numpy.rad2deg(x)",
    doc="Radians to degrees.",
)


def _round_front(input, *, decimals=0):
    if not isinstance(input, F.Tensor):
        raise TypeError(f"round(): argument 'input' must be Tensor, not {type(input).__name__}")
    if decimals == 0:
        return F.round(input)
    if not input.is_floating_point():
        raise RuntimeError(f"round(): decimals={decimals} needs a floating point input, got {input.dtype}")
    return (F._round_decimals if decimals > 0 else F._round_tens)(input, 10.0 ** abs(decimals))


pointwise(
    "round",
    rint,
    grad=lambda g: as_expr(0, g.dtype),
    accepts=numeric,
    front=_round_front,
    slots=(),
    oracle="numpy.round(x)",
    doc="Nearest integer, halves to even; with decimals, to that many decimal places.",
)
pointwise(
    "_round_decimals",
    lambda x, p: rint(x * p) / p,
    types="Tp->T",
    params="Tensor input, Number power",
    accepts=floating,
    method=False,
    grad=(lambda g: as_expr(0, g.dtype), None),
)
pointwise(
    "_round_tens",
    lambda x, p: rint(x / p) * p,
    types="Tp->T",
    params="Tensor input, Number power",
    accepts=floating,
    method=False,
    grad=(lambda g: as_expr(0, g.dtype), None),
)

# -- powers ------------------------------------------------------------------------------------------------------------


def _integer_pow(a, b):
    """Repeated squaring over the bits of b; a negative exponent gives 0 unless the base is 1 or -1."""
    result = one = as_expr(1, a.dtype)
    factor = a
    bits = bit_count(a) - (b.dtype != "u8")
    for k in range(bits):
        result = select(((b >> k) & 1).ne(0), result * factor, result)
        factor = factor * factor
    if b.dtype == "u8":
        return result
    negative = select(a.eq(1), one, select(a.eq(-1), select((b & 1).eq(0), one, -one), 0))
    return select(b < 0, negative, result)


def _real_part(x):
    return x.parts[0] if isinstance(x, Compound) else x


def _pow(a, b):
    return pow(a, b) if _is_float(a) or isinstance(a, Compound) else _integer_pow(a, b)


pointwise(
    "_pow",
    _pow,
    accepts=numbers,
    method=False,
    oracle="numpy.power(a, b)",
    domain=((0.3, 3), (0, 3)),
    grad=(
        lambda g, a, b: select(b.eq(0), 0, g * (b * pow(a, b - 1))),
        lambda g, a, b, y: select(a.eq(0) & (_real_part(b) >= 0), 0, g * (y * log(a))),
    ),
)


@composite("pow", method=True, out=True, inplace=True, slots=("nb_power",), oracle="numpy.power(a, b)")
def pow_(input: object, exponent):
    """input ** exponent. Common exponents take the cheaper operator that gives the same or a better result."""
    if type(exponent) in (int, float) and isinstance(input, F.Tensor):
        floats = input.is_floating_point() or input.is_complex()
        plain = floats or (type(exponent) is int and input.dtype is not F.bool)  # the result is of the input's dtype
        if exponent == 2 and plain:
            return F.square(input)
        if exponent == 1 and plain:
            return F.clone(input)
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


pointwise(
    "_cube", lambda x: x * x * x, accepts=field, method=False, grad=lambda g, x: g * (x * x * 3), oracle="x * x * x"
)

# -- two and more operands ---------------------------------------------------------------------------------------------


def _half_tie(other, g, a, b):
    """Gradient of minimum and maximum: none where the other side is chosen, halves to both at a tie; NaN chooses
    both."""
    return select(other, 0, select(a.eq(b), g * 0.5, g))


pointwise(
    "maximum",
    lambda a, b: a | b if a.dtype == "b1" else maximum(a, b),
    oracle="numpy.maximum(a, b)",
    grad=(lambda g, a, b: _half_tie(a < b, g, a, b), lambda g, a, b: _half_tie(b < a, g, a, b)),
    doc="Larger of the two; NaN if either is.",
)
pointwise(
    "minimum",
    lambda a, b: a & b if a.dtype == "b1" else minimum(a, b),
    oracle="numpy.minimum(a, b)",
    grad=(lambda g, a, b: _half_tie(a > b, g, a, b), lambda g, a, b: _half_tie(b > a, g, a, b)),
    doc="Smaller of the two; NaN if either is.",
)
pointwise(
    "fmax",
    lambda a, b: select(isnan(a), b, select(isnan(b), a, maximum(a, b))),
    accepts=numeric,
    oracle="numpy.fmax(a, b)",
    grad=(lambda g, a, b: select((a >= b) | isnan(b), g, 0), lambda g, a, b: select((a >= b) | isnan(b), 0, g)),
    doc="Larger of the two; a number wins over NaN.",
)
pointwise(
    "fmin",
    lambda a, b: select(isnan(a), b, select(isnan(b), a, minimum(a, b))),
    accepts=numeric,
    oracle="numpy.fmin(a, b)",
    grad=(lambda g, a, b: select((a <= b) | isnan(b), g, 0), lambda g, a, b: select((a <= b) | isnan(b), 0, g)),
    doc="Smaller of the two; a number wins over NaN.",
)


def _hypot(a, b):  # scaled by the larger side, so that squares neither overflow nor vanish
    a, b = abs(a), abs(b)
    big, small = maximum(a, b), minimum(a, b)
    ratio = small / select(big.eq(0), 1, big)
    return select(isinf(a) | isinf(b), as_expr(float("inf"), a.dtype), big * sqrt(ratio * ratio + 1))


pointwise(
    "hypot",
    _hypot,
    accepts=floating,
    oracle="numpy.hypot(a, b)",
    grad=(lambda g, a, b, y: g * (a / y), lambda g, a, b, y: g * (b / y)),
    doc="sqrt(input**2 + other**2) without overflow.",
)
pointwise(
    "atan2",
    atan2,
    types="TT->T",
    to_float=True,
    accepts=floating,
    aliases=("arctan2",),
    oracle="numpy.arctan2(a, b)",
    doc="Angle of the point (other, input).",
)
pointwise(
    "copysign",
    copysign,
    to_float=True,
    accepts=floating,
    oracle="numpy.copysign(a, b)",
    grad=(
        lambda g, a, b: g * select(a.eq(0), 0, copysign(as_expr(1, a.dtype), a) * copysign(as_expr(1, a.dtype), b)),
        lambda g: as_expr(0, g.dtype),
    ),
    doc="Magnitude of input, sign of other.",
)
pointwise(
    "xlogy",
    lambda a, b: select(isnan(b), b, select(a.eq(0), 0, a * log(b))),
    to_float=True,
    accepts=floating,
    grad=(lambda g, a, b: select(a.eq(0) & (b <= 0), 0, g * log(b)), lambda g, a, b: g * (a / b)),
    domain=((0.1, 3), (0.1, 3)),
    oracle="scipy.special.xlogy(a, b)",
    doc="input * log(other), 0 where input is 0.",
)
pointwise(
    "heaviside",
    lambda a, b: select(a.eq(0), b, select(a > 0, as_expr(1, a.dtype), 0)),
    grad=False,
    oracle="numpy.heaviside(a, b)",
    accepts=numeric,
    params="Tensor input, Tensor|Number values",
    doc="0 below zero, 1 above, values at zero.",
)


def _logaddexp(a, b):
    big = maximum(a, b)
    return select(isinf(a) & a.eq(b), a, big + log1p(exp(-abs(a - b))))


pointwise(
    "logaddexp",
    _logaddexp,
    accepts=floating,
    oracle="numpy.logaddexp(a, b)",
    grad=(lambda g, a, b, y: g * exp(a - y), lambda g, a, b, y: g * exp(b - y)),
    doc="log(exp(input) + exp(other)).",
)
pointwise(
    "logaddexp2",
    lambda a, b: select(isinf(a) & a.eq(b), a, maximum(a, b) + log2(exp2(-abs(a - b)) + 1)),
    accepts=floating,
    grad=(lambda g, a, b, y: g * exp2(a - y), lambda g, a, b, y: g * exp2(b - y)),
    oracle="numpy.logaddexp2(a, b)",
    doc="log2(2**input + 2**other).",
)
pointwise("ldexp", lambda a, b: a * exp2(b), to_float=True, accepts=field, oracle="a * 2 ** b", doc="input * 2**other.")


def _lerp(a, b, w):  # from the nearer end, so that w = 1 gives b exactly
    return select(abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w))


pointwise(
    "lerp",
    _lerp,
    params="Tensor input, Tensor end, Tensor|Number weight",
    accepts=field,
    oracle="a + c * (b - a)",
    grad=(lambda g, a, b, w: g * (1 - w), lambda g, a, b, w: g * w, lambda g, a, b: g * (b - a)),
    doc="input + weight * (end - input).",
)
pointwise(
    "addcmul",
    lambda x, a, b, v: x + v * (a * b),
    types="TTTp->T",
    params="Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1",
    accepts=numbers,
    grad=(lambda g: g, lambda g, x, a, b, v: g * (b * v), lambda g, x, a, b, v: g * (a * v), None),
    samples=lambda t: [((t(3, 4), t(3, 4), t(4)), {}), ((t(3, 4), t(3, 1), t(4)), {"value": 0.5})],
    oracle="lambda x, a, b, value=1: x + value * (a * b)",
    doc="input + value * tensor1 * tensor2.",
)
pointwise(
    "addcdiv",
    lambda x, a, b, v: x + v * (a / b),
    types="TTTp->T",
    params="Tensor input, Tensor tensor1, Tensor tensor2, *, Number value=1",
    accepts=field,
    grad=(lambda g: g, lambda g, x, a, b, v: g * (v / b), lambda g, x, a, b, v: -(g * (v * (a / (b * b)))), None),
    samples=lambda t: [((t(3, 4), t(3, 4), t(4, low=0.5)), {}), ((t(3, 4), t(3, 1), t(4, low=0.5)), {"value": 0.5})],
    oracle="lambda x, a, b, value=1: x + value * (a / b)",
    doc="input + value * tensor1 / tensor2.",
)
