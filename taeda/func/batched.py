"""Tensors that stand for a batch, and what every kind of operator does to them.

A batched tensor hides the first dimension of its inner tensor. The rules are by kind, not by operator: dimensions count
from the second inner one, operands without the batch broadcast or are expanded (views), and what has no rule runs once
for every element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from ..ops import expr
from ..ops.helpers import wrap_dim
from ..ops.namespace import F
from ..ops.table import OpDef
from .duals import note_view
from .errors import data_dependent, reads_values, writes_batch
from .levels import Level, Value, stack, value_of

Tensor = _core.Tensor


class Batched(Value):
    """A tensor whose elements along the first dimension of `inner` are the batch."""

    __slots__ = ()
    level: VmapLevel

    def detach(self) -> Tensor:
        return self.level.wrap(self.inner.detach())

    def shape(self) -> tuple:
        return type(self.inner.shape)(self.inner.shape[1:])

    def layout(self, what: str) -> Any:
        if what == "stride":
            return self.inner.stride()[1:]
        if what == "is_contiguous":
            return self.inner.select(0, 0).is_contiguous()
        return getattr(self.inner, what)()

    def read(self, what: str) -> Any:
        raise reads_values(what)

    def text(self) -> str:
        return f"BatchedTensor(lvl={self.level.number + 1}, bdim=0, value=\n{self.inner!r}\n)"


class VmapLevel(Level):
    """One vmap under way, over `size` elements."""

    def __init__(self, size: int, randomness: str = "error"):
        super().__init__()
        self.size, self.randomness = size, randomness

    def wrap(self, inner: Tensor) -> Tensor:
        """The tensor that stands for the batch `inner`, whose first dimension is it."""
        return _core.make_wrapped(Batched(inner, self), inner, 1, False)

    def inner(self, x: Any) -> Tensor | None:
        """The tensor below a batched one of this level; None for everything else."""
        v = value_of(x)
        return v.inner if v is not None and v.level is self else None

    def batch(self, x: Tensor) -> Tensor:
        """The tensor below, expanded along the batch where `x` is the same for all of it."""
        found = self.inner(x)
        return self.expanded(x) if found is None else found

    def expanded(self, x: Tensor) -> Tensor:
        return F.expand(F.unsqueeze(x, 0), (self.size, *x.shape))

    def process(self, op: Any, entry: OpDef, inplace: bool, args: list) -> Any:
        if inplace and self.inner(args[0]) is None:
            raise writes_batch(op.name)
        result = RULES.get(entry.kind, one_by_one)(self, op, entry, args)
        if inplace:
            return args[0]
        if entry.kind == "view" and len(stack()) > self.number + 1:  # a level above may give it a tangent
            view = self.wrap(result)
            note_view(view, args[0])
            return view
        return tuple(map(self.wrap, result)) if isinstance(result, (tuple, list)) else self.wrap(result)


def _is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


def _padded(inner: Tensor, ndim: int) -> Tensor:
    """Size-1 dimensions after the batch, up to `ndim` dimensions behind it."""
    for _ in range(ndim + 1 - inner.dim()):
        inner = F.unsqueeze(inner, 1)
    return inner


# -- element by element ------------------------------------------------------------------------------------------------
def _common_dtype(entry: OpDef, args: list) -> Any:
    """What the operands marked T promote to, by their ranks as the user sees them."""
    found: Any = None
    for letter, x in zip(entry.in_types, args):
        if letter == "T" and x is not None:
            found = (
                x
                if found is None
                else F.scalar_tensor(0, dtype=F.result_type(found, x))
                if _all_scalar(found, x)
                else F.ones((1,), dtype=F.result_type(found, x))
            )
    return found.dtype if isinstance(found, Tensor) else None


def _all_scalar(*values: Any) -> bool:
    return all(not _is_tensor(v) or v.dim() == 0 for v in values)


def _counts_elements(entry: OpDef) -> bool:
    """Whether the formula reads the number of the element, which a batch in front would change."""
    found = _COUNTING.get(entry.name)
    if found is None:
        dtype = next((d for d in ("f32", "i64", "f64", "c64") if d in (entry.accepts or ("f32",))), "f32")
        ins = tuple({"b": "b1", "i": "i64"}.get(t, dtype) for t in entry.in_types)
        outs = tuple({"b": "b1", "i": "i64"}.get(t, dtype) for t in entry.out_types)
        roots = [e for _, e in entry.map_outputs(ins, outs)]
        found = _COUNTING[entry.name] = any(e.op == "index" for e in expr.topological(*roots))
    return found


_COUNTING: dict[str, bool] = {}


def maps(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    """Kinds map and rows: operands are lined up from the right."""
    if _counts_elements(entry):
        return one_by_one(level, op, entry, args)
    tensors = [x for x in args if _is_tensor(x)]
    ndim = max(x.dim() for x in tensors)
    # A number-like (0-d) tensor yields to others in promotion; behind a batch dimension it would no longer.
    dtypes = {x.dtype for letter, x in zip(entry.in_types, args) if letter == "T" and _is_tensor(x)}
    common = _common_dtype(entry, args) if len(dtypes) > 1 else None
    physical = []
    for letter, x in zip(entry.in_types, args):
        inner = level.inner(x) if _is_tensor(x) else None
        if inner is not None:
            if common is not None and letter == "T" and x.dim() == 0 and inner.dtype is not common:
                inner = F.cast(inner, common)
            x = _padded(inner, ndim)
        physical.append(x)
    return invoke(op, entry, [*physical, *args[len(physical) :]])


def invoke(op: Any, entry: OpDef, args: list) -> Any:
    """`op` of arguments in schema order: those behind the marker are given by name."""
    found = _KEYWORDS.get(entry.name)
    if found is None:
        before, star, _ = entry.params.partition("*,")
        names = [name for _, name, _ in entry.parameters()]
        count = len([p for p in before.split(",") if p.strip()]) if star else len(names)
        found = _KEYWORDS[entry.name] = (count, names[count:])
    count, names = found
    return op(*args[:count], **{name: x for name, x in zip(names, args[count:]) if x is not None})


_KEYWORDS: dict[str, tuple[int, list]] = {}


def copies(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    inner = level.batch(args[0])
    if entry.traits["form"] == "flip":
        return op(inner, [wrap_dim(d, args[0].dim()) + 1 for d in args[1] if args[0].dim()])
    if entry.traits["form"] != "copy_":
        return op(inner, *args[1:])
    src = level.inner(args[1])
    return op(inner, args[1] if src is None else _padded(src, args[0].dim()))


# -- reductions along dimensions ---------------------------------------------------------------------------------------
def reductions(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    x, dim, keepdim, *rest = args
    inner, ndim = level.batch(x), x.dim()
    more = {"dtype": rest[0]} if rest and rest[0] is not None else {}
    if ndim == 0:
        if isinstance(dim, int):
            wrap_dim(dim, 0)
        found = op(F.unsqueeze(inner, 1), 1, False, **more)
        return found
    if entry.traits["single"]:
        if dim is None:
            found = op(F.reshape(inner, (level.size, -1)), 1, False, **more)
            return F.reshape(found, (level.size, *(1,) * ndim)) if keepdim else found
        return op(inner, wrap_dim(dim, ndim) + 1, keepdim, **more)
    if dim is None and entry.traits["kind"] == "prod":  # its gradient knows one dimension
        found = op(F.reshape(inner, (level.size, -1)), 1, False, **more)
        return F.reshape(found, (level.size, *(1,) * ndim)) if keepdim else found
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        dims = list(range(1, ndim + 1))
    else:
        dims = [wrap_dim(d, ndim) + 1 for d in ((dim,) if isinstance(dim, int) else dim)]
    return op(inner, dims, keepdim, **more)


def along_dim(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    """Kinds scan and sort: (input, dim, ...)."""
    x, dim, *rest = args
    inner, at = level.batch(x), wrap_dim(dim, x.dim()) + 1
    if entry.kind == "scan":
        more = {"dtype": rest[0]} if rest and rest[0] is not None else {}
        return op(inner, at, **more) if x.dim() else F.squeeze(op(F.unsqueeze(inner, 1), 1, **more), 1)
    if x.dim():
        return op(inner, at, *rest)
    return tuple(F.squeeze(r, 1) for r in op(F.unsqueeze(inner, 1), 1, *rest))


# -- views -------------------------------------------------------------------------------------------------------------
def views(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    x, *rest = args
    inner, ndim, form = level.batch(x), x.dim(), entry.traits["form"]

    def at(d: int, n: int = ndim) -> int:
        return wrap_dim(d, n) + 1

    if form in ("reshape", "view"):
        return op(inner, (level.size, *_resolved(x, rest[0])))
    if form == "permute":
        return op(inner, (0, *(at(d) for d in rest[0])))
    if form == "transpose":
        return op(inner, at(rest[0]), at(rest[1])) if ndim else op(inner, 0, 0)
    if form == "expand":
        return op(_padded(inner, len(rest[0])), (level.size, *rest[0]))
    if form == "squeeze":
        dims = [d for d in range(ndim) if x.shape[d] == 1] if rest[0] is None else [wrap_dim(d, ndim) for d in rest[0]]
        return op(inner, [d + 1 for d in dims if ndim])
    if form == "unsqueeze":
        return op(inner, wrap_dim(rest[0], ndim + 1) + 1)
    if form == "select":
        if not ndim:
            raise IndexError("select() cannot be applied to a 0-dim tensor.")
        return op(inner, at(rest[0]), rest[1])
    if form == "slice":
        if not ndim:
            raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
        return op(inner, at(rest[0]), *rest[1:])
    if form == "diagonal":
        return op(inner, rest[0], at(rest[1]), at(rest[2]))
    if form == "unfold":
        if not ndim:
            return F.unsqueeze(inner, 1)
        return op(inner, at(rest[0]), *rest[1:])
    if form == "as_strided":
        size, stride, offset, own = rest
        own = None if own is None else (inner.stride(0), *own)
        return op(inner, (level.size, *size), (inner.stride(0), *stride), offset, own)
    return op(inner, *rest)  # alias, dtype, parts of complex numbers: the last dimension alone matters


def _resolved(x: Tensor, sizes: Any) -> list:
    """The sizes of a reshape with -1 worked out for one element of the batch (it may be empty)."""
    sizes = list(sizes)
    if -1 in sizes and x.numel():
        return sizes
    if -1 in sizes:
        rest = 1
        for s in sizes:
            rest *= 1 if s == -1 else s
        if rest == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {sizes} because the unspecified dimension size -1 can "
                "be any value and is ambiguous"
            )
        return [0 if s == -1 else s for s in sizes]
    return sizes


# -- contractions ------------------------------------------------------------------------------------------------------
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def contractions(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    form = entry.traits["form"]
    if form == "contract":
        a, b, labels = args
        terms, _, out = labels.partition("->")
        left, _, right = terms.partition(",")
        new = next(c for c in _LETTERS if c not in labels)
        ia, ib = level.inner(a), level.inner(b)
        if ia is not None:
            a, left = ia, new + left
        if ib is not None:
            b, right = ib, new + right
        return op(a, b, f"{left},{right}->{new}{out}")
    if form == "linear":
        x, weight, bias = args
        inner = level.inner(x)
        if level.inner(weight) is None and (bias is None or level.inner(bias) is None):
            return op(inner, weight, bias)
        result = F.matmul(x, F.transpose(weight, -1, -2) if weight.dim() == 2 else weight)
        return level.batch(result if bias is None else result + bias)
    return _matmul(level, *args)


def _matmul(level: VmapLevel, a: Tensor, b: Tensor) -> Tensor:
    row, column = a.dim() == 1, b.dim() == 1
    if not a.dim() or not b.dim():
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.dim()}D and {b.dim()}D")
    ndim = max(a.dim() + row, b.dim() + column)
    ia, ib = level.inner(a), level.inner(b)
    x, y = a if ia is None else ia, b if ib is None else ib
    x, y = F.unsqueeze(x, -2) if row else x, F.unsqueeze(y, -1) if column else y
    if ia is not None and (ib is not None or y.dim() > 2):
        x = _padded(x, ndim)
    if ib is not None:
        y = _padded(y, ndim)
    result = F.matmul(x, y)
    if column:
        result = F.squeeze(result, -1)
    return F.squeeze(result, -1 if column else -2) if row else result


# -- parts put together, and the general case --------------------------------------------------------------------------
def joins(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    tensors, dim = args
    tensors = [t for t in tensors if t.dim() != 1 or t.shape[0] != 0] or list(tensors)[:1]
    return op([level.batch(t) for t in tensors], wrap_dim(dim, tensors[0].dim()) + 1)


def hosts(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    """Functions of other libraries: the batch is one more of their leading dimensions."""
    return op(*(level.batch(x) if _is_tensor(x) else x for x in args))


def nonzero(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    raise data_dependent("nonzero")


def one_by_one(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    """The operator for every element of the batch on its own, stacked."""

    def element(x: Any, k: int) -> Any:
        if isinstance(x, (list, tuple)):
            return [element(v, k) for v in x]
        inner = level.inner(x)
        return x if inner is None else F.select(inner, 0, k)

    results = [invoke(op, entry, [element(x, k) for x in args]) for k in range(level.size)]
    if not results:
        raise RuntimeError(f"vmap: {op.name}() over an empty batch is not supported")
    if isinstance(results[0], (tuple, list)):
        return tuple(F.stack(list(column)) for column in zip(*results))
    return F.stack(results)


def composites(level: VmapLevel, op: Any, entry: OpDef, args: list) -> Any:
    """Operators with a gradient rule of their own, which the tape is to use."""
    how = entry.traits["batch"]
    if how == "map":
        ndim = max(x.dim() for x in args if _is_tensor(x))
        inners = [level.inner(x) if _is_tensor(x) else None for x in args]
        return op(*(x if i is None else _padded(i, ndim) for x, i in zip(args, inners)))
    if how == "fold" and not any(level.inner(x) is not None for x in args[1:]):
        inner = level.batch(args[0])
        result = op(F.flatten(inner, 0, 1), *args[1:])
        parts = result if isinstance(result, tuple) else (result,)
        return tuple(F.reshape(r, (level.size, inner.shape[1], *r.shape[1:])) for r in parts)
    return one_by_one(level, op, entry, args)


Rule = Callable[[VmapLevel, Any, OpDef, list], Any]
RULES: dict[str, Rule] = {
    "map": maps,
    "rows": maps,
    "copy": copies,
    "reduce": reductions,
    "scan": along_dim,
    "sort": along_dim,
    "view": views,
    "contract": contractions,
    "cat": joins,
    "nonzero": nonzero,
    "host": hosts,
    "composite": composites,
}
