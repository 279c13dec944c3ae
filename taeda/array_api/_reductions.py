"""Reductions, running ones, and differences."""

from __future__ import annotations

from collections.abc import Callable

import taeda as td
from taeda import Tensor, dtype

from ._dtypes import default_dtypes, promoted
from ._manipulation import Axes, axis_of


def _axes(x: Tensor, axis: Axes | None, function: str) -> tuple[int, ...]:
    """The axes that are reduced."""
    if axis is None:
        return tuple(range(x.ndim))
    given = (axis,) if isinstance(axis, int) else tuple(axis)
    found = tuple(axis_of(a, x.ndim, function) for a in given)
    if len({*found}) != len(found):
        raise ValueError(f"{function}(): an axis occurs twice in {given}")
    return found


def _reduced(
    x: Tensor,
    axis: Axes | None,
    keepdims: bool,
    function: str,
    reduce: Callable[[Tensor, tuple[int, ...], bool], Tensor],
) -> Tensor:
    """reduce(x, axes, keepdims); over a new axis of size 1 where none is reduced, as PyTorch reduces all then."""
    axes = _axes(x, axis, function)
    return reduce(x, axes, keepdims) if axes else reduce(x[..., None], (x.ndim,), False)


def _sum_dtype(x: Tensor, wanted: dtype | None) -> dtype:
    if wanted is not None:
        return wanted
    return x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else default_dtypes()["integral"]


def sum(x: Tensor, /, *, axis: Axes | None = None, dtype: dtype | None = None, keepdims: bool = False) -> Tensor:
    """The sum over axes (all where None). Integers add up in the default integer dtype unless `dtype` is given."""
    wanted = _sum_dtype(x, dtype)
    return _reduced(x, axis, keepdims, "sum", lambda t, axes, keep: td.sum(t, axes, keep, dtype=wanted))


def prod(x: Tensor, /, *, axis: Axes | None = None, dtype: dtype | None = None, keepdims: bool = False) -> Tensor:
    """The product over axes (all where None). Integers multiply in the default integer dtype unless `dtype` is given."""
    wanted = _sum_dtype(x, dtype)

    def reduce(t: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
        for a in sorted(axes, reverse=True):
            t = td.prod(t, a, keep, dtype=wanted)
        return t

    return _reduced(x, axis, keepdims, "prod", reduce)


def mean(x: Tensor, /, *, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over axes (all where None)."""
    return _reduced(x, axis, keepdims, "mean", lambda t, axes, keep: td.mean(t, axes, keep))


def var(x: Tensor, /, *, axis: Axes | None = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The variance over axes (all where None), divided by the number of elements less `correction`."""

    def reduce(t: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
        return td.var(t, axes, correction=correction, keepdim=keep)

    return _reduced(x, axis, keepdims, "var", reduce)


def std(x: Tensor, /, *, axis: Axes | None = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    """The standard deviation over axes (all where None): the root of `var`."""
    return td.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def max(x: Tensor, /, *, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes (all where None)."""
    return _reduced(x, axis, keepdims, "max", lambda t, axes, keep: td.amax(t, axes, keep))


def min(x: Tensor, /, *, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes (all where None)."""
    return _reduced(x, axis, keepdims, "min", lambda t, axes, keep: td.amin(t, axes, keep))


def all(x: Tensor, /, *, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Whether every element over axes (all where None) is not zero."""
    return _reduced(x, axis, keepdims, "all", lambda t, axes, keep: td.all(t != 0, axes, keep))


def any(x: Tensor, /, *, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """Whether some element over axes (all where None) is not zero."""
    return _reduced(x, axis, keepdims, "any", lambda t, axes, keep: td.any(t != 0, axes, keep))


def count_nonzero(x: Tensor, /, *, axis: Axes | None = None, keepdims: bool = False) -> Tensor:
    """How many elements over axes (all where None) are not zero."""
    return sum(x != 0, axis=axis, keepdims=keepdims)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: dtype | None = None, include_initial: bool = False
) -> Tensor:
    """Running sums along an axis, which may be left out for one dimension. include_initial: the first one is 0."""
    return _running(td.cumsum, 0, x, axis, dtype, include_initial, "cumulative_sum")


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: dtype | None = None, include_initial: bool = False
) -> Tensor:
    """Running products along an axis, which may be left out for one dimension. include_initial: the first one is 1."""
    return _running(td.cumprod, 1, x, axis, dtype, include_initial, "cumulative_prod")


def _running(
    scan, first: int, x: Tensor, axis: int | None, dtype: dtype | None, initial: bool, function: str
) -> Tensor:
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"{function}(): axis is required for {x.ndim} dimensions")
        axis = 0
    axis = axis_of(axis, x.ndim, function)
    found = scan(x, axis, dtype=_sum_dtype(x, dtype))
    if not initial:
        return found
    shape = [1 if d == axis else n for d, n in enumerate(x.shape)]
    return td.cat([td.full(shape, first, dtype=found.dtype), found], dim=axis)


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """The n-th differences of neighbours along an axis, of x with `prepend` before and `append` after it."""
    if not n:
        return x
    parts = [t for t in (prepend, x, append) if t is not None]
    joined = td.cat(promoted(*parts), dim=axis) if len(parts) > 1 else x
    return td.diff(joined, n, axis)


__all__ = [
    "all",
    "any",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]
