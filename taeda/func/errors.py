"""What the transforms refuse, in words."""

from __future__ import annotations


def finished(op: str) -> RuntimeError:
    return RuntimeError(
        f"{op}(): a tensor of a function transform (vmap) is used after the transform has ended. Return it from the "
        "transformed function instead of storing it elsewhere."
    )


def reads_values(what: str) -> RuntimeError:
    return RuntimeError(
        f"vmap: {what}() needs the values of a tensor that stands for a whole batch. Data-dependent control flow and "
        ".item() cannot be batched: use taeda.where, or move this out of the function given to vmap."
    )


def writes_batch(op: str) -> RuntimeError:
    return RuntimeError(
        f"vmap: {op}(self, ...) is not possible because self is the same for every element of the batch, and what is "
        "written into it is not: make self with taeda.zeros_like or clone of a batched tensor, or use the "
        "out-of-place operator."
    )


def data_dependent(op: str) -> RuntimeError:
    return RuntimeError(
        f"vmap: {op}() gives a result whose shape depends on the values, so it can be another for every element of "
        "the batch. Use masks (taeda.where) instead."
    )


def random_in_error_mode(op: str) -> RuntimeError:
    return RuntimeError(
        f"vmap: called the random operation {op} while in randomness error mode. Please either use the 'same' or "
        "'different' randomness flags on vmap or perform the randomness operation outside of vmap."
    )
