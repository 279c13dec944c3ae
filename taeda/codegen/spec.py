"""What a generated kernel computes: `KernelSpec`, its checks and its canonical text.

A spec is pure data over `taeda.ops.expr`; it needs neither LLVM nor the core. `canonical_text` is the same for equal
specs and different for different ones, which makes it the key of the on-disk kernel cache.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..ops import expr as ex

Expr = ex.Expr

FORMS = ("row", "col", "scan")
#: Bytes of one stored element.
SIZE = {"b1": 1, "u8": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8}
MAX_OPERANDS = 64
TD_K_INDEX, TD_K_REDUCES = 1, 2
ROW_BLOCK, COL_BLOCK, LANES = 16384, 256, 32

#: Rough cost of a node in simple adds: decides what is kept in scratch and how work is cut for threads.
NODE_COST = {
    "const": 0,
    "bitcast": 0,
    "div": 5,
    "sqrt": 6,
    "rem": 12,
    "min": 2,
    "max": 2,
    "mulhi_u32": 2,
    "round_to": 4,
    "mod_pio2": 2,
    "loop": 300,
}


class CodegenError(Exception):
    """A spec that code cannot be generated for: an unknown node, a wrong dtype, a form that does not fit."""


@dataclass(frozen=True)
class KernelSpec:
    """One kernel: `outputs` as expressions over `load(j)` of `inputs`.

    inputs    storage dtype code of each input: b1 u8 i8 i16 i32 i64 f16 bf16 f32 f64
    outputs   (storage dtype code, expression) each; the expression's dtype is the compute dtype of the code
    form      "row": elementwise work and reductions along a row, "col": reductions over rows, vectorised over columns,
              "scan": running reductions along the row (every `reduce` node is then the inclusive running value)
    per_row   row form: inputs that hold one value a row (element stride 0 by contract), so that an output that reads
              only them and reductions is itself a per-row output
    """

    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, Expr], ...]
    form: str = "row"
    per_row: frozenset[int] = field(default=frozenset())


@dataclass(frozen=True)
class KernelFacts:
    """The fields of `td_kernel` (runtime/include/taeda_rt.h); functions are symbol names or None.

    An object with a kernel `<symbol>` also defines the filled-in struct, as constant `<symbol>_kernel`.
    """

    fn: str | None
    partial: str | None
    finish: str | None
    flags: int
    n_out: int
    n_in: int
    scratch_per_elem: int
    state_size: int
    cost: int

    def descriptor(self, symbol: str) -> str:
        """LLVM IR of the constant td_kernel."""
        functions = ", ".join(f"ptr @{name}" if name else "ptr null" for name in (self.fn, self.partial, self.finish))
        numbers = (self.flags, self.n_out, self.n_in, self.scratch_per_elem, self.state_size, self.cost)
        values = f"{functions}, " + ", ".join(f"i32 {n}" for n in numbers)
        return f"@{symbol}_kernel = constant {{ ptr, ptr, ptr, i32, i32, i32, i32, i32, i32 }} {{ {values} }}"


def operand(load: Expr) -> int:
    """The input that a load node reads."""
    assert isinstance(load.attr, int)
    return load.attr


def reductions(*roots: Expr) -> list[Expr]:
    """Every reduce node below `roots`, inner ones first."""
    return [e for e in ex.topological(*roots) if e.op == "reduce"]


def outer_nodes(*roots: Expr) -> list[Expr]:
    """Nodes reached without entering a reduction (the reduce nodes themselves are included), arguments first."""
    seen: set[Expr] = set()
    order: list[Expr] = []
    stack: list[tuple[Expr, bool]] = [(r, False) for r in reversed(roots)]
    while stack:
        e, done = stack.pop()
        if done:
            order.append(e)
        elif e not in seen:
            seen.add(e)
            stack.append((e, True))
            if e.op != "reduce":
                stack.extend((a, False) for a in reversed(e.args) if a not in seen)
    return order


def is_per_row(spec: KernelSpec, root: Expr) -> bool:
    """True for an output with one value a row: it holds a reduction, and no element-level load or index outside one."""
    nodes = outer_nodes(root)
    return any(e.op == "reduce" for e in nodes) and not any(
        e.op == "index" or (e.op == "load" and e.attr not in spec.per_row) for e in nodes
    )


def cost(*roots: Expr) -> int:
    """Cost of one element in 1/16 of a simple add."""
    return 16 * max(1, sum(NODE_COST.get(e.op, 1) for e in ex.topological(*roots)))


_BOOL_OPS = frozenset(
    (
        "load",
        "const",
        "add",
        "mul",
        "min",
        "max",
        "lt",
        "le",
        "eq",
        "ne",
        "and",
        "or",
        "xor",
        "not",
        "select",
        "cast",
        "reduce",
    )
)
_FLOAT_ONLY = frozenset(("fma", "sqrt", "floor", "ceil", "trunc", "rint", "copysign", "round_to", "mod_pio2"))
_INT_ONLY = frozenset(("and", "or", "xor", "not", "shl", "shr"))


def _check_loop(e: Expr) -> None:
    """What a loop repeats, as if it were a kernel: its operands are the states and the values from outside."""
    body, k = e.attr if isinstance(e.attr, tuple) and len(e.attr) == 2 else (None, 0)
    dtypes = tuple(a.dtype for a in e.args)
    if (
        not isinstance(body, ex.Loop)
        or not 0 <= k < len(body.steps) <= len(e.args)
        or (body.condition.dtype, e.dtype) != ("b1", dtypes[k])
        or tuple(step.dtype for step in body.steps) != dtypes[: len(body.steps)]
        or body.limit < 1
    ):
        raise CodegenError(f"kernel spec: node 'loop' of {e.dtype}: does not fit its {len(e.args)} operands")
    inner = KernelSpec(dtypes, ())
    for node in ex.topological(body.condition, *body.steps):
        if node.op in ("index", "reduce"):
            raise CodegenError(f"kernel spec: node 'loop' of {e.dtype}: '{node.op}' cannot be repeated")
        _check_node(node, inner)


def _check_node(e: Expr, spec: KernelSpec) -> None:
    def bad(why: str) -> CodegenError:
        return CodegenError(f"kernel spec: node '{e.op}' of {e.dtype}: {why}")

    if e.op == "loop":
        return _check_loop(e)
    arity = ex.BASE_OPS.get(e.op)
    if arity is None:
        raise bad("not a base operation that code can be generated for")
    if len(e.args) != arity:
        raise bad(f"takes {arity} arguments, got {len(e.args)}")
    if e.dtype not in ex.COMPUTE_DTYPES:
        raise bad(f"dtype must be one of {', '.join(ex.COMPUTE_DTYPES)}")
    kinds = {a.dtype for a in e.args} | {e.dtype}
    if e.op == "load":
        if not (isinstance(e.attr, int) and 0 <= e.attr < len(spec.inputs)):
            raise bad(f"reads input {e.attr!r}, the kernel has {len(spec.inputs)}")
        if ex.COMPUTE_OF[spec.inputs[e.attr]] != e.dtype:
            raise bad(f"input {e.attr} is stored as {spec.inputs[e.attr]}")
    elif e.op == "index":
        if e.dtype != "i64":
            raise bad("must be i64")
    elif e.op == "cast":
        pass
    elif e.op == "bitcast":
        if ex.BITS[e.args[0].dtype] != ex.BITS[e.dtype] or "b1" in kinds:
            raise bad(f"cannot take the bits of {e.args[0].dtype}")
    elif e.op == "select":
        if e.args[0].dtype != "b1" or e.args[1].dtype != e.dtype or e.args[2].dtype != e.dtype:
            raise bad(f"arguments are {', '.join(a.dtype for a in e.args)}")
    elif e.op in ("lt", "le", "eq", "ne"):
        if e.dtype != "b1" or e.args[0].dtype != e.args[1].dtype:
            raise bad(f"arguments are {', '.join(a.dtype for a in e.args)}")
    elif e.op == "reduce":
        arg = e.args[0].dtype
        if e.attr not in ex.REDUCE_KINDS:
            raise bad(f"unknown kind {e.attr!r}")
        wants = "i64" if str(e.attr).startswith("arg") else arg
        if e.dtype != wants or (e.attr in ("any", "all")) != (
            arg == "b1" and e.attr not in ("max", "min", "argmax", "argmin")
        ):
            raise bad(f"kind {e.attr} of {arg}")
    else:
        if len(kinds) > 1:
            raise bad(f"arguments are {', '.join(a.dtype for a in e.args)}")
        if e.dtype == "b1" and e.op not in _BOOL_OPS:
            raise bad("not defined on b1")
        if e.op in _FLOAT_ONLY and e.dtype not in ex.FLOATS:
            raise bad("is defined on floats only")
        if e.op in _INT_ONLY and e.dtype in ex.FLOATS:
            raise bad("is not defined on floats")
        if e.op == "round_to" and (e.dtype != "f32" or e.attr not in ("f16", "bf16")):
            raise bad(f"cannot round to {e.attr!r}")
        if e.op == "mod_pio2" and (e.dtype != "f64" or not re.fullmatch(r"(hi|lo)(3\d|4\d)", str(e.attr))):
            raise bad(f"has no part {e.attr!r}")
        if e.op == "mulhi_u32" and e.dtype != "i64":
            raise bad("takes i64 values that hold uint32")


def check(spec: KernelSpec) -> None:
    """Raises CodegenError unless code can be generated for `spec`. Nothing unknown may reach LLVM."""
    if spec.form not in FORMS:
        raise CodegenError(f"kernel spec: form must be one of {', '.join(FORMS)}, got {spec.form!r}")
    if not spec.outputs:
        raise CodegenError("kernel spec: a kernel needs at least one output")
    if len(spec.inputs) + len(spec.outputs) > MAX_OPERANDS:
        raise CodegenError(f"kernel spec: {len(spec.inputs) + len(spec.outputs)} operands, at most {MAX_OPERANDS} fit")
    for code in (*spec.inputs, *(c for c, _ in spec.outputs)):
        if code not in SIZE:
            raise CodegenError(f"kernel spec: unknown dtype code {code!r}")
    for code, root in spec.outputs:
        if not isinstance(root, Expr):
            raise CodegenError(f"kernel spec: an output must be an Expr, got {type(root).__name__}")
        if root.dtype != ex.COMPUTE_OF[code]:
            raise CodegenError(
                f"kernel spec: an output stored as {code} needs a {ex.COMPUTE_OF[code]} expression, got {root.dtype}"
            )
    roots = [root for _, root in spec.outputs]
    for e in ex.topological(*roots):
        _check_node(e, spec)
    for j in spec.per_row:
        if not (isinstance(j, int) and 0 <= j < len(spec.inputs)):
            raise CodegenError(f"kernel spec: per_row names input {j!r}, the kernel has {len(spec.inputs)}")
    reduces = reductions(*roots)
    if spec.form in ("col", "scan"):
        if not reduces:
            raise CodegenError(f"kernel spec: form '{spec.form}' needs a reduction")
        if any(reductions(*r.args) for r in reduces):
            raise CodegenError(f"kernel spec: form '{spec.form}' cannot nest reductions")
        if any(e.op == "index" for e in ex.topological(*roots)):
            raise CodegenError(f"kernel spec: form '{spec.form}' has no linear index")
    if spec.form == "col" and not all(is_per_row(spec, r) for r in roots):
        raise CodegenError("kernel spec: an output of form 'col' may read elements inside reductions only")


def canonical_text(spec: KernelSpec) -> str:
    """One line a node; equal for equal specs only."""
    roots = [root for _, root in spec.outputs]
    number: dict[Expr, int] = {}
    lines = [f"{spec.form} {','.join(spec.inputs)} {sorted(spec.per_row)}"]
    for e in ex.topological(*roots):
        number[e] = len(number)
        attr = e.attr.hex() if isinstance(e.attr, float) else repr(e.attr)
        lines.append(f"{e.op} {e.dtype} {attr} {' '.join(str(number[a]) for a in e.args)}")
    lines += [f"out {code} {number[root]}" for code, root in spec.outputs]
    return "\n".join(lines)
