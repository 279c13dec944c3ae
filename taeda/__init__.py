"""Taeda: a deep-learning framework with PyTorch's way of writing, its own compiler, and exports that need no Python."""

from __future__ import annotations

from math import e, inf, nan, pi

# ruff: noqa: F401, F811  (what is imported here is the public interface)
from . import _bind as _bind_module
from . import _core, _on_import
from ._core import (
    Generator,
    Tensor,
    as_tensor,
    bfloat16,
    complex64,
    complex128,
    default_generator,
    device,
    dtype,
    float16,
    float32,
    float64,
    from_dlpack,
    from_numpy,
    frombuffer,
    get_default_dtype,
    get_num_threads,
    int8,
    int16,
    int32,
    int64,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    promote_types,
    result_type,
    set_default_dtype,
    set_num_threads,
    tensor,
    uint8,
)
from ._core import bool as bool
from ._printing import set_printoptions
from ._tensor import Size, contiguous_format, finfo, iinfo, layout, memory_format, preserve_format, strided
from .autograd import enable_grad, inference_mode, no_grad, set_grad_enabled

__version__ = "0.1.0"

_bind_module.install(globals())
_on_import.install()

half, double = float16, float64
float = float32
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128
newaxis = None

#: Loaded on first use: `import taeda` stays fast.
_SUBMODULES = frozenset(
    (
        "array_api",
        "autograd",
        "capture",
        "codegen",
        "data",
        "execute",
        "export",
        "fft",
        "func",
        "ir",
        "jit",
        "linalg",
        "nn",
        "optim",
        "passes",
        "return_types",
        "serialization",
        "special",
        "utils",
    )
)
#: name -> the module that defines it.
_LAZY = {
    "sym_max": "_scalars", "sym_min": "_scalars", "sym_int": "_scalars", "sym_float": "_scalars", "sym_not": "_scalars",
    "sym_ite": "_scalars", "sym_sum": "_scalars", "sym_sqrt": "_scalars", "typename": "_scalars",
    "SymInt": "capture", "SymBool": "capture", "SymFloat": "capture",
    "save": "serialization", "load": "serialization", "vmap": "func",
    "compile": "jit", "function": "jit", "explain": "jit",
}  # fmt: skip


def __getattr__(name: str):
    from importlib import import_module

    if name in _SUBMODULES:
        try:
            return import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as e:
            if e.name != f"{__name__}.{name}":
                raise
    elif name in _LAZY:
        found = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'taeda' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES, *_LAZY})


def is_tensor(obj) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input) -> bool:
    """Whether the dtype is a floating point one."""
    return input.dtype.is_floating_point


def is_complex(input) -> bool:
    """Whether the dtype is a complex one."""
    return input.dtype.is_complex


def numel(input):
    """The number of elements."""
    return input.numel()


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """obj as a tensor, sharing memory unless copy=True."""
    found = as_tensor(obj, dtype, device)
    if copy:
        found = found.clone()
    return found.requires_grad_() if requires_grad else found


def can_cast(from_, to) -> bool:
    """Whether PyTorch's promotion lets values of one dtype be stored as another."""
    return _bind_module.category(from_) <= _bind_module.category(to)


def manual_seed(seed) -> Generator:
    """Seeds the default generator."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from the system's entropy; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator."""
    return default_generator.get_state()


def set_rng_state(new_state) -> None:
    """Restores the default generator."""
    default_generator.set_state(new_state)
