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
    several = isinstance(value, tuple)
    items = value if several else (value,)
    for i, item in enumerate(items):
        if not isinstance(item, Tensor):
            place = f"the value at index {i} of the given {what}" if several else f"the given {what}"
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but {place} has type "
                f"{type(item)}."
            )
    return several, items


def _fresh(inputs: tuple, create_graph: bool) -> tuple:
    """Inputs to differentiate by: with their history where the result keeps it, else new leaves."""
    if _core.is_transformed(*inputs):  # inside of vmap, jvp or a dual level
        import taeda  # its transforms build on this package

        return tuple(map(taeda.func.tape.fresh, inputs))
    if create_graph:
        return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in inputs)
    return tuple(x.detach().requires_grad_() for x in inputs)


def _run(func: Callable, inputs: tuple, name: str) -> tuple[bool, tuple]:
    return _tuple(func(*inputs), "outputs of the user-provided function", name)


def _check_vector(v: tuple, like: tuple, what: str) -> None:
    if len(v) != len(like):
        if len(like) == 1:
            raise RuntimeError("The given v should contain a single Tensor.")
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} (one per {what}) but got {len(v)}.")
    for i, (a, b) in enumerate(zip(v, like)):
        if tuple(a.shape) != tuple(b.shape):
            place = f"Entry {i} in v" if len(like) > 1 else "v"
            raise RuntimeError(f"{place} has invalid size: should be {b.shape} (that of the {what}) but got {a.shape}.")


def _vector(v: Any, like: tuple, what: str, function: str) -> tuple:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            whose = "user-provided function returns" if what == "output" else "input to the user-provided function is"
            raise RuntimeError(f"The vector v can only be None if the {whose} a single Tensor with a single element.")
        return (F.ones_like(like[0].detach()),)
    _, v = _tuple(v, "v", function)
    _check_vector(v, like, what)
    return v


def _gradients(
    outputs: tuple,
    inputs: tuple,
    given: Any,
    create_graph: bool,
    strict: bool,
    keep: bool = False,
    subject: str = "The output of the user-provided function",
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
        raise RuntimeError(f"{subject} is independent of input {i}. This is not allowed in strict mode.")
    return tuple(F.zeros_like(x) if g is None else g for g, x in zip(found, inputs))


def _release(value: Any, create_graph: bool) -> Any:
    if create_graph:
        return value
    if isinstance(value, tuple):
        return tuple(_release(v, False) for v in value)
    if _core.is_transformed(value):
        import taeda  # its transforms build on this package

        return taeda.func.duals.cut(value)
    return value.detach()


def _shape_like(flag: bool, items: tuple) -> Any:
    return items if flag else items[0]


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(*inputs), the product of v with the Jacobian of func)."""
    with enable_grad():
        several, xs = _tuple(inputs, "inputs", "vjp")
        xs = _fresh(xs, create_graph)
        many, ys = _run(func, xs, "vjp")
        _check_connected(ys, strict)
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
        v = _vector(v, xs, "input", "jvp")
        xs = _fresh(xs, create_graph)
        many, ys = _run(func, xs, "jvp")
        _check_connected(ys, strict)
        dummies = _fresh(tuple(F.zeros_like(y.detach()) for y in ys), False)
        slopes = _gradients(ys, xs, dummies, True, strict)
    with _recording(create_graph):
        found = _gradients(slopes, dummies, v, create_graph, strict)
    return _release(_shape_like(many, ys), create_graph), _shape_like(many, _release(found, create_graph))


def _rows(y: Tensor, xs: tuple, create_graph: bool, strict: bool, subject: str) -> tuple:
    """Per input the Jacobian of y: the shape of y, then of the input."""
    count = y.numel()
    flat = y.reshape((-1,))
    rows = [_gradients((flat[i],), xs, (None,), create_graph, strict, keep=True, subject=subject) for i in range(count)]
    return tuple(
        F.stack(list(column)).reshape((*y.shape, *x.shape)) if count else x.new_zeros((*y.shape, *x.shape))
        for column, x in zip(zip(*rows) if rows else ((),) * len(xs), xs)
    )


def _rows_at_once(y: Tensor, xs: tuple, create_graph: bool) -> tuple:
    """`_rows` by one backward pass of a batch of gradients."""
    found: tuple = (None,) * len(xs)
    count = y.numel()
    if y.requires_grad and count:
        basis = F.eye(count, dtype=y.dtype).reshape((count, *y.shape))
        found = grad(
            y, xs, basis, retain_graph=True, create_graph=create_graph, allow_unused=True, is_grads_batched=True
        )
    return tuple(
        x.new_zeros((*y.shape, *x.shape)) if g is None else g.reshape((*y.shape, *x.shape)) for g, x in zip(found, xs)
    )


def _columns_at_once(func: Callable, xs: tuple, name: str) -> tuple[bool, tuple]:
    """(func gives a tuple, per output and input the Jacobian): forward mode with a batch of tangents."""
    import taeda  # its transforms build on this package

    from . import forward_ad

    many, columns = False, []
    shapes: list[tuple[int, ...]] = []
    for i, x in enumerate(xs):

        def along(tangent: Tensor, i: int = i) -> tuple:
            nonlocal many
            with forward_ad.dual_level():
                duals = tuple(forward_ad.make_dual(x, tangent) if j == i else x for j, x in enumerate(xs))
                many, ys = _run(func, duals, name)
                shapes[:] = [tuple(y.shape) for y in ys]
                pairs = [forward_ad.unpack_dual(y) for y in ys]
            return tuple(F.zeros_like(y) if t is None else t for y, t in pairs)

        count = x.numel()
        columns.append(taeda.func.vmap(along, out_dims=-1)(F.eye(count, dtype=x.dtype).reshape((count, *x.shape))))
    blocks = tuple(
        tuple(column[k].reshape((*shape, *x.shape)) for column, x in zip(columns, xs)) for k, shape in enumerate(shapes)
    )
    return many, blocks


def _check_strategy(name: str, strategy: str, create_graph: bool, strict: bool, vectorize: bool) -> None:
    if strategy not in ("reverse-mode", "forward-mode"):
        raise AssertionError(
            f'{name}: expected strategy to be either "forward-mode" or "reverse-mode", got {strategy!r}. Forward mode '
            "is the faster one for a function with more outputs than inputs."
        )
    if strict and (vectorize or strategy == "forward-mode"):
        option = '`strategy="forward-mode"`' if strategy == "forward-mode" else "`vectorize=True`"
        raise RuntimeError(f"{name}: `strict=True` and {option} are not supported together; leave one of them out.")
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError(
            f'{name}: `create_graph=True` and `strategy="forward-mode"` are not supported together; leave one of them '
            "out, or use taeda.func.jacfwd, whose result can be differentiated."
        )
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(f'{name}: `strategy="forward-mode"` is only implemented for `vectorize=True`.')


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of func: per output and input a tensor of the output's shape followed by the input's.

    inputs, and what func returns: a tensor or a tuple of tensors; the result is nested accordingly. create_graph: the
    result can be differentiated. strict: an output that does not depend on an input is an error instead of zeros.
    vectorize: one pass for a batch of all elements (`vmap`) instead of a pass per element, over the outputs' elements
    or, with strategy "forward-mode", the inputs'.
    """
    return _jacobian(func, inputs, create_graph, strict, vectorize, strategy, "jacobian")


def _jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool,
    strict: bool,
    vectorize: bool,
    strategy: str,
    name: str,
    subject: str = "The output of the user-provided function",
) -> Any:
    _check_strategy(name, strategy, create_graph, strict, vectorize)
    with enable_grad():
        several, xs = _tuple(inputs, "inputs", name)
        if strategy == "forward-mode":
            many, blocks = _columns_at_once(func, tuple(x.detach() for x in xs), name)
        else:
            xs = _fresh(xs, create_graph)
            many, ys = _run(func, xs, name)
            _check_connected(ys, strict)
            if vectorize:
                blocks = tuple(_rows_at_once(y, xs, create_graph) for y in ys)
            else:
                blocks = tuple(_rows(y, xs, create_graph, strict, subject) for y in ys)
    blocks = _release(blocks, create_graph)
    return _shape_like(many, tuple(_shape_like(several, row) for row in blocks))


def _check_connected(outputs: tuple, strict: bool) -> None:
    for i, y in enumerate(outputs):
        if strict and not y.requires_grad:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The outputs must be computed in "
                "a differentiable manner from the input when running in strict mode."
            )


#: Whose gradient a second derivative's error is about.
_FIRST = "While computing a second derivative: the jacobian of the user-provided function"


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function whose value has one element: per pair of inputs a tensor of both shapes.

    Options are those of `jacobian`; outer_jacobian_strategy is how the gradient is differentiated.
    """
    _check_strategy("hessian", outer_jacobian_strategy, create_graph, strict, vectorize)
    several, xs = _tuple(inputs, "inputs", "hessian")

    def slopes(*args):
        if not all(x.requires_grad for x in args):  # forward mode
            args = _fresh(args, False)
        value = _scalar(func(*args), "hessian")
        _check_connected((value,), strict)
        found = _gradients((value,), args, (None,), True, strict)
        if strict and not all(g.requires_grad for g in found):
            i = next(i for i, g in enumerate(found) if not g.requires_grad)
            raise RuntimeError(f"{_FIRST} with respect to input {i} is independent of the inputs (strict mode).")
        return found

    blocks = _jacobian(slopes, xs, create_graph, strict, vectorize, outer_jacobian_strategy, "hessian", subject=_FIRST)
    return blocks if several else blocks[0][0]


def _scalar(value: Any, function: str) -> Tensor:
    if not isinstance(value, Tensor):
        if isinstance(value, tuple) and all(isinstance(v, Tensor) for v in value):
            raise RuntimeError(f"The function given to {function} should return a single Tensor")
        _tuple(value, "outputs of the user-provided function", function)
    if value.numel() != 1:
        raise RuntimeError(f"The Tensor returned by the function given to {function} should contain a single element")
    return value.reshape(()) if value.ndim else value


def _second(func: Callable, inputs: Any, v: Any, create_graph: bool, strict: bool, name: str) -> tuple:
    """(func(*inputs), the product of v with the Hessian), which is symmetric."""
    with enable_grad():
        several, xs = _tuple(inputs, "inputs", name)
        v = _vector(v, xs, "input", name)
        xs = _fresh(xs, create_graph)
        value = _scalar(func(*xs), name)
        _check_connected((value,), strict)
        slopes = _gradients((value,), xs, (None,), True, strict)
    with _recording(create_graph):
        found = _gradients(slopes, xs, v, create_graph, strict, subject=_FIRST)
    return _release(value, create_graph), _shape_like(several, _release(found, create_graph))


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(*inputs), the product of v with the Hessian of func), for a func whose value has one element.

    v: tensors like the inputs; needed unless there is one input of one element. Options are those of `jacobian`.
    """
    return _second(func, inputs, v, create_graph, strict, "vhp")


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(func(*inputs), the product of the Hessian of func with v): the same as `vhp`, as the Hessian is symmetric."""
    return _second(func, inputs, v, create_graph, strict, "hvp")
