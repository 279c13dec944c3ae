"""Normalisations as functions of the package itself: the parameters come before the statistics, and a flag says whether a
library of another device may be used (there is none)."""

from __future__ import annotations

from .namespace import F, Tensor
from .table import composite


@composite()
def layer_norm(
    input,
    normalized_shape,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable=True,
):
    """Zero mean and unit variance over the last dimensions, then times weight plus bias."""
    return F._nn_layer_norm(input, normalized_shape, weight, bias, eps)


@composite()
def group_norm(
    input, num_groups, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5, cudnn_enabled=True
):
    """Normalised over groups of channels and all positions."""
    return F._nn_group_norm(input, num_groups, weight, bias, eps)


@composite()
def batch_norm(
    input,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
):
    """Normalised per channel over the batch and all positions; while training the running statistics follow."""
    return F._nn_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@composite()
def instance_norm(
    input,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
):
    """Normalised over the positions of each channel of each sample."""
    return F._nn_instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
