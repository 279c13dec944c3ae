"""In-place initialisation of tensors."""

from __future__ import annotations

import math

import taeda
from taeda import Tensor

_GAINS = {"linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0, "conv_transpose2d": 1.0,
          "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Recommended gain of a nonlinearity."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return _GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    receptive = math.prod(tensor.shape[2:])
    return tensor.size(1) * receptive, tensor.size(0) * receptive


def _fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _fans(tensor)[mode == "fan_out"]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: taeda.Generator | None = None) -> Tensor:
    """Fills with draws from U(a, b)."""
    with taeda.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: taeda.Generator | None = None) -> Tensor:
    """Fills with draws from N(mean, std^2)."""
    with taeda.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: taeda.Generator | None = None,
) -> Tensor:
    """Fills with N(mean, std^2) restricted to [a, b]: draws outside are drawn again."""
    with taeda.no_grad():
        values = taeda.randn(tensor.shape, dtype=tensor.dtype, generator=generator) * std + mean
        outside = (values < a) | (values > b)
        while bool(outside.any()):
            again = taeda.randn(tensor.shape, dtype=tensor.dtype, generator=generator) * std + mean
            values = taeda.where(outside, again, values)
            outside = (values < a) | (values > b)
        return tensor.copy_(values)


def constant_(tensor: Tensor, val: float) -> Tensor:
    with taeda.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    with taeda.no_grad():
        return tensor.copy_(taeda.eye(*tensor.shape, dtype=tensor.dtype))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: taeda.Generator | None = None) -> Tensor:
    """Glorot and Bengio, AISTATS 2010: U(-a, a), a = gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: taeda.Generator | None = None) -> Tensor:
    """Glorot and Bengio, AISTATS 2010: std = gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: taeda.Generator | None = None,
) -> Tensor:
    """He et al., ICCV 2015: U(-b, b), b = gain * sqrt(3 / fan)."""
    if 0 in tensor.shape:
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: taeda.Generator | None = None,
) -> Tensor:
    """He et al., ICCV 2015: std = gain / sqrt(fan)."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator)


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fills the weight of a convolution so that it hands its inputs on, as many channels as there are."""
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.size(0) % groups:
        raise ValueError("dim 0 must be divisible by groups")
    per_group = tensor.size(0) // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    with taeda.no_grad():
        tensor.zero_()
        for g in range(groups):
            for d in range(min(per_group, tensor.size(1))):
                place = (g * per_group + d, d, *middle)
                tensor[place] = 1
    return tensor


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: taeda.Generator | None = None) -> Tensor:
    """Fills a matrix with N(0, std^2) and sets the fraction `sparsity` of each column to zero (Martens, ICML 2010)."""
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with taeda.no_grad():
        tensor.normal_(0, std, generator=generator)
        for column in range(columns):
            tensor[taeda.randperm(rows, generator=generator)[:zeros], column] = 0
    return tensor


def orthogonal_(tensor: Tensor, gain: float = 1, generator: taeda.Generator | None = None) -> Tensor:
    """Fills with a (semi-)orthogonal matrix (Saxe et al., ICLR 2014); dimensions after the first are flattened."""
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.size(0)
    columns = tensor.numel() // rows
    long, short = max(rows, columns), min(rows, columns)
    # Gram and Schmidt's process on normal draws, each vector cleaned twice, gives Haar's distribution.
    with taeda.no_grad():
        basis = taeda.randn(short, long, dtype=taeda.float64, generator=generator)
        for k in range(short):
            row = basis[k]
            for _ in range(2):
                row.sub_(basis[:k].mT @ (basis[:k] @ row))
            row.div_(row.norm())
        return tensor.copy_((basis if rows <= columns else basis.mT).reshape(tensor.shape).mul(gain))
