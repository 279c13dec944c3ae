"""Small argument helpers that several families share."""

from __future__ import annotations

from .namespace import F


def wrap_dim(dim: int, ndim: int) -> int:
    """`dim` counted from the front; a 0-d tensor accepts 0 and -1."""
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim % limit


def wrap_dims(dim, ndim: int) -> list[int]:
    """Every reduced dimension from the front, ascending; None and () mean all."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return list(range(ndim))
    dims = sorted(wrap_dim(d, ndim) for d in ((dim,) if isinstance(dim, int) else dim))
    for k, a in enumerate(dims[1:]):
        if a == dims[k]:
            raise RuntimeError(f"dim {a} appears multiple times in the list of dims")
    return dims if ndim else []


def ints(args) -> list:
    """Sizes given as f(2, 3) or f((2, 3))."""
    return list(args[0]) if len(args) == 1 and isinstance(args[0], (tuple, list)) else list(args)


def product(sizes):
    """Product of the sizes, symbolic ones included."""
    n = 1
    for s in sizes:
        n = n * s
    return n


def reduced_count(shape, dim):
    """How many elements each result of a reduction over `dim` (None: all) takes in."""
    return product(shape[d] for d in wrap_dims(dim, len(shape)))


def unreduce(g, shape, dim, keepdim):
    """The gradient (or result) of a reduction with its reduced dimensions put back as size 1."""
    if not keepdim and len(shape):
        for d in wrap_dims(dim, len(shape)):
            g = F.unsqueeze(g, d)
    return g


def pair(value, name: str, op: str, n: int = 2, numbers: bool = False) -> list:
    """`value` as n ints (or numbers, or Nones where the caller takes them): one is repeated."""
    several = isinstance(value, (tuple, list))
    for v in value if several else (value,):
        if isinstance(v, (str, bytes, list, tuple, F.Tensor)) or (isinstance(v, float) and not numbers):
            found = f"{type(value).__name__} of {type(v).__name__}" if several else type(v).__name__
            raise TypeError(
                f"{op}(): argument '{name}' must be {'float' if numbers else 'int'} or {n} of them, not {found}"
            )
    if not several:
        return [value] * n
    if len(value) == 1:
        return list(value) * n
    if len(value) != n:
        raise RuntimeError(f"{op}(): {name} must be one number or {n}, got {len(value)}")
    return list(value)


def tensor_argument(op: str, name: str, value) -> None:
    """Raises unless `value` is a tensor."""
    if not isinstance(value, F.Tensor):
        raise TypeError(f"{op}(): argument '{name}' must be Tensor, not {type(value).__name__}")


def kept(x, dim, keepdim):
    """x, whose reduced dimension is still there with size 1, without it unless keepdim."""
    return x if keepdim or not x.dim() else F._squeeze(x, (dim,))
