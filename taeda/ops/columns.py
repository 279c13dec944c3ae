"""Sliding blocks as columns and back, and the shuffles that move blocks between channels and space."""

from __future__ import annotations

from .convolution import _pad_zeros, _windows
from .helpers import pair, product
from .namespace import F
from .table import composite


def _block_arguments(op, kernel_size, dilation, padding, stride):
    kernel, dilation = pair(kernel_size, "kernel_size", op), pair(dilation, "dilation", op)
    padding, stride = pair(padding, "padding", op), pair(stride, "stride", op)
    for name, values, least in (
        ("kernel size", kernel, 1), ("dilation", dilation, 1), ("padding", padding, 0), ("stride", stride, 1)
    ):  # fmt: skip
        if any(v < least for v in values):
            raise RuntimeError(
                f"{op}(): {name} should be {'greater than zero' if least else 'non-negative'}, but got {values}"
            )
    return kernel, dilation, padding, stride


def _block_counts(size, kernel, dilation, padding, stride):
    return [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, kernel, dilation, padding, stride)]


@composite(
    "_nn_unfold",
    nn="unfold",
    function=False,
    samples=lambda t: [
        ((t(2, 3, 5, 6), (2, 3)), {"padding": 1, "stride": 2}),
    ],
    oracle="oracles.unfold_columns",
)
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Sliding blocks of [N, C, H, W] or [C, H, W] as columns [N, C*kh*kw, L]."""
    kernel, dilation, padding, stride = _block_arguments("unfold", kernel_size, dilation, padding, stride)
    if input.dim() not in (3, 4) or any(s == 0 for s in input.shape[-3:]):
        raise RuntimeError(
            "unfold(): expected a 3D or 4D (batch mode) input whose batch dimension only may be empty, got "
            f"{list(input.shape)}"
        )
    counts = _block_counts(input.shape[-2:], kernel, dilation, padding, stride)
    if any(n < 1 for n in counts):
        raise RuntimeError(
            f"unfold(): the blocks of size {kernel} with dilation {dilation} do not fit into an input of shape "
            f"{list(input.shape)} with padding {padding}"
        )
    x = input if input.dim() == 4 else F.unsqueeze(input, 0)
    windows = F.permute(_windows(_pad_zeros(x, padding), kernel, stride, dilation), (0, 1, 4, 5, 2, 3))
    n, channels, kh, kw, h, w = windows.shape
    columns = F.reshape(windows, (n, channels * kh * kw, h * w))
    return columns if input.dim() == 4 else F.squeeze(columns, 0)


@composite(nn=True, function=False)
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns [N, C*kh*kw, L] or [C*kh*kw, L] added up to [N, C, *output_size]: the gradient of unfold()."""
    size = pair(output_size, "output_size", "fold")
    kernel, dilation, padding, stride = _block_arguments("fold", kernel_size, dilation, padding, stride)
    if input.dim() not in (2, 3):
        raise RuntimeError(f"fold(): expected a 2D or 3D input, got {input.dim()}D of shape {list(input.shape)}")
    if any(s < 1 for s in size):
        raise RuntimeError(f"fold(): output_size should be greater than zero, but got {size}")
    x = input if input.dim() == 3 else F.unsqueeze(input, 0)
    n, rows, columns = x.shape
    if rows % product(kernel):
        raise RuntimeError(
            f"fold(): expected dimension 1 of the input to be divisible by the product of kernel_size {kernel}, got "
            f"{rows} of {list(input.shape)}"
        )
    counts = _block_counts(size, kernel, dilation, padding, stride)
    if any(c < 1 for c in counts) or columns != product(counts):
        raise RuntimeError(
            f"fold(): for output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding} and "
            f"stride={stride} the input must have {counts[0]} * {counts[1]} columns, got {columns}"
        )
    x = F.permute(F.reshape(x, (n, rows // product(kernel), *kernel, *counts)), (0, 1, 4, 5, 2, 3))
    for d in (1, 0):
        span = dilation[d] * (kernel[d] - 1) + 1
        shape = list(x.shape)
        if dilation[d] > 1:
            x = F._slice_backward(x, [*shape[:-1], span], x.dim() - 1, 0, span, dilation[d])
        full = [*shape[:-1]]
        full[2 + d] = size[d] + 2 * padding[d]
        x = F._unfold_backward(x, full, 2 + d, span, stride[d])
        x = F.slice(x, 2 + d, padding[d], padding[d] + size[d], 1) if padding[d] else x
    return x if input.dim() == 3 else F.squeeze(x, 0)


@composite(nn=True, samples=lambda t: [((t(1, 8, 2, 3), 2), {})], oracle="oracles.pixel_shuffle")
def pixel_shuffle(input, upscale_factor):
    """[.., C*r*r, H, W] to [.., C, H*r, W*r]."""
    r = upscale_factor
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            f"upscale_factor, but got {c} and {r}"
        )
    x = F.reshape(input, (*lead, c // (r * r), r, r, h, w))
    n = len(lead)
    return F.reshape(F.permute(x, [*range(n), n, n + 3, n + 1, n + 4, n + 2]), (*lead, c // (r * r), h * r, w * r))


@composite(nn=True, samples=lambda t: [((t(1, 2, 4, 6), 2), {})], oracle="oracles.pixel_unshuffle")
def pixel_unshuffle(input, downscale_factor):
    """[.., C, H*r, W*r] to [.., C*r*r, H, W]."""
    r = downscale_factor
    *lead, c, h, w = input.shape
    if h % r or w % r:
        raise RuntimeError(f"pixel_unshuffle expects height and width to be divisible by {r}, but got {h} and {w}")
    x = F.reshape(input, (*lead, c, h // r, r, w // r, r))
    n = len(lead)
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return F.reshape(F.permute(x, order), (*lead, c * r * r, h // r, w // r))


@composite(
    nn=True,
    aliases=("native_channel_shuffle",),
    samples=lambda t: [((t(2, 6, 3), 3), {}), ((t(1, 4, 2, 2), 2), {})],
    oracle="lambda x, g: x.reshape(x.shape[0], g, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)",
)
def channel_shuffle(input, groups):
    """The channels (dimension 1) of `groups` groups dealt out in turn."""
    if input.dim() < 3:
        raise RuntimeError(f"channel_shuffle(): expects input with > 2 dims, but got shape {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"channel_shuffle(): the number of groups must be positive, got {groups}")
    if input.shape[1] % groups:
        raise RuntimeError(
            f"channel_shuffle(): the number of channels must be divisible by groups, got {input.shape[1]} channels "
            f"and {groups} groups"
        )
    parts = F.transpose(F.unflatten(input, 1, (groups, input.shape[1] // groups)), 1, 2)
    return F.reshape(parts, input.shape)
