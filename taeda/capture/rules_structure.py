"""What views, contractions, gathers and scatters record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..ir import sym as S
from ..ir.graph import Value
from ..ir.sym import Sym
from ..ir.types import TensorType
from ..ops.table import OpDef
from . import geometry as G
from .tracer import Cell, Tracer, Variable


def view_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    """Geometry only: the result shares the input's cell."""
    form = op.traits["form"]
    v = tr.variable(named["input"])
    g, env = v.geometry, tr.env

    def sizes(name: str) -> list[Sym]:
        return [tr.sym(s) for s in named[name]]

    if form in ("reshape", "view"):
        wanted = G.infer_sizes(op.name, sizes("shape"), g.numel(), env)
        found = G.reshape(g, wanted, env)
        if v.cell.source is not None and not tr.layouts.dense(v.cell.source):
            v.cell.reshaped = True
        if found is None:
            if form == "view":
                raise RuntimeError(
                    "view size is not compatible with input tensor's size and stride (at least one dimension "
                    "spans across two contiguous "
                    "subspaces). Use .reshape(...) instead."
                )
            copy = tr.read(v)
            return tr.tensor(Variable(Cell(copy), G.contiguous(wanted)))
    elif form == "permute":
        found = G.permute(g, [int(d) for d in named["dims"]])
    elif form == "transpose":
        found = G.transpose(g, int(named["dim0"]), int(named["dim1"]))
    elif form == "expand":
        found = G.expand(g, sizes("size"), env)
    elif form == "squeeze":
        dims = named.get("dim")
        found = G.squeeze(g, None if dims is None else [int(d) for d in dims], env)
    elif form == "unsqueeze":
        found = G.unsqueeze(g, int(named["dim"]))
    elif form == "select":
        found = G.select(g, int(named["dim"]), tr.sym(named["index"]), env)
    elif form == "slice":
        start, end = (None if named.get(k) is None else tr.sym(named[k]) for k in ("start", "end"))
        found = G.slice_(g, int(named["dim"]), start, end, tr.sym(named["step"]), env)
    elif form == "diagonal":
        found = G.diagonal(g, int(named["offset"]), int(named["dim1"]), int(named["dim2"]), env)
    elif form == "unfold":
        found = G.unfold(g, int(named["dimension"]), tr.sym(named["size"]), tr.sym(named["step"]), env)
    elif form == "as_strided":
        found = tr.layouts.as_strided(v, sizes("size"), sizes("stride"), tr.sym(named["offset"]))
    elif form == "alias":
        found = g
    else:
        raise RuntimeError(f"{op.name}(): views of form '{form}' cannot be captured")
    return tr.tensor(Variable(v.cell, found))


# -- contractions
# ------------------------------------------------------------------------------------------------------------
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def contract_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    form = op.traits["form"]
    if form == "matmul":
        return _matmul(tr, op, named["input"], named["other"])
    if form == "linear":
        return _linear(tr, op, named["input"], named["weight"], named.get("bias"))
    terms, _, out = named["labels"].replace(" ", "").partition("->")
    left, _, right = terms.partition(",")
    return tr.fresh(_contract(tr, op, tr.variable(named["a"]), left, tr.variable(named["b"]), right, out))


def _contract(
    tr: Tracer, op: OpDef, a: Variable, left: str, b: Variable, right: str, out: str, bias: Value | None = None
) -> Value:
    from .rules import check_accepts, type_of

    code = a.dtype
    if b.dtype != code or (bias is not None and type_of(bias).dtype != code):
        raise RuntimeError(
            f"{op.name}: expected m1 and m2 to have the same dtype, but got: {tr.core.dtypes[code]} != "
            f"{tr.core.dtypes[b.dtype]}"
        )
    check_accepts(tr, op, code)
    env = tr.env
    sizes: dict[str, Sym] = {}
    for letters, v in ((left, a), (right, b)):
        if len(letters) != v.geometry.ndim:
            raise RuntimeError(f"{op.name}(): {len(letters)} letters for a tensor of {v.geometry.ndim} dimensions")
        for c, s in zip(letters, v.geometry.sizes):
            if c in sizes and not env.equal(sizes[c], s):
                raise RuntimeError(
                    f"{op.name}(): dimension {c} has size {sizes[c]} in one operand and {s} in the other"
                )
            sizes.setdefault(c, s)
    values = []
    for v in (a, b):
        v = Variable(
            v.cell, G.Geometry(tuple(env.resolve(s) for s in v.geometry.sizes), v.geometry.strides, v.geometry.offset)
        )
        values.append(tr.read(v))
    inputs = [*values, *([bias] if bias is not None else [])]
    t = tr.type_of(code, [sizes[c] for c in out])
    return tr.add("contract", op.name, inputs, [t], a=left, b=right, c=out).output


def _cannot_multiply(tr: Tracer, a: Any, b: Any) -> RuntimeError:
    """Eager's message, with this call's sizes: leading dimensions of the first operand are rows."""
    left, right = ([tr.env.hint(s) for s in sizes] for sizes in (a, b))
    rows, columns = math.prod(left[:-1]), right[1] if len(right) > 1 else 1
    return RuntimeError(
        f"mat1 and mat2 shapes cannot be multiplied ({rows}x{left[-1] if left else 1} and {right[0]}x{columns})"
    )


def _matmul(tr: Tracer, op: OpDef, x: Any, y: Any) -> Any:
    a, b = tr.variable(x), tr.variable(y)
    na, nb = a.geometry.ndim, b.geometry.ndim
    if not na or not nb:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {na}D and {nb}D")
    ka, kb = a.geometry.sizes[-1], b.geometry.sizes[-2 if nb > 1 else 0]
    if not tr.env.equal(ka, kb):
        if nb <= 2:
            raise _cannot_multiply(tr, a.geometry.sizes, b.geometry.sizes)
        raise RuntimeError(
            f"matmul(): inner sizes differ: {G.shape_text(a.geometry.sizes)} and {G.shape_text(b.geometry.sizes)}"
        )
    free = iter(c for c in _LETTERS if c not in "mkn")
    batch_a, batch_b = max(na - 2, 0), max(nb - 2, 0)
    kept_a, kept_b, lead = [], [], ""  # (dimension, letter) of the batch dimensions each operand has for itself
    for place in range(max(batch_a, batch_b), 0, -1):
        c = next(free)
        lead += c
        keep_a, keep_b = place <= batch_a, place <= batch_b
        if keep_a and keep_b:
            keep_a, keep_b = _batch_sizes(
                tr, a.geometry.sizes[batch_a - place], b.geometry.sizes[batch_b - place], max(batch_a, batch_b) - place
            )
        if keep_a:
            kept_a.append((batch_a - place, c))
        if keep_b:
            kept_b.append((batch_b - place, c))
    a, left = _matrix_operand(a, kept_a, batch_a, "mk" if na > 1 else "k")
    b, right = _matrix_operand(b, kept_b, batch_b, "kn" if nb > 1 else "k")
    return tr.fresh(_contract(tr, op, a, left, b, right, lead + ("m" if na > 1 else "") + ("n" if nb > 1 else "")))


def _batch_sizes(tr: Tracer, x: Sym, y: Sym, d: int) -> tuple[bool, bool]:
    """Which operand walks a batch dimension that both have: a size of 1 against another is broadcast."""
    env = tr.env
    x, y = env.resolve(x), env.resolve(y)
    if x == y or env.hint(x) == env.hint(y):
        env.equal(x, y)
        return True, True
    if env.hint(x) == 1 or env.hint(y) == 1:
        one_x = env.hint(x) == 1
        env.equal(x if one_x else y, 1)
        return not one_x, one_x
    raise RuntimeError(
        f"The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {d}"
    )


def _matrix_operand(v: Variable, kept: list[tuple[int, str]], batch: int, matrix: str) -> tuple[Variable, str]:
    """An operand of matmul without its broadcast batch dimensions, and its letters."""
    dims = [d for d, _ in kept] + list(range(batch, v.geometry.ndim))
    g = G.Geometry(
        tuple(v.geometry.sizes[d] for d in dims), tuple(v.geometry.strides[d] for d in dims), v.geometry.offset
    )
    return Variable(v.cell, g), "".join(c for _, c in kept) + matrix


def _linear(tr: Tracer, op: OpDef, x: Any, w: Any, bias: Any) -> Any:
    a, b = tr.variable(x), tr.variable(w)
    if b.geometry.ndim != 2:
        raise RuntimeError(f"linear(): weight must be a matrix, got {b.geometry.ndim} dimensions")
    if not a.geometry.ndim or not tr.env.equal(a.geometry.sizes[-1], b.geometry.sizes[1]):
        raise _cannot_multiply(tr, a.geometry.sizes, b.geometry.sizes[::-1])
    lead = "".join(c for c in _LETTERS if c not in "kn")[: a.geometry.ndim - 1]
    value = None
    if bias is not None:
        v = tr.variable(bias)
        if v.geometry.ndim != 1 or not tr.env.equal(v.geometry.sizes[0], b.geometry.sizes[0]):
            raise RuntimeError(
                f"linear(): bias has shape {G.shape_text(v.geometry.sizes)}, expected [{b.geometry.sizes[0]}]"
            )
        value = tr.read(v)
    return tr.fresh(_contract(tr, op, a, lead + "k", b, "nk", lead + "n", value))


# -- gathers and scatters
# ------------------------------------------------------------------------------------------------------
def _index_values(tr: Tracer, indices: Sequence[Any]) -> list[tuple[int, Value]]:
    found = []
    for d, x in enumerate(indices):
        if x is None:
            continue
        v = tr.variable(x)
        if v.dtype in ("b1", "u8"):
            tr.refuse_read(x, "indexing with a mask: nonzero")
        if v.dtype not in ("i64", "i32"):
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        found.append((d, tr.read(v)))
    return found


def _index_form(tr: Tracer, source: Variable, indices: Sequence[Any]) -> tuple[list[Value], dict[str, Any]]:
    """NumPy's indexing: attributes of the node, and the sizes of the iteration space."""
    from .rules import broadcast, conform, type_of

    pairs = _index_values(tr, indices)
    if not pairs:
        raise IndexError("index(): at least one index tensor is needed")
    dims = [d for d, _ in pairs]
    if dims[-1] >= source.geometry.ndim:
        raise IndexError(f"too many indices for tensor of dimension {source.geometry.ndim}")
    shape = broadcast(tr, "index", [type_of(v).sizes for _, v in pairs])
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    at = dims[0] if adjacent else 0
    rest = [s for d, s in enumerate(source.geometry.sizes) if d not in dims]
    space = (*rest[:at], *shape, *rest[at:])
    values = [conform(tr, v, ()) for _, v in pairs]
    return values, {
        "form": "index",
        "dims": tuple(dims),
        "at": at,
        "rank": len(shape),
        "space": tuple(tr.env.resolve(s) for s in space),
    }


def _one_index(tr: Tracer, op: OpDef, index: Any) -> Value:
    from .rules import type_of

    v = tr.read(tr.variable(index))
    if type_of(v).dtype not in ("i64", "i32"):
        raise RuntimeError(f"{op.name}(): Expected dtype int64 for index")
    return v


def gather_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    from .rules import type_of, view

    form = op.traits["form"]
    source = tr.variable(named["input"])
    g = source.geometry
    value = tr.read(source)
    if form == "index":
        indices, attrs = _index_form(tr, source, named["indices"])
        return tr.fresh(
            tr.add("gather", op.name, [value, *indices], [TensorType(source.dtype, attrs["space"])], **attrs).output
        )
    index = _one_index(tr, op, named["index"])
    sizes = type_of(index).sizes
    if not g.ndim:
        value = view(tr, value, (S.ONE,))
        shape = sizes or (S.ONE,)
        index = view(tr, index, shape)
        out = tr.add("gather", op.name, [value, index], [TensorType(source.dtype, shape)], form=form, dims=(0,)).output
        return tr.tensor(Variable(Cell(out), G.contiguous(sizes)))
    dim = G.wrap_dim(int(named["dim"]), g.ndim)
    if form == "along":
        if len(sizes) != g.ndim:
            raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
        out_sizes = sizes
    else:
        if len(sizes) > 1:
            raise IndexError(f"{op.name}(): Index is supposed to be a vector")
        if not sizes:
            index = view(tr, index, (S.ONE,))
        out_sizes = tuple(type_of(index).sizes[0] if d == dim else s for d, s in enumerate(g.sizes))
    out = tr.add(
        "gather", op.name, [value, index], [tr.type_of(source.dtype, out_sizes)], form=form, dims=(dim,)
    ).output
    return tr.fresh(out)


def scatter_rule(tr: Tracer, op: OpDef, named: dict[str, Any]) -> Any:
    from .rules import cast, type_of, view

    form, mode = op.traits["form"], op.traits["mode"]
    items = list(named.values())
    target = tr.variable(items[0])
    base = tr.read(target)
    source = tr.variable(items[-1])
    if source.dtype != target.dtype:
        if form == "along" or source.geometry.ndim:
            raise RuntimeError(f"{op.name}(): Expected self.dtype to be equal to src.dtype")
        source = tr.variable(
            tr.fresh(cast(tr, tr.read(source), target.dtype))
        )  # a 0-d value is cast, as a number would be
    if form == "index":
        indices, attrs = _index_form(tr, target, named["indices"])
        spread = Variable(source.cell, G.expand(source.geometry, [S.as_sym(s) for s in attrs["space"]], tr.env))
        return tr.fresh(
            tr.add("scatter", op.name, [base, *indices, tr.read(spread)], [type_of(base)], mode=mode, **attrs).output
        )
    dim = G.wrap_dim(int(named["dim"]), target.geometry.ndim)
    index = _one_index(tr, op, named["index"])
    if form == "select":
        count = type_of(index).sizes[0] if type_of(index).ndim else S.ONE
        space = [count if d == dim else s for d, s in enumerate(target.geometry.sizes)]
        source = Variable(source.cell, G.expand(source.geometry, space, tr.env))
    values = tr.read(source)
    if form == "select" and type_of(index).ndim == 0:
        index = view(tr, index, (S.ONE,))
    return tr.fresh(
        tr.add("scatter", op.name, [base, index, values], [type_of(base)], form=form, mode=mode, dims=(dim,)).output
    )
