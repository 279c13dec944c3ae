"""Losses as functions of the package itself, where the reduction is a number: 0 none (which is what they take by
default), 1 mean, 2 sum."""

from __future__ import annotations

from .ctc import _loss
from .namespace import F, Tensor
from .table import composite


def _named(reduction):
    return {1: "mean", 2: "sum"}.get(reduction, "none")


@composite()
def ctc_loss(
    log_probs: Tensor, targets: Tensor, input_lengths, target_lengths, blank=0, reduction: int = 0, zero_infinity=False
):
    """nn.functional.ctc_loss() with a numbered reduction."""
    mode = _named(reduction)
    return _loss(log_probs, targets, input_lengths, target_lengths, blank, mode, zero_infinity)


@composite()
def binary_cross_entropy_with_logits(
    input, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 0
):
    """nn.functional.binary_cross_entropy_with_logits() with a numbered reduction."""
    return F._nn_binary_cross_entropy_with_logits(
        input, target, weight, reduction=_named(reduction), pos_weight=pos_weight
    )


@composite()
def kl_div(input, target: Tensor, reduction: int = 0, *, log_target=False):
    """nn.functional.kl_div() with a numbered reduction."""
    return F._nn_kl_div(input, target, reduction=_named(reduction), log_target=log_target)


@composite()
def poisson_nll_loss(input, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int):
    """nn.functional.poisson_nll_loss() with a numbered reduction."""
    return F._nn_poisson_nll_loss(input, target, log_input, full, None, eps, None, _named(reduction))


@composite()
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin=0.0, reduction: int = 0):
    """nn.functional.margin_ranking_loss() with a numbered reduction."""
    return F._nn_margin_ranking_loss(input1, input2, target, margin, reduction=_named(reduction))


@composite()
def hinge_embedding_loss(input, target: Tensor, margin=1.0, reduction: int = 0):
    """nn.functional.hinge_embedding_loss() with a numbered reduction."""
    return F._nn_hinge_embedding_loss(input, target, margin, reduction=_named(reduction))


@composite()
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin=0.0, reduction: int = 0):
    """nn.functional.cosine_embedding_loss() with a numbered reduction."""
    return F._nn_cosine_embedding_loss(input1, input2, target, margin, reduction=_named(reduction))


@composite()
def triplet_margin_loss(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction: int = 0
):
    """nn.functional.triplet_margin_loss() with a numbered reduction."""
    return F._nn_triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_named(reduction))
