"""Automatic differentiation over the core's tape."""

from __future__ import annotations

import sys
from types import ModuleType

from .._core import is_grad_enabled, is_inference_mode_enabled
from .function import Function, FunctionCtx
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from .run import Tensor as Variable  # PyTorch's old name
from .run import backward, grad, install

#: name -> the module that defines it, loaded on first use.
_LAZY = {
    "detect_anomaly": "anomaly_mode",
    "set_detect_anomaly": "anomaly_mode",
    "gradcheck": "gradcheck",
    "gradgradcheck": "gradcheck",
    "GradcheckError": "gradcheck",
}
_SUBMODULES = ("anomaly_mode", "forward_ad", "functional", "graph")


def __getattr__(name: str):
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name in _LAZY:
        found = globals()[name] = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        return found
    raise AttributeError(f"module 'taeda.autograd' has no attribute {name!r}")


class _Package(ModuleType):
    """`gradcheck` stays the function when the module of that name is loaded."""

    def __setattr__(self, name: str, value) -> None:
        super().__setattr__(name, getattr(value, name) if name == "gradcheck" and type(value) is ModuleType else value)


def __dir__():
    return sorted({*globals(), *_LAZY, *_SUBMODULES})


install()
sys.modules[__name__].__class__ = _Package

__all__ = [
    "Function",
    "FunctionCtx",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
