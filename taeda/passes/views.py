"""Where the elements of a value lie: views resolved to an offset and strides over the materialised value below them."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import sym as S
from ..ir.graph import Node, Value
from ..ir.sym import Sym
from ..ir.types import TensorType


@dataclass(frozen=True)
class Place:
    """Elements of the row-major value `root`."""

    root: Value
    offset: Sym
    strides: tuple[Sym, ...]
    sizes: tuple[Sym, ...]


def is_view(v: Value) -> bool:
    return v.node is not None and v.node.kind == "view"


def locate(v: Value) -> Place:
    """The place of `v`; v itself where it is no view. Views of views do not occur: `flatten_views` sees to it."""
    assert isinstance(v.type, TensorType)
    if is_view(v):
        assert v.node is not None
        return Place(v.node.inputs[0], v.node.attrs["offset"], v.node.attrs["strides"], v.type.sizes)
    return Place(v, S.ZERO, v.type.strides(), v.type.sizes)


def broadcast_strides(place: Place, space: tuple[Sym, ...]) -> tuple[Sym, ...]:
    """One stride per dimension of `space`; 0 where the place has no such dimension or is broadcast along it."""
    strides = [S.ZERO] * len(space)
    shift = len(space) - len(place.sizes)
    for d, (size, stride) in enumerate(zip(place.sizes, place.strides)):
        if size != 1 or space[shift + d] == 1:
            strides[shift + d] = stride if size != 1 else S.ZERO
    return tuple(strides)


def same_strides(a: tuple[Sym, ...], b: tuple[Sym, ...], space: tuple[Sym, ...]) -> bool:
    """Equal on every dimension that has more than one element."""
    return all(x == y or n == 1 for x, y, n in zip(a, b, space, strict=True))


def is_identity(n: Node) -> bool:
    """True for a view node that gives its input unchanged."""
    source, out = n.inputs[0].type, n.outputs[0].type
    assert isinstance(source, TensorType) and isinstance(out, TensorType)
    return (
        n.attrs["offset"] == 0
        and source.sizes == out.sizes
        and same_strides(n.attrs["strides"], source.strides(), out.sizes)
    )


def is_reshape(n: Node) -> bool:
    """True for a view node that gives all elements in row-major order."""
    source, out = n.inputs[0].type, n.outputs[0].type
    assert isinstance(source, TensorType) and isinstance(out, TensorType)
    return n.attrs["offset"] == 0 and n.attrs["strides"] == out.strides() and source.numel() == out.numel()


def compose(outer: Node, inner: Node) -> tuple[Sym, tuple[Sym, ...]] | None:
    """Offset and strides of a view of a view over the value below both, or None where no strides express it.

    The outer view walks the inner one's elements in row-major numbering, so each of its strides must be a multiple of
    one inner dimension's, and the offset a sum of such multiples."""
    middle, out = inner.outputs[0].type, outer.outputs[0].type
    assert isinstance(middle, TensorType) and isinstance(out, TensorType)
    return compose_strides(
        out.sizes,
        outer.attrs["strides"],
        outer.attrs["offset"],
        middle.sizes,
        inner.attrs["strides"],
        inner.attrs["offset"],
    )


def compose_strides(
    sizes: tuple[Sym, ...],
    outer: tuple[Sym, ...],
    outer_offset: Sym,
    middle: tuple[Sym, ...],
    strides: tuple[Sym, ...],
    offset: Sym,
) -> tuple[Sym, tuple[Sym, ...]] | None:
    """`compose` on numbers: elements of `sizes` at `outer` strides over the row-major numbering of `middle`, whose
    elements lie at `strides`."""
    steps = S.contiguous_strides(middle)
    dims = [d for d in range(len(middle)) if middle[d] != 1]
    # Adjacent dimensions that lie as one in memory count as one.
    runs: list[tuple[Sym, Sym, Sym]] = []  # (row-major step, stride below, size)
    for d in reversed(dims):
        if runs and strides[d] == runs[-1][1] * runs[-1][2]:
            step, stride, size = runs[-1]
            runs[-1] = (step, stride, size * middle[d])
        else:
            runs.append((steps[d], strides[d], middle[d]))
    runs.reverse()  # slowest first
    found: list[Sym] = []
    extent: dict[int, Sym] = {}
    for stride, size in zip(outer, sizes):
        if stride == 0 or size == 1:
            found.append(S.ZERO)
            continue
        for k, (step, below, _) in enumerate(runs):
            q = stride // step
            if q * step == stride and q != 0 and not any(a.args for a in q.atoms()):
                extent[k] = extent.get(k, S.ZERO) + q * (size - 1)
                found.append(q * below)
                break
        else:
            return None
    rest = outer_offset
    for k, (step, below, run) in enumerate(runs):
        q = rest // step
        if any(a.args for a in q.atoms()):
            return None
        # All steps together must stay inside the run.
        if not (run - 1 - extent.get(k, S.ZERO) - q).nonnegative():
            return None
        rest = rest - q * step
        offset = offset + q * below
    return (offset, tuple(found)) if rest == 0 else None
