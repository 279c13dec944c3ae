"""Max pooling undone, and fractional max pooling (Graham, 2014)."""

from __future__ import annotations

from .helpers import pair, product
from .namespace import F
from .random import _uniform
from .table import composite


# -- unpooling ---------------------------------------------------------------------------------------------------------
def _unpooled_size(op, sizes, kernel, stride, padding, given):
    n = len(kernel)
    usual = [(s - 1) * t + k - 2 * p for s, k, t, p in zip(sizes, kernel, stride, padding)]
    if given is None:
        return usual
    size = list(given)
    if len(size) == n + 2:
        size = size[2:]
    if len(size) != n:
        raise ValueError(f"{op}(): output_size must have {n} or {n + 2} entries, got {tuple(given)}")
    for d, (s, u, t) in enumerate(zip(size, usual, stride)):
        if not u - t < s < u + t:
            raise ValueError(
                f"{op}(): invalid output_size {tuple(given)}: dimension {d} must be between {u - t} and {u + t}"
            )
    return size


def _unpool(op, n, input, indices, kernel_size, stride, padding, output_size):
    if input.dim() not in (n + 1, n + 2):
        raise RuntimeError(f"{op}(): expected {n + 1}D or {n + 2}D input, got {input.dim()}D")
    if indices.dtype is not F.int64:
        raise RuntimeError(f"{op}(): elements in indices should be of type int64 but got {indices.dtype}")
    if tuple(indices.shape) != tuple(input.shape):
        raise RuntimeError(
            f"{op}(): expected indices of the input's shape {list(input.shape)}, got {list(indices.shape)}"
        )
    if any(s == 0 for s in input.shape[-n - 1 :]):
        raise RuntimeError(
            f"{op}(): only the batch dimension of the input may be empty, got an input of shape {list(input.shape)}"
        )
    kernel, padding = pair(kernel_size, "kernel_size", op, n), pair(padding, "padding", op, n)
    stride = kernel if stride is None else pair(stride, "stride", op, n)
    if any(s <= 0 for s in stride):
        raise RuntimeError(f"{op}(): strides should be greater than zero, but got {stride}")
    first = input.dim() - n
    size = _unpooled_size(op, input.shape[first:], kernel, stride, padding, output_size)
    lead = list(input.shape[:first])
    zeros = F.zeros([*lead, product(size)], dtype=input.dtype)
    flat = F._scatter(zeros, first, F.flatten(indices, first), F.flatten(input, first))
    return F.reshape(flat, [*lead, *size])


def _register_unpool(n):
    name = f"max_unpool{n}d"

    def max_unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        return _unpool(name, n, input, indices, kernel_size, stride, padding, output_size)

    max_unpool.__name__ = max_unpool.__qualname__ = name
    max_unpool.__doc__ = (
        f"What max_pool{n}d with return_indices made smaller, put back at its indices among zeros. output_size tells "
        "apart the input sizes that pool to the same size."
    )
    composite(name, nn=True, function=False)(max_unpool)


for _n in (1, 2, 3):
    _register_unpool(_n)


# -- fractional pooling ------------------------------------------------------------------------------------------------
def _starts(sample, size, out, window):
    """Where the windows of each plane start [N, C, out]: steps of one length, rounded from a random offset; the last
    window is at the end."""
    sample = F.unsqueeze(sample, -1)
    end = F.full([*sample.shape[:-1], 1], size - window, dtype=F.int64)
    if out == 1:
        return end
    step = (size - window) / (out - 1)
    at = F.arange(out - 1, dtype=sample.dtype)
    return F.cat([F.cast((at + sample) * step, F.int64) - F.cast(sample * step, F.int64), end], -1)


def _fractional(op, n, input, kernel_size, output_size, output_ratio, samples):
    if input.dim() not in (n + 1, n + 2) or any(s == 0 for s in input.shape[-n - 1 :]):
        raise RuntimeError(
            f"{op}(): expected a {n + 1}D or {n + 2}D input whose batch dimension only may be empty, got "
            f"{list(input.shape)}"
        )
    sizes = list(input.shape[-n:])
    if output_size is None:
        if output_ratio is None:
            raise ValueError(f"{op}(): requires either output_size or output_ratio, got neither")
        ratios = pair(output_ratio, "output_ratio", op, n, numbers=True)
        if any(not 0 < r < 1 for r in ratios):
            raise ValueError(f"{op}(): output_ratio must be between 0 and 1, got {output_ratio}")
        output_size = [int(s * r) for s, r in zip(sizes, ratios)]
    kernel, out = pair(kernel_size, "kernel_size", op, n), pair(output_size, "output_size", op, n)
    for d in range(n):
        if kernel[d] <= 0 or out[d] <= 0 or out[d] + kernel[d] - 1 > sizes[d]:
            raise RuntimeError(
                f"{op}(): windows of size {kernel} and an output of size {out} do not fit into an input of shape "
                f"{list(input.shape)}"
            )
    x = input if input.dim() == n + 2 else F.unsqueeze(input, 0)
    if samples is None:
        samples = _uniform((*x.shape[:2], n), x.dtype)
    elif samples.dtype is not x.dtype or list(samples.shape) != [*x.shape[:2], n]:
        raise RuntimeError(
            f"{op}(): _random_samples must be {x.dtype} of shape {[*x.shape[:2], n]}, got {samples.dtype} of shape "
            f"{list(samples.shape)}"
        )
    # The samples of a plane are for its columns, then its rows; those of a volume in the dimensions' order.
    place = None
    for d in range(n):
        start = _starts(F.select(samples, 2, 1 - d if n == 2 else d), sizes[d], out[d], kernel[d])
        here = F.unsqueeze(start, -1) + F.arange(kernel[d])  # [N, C, out, window]
        tail = [1] * (n - 1 - d)
        here = F.reshape(here, [*x.shape[:2], *[1] * d, out[d], *tail, *[1] * d, kernel[d], *tail])
        place = here if place is None else place * sizes[d] + here
    windows = F.reshape(place, (*x.shape[:2], product(out), product(kernel)))
    flat = F.flatten(x, 2)
    values = F.gather(flat.detach(), 2, F.flatten(windows, 2))
    best = F.argmax(F.reshape(values, windows.shape), -1, True)
    place = F.squeeze(F.gather(windows, 3, best), 3)
    shape = (*input.shape[: input.dim() - n], *out)
    return F.reshape(F.gather(flat, 2, place), shape), F.reshape(place, shape)


def _register_fractional(n):
    name = f"fractional_max_pool{n}d"

    def pool(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        values, places = _fractional(name, n, input, kernel_size, output_size, output_ratio, _random_samples)
        return (values, places) if return_indices else values

    def with_indices(
        input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
    ):
        return _fractional(name, n, input, kernel_size, output_size, output_ratio, _random_samples)

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = (
        f"The largest element of windows at random steps over the last {n} dimensions, as many as output_size (or "
        "output_ratio of the input) says; with return_indices also its index in the flattened plane."
    )
    with_indices.__name__ = with_indices.__qualname__ = name + "_with_indices"
    with_indices.__doc__ = f"{name}() with return_indices: (values, int64 indices)."
    composite(name, nn=True, function=False)(pool)
    composite(name + "_with_indices", nn=True, function=False)(with_indices)


for _n in (2, 3):
    _register_fractional(_n)
