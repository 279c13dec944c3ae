"""The operator table. Importing this package fills `taeda.ops.table.TABLE`; nothing of the core is imported."""

from __future__ import annotations

from . import (  # noqa: F401  (the order in which families appear in the documentation)
    arithmetic,
    compare,
    elementary,
    activation,
    reduction,
    shape,
    indexing,
    creation,
    random,
    contraction,
    normalization,
    loss,
    convolution,
    pooling,
    attention,
    optim_steps,
)
from .table import TABLE, lookup

__all__ = ["TABLE", "lookup"]
