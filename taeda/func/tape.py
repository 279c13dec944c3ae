"""Differentiating on the tape inside of transforms: fresh tensors to differentiate by, and backward passes whose tensors
belong to several levels."""

from __future__ import annotations

from collections.abc import Sequence

from .. import _core
from ..autograd.grad_mode import enable_grad
from ..ops.namespace import F
from .batched import Batched, VmapLevel
from .duals import below, give_within, highest, tangent_within
from .levels import Level, stack, value_of

Tensor = _core.Tensor


def fresh(x: Tensor, levels: Sequence[Level] | None = None) -> Tensor:
    """A tensor equal to `x` with a gradient of its own: for every element of every batch under way."""
    levels = stack() if levels is None else levels
    lower, top = (levels[:-1], levels[-1]) if levels else ((), None)
    if top is None:
        with below(0):
            found = F.alias(x) if x.requires_grad else x.detach().requires_grad_()
    elif isinstance(top, VmapLevel):
        with below(top.number):
            found = top.wrap(fresh(top.batch(x), lower))
    else:
        return fresh(x, lower)
    _core.share_tangents(found, x)
    return found


def physical(x: Tensor) -> Tensor:
    """The tensor on the tape behind all transforms."""
    v = value_of(x)
    return x if v is None else physical(v.inner)


def _exposed(v: Tensor, level: VmapLevel) -> Tensor:
    """`v` with the batch of `level` as an ordinary first dimension, whatever higher levels it belongs to."""
    value = value_of(v)
    if value is None or value.level.number < level.number:
        return level.expanded(v)
    if value.level is level:
        return value.inner
    return value.level.wrap(F.transpose(_exposed(value.inner, level), 0, 1))


def _hidden(g: Tensor, level: VmapLevel) -> Tensor:
    """The inverse of `_exposed`."""
    value = value_of(g)
    if value is None or value.level.number < level.number:
        return level.wrap(g)
    return value.level.wrap(_hidden(F.transpose(value.inner, 0, 1), level))


def _batches(x: Tensor) -> list[VmapLevel]:
    """The levels that `x` is batched at, the highest first."""
    v = value_of(x)
    return [] if not isinstance(v, Batched) else [v.level, *_batches(v.inner)]


def pull_back(outputs: list, cotangents: list, inputs: list, create: bool, keep: bool = True) -> list:
    """Per input the gradient of the outputs along the cotangents; None where no output depends on it.

    Outputs and inputs (made by `fresh`) may belong to transforms; cotangents to further ones. The gradient of a tensor
    with a tangent has one: g = J^T v gives dg = dJ^T v + J^T dv, and dJ^T v is what the tape says of J dx.
    """
    level = highest([*outputs, *cotangents])
    if level < 0:
        return _pull_back(outputs, cotangents, inputs, create, keep)
    with below(level):
        found = pull_back(outputs, cotangents, inputs, create, True)
        moved = [(tangent_within(y, level), v) for y, v in zip(outputs, cotangents)]
        moved += [(y, tangent_within(v, level)) for y, v in zip(outputs, cotangents)]
        moved = [(y, v) for y, v in moved if y is not None and v is not None and y.requires_grad]
        pushed = pull_back([y for y, _ in moved], [v for _, v in moved], inputs, create, keep)
    for k, (g, t) in enumerate(zip(found, pushed or ())):
        if t is not None:
            if g is None:
                g = found[k] = F.zeros_like(t)
            give_within(g, level, t)
    return found


def _element(x: Tensor, level: VmapLevel, k: int) -> Tensor:
    """Element `k` of the batch of `level`."""
    value = value_of(x)
    if value is None or value.level.number < level.number:
        return x
    if value.level is level:
        return F.select(value.inner, 0, k)
    return value.level.wrap(_element(value.inner, level, k))


def _element_by_element(level: VmapLevel, outputs: list, cotangents: list, inputs: list, create: bool) -> list:
    """Gradients by inputs that are the same for the whole batch: on the tape those of all elements would be summed."""
    columns = []
    for k in range(level.size):
        with enable_grad():
            ys = [_element(y, level, k) for y in outputs]
        vs = [_element(v, level, k) for v in cotangents]
        columns.append(_pull_back(ys, vs, inputs, create, True))
    return [None if g[0] is None else level.wrap(F.stack(list(g))) for g in zip(*columns)]


def _pull_back(outputs: list, cotangents: list, inputs: list, create: bool, keep: bool) -> list:
    of_inputs = [_batches(x) for x in inputs]
    for level in {level.number: level for y in outputs for level in _batches(y)}.values():
        lacking = [k for k, levels in enumerate(of_inputs) if level not in levels]
        if lacking and level.size:
            others = [k for k in range(len(inputs)) if k not in lacking]
            found = dict(zip(others, _pull_back(outputs, cotangents, [inputs[k] for k in others], create, True)))
            each = _element_by_element(level, outputs, cotangents, [inputs[k] for k in lacking], create)
            found.update(zip(lacking, each))
            return [found[k] for k in range(len(inputs))]
    if not inputs:
        return []
    roots, seeds = [], []
    for y, v in zip(outputs, cotangents):
        if not y.requires_grad:
            continue
        for level in _batches(y):
            v = _exposed(v, level)
        roots.append(physical(y))
        seeds.append(v if v.dtype is y.dtype else F.cast(v, y.dtype))
    if not roots:
        return [None] * len(inputs)
    found = _core.run_backward(tuple(roots), tuple(seeds), keep, create, tuple(map(physical, inputs)), False)
    results = []
    for x, g in zip(inputs, found):
        if g is not None:
            for level in reversed(_batches(x)):
                g = _hidden(g, level)
        results.append(g)
    return results


def gradients(roots: tuple, wanted: tuple, gradients: tuple, create: bool, keep: bool) -> tuple:
    """`autograd.grad` inside of vmap, or where roots or gradients have tangents. Tensors to differentiate by are taken as they are: what a
    tangent of theirs depends on counts as fixed."""
    seeds = []
    for y, v in zip(roots, gradients):
        if v is None and y.numel() != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        seeds.append(F.ones_like(y.detach()) if v is None else v)
    hooks = []
    try:
        for x in wanted:
            for level in range(len(stack())):
                t = tangent_within(x, level)
                if t is not None and value_of(t) is None and t.grad_fn is not None:
                    hooks.append(t.register_hook(F.zeros_like))
        return tuple(pull_back(list(roots), seeds, list(wanted), create, keep))
    finally:
        for h in hooks:
            h.remove()
