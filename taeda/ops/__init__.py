"""The operator table. Importing this package fills `taeda.ops.table.TABLE`; nothing of the core is imported."""

from __future__ import annotations

from . import (  # noqa: F401
    activation,
    arithmetic,
    attention,
    bits,
    columns,
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
    grids,
    indexing,
    legacy,
    limits,
    loss,
    native,
    normalization,
    optim_steps,
    order,
    padding,
    pooling,
    random,
    recurrent,
    reduction,
    resize,
    scatter_reduce,
    segments,
    sets,
    shape,
    statistics,
    unpooling,
    view_copies,
    views,
    windows,
)
from .table import TABLE, lookup

__all__ = ["TABLE", "lookup"]
