"""Attention."""

from __future__ import annotations

import math

from .expr import reduce
from .namespace import F
from .scalar import exp, select
from .table import composite, rows_op


# Scores to weights in one kernel. A row with nothing to attend to gives zeros.
def _weights(s):
    peak = reduce("max", s)
    empty = peak.eq(-math.inf)
    e = exp(s - select(empty, 0, peak))
    return select(empty, 0, e / reduce("sum", e))


rows_op(
    "_attend",
    lambda x, scale: _weights(x * scale),
    "Tensor input, Number scale",
    types="Tp->T",
    grad=lambda g, out, scale: F._softmax_grad(g, out, scale),
)
rows_op(
    "_attend_masked",
    lambda x, mask, scale: _weights(select(mask, x * scale, -math.inf)),
    "Tensor input, Tensor mask, Number scale",
    types="Tbp->T",
    grad=lambda g, out, scale: (F._softmax_grad(g, out, scale), None),
)


def _attend_biased_gradient(g, out, scale, bias_shape, wanted):
    slope = F._softmax_grad(g, out, 1.0)
    return slope * scale if wanted[0] else None, F.sum_to_size(slope, bias_shape) if wanted[1] else None


rows_op(
    "_attend_biased",
    lambda x, bias, scale: _weights(x * scale + bias),
    "Tensor input, Tensor bias, Number scale",
    types="TTp->T",
    grad=_attend_biased_gradient,
)


def _attention_samples(t):
    q, k, v = t(2, 3, 4, 8), t(2, 3, 5, 8), t(2, 3, 5, 6)
    return [
        ((q, k, v), {}),
        ((q, k, v), {"is_causal": True}),
        ((q, k, v), {"attn_mask": t.bools(4, 5)}),
        ((q, k, v), {"attn_mask": t(2, 1, 4, 5), "scale": 0.5}),
        ((t(4, 8), t(5, 8), t(5, 8)), {}),
        ((t(2, 4, 3, 8), t(2, 2, 5, 8), t(2, 2, 5, 6)), {"enable_gqa": True}),
    ]


@composite(nn=True, function=False, samples=_attention_samples, oracle="oracles.attention")
def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """softmax(query @ key.T * scale + mask) @ value. A bool mask keeps where True; is_causal keeps key j <= query i, of
    what a mask keeps where both are given."""
    op = "scaled_dot_product_attention"
    if query.dim() < 2 or key.dim() < 2 or value.dim() < 2:
        raise RuntimeError(
            f"{op}(): query, key and value must be at least 2 dimensional, got {query.dim()}, {key.dim()} and "
            f"{value.dim()}"
        )
    if not (query.dtype is key.dtype is value.dtype):
        raise RuntimeError(
            f"{op}(): expected query, key and value to have the same dtype, but got {query.dtype}, {key.dtype} and "
            f"{value.dtype}"
        )
    if enable_gqa and query.shape[-3] != key.shape[-3]:
        heads = query.shape[-3]
        if heads % key.shape[-3] or heads % value.shape[-3]:
            raise RuntimeError(
                f"{op}(): the number of query heads ({heads}) must be a multiple of that of key ({key.shape[-3]}) "
                f"and value ({value.shape[-3]})"
            )
        key = F.repeat_interleave(key, heads // key.shape[-3], -3)
        value = F.repeat_interleave(value, heads // value.shape[-3], -3)
    if scale is None:
        scale = query.shape[-1] ** -0.5
    scores = F.matmul(query, F.transpose(key, -2, -1))
    if is_causal:
        rows, columns = scores.shape[-2], scores.shape[-1]
        causal = F._band((rows, columns), columns, 0, dtype=F.bool)
        if attn_mask is None:
            attn_mask = causal
        elif attn_mask.dtype is F.bool:
            attn_mask = F.logical_and(attn_mask, causal)
        else:
            attn_mask = F._where(causal, attn_mask, -math.inf)
    if attn_mask is None:
        weights = F._attend(scores, scale)
    elif attn_mask.dtype is F.bool:
        weights = F._attend_masked(scores, attn_mask, scale)
    elif attn_mask.dtype is scores.dtype:
        weights = F._attend_biased(scores, attn_mask, scale)
    else:
        raise RuntimeError(
            f"{op}(): expected attn_mask dtype to be bool or to match query dtype, but got {attn_mask.dtype} and "
            f"{query.dtype}"
        )
    if dropout_p > 0:
        weights = F.dropout(weights, dropout_p, True)
    return F.matmul(weights, value)
