"""Parameters as one vector and back."""

from __future__ import annotations

from collections.abc import Iterable

import taeda
from taeda import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters flattened and joined."""
    return taeda.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Cuts `vec` into the shapes of `parameters`, which get the pieces as data."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected taeda.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        p.data = vec[start : start + p.numel()].view(p.shape).data
        start += p.numel()
