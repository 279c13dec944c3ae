"""Multi-head attention."""

from __future__ import annotations

from typing import Any

import taeda
from taeda import Tensor

from . import functional as F
from . import init
from .layers import Linear
from .module import Module
from .parameter import Parameter


def as_float_mask(mask: Tensor | None, name: str, dtype: taeda.dtype) -> Tensor | None:
    """A bool mask (True = leave out) as an additive one of `dtype`; float masks pass."""
    if mask is None:
        return None
    if mask.dtype == taeda.bool:
        return taeda.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))
    if not mask.is_floating_point():
        raise RuntimeError(f"{name}: only bool and floating types of mask are supported, got {mask.dtype}")
    return mask.to(dtype)


class OutputProjection(Linear):
    """The output projection of attention; its bias starts at zero."""

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias is not None:
            init.constant_(self.bias, 0.0)

    def _get_name(self) -> str:
        return "NonDynamicallyQuantizableLinear"


class MultiheadAttention(Module):
    """Attention over several heads (Vaswani et al., 2017).

    Inputs are [L, N, E] (or [N, L, E] with batch_first, or [L, E]). Masks: `attn_mask` [L, S] or [N*heads, L, S] and
    `key_padding_mask` [N, S]; bool masks mark what is left out, float masks are added. Returns (output, weights or None).
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        if embed_dim % num_heads:
            raise AssertionError("embed_dim must be divisible by num_heads")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

        def new(*shape: int) -> Parameter:
            return Parameter(taeda.empty(shape, dtype=dtype, device=device))

        names = (
            "in_proj_weight",
            "q_proj_weight",
            "k_proj_weight",
            "v_proj_weight",
            "in_proj_bias",
            "bias_k",
            "bias_v",
        )
        if self._qkv_same_embed_dim:
            self.in_proj_weight: Parameter | None = new(3 * embed_dim, embed_dim)
        else:
            self.q_proj_weight: Parameter | None = new(embed_dim, embed_dim)
            self.k_proj_weight: Parameter | None = new(embed_dim, self.kdim)
            self.v_proj_weight: Parameter | None = new(embed_dim, self.vdim)
        if bias:
            self.in_proj_bias: Parameter | None = new(3 * embed_dim)
        self.out_proj = OutputProjection(embed_dim, embed_dim, bias=bias, device=device, dtype=dtype)
        if add_bias_kv:
            self.bias_k: Parameter | None = new(1, 1, embed_dim)
            self.bias_v: Parameter | None = new(1, 1, embed_dim)
        for name in names:
            if name not in self._parameters:
                self.register_parameter(name, None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        e = self.embed_dim
        if self.in_proj_weight is not None:
            if query is key and key is value:
                q, k, v = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
                return q, k, v
            weights = self.in_proj_weight.chunk(3, 0)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)  # type: ignore[assignment]
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.split(e)
        q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
        return q, k, v

    def _mask(
        self,
        attn_mask: Tensor | None,
        padding: Tensor | None,
        batch: int,
        added: int,
        is_causal: bool,
        dtype: taeda.dtype,
    ) -> Tensor | None:
        """One additive mask that broadcasts to [N, heads, L, S]."""
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        mask = as_float_mask(attn_mask, "attn_mask", dtype)
        if mask is not None:
            if mask.dim() == 3:
                mask = mask.view(batch, self.num_heads, mask.size(-2), mask.size(-1))
            elif mask.dim() != 2:
                raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
            if added:
                mask = F.pad(mask, (0, added))
        pad = as_float_mask(padding, "key_padding_mask", dtype)
        if pad is not None:
            if added:
                pad = F.pad(pad, (0, added))
            pad = pad.view(batch, 1, 1, pad.size(-1))
            mask = pad if mask is None else mask + pad
        return mask

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        if query.dim() not in (2, 3):
            raise AssertionError(
                f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor"
            )
        batched = query.dim() == 3
        if key.dim() != query.dim() or value.dim() != query.dim():
            raise AssertionError(
                f"For {'batched (3-D)' if batched else 'unbatched (2-D)'} `query`, expected `key` and `value` to be "
                f"{query.dim()}-D but found {key.dim()}-D and {value.dim()}-D tensors respectively"
            )
        if query.size(-1) != self.embed_dim:
            raise AssertionError(f"was expecting embedding dimension of {self.embed_dim}, but got {query.size(-1)}")
        if key.shape[:-1] != value.shape[:-1]:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        q, k, v = self._project(query, key, value)
        # from here on [N, L, E]
        if not batched:
            q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
        batch, length = q.size(0), q.size(1)
        if k.size(0) != batch:
            raise RuntimeError(
                f"expected key and value to have the batch size of query, {batch}, but got {k.size(0)} (query of shape "
                f"{list(query.shape)}, key of shape {list(key.shape)})"
            )
        added = 0
        if self.bias_k is not None and self.bias_v is not None:
            k = taeda.cat([k, self.bias_k.expand(batch, 1, self.embed_dim)], 1)
            v = taeda.cat([v, self.bias_v.expand(batch, 1, self.embed_dim)], 1)
            added += 1
        if self.add_zero_attn:
            zeros = taeda.zeros((batch, 1, self.embed_dim), dtype=k.dtype)
            k, v = taeda.cat([k, zeros], 1), taeda.cat([v, zeros], 1)
            added += 1
        mask = self._mask(attn_mask, key_padding_mask, batch, added, is_causal, q.dtype)
        heads = (self.num_heads, self.head_dim)
        q = q.view(batch, length, *heads).transpose(1, 2)
        k = k.view(batch, -1, *heads).transpose(1, 2)
        v = v.view(batch, -1, *heads).transpose(1, 2)
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = taeda.matmul(q * (self.head_dim**-0.5), k.transpose(-2, -1))
            weights = F.softmax(scores if mask is None else scores + mask, -1)
            dropped = F.dropout(weights, p) if p > 0 else weights
            output = taeda.matmul(dropped, v)
            if average_attn_weights:
                weights = weights.mean(1)
        else:
            output = F.scaled_dot_product_attention(q, k, v, mask, p)
        output = self.out_proj(output.transpose(1, 2).reshape(batch, length, self.embed_dim))
        if not batched:
            return output.squeeze(0), None if weights is None else weights.squeeze(0)
        return (output if self.batch_first else output.transpose(0, 1)), weights
