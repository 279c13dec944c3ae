"""Nested arguments and results as a flat list and a description of the nest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


class Leaf:
    """Place of entry `index` of the flat list."""

    __slots__ = ("index",)

    def __init__(self, index: int):
        self.index = index


def flatten(value: Any, is_leaf: Callable[[Any], bool]) -> tuple[list[Any], Any]:
    """(leaves for which `is_leaf` holds, the nest with them replaced). Tuples, lists, dicts and dataclasses are
    walked."""
    leaves: list[Any] = []

    def place(x: Any) -> Leaf:
        leaves.append(x)
        return Leaf(len(leaves) - 1)

    return leaves, _replaced(value, is_leaf, place)


def unflatten(tree: Any, leaves: list[Any]) -> Any:
    """The nest with its leaves back."""
    return _replaced(tree, lambda x: isinstance(x, Leaf), lambda leaf: leaves[leaf.index])


def _replaced(x: Any, is_leaf: Callable[[Any], bool], new: Callable[[Any], Any]) -> Any:
    """The nest `x` with every leaf replaced by `new(leaf)`."""
    if is_leaf(x):
        return new(x)
    if isinstance(x, tuple):
        items = [_replaced(e, is_leaf, new) for e in x]
        if type(x) is tuple:
            return tuple(items)
        return type(x)._make(items) if hasattr(x, "_make") else type(x)(items)  # a named tuple takes its items apart
    if type(x) is list:
        return [_replaced(e, is_leaf, new) for e in x]
    if type(x) is dict:
        return {k: _replaced(e, is_leaf, new) for k, e in x.items()}
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = [f.name for f in dataclasses.fields(x) if f.init]
        return dataclasses.replace(x, **{name: _replaced(getattr(x, name), is_leaf, new) for name in fields})
    return x


def describe(tree: Any) -> Any:
    """Something hashable that is equal for equal nests with equal constants."""
    if isinstance(tree, Leaf):
        return ("leaf", tree.index)
    if isinstance(tree, (tuple, list)):
        return (type(tree), *map(describe, tree))
    if type(tree) is dict:
        return (dict, *((k, describe(v)) for k, v in tree.items()))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return (type(tree), *((f.name, describe(getattr(tree, f.name))) for f in dataclasses.fields(tree)))
    if isinstance(tree, float):
        return (float, tree.hex())
    if isinstance(tree, (int, str, bytes, bool, type(None))):
        return (type(tree), tree)
    try:
        hash(tree)
    except TypeError:
        return ("object", id(tree))
    return (type(tree), tree)
