"""Expression nodes as LLVM instructions, at any vector width (1 = scalars).

Every node gives the same bits at every width: only IEEE operations, no contraction, no reassociation. Operations that
LLVM leaves undefined (division by zero, shifts out of range, casts out of range) are given a value here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

from ..ops.expr import BITS, FLOATS, Expr
from .angles import mod_pio2
from .llvm import MEMORY, REGISTER, Function, Module, literal, mangled, splat, vector
from .spec import CodegenError

_INT_OPS = {"add": "add", "sub": "sub", "mul": "mul", "and": "and", "or": "or", "xor": "xor"}
_BOOL_OPS = {"add": "or", "mul": "and", "and": "and", "or": "or", "xor": "xor", "max": "or", "min": "and"}
_FLOAT_OPS = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_FLOAT_CALLS = {
    "sqrt": "sqrt",
    "floor": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "rint": "roundeven",
    "copysign": "copysign",
}
_COMPARE = {
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
}
_UNSIGNED = ("b1", "u8")


def signed(dtype: str) -> bool:
    return dtype not in _UNSIGNED


def constant(value, dtype: str, width: int) -> str:
    """A literal in every lane."""
    return splat(literal(value, dtype), REGISTER[dtype], width)


def maximum(f: Function, x: str, y: str, dtype: str, width: int, least: bool = False, *, y_number: bool = False) -> str:
    """The larger (or the least) of two values: y if it is strictly better, else x; NaN when either is. `y_number`: y is
    known not to be NaN (the result is the same, with less code)."""
    type_ = vector(REGISTER[dtype], width)
    if dtype == "b1":
        return f.v(f"{'and' if least else 'or'} {type_} {x}, {y}")
    boolean = vector("i1", width)
    if dtype in FLOATS:
        ordered = f.v(f"fcmp {'olt' if least else 'ogt'} {type_} {y}, {x}")
        better = f.v(f"select {boolean} {ordered}, {type_} {y}, {type_} {x}")  # x where either is NaN
        if y_number:
            return better
        nan = f.v(f"fcmp uno {type_} {y}, {y}")
        return f.v(f"select {boolean} {nan}, {type_} {y}, {type_} {better}")
    how = ("s" if signed(dtype) else "u") + ("lt" if least else "gt")
    taken = f.v(f"icmp {how} {type_} {y}, {x}")
    return f.v(f"select {boolean} {taken}, {type_} {y}, {type_} {x}")


# -- storage -----------------------------------------------------------------------------------------------------------
def from_memory(f: Function, raw: str, code: str, width: int) -> str:
    """A stored element in its compute dtype."""
    type_ = vector(MEMORY[code], width)
    if code == "b1":
        return f.v(f"icmp ne {type_} {raw}, {constant(0, 'u8', width)}")
    if code == "bf16":
        wide = f.v(f"zext {type_} {raw} to {vector('i32', width)}")
        bits = f.v(f"shl {vector('i32', width)} {wide}, {constant(16, 'i32', width)}")
        return f.v(f"bitcast {vector('i32', width)} {bits} to {vector('float', width)}")
    if code == "f16":
        half = f.v(f"bitcast {type_} {raw} to {vector('half', width)}")
        return f.v(f"fpext {vector('half', width)} {half} to {vector('float', width)}")
    return raw


def to_memory(f: Function, value: str, code: str, width: int) -> str:
    """A value rounded to what is stored."""
    if code == "b1":
        return f.v(f"zext {vector('i1', width)} {value} to {vector('i8', width)}")
    if code == "bf16":
        i32, boolean = vector("i32", width), vector("i1", width)
        bits = f.v(f"bitcast {vector('float', width)} {value} to {i32}")
        high = f.v(f"lshr {i32} {bits}, {constant(16, 'i32', width)}")
        odd = f.v(f"and {i32} {high}, {constant(1, 'i32', width)}")
        half = f.v(f"add {i32} {odd}, {constant(0x7FFF, 'i32', width)}")
        rounded = f.v(f"add {i32} {bits}, {half}")  # to nearest, ties to even
        shifted = f.v(f"lshr {i32} {rounded}, {constant(16, 'i32', width)}")
        quiet = f.v(f"or {i32} {high}, {constant(0x40, 'i32', width)}")
        nan = f.v(f"fcmp uno {vector('float', width)} {value}, {value}")
        result = f.v(f"select {boolean} {nan}, {i32} {quiet}, {i32} {shifted}")
        return f.v(f"trunc {i32} {result} to {vector('i16', width)}")
    if code == "f16":
        half = f.v(f"fptrunc {vector('float', width)} {value} to {vector('half', width)}")
        return f.v(f"bitcast {vector('half', width)} {half} to {vector('i16', width)}")
    return value


# -- division: helper functions, so that loops stay small --------------------------------------------------------------
def _lane_loop(f: Function, type_: str, width: int, x: str, y: str, one: Callable[[str, str], str]) -> str:
    """one(x, y) lane by lane through memory (for operations that have no vector form)."""
    element = type_.split(" x ")[1][:-1] if width > 1 else type_
    if width == 1:
        return one(x, y)
    a, b = f.alloca(type_), f.alloca(type_)
    f.emit(f"store {type_} {x}, ptr {a}")
    f.emit(f"store {type_} {y}, ptr {b}")
    with f.loop("0", str(width)) as i:
        pa, pb = (f.v(f"getelementptr {element}, ptr {p}, i64 {i}") for p in (a, b))
        result = one(f.v(f"load {element}, ptr {pa}"), f.v(f"load {element}, ptr {pb}"))
        f.emit(f"store {element} {result}, ptr {pa}")
    return f.v(f"load {type_}, ptr {a}")


def _quotient(f: Function, x: str, y: str, dtype: str, width: int) -> str:
    """x / y truncated; y is neither 0 nor, on signed dtypes, -1."""
    type_ = vector(REGISTER[dtype], width)
    if dtype == "i64":
        return _lane_loop(f, type_, width, x, y, lambda a, b: f.v(f"sdiv i64 {a}, {b}"))
    # Exact: the quotient of two k-bit integers is at least 2**-k (relative) away from the next integer.
    real = vector("double" if dtype == "i32" else "float", width)
    to_real, to_int = ("sitofp", "fptosi") if signed(dtype) else ("uitofp", "fptoui")
    a = f.v(f"{to_real} {type_} {x} to {real}")
    b = f.v(f"{to_real} {type_} {y} to {real}")
    q = f.v(f"fdiv {real} {a}, {b}")
    whole = f.v(f"{to_int} {real} {q} to {vector('i32', width)}")
    return whole if dtype == "i32" else f.v(f"trunc {vector('i32', width)} {whole} to {type_}")


def _define_int_division(op: str, dtype: str, width: int, name: str) -> Callable[[Module], None]:
    def define(module: Module) -> None:
        type_, boolean = vector(REGISTER[dtype], width), vector("i1", width)
        f = Function(module, name, [(type_, "x"), (type_, "y")], type_, internal=True)
        zero, one = constant(0, dtype, width), constant(1, dtype, width)
        is_zero = f.v(f"icmp eq {type_} %y, {zero}")
        unsafe = is_zero
        if signed(dtype):
            is_minus_one = f.v(f"icmp eq {type_} %y, {constant(-1, dtype, width)}")
            unsafe = f.v(f"or {boolean} {is_zero}, {is_minus_one}")
        divisor = f.v(f"select {boolean} {unsafe}, {type_} {one}, {type_} %y")
        result = _quotient(f, "%x", divisor, dtype, width)
        if signed(dtype):  # x / -1 wraps at the smallest value
            negated = f.v(f"sub {type_} {zero}, %x")
            result = f.v(f"select {boolean} {is_minus_one}, {type_} {negated}, {type_} {result}")
        if op == "rem":
            product = f.v(f"mul {type_} {result}, %y")
            result = f.v(f"sub {type_} %x, {product}")
        result = f.v(f"select {boolean} {is_zero}, {type_} {zero}, {type_} {result}")
        f.ret(f"{type_} {result}")
        f.finish()

    return define


def _define_float_rem(dtype: str, width: int, name: str) -> Callable[[Module], None]:
    """C's fmod, exact. Quotients below 2**22 (2**51) need one fma and one correction; others go through libm."""

    def define(module: Module) -> None:
        element = REGISTER[dtype]
        type_, boolean = vector(element, width), vector("i1", width)
        f = Function(module, name, [(type_, "x"), (type_, "y")], type_, internal=True)
        zero = constant(0.0, dtype, width)
        q = f.v(f"fdiv {type_} %x, %y")
        n = f.overloaded("trunc", type_, q)
        minus_n = f.v(f"fneg {type_} {n}")
        r = f.overloaded("fma", type_, minus_n, "%y", "%x")
        # A quotient rounded up to the next integer leaves a remainder of the wrong sign, short by one |y|.
        r_negative, x_negative = f.v(f"fcmp olt {type_} {r}, {zero}"), f.v(f"fcmp olt {type_} %x, {zero}")
        differ = f.v(f"xor {boolean} {r_negative}, {x_negative}")
        nonzero = f.v(f"fcmp one {type_} {r}, {zero}")
        wrong = f.v(f"and {boolean} {differ}, {nonzero}")
        step = f.overloaded("copysign", type_, "%y", "%x")
        fixed = f.v(f"fadd {type_} {r}, {step}")
        r = f.v(f"select {boolean} {wrong}, {type_} {fixed}, {type_} {r}")
        r = f.overloaded("copysign", type_, r, "%x")
        size = f.overloaded("fabs", type_, q)
        large = f.v(f"fcmp uge {type_} {size}, {constant(2.0 ** (22 if dtype == 'f32' else 51), dtype, width)}")
        divisor = f.overloaded("fabs", type_, "%y")
        infinite = f.v(f"fcmp oeq {type_} {divisor}, {constant(float('inf'), dtype, width)}")
        special = f.v(f"or {boolean} {large}, {infinite}")
        if width > 1:
            bits = f.v(f"bitcast {boolean} {special} to i{width}")
            special = f.v(f"icmp ne i{width} {bits}, 0")
        slow, fast = f.label("slow"), f.label("fast")
        f.branch(special, slow, fast)
        f.at(fast)
        f.ret(f"{type_} {r}")
        f.at(slow)
        fmod = module.intrinsic("fmod", "double", "double", "double")

        def one(a: str, b: str) -> str:
            if dtype == "f64":
                return f.call("double", fmod, f"double {a}", f"double {b}")
            wide = [f"double {f.v(f'fpext float {v} to double')}" for v in (a, b)]
            return f.v(f"fptrunc double {f.call('double', fmod, *wide)} to float")  # exact

        f.ret(f"{type_} {_lane_loop(f, type_, width, '%x', '%y', one)}")
        f.finish()

    return define


def _divide(f: Function, op: str, x: str, y: str, dtype: str, width: int) -> str:
    type_ = vector(REGISTER[dtype], width)
    name = f"td_{op}_{dtype}_{width}"
    define = _define_float_rem(dtype, width, name) if dtype in FLOATS else _define_int_division(op, dtype, width, name)
    return f.call(type_, f.module.helper(name, define), f"{type_} {x}", f"{type_} {y}")


# -- nodes -------------------------------------------------------------------------------------------------------------
def _is_number(e: Expr) -> bool:
    """A constant other than NaN."""
    return e.op == "const" and e.attr == e.attr


_ANY = (-math.inf, math.inf)


def bounds(e: Expr, depth: int = 12) -> tuple[float, float]:
    """An interval that holds every value of a float node that is not NaN: coarse, through what primitives use."""
    low, high = _ANY
    if depth == 0:
        return _ANY
    if isinstance(e.attr, float):
        low, high = (e.attr, e.attr) if e.attr == e.attr else _ANY
    elif e.op in ("min", "max", "add", "sub", "mul", "select"):
        (a, b), (c, d) = (bounds(x, depth - 1) for x in e.args[-2:])
        if e.op == "min":
            low, high = min(a, c), min(b, d)
        elif e.op == "max":
            low, high = max(a, c), max(b, d)
        elif e.op == "select":
            low, high = min(a, c), max(b, d)
        elif math.inf not in (-a, b, -c, d):
            corners = {"add": (a + c, b + d), "sub": (a - d, b - c), "mul": (a * c, a * d, b * c, b * d)}[e.op]
            low, high = min(corners), max(corners)
            slack = 1e-6 * max(abs(low), abs(high))  # rounding
            low, high = low - slack, high + slack
    elif e.op in ("rint", "trunc", "floor", "ceil"):
        low, high = bounds(e.args[0], depth - 1)
        low, high = low - 1, high + 1
    elif e.op == "mod_pio2":
        high = 2.0 ** int(str(e.attr)[2:])
        low = -high
    elif e.op == "neg":
        high, low = (-x for x in bounds(e.args[0], depth - 1))
    return low, high


def _float_to_int(f: Function, x: str, e: Expr, dst: str, width: int) -> str:
    """Truncates and saturates at the ends of the dtype, or of 32 bits where it is narrower: those wrap, as they do in
    PyTorch and NumPy. NaN gives 0. (llvm.fptosi.sat has no vector form on x86.)"""
    src = e.dtype
    a, boolean = vector(REGISTER[src], width), vector("i1", width)
    wide = dst if BITS[dst] >= 32 else "i32"
    low, high = -(1 << (BITS[wide] - 1)), 1 << (BITS[wide] - 1)
    b = vector(REGISTER[wide], width)
    least, most = bounds(e)
    inside = low - 1 < least and most < high
    nan_or_over = f.v(
        f"fcmp {'uno' if inside else 'uge'} {a} {x}, {x if inside else constant(float(high), src, width)}"
    )
    safe = f.v(f"select {boolean} {nan_or_over}, {a} {constant(0.0, src, width)}, {a} {x}")
    if inside:
        whole = f.v(f"fptosi {a} {safe} to {b}")
    else:
        safe = maximum(f, safe, constant(float(low), src, width), src, width, y_number=True)
        whole = f.v(f"fptosi {a} {safe} to {b}")
        over = f.v(f"fcmp oge {a} {x}, {constant(float(high), src, width)}")
        whole = f.v(f"select {boolean} {over}, {b} {constant(high - 1, wide, width)}, {b} {whole}")
    return whole if wide == dst else f.v(f"trunc {b} {whole} to {vector(REGISTER[dst], width)}")


def _cast(f: Function, x: str, e: Expr, dst: str, width: int) -> str:
    src = e.dtype
    a, b = vector(REGISTER[src], width), vector(REGISTER[dst], width)
    if dst == "b1":
        return f.v(f"{'fcmp une' if src in FLOATS else 'icmp ne'} {a} {x}, {constant(0, src, width)}")
    if src in FLOATS:
        if dst in FLOATS:
            return f.v(f"{'fpext' if BITS[dst] > BITS[src] else 'fptrunc'} {a} {x} to {b}")
        return _float_to_int(f, x, e, dst, width)
    if dst in FLOATS:
        return f.v(f"{'sitofp' if signed(src) else 'uitofp'} {a} {x} to {b}")
    if BITS[dst] < BITS[src]:
        return f.v(f"trunc {a} {x} to {b}")
    if BITS[dst] == BITS[src]:
        return x
    return f.v(f"{'sext' if signed(src) else 'zext'} {a} {x} to {b}")


def _shift(f: Function, op: str, x: str, s: str, dtype: str, width: int) -> str:
    """Shifts by a negative or too large count give 0, or the sign where the shift is arithmetic."""
    type_, boolean = vector(REGISTER[dtype], width), vector("i1", width)
    inside = f.v(f"icmp ult {type_} {s}, {constant(BITS[dtype], dtype, width)}")
    if op == "shr" and signed(dtype):
        count = f.v(f"select {boolean} {inside}, {type_} {s}, {type_} {constant(BITS[dtype] - 1, dtype, width)}")
        return f.v(f"ashr {type_} {x}, {count}")
    shifted = f.v(f"{'shl' if op == 'shl' else 'lshr'} {type_} {x}, {s}")
    return f.v(f"select {boolean} {inside}, {type_} {shifted}, {type_} {constant(0, dtype, width)}")


def node(f: Function, e: Expr, args: list[str], width: int) -> str:
    """One node over evaluated arguments."""
    op, dtype = e.op, e.dtype
    type_ = vector(REGISTER[dtype], width)
    real = dtype in FLOATS
    if op in _COMPARE:
        src = e.args[0].dtype
        how = _COMPARE[op][0 if src in FLOATS else 1 if signed(src) else 2]
        return f.v(f"{'fcmp' if src in FLOATS else 'icmp'} {how} {vector(REGISTER[src], width)} {args[0]}, {args[1]}")
    if op == "select":
        return f.v(f"select {vector('i1', width)} {args[0]}, {type_} {args[1]}, {type_} {args[2]}")
    if op == "cast":
        return _cast(f, args[0], e.args[0], dtype, width)
    if op == "bitcast":
        return f.v(f"bitcast {vector(REGISTER[e.args[0].dtype], width)} {args[0]} to {type_}")
    if dtype == "b1" and op in _BOOL_OPS:
        return f.v(f"{_BOOL_OPS[op]} {type_} {args[0]}, {args[1]}")
    if op in ("max", "min"):
        x, y = args
        number = _is_number(e.args[1])
        if not number and _is_number(e.args[0]) and e.args[0].attr != 0:
            x, y, number = y, x, True  # of two equal numbers other than zero it does not matter which is taken
        return maximum(f, x, y, dtype, width, least=op == "min", y_number=number)
    if op == "not":
        return f.v(f"xor {type_} {args[0]}, {constant(True if dtype == 'b1' else -1, dtype, width)}")
    if op == "neg":
        return f.v(f"fneg {type_} {args[0]}") if real else f.v(f"sub {type_} {constant(0, dtype, width)}, {args[0]}")
    if op == "abs":
        if real:
            return f.overloaded("fabs", type_, args[0])
        if not signed(dtype):
            return args[0]
        callee = f.module.intrinsic(f"llvm.abs.{mangled(type_)}", type_, type_, "i1")
        return f.call(type_, callee, f"{type_} {args[0]}", "i1 false")
    if op == "rem" or (op == "div" and not real):
        return _divide(f, op, args[0], args[1], dtype, width)
    if real and op in _FLOAT_OPS:
        return f.v(f"{_FLOAT_OPS[op]} {type_} {args[0]}, {args[1]}")
    if op in _INT_OPS and not real:
        return f.v(f"{_INT_OPS[op]} {type_} {args[0]}, {args[1]}")
    if op in ("shl", "shr"):
        return _shift(f, op, args[0], args[1], dtype, width)
    if op == "mulhi_u32":
        mask = constant(0xFFFFFFFF, dtype, width)
        a, b = (f.v(f"and {type_} {x}, {mask}") for x in args)
        product = f.v(f"mul {type_} {a}, {b}")
        return f.v(f"lshr {type_} {product}, {constant(32, dtype, width)}")
    if op == "fma":
        if not f.target.has_fma:
            raise CodegenError(f"target {f.target.name} has no fused multiply-add, which canonical numerics need")
        return f.overloaded("fma", type_, *args)
    if op == "loop":
        return _loop(f, e, args, width)
    if op == "mod_pio2":
        return mod_pio2(f, args[0], str(e.attr), width)
    if op == "round_to":
        return from_memory(f, to_memory(f, args[0], str(e.attr), width), str(e.attr), width)
    if op in _FLOAT_CALLS:
        return f.overloaded(_FLOAT_CALLS[op], type_, *args)
    raise CodegenError(f"no code can be generated for node '{op}' of {dtype}")


class Evaluator:
    """Evaluates expressions in one straight line of code. `leaf(e)` gives the value of a load, an index, a reduction or
    any node that is known already, and None for a node to be computed."""

    def __init__(self, f: Function, width: int, leaf: Callable[[Expr], str | None]):
        self.f, self.width, self.leaf = f, width, leaf
        self.values: dict[Expr, str] = {}

    def value(self, root: Expr) -> str:
        values = self.values
        stack = [root]
        while stack:
            e = stack[-1]
            if e in values:
                stack.pop()
                continue
            if e.op == "const":
                values[e] = constant(e.attr, e.dtype, self.width)
                continue
            known = self.leaf(e)
            if known is not None:
                values[e] = known
                continue
            missing = [a for a in e.args if a not in values]
            if missing:
                stack.extend(reversed(missing))
                continue
            if e.op in ("load", "index", "reduce"):
                raise CodegenError(f"node '{e.op}' cannot be read at this place of the kernel")
            values[e] = node(self.f, e, [values[a] for a in e.args], self.width)
        return values[root]


# -- loops -------------------------------------------------------------------------------------------------------------
def _define_loop(e: Expr, result: str, name: str, width: int) -> Callable[[Module], None]:
    def define(module: Module) -> None:
        assert isinstance(e.attr, tuple)
        body, _ = e.attr
        types = [vector(REGISTER[a.dtype], width) for a in e.args]
        f = Function(module, name, [(t, f"x{j}") for j, t in enumerate(types)], result, internal=True)
        states = [f.var(t, f"%x{j}") for j, t in enumerate(types[: len(body.steps)])]
        count = f.var("i64", "0")
        head, step, done = f.label("head"), f.label("step"), f.label("done")
        f.jump(head)
        f.at(head)
        old = [s.get() for s in states]
        values = [*old, *(f"%x{j}" for j in range(len(states), len(types)))]
        evaluator = Evaluator(f, width, lambda node: values[int(str(node.attr))] if node.op == "load" else None)
        active = evaluator.value(body.condition)
        some = active
        if width > 1:
            bits = f.v(f"bitcast {vector('i1', width)} {active} to i{width}")
            some = f.v(f"icmp ne i{width} {bits}, 0")
        now = count.get()
        within = f.compare("slt", now, str(body.limit))
        f.branch(f.v(f"and i1 {some}, {within}"), step, done)
        f.at(step)
        for new, state, before in zip([evaluator.value(s) for s in body.steps], states, old):
            state.set(f.v(f"select {vector('i1', width)} {active}, {state.type} {new}, {state.type} {before}"))
        count.set(f.add(now, "1"))
        f.jump(head)
        f.at(done)
        whole = "poison"
        for j, (state, value) in enumerate(zip(states, old)):
            whole = f.v(f"insertvalue {result} {whole}, {state.type} {value}, {j}")
        f.ret(f"{result} {whole}")
        f.finish()

    return define


def _loop(f: Function, e: Expr, args: list[str], width: int) -> str:
    """One state of a loop: its function gives all of them (LLVM joins the calls of the other states)."""
    assert isinstance(e.attr, tuple)
    body, k = e.attr
    types = [vector(REGISTER[a.dtype], width) for a in e.args]
    result = "{ " + ", ".join(types[: len(body.steps)]) + " }"
    digest = hashlib.sha256(f"{body!r} {types}".encode()).hexdigest()[:16]
    name = f"td_loop_{digest}_{width}"
    helper = f.module.helper(name, _define_loop(e, result, name, width))
    states = f.call(result, helper, *(f"{t} {a}" for t, a in zip(types, args)))
    return f.v(f"extractvalue {result} {states}, {k}")
