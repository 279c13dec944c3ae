"""The Python array API standard, version 2024.12, over tensors: `xp = x.__array_namespace__()`.

Functions take tensors, keep their gradients and can be compiled, as the functions of `taeda` do; they differ from those in
names, signatures and promotion, which are the standard's. Python's operators, indexing and methods on tensors stay
PyTorch's, so that there a zero-dimensional tensor does not change the dtype of another one, `x.size` is a method and a slice
has a positive step. There is no uint16, uint32 and uint64; sums of uint8 are int64.
"""

from __future__ import annotations

# ruff: noqa: F403  (every module lists its names of the standard)
from math import e, inf, nan, pi

from taeda import bool, complex64, complex128, float32, float64, int8, int16, int32, int64, uint8

from . import _creation, _dtypes, _elementwise, _info, _manipulation, _products, _reductions, fft, linalg
from ._creation import *
from ._dtypes import *
from ._elementwise import *
from ._info import *
from ._manipulation import *
from ._products import *
from ._reductions import *

__array_api_version__ = "2024.12"
newaxis = None

__all__ = [
    "__array_api_version__",
    "bool",
    "complex64",
    "complex128",
    "e",
    "fft",
    "float32",
    "float64",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "linalg",
    "nan",
    "newaxis",
    "pi",
    "uint8",
]
__all__ += _creation.__all__
__all__ += _dtypes.__all__
__all__ += _elementwise.__all__
__all__ += _info.__all__
__all__ += _manipulation.__all__
__all__ += _products.__all__
__all__ += _reductions.__all__


def __dir__() -> list[str]:
    return __all__
