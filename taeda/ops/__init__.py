"""The operator table. Importing this package fills `taeda.ops.table.TABLE`; nothing of the core is imported."""

from __future__ import annotations

from . import (  # noqa: F401
    activation,
    arithmetic,
    attention,
    bessel,
    bits,
    combine,
    compare,
    complex_tensor,
    contraction,
    control,
    convolution,
    counts,
    creation,
    differences,
    elementary,
    error_functions,
    gamma,
    indexing,
    integers,
    legacy,
    limits,
    loss,
    native,
    normalization,
    optim_steps,
    order,
    polynomials,
    pooling,
    random,
    recurrent,
    reduction,
    scatter_reduce,
    segments,
    sets,
    shape,
    statistics,
    view_copies,
    views,
    windows,
)
from .table import TABLE, lookup

__all__ = ["TABLE", "lookup"]
