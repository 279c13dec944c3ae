"""The host operators of the Fourier transform, computed by NumPy's pocketfft.

NumPy (2.0 and later) has single precision transforms, but chooses double precision wherever its factor is the integer 1: so
single precision is always asked for with norm="ortho", and the result is scaled once to what is wanted. Large arrays are
cut across another dimension for the threads of `taeda.set_num_threads`; NumPy works without the interpreter's lock.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _core

#: Elements of a piece of work for one thread.
_GRAIN = 1 << 18
_pool: ThreadPoolExecutor | None = None
_workers = 0


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # a child has no threads
    os.register_at_fork(after_in_child=_forget_pool)


def _in_pieces(work: Callable[..., Any], arrays: Sequence[np.ndarray], axis: int) -> None:
    """`work(*pieces)` on pieces of the arrays, cut along the longest dimension but `axis`."""
    global _pool, _workers
    if arrays[-1].size < 2 * _GRAIN:
        work(*arrays)
        return
    threads = _core.get_num_threads()
    a = max(arrays, key=lambda x: x.size)
    others = [d for d in range(a.ndim) if d != axis % a.ndim]
    cut = max(others, key=lambda d: a.shape[d], default=-1)
    count = min(threads, a.size // _GRAIN, a.shape[cut]) if cut >= 0 else 1
    if count < 2:
        work(*arrays)
        return
    if _pool is None or _workers != threads:
        _pool, _workers = ThreadPoolExecutor(threads, "taeda-fft"), threads
    edges = [a.shape[cut] * k // count for k in range(count + 1)]
    ranges = [(slice(None),) * cut + (slice(p, q),) for p, q in pairwise(edges)]
    pieces = [tuple(x[at] for x in arrays) for at in ranges]
    list(_pool.map(lambda piece: work(*piece), pieces))


class _Scaled:
    """Transforms of one precision, and the factor that is missing at the end."""

    def __init__(self, single: bool, sizes: Sequence[int], normalization: int):
        self.norm: Any = "ortho" if single else "backward"
        n = math.prod(sizes)
        wanted = {0: 1.0, 1: 1.0 / math.sqrt(n), 2: 1.0 / n}[normalization] if n else 1.0
        self.forward_factor = wanted * math.sqrt(n) if single else wanted

    def finish(self, x: np.ndarray, done: float = 1.0) -> Any:
        factor = self.forward_factor * done
        if abs(factor - 1.0) > 1e-15:
            _in_pieces(lambda piece: np.multiply(piece, piece.real.dtype.type(factor), out=piece), [x], x.ndim)
        return _core.from_numpy(x)


def _complex_axes(x: np.ndarray, out: np.ndarray, dims: Sequence[int], forward: bool, norm: Any) -> None:
    """Transforms of x along `dims` into out; unscaled (or by 1 / sqrt(n)) in both directions."""
    # NumPy's inverse scales by 1 / n where the forward transform is not scaled, and the other way round.
    how: Any = norm if forward or norm == "ortho" else "forward"
    fn = np.fft.fft if forward else np.fft.ifft
    source = x
    for d in dims:
        _in_pieces(lambda a, b, d=d: fn(a, axis=d, norm=how, out=b), [source, out], d)
        source = out


def _array(t: Any) -> np.ndarray:
    return t.detach().numpy()


@np.errstate(all="ignore")
def c2c(input: Any, dim: Sequence[int], normalization: int, forward: bool) -> Any:
    x = _array(input)
    single = x.dtype == np.complex64
    scale = _Scaled(single, [x.shape[d] for d in dim], normalization)
    out = np.empty_like(x)
    if x.size:
        _complex_axes(x, out, dim, forward, scale.norm)
    return scale.finish(out)


@np.errstate(all="ignore")
def r2c(input: Any, dim: Sequence[int], normalization: int, onesided: bool) -> Any:
    """The last of `dim` is the one that is halved."""
    x = _array(input)
    single, last, n = x.dtype == np.float32, dim[-1], x.shape[dim[-1]]
    scale = _Scaled(single, [x.shape[d] for d in dim], normalization)
    sizes = list(x.shape)
    sizes[last] = n // 2 + 1
    half = np.empty(sizes, np.complex64 if single else np.complex128)
    if x.size:
        _in_pieces(lambda a, b: np.fft.rfft(a, axis=last, norm=scale.norm, out=b), [x, half], last)
        if len(dim) > 1:
            _complex_axes(half, half, dim[:-1], True, scale.norm)
    if onesided:
        return scale.finish(half)
    return scale.finish(_mirrored(half, dim, n))


def _mirrored(half: np.ndarray, dims: Sequence[int], n: int) -> np.ndarray:
    """The whole spectrum of real data: X[-k] = conj(X[k]) in all the transformed dimensions."""
    last = dims[-1]
    sizes = list(half.shape)
    sizes[last] = n
    out = np.empty(sizes, half.dtype)
    moved, source = np.moveaxis(out, last, -1), np.moveaxis(half, last, -1)
    known = source.shape[-1]
    moved[..., :known] = source
    if n > known:
        rest = source[..., n - known : 0 : -1]
        order = [d for d in range(half.ndim) if d != last % half.ndim]
        for d in dims[:-1]:
            k = order.index(d % half.ndim)
            rest = np.roll(np.flip(rest, k), 1, k)
        np.conjugate(rest, out=moved[..., known:])
    return out


@np.errstate(all="ignore")
def c2r(input: Any, dim: Sequence[int], normalization: int, last_dim_size: int) -> Any:
    """The inverse of r2c, unscaled; the spectrum's other half is its mirror image."""
    x = _array(input)
    single, last = x.dtype == np.complex64, dim[-1]
    sizes = list(x.shape)
    sizes[last] = last_dim_size
    scale = _Scaled(single, [sizes[d] for d in dim], normalization)
    out = np.empty(sizes, np.float32 if single else np.float64)
    if x.size and out.size:
        if len(dim) > 1:
            whole = np.empty_like(x)
            _complex_axes(x, whole, dim[:-1], False, scale.norm)
            x = whole
        how: Any = "forward" if scale.norm == "backward" else scale.norm
        _in_pieces(lambda a, b: np.fft.irfft(a, last_dim_size, axis=last, norm=how, out=b), [x, out], last)
    return scale.finish(out)
