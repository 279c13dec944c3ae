"""Discrete Fourier transforms: three host operators with their gradients, and PyTorch's functions over them."""

from __future__ import annotations

from .helpers import wrap_dim
from .linalg_checks import check_tensor, dtype_name
from .namespace import F
from .table import composite, structured

_COMPLEX = {"f32": "c64", "f64": "c128"}
_REAL = {"c64": "f32", "c128": "f64"}
#: How a transform is scaled: not at all, by 1 / sqrt(n), by 1 / n.
NONE, ROOT, WHOLE = 0, 1, 2


# -- host operators ----------------------------------------------------------------------------------------------------
def _host(name, params, *, results, accepts, grad):
    structured(
        f"_fft_{name}",
        "host",
        params,
        fn=f"fft.transforms:{name}",
        results=results,
        core_dims=(1,),
        accepts=accepts,
        grad=grad,
        method=False,
        function=False,
    )


def _with_last(shape, dim, n):
    sizes = list(shape)
    sizes[dim[-1]] = n
    return tuple(sizes)


def _interior(like, dim, n, factor):
    """1 for the bins of half a spectrum that occur once in the whole one of size n, `factor` for those that occur twice;
    broadcasts along `dim`."""
    known = n // 2 + 1
    twice = n - known
    parts = [F.ones((1,), dtype=like), F.full((twice,), factor, dtype=like), F.ones((known - 1 - twice,), dtype=like)]
    return F.reshape(F.cat(parts), (known, *[1] * (-1 - dim)))


def _real_of(dtype):
    return {F.complex64: F.float32, F.complex128: F.float64}[dtype]


def _r2c_gradient(g, dim, normalization, onesided, input_shape):
    n = input_shape[dim[-1]]
    if not onesided:
        return F.real(F._fft_c2c(g, dim, normalization, False))
    halved = g * _interior(_real_of(g.dtype), dim[-1], n, 0.5)
    return F._fft_c2r(halved, dim, normalization, n)


def _c2r_gradient(g, dim, normalization, last_dim_size):
    found = F._fft_r2c(g, dim, normalization, True)
    return found * _interior(g.dtype, dim[-1], last_dim_size, 2.0)


_host(
    "c2c",
    "Tensor input, int[] dim, int normalization, bool forward",
    results=lambda input, dim, normalization, forward: ((input.shape, input.dtype),),
    accepts=("c64", "c128"),
    grad=lambda g, dim, normalization, forward: F._fft_c2c(g, dim, normalization, not forward),
)
_host(
    "r2c",
    "Tensor input, int[] dim, int normalization, bool onesided",
    results=lambda input, dim, normalization, onesided: (
        (
            _with_last(input.shape, dim, input.shape[dim[-1]] // 2 + 1) if onesided else input.shape,
            _COMPLEX[input.dtype],
        ),
    ),
    accepts=("f32", "f64"),
    grad=_r2c_gradient,
)
_host(
    "c2r",
    "Tensor input, int[] dim, int normalization, int last_dim_size",
    results=lambda input, dim, normalization, last_dim_size: (
        (_with_last(input.shape, dim, last_dim_size), _REAL[input.dtype]),
    ),
    accepts=("c64", "c128"),
    grad=_c2r_gradient,
)


# -- arguments -----------------------------------------------------------------------------------------------------------
def _scale(norm, forward):
    if norm not in (None, "forward", "backward", "ortho"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return ROOT
    return WHOLE if (norm == "forward") == forward else NONE


def _floating(name, x, complex=False):
    """x in float32, float64 or a complex dtype; complex: in a complex one."""
    check_tensor(name, x, "input")
    if x.dtype in (F.float16, F.bfloat16):
        raise RuntimeError(f"{name}: Unsupported dtype {dtype_name(x)}")
    if not (x.is_floating_point() or x.is_complex()):
        x = F.cast(x, F.get_default_dtype())
    if complex and not x.is_complex():
        x = F.cast(x, F.complex64 if x.dtype is F.float32 else F.complex128)
    return x


def _one_dim(name, x, dim):
    """`dim` counted from the end."""
    if x.dim() == 0:
        raise IndexError(f"{name}: Dimension specified as {dim} but tensor has no dimensions")
    return wrap_dim(dim, x.dim()) - x.dim()


def _size(n):
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _resized(x, dims, sizes):
    """x cut or padded with zeros to `sizes` in `dims` (counted from the end)."""
    pads = [0] * (2 * -min(dims, default=0))
    for d, n in zip(dims, sizes):
        have = x.shape[d]
        if n < have:
            x = F.narrow(x, d, 0, n)
        elif n > have:
            pads[2 * (-1 - d) + 1] = n - have
    return F.pad(x, pads) if any(pads) else x


def _several(name, x, s, dim):
    """(dims counted from the end, sizes)"""
    dims = None if dim is None else [dim] if isinstance(dim, int) else list(dim)
    sizes = None if s is None else [s] if isinstance(s, int) else list(s)
    if dims is not None:
        dims = [_one_dim(name, x, d) for d in dims]
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
    if sizes is None:
        dims = list(range(-x.dim(), 0)) if dims is None else dims
        return dims, [x.shape[d] for d in dims]
    if dims is None:
        if len(sizes) > x.dim():
            raise RuntimeError(f"Got shape with {len(sizes)} values but input tensor only has {x.dim()} dimensions.")
        dims = list(range(-len(sizes), 0))
    if len(dims) != len(sizes):
        raise RuntimeError(
            f"When given, dim and shape arguments must have the same length, got {len(dims)} and {len(sizes)}"
        )
    return dims, [x.shape[d] if n == -1 else _size(n) for d, n in zip(dims, sizes)]


def _check_points(sizes):
    for n in sizes:
        _size(n)


# -- transforms ----------------------------------------------------------------------------------------------------------
def _to_complex(name, x, dims, sizes, norm, forward):
    """The complex transform of real or complex data."""
    x = _floating(name, x)
    if not dims:
        return _floating(name, x, complex=True).clone()
    _check_points(sizes)
    x = _resized(x, dims, sizes)
    how = _scale(norm, forward)
    if x.is_complex():
        return F._fft_c2c(x, dims, how, forward)
    found = F._fft_r2c(x, dims, how, False)
    return found if forward else F.conj(found)


def _half(name, x, dims, sizes, norm, forward):
    check_tensor(name, x, "input")
    if x.is_complex():
        raise RuntimeError(f"{name} expects a real input tensor, but got {dtype_name(x)}")
    x = _floating(name, x)
    _check_points(sizes)
    x = _resized(x, dims, sizes)
    found = F._fft_r2c(x, dims, _scale(norm, forward), True)
    return found if forward else F.conj(found)


def _from_half(name, x, dims, sizes, norm, forward):
    """sizes: of the result."""
    _check_points(sizes)
    x = _resized(x, dims, [*sizes[:-1], sizes[-1] // 2 + 1])
    if forward:
        x = F.conj(x)
    return F._fft_c2r(x, dims, _scale(norm, forward), sizes[-1])


def _length(x, n, d):
    return x.shape[d] if n is None else n


@composite(function=False, out=True)
def fft_fft(input, n=None, dim=-1, norm=None):
    """The transform along one dimension, cut or padded with zeros to n. norm: "backward" (the default: the inverse is scaled
    by 1 / n), "ortho" (both by 1 / sqrt(n)), "forward"."""
    d = _one_dim("fft", input, dim)
    return _to_complex("fft", input, [d], [_length(input, n, d)], norm, True)


@composite(function=False, out=True)
def fft_ifft(input, n=None, dim=-1, norm=None):
    """The inverse of fft."""
    d = _one_dim("ifft", input, dim)
    return _to_complex("ifft", input, [d], [_length(input, n, d)], norm, False)


@composite(function=False, out=True)
def fft_rfft(input, n=None, dim=-1, norm=None):
    """The first n // 2 + 1 bins of the transform of real data; the others are their conjugates."""
    d = _one_dim("rfft", input, dim)
    return _half("rfft", input, [d], [_length(input, n, d)], norm, True)


@composite(function=False, out=True)
def fft_irfft(input, n=None, dim=-1, norm=None):
    """The inverse of rfft: real data of size n (default 2 (m - 1) for m bins)."""
    x = _floating("irfft", input, complex=True)
    d = _one_dim("irfft", x, dim)
    return _from_half("irfft", x, [d], [2 * (x.shape[d] - 1) if n is None else n], norm, False)


@composite(function=False, out=True)
def fft_hfft(input, n=None, dim=-1, norm=None):
    """The real transform of data that are Hermitian in the time domain, of which one half is given."""
    x = _floating("hfft", input, complex=True)
    d = _one_dim("hfft", x, dim)
    return _from_half("hfft", x, [d], [2 * (x.shape[d] - 1) if n is None else n], norm, True)


@composite(function=False, out=True)
def fft_ihfft(input, n=None, dim=-1, norm=None):
    """The inverse of hfft: half of the Hermitian data."""
    d = _one_dim("ihfft", input, dim)
    return _half("ihfft", input, [d], [_length(input, n, d)], norm, False)


@composite(function=False, out=True)
def fft_fftn(input, s=None, dim=None, norm=None):
    """The transform over several dimensions (default: all, or the last len(s)), cut or padded to the sizes s."""
    dims, sizes = _several("fftn", input, s, dim)
    return _to_complex("fftn", input, dims, sizes, norm, True)


@composite(function=False, out=True)
def fft_ifftn(input, s=None, dim=None, norm=None):
    """The inverse of fftn."""
    dims, sizes = _several("ifftn", input, s, dim)
    return _to_complex("ifftn", input, dims, sizes, norm, False)


@composite(function=False, out=True)
def fft_rfftn(input, s=None, dim=None, norm=None):
    """fftn of real data: of the last dimension only the first n // 2 + 1 bins."""
    dims, sizes = _several("rfftn", input, s, dim)
    if not dims:
        raise RuntimeError("rfftn must transform at least one axis")
    return _half("rfftn", input, dims, sizes, norm, True)


def _real_sizes(name, x, s, dim):
    dims, sizes = _several(name, x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    last = None if s is None else (s if isinstance(s, int) else s[-1])
    if last is None or last == -1:
        sizes[-1] = 2 * (x.shape[dims[-1]] - 1)
    return dims, sizes


@composite(function=False, out=True)
def fft_irfftn(input, s=None, dim=None, norm=None):
    """The inverse of rfftn; the last size of the result defaults to 2 (m - 1)."""
    x = _floating("irfftn", input, complex=True)
    dims, sizes = _real_sizes("irfftn", x, s, dim)
    return _from_half("irfftn", x, dims, sizes, norm, False)


@composite(function=False, out=True)
def fft_hfftn(input, s=None, dim=None, norm=None):
    """The real transform over several dimensions of data that are Hermitian in the last one, of which half is given."""
    x = _floating("hfftn", input, complex=True)
    dims, sizes = _real_sizes("hfftn", x, s, dim)
    _check_points(sizes)
    x = _resized(x, dims, [*sizes[:-1], sizes[-1] // 2 + 1])
    if len(dims) > 1:
        x = F._fft_c2c(x, dims[:-1], _scale(norm, True), True)
    return F._fft_c2r(F.conj(x), dims[-1:], _scale(norm, True), sizes[-1])


@composite(function=False, out=True)
def fft_ihfftn(input, s=None, dim=None, norm=None):
    """The inverse of hfftn."""
    dims, sizes = _several("ihfftn", input, s, dim)
    if not dims:
        raise RuntimeError("ihfftn must transform at least one axis")
    if input.is_complex():
        raise RuntimeError(f"ihfftn expects a real input tensor, but got {dtype_name(input)}")
    _check_points(sizes)
    x = _resized(_floating("ihfftn", input), dims, sizes)
    found = F.conj(F._fft_r2c(x, dims[-1:], _scale(norm, False), True))
    return F._fft_c2c(found, dims[:-1], _scale(norm, False), False) if len(dims) > 1 else found


@composite(function=False, out=True)
def fft_fft2(input, s=None, dim=(-2, -1), norm=None):
    """fftn over two dimensions."""
    return F.fft_fftn(input, s, dim, norm)


@composite(function=False, out=True)
def fft_ifft2(input, s=None, dim=(-2, -1), norm=None):
    """ifftn over two dimensions."""
    return F.fft_ifftn(input, s, dim, norm)


@composite(function=False, out=True)
def fft_rfft2(input, s=None, dim=(-2, -1), norm=None):
    """rfftn over two dimensions."""
    return F.fft_rfftn(input, s, dim, norm)


@composite(function=False, out=True)
def fft_irfft2(input, s=None, dim=(-2, -1), norm=None):
    """irfftn over two dimensions."""
    return F.fft_irfftn(input, s, dim, norm)


@composite(function=False, out=True)
def fft_hfft2(input, s=None, dim=(-2, -1), norm=None):
    """hfftn over two dimensions."""
    return F.fft_hfftn(input, s, dim, norm)


@composite(function=False, out=True)
def fft_ihfft2(input, s=None, dim=(-2, -1), norm=None):
    """ihfftn over two dimensions."""
    return F.fft_ihfftn(input, s, dim, norm)


# -- helpers of users ------------------------------------------------------------------------------------------------------
def _frequencies(values, n, d, dtype, device, requires_grad):
    F.check_device(device)
    result = F.cast(values, dtype or F.get_default_dtype()) * (1.0 / (n * d))
    return result.requires_grad_() if requires_grad else result


@composite(function=False, out=True)
def fft_fftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of fft's bins for samples that are d apart: [0, 1, ..., -2, -1] / (n d)."""
    values = F.cat([F.arange(0, (n + 1) // 2), F.arange(-(n // 2), 0)])
    return _frequencies(values, n, d, dtype, device, requires_grad)


@composite(function=False, out=True)
def fft_rfftfreq(n, d=1.0, *, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of rfft's bins: [0, 1, ..., n // 2] / (n d)."""
    return _frequencies(F.arange(0, n // 2 + 1), n, d, dtype, device, requires_grad)


def _shift_dims(x, dim):
    return list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)


@composite(function=False)
def fft_fftshift(input, dim=None):
    """The bins reordered so that frequency 0 is in the middle (dim None: of every dimension)."""
    dims = _shift_dims(input, dim)
    return F.roll(input, [input.shape[d] // 2 for d in dims], dims) if dims else input.clone()


@composite(function=False)
def fft_ifftshift(input, dim=None):
    """The inverse of fftshift."""
    dims = _shift_dims(input, dim)
    return F.roll(input, [(input.shape[d] + 1) // 2 for d in dims], dims) if dims else input.clone()
