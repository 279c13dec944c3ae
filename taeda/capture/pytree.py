"""Nested arguments and results as a flat list and a description of the nest."""

from __future__ import annotations

import dataclasses
from typing import Any


class Leaf:
    """Place of entry `index` of the flat list."""

    __slots__ = ("index",)

    def __init__(self, index: int):
        self.index = index


def flatten(value: Any, is_leaf) -> tuple[list[Any], Any]:
    """(leaves for which `is_leaf` holds, the nest with them replaced). Tuples, lists, dicts and dataclasses are
    walked."""
    leaves: list[Any] = []

    def walk(x: Any) -> Any:
        if is_leaf(x):
            leaves.append(x)
            return Leaf(len(leaves) - 1)
        if isinstance(x, tuple):
            items = [walk(e) for e in x]
            if hasattr(x, "_fields") and type(x).__init__ is tuple.__init__ and not hasattr(type(x), "_name"):
                return type(x)(*items)
            return tuple(items) if type(x) is tuple else type(x)(items)
        if type(x) is list:
            return [walk(e) for e in x]
        if type(x) is dict:
            return {k: walk(e) for k, e in x.items()}
        if dataclasses.is_dataclass(x) and not isinstance(x, type):
            return dataclasses.replace(x, **{f.name: walk(getattr(x, f.name)) for f in dataclasses.fields(x) if f.init})
        return x

    return leaves, walk(value)


def unflatten(tree: Any, leaves: list[Any]) -> Any:
    """The nest with its leaves back."""

    def walk(x: Any) -> Any:
        if isinstance(x, Leaf):
            return leaves[x.index]
        if isinstance(x, tuple):
            items = [walk(e) for e in x]
            if hasattr(x, "_fields") and type(x).__init__ is tuple.__init__ and not hasattr(type(x), "_name"):
                return type(x)(*items)
            return tuple(items) if type(x) is tuple else type(x)(items)
        if type(x) is list:
            return [walk(e) for e in x]
        if type(x) is dict:
            return {k: walk(e) for k, e in x.items()}
        if dataclasses.is_dataclass(x) and not isinstance(x, type):
            return dataclasses.replace(x, **{f.name: walk(getattr(x, f.name)) for f in dataclasses.fields(x) if f.init})
        return x

    return walk(tree)


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
