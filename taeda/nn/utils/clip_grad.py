"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

import taeda
from taeda import Tensor


def _listed(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Norm of all elements together, as a 0-d tensor."""
    tensors = _listed(tensors)
    if not tensors:
        return taeda.tensor(0.0)
    norm_type = float(norm_type)
    if norm_type == float("inf"):
        total = taeda.stack([t.detach().abs().amax() for t in tensors]).amax()
    else:
        parts = [
            (t.detach().abs() ** norm_type).sum() if norm_type != 2 else t.detach().square().sum() for t in tensors
        ]
        total = taeda.stack(parts).sum() ** (1.0 / norm_type) if norm_type != 2 else taeda.stack(parts).sum().sqrt()
    if error_if_nonfinite and not bool(taeda.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped. To "
            "disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales the gradients in place by min(1, max_norm / (total_norm + 1e-6))."""
    with taeda.no_grad():
        scale = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for parameter in _listed(parameters):
            if parameter.grad is not None:
                parameter.grad.mul_(scale)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scales all gradients so that their joint norm is at most max_norm; returns the norm before."""
    parameters = _listed(parameters)
    with taeda.no_grad():
        total = get_total_norm([p.grad for p in parameters if p.grad is not None], norm_type, error_if_nonfinite)
        clip_grads_with_norm_(parameters, max_norm, total)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Clamps every gradient element to [-clip_value, clip_value], in place."""
    clip_value = float(clip_value)
    with taeda.no_grad():
        for parameter in _listed(parameters):
            if parameter.grad is not None:
                parameter.grad.clamp_(min=-clip_value, max=clip_value)
