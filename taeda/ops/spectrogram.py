"""Short-time Fourier transforms."""

from __future__ import annotations

from .fft import NONE, ROOT
from .linalg_checks import check_tensor, dtype_name
from .namespace import F
from .table import composite


def _window(name, window, win_length, n_fft, like):
    """A window of size n_fft with the given one in its middle; None: ones."""
    if window is not None and (window.dim() != 1 or window.shape[0] != win_length):
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={win_length}, but got window with size "
            f"{list(window.shape)}"
        )
    if window is None:
        if win_length == n_fft:
            return None
        window = F.ones((win_length,), dtype=like)
    if win_length < n_fft:
        left = (n_fft - win_length) // 2
        window = F.pad(window, (left, n_fft - win_length - left))
    return window


def _part(dtype):
    return {F.complex64: F.float32, F.complex128: F.float64}.get(dtype, dtype)


@composite(method=True)
def stft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
    align_to_window=None,
):
    """The transforms of overlapping pieces of a signal [T] or [B, T]: [..., bins, frames].

    n_fft: size of a piece; hop_length (n_fft // 4): distance of pieces; window, of win_length (n_fft) values, is padded to
    n_fft. center: pieces are centred at t * hop_length, the signal padded by pad_mode. onesided: bins up to n_fft // 2
    only (default for real signals). normalized: scaled by 1 / sqrt(n_fft). return_complex=False: [..., bins, frames, 2].
    """
    check_tensor("stft", input, "input")
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false")
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    if not (input.is_floating_point() or input.is_complex()):
        raise RuntimeError(f"stft: expected a tensor of floating point or complex values, got {dtype_name(input)}")
    if input.dim() not in (1, 2):
        raise RuntimeError(f"stft: expected a 1D or 2D tensor, got {input.dim()}D")
    if return_complex is None:
        return_complex = input.is_complex() or (window is not None and window.is_complex())
        if not return_complex:
            raise RuntimeError(
                "stft requires the return_complex parameter be given for real inputs: return_complex=True"
            )
    x = input if input.dim() == 2 else F.unsqueeze(input, 0)
    if center:
        pad = n_fft // 2
        x = F.pad(x, (pad, pad), pad_mode) if not x.is_complex() else _pad_complex(x, pad, pad_mode)
    total = x.shape[-1]
    if n_fft <= 0 or n_fft > total:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {total}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"stft: expected hop_length > 0, but got hop_length={hop}")
    if length <= 0 or length > n_fft:
        raise RuntimeError(f"stft: expected 0 < win_length <= n_fft, but got win_length={length}")
    window = _window("stft", window, length, n_fft, _part(input.dtype))
    if align_to_window and length < n_fft:  # the first frame begins with the window, not with its padding
        left = (n_fft - length) // 2
        x = F.pad(x, (left, n_fft - length - left))
    frames = x.unfold(-1, n_fft, hop)
    if window is not None:
        frames = frames * window
    compound = frames.is_complex()
    if onesided is None:
        onesided = not compound
    if onesided and compound:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    how = ROOT if normalized else NONE
    found = F._fft_c2c(frames, (-1,), how, True) if compound else F._fft_r2c(frames, (-1,), how, onesided)
    found = F.transpose(found, 1, 2)
    if input.dim() == 1:
        found = F._squeeze(found, 0)
    return found if return_complex else F.view_as_real(found)


def _pad_complex(x, pad, mode):
    parts = [F.pad(p, (pad, pad), mode) for p in (F.real(x), F.imag(x))]
    return F.complex(*parts)


@composite(method=True)
def istft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    """The signal [T] or [B, T] whose stft is closest to `input` [..., bins, frames] (Griffin and Lim, 1984): windowed inverse
    transforms are added up and divided by the sum of squared windows."""
    check_tensor("istft", input, "input")
    if not input.is_complex():
        raise RuntimeError(
            "istft requires a complex-valued input tensor matching the output from stft(return_complex=True)"
        )
    hop = n_fft // 4 if hop_length is None else hop_length
    size = n_fft if win_length is None else win_length
    if input.dim() not in (2, 3):
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions, but got {input.dim()}")
    if input.numel() == 0:
        raise RuntimeError("istft: input tensor cannot be empty.")
    x = input if input.dim() == 3 else F.unsqueeze(input, 0)
    bins, frames = x.shape[1], x.shape[2]
    onesided = bins != n_fft if onesided is None else onesided
    wanted = n_fft // 2 + 1 if onesided else n_fft
    if bins != wanted:
        raise RuntimeError(
            f"istft: expected the frequency dimension to have size {wanted} (onesided={onesided}), got {bins}"
        )
    if not 0 < hop <= size:
        raise RuntimeError(f"istft: expected 0 < hop_length <= win_length, got hop_length={hop} and win_length={size}")
    if not 0 < size <= n_fft:
        raise RuntimeError(f"istft: expected 0 < win_length <= n_fft, got win_length={size}")
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    real = _part(input.dtype)
    if window is not None and window.is_complex() and not return_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    window = _window("istft", window, size, n_fft, real)
    if window is None:
        window = F.ones((n_fft,), dtype=real)
    x = F.transpose(x, 1, 2)
    norm = "ortho" if normalized else None
    if return_complex:
        pieces = F.fft_ifft(x, None, -1, norm)
    else:
        half = F.narrow(x, -1, 0, n_fft // 2 + 1) if not onesided else x
        pieces = F.fft_irfft(half, n_fft, -1, norm)
    total = n_fft + hop * (frames - 1)
    signal = _overlapped(pieces * window, total, hop)
    weight = _overlapped(F.expand(F.square(window), (1, frames, n_fft)), total, hop)
    start = n_fft // 2 if center else 0
    if length is not None:
        end = start + length
    else:
        end = total - n_fft // 2 if center else total
    stop = min(end, total)
    signal, weight = signal[:, start:stop], weight[:, start:stop]
    if float(F.amin(F.abs(weight)).item()) <= 1e-11:
        raise RuntimeError(
            f"istft: window overlap add min: {float(F.amin(F.abs(weight)).item())}, but it must not be 0"
        )
    signal = signal / weight
    if end > total:
        signal = F.pad(signal, (0, end - total))
    return signal if input.dim() == 3 else F._squeeze(signal, 0)


def _overlapped(pieces, total, hop):
    """Pieces [B, frames, n] added up at distances of `hop`: [B, total]."""
    batch, frames, n = pieces.shape
    at = F.unsqueeze(F.arange(frames) * hop, 1) + F.arange(n)
    zeros = F.zeros((batch, total), dtype=pieces.dtype)
    return F.index_add(zeros, 1, F.reshape(at, (-1,)), F.reshape(pieces, (batch, -1)))
