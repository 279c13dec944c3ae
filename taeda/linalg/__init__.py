"""`taeda.linalg`: linear algebra with PyTorch's signatures. The operators live in the table under `linalg_<name>`;
LAPACK (OpenBLAS) is loaded by the first call that needs it."""

from __future__ import annotations

from .._bind import public_names as _public_names
from .errors import LinAlgError as LinAlgError

globals().update(_public_names("linalg_"))

__all__ = sorted(["LinAlgError", *_public_names("linalg_")])
