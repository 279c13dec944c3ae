"""Matrix products over groups of rows or columns of different sizes."""

from __future__ import annotations

from .namespace import F
from .table import composite


def _spans(offs, count, size):
    """(start, end) of every group, from the groups' ends."""
    if offs.dim() != 1 or offs.dtype is not F.int32:
        raise RuntimeError(f"grouped_mm(): offs must be a vector of int32, got {offs.dtype} of {list(offs.shape)}")
    if count is not None and offs.shape[0] != count:
        raise RuntimeError(f"grouped_mm(): offs must have one entry for each of {count} groups, got {offs.shape[0]}")
    ends = offs.tolist()
    starts = [0, *ends[:-1]]
    if any(a > b for a, b in zip(starts, ends)) or (ends and ends[-1] > size):
        raise RuntimeError(f"grouped_mm(): offs must ascend from 0 to at most {size}, got {ends}")
    return list(zip(starts, ends))


@composite(nn=True, function=False)
def grouped_mm(mat_a, mat_b, *, offs=None, bias=None, out_dtype=None):
    """One matrix product a group.

    [G, M, K] @ [G, K, N] is a batch of products. Where an operand is 2D, `offs` (int32, the groups' ends) cuts its
    ungrouped dimension: rows of mat_a ([M, K] @ [G, K, N] to [M, N]), columns of mat_b ([G, M, K] @ [K, N] to [M, N]),
    or the inner dimension of both ([M, K] @ [K, N] to [G, M, N]). What lies behind the last group is zeros.
    """
    accepted = (F.float32, F.float64, F.bfloat16, F.float16)
    if mat_a.dtype not in accepted or mat_b.dtype is not mat_a.dtype:
        raise RuntimeError(
            f"grouped_mm(): expected mat_a and mat_b of one floating point dtype, got {mat_a.dtype} and {mat_b.dtype}"
        )
    if mat_a.dim() not in (2, 3) or mat_b.dim() not in (2, 3):
        raise RuntimeError(f"grouped_mm(): mat_a and mat_b have to be 2D or 3D, got {mat_a.dim()}D and {mat_b.dim()}D")
    if (offs is None) != (mat_a.dim() == 3 and mat_b.dim() == 3):
        raise RuntimeError("grouped_mm(): offs has to be given where a matrix is 2D, and only there")
    if bias is not None:
        raise RuntimeError("grouped_mm(): bias is not supported")
    if out_dtype is not None and out_dtype is not mat_a.dtype:
        raise RuntimeError(f"grouped_mm(): out_dtype must be that of mat_a, {mat_a.dtype}, got {out_dtype}")
    if mat_a.shape[-1] != mat_b.shape[-2]:
        raise RuntimeError(
            f"grouped_mm(): inner dimensions must match, got {list(mat_a.shape)} and {list(mat_b.shape)}"
        )
    rows, columns = mat_a.shape[-2], mat_b.shape[-1]
    if mat_a.dim() == 3 and mat_b.dim() == 3:
        return F.bmm(mat_a, mat_b)
    if mat_a.dim() == 3:
        spans = _spans(offs, mat_a.shape[0], columns)
        parts = [F.matmul(F.select(mat_a, 0, g), F.slice(mat_b, 1, a, b, 1)) for g, (a, b) in enumerate(spans)]
        rest = F.zeros((rows, columns - (spans[-1][1] if spans else 0)), dtype=mat_a.dtype)
        return F.cat([*parts, rest], 1)
    if mat_b.dim() == 3:
        spans = _spans(offs, mat_b.shape[0], rows)
        parts = [F.matmul(F.slice(mat_a, 0, a, b, 1), F.select(mat_b, 0, g)) for g, (a, b) in enumerate(spans)]
        rest = F.zeros((rows - (spans[-1][1] if spans else 0), columns), dtype=mat_a.dtype)
        return F.cat([*parts, rest], 0)
    spans = _spans(offs, None, mat_a.shape[1])
    if not spans:
        return F.zeros((0, rows, columns), dtype=mat_a.dtype)
    return F.stack([F.matmul(F.slice(mat_a, 1, a, b, 1), F.slice(mat_b, 0, a, b, 1)) for a, b in spans])
