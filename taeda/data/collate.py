"""Samples to batches."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import taeda


def _is_numpy(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic))


def default_convert(data: Any) -> Any:
    """NumPy arrays in nested collections become tensors; all else stays."""
    if isinstance(data, taeda.Tensor):
        return data
    if _is_numpy(data):
        return data if data.dtype.kind in "SUO" else taeda.as_tensor(data)
    if isinstance(data, Mapping):
        return {k: default_convert(v) for k, v in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, (list, tuple)):
        return [default_convert(v) for v in data]
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """Stacks a list of samples: tensors along a new first dim, numbers to a tensor, collections entry by entry."""
    first = batch[0]
    if isinstance(first, taeda.Tensor):
        return taeda.stack(list(batch), 0)
    if _is_numpy(first):
        if first.dtype.kind in "SUO":
            raise TypeError(
                f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {first.dtype}"
            )
        return taeda.stack([taeda.as_tensor(v) for v in batch], 0)
    if isinstance(first, float):
        return taeda.tensor(list(batch), dtype=taeda.float64)
    if isinstance(first, int):
        return taeda.tensor(list(batch))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch)))
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(column) for column in zip(*batch)]
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}"
    )
