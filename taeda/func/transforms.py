"""Derivatives as functions of functions: `grad`, `vjp`, `jvp`, Jacobians and Hessians.

They run on the tape. Inside of vmap the tape sees whole batches, whose elements do not depend on each other: so the
gradient of every element is one pass over the batch. Derivatives along a direction (`jvp`) are two reverse passes: the
product of a vector with the Jacobian is linear in the vector, and its derivative by the vector is the product wanted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from .. import _core
from ..autograd.grad_mode import enable_grad
from ..ops.namespace import F
from .batched import Batched, VmapLevel
from .levels import Level, stack, value_of
from .vmap import leaves, tree_map, vmap

Tensor = _core.Tensor


# -- tensors to differentiate by ---------------------------------------------------------------------------------------
def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())


def fresh(x: Tensor, levels: Sequence[Level] | None = None) -> Tensor:
    """A tensor equal to `x` with a gradient of its own: for every element of every batch under way."""
    levels = stack() if levels is None else levels
    if not levels:
        return F.alias(x) if x.requires_grad else x.detach().requires_grad_()
    *below, top = levels
    if not isinstance(top, VmapLevel):
        return fresh(x, below)
    return top.wrap(fresh(top.batch(x), below))


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

    Outputs and inputs (made by `fresh`) may belong to transforms; cotangents to further ones.
    """
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


def _depends_on_others(outputs: list, inputs: list) -> bool:
    """Whether the tape leads from the outputs to a leaf that is none of `inputs`: then derivatives are recorded too."""
    mine = {id(physical(x)) for x in inputs if physical(x).is_leaf}
    todo = [y.grad_fn for y in outputs if y.grad_fn is not None]
    seen: set[int] = set()
    kept = []  # nodes are made when they are asked for: an id is good as long as one holds them
    if any(not physical(x).is_leaf for x in inputs) or any(y.requires_grad and y.grad_fn is None for y in outputs):
        return True
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        kept.append(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in mine:
            return True
        todo.extend(n for n, _ in node.next_functions if n is not None)
    return False


def _released(value: Any, recorded: bool) -> Any:
    return value if recorded else tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, value)


# -- functions of some of their arguments ------------------------------------------------------------------------------
def _arguments(argnums: Any, args: tuple, name: str) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in numbers:
        if not isinstance(n, int) or not -len(args) <= n < len(args):
            raise RuntimeError(f"{name}: got argnum={n}, but only {len(args)} positional inputs")
    found = tuple(n % len(args) for n in numbers)
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: argnums elements must be unique, got {argnums}")
    return found


def _selected(args: tuple, argnums: Any, numbers: tuple) -> Any:
    return args[numbers[0]] if isinstance(argnums, int) else tuple(args[n] for n in numbers)


def _freshened(value: Any, name: str) -> Any:
    def one(x: Any) -> Any:
        if not isinstance(x, Tensor):
            raise ValueError(f"{name}: expected the differentiated arguments to be tensors, got {type(x).__name__}")
        if not _is_float(x):
            raise RuntimeError(f"{name}: only floating point and complex tensors have gradients, got {x.dtype}")
        return fresh(x)

    return tree_map(one, value)


def _with_aux(result: Any, has_aux: bool, name: str) -> tuple:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True, got {type(result).__name__}"
        )
    return result


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns (the gradient of `func`, its value): see `grad`. With has_aux the value is (value, aux)."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        recording = _core.is_grad_enabled()
        numbers = _arguments(argnums, args, "grad")
        with enable_grad():
            given = {n: _freshened(args[n], "grad") for n in numbers}
            result = func(*(given.get(n, x) for n, x in enumerate(args)), **kwargs)
            value, aux = _with_aux(result, has_aux, "grad_and_value")
            if not isinstance(value, Tensor):
                raise RuntimeError(
                    "Expected f(*args) to return a tensor for grad(f)(*args), got " + type(value).__name__
                )
            if value.dim():
                raise RuntimeError(
                    "Expected f(*args) to return a scalar tensor, got tensor with "
                    f"{value.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            inputs = [x for n in numbers for x in leaves(given[n])]
            recorded = recording and _depends_on_others([value], inputs)
            found = pull_back([value], [F.ones_like(value)], inputs, recorded, keep=recorded)
        slopes = iter(F.zeros_like(x.detach()) if g is None else g for g, x in zip(found, inputs))
        results = tuple(tree_map(lambda _: next(slopes), given[n]) for n in numbers)
        slope = results[0] if isinstance(argnums, int) else results
        value, aux = _released(value, recorded), _released(aux, recorded)
        return slope, (value, aux) if has_aux else value

    return call


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of `func`, whose value is a 0-d tensor, with respect to the arguments
    `argnums` (an int, or a tuple: then a tuple comes back). Arguments may be nests of tensors. has_aux: func returns
    (value, aux), and the result is (gradient, aux). Transforms nest: grad(grad(f)) is the second derivative."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        slope, value = both(*args, **kwargs)
        return (slope, value[1]) if has_aux else slope

    return call


# -- products with the Jacobian ----------------------------------------------------------------------------------------
def _checked_outputs(value: Any, name: str) -> list:
    found = leaves(value)
    for y in found:
        if not isinstance(y, Tensor):
            raise RuntimeError(f"{name}: Expected f(*primals) to return only tensors, got unsupported type {type(y)}")
    return found


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(func(*primals), f): f takes cotangents, a nest like the output, and returns their product with the Jacobian, a
    tuple with one nest per primal. With has_aux a third value: aux."""
    recording = _core.is_grad_enabled()
    with enable_grad():
        given = tuple(_freshened(x, "vjp") for x in primals)
        value, aux = _with_aux(func(*given), has_aux, "vjp")
        outputs = _checked_outputs(value, "vjp")
    inputs = leaves(given)
    recorded = recording and _depends_on_others(outputs, inputs)

    def pull(*cotangents: Any) -> Any:
        if len(cotangents) != 1:
            cotangents = (tuple(cotangents),)
        seeds = leaves(cotangents[0])
        if len(seeds) != len(outputs):
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function: "
                f"{len(outputs)} tensors, got {len(seeds)}"
            )
        for y, v in zip(outputs, seeds):
            if tuple(v.shape) != tuple(y.shape):
                raise RuntimeError(
                    f"vjp: expected a cotangent of shape {list(y.shape)}, that of the output, got {list(v.shape)}"
                )
        again = _core.is_grad_enabled() and (recorded or any(v.requires_grad for v in seeds))
        found = pull_back(outputs, seeds, inputs, again)
        slopes = iter(F.zeros_like(x.detach()) if g is None else g for g, x in zip(found, inputs))
        return tuple(tree_map(lambda _: next(slopes), x) for x in given)

    value = _released(value, recorded)
    return (value, pull, _released(aux, recorded)) if has_aux else (value, pull)


def jvp(func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False) -> tuple:
    """(func(*primals), the product of the Jacobian with `tangents`, which are nests like the primals). With has_aux a
    third value: aux. strict: an output that does not depend on the primals is an error, not zero."""
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple) or not given:
            raise RuntimeError(
                f"jvp(f, primals, tangents): Expected {name} to be a non-empty tuple, got {type(given).__name__}"
            )
    value, push, _, aux = _linearized("jvp", func, primals, has_aux, strict)
    pushed = push(*tangents)
    return (value, pushed, aux) if has_aux else (value, pushed)


def linearize(func: Callable, *primals: Any) -> tuple:
    """(func(*primals), f): f(*tangents) is the product of the Jacobian at the primals with the tangents; the function is
    evaluated once."""
    value, push, _, _ = _linearized("linearize", func, primals)
    return value, push


def _linearized(name: str, func: Callable, primals: tuple, has_aux: bool = False, strict: bool = False) -> tuple:
    """(value, the product with the Jacobian as a function of tangents, whether others are on the tape, aux)."""
    recording = _core.is_grad_enabled()
    with enable_grad():
        given = tuple(_freshened(x, name) for x in primals)
        value, aux = _with_aux(func(*given), has_aux, name)
        outputs, inputs = _checked_outputs(value, name), leaves(given)
        recorded = recording and _depends_on_others(outputs, inputs)
        live = [k for k, y in enumerate(outputs) if _is_float(y) and y.requires_grad]
        dummies = [fresh(F.zeros_like(outputs[k].detach())) for k in live]
        slopes = pull_back([outputs[k] for k in live], dummies, inputs, True)
    if strict and len(live) < len(outputs):
        raise RuntimeError(f"{name}(f, primals, tangents, strict=True): an output of f is independent of the primals")

    def push(*tangents: Any) -> Any:
        directions = leaves(tangents)
        if len(directions) != len(inputs):
            raise RuntimeError(
                f"{name}: Expected primals and tangents to have the same python structure: {len(inputs)} and "
                f"{len(directions)} tensors"
            )
        for x, t in zip(inputs, directions):
            if not isinstance(t, Tensor) or tuple(x.shape) != tuple(t.shape):
                got = list(t.shape) if isinstance(t, Tensor) else type(t).__name__
                raise RuntimeError(
                    f"{name}: expected a tangent of shape {list(x.shape)}, that of the primal, got {got}"
                )
        create = _core.is_grad_enabled() and (recorded or any(t.requires_grad for t in directions))
        pairs = [(g, t) for g, t in zip(slopes, directions) if g is not None and g.requires_grad]
        with enable_grad():
            found = pull_back([g for g, _ in pairs], [t for _, t in pairs], dummies, create) if live else []
        results: list = [F.zeros_like(y.detach()) for y in outputs]
        for k, g in zip(live, found):
            results[k] = results[k] if g is None else g
        each = iter(results)
        return _released(tree_map(lambda _: next(each), value), create)

    return _released(value, recorded), push, recorded, _released(aux, recorded)


# -- Jacobians ---------------------------------------------------------------------------------------------------------
def _basis(tensors: list) -> list:
    """Per tensor the rows of the identity of all their elements together: [count, *shape]."""
    sizes = [t.numel() for t in tensors]
    total, rows, start = sum(sizes), [], 0
    for t, n in zip(tensors, sizes):
        eye = F.cast(F.eye(total), t.dtype)
        rows.append(F.reshape(F.slice(eye, 1, start, start + n, 1), (total, *t.shape)))
        start += n
    return rows


def _split(rows: Tensor, tensors: list) -> list:
    """The rows that belong to each tensor, in its shape: [*shape, ...]."""
    parts = F.split(rows, [t.numel() for t in tensors], 0)
    return [F.reshape(part, (*t.shape, *part.shape[1:])) for part, t in zip(parts, tensors)]


def _starts(tensors: list) -> list[int]:
    """Where the elements of each begin when all are laid end to end."""
    found = [0]
    for t in tensors:
        found.append(found[-1] + t.numel())
    return found[:-1]


def _of_selected(func: Callable, args: tuple, numbers: tuple, kwargs: dict) -> Callable:
    """`func` of its arguments `numbers`, the others fixed."""

    def call(*selected: Any) -> Any:
        merged = list(args)
        for n, x in zip(numbers, selected):
            merged[n] = x
        return func(*merged, **kwargs)

    return call


def _nested(value: Any, selected: tuple, blocks: list, single: bool) -> Any:
    """The blocks [input][output] in the nest of the output, each with the nest of the inputs inside."""
    places = iter(range(len(leaves(value))))

    def of_output(_: Any) -> Any:
        k = next(places)
        inputs = iter(blocks)
        nests = tuple(tree_map(lambda _: next(inputs)[k], x) for x in selected)
        return nests[0] if single else nests

    return tree_map(of_output, value)


def jacrev(func: Callable, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None) -> Callable:
    """A function that returns the Jacobian of `func` with respect to the arguments `argnums`, by reverse passes that run
    as one batch over the rows (at most `chunk_size` at a time): per output and input a tensor of the output's shape
    followed by the input's. has_aux: the result is (Jacobian, aux)."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        numbers = _arguments(argnums, args, "jacrev")
        selected = tuple(args[n] for n in numbers)
        value, pull, *aux = vjp(_of_selected(func, args, numbers, kwargs), *selected, has_aux=has_aux)
        outputs = leaves(value)

        def row(*seeds: Tensor) -> list:
            each = iter(seeds)
            return leaves(pull(tree_map(lambda _: next(each), value)))

        columns = vmap(row, chunk_size=chunk_size)(*_basis(outputs))
        blocks = [_split(c, outputs) for c in columns]
        found = _nested(value, selected, blocks, isinstance(argnums, int))
        return (found, aux[0]) if has_aux else found

    return call


def jacfwd(
    func: Callable,
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Callable:
    """As `jacrev`, by products with the Jacobian's columns, one for every element of the input."""

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        numbers = _arguments(argnums, args, "jacfwd")
        selected = tuple(args[n] for n in numbers)
        value, push, _, aux = _linearized("jacfwd", _of_selected(func, args, numbers, kwargs), selected, has_aux)
        inputs, outputs = leaves(selected), leaves(value)

        def column(*tangents: Tensor) -> list:
            each = iter(tangents)
            return leaves(push(*(tree_map(lambda _: next(each), x) for x in selected)))

        rows = vmap(column, chunk_size=chunk_size, randomness=randomness)(*_basis(inputs))
        blocks = []  # per input, per output: [*output, *input]
        for start, x in zip(_starts(inputs), inputs):
            parts = [F.movedim(F.slice(row, 0, start, start + x.numel(), 1), 0, -1) for row in rows]
            blocks.append([F.reshape(part, (*y.shape, *x.shape)) for part, y in zip(parts, outputs)])
        found = _nested(value, selected, blocks, isinstance(argnums, int))
        return (found, aux) if has_aux else found

    return call


def hessian(func: Callable, argnums: Any = 0) -> Callable:
    """A function that returns the second derivatives of `func`: jacfwd(jacrev(func))."""
    return jacfwd(jacrev(func, argnums), argnums)
