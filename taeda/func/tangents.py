"""Forward-mode rules: the tangents of an operator's results from those of its arguments.

A rule belongs to a kind, never to an operator. Kinds that are linear in their tensors run the operator on the
tangents; contractions follow the product rule; a map operator adds up, over its operands, the map operators that are
its gradients, applied to the tangents (an elementwise Jacobian is its own transpose); everything else differentiates
its backward rule, which is linear in the incoming gradient, by that gradient. So there is one set of gradient rules,
the table's, and second derivatives come from it too.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .. import _core
from .._bind import bound
from ..autograd import enable_grad
from ..ops.namespace import F
from ..ops.table import lookup
from .batched import VmapLevel
from .duals import differentiable
from .levels import Level, value_of
from .tape import fresh, pull_back

Tensor = _core.Tensor
#: Tangents of arguments, place by place: None where there is none, a list for a list of tensors.
Tangents = list


@cache
def _parameters(op: Any) -> tuple[tuple[str, bool], ...]:
    """(name, keyword only) of the parameters of an operator."""
    found, keyword = [], False
    for part in lookup((op.functional or op).name).params.split(","):
        text = part.partition("=")[0].strip()
        if text == "*":
            keyword = True
        elif text:
            found.append((text.rpartition(" ")[2], keyword))
    return tuple(found)


def invoke(op: Any, args: list) -> Any:
    """The operator called with arguments in schema order."""
    named = {name: a for (name, keyword), a in zip(_parameters(op), args) if keyword}
    return op(*args[: len(args) - len(named)], **named)


def push(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple]:
    """(results, their tangents or None) of an out-of-place operator."""
    rule = _RULES.get(op.kind, _through_backward)
    found = rule(op, args, tangents)
    return _through_backward(op, args, tangents) if found is None else found


def zeros_where_missing(tangent: Tensor | None, like: Tensor) -> Tensor:
    return F.zeros_like(like) if tangent is None else tangent


# -- linear kinds ------------------------------------------------------------------------------------------------------
def _with(args: list, place: int, value: Any) -> list:
    return [*args[:place], value, *args[place + 1 :]]


def _on_first(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple]:
    """Linear in the first argument, and no other has a tangent."""
    y = invoke(op, args)
    if not differentiable(y) or tangents[0] is None:
        return (y,), (None,)
    if y is args[0]:
        return (y,), (tangents[0],)
    return (y,), (invoke(op, _with(args, 0, tangents[0])),)


def _view(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple]:
    if op.form == "dtype":  # the bytes as other numbers
        return (invoke(op, args),), (None,)
    return _on_first(op, args, tangents)


def _reduce(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple] | None:
    entry = lookup(op.name)
    linear = entry.traits["kind"] == "sum" and entry.fn is None
    return _on_first(op, args, tangents) if linear else None


def _scatter(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple] | None:
    if op.spec.get("mode") not in (None, "set", "add"):
        return None
    last = len(args) - 1
    moved = _with(args, 0, zeros_where_missing(tangents[0], args[0]))
    moved[last] = zeros_where_missing(tangents[last], args[last])
    return (invoke(op, args),), (invoke(op, moved),)


def _cat(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple]:
    y = invoke(op, args)
    if not differentiable(y):
        return (y,), (None,)
    parts = [
        t if t is not None else F.zeros(x.shape, dtype=y.dtype if not differentiable(x) else x.dtype)
        for x, t in zip(args[0], tangents[0])
    ]
    return (y,), (invoke(op, _with(args, 0, parts)).to(y.dtype),)


# -- the product rule --------------------------------------------------------------------------------------------------
def _contract(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple]:
    y, found = invoke(op, args), None
    additive = op.form == "linear"  # its third argument is added
    for place in (0, 1):
        if tangents[place] is None:
            continue
        given = _with(args, place, tangents[place])
        if additive:
            given = _with(given, 2, None)
        term = invoke(op, given)
        found = term if found is None else found + term
    if additive and tangents[2] is not None:
        found = tangents[2] if found is None else found + tangents[2]
    return (y,), (_fitted(found, y),)


# -- maps --------------------------------------------------------------------------------------------------------------
@cache
def _derivative(name: str, place: int, by_parts: bool) -> tuple[Any, tuple] | None:
    """(map operator, what it reads: (0, _) the tangent, (1, i) operand i, (2, i) result i, (3, _) anything of the
    result's kind) for the derivative by one operand; the operator None: the tangent itself."""
    entry = lookup(name)
    rule = entry.gradient(place)
    if rule is None:
        return None
    if rule.op is None:
        return None, ()
    if not by_parts:
        return bound(rule.op.name), rule.needs
    # Over complex numbers the backward rule is the transpose of a real-linear map; transposed again it is the map.
    back = next(k for k, (code, _) in enumerate(rule.needs) if code == 0)
    twice = rule.op.gradient(back)
    if twice is None:
        return None
    if twice.op is None:
        return None, ()
    needs = []
    for code, index in twice.needs:
        if code == 0:
            needs.append((0, 0))
        elif code == 2 or index == back:
            needs.append((3, 0))
        else:
            needs.append(rule.needs[index])
    return bound(twice.op.name), tuple(needs)


def _map(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple] | None:
    if len(lookup(op.name).out_types) != 1:
        return None
    y = invoke(op, args)
    if not differentiable(y):
        return (y,), (None,)
    by_parts = y.is_complex() or any(isinstance(a, Tensor) and a.is_complex() for a in args)
    found = None
    for place, t in enumerate(tangents):
        rule = None if t is None else _derivative(op.name, place, by_parts)
        if rule is None:
            continue
        derivative, needs = rule
        term = t
        if derivative is not None:
            term = derivative(
                *(
                    t if code == 0 else args[index] if code == 1 else y if code == 2 else F.zeros_like(y)
                    for code, index in needs
                )
            )
        term = _fitted(term, y)
        found = term if found is None else found + term
    return (y,), (found,)


def _fitted(tangent: Tensor | None, y: Tensor) -> Tensor | None:
    """In the dtype and the shape of the result."""
    if tangent is None:
        return None
    if tangent.is_complex() and not y.is_complex():
        tangent = tangent.real
    if tangent.dtype is not y.dtype:
        tangent = tangent.to(y.dtype)
    return tangent if tuple(tangent.shape) == tuple(y.shape) else tangent.expand(y.shape)


# -- everything else ---------------------------------------------------------------------------------------------------
def _each(args: list, tangents: Tangents):
    """(place, place in the list or None, tensor, tangent) of the tensors among the arguments."""
    for i, (a, t) in enumerate(zip(args, tangents)):
        if isinstance(a, Tensor):
            yield i, None, a, t
        elif isinstance(a, (list, tuple)):
            for j, x in enumerate(a):
                if isinstance(x, Tensor):
                    yield i, j, x, t[j] if isinstance(t, list) else None


def _batched_at(args: list) -> list[Level]:
    """The levels of vmap that the arguments belong to, the outermost first: their elements must be told apart."""
    found: dict[int, Level] = {}
    for _, _, x, _ in _each(args, [None] * len(args)):
        value = value_of(x)
        while value is not None:
            if isinstance(value.level, VmapLevel):
                found[value.level.number] = value.level
            value = value_of(value.inner)
    return [found[n] for n in sorted(found)]


def _through_backward(op: Any, args: list, tangents: Tangents) -> tuple[tuple, tuple]:
    """v J^T is linear in v; its derivative by v along the tangents is J t."""
    recording, levels = F.is_grad_enabled(), _batched_at(args)
    moved = [list(a) if isinstance(a, (list, tuple)) else a for a in args]
    wanted, along, kept = [], [], False
    with enable_grad():
        for i, j, x, t in _each(args, tangents):
            kept = kept or x.requires_grad or (t is not None and t.requires_grad)
            if t is None:
                continue
            x = fresh(x, levels)
            wanted.append(x)
            along.append(t)
            if j is None:
                moved[i] = x
            else:
                moved[i][j] = x
        kept = kept and recording
        found = invoke(op, moved)
        several = found if isinstance(found, tuple) else (found,)
        places = [k for k, y in enumerate(several) if differentiable(y) and y.requires_grad]
        results: list = [None] * len(several)
        vectors = [fresh(F.zeros_like(several[k].detach()), levels) for k in places]
        pulled = pull_back([several[k] for k in places], vectors, wanted, True)
        pairs = [(g, t) for g, t in zip(pulled, along) if g is not None and g.requires_grad]
        pushed = pull_back([g for g, _ in pairs], [t for _, t in pairs], vectors, kept)
        for k, t in zip(places, pushed):
            results[k] = t
    if not kept:
        several = tuple(y.detach() if y.requires_grad else y for y in several)
    return tuple(several), tuple(results)


_RULES = {
    "map": _map,
    "view": _view,
    "reduce": _reduce,
    "scan": _reduce,
    "gather": _on_first,
    "scatter": _scatter,
    "cat": _cat,
    "copy": _on_first,
    "contract": _contract,
}
