"""NumPy definitions that are longer than a line; entries of the operator table name them as `oracles.<name>`."""

from __future__ import annotations

import itertools

import numpy
import scipy.special

from .oracles_tensor import *  # noqa: F403


def reduced(element):
    def oracle(x, t, reduction="mean", **_):
        loss = element(x, t)
        return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss

    return oracle


def chebyshev(kind, x, n):
    """By the recurrence, element by element."""

    def one(x, n):
        p, q = 1.0, {"t": x, "u": 2 * x, "v": 2 * x - 1, "w": 2 * x + 1}[kind]
        for _ in range(max(int(n), 0)):
            p, q = q, 2 * x * q - p
        return p if n >= 0 else 0.0

    return numpy.vectorize(one, otypes=[float])(x, n)


# -- indexing ----------------------------------------------------------------------------------------------------------
def _places(index, dim):
    grid = list(numpy.indices(index.shape))
    grid[dim] = index
    return tuple(grid)


def scatter(x, dim, index, src):
    out = x.copy()
    grid = numpy.indices(index.shape)
    for at in itertools.product(*map(range, index.shape)):
        target = list(at)
        target[dim] = index[at]
        out[tuple(target)] = src if numpy.isscalar(src) else src[at]
    del grid
    return out


def scatter_add(x, dim, index, src):
    out = x.copy()
    numpy.add.at(out, _places(index, dim), src[tuple(slice(n) for n in index.shape)])
    return out


def _combined(ufunc):
    def oracle(x, dim, index, src):
        out = x.copy()
        ufunc.at(out, _places(index, dim), src[tuple(slice(n) for n in index.shape)])
        return out

    return oracle


scatter_mul, scatter_max, scatter_min = map(_combined, (numpy.multiply, numpy.maximum, numpy.minimum))


def scatter_reduce(x, dim, index, src, reduce, include_self=True):
    function = {"prod": numpy.prod, "amax": numpy.max, "amin": numpy.min, "sum": numpy.sum, "mean": numpy.mean}[reduce]
    found = {}
    for at in itertools.product(*map(range, index.shape)):
        target = list(at)
        target[dim] = index[at]
        found.setdefault(tuple(target), []).append(src[at])
    out = x.copy()
    for at, values in found.items():
        out[at] = function([x[at], *values] if include_self else values)
    return out


def index_copy(x, dim, index, source):
    out = x.copy()
    out[(slice(None),) * dim + (index,)] = source
    return out


def index_fill(x, dim, index, value):
    return index_copy(x, dim, index, value)


def index_add(x, dim, index, source, alpha=1):
    out = x.copy()
    numpy.add.at(out, (slice(None),) * dim + (index,), alpha * source)
    return out


def index_put(x, indices, values, accumulate=False):
    out = x.copy()
    if accumulate:
        numpy.add.at(out, tuple(indices), values)
    else:
        out[tuple(indices)] = values
    return out


def topk(x, k, dim=-1, largest=True):
    order = numpy.argsort(-x if largest else x, dim, kind="stable").take(range(k), dim)
    return numpy.take_along_axis(x, order, dim), order


def kthvalue(x, k, dim=-1):
    order = numpy.argsort(x, dim, kind="stable").take(k - 1, dim)
    return numpy.take_along_axis(x, numpy.expand_dims(order, dim), dim).squeeze(dim), order


def median(x, dim=None):
    if dim is None:
        return numpy.sort(x.reshape(-1))[(x.size - 1) // 2]
    return kthvalue(x, (x.shape[dim] + 1) // 2, dim)


# -- normalisation -----------------------------------------------------------------------------------------------------
def _standard(x, axes, eps):
    return (x - x.mean(axes, keepdims=True)) / numpy.sqrt(x.var(axes, keepdims=True) + eps)


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    y = _standard(x, tuple(range(-len(shape), 0)), eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x, shape, weight=None, eps=None):
    eps = numpy.finfo(x.dtype).eps if eps is None else eps
    y = x / numpy.sqrt((x * x).mean(tuple(range(-len(shape), 0)), keepdims=True) + eps)
    return y if weight is None else y * weight


def _per_channel(v, x):
    return v.reshape((1, -1) + (1,) * (x.ndim - 2))


def _affine(y, weight, bias):
    y = y if weight is None else y * _per_channel(weight, y)
    return y if bias is None else y + _per_channel(bias, y)


def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    parts = x.reshape(x.shape[0], groups, -1)
    return _affine(_standard(parts, -1, eps).reshape(x.shape), weight, bias)


def instance_norm(x, weight=None, bias=None):
    return group_norm(x, x.shape[1], weight, bias)


def batch_norm(x, mean, var, weight=None, bias=None, training=False, eps=1e-5):
    if mean is None:
        return _affine(_standard(x, (0, *range(2, x.ndim)), eps), weight, bias)
    return _affine((x - _per_channel(mean, x)) / numpy.sqrt(_per_channel(var, x) + eps), weight, bias)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    out = numpy.empty_like(x)
    for c in range(x.shape[1]):
        low, high = max(0, c - size // 2), min(x.shape[1], c + (size - 1) // 2 + 1)
        out[:, c] = x[:, c] / (k + alpha * (x[:, low:high] ** 2).sum(1) / size) ** beta
    return out


# -- losses ------------------------------------------------------------------------------------------------------------
def bce_logits(x, t, pos_weight=None):
    weight = 1 if pos_weight is None else pos_weight
    return (weight * t * numpy.logaddexp(0, -x) + (1 - t) * numpy.logaddexp(0, x)).mean()


def nll_loss(logs, target, weight=None, ignore_index=-100, reduction="mean"):
    x = logs if logs.ndim < 3 else numpy.moveaxis(logs, 1, -1)
    keep = target != ignore_index
    safe = numpy.where(keep, target, 0)
    w = numpy.ones(x.shape[-1]) if weight is None else weight
    w = numpy.where(keep, w[safe], 0)
    loss = -numpy.take_along_axis(x, safe[..., None], -1)[..., 0] * w
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.sum() / w.sum()


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    dim = 1 if x.ndim > 1 else 0
    logs = scipy.special.log_softmax(x, dim)
    if target.dtype.kind == "f":
        return -(logs * target).sum(dim).mean()
    hard = nll_loss(logs, target, weight, ignore_index, "none")
    moved = logs if x.ndim < 3 else numpy.moveaxis(logs, 1, -1)
    keep = target != ignore_index
    w = numpy.ones(moved.shape[-1]) if weight is None else weight
    smooth = numpy.where(keep, -(moved * w).sum(-1), 0) / moved.shape[-1]
    loss = (1 - label_smoothing) * hard + label_smoothing * smooth
    if reduction == "none":
        return loss
    return (
        loss.sum() if reduction == "sum" else loss.sum() / numpy.where(keep, w[numpy.where(keep, target, 0)], 0).sum()
    )


# -- convolution and pooling -------------------------------------------------------------------------------------------
def _several(v, n):
    return [v] * n if numpy.isscalar(v) else list(v)


def conv(n):
    def oracle(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
        batched = x.ndim == n + 2
        x = x if batched else x[None]
        stride, dilation, kernel = _several(stride, n), _several(dilation, n), w.shape[2:]
        if padding == "same":
            total = [d * (k - 1) for d, k in zip(dilation, kernel)]
            pads = [(t // 2, t - t // 2) for t in total]
        else:
            pads = [(p, p) for p in _several(padding, n)]
        x = numpy.pad(x, [(0, 0), (0, 0), *pads])
        out = [(s - d * (k - 1) - 1) // t + 1 for s, d, k, t in zip(x.shape[2:], dilation, kernel, stride)]
        y = numpy.zeros((x.shape[0], w.shape[0], *out), x.dtype)
        per_in, per_out = x.shape[1] // groups, w.shape[0] // groups
        for at in itertools.product(*map(range, kernel)):
            place = tuple(slice(i * d, i * d + t * (o - 1) + 1, t) for i, d, t, o in zip(at, dilation, stride, out))
            for g in range(groups):
                part = x[(slice(None), slice(g * per_in, (g + 1) * per_in), *place)]
                kernel_part = w[(slice(g * per_out, (g + 1) * per_out), slice(None), *at)]
                y[:, g * per_out : (g + 1) * per_out] += numpy.einsum("nc...,oc->no...", part, kernel_part)
        if b is not None:
            y += _per_channel(b, y)
        return y if batched else y[0]

    return oracle


def conv_transpose(n):
    def oracle(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        stride, dilation, kernel = _several(stride, n), _several(dilation, n), w.shape[2:]
        padding, extra = _several(padding, n), _several(output_padding, n)
        full = [
            (i - 1) * s + d * (k - 1) + 1 + e for i, s, d, k, e in zip(x.shape[2:], stride, dilation, kernel, extra)
        ]
        per_in, per_out = x.shape[1] // groups, w.shape[1]
        y = numpy.zeros((x.shape[0], per_out * groups, *full), x.dtype)
        for at in itertools.product(*map(range, kernel)):
            place = tuple(
                slice(i * d, i * d + s * (m - 1) + 1, s) for i, d, s, m in zip(at, dilation, stride, x.shape[2:])
            )
            for g in range(groups):
                part = numpy.einsum(
                    "nc...,co->no...",
                    x[:, g * per_in : (g + 1) * per_in],
                    w[(slice(g * per_in, (g + 1) * per_in), slice(None), *at)],
                )
                y[(slice(None), slice(g * per_out, (g + 1) * per_out), *place)] += part
        y = y[(slice(None), slice(None), *(slice(p, s - p) for p, s in zip(padding, full)))]
        return y if b is None else y + _per_channel(b, y)

    return oracle


def _pool_windows(x, kernel, stride, pads, fill, dilation=(1, 1)):
    n = len(kernel)
    x = numpy.pad(x, [(0, 0)] * (x.ndim - n) + pads, constant_values=fill)
    out = [(s - d * (k - 1) - 1) // t + 1 for s, k, t, d in zip(x.shape[-n:], kernel, stride, dilation)]
    views = (
        x[(..., *(slice(i * d, i * d + t * (o - 1) + 1, t) for i, d, t, o in zip(at, dilation, stride, out)))]
        for at in itertools.product(*map(range, kernel))
    )
    return numpy.stack(list(views))


def max_pool(n):
    def oracle(x, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
        kernel = _several(kernel, n)
        stride = _several(kernel if stride is None else stride, n)
        padding, dilation = _several(padding, n), _several(dilation, n)
        pads = []
        for s, k, t, p, d in zip(x.shape[-n:], kernel, stride, padding, dilation):
            reach = s + 2 * p - d * (k - 1) - 1
            out = -(-reach // t) + 1 if ceil_mode else reach // t + 1
            if ceil_mode and (out - 1) * t >= s + p:
                out -= 1
            pads.append((p, max(p, (out - 1) * t + d * (k - 1) + 1 - s - p)))
        return _pool_windows(x, kernel, stride, pads, -numpy.inf, dilation).max(0)

    return oracle


def lp_pool(n):
    def oracle(x, p, kernel, stride=None):
        kernel = _several(kernel, n)
        return _pool_windows(x**p, kernel, _several(kernel if stride is None else stride, n), [(0, 0)] * n, 0,
                             [1] * n).sum(0) ** (1 / p)  # fmt: skip

    return oracle


def avg_pool(n):
    def oracle(x, kernel, stride=None, padding=0, count_include_pad=True):
        kernel = _several(kernel, n)
        stride, padding = _several(kernel if stride is None else stride, n), _several(padding, n)
        pads = [(p, p) for p in padding]
        total = _pool_windows(x, kernel, stride, pads, 0, [1] * n).sum(0)
        if count_include_pad:
            return total / numpy.prod(kernel)
        return total / _pool_windows(numpy.ones_like(x), kernel, stride, pads, 0, [1] * n).sum(0)

    return oracle


def adaptive_pool(n, reduce):
    def oracle(x, size):
        for axis, out in zip(range(-n, 0), _several(size, n)):
            s = x.shape[axis]
            cuts = [(k * s // out, -(-(k + 1) * s // out)) for k in range(out)]
            x = numpy.concatenate([reduce(x.take(range(a, b), axis), axis, keepdims=True) for a, b in cuts], axis)
        return x

    return oracle


def pad(x, widths, mode="constant", value=None):
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    pairs = [(0, 0)] * (x.ndim - len(widths) // 2) + [
        (widths[2 * k], widths[2 * k + 1]) for k in reversed(range(len(widths) // 2))
    ]
    for axis, (a, b) in enumerate(pairs):
        x = x.take(range(max(-a, 0), x.shape[axis] - max(-b, 0)), axis)
    extra = {"constant_values": value or 0} if mode == "constant" else {}
    return numpy.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], mode=names[mode], **extra)


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None):
    n = x.ndim - 2
    sizes = _several(size, n) if size is not None else [int(s * scale_factor) for s in x.shape[2:]]
    for d, out in enumerate(sizes):
        s = x.shape[2 + d]
        scale = 1 / scale_factor if scale_factor else s / out
        if mode == "nearest":
            x = x.take(numpy.minimum((numpy.arange(out) * scale).astype(int), s - 1), 2 + d)
            continue
        at = (
            numpy.arange(out) * ((s - 1) / (out - 1))
            if align_corners
            else numpy.maximum((numpy.arange(out) + 0.5) * scale - 0.5, 0)
        )
        low = numpy.minimum(at.astype(int), s - 1)
        high = numpy.minimum(low + 1, s - 1)
        w = (at - low).reshape([-1] + [1] * (n - 1 - d))
        x = x.take(low, 2 + d) * (1 - w) + x.take(high, 2 + d) * w
    return x


def pixel_shuffle(x, r):
    n, c, h, w = x.shape
    return x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, h * r, w * r)


def unfold_columns(x, kernel, dilation=1, padding=0, stride=1):
    views = _pool_windows(x, kernel, _several(stride, 2), [(padding, padding)] * 2, 0)
    k, n, c, h, w = views.shape
    return views.transpose(1, 2, 0, 3, 4).reshape(n, c * k, h * w)


# -- attention ---------------------------------------------------------------------------------------------------------
def attention(q, k, v, attn_mask=None, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        k, v = (numpy.repeat(x, q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = numpy.tri(*scores.shape[-2:], dtype=bool)
    if attn_mask is not None:
        scores = numpy.where(attn_mask, scores, -numpy.inf) if attn_mask.dtype == bool else scores + attn_mask
    with numpy.errstate(invalid="ignore"):
        weights = numpy.nan_to_num(scipy.special.softmax(scores, -1))
    return weights @ v


def pixel_unshuffle(x, r):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, h // r, w // r)


def slice_scatter(x, src, dim, start, end, step=1):
    out = x.copy()
    out[(slice(None),) * dim + (slice(start, end, step),)] = src
    return out
