"""Normalisations and dropout in the form that also gives their statistics or mask."""

from __future__ import annotations

from .helpers import tensor_argument
from .namespace import F
from .random import _counters
from .table import composite


def _moments(x, dims, eps, keepdim):
    """(mean, 1 / standard deviation), for information: no gradient passes."""
    x = x.detach()
    variance, mean = F.var_mean(x, dims, correction=0, keepdim=keepdim)
    return mean, F.rsqrt(variance + eps)


@composite()
def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """layer_norm(): (output, mean, reciprocal of the standard deviation)."""
    tensor_argument("native_layer_norm", "input", input)
    out = F.layer_norm(input, list(normalized_shape), weight, bias, eps)
    dims = list(range(input.dim() - len(normalized_shape), input.dim()))
    return out, *_moments(input, dims, eps, True)


@composite()
def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """group_norm() of N samples of C channels of HxW elements: (output, mean, reciprocal of the standard deviation),
    the latter [N, group].
    """
    tensor_argument("native_group_norm", "input", input)
    if N * C * HxW != input.numel():
        raise RuntimeError(f"native_group_norm(): N * C * HxW must be {input.numel()}, got {N} * {C} * {HxW}")
    if group <= 0 or C % group:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got {C} channels and "
            f"num_groups={group}"
        )
    out = F.reshape(F.group_norm(F.reshape(input, (N, C, HxW)), group, weight, bias, eps), input.shape)
    return out, *_moments(F.reshape(input, (N, group, C // group * HxW)), [2], eps, False)


@composite()
def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """batch_norm(): (output, mean, reciprocal of the standard deviation) of this batch; empty ones unless training."""
    tensor_argument("native_batch_norm", "input", input)
    out = F._nn_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return out, F.zeros((0,), dtype=input.dtype), F.zeros((0,), dtype=input.dtype)
    return out, *_moments(input, [d for d in range(input.dim()) if d != 1], eps, False)


@composite()
def native_dropout(input, p, train):
    """dropout(): (output, mask of what is kept)."""
    tensor_argument("native_dropout", "input", input)
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")
    if train is False or p == 0:
        return F.clone(input), F.ones(input.shape, dtype=F.bool)
    if p == 1:
        return input * 0, F.zeros(input.shape, dtype=F.bool)
    seed, offset = _counters(input.shape)
    mask = F._dropout(F.ones(input.shape, dtype=F.float32), seed, offset, p, 1.0)
    return F._dropout(input, seed, offset, p, 1 / (1 - p)), F.ne(mask, 0)
