"""What each kind of operator records: result types, promotion and broadcasting over symbolic sizes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..ir import sym as S
from ..ir.graph import Value
from ..ir.sym import Relation, Sym
from ..ir.types import TensorType
from ..ops.expr import COMPUTE_OF
from ..ops.table import PART, ROLES, TABLE, Abstract, OpDef, lookup
from .errors import CaptureError, refuse_complex, user_location
from .geometry import shape_text, wrap_dim
from .promote import category, result_type
from .symint import SymInt
from .tracer import Cell, Tracer, Variable

Rule = Callable[[Tracer, OpDef, dict[str, Any]], Any]


def split_name(name: str) -> tuple[OpDef, bool]:
    """(the operator, whether `name` is its in-place twin)."""
    if name not in TABLE and name.endswith("_"):
        return lookup(name[:-1]), True
    return lookup(name), False


def trace_op(tr: Tracer, op: Any, args: list) -> Any:
    """Records one call. `op` has a name; `args` are in schema order."""
    entry, inplace = split_name(op.name)
    names = [name for _, name, _ in entry.parameters()]
    named = dict(zip(names, args))
    rule = _RULES.get(entry.kind)
    if rule is None:
        raise CaptureError(f"{op.name}(): operators of kind '{entry.kind}' cannot be captured")
    if entry.kind == "nonzero":
        tr.refuse_read(None, "nonzero")
    result = rule(tr, entry, named)
    if inplace:
        target = args[0]
        write_back(tr, op.name, target, result)
        return target
    return result


def write_back(tr: Tracer, name: str, target: Any, result: Any) -> None:
    """An in-place operator: the result, cast to the target's dtype, replaces the target's elements."""
    v, r = tr.variable(target), tr.core.traced_value(result)
    if category(r.dtype) > category(v.dtype):
        raise RuntimeError(
            f"result type {tr.core.dtypes[r.dtype]} can't be cast to the desired output type {tr.core.dtypes[v.dtype]}"
        )
    if not (
        len(r.geometry.sizes) == len(v.geometry.sizes)
        and all(tr.env.equal(a, b) for a, b in zip(r.geometry.sizes, v.geometry.sizes))
    ):
        raise RuntimeError(
            f"output with shape {shape_text(v.geometry.sizes)} doesn't match the broadcast shape "
            f"{shape_text(r.geometry.sizes)}"
        )
    tr.write(v, cast(tr, tr.read(r), v.dtype))


# -- helpers
# -------------------------------------------------------------------------------------------------------------
def is_tensor(tr: Tracer, x: Any) -> bool:
    return isinstance(x, tr.core.Tensor)


def type_of(v: Value) -> TensorType:
    assert isinstance(v.type, TensorType)
    return v.type


def cast(tr: Tracer, v: Value, dtype: str) -> Value:
    t = type_of(v)
    return v if t.dtype == dtype else tr.add("copy", ROLES["cast"], [v], [TensorType(dtype, t.sizes)]).output


def view(tr: Tracer, v: Value, sizes: Sequence[Sym]) -> Value:
    """A row-major value in another shape of as many elements."""
    t = tr.type_of(type_of(v).dtype, sizes)
    return tr.add("view", ROLES["reshape"], [v], [t], offset=S.ZERO, strides=t.strides()).output


def broadcast(tr: Tracer, name: str, shapes: Sequence[Sequence[Sym]], strict: bool = False) -> tuple[Sym, ...]:
    """The common shape; sizes that the example makes equal or 1 become guards.

    strict: so does a size of 1 beside a name that is 1 in the example. The tape undoes broadcasting by the example's
    sizes.
    """
    out: list[Sym] = []
    env = tr.env
    for place in range(1, max((len(s) for s in shapes), default=0) + 1):
        present = [shape[-place] for shape in shapes if len(shape) >= place]
        found = present[0]
        for s in map(env.resolve, present):
            found = env.resolve(found)
            if s == found:
                continue
            if strict and env.hint(s) == env.hint(found) == 1:
                env.equal(s, found)
            elif s == 1:
                continue
            elif found == 1:
                found = s
            elif env.hint(s) == env.hint(found):
                env.equal(s, found)
            elif env.hint(s) == 1:
                env.equal(s, 1)
            elif env.hint(found) == 1:
                env.equal(found, 1)
                found = s
            else:
                raise RuntimeError(
                    f"The size of tensor a ({found}) must match the size of tensor b ({s}) at non-singleton "
                    f"dimension {max(map(len, shapes)) - place}"
                )
        out.append(env.resolve(found))
    return tuple(reversed(out))


def conform(tr: Tracer, v: Value, space: Sequence[Sym]) -> Value:
    """`v` with its sizes written as the space's (after guards have made them equal)."""
    t = type_of(v)
    sizes = tuple(tr.env.resolve(s) for s in t.sizes)
    if sizes != t.sizes:
        v.type = TensorType(t.dtype, sizes)
    return v


def dtype_code(dtype: Any) -> str | None:
    return None if dtype is None else dtype.code


def default_float(tr: Tracer) -> str:
    return tr.core.get_default_dtype().code


def check_accepts(tr: Tracer, op: OpDef, code: str) -> None:
    if op.accepts and code not in op.accepts:
        raise NotImplementedError(f'"{op.name}" not implemented for {tr.core.dtypes[code]}')


def dims_of(dim: Any, ndim: int) -> list[int]:
    """Dimensions of a reduction from the front, ascending; None and () mean all."""
    if dim is None or (isinstance(dim, (list, tuple)) and not dim):
        return list(range(ndim))
    dims = sorted(wrap_dim(int(d), ndim) for d in (dim if isinstance(dim, (list, tuple)) else (dim,)))
    for a, b in itertools.pairwise(dims):
        if a == b:
            raise RuntimeError(f"dim {a} appears multiple times in the list of dims")
    return dims if ndim else []


# -- maps
# ------------------------------------------------------------------------------------------------------------------
def _common_dtype(tr: Tracer, op: OpDef, letters: str, operands: list[Any]) -> str | None:
    kinds = []
    for t, x in zip(letters, operands):
        if t not in "TR":
            continue
        if is_tensor(tr, x):
            v = tr.variable(x)
            kinds.append(("dim" if v.geometry.ndim else "zero", v.dtype))
        else:
            kinds.append(("number", tr.number_code(x)))
    if not kinds:
        return None
    code = result_type(kinds, default_float(tr))
    if op.to_float and category(code) < 2:
        code = default_float(tr)
    check_accepts(tr, op, code)
    return code


def map_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    operands = list(named.values())[: len(op.in_types)]
    common = _common_dtype(tr, op, op.in_types, operands)
    at = (op.traits or {}).get("divisor")
    if at is not None and common and category(common) < 2 and type(operands[at]) is int and operands[at] == 0:
        raise RuntimeError(f"{op.name}(): ZeroDivisionError: the divisor has a zero")
    values, codes, shapes = [], [], []
    for letter, x in zip(op.in_types, operands):
        code = {
            "T": common,
            "R": common,
            "r": common,
            "b": "b1",
            "i": "i64",
            "p": COMPUTE_OF.get(common or "f32", "f32"),
        }.get(letter, common)
        assert code is not None
        if is_tensor(tr, x):
            v = tr.read(tr.variable(x))
            if type_of(v).dtype != code:
                v = cast(tr, v, code)
            shapes.append(type_of(v).sizes)
        else:
            v = tr.scalar(x)
        values.append(v)
        codes.append(code)
    tensors = [x for x in operands if is_tensor(tr, x)]
    space = broadcast(tr, op.name, shapes, strict=any(x.requires_grad for x in tensors))
    values = [conform(tr, v, space) if isinstance(v.type, TensorType) else v for v in values]
    types = []
    for letter in op.out_types:
        code = {"T": common, "R": common, "r": common, "b": "b1", "i": "i64", "c": "c64"}[letter]
        if code in PART:
            refuse_complex(op.name)
        sizes = (*space[:-1], S.ONE) if letter == "R" else space
        types.append(TensorType(code, sizes))  # type: ignore[arg-type]
    attrs: dict[str, Any] = {"codes": tuple(codes)}
    if op.kind == "rows":
        attrs["space"] = space
    n = tr.add(op.kind, op.name, values, types, **attrs)
    writes = (op.traits or {}).get("writes")
    if writes is not None:  # an optimiser's step: each output replaces an operand
        for v, w in zip(n.outputs, writes, strict=True):
            target = tr.variable(operands[w])
            tr.write(target, cast(tr, v, target.dtype))
    like = [tr.variable(x) for x in tensors] if op.kind == "map" else []
    results = tuple(tr.fresh_like(v, like) for v in n.outputs)
    return results[0] if len(results) == 1 else results


def generate_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    items = list(named.items())
    sizes = tuple(tr.sym(s) for s in items[0][1])
    numbers = [x for name, x in items[1:] if name != "dtype"][: len(op.in_types)]
    code = dtype_code(named.get("dtype")) or default_float(tr)
    if code in PART:
        refuse_complex(op.name)
    codes = tuple({"T": COMPUTE_OF[code], "i": "i64", "d": "f64"}[t] for t in op.in_types)
    return tr.fresh(
        tr.add("generate", op.name, [tr.scalar(x) for x in numbers], [tr.type_of(code, sizes)], codes=codes).output
    )


# -- reductions
# ------------------------------------------------------------------------------------------------------------
def reduce_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    source = tr.read(tr.variable(named["input"]))
    keepdim, wanted = bool(named.get("keepdim")), dtype_code(named.get("dtype"))
    if wanted is not None:
        source = cast(tr, source, wanted)
    if op.to_float and category(type_of(source).dtype) < 2:
        source = cast(tr, source, default_float(tr))
    t = type_of(source)
    check_accepts(tr, op, t.dtype)
    truth = "u8" if t.dtype == "u8" else "b1"  # any and all of uint8 give uint8
    out = {"T": t.dtype, "acc": t.dtype if category(t.dtype) >= 2 or wanted else "i64", "i": "i64", "b": truth}[
        op.out_types
    ]
    dims = dims_of(named.get("dim"), t.ndim)
    original = t.sizes
    if op.traits["single"] and named.get("dim") is None and t.ndim != 1:
        source = _flat(tr, source)
        dims, keep_shape = [0], (S.ONE,) * t.ndim
    else:
        keep_shape = tuple(S.ONE if d in dims else s for d, s in enumerate(original))
    if not original and not op.traits["single"]:
        source, dims = view(tr, source, (S.ONE,)), [0]
    elif not original:
        source, dims = (source if type_of(source).ndim else view(tr, source, (S.ONE,))), [0]
    value = _runs(tr, op, source, dims, out)
    if keepdim:
        value = view(tr, value, keep_shape)
    return tr.fresh(value)


def _flat(tr: Tracer, v: Value) -> Value:
    """All elements in one dimension, in logical order."""
    t = type_of(v)
    if v.node is not None and v.node.kind == "view":
        v = tr.add("copy", ROLES["clone"], [v], [t]).output
    return view(tr, v, (t.numel(),))


def _runs(tr: Tracer, op: OpDef, value: Value, dims: list[int], out: str) -> Value:
    """One reduce node a maximal run of adjacent dimensions, the last run first."""
    if not dims:
        # Nothing to reduce: one element a result.
        t = type_of(value)
        value, dims = _with_unit(tr, value), [t.ndim]
    runs: list[list[int]] = []
    for d in dims:
        if runs and runs[-1][-1] == d - 1:
            runs[-1].append(d)
        else:
            runs.append([d])
    accumulator = op.accumulator(type_of(value).dtype, out)
    for k, run in enumerate(reversed(runs)):
        t = type_of(value)
        dtype = out if k == len(runs) - 1 else accumulator
        sizes = t.sizes[: run[0]] + t.sizes[run[0] + len(run) :]
        value = tr.add(
            "reduce",
            op.name,
            [value],
            [TensorType(dtype, sizes)],
            begin=run[0],
            count=len(run),
            stage="first" if k == 0 else "next",
        ).output
    return value


def _with_unit(tr: Tracer, v: Value) -> Value:
    t = type_of(v)
    if v.node is not None and v.node.kind == "view":
        n = v.node
        return tr.add(
            "view",
            ROLES["unsqueeze"],
            n.inputs,
            [TensorType(t.dtype, (*t.sizes, S.ONE))],
            offset=n.attrs["offset"],
            strides=(*n.attrs["strides"], S.ONE),
        ).output
    return view(tr, v, (*t.sizes, S.ONE))


def scan_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    source = tr.read(tr.variable(named["input"]))
    t = type_of(source)
    check_accepts(tr, op, t.dtype)
    wanted = dtype_code(named.get("dtype"))
    out = wanted or (t.dtype if category(t.dtype) >= 2 else "i64")
    if wanted is not None:
        source = cast(tr, source, wanted)
    dim = wrap_dim(int(named["dim"]), t.ndim)
    if not t.ndim:
        value = tr.add("scan", op.name, [view(tr, source, (S.ONE,))], [TensorType(out, (S.ONE,))], dim=0).output
        return tr.fresh(view(tr, value, ()))
    value = tr.add("scan", op.name, [source], [TensorType(out, t.sizes)], dim=dim).output
    return tr.fresh_like(value, [tr.variable(named["input"])])


# -- copies
# ------------------------------------------------------------------------------------------------------------------
def copy_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    form = (op.traits or {}).get("form") or op.name
    target = named["input"]
    v = tr.variable(target)
    if form == "copy_":
        source = tr.variable(named["src"])
        from . import geometry as G

        g = G.expand(source.geometry, [S.as_sym(s) for s in v.geometry.sizes], tr.env)
        value = cast(tr, tr.read(Variable(source.cell, g)), v.dtype)
        tr.write(v, value)
        return target
    if form == "to":
        code = named["dtype"].code
        return target if code == v.dtype else tr.fresh_like(cast(tr, tr.read(v), code), [v])
    if form == "contiguous":
        from .geometry import is_contiguous

        return target if is_contiguous(v.geometry, tr.env) else tr.fresh(tr.read(v))
    if form == "flip":
        whole = tr.read(v)
        t = type_of(whole)
        strides, offset = list(t.strides()), S.ZERO
        for d in (wrap_dim(int(d), t.ndim) for d in named["dims"]):
            offset, strides[d] = offset + (t.sizes[d] - 1) * strides[d], -strides[d]
        turned = tr.add("view", op.name, [whole], [t], offset=offset, strides=tuple(strides))
        return tr.fresh_like(turned.output, [v])
    return tr.fresh_like(tr.read(v), [v])


def cat_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    tensors = list(named["tensors"])
    if not tensors:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    variables = [tr.variable(t) for t in tensors]
    code = result_type([("dim" if v.geometry.ndim else "zero", v.dtype) for v in variables], default_float(tr))
    kept = [v for v in variables if not (v.geometry.ndim == 1 and v.geometry.sizes[0] == 0)] or variables[:1]
    first = kept[0].geometry
    if not first.ndim:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    dim = wrap_dim(int(named["dim"]), first.ndim)
    total = S.ZERO
    for k, v in enumerate(kept):
        g = v.geometry
        if g.ndim != first.ndim:
            raise RuntimeError(f"Tensors must have same number of dimensions: got {first.ndim} and {g.ndim}")
        for d in range(first.ndim):
            if d != dim and not tr.env.equal(g.sizes[d], first.sizes[d]):
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {first.sizes[d]} "
                    f"but got size {g.sizes[d]} "
                    f"for tensor number {k} in the list."
                )
        total = total + g.sizes[dim]
    sizes = [total if d == dim else s for d, s in enumerate(first.sizes)]
    values = [conform(tr, cast(tr, tr.read(v), code), ()) for v in kept]
    return tr.fresh(tr.add("cat", op.name, values, [tr.type_of(code, sizes)], dim=dim).output)


def sort_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    from . import geometry as G

    v = tr.variable(named["input"])
    g = v.geometry
    if not g.ndim:
        g = G.Geometry((S.ONE,), (S.ONE,), g.offset)
    dim = wrap_dim(int(named["dim"]), g.ndim)
    last = g.ndim - 1
    source = tr.read(Variable(v.cell, G.transpose(g, dim, last)))
    t = type_of(source)
    k = None if named.get("k") is None else tr.sym(named["k"])
    if k is not None and not tr.env.decide(Relation("<=", k, t.sizes[-1])):
        raise RuntimeError(f"selected index k out of range: k={k}, dimension {dim} has size {t.sizes[-1]}")
    sizes = t.sizes if k is None else (*t.sizes[:-1], k)
    n = tr.add(
        "sort",
        op.name,
        [source],
        [TensorType(t.dtype, sizes), TensorType("i64", sizes)],
        dim=last,
        descending=bool(named["descending"]),
        k=k,
    )
    results = []
    for value in n.outputs:
        moved = Variable(Cell(value), G.transpose(G.contiguous(sizes), dim, last))
        if not v.geometry.ndim:
            moved.geometry = G.Geometry((), (), S.ZERO)
        results.append(tr.fresh(tr.read(moved)))
    return tuple(results)


def host_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    """A call of a library: the program calls back into this process."""
    values: list[Value] = []
    plain: list[Any] = []  # the arguments in schema order, None in the place of a tensor
    places: list[int] = []
    known: list[Any] = []
    for k, x in enumerate(named.values()):
        if is_tensor(tr, x):
            v = tr.read(tr.variable(x))
            if not values:
                check_accepts(tr, op, type_of(v).dtype)
            values.append(v)
            places.append(k)
            plain.append(None)
            known.append(Abstract(tuple(tr.size(s) for s in type_of(v).sizes), type_of(v).dtype))
            continue
        known.append(x)
        if isinstance(x, SymInt):
            plain.append(tr.sym(x))
        elif isinstance(x, (tuple, list)):
            plain.append(tuple(int(i) for i in x))
        elif x is None or isinstance(x, (bool, int, str)):
            plain.append(x)
        else:
            raise CaptureError(f"{user_location().text()}: {op.name}(): a number known only at run time cannot be used")
    types = []
    for sizes, code in op.traits["results"](*known):
        if code in PART:
            refuse_complex(op.name)
        types.append(tr.type_of(code, [tr.sym(s) for s in sizes]))
    n = tr.add("foreign", op.name, values, types, arguments=tuple(plain), tensors=tuple(places))
    results = tuple(tr.fresh(v) for v in n.outputs)
    return results[0] if len(results) == 1 else results


_RULES: dict[str, Rule] = {
    "map": map_rule,
    "rows": map_rule,
    "generate": generate_rule,
    "reduce": reduce_rule,
    "scan": scan_rule,
    "copy": copy_rule,
    "cat": cat_rule,
    "sort": sort_rule,
    "host": host_rule,
}


def _install() -> None:
    from .rules_structure import contract_rule, gather_rule, scatter_rule, view_rule

    _RULES.update(
        view=view_rule,
        contract=contract_rule,
        gather=gather_rule,
        scatter=scatter_rule,
        nonzero=lambda tr, op, named: None,
    )


_install()
