"""Control flow as functions. They run in Python: a capture follows the branch that the example takes only where the
predicate is known, and says so at the caller's line where it depends on data.
"""

from __future__ import annotations

from .namespace import F
from .table import composite


def _truth(op, value):
    if isinstance(value, F.Tensor):
        if value.numel() != 1:
            raise RuntimeError(
                f"{op}(): the predicate must be a bool or a tensor with one element, got shape {list(value.shape)}"
            )
        return bool(value)
    if isinstance(value, bool) or type(value).__name__ == "SymBool":
        return bool(value)
    raise RuntimeError(f"{op}(): the predicate must be a bool or a tensor, got {value!r}")


def _only_tensors(value):
    if isinstance(value, (tuple, list)):
        return all(map(_only_tensors, value))
    if isinstance(value, dict):
        return all(map(_only_tensors, value.values()))
    return isinstance(value, (F.Tensor, int, float)) or type(value).__name__.startswith("Sym")


@composite(opcheck=False)
def cond(pred, true_fn, false_fn, operands=()):
    """true_fn(*operands) where pred (a bool or a tensor with one element) holds, else false_fn(*operands)."""
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("cond(): true_fn and false_fn must be callable")
    if not isinstance(operands, (tuple, list)) or not _only_tensors(operands):
        raise RuntimeError(
            f"cond(): operands must be a tuple of tensors, numbers and containers of them, got {operands!r}"
        )
    return (true_fn if _truth("cond", pred) else false_fn)(*operands)


@composite(opcheck=False)
def while_loop(cond_fn, body_fn, carried_inputs):
    """body_fn(*values) for as long as cond_fn(*values) holds, from carried_inputs on; gives the last values, a tuple.
    Every round must give tensors of the shapes and dtypes it was given.
    """
    if not callable(cond_fn) or not callable(body_fn):
        raise RuntimeError("while_loop(): cond_fn and body_fn must be callable")
    if not isinstance(carried_inputs, (tuple, list)) or not _only_tensors(carried_inputs):
        raise RuntimeError(
            f"while_loop(): carried_inputs must be a tuple of tensors, numbers and containers of them, got {carried_inputs!r}"
        )
    values = tuple(carried_inputs)
    while _truth("while_loop", cond_fn(*values)):
        found = body_fn(*values)
        found = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        if len(found) != len(values):
            raise RuntimeError(f"while_loop(): body_fn should return {len(values)} values, got {len(found)}")
        for k, (a, b) in enumerate(zip(values, found)):
            if isinstance(a, F.Tensor) and (
                not isinstance(b, F.Tensor) or tuple(a.shape) != tuple(b.shape) or a.dtype is not b.dtype
            ):
                raise RuntimeError(
                    f"while_loop(): body_fn must keep shapes and dtypes: value {k} was {a.dtype} {list(a.shape)}, is "
                    + (f"{b.dtype} {list(b.shape)}" if isinstance(b, F.Tensor) else type(b).__name__)
                )
        values = found
    return values
