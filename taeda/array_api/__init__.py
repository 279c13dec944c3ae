"""The Python array API standard, version 2024.12, over tensors: `xp = x.__array_namespace__()`.

Functions take tensors, keep their gradients and can be compiled, as the functions of `taeda` do; they differ from those in
names, signatures and promotion, which are the standard's. Python's operators, indexing and methods on tensors stay
PyTorch's, so that there a zero-dimensional tensor does not change the dtype of another one, `x.size` is a method and a slice
has a positive step. There is no uint16, uint32 and uint64; sums of uint8 are int64.
"""

from __future__ import annotations

from math import e, inf, nan, pi

from taeda import bool, complex64, complex128, float32, float64, int8, int16, int32, int64, uint8

from . import fft, linalg
from ._creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from ._dtypes import astype, can_cast, finfo, iinfo, isdtype, result_type
from ._elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    conj,
    copysign,
    cos,
    cosh,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    imag,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    not_equal,
    positive,
    pow,
    real,
    reciprocal,
    remainder,
    round,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)
from ._info import __array_namespace_info__
from ._manipulation import (
    argmax,
    argmin,
    argsort,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    isin,
    moveaxis,
    nonzero,
    permute_dims,
    repeat,
    reshape,
    roll,
    searchsorted,
    sort,
    squeeze,
    stack,
    take,
    take_along_axis,
    tile,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
    unstack,
    where,
)
from ._products import matmul, matrix_transpose, tensordot, vecdot
from ._reductions import (
    all,
    any,
    count_nonzero,
    cumulative_prod,
    cumulative_sum,
    diff,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)

__array_api_version__ = "2024.12"
newaxis = None

__all__ = sorted(  # noqa: PLE0605
    name
    for name, value in globals().items()
    if not name.startswith("_") and name != "annotations"
) + ["__array_api_version__", "__array_namespace_info__"]


def __dir__() -> list[str]:
    return __all__
