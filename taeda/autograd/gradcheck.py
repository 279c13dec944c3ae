"""Gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from ..ops.namespace import F
from .run import grad

Tensor = _core.Tensor


class GradcheckError(RuntimeError):
    """A gradient differs from the finite difference."""


def _outputs(value: Any) -> tuple:
    """The differentiable outputs."""
    items = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(y for y in items if isinstance(y, Tensor) and y.is_floating_point())


def _numeric(fn: Callable, args: list, place: int, eps: float) -> list[list[list[float]]]:
    """Central differences: per output, per element of the input, the change of every element of the output."""
    x = args[place]
    values = x.detach().reshape((-1,)).tolist()
    columns: list[list[list[float]]] = []

    def run(i: int, at: float) -> list[list[float]]:
        moved = F.tensor([*values[:i], at, *values[i + 1 :]], dtype=x.dtype).reshape(x.shape)
        before = _core._set_grad_enabled(False)
        try:
            found = _outputs(fn(*args[:place], moved, *args[place + 1 :]))
        finally:
            _core._set_grad_enabled(before)
        return [y.reshape((-1,)).tolist() for y in found]

    for i, value in enumerate(values):
        low, high = run(i, value - eps), run(i, value + eps)
        columns.append([[(b - a) / (2 * eps) for a, b in zip(ya, yb)] for ya, yb in zip(low, high)])
    count = len(columns[0]) if columns else 0
    return [[column[k] for column in columns] for k in range(count)]


def _close(a: float, b: float, atol: float, rtol: float) -> bool:
    if a != a or b != b:
        return a != a and b != b
    return abs(a - b) <= atol + rtol * abs(b)


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
) -> bool:
    """Whether the gradients of func at `inputs` agree with finite differences; inputs with one should be float64.

    Further checks: a second run gives the same gradients within nondet_tol, and a zero incoming gradient gives zero.
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    try:
        _check(func, args, eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(func: Callable, args: list, eps: float, atol: float, rtol: float, nondet_tol: float) -> None:
    places = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have "
            "requires_grad=True."
        )
    inputs = [args[i] for i in places]
    ys = _outputs(func(*args))
    if not any(y.requires_grad for y in ys):
        raise ValueError("gradcheck expects an output that requires a gradient")
    numeric = [_numeric(func, args, place, eps) for place in places]
    for k, y in enumerate(ys):
        if not y.requires_grad:
            rows = [[row[j] for row in numeric[i][k]] for i in range(len(places)) for j in range(y.numel())]
            if any(abs(v) > atol for row in rows for v in row):
                raise GradcheckError(f"output {k} does not require a gradient, but changes with the inputs")
            continue
        flat = y.reshape((-1,))
        for j in range(y.numel()):
            start = F.tensor([float(i == j) for i in range(y.numel())], dtype=y.dtype)
            found = grad(flat, inputs, start, retain_graph=True, allow_unused=True)
            again = grad(flat, inputs, start, retain_graph=True, allow_unused=True) if j == 0 else found
            for i, (g, same) in enumerate(zip(found, again)):
                exact = [row[j] for row in numeric[i][k]]
                got = [0.0] * len(exact) if g is None else g.reshape((-1,)).tolist()
                if g is not None and g.dtype is not inputs[i].dtype:
                    raise GradcheckError(
                        f"gradient of input {places[i]} has dtype {g.dtype}, expected {inputs[i].dtype}"
                    )
                if g is not None and any(abs(a - b) > nondet_tol for a, b in zip(got, same.reshape((-1,)).tolist())):
                    raise GradcheckError(
                        "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
                        "times gives different values"
                    )
                for n, (a, b) in enumerate(zip(got, exact)):
                    if not _close(a, b, atol, rtol):
                        raise GradcheckError(
                            f"Jacobian mismatch for output {k} with respect to input {places[i]}: element {j} by "
                            f"element {n} is {a!r} from backward, {b!r} from finite differences (eps {eps:g}, atol "
                            f"{atol:g}, rtol {rtol:g})"
                        )
        nothing = grad(flat, inputs, F.zeros_like(flat.detach()), retain_graph=True, allow_unused=True)
        for place, g in zip(places, nothing):
            if g is not None and any(v != 0 for v in g.reshape((-1,)).tolist()):
                raise GradcheckError(
                    f"backward not multiplied by grad_output: input {place} has a gradient for a zero one"
                )


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
) -> bool:
    """gradcheck of the backward pass itself: second derivatives, by the inputs and by the incoming gradients."""
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    places = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    if grad_outputs is None:
        starts = [
            F.tensor([0.5 + 0.37 * i - 0.11 * k for i in range(y.numel())], dtype=y.dtype)
            .reshape(y.shape)
            .requires_grad_()
            for k, y in enumerate(_outputs(func(*args)))
            if y.requires_grad
        ]
    else:
        starts = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)

    def backward(*values):
        xs = list(values[: len(args)])
        before = _core._set_grad_enabled(True)
        try:
            for place in places:  # inside a finite difference nothing needs a gradient by itself
                if not xs[place].requires_grad:
                    xs[place] = xs[place].detach().requires_grad_()
            ys = [y for y in _outputs(func(*xs)) if y.requires_grad]
            wanted = [xs[i] for i in places]
            found = grad(ys, wanted, list(values[len(args) :]), create_graph=True, allow_unused=True)
            return tuple(g for g in found if g is not None)
        finally:
            _core._set_grad_enabled(before)

    if not any(g.requires_grad for g in backward(*args, *starts)):
        raise ValueError("gradgradcheck: no gradient of the function requires a gradient itself")
    return gradcheck(
        backward,
        (*args, *starts),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
    )
