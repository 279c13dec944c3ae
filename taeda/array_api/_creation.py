"""New tensors."""

from __future__ import annotations

from typing import Any

import taeda as td
from taeda import Tensor, dtype

Shape = int | tuple[int, ...]
Number = bool | int | float | complex


def asarray(obj: Any, /, *, dtype: dtype | None = None, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor of a tensor, number, nested sequence of numbers, or whatever has `__dlpack__`, `__array__` or a buffer.

    copy: True, always a copy; False, never (ValueError if one is needed); None, where needed.
    """
    if isinstance(obj, Tensor):
        found = obj.to(dtype=dtype, device=device)
    elif hasattr(obj, "__array_interface__"):
        found = _from_numpy(obj, dtype, device)
    elif copy is not False or not isinstance(obj, (bool, int, float, complex, list, tuple)):
        found = td.asarray(obj, dtype=dtype, device=device)
    else:
        raise ValueError("asarray(): numbers and sequences cannot become a tensor without a copy")
    if copy is False and not _shares(found, obj):
        raise ValueError(f"asarray(): {type(obj).__name__} cannot become a tensor of {found.dtype} without a copy")
    return found.clone() if copy and _shares(found, obj) else found


def _from_numpy(obj: Any, dtype: dtype | None, device: Any) -> Tensor:
    import numpy as np

    array = np.asarray(obj)
    usable = array.flags.writeable and array.dtype.isnative and all(s >= 0 for s in array.strides)
    return td.asarray(array if usable else array.astype(array.dtype.newbyteorder("=")), dtype=dtype, device=device)


def _shares(found: Tensor, obj: Any) -> bool:
    """Whether the tensor lies in the memory of `obj`, as far as one can tell."""
    if isinstance(obj, Tensor):
        return found.data_ptr() == obj.data_ptr()
    if hasattr(obj, "__array_interface__"):
        return found.data_ptr() == obj.__array_interface__["data"][0]
    return hasattr(obj, "__dlpack__") or not isinstance(obj, (bool, int, float, complex, list, tuple))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor in the memory of any object with `__dlpack__`. copy: True, always in its own; False, never."""
    return td.from_dlpack(x, copy=copy).to(device=device)


def arange(
    start: float, /, stop: float | None = None, step: float = 1, *, dtype: dtype | None = None, device: Any = None
) -> Tensor:
    """start, start + step, ... up to but without stop; 0 to start where stop is left out."""
    if stop is None:
        start, stop = 0, start
    if (stop - start) * step < 0:
        stop = start  # nothing lies between
    return td.arange(start, stop, step, dtype=dtype, device=device)


def linspace(
    start: complex,
    stop: complex,
    /,
    num: int,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """num numbers from start to stop, evenly apart; without stop unless `endpoint`."""
    if endpoint:
        return td.linspace(start, stop, num, dtype=dtype, device=device)
    return td.linspace(start, stop, num + 1, dtype=dtype, device=device)[:-1]


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: dtype | None = None, device: Any = None
) -> Tensor:
    """Ones on the k-th diagonal of a matrix of zeros."""
    rows, columns = td.arange(n_rows, device=device), td.arange(n_rows if n_cols is None else n_cols, device=device)
    return (rows[:, None] + k == columns).to(dtype or td.get_default_dtype())


def empty(shape: Shape, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """A tensor whose elements are not set."""
    return td.empty(shape, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """A tensor of the shape and dtype of x whose elements are not set."""
    return td.empty_like(x, dtype=dtype, device=device)


def full(shape: Shape, fill_value: Number, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """A tensor that holds one number everywhere; its dtype is that of the number unless given."""
    return td.full((shape,) if isinstance(shape, int) else shape, fill_value, dtype=dtype, device=device)


def full_like(x: Tensor, /, fill_value: Number, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """A tensor of the shape and dtype of x that holds one number everywhere."""
    return td.full_like(x, fill_value, dtype=dtype, device=device)


def ones(shape: Shape, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """Ones."""
    return td.ones(shape, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """Ones of the shape and dtype of x."""
    return td.ones_like(x, dtype=dtype, device=device)


def zeros(shape: Shape, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """Zeros."""
    return td.zeros(shape, dtype=dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """Zeros of the shape and dtype of x."""
    return td.zeros_like(x, dtype=dtype, device=device)


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Coordinates of a grid from one-dimensional tensors of one dtype; indexing: "xy" (Cartesian) or "ij" (matrix)."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid(): indexing must be 'xy' or 'ij', got {indexing!r}")
    return list(td.meshgrid(*arrays, indexing=indexing)) if arrays else []


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The elements on and below the k-th diagonal of the last two axes, zeros elsewhere."""
    return td.tril(x, k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The elements on and above the k-th diagonal of the last two axes, zeros elsewhere."""
    return td.triu(x, k)


__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]
