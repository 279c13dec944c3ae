"""What Python may ask about memory while a program is captured: strides, storage offsets, contiguity.

Strides of what operators make follow from sizes and are symbolic. Those of arguments are facts of one call: what was
asked becomes a guard, checked by `fits` before a program runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..ir import sym as S
from ..ir.sym import Relation, Sym
from .errors import CaptureError, user_location
from .geometry import Geometry, contiguous

if TYPE_CHECKING:
    from .tracer import Tracer, Variable

#: (what, graph input, expected): "order" the order of dimensions in memory, "dense" the strides of a block without
#: gaps, "stride", "offset" and "contiguous" the answers themselves.
Guard = tuple[str, int, Any]


class Layouts:
    """The layouts of one capture's inputs, and the guards taken on them."""

    def __init__(self, tracer: Tracer):
        self._tracer = tracer
        self._inputs: dict[int, tuple[Any, Geometry, tuple[int, ...]]] = {}
        self._guards: dict[Guard, None] = {}

    def add(self, index: int, real: Any, whole: Geometry, order: Sequence[int]) -> None:
        """Graph input `index` stands for `real`, whose elements the program sees as `whole`."""
        self._inputs[index] = real, whole, tuple(order)

    @property
    def guards(self) -> list[Guard]:
        return list(self._guards)

    def _guard(self, what: str, index: int, expected: Any) -> None:
        self._guards[what, index, expected] = None

    def _input(self, v: Variable, what: str) -> tuple[int, Any, bool] | None:
        """(graph input, real tensor, whether its strides follow from its sizes) where `v` is memory of an input. Guards
        the order of every input's dimensions: results are laid out as inputs are."""
        for index, (_, _, order) in self._inputs.items():
            self._guard("order", index, order)
        source = v.cell.source
        if source is None:
            return None
        real, whole, order = self._inputs[source]
        dense = dense_strides(real, order)
        if dense:
            self._guard("dense", source, order)
        elif v.geometry != whole:
            raise CaptureError(
                f"{user_location().text()}: {what}() of a view of a tensor whose elements do not fill a block of "
                "memory is not known while a function is captured. Call contiguous() on the tensor first."
            )
        return source, real, dense

    def is_whole(self, source: int, v: Variable) -> bool:
        """Whether `v` is all of a graph input, as it was given."""
        return v.geometry == self._inputs[source][1]

    def dense(self, source: int) -> bool:
        """Whether the elements of a graph input fill a block of memory. Takes no guard."""
        real, _, order = self._inputs[source]
        return real.is_contiguous() or dense_strides(real, order)

    # -- what Python asks ------------------------------------------------------------------------------------------
    def stride(self, v: Variable) -> tuple:
        found = self._input(v, "stride")
        if found is not None and not found[2]:
            strides = tuple(int(s) for s in found[1].stride())
            self._guard("stride", found[0], strides)
            return strides
        tr = self._tracer
        if any(tr.env.decide(Relation("==", s, 0)) for s in v.geometry.sizes):
            # Sizes of zero count as one in strides; such a tensor's are the example's.
            sizes = [max(tr.env.pin(s), 1) for s in v.geometry.sizes]
            return tuple(s.evaluate({}) for s in S.contiguous_strides(tuple(map(S.as_sym, sizes))))
        return tuple(tr.size(s) for s in v.geometry.strides)

    def storage_offset(self, v: Variable) -> Any:
        found = self._input(v, "storage_offset")
        start = 0
        if found is not None:  # where the input's memory begins in its storage
            start = int(found[1].storage_offset())
            self._guard("offset", found[0], start)
        return self._tracer.size(v.geometry.offset + start)

    def is_contiguous(self, v: Variable) -> bool:
        found = self._input(v, "is_contiguous")
        if found is not None and not found[2]:
            answer = found[1].is_contiguous()
            self._guard("contiguous", found[0], answer)
            return answer
        env, g = self._tracer.env, v.geometry
        step: Sym = S.ONE
        for size, stride in zip(reversed(g.sizes), reversed(g.strides)):
            apart = not env.same(size, 1) and not env.same(stride, step)
            if apart and not env.decide(Relation("==", size, 1)) and not env.decide(Relation("==", stride, step)):
                return any(env.decide(Relation("==", s, 0)) for s in g.sizes)
            step = env.resolve(step * size)
        return True

    def as_strided(self, v: Variable, sizes: Sequence[Sym], strides: Sequence[Sym], offset: Sym) -> Geometry:
        """Any geometry over the memory of `v`; `offset` counts from its first element."""
        env = self._tracer.env
        found = self._input(v, "as_strided")
        if found is not None and not found[2]:
            raise CaptureError(
                f"{user_location().text()}: as_strided() of a tensor whose elements do not fill a block of memory cannot "
                "be captured. Call contiguous() on the tensor first."
            )
        first = env.resolve(v.geometry.offset + offset)
        last = first
        for size, stride in zip(sizes, strides):
            last = last + (size - 1) * stride
        empty = any(env.decide(Relation("==", s, 0)) for s in sizes)
        count = S.product(v.cell.value.type.sizes)  # type: ignore[union-attr]
        inside = env.decide(Relation("<=", 0, first)) and (empty or env.decide(Relation("<", last, count)))
        if not inside:
            raise CaptureError(
                f"{user_location().text()}: as_strided() reaches elements {first} to {last} of a tensor of {count}; a "
                "captured function sees no memory outside of the tensors it is given"
            )
        return Geometry(tuple(sizes), tuple(strides), first)


def dense_order(t: Any) -> tuple[int, ...]:
    """Dimensions of a real tensor, outermost in memory first. A tensor whose elements do not fill a block in that order
    is copied before a program reads it."""
    strides = t.stride()
    plain = tuple(range(len(strides)))
    if t.is_contiguous() or 0 in strides:
        return plain
    return tuple(sorted(plain, key=lambda d: (-strides[d], d)))


def stored(sizes: Sequence[Sym], order: Sequence[int]) -> Geometry:
    """A tensor of these sizes over a block whose dimensions lie in `order`."""
    rows = contiguous([sizes[d] for d in order]).strides
    place = {d: k for k, d in enumerate(order)}
    return Geometry(tuple(sizes), tuple(rows[place[d]] for d in range(len(sizes))), S.ZERO)


def dense_strides(t: Any, order: Sequence[int]) -> bool:
    """Whether a real tensor's strides are what its sizes say (those of dimensions of size 1 may differ in tensors that
    are contiguous all the same)."""
    step, sizes, strides = 1, t.shape, t.stride()
    for d in reversed(order):
        if strides[d] != step:
            return False
        step *= max(int(sizes[d]), 1)
    return True


def fits(guard: Guard, t: Any) -> bool:
    """Whether a real tensor is laid out as the captured one was."""
    what, _, expected = guard
    if what == "order":
        return dense_order(t) == tuple(expected)
    if what == "dense":
        return dense_strides(t, expected)
    if what == "contiguous":
        return t.is_contiguous() == expected
    return (tuple(t.stride()) if what == "stride" else t.storage_offset()) == expected
