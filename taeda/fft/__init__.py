"""`taeda.fft`: discrete Fourier transforms with PyTorch's signatures. The operators live in the table under
`fft_<name>`; NumPy's transforms are loaded by the first call (docs/decisions/0020-fourier-transforms.md)."""

from __future__ import annotations

from .._bind import public_names as _public_names

globals().update(_public_names("fft_"))

__all__ = sorted(_public_names("fft_"))
