"""Embeddings, bags of them, and one-hot vectors."""

from __future__ import annotations

from .namespace import F, Tensor
from .table import composite


# -- rows of a table ---------------------------------------------------------------------------------------------------
def _rows_by_frequency_gradient(g, weight_shape, index):
    count = F.index_add(F.zeros(weight_shape[:1], dtype=g.dtype), 0, index, F.ones(index.shape, dtype=g.dtype))
    g = g / F.unsqueeze(F.index_select(count, 0, index), -1)
    return F.index_add(F.zeros(weight_shape, dtype=g.dtype), 0, index, g), None


@composite(
    grad=_rows_by_frequency_gradient,
    params="Tensor weight, Tensor index",
    function=False,
    samples=lambda t: [((t(5, 4), t.ints(6, high=5)), {})],
    opcheck=False,
    oracle="lambda w, i: w[i]",
)
def _rows_by_frequency(weight, index):
    """Rows of weight, whose gradient is divided by how often each was read."""
    return F.index_select(weight, 0, index)


@composite()
def embedding_renorm_(input, indices: Tensor, max_norm: float, norm_type: float):
    """Scales, in place, the rows of input that are read and whose norm is above max_norm down to it."""
    if indices.dtype is not F.int64 and indices.dtype is not F.int32:
        raise RuntimeError(f"embedding_renorm_(): expected indices of dtype int64 or int32, but got {indices.dtype}")
    if input.dim() != 2:
        raise RuntimeError(f"embedding_renorm_(): input must be 2-D, got {input.dim()}-D")
    with F.no_grad():
        flat = F.cast(F.reshape(indices, (-1,)), F.int64)
        rows = F.index_select(input, 0, flat)
        norms = F.norm(rows, norm_type, -1, True)
        scale = F._where(F.gt(norms, max_norm), max_norm / (norms + 1e-7), 1.0)
        input.index_copy_(0, flat, F.cast(rows * scale, input.dtype))
    return input


def _rows(op, weight, index, scale_grad_by_freq, sparse):
    """Rows of weight by a vector of indices."""
    if index.dtype is not F.int64 and index.dtype is not F.int32:
        raise RuntimeError(f"{op}(): expected input of dtype int64 or int32, but got {index.dtype}")
    if weight.dim() != 2:
        raise RuntimeError(f"{op}(): 'weight' must be 2-D, got {weight.dim()}-D")
    if sparse:
        raise RuntimeError(f"{op}(): sparse gradients are not supported; leave sparse=False")
    flat = index if index.dim() == 1 else F.reshape(index, (-1,))
    return F._rows_by_frequency(weight, flat) if scale_grad_by_freq else F.index_select(weight, 0, flat)


def _embedding(op, weight, index, padding_idx, scale_grad_by_freq, sparse):
    rows = _rows(op, weight, index, scale_grad_by_freq, sparse)
    if index.dim() != 1:
        rows = F.reshape(rows, [*index.shape, weight.shape[1]])
    if padding_idx is not None and weight.requires_grad:
        return F._where(F.unsqueeze(F.eq(index, padding_idx), -1), rows.detach(), rows)
    return rows


@composite(
    "_nn_embedding",
    nn="embedding",
    function=False,
    samples=lambda t: [((t.ints(2, 3, high=5), t(5, 4)), {})],
    oracle="lambda i, w, padding_idx=None: w[i]",
)
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """Rows of weight by index. The row padding_idx gets no gradient; with scale_grad_by_freq, a row's is divided by how
    often it was read; max_norm first scales the rows that are read down to it, in place. `sparse` asks for a sparse
    gradient, which does not exist here."""
    if padding_idx is not None:
        count = weight.shape[0]
        if not -count <= padding_idx < count:
            raise AssertionError(f"Padding_idx must be within num_embeddings, got {padding_idx} for {count}")
        padding_idx %= count
    if max_norm is not None:
        F.embedding_renorm_(weight, input, max_norm, norm_type)
    return _embedding("embedding", weight, input, padding_idx, scale_grad_by_freq, sparse)


@composite("embedding")
def embedding_rows(weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq=False, sparse=False):
    """Rows of weight by index; the row padding_idx (none where it is negative) gets no gradient."""
    return _embedding("embedding", weight, indices, padding_idx, scale_grad_by_freq, sparse)


# -- bags --------------------------------------------------------------------------------------------------------------
_BAG_MODES = ("sum", "mean", "max")


def _bag_numbers(op, count, offsets, include_last_offset):
    """(number of the bag of each of `count` entries, how many bags)."""
    if offsets.dim() != 1:
        raise ValueError(f"{op}(): offsets has to be a 1D Tensor, got {offsets.dim()}D")
    if offsets.dtype is not F.int64 and offsets.dtype is not F.int32:
        raise RuntimeError(f"{op}(): expected offsets of dtype int64 or int32, but got {offsets.dtype}")
    size = offsets.shape[0]
    if include_last_offset and size == 0:
        raise RuntimeError(f"{op}(): include_last_offset: offsets must have at least one entry")
    if size and F.values_known():
        first, last = int(offsets[0].item()), int(offsets[-1].item())
        if first != 0:
            raise RuntimeError(f"{op}(): offsets[0] has to be 0, got {first}")
        if last > count:
            raise RuntimeError(f"{op}(): offsets[-1] cannot be greater than the input's length {count}, got {last}")
    bags = size - 1 if include_last_offset else size
    starts = F.cast(F.slice(offsets, 0, 1, max(bags, 1), 1), F.int64)
    marks = F.index_add(F.zeros((count + 1,), dtype=F.int64), 0, starts, F.ones(starts.shape, dtype=F.int64))
    return F.slice(F.cumsum(marks, 0), 0, 0, count, 1), bags


def _bag_sums(rows, number, bags):
    return F.index_add(F.zeros((bags, *rows.shape[1:]), dtype=rows.dtype), 0, number, rows)


def _bag_maxima(rows, keep, number, bags):
    """(the largest rows' elements of each bag, their entries' numbers): the first among equals; bags without entries
    give zeros."""
    count, width = rows.shape
    seen = rows.detach()
    if keep is not None:
        seen = F._where(F.unsqueeze(keep, 1), seen, float("-inf"))
    index = F.expand(F.unsqueeze(number, 1), (count, width))
    lowest = F.full((bags, width), float("-inf"), dtype=rows.dtype)
    top = F._same(seen, F.gather(F.scatter_reduce(lowest, 0, index, seen, "amax"), 0, index))
    if keep is not None:
        top = F.logical_and(top, F.unsqueeze(keep, 1))
    place = F._where(top, F.unsqueeze(F.arange(count), 1), count)
    first = F.scatter_reduce(F.full((bags, width), count, dtype=F.int64), 0, index, place, "amin")
    found = F.lt(first, count)
    first = F.clamp_max(first, max(count - 1, 0))
    values = F.gather(rows, 0, first) if count else F.zeros((bags, width), dtype=rows.dtype)
    return F._where(found, values, 0), first


def _equal_bags(rows, keep, bags, mode):
    """Bags of one length: the rows of each lie side by side."""
    rows = F.reshape(rows, (bags, rows.shape[0] // bags, rows.shape[1]))
    keep = None if keep is None else F.reshape(keep, (*rows.shape[:2], 1))
    if mode == "max":
        seen = rows.detach() if keep is None else F._where(keep, rows.detach(), float("-inf"))
        out = F.squeeze(F.gather(rows, 1, F.argmax(seen, 1, True)), 1)
        return out if keep is None else F._where(F.any(keep, 1), out, 0)
    rows = rows if keep is None else F._where(keep, rows, 0)
    if mode == "sum" or keep is None:
        return F.sum(rows, 1) if mode == "sum" else F.mean(rows, 1)
    return F.sum(rows, 1) / F.cast(F.clamp_min(F.sum(keep, 1), 1), rows.dtype)


def _bags(
    op, index, weight, offsets, mode, scale_grad_by_freq, sparse, weights, include_last_offset, padding_idx, equal=None
):
    """(output, bag of each entry, size of each bag, entries of the maxima or None) of a vector of indices. equal: that
    many bags of one length; only the output then."""
    if not weight.is_floating_point():
        raise RuntimeError(f"{op}(): weight must be of a floating point dtype, got {weight.dtype}")
    if padding_idx is not None:
        count = weight.shape[0]
        if not -count <= padding_idx < count:
            raise RuntimeError(
                f"{op}(): padding_idx must be within the number of embeddings, {-count} through {count - 1}, but got "
                f"{padding_idx}"
            )
        padding_idx %= count
    if weights is not None and weights.dtype is not weight.dtype:
        raise RuntimeError(
            f"{op}(): expected weight and per_sample_weights to have the same dtype, got {weight.dtype} and "
            f"{weights.dtype}"
        )
    rows = _rows(op, weight, index, scale_grad_by_freq, sparse)
    if equal is not None:
        rows = rows if weights is None else rows * F.unsqueeze(weights, 1)
        keep = None if padding_idx is None else F.ne(index, padding_idx)
        return (_equal_bags(rows, keep, equal, mode),)
    number, bags = _bag_numbers(op, index.shape[0], offsets, include_last_offset)
    if bags == 0:
        zeros = F.zeros((0, weight.shape[1]), dtype=weight.dtype)
        return zeros, number, F.zeros((0,), dtype=F.int64), F.zeros(zeros.shape, dtype=F.int64)
    keep = None if padding_idx is None else F.ne(index, padding_idx)
    sizes = _bag_sums(F.ones(number.shape, dtype=F.int64) if keep is None else F.cast(keep, F.int64), number, bags)
    if mode == "max":
        out, first = _bag_maxima(rows, keep, number, bags)
        chosen = F.index_select(index, 0, F.reshape(first, (-1,))) if index.shape[0] else first
        chosen = F.cast(F.reshape(chosen, first.shape), F.int64)
        return out, number, sizes, F._where(F.unsqueeze(F.gt(sizes, 0), 1), chosen, 0)
    if weights is not None:
        rows = rows * F.unsqueeze(weights, 1)
    if keep is not None:
        rows = F._where(F.unsqueeze(keep, 1), rows, 0)
    # Half types are summed in float32.
    half = rows.dtype is F.float16 or rows.dtype is F.bfloat16
    total = _bag_sums(F.cast(rows, F.float32) if half else rows, number, bags)
    if mode == "mean":
        total = total / F.unsqueeze(F.cast(F.clamp_min(sizes, 1), total.dtype), 1)
    return F.cast(total, weight.dtype) if half else total, number, sizes, None


@composite("_nn_embedding_bag", nn="embedding_bag", function=False)
def embedding_bag(
    input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False, mode="mean", sparse=False,
    per_sample_weights=None, include_last_offset=False, padding_idx=None
):  # fmt: skip
    """Sums, means or maxima over bags of rows of weight: [bags, width].

    A 2D input holds one bag a row; a 1D input is cut at `offsets`, the bags' starts (and the end of the last, with
    include_last_offset). Entries equal to padding_idx count nothing; empty bags give zeros. per_sample_weights (mode
    "sum") multiplies each entry's row. max_norm, norm_type and scale_grad_by_freq as in embedding().
    """
    if mode not in _BAG_MODES:
        raise ValueError(f"embedding_bag(): mode has to be one of sum, mean or max, got {mode!r}")
    if per_sample_weights is not None and tuple(per_sample_weights.shape) != tuple(input.shape):
        raise ValueError(
            f"embedding_bag(): per_sample_weights must have the input's shape {list(input.shape)}, got "
            f"{list(per_sample_weights.shape)}"
        )
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("embedding_bag(): max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("embedding_bag(): max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(f"embedding_bag(): per_sample_weights is only supported for mode 'sum', got {mode!r}")
    equal = None
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("embedding_bag(): a 2D input has bags of one length: offsets has to be None")
        bags, length = input.shape
        equal = bags if input.numel() else None
        offsets, include_last_offset = F.arange(bags) * length, False
        input = F.reshape(input, (-1,))
        if per_sample_weights is not None:
            per_sample_weights = F.reshape(per_sample_weights, (-1,))
    elif input.dim() != 1:
        raise ValueError(f"embedding_bag(): input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    elif offsets is None:
        raise ValueError("embedding_bag(): offsets has to be a 1D Tensor but got None")
    if max_norm is not None:
        F.embedding_renorm_(weight, input, max_norm, norm_type)
    return _bags(
        "embedding_bag", input, weight, offsets, mode, scale_grad_by_freq, sparse, per_sample_weights,
        include_last_offset, padding_idx, equal,
    )[0]  # fmt: skip


@composite("embedding_bag")
def embedding_bag_parts(
    weight: Tensor, indices: Tensor, offsets: Tensor, scale_grad_by_freq=False, mode: int = 0, sparse=False, per_sample_weights: Tensor | None = None,
    include_last_offset=False, padding_idx=None
):  # fmt: skip
    """Bags of rows of weight, mode 0 (sum), 1 (mean) or 2 (max): (output, bag of each entry, size of each bag, indices
    of the maxima)."""
    if mode not in range(3):
        raise RuntimeError(f"embedding_bag(): mode must be 0, 1 or 2, got {mode}")
    out, number, sizes, chosen = _bags(
        "embedding_bag", indices, weight, offsets, _BAG_MODES[mode], scale_grad_by_freq, sparse, per_sample_weights,
        include_last_offset, padding_idx,
    )  # fmt: skip
    return out, number, sizes, sizes if chosen is None else chosen


# -- one-hot vectors ---------------------------------------------------------------------------------------------------
@composite(
    nn=True,
    function=False,
    opcheck=False,
    samples=lambda t: [((t.ints(4, high=5), 5), {}), ((t.ints(2, 3, high=3),), {})],
    oracle="lambda x, n=-1: numpy.eye(x.max() + 1 if n == -1 else n, dtype=int)[x]",
)
def one_hot(tensor, num_classes: int = -1):
    """Ones at the classes, zeros elsewhere, along a new last dimension."""
    if tensor.dtype is not F.int64:
        raise RuntimeError(f"one_hot is only applicable to index tensor of type int64, got {tensor.dtype}")
    if tensor.numel():
        if int(F.amin(tensor).item()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        top = int(F.amax(tensor).item())
        if num_classes == -1:
            num_classes = top + 1
        elif top >= num_classes:
            raise RuntimeError(
                f"Class values must be smaller than num_classes, got {top} with num_classes={num_classes}"
            )
    elif num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    return F.cast(F.eq(F.unsqueeze(tensor, -1), F.arange(num_classes)), F.int64)
