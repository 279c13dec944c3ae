"""`rearrange`: dimensions by name, in the notation of einops."""

from __future__ import annotations

import functools
import re
from typing import Any

from .. import _core
from ..ops.namespace import F

Tensor = _core.Tensor

_ELLIPSIS = "..."
#: The group of an ellipsis that stands for dimensions of their own. Compared by identity.
_REST = (_ELLIPSIS,)


def _side(text: str) -> list[tuple[str, ...]]:
    """The groups of one side of a pattern: the names inside of parentheses, or one name; `1` is left out. An ellipsis
    that is not in parentheses is `_REST`."""
    if "." in text.replace(_ELLIPSIS, "") or text.count(_ELLIPSIS) > 1:
        raise ValueError("Expression may contain dots only inside ellipsis (...); only one ellipsis for tensor")
    groups: list[tuple[str, ...]] = []
    inside = False
    for token in re.findall(r"\.\.\.|[()]|\w+|\S", text):
        if token == "(":
            if inside:
                raise ValueError("Axis composition is one-level (brackets inside brackets not allowed)")
            groups.append(())
            inside = True
        elif token == ")":
            if not inside:
                raise ValueError(f"Imbalanced parentheses in expression: {text!r}")
            inside = False
        elif inside:
            groups[-1] += _names(token)
        else:
            groups.append(_REST if token == _ELLIPSIS else _names(token))
    if inside:
        raise ValueError(f"Imbalanced parentheses in expression: {text!r}")
    return groups


def _names(token: str) -> tuple[str, ...]:
    if token == "1":
        return ()
    if token == _ELLIPSIS:
        return (token,)
    if not re.fullmatch(r"\w+", token):
        raise ValueError(f"Unknown character {token!r}")
    if token.isdecimal():
        raise ValueError(f"rearrange only supports unnamed axes of size 1, got {token}")
    if not token.isidentifier() or token[0] == "_" or token[-1] == "_":
        raise ValueError(
            f"Invalid axis identifier: {token}; names are Python identifiers without underscores at the ends"
        )
    return (token,)


@functools.lru_cache(256)
def _parsed(pattern: str, given: tuple[str, ...]) -> tuple[list, list]:
    if pattern.count("->") != 1:
        raise ValueError("Pattern must contain a single '->' separator")
    left, right = map(_side, pattern.split("->"))
    names, others = ([n for group in side for n in group] for side in (left, right))
    for side in (names, others):
        for n in side:
            if side.count(n) > 1:
                raise ValueError(f"Indexing expression contains duplicate dimension {n!r}")
    if any(_ELLIPSIS in group and group is not _REST for group in left):
        raise ValueError(f"Ellipsis is parenthesis in the left side is not allowed: {pattern}")
    if _ELLIPSIS in others and _ELLIPSIS not in names:
        raise ValueError(f"Ellipsis found in right side, but not left side of a pattern {pattern}")
    if set(names) != set(others):
        raise ValueError(
            "Identifiers only on one side of rearrange expression (should be on both): "
            f"{sorted(set(names) ^ set(others))}"
        )
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"Identifiers not found in rearrange expression: {unknown}")
    return left, right


def _sizes(group: tuple[str, ...], size: int, lengths: dict[str, int], pattern: str) -> list[int]:
    """The sizes of the names that make up one dimension."""
    open_names = [n for n in group if n not in lengths]
    product = 1
    for n in group:
        product *= lengths.get(n, 1)
    if len(open_names) > 1:
        raise ValueError(f"rearrange({pattern!r}): cannot infer the sizes of two dimensions at once: {open_names}")
    if size % product if open_names and product else size != product:
        raise ValueError(f"rearrange({pattern!r}): a dimension of size {size} is not made of {group} with {lengths}")
    return [lengths.get(n, size // max(product, 1)) for n in group]


def rearrange(tensor: Tensor | list[Tensor] | tuple[Tensor, ...], pattern: str, **axes_lengths: int) -> Tensor:
    """Permutes, splits, joins, adds and drops dimensions as `pattern` says: "b (h w) c -> b c h w".

    Each side names the dimensions; names in parentheses make up one dimension, whose sizes come from `axes_lengths` but
    for one; `1` or `()` is a dimension of size 1; `...` stands for all that are not named. Several tensors are stacked:
    their number is the first dimension. The result is a view where one exists. ValueError for a pattern that is not well
    formed or does not fit the sizes.
    """
    x = tensor if isinstance(tensor, Tensor) else F.stack(tensor)
    left, right = _parsed(pattern, tuple(sorted(axes_lengths)))
    open_ended = any(group is _REST for group in left)
    named, rest = len(left) - open_ended, x.dim() - len(left) + open_ended
    if rest < 0 or (rest and not open_ended):
        raise ValueError(
            f"Number of dimensions in pattern ({named}) must be equal to the number of dimensions in the tensor "
            f"({x.dim()})"
        )
    sizes: list[int] = []
    places: dict[str, list[int]] = {}
    shape: list[Any] = list(x.shape)
    at = 0
    for group in left:
        if group is _REST:
            places[_ELLIPSIS] = list(range(len(sizes), len(sizes) + rest))
            sizes += shape[at : at + rest]
            at += rest
            continue
        for n, size in zip(group, _sizes(group, shape[at], axes_lengths, pattern)):
            places[n] = [len(sizes)]
            sizes.append(size)
        at += 1
    split = F.reshape(x, sizes)
    order = [p for group in right for n in group for p in places[n]]
    moved = F.permute(split, order)
    joined: list[int] = []
    for group in right:
        parts = [sizes[p] for n in group for p in places[n]]
        if group is _REST:
            joined += parts
        else:
            product = 1
            for size in parts:
                product *= size
            joined.append(product)
    return F.reshape(moved, joined)
