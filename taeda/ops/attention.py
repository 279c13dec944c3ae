"""Attention, embedding and one-hot vectors."""

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


def _rows_by_frequency_gradient(g, weight_shape, index):
    count = F.index_add(F.zeros(weight_shape[:1], dtype=g.dtype), 0, index, F.ones(index.shape, dtype=g.dtype))
    g = g / F.unsqueeze(F.index_select(count, 0, index), -1)
    return F.index_add(F.zeros(weight_shape, dtype=g.dtype), 0, index, g), None


@composite(
    grad=_rows_by_frequency_gradient,
    params="Tensor weight, Tensor index",
    function=False,
    samples=lambda t: [((t(5, 4), t.ints(6, high=5)), {})],
    opcheck=False,
    oracle="lambda w, i: w[i]",
)
def _rows_by_frequency(weight, index):
    """Rows of weight, whose gradient is divided by how often each was read."""
    return F.index_select(weight, 0, index)


@composite(
    nn=True,
    function=True,
    samples=lambda t: [((t.ints(2, 3, high=5), t(5, 4)), {})],
    oracle="lambda i, w, padding_idx=None: w[i]",
)
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """Rows of weight by index. The row padding_idx gets no gradient; with scale_grad_by_freq, a row's is divided by how
    often it was read. `sparse` asks for a sparse gradient, which does not exist here."""
    if input.dtype is not F.int64 and input.dtype is not F.int32:
        raise RuntimeError(f"embedding(): expected input of dtype int64 or int32, but got {input.dtype}")
    if weight.dim() != 2:
        raise RuntimeError(f"embedding(): 'weight' must be 2-D, got {weight.dim()}-D")
    if sparse:
        raise RuntimeError("embedding(): sparse gradients are not supported; leave sparse=False")
    if max_norm is not None:
        with F.no_grad():
            norms = F.norm(weight, norm_type, -1, True)
            used = F.index_fill(F.zeros((weight.shape[0],), dtype=F.bool), 0, F.reshape(input, (-1,)), True)
            weight.copy_(
                F._where(
                    F.logical_and(F.unsqueeze(used, 1), F.gt(norms, max_norm)),
                    weight * (max_norm / (norms + 1e-7)),
                    weight,
                )
            )
    if padding_idx is not None:
        count = weight.shape[0]
        if not -count <= padding_idx < count:
            raise AssertionError(f"Padding_idx must be within num_embeddings, got {padding_idx} for {count}")
    flat = input if input.dim() == 1 else F.reshape(input, (-1,))
    rows = F._rows_by_frequency(weight, flat) if scale_grad_by_freq else F.index_select(weight, 0, flat)
    if input.dim() != 1:
        rows = F.reshape(rows, [*input.shape, weight.shape[1]])
    if padding_idx is not None and weight.requires_grad:
        return F._where(F.unsqueeze(F.eq(input, padding_idx % count), -1), rows.detach(), rows)
    return rows


@composite(
    nn=True,
    function=False,
    opcheck=False,
    samples=lambda t: [((t.ints(4, high=5), 5), {}), ((t.ints(2, 3, high=3),), {})],
    oracle="lambda x, n=-1: numpy.eye(x.max() + 1 if n == -1 else n, dtype=int)[x]",
)
def one_hot(tensor, num_classes=-1):
    """Ones at the classes, zeros elsewhere, along a new last dimension."""
    if tensor.dtype is not F.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type int64, got {tensor.dtype}")
    if tensor.numel():
        if int(F.amin(tensor).item()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        top = int(F.amax(tensor).item())
        if num_classes == -1:
            num_classes = top + 1
        elif top >= num_classes:
            raise RuntimeError(
                f"Class values must be smaller than num_classes, got {top} with num_classes={num_classes}"
            )
    elif num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    return F.cast(F.eq(F.unsqueeze(tensor, -1), F.arange(num_classes)), F.int64)
