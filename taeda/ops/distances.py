"""Distances and similarities between vectors."""

from __future__ import annotations

from .namespace import F
from .table import composite


@composite(
    nn=True,
    samples=lambda t: [((t(3, 4), t(3, 4)), {}), ((t(3, 4), t(3, 4)), {"dim": 0})],
    oracle="lambda a, b, dim=1: (a * b).sum(dim) / numpy.linalg.norm(a, 2, dim) / numpy.linalg.norm(b, 2, dim)",
)
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """Cosine of the angle between vectors along a dimension."""
    x1, x2 = F.broadcast_tensors(x1, x2)
    a, b = F.clamp_min(F.norm(x1, 2, dim, True), eps), F.clamp_min(F.norm(x2, 2, dim, True), eps)
    return F.sum((x1 / a) * (x2 / b), dim)


@composite(nn=True)
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """p-norm of the differences along the last dimension."""
    return F.norm(x1 - x2 + eps, p, -1, keepdim)


def _pairs(n):
    """Rows and columns above the diagonal of an n x n matrix, in order: each from its number alone, so that the count
    may be one that is known later."""
    k = F.arange(n * (n - 1) // 2)
    half = n - 0.5
    row = F.cast(-F.sqrt(F.cast(k, F.float64) * -2 + half * half) + half, F.int64)

    def start(row):
        return row * (2 * n - 1 - row) // 2

    row = F._where(F.gt(start(row), k), row - 1, row)  # the root may be rounded across a whole number
    row = F._where(F.le(start(row + 1), k), row + 1, row)
    return row, k - start(row) + row + 1


@composite(
    nn=True,
    samples=lambda t: [((t(4, 3),), {}), ((t(4, 3),), {"p": 1}), ((t(4, 3),), {"p": 3})],
    oracle="lambda x, p=2: scipy.spatial.distance.pdist(x, 'minkowski', p=p)",
)
def pdist(input, p=2):
    """p-norms of the differences of all pairs of rows of [N, M]: [N * (N - 1) / 2], in the order of a triangle above
    the diagonal."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist(): only supports 2D tensors, got: {input.dim()}D")
    if not input.is_floating_point():
        raise RuntimeError(f"pdist(): only supports floating point dtypes, got {input.dtype}")
    if p < 0:
        raise RuntimeError(f"pdist(): only supports non-negative p values, got {p}")
    n = input.shape[0]
    if n < 2:
        return F.zeros((0,), dtype=input.dtype)
    if input.shape[1] == 0:
        return F.zeros((n * (n - 1) // 2,), dtype=input.dtype)
    rows, columns = _pairs(n)
    difference = F.index_select(input, 0, rows) - F.index_select(input, 0, columns)
    if p == 0:  # a count, whose gradient is zero
        return F.norm(difference.detach(), 0, -1) + F.sum(difference * 0, -1)
    return F.norm(difference, p, -1)
