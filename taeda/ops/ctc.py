"""Connectionist temporal classification (Graves et al., 2006).

The states of a target of length S are its labels with blanks around and between them, 2S + 1 in all. One step of the
recursion over time is one kernel for all samples and states; the recursion backward in time is the same one over
sequences that are turned around.
"""

from __future__ import annotations

import math

from .loss import _mode
from .namespace import F
from .scalar import exp, log, maximum, select
from .table import composite, pointwise


def _terms(stay, advance, leap, skip):
    """exp() of the ways into a state, relative to the largest, and that one; leaps are open only where `skip` holds."""
    leap = select(skip, leap, -math.inf)
    peak = maximum(maximum(stay, advance), leap)
    base = select(peak.eq(-math.inf), 0, peak)
    return (exp(stay - base), exp(advance - base), exp(leap - base)), base


def _step(stay, advance, leap, skip, label):
    (a, b, c), base = _terms(stay, advance, leap, skip)
    return log(a + b + c) + base + label


def _share(k):
    """Slope of the step by its k-th way: that way's share, also where no way is open."""

    def slope(g, stay, advance, leap, skip):
        ways, _ = _terms(stay, advance, leap, skip)
        total = ways[0] + ways[1] + ways[2]
        return g * (ways[k] / select(total.eq(0), 1, total))

    return slope


pointwise(
    "_ctc_step",
    _step,
    types="TTTbT->T",
    params="Tensor stay, Tensor advance, Tensor leap, Tensor skip, Tensor label",
    accepts=("f32", "f64"),
    method=False,
    function=False,
    grad=(_share(0), _share(1), _share(2), None, lambda g: g),
)


def _forward(labels, emitted):
    """Log-probabilities [T, N, L] of all paths to each state, from those of its label at each step."""
    steps, n, states = emitted.shape
    skip = F.ne(
        labels, F.cat([F.slice(labels, 1, 0, min(states, 2), 1), F.slice(labels, 1, 0, max(states - 2, 0), 1)], 1)
    )
    nowhere = F.full((n, 2), -math.inf, dtype=emitted.dtype)
    state = F._where(F.lt(F.arange(states), 2), F.select(emitted, 0, 0), -math.inf)
    found = [state]
    for t in range(1, steps):
        wide = F.cat([nowhere, state], 1)
        before = F.slice(wide, 1, 1, states + 1, 1), F.slice(wide, 1, 0, states, 1)
        state = F._ctc_step(state, *before, skip, F.select(emitted, 0, t))
        found.append(state)
    return F.stack(found)


def _emitted(log_probs, labels):
    """Log-probability of each state's label at each step."""
    return F.gather(log_probs, 2, F.expand(F.unsqueeze(labels, 0), (log_probs.shape[0], *labels.shape)))


def _end(alpha, input_lengths, target_lengths):
    """Minus the log-probability of all paths that end in the last label or the blank after it."""
    _, n, states = alpha.shape
    last = F.expand(F.reshape(F.clamp_min(input_lengths - 1, 0), (1, n, 1)), (1, n, states))
    at = F.squeeze(F.gather(alpha, 0, last), 0)
    blank = F.squeeze(F.gather(at, 1, F.unsqueeze(target_lengths * 2, 1)), 1)
    label = F.squeeze(F.gather(at, 1, F.unsqueeze(F.clamp_min(target_lengths * 2 - 1, 0), 1)), 1)
    empty = F.eq(target_lengths, 0)
    loss = -F.logaddexp(blank, F._where(empty, -math.inf, label))
    nothing = F._where(empty, F.zeros(loss.shape, dtype=loss.dtype), math.inf)
    return F._where(F.eq(input_lengths, 0), nothing, loss)


def _gradient(g, log_probs, labels, input_lengths, target_lengths, zero_infinity, out, out1):
    steps, n, classes = log_probs.shape
    states = labels.shape[1]
    emitted = _emitted(log_probs, labels)
    if F.is_grad_enabled():  # the gradient is to be differentiated: its parts come from the tape
        alpha = _forward(labels, emitted)
        loss = _end(alpha, input_lengths, target_lengths)
    else:
        loss, alpha = out, out1
    time, state = F.unsqueeze(F.arange(steps), 1), F.arange(states)
    turned = F.clamp_min(F.unsqueeze(target_lengths * 2, 1) - state, 0)
    later = F.expand(F.unsqueeze(F.clamp_min(input_lengths - 1 - time, 0), 2), (steps, n, states))
    across = F.expand(F.unsqueeze(turned, 0), (steps, n, states))

    def turn(x):
        return F.gather(F.gather(x, 0, later), 2, across)

    beta = turn(_forward(F.gather(labels, 1, turned), turn(emitted)))
    running = F.unsqueeze(F.lt(time, input_lengths), 2)
    inside = F.logical_and(running, F.le(state, F.unsqueeze(target_lengths * 2, 1)))
    inside = F.logical_and(inside, F.gt(emitted, -math.inf))
    loss = F.unsqueeze(loss, 1)
    share = F.exp(F._where(inside, alpha + beta - emitted + loss, -math.inf))
    index = F.expand(F.unsqueeze(labels, 0), share.shape)
    slope = F.exp(log_probs) - F.scatter_add(F.zeros((steps, n, classes), dtype=share.dtype), 2, index, share)
    slope = F._where(F.eq(loss, math.inf), 0.0 if zero_infinity else math.nan, slope)
    return F._where(running, slope * F.unsqueeze(g, 1), 0), None, None, None


@composite(
    params="Tensor log_probs, Tensor labels, Tensor input_lengths, Tensor target_lengths, bool zero_infinity",
    grad=_gradient,
    function=False,
)
def _ctc(log_probs, labels, input_lengths, target_lengths, zero_infinity):
    """(loss of each sample, log-probabilities of the states). The gradient is that of log-probabilities which a
    log_softmax made: it leaves out what that adds the same to every class."""
    alpha = _forward(labels, _emitted(log_probs, labels))
    loss = _end(alpha, input_lengths, target_lengths)
    return F._where(F.eq(loss, math.inf), 0.0, loss) if zero_infinity else loss, alpha


def _lengths(name, lengths, n, most):
    if not isinstance(lengths, F.Tensor):
        lengths = F.tensor(list(lengths), dtype=F.int64)
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype is F.bool:
        raise RuntimeError(f"ctc_loss(): {name} must be integral, got {lengths.dtype}")
    lengths = F.cast(F.reshape(lengths, (-1,)), F.int64)
    if lengths.shape[0] != n:
        raise RuntimeError(f"ctc_loss(): {name} must have one entry for each of {n} samples, got {lengths.shape[0]}")
    if F.values_known():
        low, high = int(F.amin(lengths).item()), int(F.amax(lengths).item())
        if low < 0 or (most is not None and high > most):
            raise RuntimeError(f"ctc_loss(): {name} must be from 0 to {most}, got {low if low < 0 else high}")
    return lengths


def _padded_targets(targets, lengths, n):
    """Targets [N, S]; concatenated ones are cut apart."""
    if targets.dim() == 2:
        if targets.shape[0] != n:
            raise RuntimeError(f"ctc_loss(): targets must have {n} rows, got {list(targets.shape)}")
        return targets
    if targets.dim() != 1:
        raise RuntimeError(f"ctc_loss(): targets must be 1D or 2D, got {targets.dim()}D")
    count = targets.shape[0]
    longest = count
    if F.values_known():
        longest, total = int(F.amax(lengths).item()), int(F.sum(lengths).item())
        if total != count:
            raise RuntimeError(f"ctc_loss(): targets must have {total} entries, the sum of target_lengths, got {count}")
    if count == 0:
        return F.zeros((n, 0), dtype=F.int64)
    places = F.unsqueeze(F.cumsum(lengths, 0) - lengths, 1) + F.arange(longest)
    return F.reshape(F.index_select(targets, 0, F.reshape(F.clamp_max(places, count - 1), (-1,))), (n, longest))


def _loss(log_probs, targets, input_lengths, target_lengths, blank, mode, zero_infinity):
    if log_probs.dtype is not F.float32 and log_probs.dtype is not F.float64:
        raise NotImplementedError(f"ctc_loss(): log_probs must be float32 or float64, got {log_probs.dtype}")
    batched = log_probs.dim() == 3
    if log_probs.dim() not in (2, 3):
        raise RuntimeError(f"ctc_loss(): log_probs must be [T, N, C] or [T, C], got {list(log_probs.shape)}")
    if not batched:
        log_probs = F.unsqueeze(log_probs, 1)
        targets = F.unsqueeze(targets, 0) if targets.dim() < 2 else targets
    steps, n, classes = log_probs.shape
    if log_probs.numel() == 0:
        raise RuntimeError(f"ctc_loss(): log_probs must not be empty, got {list(log_probs.shape)}")
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss(): blank must be in label range, from 0 to {classes - 1}, got {blank}")
    input_lengths = _lengths("input_lengths", input_lengths, n, steps)
    most = targets.shape[1] if targets.dim() == 2 else None
    target_lengths = _lengths("target_lengths", target_lengths, n, most)
    targets = F.cast(_padded_targets(targets, target_lengths, n), F.int64)
    targets = F._where(F.lt(F.arange(targets.shape[1]), F.unsqueeze(target_lengths, 1)), targets, blank)
    blanks = F.full(targets.shape, blank, dtype=F.int64)
    labels = F.flatten(F.stack([blanks, targets], 2), 1)
    labels = F.cat([labels, F.full((n, 1), blank, dtype=F.int64)], 1)
    loss = F._ctc(log_probs, labels, input_lengths, target_lengths, zero_infinity)[0]
    if mode == "mean":
        return F.mean(loss / F.cast(F.clamp_min(target_lengths, 1), loss.dtype))
    return F.sum(loss) if mode == "sum" else loss if batched else F.squeeze(loss, 0)


@composite("_nn_ctc_loss", nn="ctc_loss", function=False)
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """Minus the log-probability of the target labels over all their alignments with the input (Graves et al., 2006).

    log_probs: [T, N, C] or [T, C], outputs of log_softmax, which the gradient takes for granted. targets: [N, S], or all
    concatenated. reduction "mean" divides each loss by its target's length first. zero_infinity: the losses (and
    gradients) of targets that do not fit into their inputs are zero instead of infinite.
    """
    mode = _mode(reduction, None, None)
    return _loss(log_probs, targets, input_lengths, target_lengths, blank, mode, zero_infinity)
