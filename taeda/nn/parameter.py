"""Tensors that a module owns: trained parameters and plain buffers."""

from __future__ import annotations

from typing import Any

import taeda
from taeda import _core


class Parameter(taeda.Tensor):
    """A tensor that becomes a parameter of the module it is assigned to.

    Shares storage with `data`. Errors: TypeError if `data` is not a tensor; RuntimeError if `requires_grad` is asked of an
    integer dtype.
    """

    def __new__(cls, data: taeda.Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = taeda.empty(0)
        if not isinstance(data, taeda.Tensor):
            raise TypeError(f"Parameter(): argument 'data' must be Tensor, not {type(data).__name__}")
        return _core.alias_as(cls, data, requires_grad)

    def __init__(self, data: taeda.Tensor | None = None, requires_grad: bool = True) -> None:
        pass  # made whole in __new__

    def __repr__(self, *args: Any) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Parameter:
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.detach().clone(), self.requires_grad)
        memo[id(self)] = result
        return result

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild_parameter, (self.detach(), self.requires_grad)


def _rebuild_parameter(data: taeda.Tensor, requires_grad: bool) -> Parameter:
    return Parameter(data, requires_grad)


class Buffer(taeda.Tensor):
    """A tensor that becomes a buffer of the module it is assigned to; `persistent` buffers are in the state dict."""

    persistent: bool

    def __new__(cls, data: taeda.Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = taeda.empty(0)
        return _core.alias_as(cls, data, False)

    def __init__(self, data: taeda.Tensor | None = None, *, persistent: bool = True) -> None:
        self.persistent = persistent


def is_parameter(value: object) -> bool:
    return isinstance(value, Parameter)
