"""The operator table. Importing this package fills `taeda.ops.table.TABLE`; nothing of the core is imported."""

from __future__ import annotations

from . import (  # noqa: F401
    activation,
    arithmetic,
    attention,
    bits,
    compare,
    complex_tensor,
    contraction,
    convolution,
    creation,
    elementary,
    indexing,
    limits,
    linalg_factor,
    linalg_host,
    linalg_norms,
    linalg_solve,
    linalg_spectral,
    loss,
    normalization,
    optim_steps,
    pooling,
    random,
    reduction,
    scatter_reduce,
    shape,
    views,
)
from .table import TABLE, lookup

__all__ = ["TABLE", "lookup"]
