"""Derivatives of functions: vector-Jacobian and Jacobian-vector products, Jacobians, Hessians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from ..ops.namespace import F
from .grad_mode import enable_grad
from .run import grad

Tensor = _core.Tensor


def _tuple(value: Any, what: str, function: str) -> tuple[bool, tuple]:
    """(was a tuple, the tensors)."""
    several = isinstance(value, (tuple, list))
    items = tuple(value) if several else (value,)
    for i, item in enumerate(items):
        if not isinstance(item, Tensor):
            place = f" at index {i}" if several else ""
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors, but the value{place} "
                f"has type {type(item).__name__}."
            )
    return several, items


def _fresh(inputs: tuple, create_graph: bool) -> tuple:
    """Inputs to differentiate by: with their history where the result keeps it, else new leaves."""
    if create_graph:
        return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs)
    return tuple(x.detach().requires_grad_() for x in inputs)


def _run(func: Callable, inputs: tuple, name: str) -> tuple[bool, tuple]:
    return _tuple(func(*inputs), "outputs of the user-provided function", name)


def _check_vector(v: tuple, like: tuple, what: str) -> None:
    if len(v) != len(like):
        raise RuntimeError(f"v must have {len(like)} tensors, one per {what}, but has {len(v)}")
    for i, (a, b) in enumerate(zip(v, like)):
        if tuple(a.shape) != tuple(b.shape):
            raise RuntimeError(
                f"v[{i}] has size {tuple(a.shape)}, but the corresponding {what} has size {tuple(b.shape)}"
            )


def _vector(v: Any, like: tuple, what: str, function: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if the user-provided function has a single {what} with one element"
            )
        return (F.ones_like(like[0].detach()),)
    _, v = _tuple(v, "v", function)
    _check_vector(v, like, what)
    return v


def _gradients(
    outputs: tuple, inputs: tuple, given: Any, create_graph: bool, strict: bool, keep: bool = False
) -> tuple:
    """grad() that gives zeros where an output does not depend on an input, or raises if strict."""
    pairs = [(o, g) for o, g in zip(outputs, given) if o.requires_grad]
    found: tuple = (None,) * len(inputs)
    if pairs:
        found = grad(
            [o for o, _ in pairs],
            inputs,
            [g for _, g in pairs],
            retain_graph=keep or create_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    if strict and any(g is None for g in found):
        i = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(
            f"The output of the user-provided function is independent of input {i}. This is not allowed in strict mode."
        )
    return tuple(F.zeros_like(x) if g is None else g for g, x in zip(found, inputs))


def _release(value: Any, create_graph: bool) -> Any:
    if create_graph:
        return value
    if isinstance(value, tuple):
        return tuple(_release(v, False) for v in value)
    return value.detach()


def _shape_like(flag: bool, items: tuple) -> Any:
    return items if flag else items[0]


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(*inputs), the product of v with the Jacobian of func)."""
    with enable_grad():
        several, xs = _tuple(inputs, "inputs", "vjp")
        xs = _fresh(xs, create_graph)
        many, ys = _run(func, xs, "vjp")
        v = _vector(v, ys, "output", "vjp")
    with _recording(create_graph):
        found = _gradients(ys, xs, v, create_graph, strict)
    return _release(_shape_like(many, ys), create_graph), _shape_like(several, _release(found, create_graph))


class _recording:
    """Grad mode for a block: on when the result is to be differentiated again."""

    def __init__(self, on: bool):
        self.on = on

    def __enter__(self) -> None:
        self.before = _core._set_grad_enabled(self.on)

    def __exit__(self, *error: object) -> None:
        _core._set_grad_enabled(self.before)


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(*inputs), the product of the Jacobian of func with v).

    The vector-Jacobian product is linear in its vector; differentiating it once more by that vector gives this product.
    """
    with enable_grad():
        _, xs = _tuple(inputs, "inputs", "jvp")
        if v is None and (len(xs) != 1 or xs[0].numel() != 1):
            raise RuntimeError(
                "The vector v can only be None if the input to the user-provided function is a single Tensor with one "
                "element"
            )
        v = _vector(v, xs, "input", "jvp")
        xs = _fresh(xs, create_graph)
        many, ys = _run(func, xs, "jvp")
        dummies = tuple(F.zeros_like(y).requires_grad_() for y in ys)
        slopes = _gradients(ys, xs, dummies, True, strict)
    with _recording(create_graph):
        found = _gradients(slopes, dummies, v, create_graph, strict)
    return _release(_shape_like(many, ys), create_graph), _shape_like(many, _release(found, create_graph))


def _rows(y: Tensor, xs: tuple, create_graph: bool, strict: bool, vectorize: bool) -> tuple:
    """Per input the Jacobian of y: the shape of y, then of the input."""
    count = y.numel()
    if vectorize and count and y.requires_grad:
        seeds = F.reshape(F.cast(F.eye(count), y.dtype), (count, *y.shape))
        found = grad(
            y,
            xs,
            seeds,
            retain_graph=True,
            create_graph=create_graph,
            is_grads_batched=True,
            allow_unused=True,
        )
        return tuple(
            x.new_zeros((*y.shape, *x.shape)) if g is None else g.reshape((*y.shape, *x.shape))
            for g, x in zip(found, xs)
        )
    flat = y.reshape((-1,))
    rows = [_gradients((flat[i],), xs, (None,), create_graph, strict, keep=True) for i in range(count)]
    return tuple(
        F.stack(list(column)).reshape((*y.shape, *x.shape)) if count else x.new_zeros((*y.shape, *x.shape))
        for column, x in zip(zip(*rows) if rows else ((),) * len(xs), xs)
    )


def _forward_jacobian(func: Callable, inputs: Any, create_graph: bool) -> Any:
    """The Jacobian by products with its columns, all in one batch."""
    import taeda  # its transforms build on this package

    several, xs = _tuple(inputs, "inputs", "jacobian")
    many: list[bool] = []

    def outputs(*args: Tensor) -> tuple:
        flag, ys = _run(func, args, "jacobian")
        many[:] = [flag]
        return ys

    with enable_grad():
        xs = tuple(x.view_as(x) if create_graph and x.requires_grad else x.detach() for x in xs)
        blocks = taeda.func.jacfwd(outputs, tuple(range(len(xs))))(*xs)
    return _shape_like(many[0], tuple(_shape_like(several, _release(row, create_graph)) for row in blocks))


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of func: per output and input a tensor of the output's shape followed by the input's.

    vectorize: all rows in one batched pass instead of one after the other. strategy: "forward-mode" (with vectorize)
    goes by columns. strict: an output that is independent of an input is an error.
    """
    if strategy == "forward-mode":
        if strict:
            raise RuntimeError('jacobian(): `strict=True` and `strategy="forward-mode"` are not supported together')
        if not vectorize:
            raise NotImplementedError('jacobian(): strategy="forward-mode" needs vectorize=True')
        return _forward_jacobian(func, inputs, create_graph)
    if vectorize and strict:
        raise RuntimeError("jacobian(): `strict=True` and `vectorize=True` are not supported together")
    if strategy != "reverse-mode":
        raise ValueError(f'Expected strategy to be either "reverse-mode" or "forward-mode", got {strategy!r}')
    with enable_grad():
        several, xs = _tuple(inputs, "inputs", "jacobian")
        xs = _fresh(xs, create_graph)
        many, ys = _run(func, xs, "jacobian")
        blocks = tuple(_rows(y, xs, create_graph, strict, vectorize) for y in ys)
    blocks = _release(blocks, create_graph)
    return _shape_like(many, tuple(_shape_like(several, row) for row in blocks))


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function whose value has one element: per pair of inputs a tensor of both shapes.

    vectorize and outer_jacobian_strategy: as for `jacobian`, for the outer derivative.
    """
    several, xs = _tuple(inputs, "inputs", "hessian")

    def slopes(*args):
        value = _scalar(func(*args), "hessian")
        return _gradients((value,), tuple(args), (None,), True, strict)

    blocks = jacobian(slopes, xs, create_graph, strict, vectorize, outer_jacobian_strategy)
    return blocks if several else blocks[0][0]


def _scalar(value: Any, function: str) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise RuntimeError(f"The function given to {function} should return a single Tensor with one element")
    return value.reshape(())


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(*inputs), the product of v with the Hessian of func)."""
    with enable_grad():
        several, xs = _tuple(inputs, "inputs", "vhp")
        v = _vector(v, xs, "input", "vhp")
        xs = _fresh(xs, create_graph)
        value = _scalar(func(*xs), "vhp")
        slopes = _gradients((value,), xs, (None,), True, strict)
    with _recording(create_graph):
        found = _gradients(slopes, xs, v, create_graph, strict)
    return _release(value, create_graph), _shape_like(several, _release(found, create_graph))


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(*inputs), the product of the Hessian of func with v): the same as `vhp`, as the Hessian is symmetric."""
    return vhp(func, inputs, v, create_graph, strict)
