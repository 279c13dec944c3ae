"""Multi-head attention (Vaswani et al., 2017) as a function of its weights."""

from __future__ import annotations

import math

from .namespace import F
from .table import composite


def as_float_mask(mask, name, dtype):
    """A bool mask (True = leave out) as an additive one of `dtype`; float masks pass."""
    if mask is None:
        return None
    if mask.dtype is F.bool:
        return F.masked_fill(F.zeros_like(mask, dtype=dtype), mask, -math.inf)
    if not mask.is_floating_point():
        raise RuntimeError(f"{name}: only bool and floating types of mask are supported, got {mask.dtype}")
    return F.cast(mask, dtype)


def _whole_mask(attn_mask, padding, shape, added, dtype):
    """One additive mask that broadcasts to `shape`, [N, heads, L, S]; the `added` last keys are open to all."""
    batch, heads, length, keys = shape
    mask = as_float_mask(attn_mask, "attn_mask", dtype)
    if mask is not None:
        if mask.dim() not in (2, 3):
            raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
        expected = [length, keys - added] if mask.dim() == 2 else [batch * heads, length, keys - added]
        if list(mask.shape) != expected:
            raise RuntimeError(
                f"The shape of the {mask.dim()}D attn_mask is {list(mask.shape)}, but should be {expected}"
            )
        mask = mask if mask.dim() == 2 else F.reshape(mask, (batch, heads, length, keys - added))
        mask = F.pad(mask, (0, added)) if added else mask
    pad = as_float_mask(padding, "key_padding_mask", dtype)
    if pad is not None:
        if list(pad.shape) != [batch, keys - added]:
            raise AssertionError(
                f"expecting key_padding_mask shape of {[batch, keys - added]}, but got {list(pad.shape)}"
            )
        pad = F.reshape(F.pad(pad, (0, added)) if added else pad, (batch, 1, 1, keys))
        mask = pad if mask is None else mask + pad
    return mask


def attend(
    q, k, v, num_heads, bias_k, bias_v, add_zero_attn, dropout_p, key_padding_mask, attn_mask, need_weights, average,
    is_causal=False,
):  # fmt: skip
    """Attention of projected [N, L, E] queries over keys and values: (output [N, L, E], weights [N, L, S] or [N, heads,
    L, S], or None)."""
    batch, length, width = q.shape
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    added = 0
    if bias_k is not None and bias_v is not None:
        k = F.cat([k, F.expand(bias_k, (batch, 1, width))], 1)
        v = F.cat([v, F.expand(bias_v, (batch, 1, width))], 1)
        added += 1
    if add_zero_attn:
        zeros = F.zeros((batch, 1, width), dtype=k.dtype)
        k, v = F.cat([k, zeros], 1), F.cat([v, zeros], 1)
        added += 1
    depth = width // num_heads

    def split(x):
        return F.transpose(F.reshape(x, (batch, x.shape[1], num_heads, depth)), 1, 2)

    mask = _whole_mask(attn_mask, key_padding_mask, (batch, num_heads, length, k.shape[1]), added, q.dtype)
    q, k, v = split(q), split(k), split(v)
    weights = None
    if need_weights:
        scores = F.matmul(q * (depth**-0.5), F.transpose(k, -2, -1))
        weights = F.softmax(scores if mask is None else scores + mask, -1)
        output = F.matmul(F.dropout(weights, dropout_p, True) if dropout_p > 0 else weights, v)
        weights = F.mean(weights, 1) if average else weights
    else:
        output = F.scaled_dot_product_attention(q, k, v, mask, dropout_p)
    return F.reshape(F.transpose(output, 1, 2), (batch, length, width)), weights


def check_inputs(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Raises unless the numbers of dimensions fit; True for batched inputs."""
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor"
        )
    batched = query.dim() == 3
    kind = "batched (3-D)" if batched else "unbatched (2-D)"
    if key.dim() != query.dim() or value.dim() != query.dim():
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {query.dim()}-D but found {key.dim()}-D and "
            f"{value.dim()}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != query.dim() - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be None or {query.dim() - 1}-D but found "
            f"{key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None and attn_mask.dim() not in (2, 3):
        raise AssertionError(
            f"expected `attn_mask` to be None, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None and not batched and attn_mask.dim() == 3:
        expected = [num_heads, query.shape[0], key.shape[0]]
        if list(attn_mask.shape) != expected:
            raise AssertionError(f"expected `attn_mask` shape to be {expected} but got {list(attn_mask.shape)}")
    return batched


def project(query, key, value, weights, bias):
    """The three projections: `weights` is one [3E, E] tensor or three."""
    if isinstance(weights, F.Tensor):
        if query is key and key is value:
            return F.chunk(F.linear(query, weights, bias), 3, -1)
        weights = F.chunk(weights, 3, 0)
    biases = (None,) * 3 if bias is None else F.chunk(bias, 3, 0)
    return tuple(F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))


def _static(x, name, batch, num_heads, depth):
    """Keys or values given already projected, [N * heads, S, E / heads], as [N, S, E]."""
    if x.shape[0] != batch * num_heads or x.shape[2] != depth:
        raise AssertionError(f"expecting {name} of shape [{batch * num_heads}, S, {depth}], but got {list(x.shape)}")
    x = F.transpose(F.reshape(x, (batch, num_heads, x.shape[1], depth)), 1, 2)
    return F.reshape(x, (batch, x.shape[1], num_heads * depth))


@composite(nn=True, function=False)
def multi_head_attention_forward(
    query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn,
    dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
    use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, static_k=None,
    static_v=None, average_attn_weights=True, is_causal=False
):  # fmt: skip
    """Attention over `num_heads` heads: (output, weights or None).

    query [L, N, E], key and value [S, N, E] (or without N). Bool masks mark what is left out, float masks are added:
    attn_mask [L, S] or [N * heads, L, S], key_padding_mask [N, S]. The projections are rows of in_proj_weight [3E, E] or
    come one by one; bias_k and bias_v [1, 1, E] add a key and value, add_zero_attn ones of zeros; static_k and static_v
    [N * heads, S, E / heads] stand for projected keys and values. Weights are [N, L, S], or [N, heads, L, S] unless
    averaged.
    """
    batched = check_inputs(query, key, value, key_padding_mask, attn_mask, num_heads)
    width = query.shape[-1]
    if width != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    if width % num_heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    same = key.shape[:-1] == value.shape[:-1] if use_separate_proj_weight else key.shape == value.shape
    if not same:
        raise AssertionError(f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}")
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight
    for w, name in zip(
        weights if use_separate_proj_weight else (weights,), ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    ):
        if w is None:
            missing = name if use_separate_proj_weight else "in_proj_weight"
            raise AssertionError(f"use_separate_proj_weight is {use_separate_proj_weight} but {missing} is None")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k and bias_v must be both given or both None")
    if bias_k is not None and not (static_k is None and static_v is None):
        raise AssertionError("bias cannot be added to static key or value.")
    parts = project(query, key, value, weights, in_proj_bias)
    q, k, v = (F.transpose(x, 0, 1) if batched else F.unsqueeze(x, 0) for x in parts)
    batch, depth = q.shape[0], width // num_heads
    if not batched and key_padding_mask is not None:
        key_padding_mask = F.unsqueeze(key_padding_mask, 0)
    k = k if static_k is None else _static(static_k, "static_k", batch, num_heads, depth)
    v = v if static_v is None else _static(static_v, "static_v", batch, num_heads, depth)
    output, shares = attend(
        q, k, v, num_heads, bias_k, bias_v, add_zero_attn, dropout_p if training else 0.0, key_padding_mask, attn_mask,
        need_weights, average_attn_weights, is_causal,
    )  # fmt: skip
    output = F.linear(output, out_proj_weight, out_proj_bias)
    if not batched:
        return F.squeeze(output, 0), None if shares is None else F.squeeze(shares, 0)
    return F.transpose(output, 0, 1), shares
