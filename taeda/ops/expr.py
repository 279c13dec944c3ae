"""The typed scalar expression: what one element of an operator computes.

An `Expr` is a node of a hash-consed DAG: two expressions built the same way are the same object, so `is` compares them and
common subexpressions are shared for free. Expressions carry one of the compute dtypes
`b1 u8 i8 i16 i32 i64 f32 f64`; float16 and bfloat16 exist only as the storage dtype of loads and stores.

Nodes fall in two groups. *Base* nodes map one to one to machine operations and are all that code generation knows
(`BASE_OPS`). *Primitive* nodes (`prim`, attr = the name: exp, log, ...) stand for a function that `taeda.ops.scalar`
defines over base nodes; `scalar.lower` replaces them before code is generated.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # typing itself costs import time
if TYPE_CHECKING:
    from typing import Any

FLOATS = ("f32", "f64")
INTS = ("u8", "i8", "i16", "i32", "i64")
COMPUTE_DTYPES = ("b1", *INTS, *FLOATS)
BITS = {"b1": 1, "u8": 8, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64}
#: Storage dtypes and the dtype they are computed in. A complex number is a `Compound` of two values of a real dtype.
COMPUTE_OF = {**{d: d for d in COMPUTE_DTYPES}, "f16": "f32", "bf16": "f32", "c64": "c64", "c128": "c128"}

#: Every base node and its number of arguments.
BASE_OPS = {
    "load": 0, "const": 0, "index": 0,
    "add": 2, "sub": 2, "mul": 2, "div": 2, "rem": 2, "neg": 1, "abs": 1, "fma": 3, "sqrt": 1,
    "floor": 1, "ceil": 1, "trunc": 1, "rint": 1, "min": 2, "max": 2, "copysign": 2,
    "lt": 2, "le": 2, "eq": 2, "ne": 2,
    "and": 2, "or": 2, "xor": 2, "not": 1, "shl": 2, "shr": 2, "mulhi_u32": 2,
    "select": 3, "cast": 1, "bitcast": 1, "reduce": 1,
}  # fmt: skip
#: `shr` is arithmetic on signed dtypes and logical on u8. `div` on integers truncates; `rem` has the dividend's sign (C's rule).
#: `rint` rounds halves to even. `min`/`max` give NaN when either side is. `mulhi_u32` takes and gives i64 that hold uint32 values.
#: `loop` (any number of arguments) repeats formulas of its own: see `loop()`.

REDUCE_KINDS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")

Number = (bool, int, float)


class Expr:
    """One node. Build through the functions and operators of this module only."""

    __slots__ = ("__weakref__", "args", "attr", "dtype", "op")
    op: str
    args: tuple[Expr, ...]
    dtype: str
    attr: Any

    # -- arithmetic ------------------------------------------------------------------------------------------------
    def __add__(self, o):
        return binary("add", self, o)

    def __radd__(self, o):
        return binary("add", o, self)

    def __sub__(self, o):
        return binary("sub", self, o)

    def __rsub__(self, o):
        return binary("sub", o, self)

    def __mul__(self, o):
        return binary("mul", self, o)

    def __rmul__(self, o):
        return binary("mul", o, self)

    def __truediv__(self, o):
        return binary("div", self, o)

    def __rtruediv__(self, o):
        return binary("div", o, self)

    def __mod__(self, o):
        return binary("rem", self, o)

    def __rmod__(self, o):
        return binary("rem", o, self)

    def __neg__(self):
        return unary("neg", self)

    def __abs__(self):
        return unary("abs", self)

    # -- bits and logic ----------------------------------------------------------------------------------------------
    def __and__(self, o):
        return binary("and", self, o)

    def __rand__(self, o):
        return binary("and", o, self)

    def __or__(self, o):
        return binary("or", self, o)

    def __ror__(self, o):
        return binary("or", o, self)

    def __xor__(self, o):
        return binary("xor", self, o)

    def __rxor__(self, o):
        return binary("xor", o, self)

    def __invert__(self):
        return unary("not", self)

    def __lshift__(self, o):
        return binary("shl", self, o)

    def __rlshift__(self, o):
        return binary("shl", o, self)

    def __rshift__(self, o):
        return binary("shr", self, o)

    def __rrshift__(self, o):
        return binary("shr", o, self)

    # -- comparisons (== keeps Python's identity meaning: use .eq) ---------------------------------------------------
    def __lt__(self, o):
        return binary("lt", self, o)

    def __le__(self, o):
        return binary("le", self, o)

    def __gt__(self, o):
        return binary("lt", o, self)

    def __ge__(self, o):
        return binary("le", o, self)

    def eq(self, o):
        return binary("eq", self, o)

    def ne(self, o):
        return binary("ne", self, o)

    def __bool__(self):
        raise TypeError("a scalar expression has no truth value: use select(condition, a, b)")

    def __repr__(self):
        return to_text(self)


class Compound:
    """A value that several expressions make up together. Formulas use it as they use an `Expr`; what code is
    generated for are its `parts`."""

    __slots__ = ()

    @property
    def parts(self) -> tuple[Expr, ...]:
        raise AttributeError("parts")

    @property
    def dtype(self) -> str:
        raise AttributeError("dtype")

    constant: Any
    from_real: Any
    cast: Any
    select: Any
    unary: Any


#: Compute dtype code -> the class of its values.
_COMPOUNDS: dict[str, type[Compound]] = {}


def register_compound(cls: type[Compound], dtypes: tuple[str, ...]) -> None:
    """`cls` holds the values of `dtypes`."""
    for d in dtypes:
        _COMPOUNDS[d] = cls


def _compound(dtype: str) -> type[Compound] | None:
    """The class of the values of `dtype`; None where they are plain expressions."""
    if dtype in ("c64", "c128") and dtype not in _COMPOUNDS:  # the first complex value of this process
        from . import complex_number  # noqa: F401  (registers itself)
    return _COMPOUNDS.get(dtype)


_INTERNED: dict[tuple, Expr] = {}


def _attr_key(dtype, attr):
    if isinstance(attr, float):  # 0.0 and -0.0, and every NaN, need keys of their own
        return struct.pack("<d", attr)
    return (type(attr), attr)


def make(op: str, args: tuple[Expr, ...], dtype: str, attr: object = None) -> Expr:
    """The one constructor. Returns the existing node if there is one."""
    key = (op, args, dtype, _attr_key(dtype, attr))
    e = _INTERNED.get(key)
    if e is None:
        e = Expr.__new__(Expr)
        e.op, e.args, e.dtype, e.attr = op, args, dtype, attr
        _INTERNED[key] = e
    return e


def load(operand: int, dtype: str) -> Expr:
    """The element of input `operand`, in its compute dtype."""
    return make("load", (), COMPUTE_OF[dtype], operand)


def index() -> Expr:
    """The logical linear index of the element (int64)."""
    return make("index", (), "i64")


def const(value, dtype: str) -> Expr:
    """A constant; floats are rounded to `dtype`, integers wrapped to it."""
    if compound := _compound(dtype):
        return compound.constant(value, dtype)
    if dtype == "b1":
        value = bool(value)
    elif dtype in FLOATS:
        value = float(value)
        if dtype == "f32":
            try:
                value = struct.unpack("<f", struct.pack("<f", value))[0]
            except OverflowError:
                value = float("inf") if value > 0 else float("-inf")
    else:
        bits = BITS[dtype]
        value = int(value) & ((1 << bits) - 1)
        if dtype != "u8" and value >> (bits - 1):
            value -= 1 << bits
    return make("const", (), dtype, value)


def as_expr(value, dtype: str) -> Any:
    """`value` itself, or a Python number as a constant of `dtype`."""
    return value if isinstance(value, (Expr, Compound)) else const(value, dtype)


def _is_const(e: Expr, value) -> bool:
    return e.op == "const" and e.attr == value


def unary(op: str, x: Expr) -> Expr:
    if isinstance(x, Compound):
        return x.unary(op)
    if op == "neg" and x.op == "neg":
        return x.args[0]
    if op == "not" and x.op == "not":
        return x.args[0]
    if op == "neg" and x.op == "const":
        return const(-x.attr, x.dtype)
    if op in ("floor", "ceil", "trunc", "rint") and x.dtype not in FLOATS:
        return x
    if op == "abs" and x.dtype in ("b1", "u8"):
        return x
    return make(op, (x,), x.dtype)


_COMPARES = frozenset(("lt", "le", "eq", "ne"))


def binary(op: str, x, y) -> Expr:
    """Both sides must have one dtype; a Python number takes the other side's."""
    if isinstance(x, Compound) or isinstance(y, Compound):
        return _compound_binary(op, x, y)
    if not isinstance(x, Expr):
        x = const(x, y.dtype)
    elif not isinstance(y, Expr):
        y = const(y, x.dtype)
    if x.dtype != y.dtype:
        raise TypeError(f"scalar expression '{op}': dtypes differ, {x.dtype} and {y.dtype}; use cast()")
    if op in _COMPARES:
        return make(op, (x, y), "b1")
    # Exact identities only: nothing that could change a bit of the result (x + 0 would turn -0 into +0).
    if op == "mul":
        if _is_const(y, 1):
            return x
        if _is_const(x, 1):
            return y
    elif (op == "div" and _is_const(y, 1)) or (
        op == "sub" and _is_const(y, 0) and (x.dtype not in FLOATS or struct.pack("<d", y.attr)[7] == 0)
    ):
        return x
    elif op == "add" and x.dtype not in FLOATS:
        if _is_const(y, 0):
            return x
        if _is_const(x, 0):
            return y
    if x.op == "const" and y.op == "const" and x.dtype in INTS and op in ("add", "sub", "mul"):
        a, b = x.attr, y.attr
        return const(a + b if op == "add" else a - b if op == "sub" else a * b, x.dtype)
    return make(op, (x, y), x.dtype)


_COMPOUND_BINARY = {
    "add": lambda x, y: y + x,
    "sub": lambda x, y: -y + x,
    "mul": lambda x, y: y * x,
    "div": lambda x, y: y.__rtruediv__(x),
    "eq": lambda x, y: y.eq(x),
    "ne": lambda x, y: y.ne(x),
}


def _compound_binary(op: str, x, y):
    """A plain value on the left of a compound (its own operators take what is on their right)."""
    if op not in _COMPOUND_BINARY or isinstance(x, Compound):
        raise TypeError(f"scalar expression '{op}': not defined on complex numbers")
    return _COMPOUND_BINARY[op](x, y)


def fma(a, b, c) -> Expr:
    """a*b + c with one rounding."""
    if any(isinstance(v, Compound) for v in (a, b, c)):
        return a * b + c
    dtype = next(v.dtype for v in (a, b, c) if isinstance(v, Expr))
    return make("fma", (as_expr(a, dtype), as_expr(b, dtype), as_expr(c, dtype)), dtype)


def select(condition: Expr, a, b) -> Expr:
    """`a` where `condition` (b1) holds, else `b`."""
    if condition.dtype != "b1":
        raise TypeError(f"select(): condition must be b1, got {condition.dtype}")
    if isinstance(a, Compound):
        return a.select(condition, b, True)
    if isinstance(b, Compound):
        return b.select(condition, a, False)
    dtype = a.dtype if isinstance(a, Expr) else b.dtype
    a, b = as_expr(a, dtype), as_expr(b, dtype)
    if a.dtype != b.dtype:
        raise TypeError(f"select(): branches differ in dtype, {a.dtype} and {b.dtype}")
    if a is b:
        return a
    if condition.op == "const":
        return a if condition.attr else b
    return make("select", (condition, a, b), dtype)


def cast(x: Any, dtype: str) -> Any:
    """Value conversion. To b1: nonzero. Float to integer truncates and saturates (8 and 16
    bits: at the ends of 32, then wraps), NaN gives 0."""
    dtype = COMPUTE_OF[dtype]
    if x.dtype == dtype:
        return x
    if isinstance(x, Compound):
        return x.cast(dtype)
    if compound := _compound(dtype):
        return compound.from_real(x, dtype)
    if x.op == "const" and not (x.dtype in FLOATS and dtype in INTS):
        return const(x.attr, dtype)
    return make("cast", (x,), dtype)


def round_to(x: Expr, storage: str) -> Expr:
    """Rounds a float32 value to `storage` (f16 or bf16) and back, as a store followed by a load would; else `x`."""
    if storage in ("f16", "bf16"):
        return make("round_to", (x,), "f32", storage)
    return cast(x, storage)


def mod_pio2(x: Expr, limit: int) -> tuple[Expr, Expr]:
    """An angle (f64) modulo pi/2 where it is huge, 2**limit or more: hi and lo, whose last two bits hold the quadrant.

    Smaller angles are their own hi, with lo = -0.0.
    """
    return make("mod_pio2", (x,), "f64", f"hi{limit}"), make("mod_pio2", (x,), "f64", f"lo{limit}")


BASE_OPS["round_to"] = BASE_OPS["mod_pio2"] = 1


class Loop:
    """What a `loop` node repeats: the new states and the condition, as formulas over `load(j)`; j counts the states, then
    the values from outside. Equal to every loop of the same formulas."""

    __slots__ = ("_text", "condition", "limit", "steps")

    def __init__(self, condition: Expr, steps: tuple[Expr, ...], limit: int):
        self.condition, self.steps, self.limit, self._text = condition, steps, limit, ""

    def __eq__(self, other):
        return isinstance(other, Loop) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def _key(self):
        return self.condition, self.steps, self.limit

    def __repr__(self):
        if not self._text:
            number: dict[Expr, int] = {}
            lines = [f"loop {self.limit}"]
            for e in topological(self.condition, *self.steps):
                number[e] = len(number)
                attr = e.attr.hex() if isinstance(e.attr, float) else repr(e.attr)
                lines.append(f"{e.op} {e.dtype} {attr} {' '.join(str(number[a]) for a in e.args)}")
            lines.append(" ".join(str(number[e]) for e in (self.condition, *self.steps)))
            self._text = "; ".join(lines)
        return self._text


def loop(states: tuple[Expr, ...], step, *outside: Expr, limit: int) -> tuple[Expr, ...]:
    """Repeats a step while its condition holds, at most `limit` times, each element as often as it needs.

    step(*states, *outside) gives the condition and the new states: (b1, (state, ...)). Values of elements that are done
    stay as they are. Returns the last states. A loop has no derivative: primitives made of one state theirs.
    """
    values = (*states, *outside)
    condition, steps = step(*(load(j, v.dtype) for j, v in enumerate(values)))
    steps = tuple(as_expr(new, old.dtype) for new, old in zip(steps, states, strict=True))
    if condition.dtype != "b1" or any(new.dtype != old.dtype for new, old in zip(steps, states)):
        raise TypeError("loop(): the step must give a b1 and states of the dtypes that it was given")
    body = Loop(condition, steps, limit)
    return tuple(make("loop", values, state.dtype, (body, k)) for k, state in enumerate(states))


def bitcast(x: Expr, dtype: str) -> Expr:
    """Same bits, other dtype of equal width."""
    if BITS[x.dtype] != BITS[dtype]:
        raise TypeError(f"bitcast(): {x.dtype} and {dtype} differ in width")
    return x if x.dtype == dtype else make("bitcast", (x,), dtype)


def sqrt(x):
    return unary("sqrt", x)


def floor(x):
    return unary("floor", x)


def ceil(x):
    return unary("ceil", x)


def trunc(x):
    return unary("trunc", x)


def rint(x):
    return unary("rint", x)


def minimum(a, b):
    return binary("min", a, b)


def maximum(a, b):
    return binary("max", a, b)


def copysign(a, b):
    return binary("copysign", a, b)


def mulhi_u32(a, b):
    return binary("mulhi_u32", a, b)


def prim(name: str, *args: Expr) -> Expr:
    """A primitive node: a named function defined in `taeda.ops.scalar`. Its dtype is that of its first argument."""
    return make("prim", args, args[0].dtype, name)


def reduce(kind: str, x: Expr) -> Expr:
    """Reduction of `x` along the kernel's reduced run (canonical order: docs/architecture.md)."""
    if kind not in REDUCE_KINDS:
        raise ValueError(f"reduce(): unknown kind {kind!r}")
    dtype = x.dtype
    if kind in ("sum", "prod") and dtype not in FLOATS:
        x, dtype = cast(x, "i64"), "i64"
    elif kind in ("any", "all"):
        x, dtype = cast(x, "b1"), "b1"
    elif kind in ("argmax", "argmin"):
        dtype = "i64"
    return make("reduce", (x,), dtype, kind)


# -- walking -----------------------------------------------------------------------------------------------------------
def topological(*roots: Expr) -> list[Expr]:
    """Every node once, arguments before users."""
    seen: set[int] = set()
    order: list[Expr] = []
    stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        e, done = stack.pop()
        if done:
            order.append(e)
        elif id(e) not in seen:
            seen.add(id(e))
            stack.append((e, True))
            stack.extend((a, False) for a in reversed(e.args) if id(a) not in seen)
    return order


def rebuild(e: Expr, args: tuple[Expr, ...]) -> Expr:
    """The same operation over other arguments (dtypes may follow the arguments only through explicit casts)."""
    return e if args == e.args else make(e.op, args, e.dtype, e.attr)


def substitute(roots: tuple[Expr, ...], mapping: dict[Expr, Expr]) -> tuple[Expr, ...]:
    """Replaces nodes (usually loads) by others, bottom up."""
    done: dict[Expr, Expr] = {}
    for e in topological(*roots):
        done[e] = mapping[e] if e in mapping else rebuild(e, tuple(done[a] for a in e.args))
    return tuple(done[r] for r in roots)


def loads(*roots: Expr) -> list[int]:
    """Operand numbers read, ascending."""
    return sorted({e.attr for e in topological(*roots) if e.op == "load"})


_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "rem": "%", "lt": "<", "le": "<=", "eq": "==", "ne": "!=", "and": "&", "or": "|",
          "xor": "^", "shl": "<<", "shr": ">>"}  # fmt: skip


def to_text(root: Expr, limit: int = 2000) -> str:
    """Readable form, for logs and errors; shared nodes are written out again."""
    if root.op == "load":
        return f"x{root.attr}"
    if root.op == "const":
        return repr(root.attr)
    if root.op == "index":
        return "index"
    if limit <= 0:
        return "..."
    parts = [to_text(a, limit // 2) for a in root.args]
    if root.op in _INFIX:
        return f"({parts[0]} {_INFIX[root.op]} {parts[1]})"
    name = str(root.attr) if root.op == "prim" else root.op
    extra = (
        [root.dtype]
        if root.op in ("cast", "bitcast")
        else [str(root.attr)]
        if root.op in ("reduce", "round_to")
        else []
    )
    return f"{name}({', '.join(parts + extra)})"
