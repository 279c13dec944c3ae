"""Types of IR values."""

from __future__ import annotations

from dataclasses import dataclass

from . import sym as S
from .sym import Sym

#: Storage dtype codes, in the order of td_dtype.
DTYPES = ("b1", "u8", "i8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64", "c64", "c128")
SIZE = {
    "b1": 1,
    "u8": 1,
    "i8": 1,
    "i16": 2,
    "i32": 4,
    "i64": 8,
    "f16": 2,
    "bf16": 2,
    "f32": 4,
    "f64": 8,
    "c64": 8,
    "c128": 16,
}


@dataclass(frozen=True)
class TensorType:
    """Elements of `dtype` in the sizes given. A tensor value is a pure value: its elements in logical (row-major)
    order. Where the elements lie in memory is decided when the program is planned."""

    dtype: str
    sizes: tuple[Sym, ...]

    @property
    def ndim(self) -> int:
        return len(self.sizes)

    def numel(self) -> Sym:
        return S.product(self.sizes)

    def strides(self) -> tuple[Sym, ...]:
        """Strides in elements of the row-major layout."""
        return S.contiguous_strides(self.sizes)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.sizes))}]"


@dataclass(frozen=True)
class ScalarType:
    """A number that the host program computes: `int` (i64), `float` (f64) or `bool`."""

    kind: str

    def __str__(self) -> str:
        return self.kind


Type = TensorType | ScalarType
INT, FLOAT, BOOL = ScalarType("int"), ScalarType("float"), ScalarType("bool")
SCALARS = {t.kind: t for t in (INT, FLOAT, BOOL)}


def tensor(dtype: str, *sizes) -> TensorType:
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype code {dtype!r}")
    return TensorType(dtype, tuple(map(S.as_sym, sizes)))
