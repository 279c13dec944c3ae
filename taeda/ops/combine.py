"""Tensors put together from others: blocks, products of sets, powers."""

from __future__ import annotations

import itertools

from .helpers import ints, tensor_argument
from .namespace import F
from .table import composite


def _samples_of_blocks(t):
    return [((t(2, 3), t(1, 2), t(3)), {}), ((t(2, 2),), {})]


@composite(samples=_samples_of_blocks, oracle="lambda *xs: scipy.linalg.block_diag(*xs)")
def block_diag(*tensors):
    """The matrices (vectors are rows, numbers 1 by 1) along the diagonal of one matrix, zeros elsewhere."""
    for k, x in enumerate(tensors):
        tensor_argument("block_diag", f"tensors[{k}]", x)
        if x.dim() > 2:
            raise RuntimeError(f"block_diag(): tensors must have at most 2 dimensions, tensor {k} has {x.dim()}")
    if not tensors:
        return F.zeros((1, 0))
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = F.promote_types(dtype, x.dtype)
    blocks = [F.cast(x if x.dim() == 2 else F.reshape(x, (1, -1)), dtype) for x in tensors]
    width = sum(b.shape[1] for b in blocks)
    rows, before = [], 0
    for b in blocks:
        height, after = b.shape[0], width - before - b.shape[1]
        rows.append(F.cat([F.zeros((height, before), dtype=dtype), b, F.zeros((height, after), dtype=dtype)], 1))
        before = before + b.shape[1]
    return F.cat(rows, 0)


def _check_vector(x):
    if x.dim() != 1:
        raise RuntimeError(f"expected a vector, got a tensor of shape {list(x.shape)}")


@composite(
    samples=lambda t: [((t(2), t(3)), {}), ((t(2), t(1), t(3)), {})],
    oracle="lambda *xs: numpy.stack([g.ravel() for g in numpy.meshgrid(*xs, indexing='ij')], 1)",
)
def cartesian_prod(*tensors):
    """All combinations of one element from each vector, as rows in lexicographic order; one vector as it is."""
    tensors = ints(tensors)
    for k, x in enumerate(tensors):
        tensor_argument("cartesian_prod", f"tensors[{k}]", x)
        _check_vector(x)
    if not tensors:
        raise RuntimeError("cartesian_prod(): expected at least one tensor")
    if len(tensors) == 1:
        return tensors[0]
    return F.stack([F.reshape(g, (-1,)) for g in F.meshgrid(*tensors, indexing="ij")], 1)


@composite(
    samples=lambda t: [((t(4),), {}), ((t(4), 3), {}), ((t(3), 2, True), {}), ((t(3), 1), {})],
    oracle="oracles.combinations",
)
def combinations(input, r=2, with_replacement=False):
    """The r-element combinations of a vector as rows, in the order of itertools.combinations (with_replacement:
    combinations_with_replacement).
    """
    tensor_argument("combinations", "input", input)
    _check_vector(input)
    if r < 0:
        raise RuntimeError(f"combinations(): r must not be negative, got {r}")
    if r == 0:
        return F.zeros((0,), dtype=input.dtype)
    n, again = input.shape[0], int(bool(with_replacement))
    columns, total = [F.arange(n)], n
    for k in range(1, r):  # every combination is continued by all later places
        total = total * (n + k if again else n - k) // (k + 1)
        more = n - 1 + again - columns[-1]
        owner = F._owners(more, F.cumsum(more, 0), total)
        columns = [F.index_select(c, 0, owner) for c in columns]
        first = F.index_select(F.cumsum(more, 0) - more, 0, owner)
        columns.append(F.arange(total) - first + columns[-1] + (1 - again))
    return F.reshape(F.index_select(input, 0, F.reshape(F.stack(columns, 1), (-1,))), (total, r))


@composite(
    samples=lambda t: [((t(4),), {}), ((t(4), 3), {}), ((t(4), 3, True), {})],
    oracle="lambda x, N=None, increasing=False: numpy.vander(x, N, increasing)",
)
def vander(x, N=None, increasing=False):
    """Vandermonde matrix of a vector: N columns of its powers, the highest first unless increasing."""
    tensor_argument("vander", "x", x)
    if x.dim() != 1:
        raise RuntimeError(f"x must be a one-dimensional tensor, got {x.dim()} dimensions")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise RuntimeError(f"N must be non-negative, got {n}")
    if not x.dtype.is_floating_point and not x.dtype.is_complex:
        x = F.cast(x, F.int64)
    column = F.unsqueeze(x, 1)
    ones = F.ones((x.shape[0], min(n, 1)), dtype=x.dtype)
    powers = F.cat([ones, F.cumprod(F.expand(column, (x.shape[0], n - 1)), 1)], 1) if n > 1 else ones
    return powers if increasing else F.flip(powers, 1)


@composite()
def chain_matmul(*matrices, out=None):
    """Product of matrices in the order that takes the fewest multiplications."""
    matrices = ints(matrices)
    for k, m in enumerate(matrices):
        tensor_argument("chain_matmul", f"matrices[{k}]", m)
        if m.dim() != 2:
            raise RuntimeError(f"chain_matmul(): matrix {k} must have 2 dimensions, got {m.dim()}")
    if not matrices:
        raise RuntimeError("chain_matmul(): expected at least one matrix")
    if len(matrices) == 1:
        return F.write_out("chain_matmul", matrices[0], out)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for k, (a, b) in enumerate(itertools.pairwise(matrices)):
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(
                f"chain_matmul(): matrices {k} and {k + 1} cannot be multiplied ({a.shape[0]}x{a.shape[1]} and "
                f"{b.shape[0]}x{b.shape[1]})"
            )
    while len(matrices) > 50:  # more than there are letters
        matrices[:2] = [F.matmul(matrices[0], matrices[1])]
    n = len(matrices)
    terms = ",".join(letters[k : k + 2] for k in range(n))
    return F.write_out("chain_matmul", F.einsum(f"{terms}->{letters[0]}{letters[n]}", *matrices), out)


@composite(
    samples=lambda t: [((t(2, 3, 4),), {}), ((t(2, 3, 4), 2, 1), {}), ((t(2, 3), 2, -1), {})],
    oracle="oracles.norm_except_dim",
)
def norm_except_dim(v, pow=2, dim=0):
    """p-norm over all dimensions but one, which stays in place; over all with dim=-1."""
    tensor_argument("norm_except_dim", "v", v)
    if dim == -1:
        return F.norm(v, pow)
    if not 0 <= dim < v.dim():
        raise IndexError(f"Dimension out of range (expected to be in range of [-1, {v.dim() - 1}], but got {dim})")
    rest = [d for d in range(v.dim()) if d != dim]
    return F.norm(v, pow, rest, True) if rest else F.abs(v)


@composite(
    out=True,
    samples=lambda t: [((t(3, 4), 1), {}), ((t(3, 4), (0, 1)), {}), ((t(3, 4), (0, 1), True), {})],
    oracle="lambda x, d, k=False: numpy.sqrt((x * x).sum(d, keepdims=k))",
)
def frobenius_norm(input, dim, keepdim=False):
    """Square root of the sum of squares over one or two dimensions."""
    tensor_argument("frobenius_norm", "input", input)
    dims = [dim] if isinstance(dim, int) else list(dim)
    if len(dims) > 2:
        raise RuntimeError(f"frobenius_norm(): dim must have at most 2 dimensions, got {len(dims)}")
    return F.norm(input, "fro", dims or None, keepdim)


# -- single tensors ----------------------------------------------------------------------------------------------------
@composite(
    method=False,
    samples=lambda t: [((t(2, 3), (1, 0, 0, 2)), {}), ((t(3), (-1, 1), 0.5), {})],
    oracle="oracles.constant_pad",
)
def constant_pad_nd(input, pad, value=0):
    """input with `pad` (last dimension first, before and after) elements of one value around it; negative pads crop."""
    tensor_argument("constant_pad_nd", "input", input)
    return F.pad(input, list(pad), "constant", value)


@composite(out=True)
def fill(input, value):
    """A copy of input with one value everywhere."""
    tensor_argument("fill", "input", input)
    return F.clone(input).fill_(value)


@composite()
def detach(input):
    """The same elements without history."""
    tensor_argument("detach", "input", input)
    return input.detach()


@composite("detach_")
def detach_(input):
    """Cuts the tensor from its history."""
    tensor_argument("detach_", "input", input)
    return input.detach_()


@composite()
def empty_permuted(
    size, physical_layout, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """An uninitialised tensor whose dimensions lie in memory in the order of physical_layout, the outermost first."""
    order = list(physical_layout)
    if len(order) != len(size):
        raise RuntimeError(f"empty_permuted(): size has {len(size)} dimensions, physical_layout {len(order)}")
    if sorted(order) != list(range(len(order))):
        raise RuntimeError(f"empty_permuted(): physical_layout must be a permutation of the dimensions, got {order}")
    place = [order.index(d) for d in range(len(order))]
    result = F.permute(F.empty([size[d] for d in order], dtype=dtype, device=device, layout=layout), place)
    return result.requires_grad_() if requires_grad else result
