"""Margin losses over several classes or labels."""

from __future__ import annotations

from .loss import _mode, _reduced
from .namespace import F
from .table import composite


def _samples_and_classes(op, input):
    """A vector or matrix, as a matrix [N, C]; only N may be 0."""
    if input.dim() > 2 or (input.dim() and input.shape[-1] == 0):
        raise RuntimeError(
            f"{op}(): expected a non-empty vector or matrix with optional 0-dim batch size, got {list(input.shape)}"
        )
    return input if input.dim() == 2 else F.reshape(input, (1, -1))


@composite(nn=True, function=False)
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    """Sum over the other classes of max(0, margin - input[target] + input[class])**p, times the target's weight, over
    the number of classes; reduced. input: [N, C] or [C]."""
    mode = _mode(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss(): only p == 1 and p == 2 are supported, got {p}")
    x = _samples_and_classes("multi_margin_loss", input)
    n, classes = x.shape
    if target.dtype is not F.int64:
        raise RuntimeError(f"multi_margin_loss(): expected target of dtype int64, got {target.dtype}")
    if target.dim() > 1 or target.numel() != n:
        raise RuntimeError(f"multi_margin_loss(): expected target of shape [{n}], got {list(target.shape)}")
    if weight is not None:
        if weight.dim() > 1 or weight.numel() != classes:
            raise RuntimeError(f"multi_margin_loss(): expected weight of shape [{classes}], got {list(weight.shape)}")
        if weight.dtype is not x.dtype:
            raise RuntimeError(f"multi_margin_loss(): expected weight of dtype {x.dtype}, got {weight.dtype}")
    place = F.reshape(target, (n, 1))
    below = F.relu(margin - F.gather(x, 1, place) + x)
    below = below if p == 1 else below * below
    if weight is not None:
        below = below * F.reshape(F.index_select(F.reshape(weight, (-1,)), 0, F.reshape(place, (-1,))), (n, 1))
    loss = F.sum(F._where(F.eq(F.arange(classes), place), 0, below), 1) / classes
    loss = loss if input.dim() == 2 or target.dim() else F.squeeze(loss, 0)
    return _reduced(loss, mode)


@composite(nn=True, function=False)
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """Sum over pairs of a target label and another class of max(0, 1 - (input[label] - input[class])), over the number
    of classes; reduced. A row of target [N, C] or [C] lists labels up to its first -1."""
    op, mode = "multilabel_margin_loss", _mode(reduction, size_average, reduce)
    x = _samples_and_classes(op, input)
    if tuple(target.shape) != tuple(input.shape) and not (input.dim() < 2 and target.numel() == input.numel()):
        raise RuntimeError(
            f"{op}(): expected target of the input's shape {list(input.shape)}, got {list(target.shape)}"
        )
    if target.dtype is not F.int64:
        raise RuntimeError(f"{op}(): expected target of dtype int64, got {target.dtype}")
    labels = F.reshape(target, x.shape)
    classes = x.shape[1]
    if labels.numel() and F.values_known():
        low, high = int(F.amin(labels).item()), int(F.amax(labels).item())
        if low < -1 or high >= classes:
            raise RuntimeError(f"{op}(): target must be from -1 to {classes - 1}, got {low if low < -1 else high}")
    listed = F.eq(F.cumsum(F.cast(F.lt(labels, 0), F.int64), 1), 0)
    safe = F._where(listed, labels, 0)
    is_label = F.gt(F.scatter_add(F.zeros(labels.shape, dtype=F.int64), 1, safe, F.cast(listed, F.int64)), 0)
    below = F.relu(1 - F.unsqueeze(F.gather(x, 1, safe), 2) + F.unsqueeze(x, 1))
    counts = F.logical_and(F.unsqueeze(listed, 2), F.unsqueeze(F.logical_not(is_label), 1))
    loss = F.sum(F._where(counts, below, 0), (1, 2)) / classes
    return _reduced(loss if input.dim() == 2 else F.squeeze(loss, 0), mode)


@composite(nn=True, function=False)
def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """Cross entropy of every class for itself against targets in [0, 1], averaged over the last dimension; reduced."""
    mode = _mode(reduction, size_average, reduce)
    loss = -(target * F.logsigmoid(input) + (1 - target) * F.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduced(F.sum(loss, input.dim() - 1) / input.shape[-1], mode)


@composite(nn=True, function=False)
def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with a distance of the caller's (pairwise_distance);
    swap takes the smaller of the negative's distances to anchor and positive. Reduced."""
    op, mode = "triplet_margin_with_distance_loss", _mode(reduction, None, None)
    if margin <= 0:
        raise ValueError(f"{op}(): margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"{op}(): expected anchor, positive and negative to have the same number of dimensions, got {anchor.dim()}, "
            f"{positive.dim()} and {negative.dim()}"
        )
    distance = F.pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = F.minimum(far, distance(positive, negative))
    return _reduced(F.clamp_min(near - far + margin, 0), mode)
