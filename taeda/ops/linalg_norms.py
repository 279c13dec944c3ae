"""Norms and products of matrices and vectors."""

from __future__ import annotations

from .helpers import wrap_dim
from .linalg_checks import check_field, check_same_dtype, check_square, check_tensor, dtype_name
from .namespace import F
from .table import composite

_INF = float("inf")


@composite(
    "_norm_zero",
    function=False,
    params="Tensor input, int[]? dim=None, bool keepdim=False",
    grad=lambda g: None,
)
def _norm_zero(input, dim, keepdim):
    """How many elements are not zero, in the input's dtype; flat everywhere."""
    return F.cast(F._count_nonzero(input, dim, keepdim), input.dtype)


# -- norms -------------------------------------------------------------------------------------------------------------
def _prepare(name, x, dtype, arg="input"):
    check_tensor(name, x, arg)
    if not (x.is_floating_point() or x.is_complex()):
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {dtype_name(x)}")
    if dtype is None:
        return x
    if not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"{name}: dtype should be floating point or complex. Got {dtype}")
    if dtype.is_complex != x.is_complex():
        kind = "complex" if x.is_complex() else "real"
        raise RuntimeError(f"{name}: dtype should be {kind} for {kind} inputs, but got {dtype}")
    if F.finfo(dtype).bits < F.finfo(x.dtype).bits:
        raise RuntimeError(
            f"{name}: the dtype of the input ({x.dtype}) should be convertible without narrowing to {dtype}"
        )
    return F.cast(x, dtype)


@composite(function=False, out=True)
def linalg_vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    """(sum |x|^ord)^(1/ord) over `dim` (default: all dimensions); ord inf and -inf: the largest and smallest |x|, 0: how
    many elements are not zero. dtype: computed in that dtype."""
    name = "linalg.vector_norm"
    if isinstance(ord, (str, bool)) or not isinstance(ord, (int, float)):
        raise TypeError(f"{name}(): argument 'ord' must be Number, not {type(ord).__name__}")
    x = _prepare(name, x, dtype)
    dims = range(x.dim()) if dim is None else [dim] if isinstance(dim, int) else list(dim) or range(x.dim())
    sizes = [x.shape[wrap_dim(d, x.dim())] for d in dims] if x.dim() else []
    if (ord < 0 or ord == _INF) and any(s == 0 for s in sizes):
        raise RuntimeError(
            f"{name} cannot compute the {ord} norm on an empty tensor because the operation does not have an identity"
        )
    return F.norm(x, ord, dim, keepdim)


def _matrix_dims(name, A, dim):
    if not isinstance(dim, (tuple, list)):
        raise TypeError(f"{name}(): argument 'dim' must be tuple of ints, not {type(dim).__name__}")
    if len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {dim}")
    first, second = (wrap_dim(d, A.dim()) for d in dim)
    if first == second:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    return first, second


@composite(function=False, out=True)
def linalg_matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    """A norm of the matrices in two dimensions: "fro", "nuc" (sum of singular values), 2 and -2 (largest and smallest
    singular value), 1 and -1 (of the sums of columns), inf and -inf (of the sums of rows)."""
    name = "linalg.matrix_norm"
    A = _prepare(name, A, dtype, "A")
    if A.dim() < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions, got {A.dim()}.")
    rows, columns = _matrix_dims(name, A, dim)
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"{name}: Order {ord} not supported.")
    elif abs(ord) not in (1, 2, _INF):
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    if ord == "fro":
        return F.linalg_vector_norm(A, 2, (rows, columns), keepdim)
    if ord == "nuc" or abs(ord) == 2:
        check_field(name, A)
        S = F.linalg_svdvals(F.movedim(A, (rows, columns), (-2, -1)))
        result = F.sum(S, -1) if ord == "nuc" else F.amax(S, -1) if ord > 0 else F.amin(S, -1)
        return F.unsqueeze(F.unsqueeze(result, min(rows, columns)), max(rows, columns)) if keepdim else result
    if abs(ord) == _INF:
        rows, columns = columns, rows
    sums = F.linalg_vector_norm(A, 1, rows, True)
    result = (F.amax if ord > 0 else F.amin)(sums, columns, True)
    return result if keepdim else F._squeeze(result, (rows, columns))


@composite(function=False, out=True)
def linalg_norm(A, ord=None, dim=None, keepdim=False, *, dtype=None):
    """A vector norm over one dimension, a matrix norm over two; ord None: the 2-norm of all elements, or over `dim`."""
    if dim is not None:
        dim = (dim,) if isinstance(dim, int) else tuple(dim)
        if len(dim) not in (1, 2):
            raise RuntimeError(f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dim)}")
    if ord is None:
        return F.linalg_vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and A.dim() not in (1, 2):
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {A.dim()}D."
        )
    if len(dim) == 2 if dim is not None else A.dim() == 2:
        return F.linalg_matrix_norm(A, ord, dim or (0, 1), keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise RuntimeError(f"linalg.norm: Order {ord} is a norm of matrices, the input is a vector")
    return F.linalg_vector_norm(A, ord, dim, keepdim, dtype=dtype)


# -- products ----------------------------------------------------------------------------------------------------------
@composite(function=False, out=True)
def linalg_matmul(input, other):
    """matmul."""
    return F.matmul(input, other)


@composite(function=False, out=True)
def linalg_vecdot(x, y, *, dim=-1):
    """The sum of conj(x) * y over a dimension; the others broadcast."""
    check_tensor("linalg.vecdot", x, "x")
    if not (x.is_floating_point() or x.is_complex()):
        raise RuntimeError(f"linalg.vecdot: Expected a floating point or complex tensor as input. Got {dtype_name(x)}")
    check_same_dtype("linalg.vecdot", x, y, "x", "y")
    return F.sum(F.conj(x) * y, dim)


@composite(function=False, out=True)
def linalg_cross(input, other, *, dim=-1):
    """The cross product along a dimension of size 3; the others broadcast."""
    if input.dim() != other.dim():
        raise RuntimeError(
            f"linalg.cross: inputs must have the same number of dimensions. Got {input.dim()} and {other.dim()}"
        )
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got {input.shape[dim]} and {other.shape[dim]}"
        )
    a1, a2, a3 = F.unbind(input, dim)
    b1, b2, b3 = F.unbind(other, dim)
    place = dim if dim >= 0 else dim + input.dim()
    return F.stack([a2 * b3 - a3 * b2, a3 * b1 - a1 * b3, a1 * b2 - a2 * b1], place)


@composite(function=False)
def linalg_diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """A view of the diagonals of matrices [..., m, n]."""
    return F.diagonal(A, offset, dim1, dim2)


@composite(function=False)
def linalg_vander(x, *, N=None):
    """The matrix [..., n, N] of powers x^0 to x^(N - 1) of vectors [..., n]; N defaults to n."""
    check_tensor("linalg.vander", x, "x")
    if x.dtype is F.bool:
        raise RuntimeError("linalg.vander does not support inputs of dtype bool")
    if x.dim() < 1:
        raise RuntimeError("linalg.vander: The input must have at least 1 dimension, got 0.")
    n = x.shape[-1] if N is None else N
    if n <= 1 and N is not None:
        raise RuntimeError(f"linalg.vander: N must be greater than 1, got {n}.")
    ones = F.ones((*x.shape, 1), dtype=x.dtype)
    powers = F.cumprod(F.expand(F.unsqueeze(x, -1), (*x.shape, n - 1)), -1)
    return F.cat(
        [ones, F.cast(powers, x.dtype if x.is_floating_point() or x.is_complex() else F.int64).to(x.dtype)], -1
    )


@composite(function=False, out=True)
def linalg_matrix_power(A, n):
    """The n-th power of square matrices [..., k, k]; negative powers are those of the inverse."""
    name = "linalg.matrix_power"
    check_tensor(name, A)
    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but its shape is {list(A.shape)}")
    if n < 0:
        check_square(name, A)
        A, n = F.linalg_inv(A), -n
    result = None
    while n:
        if n & 1:
            result = A if result is None else F.matmul(result, A)
        n >>= 1
        if n:
            A = F.matmul(A, A)
    if result is None:
        return A.clone().copy_(F.eye(A.shape[-1], dtype=A.dtype))
    return result.clone() if result is A else result


@composite(method=True, out=True)
def matrix_power(input, n):
    """linalg.matrix_power."""
    return F.linalg_matrix_power(input, n)


def _order(sizes):
    """Where to split each chain of matrices [sizes[i], sizes[i + 1]] for the fewest multiplications (Cormen et al.)."""
    n = len(sizes) - 1
    cost: dict = {(i, i): 0 for i in range(n)}
    split: dict = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            best = None
            for k in range(i, j):
                c = cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                if best is None or c < best:
                    best, split[i, j] = c, k
            cost[i, j] = best
    return split


@composite(function=False, out=True)
def linalg_multi_dot(tensors):
    """The product of two or more matrices in the order of the fewest multiplications; the first and last may be vectors."""
    name, items = "multi_dot", list(tensors)
    if len(items) < 2:
        raise RuntimeError(f"{name}(): expected at least 2 tensors but got {len(items)}")
    for k, t in enumerate(items):
        check_tensor(name, t, f"tensors[{k}]")
        low = 1 if k in (0, len(items) - 1) else 2
        if not low <= t.dim() <= 2:
            wanted = "1D or 2D" if low == 1 else "2D"
            raise RuntimeError(f"{name}(): tensor {k} must be {wanted} but got {t.dim()}D")
        if t.dtype is not items[0].dtype:
            raise RuntimeError(
                f"{name}(): expected all tensors to have the dtype of the first, {items[0].dtype}, got {t.dtype}"
            )
    first, last = items[0].dim() == 1, items[-1].dim() == 1
    if first:
        items[0] = F.unsqueeze(items[0], 0)
    if last:
        items[-1] = F.unsqueeze(items[-1], 1)
    for k in range(len(items) - 1):
        if items[k].shape[1] != items[k + 1].shape[0]:
            raise RuntimeError(
                f"{name}(): tensors {k} and {k + 1} with shapes {list(items[k].shape)} and {list(items[k + 1].shape)} "
                "cannot be multiplied"
            )
    split = _order([t.shape[0] for t in items] + [items[-1].shape[1]])

    def chain(i, j):
        return items[i] if i == j else F.matmul(chain(i, split[i, j]), chain(split[i, j] + 1, j))

    result = chain(0, len(items) - 1)
    if last:
        result = F._squeeze(result, 1)
    return F._squeeze(result, 0) if first else result
