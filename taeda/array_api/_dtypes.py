"""Data types of the standard: their limits, kinds and promotion."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import taeda as td
from taeda import Tensor, dtype

#: Data types of the standard that tensors have, by kind; the standard's unsigned ones above 8 bits are not among them.
KINDS: dict[str, dict[str, dtype]] = {
    "bool": {"bool": td.bool},
    "signed integer": {"int8": td.int8, "int16": td.int16, "int32": td.int32, "int64": td.int64},
    "unsigned integer": {"uint8": td.uint8},
    "real floating": {"float32": td.float32, "float64": td.float64},
    "complex floating": {"complex64": td.complex64, "complex128": td.complex128},
}
_SUMS = {
    "integral": ("signed integer", "unsigned integer"),
    "numeric": ("signed integer", "unsigned integer", "real floating", "complex floating"),
}


def kind_of(d: dtype) -> str:
    """The kind of a dtype; float16 and bfloat16, which the standard does not know, count as real floating."""
    if d.is_complex:
        return "complex floating"
    if d.is_floating_point:
        return "real floating"
    return "bool" if d is td.bool else "signed integer" if d.is_signed else "unsigned integer"


def dtypes_of_kind(kind: str | tuple[str, ...] | None) -> dict[str, dtype]:
    """Name -> dtype of a kind of the standard, of several, or of all."""
    if kind is None:
        kind = tuple(KINDS)
    if isinstance(kind, tuple):
        return {name: d for k in kind for name, d in dtypes_of_kind(k).items()}
    if kind not in KINDS and kind not in _SUMS:
        raise ValueError(f"unknown kind of dtype {kind!r}; expected one of {[*KINDS, *_SUMS]}")
    return dtypes_of_kind(_SUMS[kind]) if kind in _SUMS else dict(KINDS[kind])


def default_dtypes() -> dict[str, dtype]:
    """The dtypes that functions give where none is asked for."""
    real = td.get_default_dtype()
    return {
        "real floating": real,
        "complex floating": td.complex128 if real is td.float64 else td.complex64,
        "integral": td.int64,
        "indexing": td.int64,
    }


def isdtype(dtype: dtype, kind: dtype | str | tuple[dtype | str, ...]) -> bool:
    """Whether `dtype` is `kind`: a dtype, one of "bool", "signed integer", "unsigned integer", "integral", "real floating",
    "complex floating", "numeric", or a tuple of those (any of them)."""
    if not isinstance(dtype, td.dtype):
        raise TypeError(f"isdtype(): argument 'dtype' must be a dtype, not {type(dtype).__name__}")
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, td.dtype):
        return dtype is kind
    if not isinstance(kind, str):
        raise TypeError(f"isdtype(): argument 'kind' must be a dtype, a str or a tuple of those, not {kind!r}")
    dtypes_of_kind(kind)  # an unknown kind is an error
    return kind_of(dtype) in _SUMS.get(kind, (kind,))


def result_type(*arrays_and_dtypes: Tensor | dtype | complex) -> dtype:
    """The dtype that promotion gives. Zero-dimensional tensors count as all others; Python numbers give way to them."""
    dtypes, numbers = [], []
    for x in arrays_and_dtypes:
        if isinstance(x, Tensor):
            dtypes.append(x.dtype)
        elif isinstance(x, td.dtype):
            dtypes.append(x)
        elif isinstance(x, (bool, int, float, complex)):
            numbers.append(x)
        else:
            raise TypeError(f"result_type(): expected tensors, dtypes and numbers, got {type(x).__name__}")
    if not dtypes:
        raise ValueError("result_type(): at least one tensor or dtype is required")
    found = functools.reduce(td.promote_types, dtypes)
    for number in numbers:
        found = td.result_type(td.empty(1, dtype=found), number)
    return found


def promoted(*xs: Tensor) -> list[Tensor]:
    """The tensors in their common dtype."""
    common = result_type(*xs)
    return [x.to(common) for x in xs]


def can_cast(from_: dtype | Tensor, to: dtype, /) -> bool:
    """Whether promotion takes `from_` (a dtype or a tensor's) to `to`."""
    source = from_.dtype if isinstance(from_, Tensor) else from_
    return td.promote_types(source, to) is to


def astype(x: Tensor, dtype: dtype, /, *, copy: bool = True, device: Any = None) -> Tensor:
    """x in another dtype; x itself where `copy` is False and it has that dtype."""
    return x.to(dtype=dtype, device=device, copy=copy)


@dataclass(frozen=True)
class FloatLimits:
    """Limits of a real floating dtype, or of a complex dtype's parts."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: dtype


@dataclass(frozen=True)
class IntegerLimits:
    """Limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: dtype


def finfo(type: dtype | Tensor, /) -> FloatLimits:
    """Limits of a floating dtype (or that of a tensor)."""
    d = type.dtype if isinstance(type, Tensor) else type
    d = td.empty(0, dtype=d).real.dtype if d.is_complex else d
    found = td.finfo(d)
    return FloatLimits(found.bits, found.eps, found.max, found.min, found.smallest_normal, d)


def iinfo(type: dtype | Tensor, /) -> IntegerLimits:
    """Limits of an integer dtype (or that of a tensor)."""
    d = type.dtype if isinstance(type, Tensor) else type
    found = td.iinfo(d)
    return IntegerLimits(found.bits, found.max, found.min, d)


__all__ = [
    "astype",
    "can_cast",
    "finfo",
    "iinfo",
    "isdtype",
    "result_type",
]
