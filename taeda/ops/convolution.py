"""Convolutions as contractions over window views, and their gradients.

The windows of the padded input are a strided view, which the contraction's packing reads in place: no im2col buffer.
The three operators below (convolution and its two gradients) are closed under differentiation, so every order costs
contractions only.
"""

from __future__ import annotations

from .helpers import pair, tensor_argument
from .namespace import F, Tensor
from .table import composite

_SPACE, _KERNEL = "xyz", "ijk"


def _pad_zeros(x, padding):
    """Zeros on both sides of the last dimensions; negative padding cuts."""
    return F.pad(x, [n for p in reversed(padding) for n in (p, p)]) if any(padding) else x


def _windows(x, kernel, stride, dilation):
    """[N, C, out..., kernel...] view of an already padded input."""
    first = x.dim() - len(kernel)
    for d, (k, s, step) in enumerate(zip(kernel, stride, dilation)):
        x = F.unfold(x, first + d, step * (k - 1) + 1, s)
        if step > 1:
            x = F.slice(x, -1, 0, None, step)
    return x


def _split_groups(x, dim, groups):
    return F.unflatten(x, dim, (groups, x.shape[dim] // groups))


_PARAMS = "int[] stride, int[] padding, int[] dilation, int groups"


def _convolution_gradient(g, input, weight, bias, stride, padding, dilation, groups, wanted):
    shapes = input.shape, weight.shape
    input, weight = F.conj(input), F.conj(weight)
    gi = F._convolution_input(g, weight, shapes[0], stride, padding, dilation, groups) if wanted[0] else None
    gw = F._convolution_weight(g, input, shapes[1], stride, padding, dilation, groups) if wanted[1] else None
    gb = F.sum(g, (0, *range(2, g.dim()))) if bias is not None and wanted[2] else None
    return gi, gw, gb


@composite(
    params=f"Tensor input, Tensor weight, Tensor? bias, {_PARAMS}",
    grad=_convolution_gradient,
    batch="parts",
    function=False,
)
def _convolution(input, weight, bias, stride, padding, dilation, groups):
    n = len(stride)
    space, kernel = _SPACE[:n], _KERNEL[:n]
    windows = _windows(_pad_zeros(input, padding), weight.shape[2:], stride, dilation)
    if groups == 1:
        out = F.contract(weight, windows, f"oc{kernel},nc{space}{kernel}->no{space}")
    else:
        labels = f"goc{kernel},ngc{space}{kernel}->ngo{space}"
        out = F.flatten(F.contract(_split_groups(weight, 0, groups), _split_groups(windows, 1, groups), labels), 1, 2)
    return out if bias is None else out + F.reshape(bias, [-1] + [1] * n)


@composite(
    params=f"Tensor grad, Tensor weight, int[] input_size, {_PARAMS}",
    batch="parts",
    function=False,
    grad=lambda g, grad, weight, stride, padding, dilation, groups, wanted: (
        F._convolution(g, F.conj(weight), None, stride, padding, dilation, groups) if wanted[0] else None,
        F._convolution_weight(F.conj(grad), g, weight.shape, stride, padding, dilation, groups) if wanted[1] else None,
    ),
)
def _convolution_input(grad, weight, input_size, stride, padding, dilation, groups):
    n = len(stride)
    space, kernel = _SPACE[:n], _KERNEL[:n]
    size = list(weight.shape[2:])
    if all(s == 1 for s in stride):
        # Every input element gathers the outputs that read it: a convolution with the flipped kernel.
        spread = _pad_zeros(grad, [d * (k - 1) - p for d, k, p in zip(dilation, size, padding)])
        windows = _windows(spread, size, stride, dilation)
        flipped = F.flip(weight, *range(2, 2 + n)) if any(k != 1 for k in size) else weight
        if groups == 1:
            return F.contract(flipped, windows, f"oc{kernel},no{space}{kernel}->nc{space}")
        labels = f"goc{kernel},ngo{space}{kernel}->ngc{space}"
        return F.flatten(F.contract(_split_groups(flipped, 0, groups), _split_groups(windows, 1, groups), labels), 1, 2)
    # With strides most of those products would be with zeros: form the windows' gradients and add them up in place.
    if groups == 1:
        parts = F.contract(weight, grad, f"oc{kernel},no{space}->nc{kernel}{space}")
    else:
        labels = f"goc{kernel},ngo{space}->ngc{kernel}{space}"
        parts = F.flatten(F.contract(_split_groups(weight, 0, groups), _split_groups(grad, 1, groups), labels), 1, 2)
    full = parts.new_zeros([*input_size[:2], *(s + 2 * p for s, p in zip(input_size[2:], padding))])
    _add_windows(full, parts, list(grad.shape[2:]), size, stride, dilation, ())
    for d, (p, s) in enumerate(zip(padding, input_size[2:])):
        full = F.narrow(full, 2 + d, p, s) if p else full
    return full.contiguous()


def _add_windows(full, parts, out, kernel, stride, dilation, at):
    """full[..., i*dilation + stride*x] += parts[i][..., x], one kernel position after the other."""
    if len(at) == len(kernel):
        place, part = full, parts
        for d, i in enumerate(at):
            start = i * dilation[d]
            place = F.slice(place, 2 + d, start, start + stride[d] * (out[d] - 1) + 1, stride[d])
            part = F.select(part, 2, i)
        place.add_(part)
        return
    for i in range(kernel[len(at)]):
        _add_windows(full, parts, out, kernel, stride, dilation, (*at, i))


@composite(
    params=f"Tensor grad, Tensor input, int[] weight_size, {_PARAMS}",
    batch="parts",
    function=False,
    grad=lambda g, grad, input, stride, padding, dilation, groups, wanted: (
        F._convolution(F.conj(input), g, None, stride, padding, dilation, groups) if wanted[0] else None,
        F._convolution_input(F.conj(grad), g, input.shape, stride, padding, dilation, groups) if wanted[1] else None,
    ),
)
def _convolution_weight(grad, input, weight_size, stride, padding, dilation, groups):
    n = len(stride)
    space, kernel = _SPACE[:n], _KERNEL[:n]
    windows = _windows(_pad_zeros(input, padding), weight_size[2:], stride, dilation)
    for d in range(n):  # a stride may leave a rest of the input that no output reads
        windows = F.slice(windows, 2 + d, 0, grad.shape[2 + d], 1)
    if groups == 1:
        return F.contract(grad, windows, f"no{space},nc{space}{kernel}->oc{kernel}")
    labels = f"ngo{space},ngc{space}{kernel}->goc{kernel}"
    return F.flatten(F.contract(_split_groups(grad, 1, groups), _split_groups(windows, 1, groups), labels), 0, 1)


# -- the public forms --------------------------------------------------------------------------------------------------
def _check(op, n, input, weight, bias, groups, transposed=False):
    tensor_argument(op, "input", input)
    tensor_argument(op, "weight", weight)
    if bias is not None:
        tensor_argument(op, "bias", bias)
    batched = input.dim() == n + 2
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {op}, but got input of size: "
            f"{list(input.shape)}"
        )
    if weight.dim() != n + 2:
        raise RuntimeError(f"{op}(): weight must have {n + 2} dimensions, got {weight.dim()}")
    if weight.shape[0] == 0:
        raise RuntimeError(f"{op}(): weight must have at least one output channel, got {list(weight.shape)}")
    channels = input.shape[1 if batched else 0]
    if groups <= 0:
        raise RuntimeError(f"{op}(): groups must be positive, got {groups}")
    expected = weight.shape[0] if transposed else weight.shape[1] * groups
    if channels != expected:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input{list(input.shape)} to have "
            f"{expected} channels, "
            f"but got {channels} channels instead"
        )
    if weight.shape[0] % groups:
        raise RuntimeError(f"{op}(): weight.shape[0] ({weight.shape[0]}) must be divisible by groups ({groups})")
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    if bias is not None and tuple(bias.shape) != (out,):
        raise RuntimeError(
            f"{op}(): expected bias to be 1-dimensional with {out} elements, but got bias of size {list(bias.shape)}"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError(f"Input type ({input.dtype}) and weight type ({weight.dtype}) should be the same")
    return batched


def _same_padding(x, kernel, stride, dilation, op):
    if any(s != 1 for s in stride):
        raise RuntimeError(f"padding='same' is not supported for strided convolutions: {op}() got stride={stride}")
    total = [d * (k - 1) for d, k in zip(dilation, kernel)]
    if all(t % 2 == 0 for t in total):
        return x, [t // 2 for t in total]
    return F.pad(x, [n for t in reversed(total) for n in (t // 2, t - t // 2)]), [0] * len(total)


def _conv(op, n, input, weight, bias, stride, padding, dilation, groups):
    batched = _check(op, n, input, weight, bias, groups)
    stride, dilation = pair(stride, "stride", op, n), pair(dilation, "dilation", op, n)
    if any(s <= 0 for s in stride) or any(d <= 0 for d in dilation):
        raise RuntimeError(f"{op}(): stride and dilation must be positive, got stride={stride} and dilation={dilation}")
    x = input if batched else F.unsqueeze(input, 0)
    if padding == "same":
        x, padding = _same_padding(x, weight.shape[2:], stride, dilation, op)
    elif padding == "valid":
        padding = [0] * n
    elif isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string: '{padding}'; {op}() takes 'valid', 'same' or numbers")
    else:
        padding = pair(padding, "padding", op, n)
        if any(p < 0 for p in padding):
            raise RuntimeError(f"negative padding is not supported: {op}() got {padding}")
    for size, p, k, d in zip(x.shape[2:], padding, weight.shape[2:], dilation):
        if size + 2 * p < d * (k - 1) + 1:
            padded = [s + 2 * q for s, q in zip(x.shape[2:], padding)]
            raise RuntimeError(
                f"Calculated padded input size per channel: {padded}. Kernel size: {list(weight.shape[2:])}. Kernel "
                "size can't be greater "
                "than actual input size"
            )
    out = F._convolution(x, weight, bias, stride, padding, dilation, groups)
    return out if batched else F.squeeze(out, 0)


def _conv_transpose(op, n, input, weight, bias, stride, padding, output_padding, groups, dilation):
    batched = _check(op, n, input, weight, bias, groups, transposed=True)
    stride, dilation = pair(stride, "stride", op, n), pair(dilation, "dilation", op, n)
    padding, extra = pair(padding, "padding", op, n), pair(output_padding, "output_padding", op, n)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise RuntimeError(
            f"output padding must be smaller than either stride or dilation, but got output_padding={extra}, "
            f"stride={stride}, dilation={dilation}"
        )
    x = input if batched else F.unsqueeze(input, 0)
    size = [
        (i - 1) * s - 2 * p + d * (k - 1) + e + 1
        for i, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, weight.shape[2:], extra)
    ]
    full = [x.shape[0], weight.shape[1] * groups, *size]
    out = F._convolution_transposed(x, weight, full, stride, padding, dilation, groups, extra)
    if bias is not None:
        out = out + F.reshape(bias, [-1] + [1] * n)
    return out if batched else F.squeeze(out, 0)


@composite(function=False)
def _convolution_transposed(x, weight, size, stride, padding, dilation, groups, extra):
    """The gradient of a convolution, as an operator: outputs beyond the last window (output_padding) stay zero."""
    if all(s == 1 for s in stride) and any(extra):
        inner = [*size[:2], *(n - e for n, e in zip(size[2:], extra))]
        return F.pad(
            F._convolution_input(x, weight, inner, stride, padding, dilation, groups),
            [n for e in reversed(extra) for n in (0, e)],
        )
    return F._convolution_input(x, weight, size, stride, padding, dilation, groups)


def _conv_samples(n):
    def samples(t):
        size, k = (7, 6, 5)[:n], (3, 2, 2)[:n]
        return [
            ((t(2, 3, *size), t(4, 3, *k), t(4)), {}),
            ((t(2, 3, *size), t(4, 3, *k)), {"stride": 2, "padding": 1}),
            ((t(1, 4, *size), t(4, 2, *k)), {"groups": 2, "dilation": 2, "padding": 1}),
            ((t(3, *size), t(2, 3, *k)), {"padding": "same"}),
        ]

    return samples


def _transpose_samples(n):
    def samples(t):
        size, k = (4, 3, 3)[:n], (3, 2, 2)[:n]
        return [
            ((t(2, 3, *size), t(3, 4, *k), t(4)), {}),
            ((t(2, 3, *size), t(3, 4, *k)), {"stride": 2, "padding": 1, "output_padding": 1}),
            ((t(1, 4, *size), t(4, 2, *k)), {"groups": 2}),
        ]

    return samples


def _register(n):
    name = f"conv{n}d"

    def conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups: int = 1):
        return _conv(name, n, input, weight, bias, stride, padding, dilation, groups)

    conv.__name__ = conv.__qualname__ = name
    conv.__doc__ = f"{n}-dimensional convolution (cross-correlation) of [N, C, ...] with weights [out, C/groups, ...]."
    composite(name, nn=True, samples=_conv_samples(n), oracle=f"oracles.conv({n})")(conv)
    other = f"conv_transpose{n}d"

    def conv_transpose(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups: int = 1, dilation=1):
        return _conv_transpose(other, n, input, weight, bias, stride, padding, output_padding, groups, dilation)

    conv_transpose.__name__ = conv_transpose.__qualname__ = other
    conv_transpose.__doc__ = f"{n}-dimensional transposed convolution: the gradient of conv{n}d wrt its input."
    composite(other, nn=True, samples=_transpose_samples(n), oracle=f"oracles.conv_transpose({n})")(conv_transpose)


for _n in (1, 2, 3):
    _register(_n)


@composite()
def convolution(
    input, weight: Tensor, bias: Tensor | None, stride, padding, dilation, transposed: bool, output_padding, groups: int
):
    """A convolution over one to three dimensions, or a transposed one; output_padding is for the latter."""
    n = weight.dim() - 2
    if n not in (1, 2, 3):
        raise RuntimeError(f"convolution(): weight must have 3 to 5 dimensions, got {weight.dim()}")
    if transposed:
        return _conv_transpose("convolution", n, input, weight, bias, stride, padding, output_padding, groups, dilation)
    return _conv("convolution", n, input, weight, bias, stride, padding, dilation, groups)


@composite(nn=True)
def conv_tbc(input, weight, bias: Tensor, pad: int = 0):
    """Convolution over time of [T, N, C] with weights [kernel, C, out]: [T', N, out]."""
    if input.dim() != 3 or weight.dim() != 3 or bias.dim() != 1:
        raise RuntimeError(
            "conv_tbc(): expected input and weight with 3 dimensions and bias with 1, got "
            f"{input.dim()}, {weight.dim()} and {bias.dim()}"
        )
    if input.shape[2] != weight.shape[1] or weight.shape[2] != bias.shape[0]:
        raise RuntimeError(
            f"conv_tbc(): channels of input {list(input.shape)}, weight {list(weight.shape)} and bias "
            f"{list(bias.shape)} do not fit"
        )
    out = F.conv1d(F.permute(input, (1, 2, 0)), F.permute(weight, (2, 1, 0)), bias, 1, pad)
    return F.permute(out, (2, 0, 1))
