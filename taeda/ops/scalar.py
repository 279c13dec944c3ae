"""Scalar primitives: the functions that operator formulas are written in.

`exp(x)` and its like build a *primitive* node. `lower` replaces primitives by their definitions over base nodes
(`taeda.ops.approximations`), and `gradient` differentiates an expression, with one derivative rule per primitive here.
`ULP` states each primitive's error bound, in units in the last place against the correctly rounded result; the tests hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import expr as _e
from .expr import (
    FLOATS,
    Compound,
    Expr,
    as_expr,
    binary,
    bitcast,
    cast,
    const,
    copysign,
    fma,
    index,
    load,
    make,
    maximum,
    minimum,
    prim,
    select,
)

#: Maximal error in ulp per primitive: (float32, float64).
ULP: dict[str, tuple[float, float]] = {}
_DERIVATIVES: dict[str, Callable] = {}
_DEFINITIONS: dict[str, Callable] = {}


def _function(name: str, derivative: Callable | None, ulp: tuple[float, float], arity: int = 1) -> Callable:
    """Registers primitive `name`; derivative(x, ..., y) gives the partial derivative(s) (a tuple when arity > 1)."""
    ULP[name] = ulp
    if derivative is not None:
        _DERIVATIVES[name] = derivative

    def function(*args):
        if any(isinstance(a, Compound) for a in args):
            return _on_complex(name, args)
        dtype = next((a.dtype for a in args if isinstance(a, Expr)), None)
        if dtype is None:
            raise TypeError(f"{name}(): needs a scalar expression, got {args!r}")
        if len(args) != arity:
            raise TypeError(f"{name}(): takes {arity} argument(s), got {len(args)}")
        if dtype not in FLOATS:
            raise TypeError(f"{name}(): defined on f32 and f64, got {dtype}")
        return prim(name, *(as_expr(a, dtype) for a in args))

    function.__name__ = function.__qualname__ = name
    return function


def _on_complex(name: str, args):
    from .complex_number import FUNCTIONS

    if name not in FUNCTIONS:
        raise TypeError(f"{name}(): not defined on complex numbers")
    return FUNCTIONS[name](*args)


def definition(name: str) -> Callable:
    """Decorator: `f(*args) -> Expr` defines primitive `name` over base nodes (and other primitives)."""

    def register(f: Callable) -> Callable:
        _DEFINITIONS[name] = f
        return f

    return register


_LN2, _LN10 = math.log(2), math.log(10)

exp = _function("exp", lambda x, y: y, (1, 1))
exp2 = _function("exp2", lambda x, y: y * _LN2, (1, 1))
expm1 = _function("expm1", lambda x, y: y + 1, (1.5, 1.5))
log = _function("log", lambda x, y: 1 / x, (1, 1))
log2 = _function("log2", lambda x, y: 1 / (x * _LN2), (1, 1.5))
log10 = _function("log10", lambda x, y: 1 / (x * _LN10), (1, 1.5))
log1p = _function("log1p", lambda x, y: 1 / (x + 1), (1.5, 1.5))
sin: Callable = _function("sin", lambda x, y: cos(x), (1, 1))
cos: Callable = _function("cos", lambda x, y: -sin(x), (1, 1))
tan = _function("tan", lambda x, y: y * y + 1, (1, 2))
asin = _function("asin", lambda x, y: rsqrt(1 - x * x), (1, 2))
acos = _function("acos", lambda x, y: -rsqrt(1 - x * x), (1, 2))
atan = _function("atan", lambda x, y: 1 / (x * x + 1), (1, 2))
sinh: Callable = _function("sinh", lambda x, y: cosh(x), (1, 2.5))
cosh: Callable = _function("cosh", lambda x, y: sinh(x), (1, 2.5))
tanh = _function("tanh", lambda x, y: 1 - y * y, (1.1, 1.2))
asinh = _function("asinh", lambda x, y: rsqrt(x * x + 1), (1, 3))
acosh = _function("acosh", lambda x, y: rsqrt(x * x - 1), (1, 3))
atanh = _function("atanh", lambda x, y: 1 / (1 - x * x), (1, 3))
erf = _function("erf", lambda x, y: (2 / math.sqrt(math.pi)) * exp(-(x * x)), (1.1, 1.2))
erfc = _function("erfc", lambda x, y: (-2 / math.sqrt(math.pi)) * exp(-(x * x)), (1, 3.5))
sigmoid = _function("sigmoid", lambda x, y: y * (1 - y), (2, 2))
pow: Callable = _function(
    "pow",
    lambda x, p, y: (
        select(p.eq(0), as_expr(0, x.dtype), p * pow(x, p - 1)),
        select(x.eq(0) & (p >= 0), as_expr(0, x.dtype), y * log(x)),
    ),
    (1, 1.5),
    arity=2,
)
atan2 = _function("atan2", lambda a, b, y: (b / (a * a + b * b), -a / (a * a + b * b)), (1, 2.5), arity=2)


def rsqrt(x: Expr) -> Expr:
    """1/sqrt(x): two correctly rounded operations."""
    if isinstance(x, Compound):
        return _on_complex("rsqrt", (x,))
    return 1 / _e.sqrt(x)


def sqrt(x: Expr) -> Expr:
    return _e.sqrt(x)


def floor(x: Expr) -> Expr:
    return _e.floor(x)


def ceil(x: Expr) -> Expr:
    return _e.ceil(x)


def trunc(x: Expr) -> Expr:
    return _e.trunc(x)


def rint(x: Expr) -> Expr:
    """Rounds to the nearest integer, halves to even."""
    return _e.rint(x)


def sign(x: Expr) -> Expr:
    """-1, 0 or 1; NaN gives 0, as PyTorch's does."""
    if x.dtype == "b1":
        return x
    one, zero = as_expr(1, x.dtype), as_expr(0, x.dtype)
    if x.dtype == "u8":
        return select(x.ne(0), one, zero)
    return select(x > 0, one, select(x < 0, as_expr(-1, x.dtype), zero))


def isnan(x: Expr) -> Expr:
    if isinstance(x, Compound):
        return _on_complex("isnan", (x,))
    return x.ne(x) if x.dtype in FLOATS else const(False, "b1")


def isinf(x: Expr) -> Expr:
    if isinstance(x, Compound):
        return _on_complex("isinf", (x,))
    return abs(x).eq(math.inf) if x.dtype in FLOATS else const(False, "b1")


def isfinite(x: Expr) -> Expr:
    if isinstance(x, Compound):
        return _on_complex("isfinite", (x,))
    return abs(x) < math.inf if x.dtype in FLOATS else const(True, "b1")


# -- random numbers ------------------------------------------------------------------------------------------------------
_U32 = 0xFFFFFFFF


def philox(seed: Expr, counter: Expr) -> tuple[Expr, Expr]:
    """Philox 2x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

    seed, counter: i64. The key is the seed's low half; its high half is mixed into the counter's. Returns two i64 holding
    independent uniform uint32 values.
    """
    key = seed & _U32
    lo = counter & _U32
    hi = ((counter >> 32) ^ (seed >> 32)) & _U32
    for round_number in range(10):
        if round_number:
            key = (key + 0x9E3779B9) & _U32
        product_lo = (lo * 0xD256D193) & _U32
        lo, hi = _e.mulhi_u32(lo, const(0xD256D193, "i64")) ^ key ^ hi, product_lo
    return lo, hi


def uniform(seed: Expr, counter: Expr, dtype: str) -> Expr:
    """Uniform in [0, 1): 24 random bits in float32, 53 in float64."""
    a, b = philox(seed, counter)
    if dtype == "f32":
        return cast(a >> 8, "f32") * 2.0**-24
    return cast(((a << 32) | b) >> 11 & ((1 << 53) - 1), "f64") * 2.0**-53


def normal(seed: Expr, counter: Expr, dtype: str) -> Expr:
    """Standard normal by Box and Muller (1958): sqrt(-2 ln u) cos(2 pi v), u in (0, 1]."""
    a, b = philox(seed, counter)
    if dtype == "f32":
        u = (cast(a >> 8, "f32") + 1) * 2.0**-24
        v = cast(b >> 8, "f32") * 2.0**-24
    else:
        u = (cast(a, "f64") + 1) * 2.0**-32
        v = cast(b, "f64") * 2.0**-32
    return _e.sqrt(-2 * log(u)) * cos(v * (2 * math.pi))


# -- lowering ------------------------------------------------------------------------------------------------------------
def lower(*roots: Expr) -> tuple[Expr, ...]:
    """The same expressions with every primitive replaced by its definition."""
    from . import approximations  # noqa: F401  (registers the definitions)

    done: dict[Expr, Expr] = {}
    for e in _e.topological(*roots):
        args = tuple(done[a] for a in e.args)
        if e.op == "prim":
            if e.attr not in _DEFINITIONS:
                from . import bessel_approximations, error_approximations, gamma_approximations  # noqa: F401
            done[e] = lower(_DEFINITIONS[str(e.attr)](*args))[0]
        elif e.op == "loop":
            body, k = e.attr
            condition, *steps = lower(body.condition, *body.steps)
            done[e] = make("loop", args, e.dtype, (_e.Loop(condition, tuple(steps), body.limit), k))
        else:
            done[e] = _e.rebuild(e, args)
    return tuple(done[r] for r in roots)


# -- differentiation -----------------------------------------------------------------------------------------------------
def _base_partials(e: Expr) -> tuple[Expr | None, ...]:
    """Partial derivative of a base node wrt each argument; None where it is zero or undefined."""
    op, a = e.op, e.args
    dtype = e.dtype

    def c(v):
        return as_expr(v, dtype)

    if op == "add":
        return c(1), c(1)
    if op == "sub":
        return c(1), c(-1)
    if op == "mul":
        return a[1], a[0]
    if op == "div":
        return 1 / a[1], -(e / a[1])
    if op == "neg":
        return (c(-1),)
    if op == "abs":
        return (sign(a[0]),)
    if op == "fma":
        return a[1], a[0], c(1)
    if op == "sqrt":
        return (1 / (e * 2),)
    if op in ("min", "max"):  # ties share the gradient equally
        first = a[0] < a[1] if op == "min" else a[0] > a[1]
        tie = a[0].eq(a[1])
        part = select(first, c(1), select(tie, c(0.5), c(0)))
        return part, 1 - part
    if op == "copysign":
        return copysign(c(1), a[0]) * copysign(c(1), a[1]), None
    if op == "rem":
        return c(1), -_e.trunc(a[0] / a[1])
    return (None,) * len(a)


def gradient(root: Expr, seed: Expr, leaves: tuple[Expr, ...]) -> tuple[Expr | None, ...]:
    """Reverse-mode derivative: d root / d leaf times `seed`, for each leaf; None where it does not depend on it."""
    reaches: set[int] = {id(leaf) for leaf in leaves}
    order = _e.topological(root)
    for e in order:
        if any(id(a) in reaches for a in e.args):
            reaches.add(id(e))
    sums: dict[Expr, Expr] = {root: seed}
    for e in reversed(order):
        g = sums.get(e)
        if g is None or e.dtype not in FLOATS or not any(id(a) in reaches for a in e.args):
            continue
        for argument, term in zip(e.args, _terms(e, g), strict=True):
            if term is None or id(argument) not in reaches or argument.dtype not in FLOATS:
                continue
            sums[argument] = term if argument not in sums else sums[argument] + term
    return tuple(sums.get(leaf) if id(leaf) in reaches else None for leaf in leaves)


def _terms(e: Expr, g: Expr) -> tuple[Expr | None, ...]:
    """`g` times each partial derivative of e."""
    if e.op == "select":
        zero = as_expr(0, g.dtype)
        return None, select(e.args[0], g, zero), select(e.args[0], zero, g)
    if e.op in ("cast", "round_to"):
        return (cast(g, e.args[0].dtype) if e.args[0].dtype in FLOATS else None,)
    if e.op == "div":  # g / b rather than g * (1 / b): one rounding less
        return g / e.args[1], -(g * (e / e.args[1]))
    if e.op == "sqrt":
        return (g / (e * 2),)
    if e.op == "prim":
        rule = _DERIVATIVES.get(str(e.attr))
        if rule is None:
            raise TypeError(f"primitive '{e.attr}' has no derivative")
        partials = rule(*e.args, e)
        partials = partials if isinstance(partials, tuple) else (partials,)
    else:
        partials = _base_partials(e)
    return tuple(None if p is None else g if p.op == "const" and p.attr == 1 else g * p for p in partials)


__all__ = [
    "ULP",
    "acos",
    "acosh",
    "as_expr",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "binary",
    "bitcast",
    "cast",
    "ceil",
    "const",
    "copysign",
    "cos",
    "cosh",
    "definition",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "fma",
    "gradient",
    "index",
    "isfinite",
    "isinf",
    "isnan",
    "load",
    "log",
    "log1p",
    "log2",
    "log10",
    "lower",
    "make",
    "maximum",
    "minimum",
    "normal",
    "philox",
    "pow",
    "rint",
    "rsqrt",
    "select",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    "uniform",
]  # fmt: skip
