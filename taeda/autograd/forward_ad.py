"""Forward mode: derivatives along a direction, computed along with the values.

In a `dual_level`, `make_dual` gives a tensor a tangent; whatever is computed from it carries one too, the derivative
along that direction, which `unpack_dual` reads. Works together with the tape: tangents can be differentiated, and
gradients of dual tensors have tangents.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core

Tensor = _core.Tensor

#: The dual levels under way; PyTorch allows one.
_levels: list = []


class UnpackedDualTensor(NamedTuple):
    """The parts of a dual tensor; tangent is None where there is none."""

    primal: Tensor
    tangent: Tensor | None


def _rules() -> Any:
    import taeda  # its transforms build on this package

    return taeda.func.forward


def enter_dual_level() -> int:
    """Opens a level, and returns its number. Levels cannot be nested (`taeda.func.jvp` can)."""
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    level = _rules().ForwardLevel()
    level.__enter__()
    _levels.append(level)
    return len(_levels) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """Closes the level that is open: its tensors lose their tangents."""
    if not _levels:
        raise RuntimeError("exit_dual_level: no dual level is open; enter_dual_level() or dual_level() opens one")
    if level is not None and level != len(_levels) - 1:
        raise RuntimeError("Trying to exit a forward AD level that was not the last one that was created.")
    _levels.pop().__exit__()


class dual_level:
    """A level for a `with` block (which gets its number); also a decorator."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *error: object) -> None:
        exit_dual_level()

    def __call__(self, function: Any) -> Any:
        from .grad_mode import _decorate

        return _decorate(dual_level, function)


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of `tensor` that carries `tangent`, which has its shape. Both are floating point or complex."""
    if not _levels or (level is not None and level < 0):
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, t in (("tensor", tensor), ("tangent", tangent)):
        if not isinstance(t, Tensor):
            raise TypeError(f"make_dual(): argument '{name}' must be Tensor, not {type(t).__name__}")
    return _rules().make_dual(tensor, tangent, _levels[-1].number)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """(primal, tangent) of a tensor; outside of a level, and for tensors that depend on no dual one, the tangent is
    None."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"unpack_dual(): argument 'tensor' must be Tensor, not {type(tensor).__name__}")
    if not _levels or (level is not None and level < 0):
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(*_rules().take_apart(tensor, _levels[-1].number))


class _set_fwd_grad_enabled:
    """Whether operators give tangents to their results, for a `with` block (set at once, as `set_grad_enabled`)."""

    def __init__(self, mode: bool):
        self.before = _core.set_forward_levels(0xFFFFFFFF if mode else 0)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        _core.set_forward_levels(self.before)


__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]
