"""Padding of the last dimensions."""

from __future__ import annotations

from .namespace import F
from .table import composite


def _crop(g, pad):
    for k in range(len(pad) // 2):
        d = g.dim() - 1 - k
        before, after = max(pad[2 * k], 0), max(pad[2 * k + 1], 0)
        if before or after:
            g = F.slice(g, d, before, g.shape[d] - after, 1)
    return g


@composite(
    params="Tensor input, int[] pad, Number value", grad=lambda g, pad: _crop(g, pad), batch="parts", function=False
)
def _pad_constant(input, pad, value):
    """Positive paddings only."""
    shape = list(input.shape)
    for k in range(len(pad) // 2):
        shape[-1 - k] = shape[-1 - k] + pad[2 * k] + pad[2 * k + 1]
    full = input.new_full(shape, value)
    _crop(full, pad).copy_(input)
    return full


def _mirror(n, before, after, mode, op):
    """Source index of every padded place."""
    if mode == "reflect":
        if before >= n or after >= n:
            raise RuntimeError(
                f"Padding size should be less than the corresponding input dimension, but got: padding ({before}, "
                f"{after}) at a dimension of size {n}"
            )
        return [*range(before, 0, -1), *range(n), *range(n - 2, n - 2 - after, -1)]
    if n == 0:
        raise RuntimeError(f"{op}(): mode {mode!r} needs at least one element in each padded dimension")
    if mode == "replicate":
        return [0] * before + list(range(n)) + [n - 1] * after
    if before > n or after > n:
        raise RuntimeError(
            f"Padding value causes wrapping around more than once: padding ({before}, {after}) at a dimension of "
            f"size {n}"
        )
    return [*range(n - before, n), *range(n), *range(after)]


@composite(
    nn=True,
    function=False,
    oracle="oracles.pad",
    samples=lambda t: [
        ((t(3, 4), (1, 2)), {}),
        ((t(2, 3, 4), (1, 2, 0, 1)), {"value": 0.5}),
        ((t(3, 4), (-1, 2)), {}),
        ((t(2, 3, 4), (2, 1)), {"mode": "reflect"}),
        ((t(1, 2, 3, 4), (2, 1, 1, 0)), {"mode": "replicate"}),
        ((t(2, 3, 4), (2, 1)), {"mode": "circular"}),
    ],
)
def pad(input, pad, mode="constant", value=None):
    """Padded at both ends of the last dimensions: (left, right, top, bottom, ...). mode: constant, reflect, replicate
    or circular.
    """
    pad = list(pad)
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, got {len(pad)}")
    if len(pad) // 2 > input.dim():
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.dim()}"
        )
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if mode != "constant" and value:
        raise RuntimeError(f"pad(): padding mode {mode!r} doesn't take in a value, got {value}")
    n = len(pad) // 2
    if mode != "constant" and (not 1 <= n <= 3 or input.dim() not in (n + 1, n + 2)):
        raise NotImplementedError(
            f"pad(): mode {mode!r} pads the last dimensions of inputs with one or two dimensions more, one to three; got "
            f"padding {pad} of a {input.dim()}D input"
        )
    for k in range(len(pad) // 2):  # negative padding cuts
        before, after = pad[2 * k : 2 * k + 2]
        if before < 0 or after < 0:
            d = input.dim() - 1 - k
            if input.shape[d] + min(before, 0) + min(after, 0) < 0:
                raise RuntimeError(
                    f"pad(): padding ({before}, {after}) leaves a negative size in dimension {d} of size "
                    f"{input.shape[d]}"
                )
            input = F.slice(input, d, -min(before, 0), input.shape[d] + min(after, 0), 1)
            pad[2 * k : 2 * k + 2] = max(before, 0), max(after, 0)
    if mode == "constant":
        return F._pad_constant(input, pad, 0 if value is None else value) if any(pad) else F.clone(input)
    for k in range(len(pad) // 2):
        d = input.dim() - 1 - k
        if pad[2 * k] or pad[2 * k + 1]:
            input = F.index_select(
                input, d, F.tensor(_mirror(input.shape[d], pad[2 * k], pad[2 * k + 1], mode, "pad"), dtype=F.int64)
            )
    return input
