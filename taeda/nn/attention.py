"""Multi-head attention."""

from __future__ import annotations

from typing import Any

import taeda
from taeda import Tensor

from ..ops.multihead import as_float_mask as as_float_mask
from ..ops.multihead import attend, check_inputs, project
from . import init
from .layers import Linear
from .module import Module
from .parameter import Parameter


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

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        batched = check_inputs(query, key, value, key_padding_mask, attn_mask, self.num_heads)
        if query.size(-1) != self.embed_dim:
            raise AssertionError(f"was expecting embedding dimension of {self.embed_dim}, but got {query.size(-1)}")
        if key.shape[:-1] != value.shape[:-1]:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        weights: Any = self.in_proj_weight
        if weights is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        q, k, v = project(query, key, value, weights, self.in_proj_bias)
        # from here on [N, L, E]
        if not batched:
            q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
            if key_padding_mask is not None:
                key_padding_mask = key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
        batch = q.size(0)
        if k.size(0) != batch:
            raise RuntimeError(
                f"expected key and value to have the batch size of query, {batch}, but got {k.size(0)} (query of shape "
                f"{list(query.shape)}, key of shape {list(key.shape)})"
            )
        output, shares = attend(
            q, k, v, self.num_heads, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout if self.training else 0.0,
            key_padding_mask, attn_mask, need_weights, average_attn_weights, is_causal,
        )  # fmt: skip
        output = self.out_proj(output)
        if not batched:
            return output.squeeze(0), None if shares is None else shares.squeeze(0)
        return (output if self.batch_first else output.transpose(0, 1)), shares
