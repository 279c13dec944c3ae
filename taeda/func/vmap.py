"""`vmap`: a function of one example becomes a function of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .. import _core
from ..ops.namespace import F
from . import batched_index  # noqa: F401  (registers its rules)
from .batched import Batched, VmapLevel
from .errors import random_in_error_mode
from .levels import stack, value_of

Tensor = _core.Tensor
_RANDOMNESS = ("error", "different", "same")


def _children(nest: Any) -> list | None:
    """The values directly inside a tuple, list or dict; None for a leaf."""
    if isinstance(nest, (tuple, list)):
        return list(nest)
    return list(nest.values()) if isinstance(nest, dict) else None


def _rebuilt(nest: Any, children: list) -> Any:
    if isinstance(nest, dict):
        return type(nest)(zip(nest, children))
    if isinstance(nest, tuple) and hasattr(nest, "_make"):
        return type(nest)._make(children)
    return type(nest)(children)


def tree_map(fn: Callable, nest: Any, *others: Any) -> Any:
    """`fn` of every leaf (and the values in the same places of `others`, whose nests may end earlier)."""
    children = _children(nest)
    if children is None:
        return fn(nest, *others)
    columns = []
    for other in others:
        inside = _children(other)
        if inside is None or (isinstance(nest, dict) != isinstance(other, dict)):
            columns.append([other] * len(children))
        elif isinstance(nest, dict):
            columns.append([other[k] for k in nest])
        else:
            columns.append(inside)
        if len(columns[-1]) != len(children):
            raise ValueError(f"the nests differ: {len(children)} and {len(columns[-1])} values")
    return _rebuilt(nest, [tree_map(fn, child, *column) for child, *column in zip(children, *columns)])


def leaves(nest: Any) -> list:
    """The leaves of tuples, lists and dicts, in order."""
    children = _children(nest)
    return [nest] if children is None else [x for child in children for x in leaves(child)]


def fits(prefix: Any, nest: Any) -> bool:
    """Whether `prefix` has the structure of `nest`, or ends earlier."""
    inside, children = _children(prefix), _children(nest)
    if inside is None:
        return True
    if children is None or len(inside) != len(children) or isinstance(prefix, dict) != isinstance(nest, dict):
        return False
    return all(map(fits, inside, children))


def _checked(name: str, in_dims: Any, args: tuple) -> tuple:
    """Per argument its in_dims."""
    if not isinstance(in_dims, (int, tuple)) or isinstance(in_dims, bool):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) "
            f"tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
            "function with no inputs. The latter is unsupported."
        )
    if isinstance(in_dims, int):
        return (in_dims,) * len(args)
    if not fits(in_dims, args):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of `inputs`: "
            f"{len(args)} arguments were given."
        )
    return in_dims


def _dimension(name: str, x: Any, dim: Any) -> int | None:
    """Which dimension of leaf `x` is the batch."""
    if dim is None:
        return None
    if not isinstance(dim, int):
        raise ValueError(f"vmap({name}): Got in_dim={dim} for an input but in_dim must be either an integer or None.")
    if not isinstance(x, Tensor):
        raise ValueError(
            f"vmap({name}): Got in_dim={dim} for an input but the input is of type {type(x)}. We cannot vmap over "
            "non-Tensor arguments, please use None as the respective in_dim"
        )
    if not -x.dim() <= dim < x.dim():
        raise ValueError(
            f"vmap({name}): Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {x.dim()} so "
            f"expected in_dim to satisfy -{x.dim()} <= in_dim < {x.dim()}."
        )
    return dim % x.dim()


def _batch_size(name: str, args: tuple, dims: tuple) -> int:
    sizes: list[int] = []

    def note(x: Any, dim: Any) -> None:
        at = _dimension(name, x, dim)
        if at is not None:
            sizes.append(x.shape[at])

    tree_map(note, args, dims)
    if not sizes:
        raise ValueError(f"vmap({name})(<inputs>): got no Tensor to vmap over; at least one in_dim must not be None.")
    if any(s != sizes[0] for s in sizes):
        raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes}")
    return sizes[0]


def _front(x: Tensor, dim: int) -> Tensor:
    return F.movedim(x, dim, 0) if dim else x


def _unwrapped(name: str, level: VmapLevel, y: Any, dim: Any) -> Any:
    """What one output is outside of the level."""
    if not isinstance(y, Tensor):
        raise ValueError(
            f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(y)}. Did you mean to set out_dims= to "
            "None for output?"
            if dim is not None
            else f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(y)}."
        )
    inner = level.inner(y)
    if dim is None:
        if inner is not None:
            raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
        return y
    inner = level.expanded(y) if inner is None else inner
    n = inner.dim()
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return F.movedim(inner, 0, dim) if dim % n else inner


def _run(func: Callable, name: str, dims: tuple, out_dims: Any, randomness: str, size: int, args: tuple, kwargs) -> Any:
    with VmapLevel(size, randomness) as level:

        def enter(x: Any, dim: Any) -> Any:
            at = _dimension(name, x, dim)
            return x if at is None else level.wrap(_front(x, at))

        result = func(*tree_map(enter, args, dims), **kwargs)
        if not fits(out_dims, result):
            raise ValueError(
                f"vmap({name}, ..., out_dims={out_dims}): out_dims is not compatible with the structure of `outputs`."
            )
        return tree_map(lambda y, dim: _unwrapped(name, level, y, dim), result, out_dims)


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """A function that maps `func` over a dimension of its inputs, without a loop: operators run once on the batch.

    in_dims: which dimension of each argument is the batch: an int, None (the same for all), or a nest of them like the
    arguments. out_dims: where the batch goes in each output. randomness: what random operators do: "error", "different"
    numbers for every element, or the "same". chunk_size: at most so many elements at a time. Keyword arguments are
    handed on as they are. Transforms nest.
    """
    if randomness not in _RANDOMNESS:
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", type(func).__name__)

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        dims = _checked(name, in_dims, args)
        size = _batch_size(name, args, dims)
        if chunk_size is None or size <= chunk_size:
            return _run(func, name, dims, out_dims, randomness, size, args, kwargs)
        parts = []
        for start in range(0, size, chunk_size):
            stop = min(start + chunk_size, size)

            def cut(x: Any, dim: Any, start=start, stop=stop) -> Any:
                at = _dimension(name, x, dim)
                return x if at is None else F.slice(x, at, start, stop, 1)

            part = tree_map(cut, args, dims)
            parts.append(_run(func, name, dims, out_dims, randomness, stop - start, part, kwargs))
        return tree_map(
            lambda first, dim, *rest: first if dim is None else F.cat([first, *rest], dim),
            parts[0],
            out_dims,
            *parts[1:],
        )

    return mapped


def _batching() -> bool:
    return any(isinstance(level, VmapLevel) for level in stack())


def randomized(fill: Callable, size: Any) -> Tensor:
    """Random numbers of `size`, drawn by `fill(size)`, as the transforms under way want them."""
    sizes = list(size)
    different = []
    for level in stack():
        if isinstance(level, VmapLevel):
            if level.randomness == "error":
                raise random_in_error_mode(fill.__name__)
            if level.randomness == "different":
                different.append(level)
    found = fill((*(level.size for level in different), *sizes))
    for level in different:  # the outermost hides the first dimension
        found = level.wrap(found)
    return found


def spread(made: Tensor, like: Tensor) -> Tensor:
    """A new tensor with memory of its own for every element of the batches that `like` stands for, so that it can be
    written."""
    levels: list = []
    v = value_of(like)
    while isinstance(v, Batched):
        if value_of(made) is not None:
            return made
        levels.insert(0, v.level)
        v = value_of(v.inner)
    if levels:
        sizes = [level.size for level in levels]
        made = F.clone(F.expand(made, (*sizes, *made.shape))).contiguous()
        for level in levels:
            made = level.wrap(made)
    return made


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """The tensor behind a transform's, of all of them if `recurse`: to look at values while debugging only."""
    v = value_of(tensor)
    if v is None:
        return tensor
    return debug_unwrap(v.inner) if recurse else v.inner


vars(F).update(
    randomized=randomized,
    spread=spread,
    transforming=_batching,
    values_known=lambda: not (_batching() or _core.is_tracing()),
)
