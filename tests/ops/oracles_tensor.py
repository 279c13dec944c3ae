"""NumPy definitions of order statistics, sets, segments and the like."""

from __future__ import annotations

import itertools

import numpy


def running(extreme, x, dim):
    values = extreme.accumulate(x, dim)
    moved, found = numpy.moveaxis(x, dim, 0), numpy.moveaxis(values, dim, 0)
    indices = numpy.zeros(moved.shape, numpy.int64)
    for k in range(len(moved)):
        indices[k] = numpy.where(moved[k] == found[k], k, indices[k - 1] if k else 0)
    return values, numpy.moveaxis(indices, 0, dim)


def mode(x, dim=-1, keepdim=False):
    values, places = numpy.empty(0), []
    rows = numpy.moveaxis(x, dim, -1)
    for at in numpy.ndindex(*rows.shape[:-1]):
        found, counts = numpy.unique(rows[at], return_counts=True)
        places.append(numpy.flatnonzero(rows[at] == found[counts.argmax()])[-1])
    index = numpy.reshape(places, rows.shape[:-1])
    values = numpy.take_along_axis(rows, index[..., None], -1)[..., 0]
    return tuple(numpy.expand_dims(r, dim) if keepdim else r for r in (values, index))


def unique_consecutive(x, return_inverse=False, return_counts=False, dim=None):
    rows = x.reshape(-1, 1) if dim is None else numpy.moveaxis(x, dim, 0).reshape(x.shape[dim], -1)
    fresh = numpy.concatenate([[True], (rows[1:] != rows[:-1]).any(1)])
    places = numpy.flatnonzero(fresh)
    found = x.reshape(-1)[places] if dim is None else x.take(places, dim)
    counts = numpy.diff([*places, len(rows)])
    return (found, counts) if return_counts else found


def unravel_index(indices, shape):
    return numpy.unravel_index(indices, shape)


def histogramdd(x, bins):
    hist, edges = numpy.histogramdd(x, bins)
    return hist, tuple(edges)


def gradient(x, spacing=1, dim=None, edge_order=1):
    spacing = spacing if isinstance(spacing, list) else [spacing]
    found = numpy.gradient(x, *spacing, axis=dim, edge_order=edge_order)
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)


def as_strided_scatter(x, src, size, stride, offset=0):
    out = x.copy()
    numpy.lib.stride_tricks.as_strided(out.reshape(-1)[offset:], size, [8 * s for s in stride])[...] = src
    return out


def combinations(x, r=2, with_replacement=False):
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return numpy.array(list(choose(x, r))).reshape(-1, r)


def norm_except_dim(x, p=2, dim=0):
    if dim == -1:
        return (abs(x) ** p).sum() ** (1 / p)
    return (abs(x) ** p).sum(tuple(d for d in range(x.ndim) if d != dim), keepdims=True) ** (1 / p)


def constant_pad(x, pad, value=0):
    widths = [(0, 0)] * (x.ndim - len(pad) // 2) + [pad[k : k + 2] for k in range(len(pad) - 2, -1, -2)]
    for d, (before, after) in enumerate(widths):
        x = x.take(range(max(-before, 0), x.shape[d] - max(-after, 0)), d)
    return numpy.pad(x, [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value)


_REDUCE = {"prod": numpy.prod, "amax": numpy.max, "amin": numpy.min, "sum": numpy.sum, "mean": numpy.mean}


def index_reduce(x, dim, index, source, reduce, include_self=True):
    out = numpy.moveaxis(x.copy(), dim, 0)
    rows = numpy.moveaxis(source, dim, 0)
    for place in set(index.tolist()):
        met = list(rows[index == place])
        out[place] = _REDUCE[reduce]([out[place], *met] if include_self else met, axis=0)
    return numpy.moveaxis(out, 0, dim)


def put(x, index, source, accumulate=False):
    out = x.copy().reshape(-1)
    if accumulate:
        numpy.add.at(out, index.reshape(-1), source.reshape(-1))
    else:
        out[index.reshape(-1)] = source.reshape(-1)
    return out.reshape(x.shape)


def nonzero_static(x, size, fill_value=-1):
    found = numpy.argwhere(x)[:size]
    return numpy.concatenate([found, numpy.full((size - len(found), x.ndim), fill_value)])


def segment_reduce(data, reduce, lengths, axis=0):
    if axis:
        return numpy.stack([segment_reduce(d, reduce, n) for d, n in zip(data, lengths)])
    ends = numpy.cumsum(lengths)
    function = getattr(numpy, reduce)
    return numpy.stack([function(data[a:b], axis=0) for a, b in zip([0, *ends], ends)])


def renorm(x, p, dim, maxnorm):
    axes = tuple(d for d in range(x.ndim) if d != dim % x.ndim)
    norm = (abs(x) ** p).sum(axes, keepdims=True) ** (1 / p)
    return x * numpy.where(norm > maxnorm, maxnorm / (norm + 1e-7), 1)
