"""Scatter that combines what meets at one place: products, extremes, means."""

from __future__ import annotations

from .indexing import _grow, _twins
from .namespace import F
from .table import structured


def _fit(source, shape):
    return source if tuple(source.shape) == tuple(shape) else _grow(source, shape)


def _corner(src, index):
    """The part of src that the index covers."""
    for d, n in enumerate(index.shape):
        src = F.slice(src, d, 0, n, 1)
    return src


def _scatter_mul_gradient(g, input, dim, index, src):
    """Products of all the others: those of the nonzero factors, where no other factor is zero."""
    covered = _corner(src, index)
    rest = F._scatter_mul(_without_zeros(input), dim, index, _without_zeros(covered))
    zeros = F.scatter_add(F.cast(F.eq(input, 0), F.int64), dim, index, F.cast(F.eq(covered, 0), F.int64))

    def share(g, x, rest, zeros):
        others = F.sub(zeros, F.cast(F.eq(x, 0), F.int64))
        return g * F._where(F.eq(others, 0), rest / _without_zeros(x), 0)

    there = share(F.gather(g, dim, index), covered, F.gather(rest, dim, index), F.gather(zeros, dim, index))
    return share(g, input, rest, zeros), None, _fit(there, src.shape)


def _without_zeros(x):
    return F._where(F.eq(x, 0), 1, x)


def _scatter_extreme_gradient(g, input, dim, index, src, out):
    """Shared equally among all that reach the extreme."""
    covered = _corner(src, index)
    here = F.cast(F._same(input, out), g.dtype)
    there = F.cast(F._same(covered, F.gather(out, dim, index)), g.dtype)
    share = g / F.scatter_add(here, dim, index, there)
    return here * share, None, _fit(there * F.gather(share, dim, index), src.shape)


for _mode, _gradient in (
    ("mul", _scatter_mul_gradient),
    ("max", _scatter_extreme_gradient),
    ("min", _scatter_extreme_gradient),
):
    structured(
        f"_scatter_{_mode}",
        "scatter",
        "Tensor input, int dim, Tensor index, Tensor src",
        form="along",
        mode=_mode,
        grad=_gradient,
        inplace=True,
        method=False,
        function=False,
        samples=lambda t: [
            ((t(3, 5), 1, t.ints(3, 4, high=5), t(3, 4)), {}),
            ((t(3, 5), 0, t.ints(2, 5, high=3), t(4, 5)), {}),
        ],
        oracle=f"oracles.scatter_{_mode}",
    )

_OPS = {
    "sum": "scatter_add",
    "mean": "scatter_add",
    "prod": "_scatter_mul",
    "amax": "_scatter_max",
    "amin": "_scatter_min",
}


def _neutral(reduce, dtype):
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    low = reduce == "amax"
    if dtype is F.bool:
        return not low
    if dtype.is_floating_point:
        return float("-inf") if low else float("inf")
    return F.iinfo(dtype).min if low else F.iinfo(dtype).max


def _make_scatter_reduce(inplace):
    suffix = "_" * inplace

    def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
        if reduce not in _OPS:
            raise RuntimeError(
                f"scatter_reduce(): reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
            )
        if not include_self:  # places that the index meets start from what changes nothing
            start = F.full(index.shape, _neutral(reduce, input.dtype), dtype=input.dtype)
            input = getattr(F, "_scatter" + suffix)(input, dim, index, start)
        result = getattr(F, _OPS[reduce] + suffix)(input, dim, index, src)
        if reduce != "mean":
            return result
        count = F.full(input.shape, 1 if include_self else 0, dtype=F.int64)
        count = F.clamp_min(F.scatter_add(count, dim, index, F.ones(index.shape, dtype=F.int64)), 1)
        if input.is_floating_point() or input.is_complex():
            count = F.cast(count, input.dtype)
            return result.div_(count) if inplace else result / count
        count = F.cast(count, input.dtype)
        return result.floor_divide_(count) if inplace else F.floor_divide(result, count)

    return scatter_reduce


_twins(
    "scatter_reduce",
    "src combined with input at index along one dimension: sum, prod, mean, amax or amin.",
    _make_scatter_reduce,
    oracle="oracles.scatter_reduce",
    samples=lambda t: [
        ((t(3, 5), 1, t.ints(3, 4, high=5), t(3, 4), reduce), {"include_self": own})
        for reduce in _OPS
        for own in (True, False)
    ],
)
