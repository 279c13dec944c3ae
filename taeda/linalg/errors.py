"""The error of matrices that have no factorisation."""

from __future__ import annotations


class LinAlgError(RuntimeError):
    """A matrix is singular or not positive-definite, or an iteration did not converge."""
