"""Differences, derivatives and integrals of sampled functions."""

from __future__ import annotations

from .helpers import tensor_argument, wrap_dim
from .namespace import F
from .table import composite


@composite(
    method=True,
    out=True,
    samples=lambda t: [
        ((t(5),), {}),
        ((t(3, 4),), {"dim": 0}),
        ((t(3, 6),), {"n": 2}),
        ((t(4), 1, -1, t(2), t(1)), {}),
    ],
    oracle="lambda x, n=1, dim=-1, *ends, **k: numpy.diff(x, n, dim, *ends, **k)",
)
def diff(input, n=1, dim=-1, prepend=None, append=None):
    """n-th differences along a dimension, with prepend and append joined to it first."""
    tensor_argument("diff", "input", input)
    if input.dim() == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"diff(): order must be non-negative but got {n}")
    dim = wrap_dim(dim, input.dim())
    for x in (prepend, append):
        if x is None:
            continue
        if x.dim() != input.dim():
            raise RuntimeError(
                f"diff expects prepend or append to be the same dimension as input, got {x.dim()} and {input.dim()}"
            )
        if any(k != dim and a != b for k, (a, b) in enumerate(zip(x.shape, input.shape))):
            raise RuntimeError(
                f"diff expects the shape of tensor to prepend or append to match that of input except along the "
                f"differencing dimension; input.size() = {list(input.shape)}, but got {list(x.shape)}"
            )
    parts = [x for x in (prepend, input, append) if x is not None]
    x = F.cat(parts, dim) if len(parts) > 1 else input if n else F.clone(input)
    for _ in range(min(n, x.shape[dim]) if n > 1 else n):
        ahead, behind = F.slice(x, dim, 1, None, 1), F.slice(x, dim, 0, -1, 1)
        x = F.ne(ahead, behind) if x.dtype is F.bool else ahead - behind
    return x


# -- integrals ---------------------------------------------------------------------------------------------------------
def _steps(op, y, x, dx, dim):
    """The widths of the intervals along `dim`: a number, or a tensor that broadcasts with y's intervals."""
    tensor_argument(op, "y", y)
    if y.dim() == 0:
        raise IndexError(f"{op}(): y has no dimension to integrate along")
    if y.dtype is F.bool:
        raise RuntimeError(f"{op}(): y must not be bool")
    if x is None:
        if isinstance(dx, (complex, bool)):
            raise RuntimeError(f"{op}(): dx must be a real number, got {dx!r}")
        return dx
    tensor_argument(op, "x", x)
    if x.dtype is F.bool:
        raise RuntimeError(f"{op}(): x must not be bool")
    if x.dim() == 0:  # a number: every step is 0
        return F.expand(x * 0, [1] * y.dim())
    if x.dim() == 1:
        if y.dim() and x.shape[0] != y.shape[dim]:
            raise RuntimeError(
                f"{op}(): x must have one value for each of y along dim {dim}, got {x.shape[0]} for {y.shape[dim]}"
            )
        x = F.reshape(x, [-1 if d == dim else 1 for d in range(y.dim())])
    elif x.dim() < y.dim():
        x = F.reshape(x, [1] * (y.dim() - x.dim()) + list(x.shape))
    at = dim - y.dim() + x.dim()
    return F.slice(x, at, 1, None, 1) - F.slice(x, at, 0, -1, 1)


def _areas(op, y, x, dx, dim):
    steps = _steps(op, y, x, dx, dim)
    return (F.slice(y, dim, 0, -1, 1) + F.slice(y, dim, 1, None, 1)) * steps


@composite(
    method=True,
    aliases=("trapz",),
    samples=lambda t: [
        ((t(5),), {}),
        ((t(3, 4),), {"dx": 0.5}),
        ((t(3, 4), t.sorted(4)), {}),
        ((t(3, 4), t(3, 4)), {}),
    ],
    oracle="lambda y, x=None, dx=1: numpy.trapezoid(y, x, dx)",
)
def trapezoid(y, x=None, *, dx=1, dim=-1):
    """Integral along a dimension by the trapezoidal rule, over points x or steps dx."""
    tensor_argument("trapezoid", "y", y)
    dim = wrap_dim(dim, y.dim())
    if y.dim() and y.shape[dim] == 0:
        return F.zeros([*y.shape[:dim], *y.shape[dim + 1 :]], dtype=y.dtype)
    return F.div(F.sum(_areas("trapezoid", y, x, dx, dim), (dim,)), 2.0)


@composite(
    method=False,
    samples=lambda t: [((t(5),), {}), ((t(3, 4),), {"dx": 0.5}), ((t(3, 4), t.sorted(4)), {})],
    oracle="lambda y, x=None, dx=1: scipy.integrate.cumulative_trapezoid(y, x, dx)",
)
def cumulative_trapezoid(y, x=None, *, dx=1, dim=-1):
    """Running integral along a dimension by the trapezoidal rule, one value an interval."""
    tensor_argument("cumulative_trapezoid", "y", y)
    dim = wrap_dim(dim, y.dim())
    return F.div(F.cumsum(_areas("cumulative_trapezoid", y, x, dx, dim), dim), 2.0)


# -- derivatives -------------------------------------------------------------------------------------------------------
def _part(x, dim, start, end):
    return F.slice(x, dim, start, end, 1)


def _even_derivative(x, dim, step, edge_order):
    inner = (_part(x, dim, 2, None) - _part(x, dim, 0, -2)) / (2 * step)
    if edge_order == 1:
        first = (_part(x, dim, 1, 2) - _part(x, dim, 0, 1)) / step
        last = (_part(x, dim, -1, None) - _part(x, dim, -2, -1)) / step
    else:
        first = (_part(x, dim, 0, 1) * -1.5 + _part(x, dim, 1, 2) * 2 - _part(x, dim, 2, 3) * 0.5) / step
        last = (_part(x, dim, -1, None) * 1.5 - _part(x, dim, -2, -1) * 2 + _part(x, dim, -3, -2) * 0.5) / step
    return F.cat([first, inner, last], dim)


def _uneven_derivative(x, dim, points, edge_order):
    """Weights of second order for unequal steps, as those of Fornberg (1988) for three points."""
    steps = F.reshape(F.diff(points), [-1 if d == dim else 1 for d in range(x.dim())])
    h, k = _part(steps, dim, 0, -1), _part(steps, dim, 1, None)
    before, here, after = -k / (h * (h + k)), (k - h) / (h * k), h / (k * (h + k))
    inner = before * _part(x, dim, 0, -2) + here * _part(x, dim, 1, -1) + after * _part(x, dim, 2, None)
    if edge_order == 1:
        first = (_part(x, dim, 1, 2) - _part(x, dim, 0, 1)) / _part(steps, dim, 0, 1)
        last = (_part(x, dim, -1, None) - _part(x, dim, -2, -1)) / _part(steps, dim, -1, None)
    else:
        h, k = _part(steps, dim, 0, 1), _part(steps, dim, 1, 2)
        first = (
            _part(x, dim, 0, 1) * (-(2 * h + k) / (h * (h + k)))
            + _part(x, dim, 1, 2) * ((h + k) / (h * k))
            + _part(x, dim, 2, 3) * (-h / (k * (h + k)))
        )
        h, k = _part(steps, dim, -2, -1), _part(steps, dim, -1, None)
        last = (
            _part(x, dim, -3, -2) * (k / (h * (h + k)))
            + _part(x, dim, -2, -1) * (-(h + k) / (h * k))
            + _part(x, dim, -1, None) * ((h + 2 * k) / (k * (h + k)))
        )
    return F.cat([first, inner, last], dim)


def _spacings(spacing, dims, given, ndim):
    """One number or vector of points a dimension."""
    if isinstance(spacing, F.Tensor) and spacing.dim() == 0:
        spacing = spacing.item()
    if isinstance(spacing, (int, float, complex)):
        return [spacing] * len(dims)
    if isinstance(spacing, F.Tensor) or not isinstance(spacing, (tuple, list)):
        raise TypeError(
            f"gradient(): argument 'spacing' must be a number, or a list of numbers or of Tensors, not "
            f"{type(spacing).__name__}"
        )
    if len(spacing) != len(dims):
        if given:
            raise RuntimeError(f"gradient(): spacing has {len(spacing)} entries for {len(dims)} dimensions in dim")
        raise RuntimeError(f"gradient(): spacing has {len(spacing)} entries for {ndim} dimensions of input")
    return list(spacing)


@composite(
    samples=lambda t: [
        ((t(5),), {}),
        ((t(4, 5),), {"spacing": 0.5}),
        ((t(4, 5),), {"spacing": [0.5, 2.0], "edge_order": 2}),
        ((t(4, 5),), {"dim": 1}),
        ((t(4, 5),), {"spacing": [t.sorted(4), t.sorted(5)]}),
        ((t(4, 5),), {"spacing": [t.sorted(5)], "dim": 1, "edge_order": 2}),
    ],
    oracle="oracles.gradient",
)
def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """Derivatives of a sampled function along its dimensions (or those of `dim`), a tuple: central differences inside,
    one-sided ones of order edge_order at the ends. spacing: a step, a step a dimension, or a vector of points a
    dimension.
    """
    tensor_argument("gradient", "input", input)
    if input.dtype is F.uint8 or input.dtype is F.bool:
        raise RuntimeError(f"gradient(): differences need a signed dtype, got {input.dtype}")
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient(): edge_order must be 1 or 2, got {edge_order}")
    n = input.dim()
    dims = list(range(n)) if dim is None else [wrap_dim(d, n) for d in ((dim,) if isinstance(dim, int) else dim)]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"gradient(): a dim appears multiple times in the list of dims: {dims}")
    found = []
    for d, step in zip(dims, _spacings(spacing, dims, dim is not None, n)):
        if input.shape[d] < edge_order + 1:
            raise RuntimeError(
                f"gradient(): dimension {d} of size {input.shape[d]} is too short for edge_order={edge_order}"
            )
        if isinstance(step, F.Tensor) and step.dim() == 1:
            if step.shape[0] != input.shape[d]:
                raise RuntimeError(
                    f"gradient(): the spacing of dim {d} must have {input.shape[d]} points, got {step.shape[0]}"
                )
            found.append(_uneven_derivative(input, d, step, edge_order))
        else:
            found.append(_even_derivative(input, d, step, edge_order))
    return tuple(found)
