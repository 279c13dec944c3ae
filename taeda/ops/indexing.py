"""Reading and writing by index tensors, masks, and order."""

from __future__ import annotations

from .helpers import wrap_dim
from .namespace import F
from .table import composite, structured


# -- gather ------------------------------------------------------------------------------------------------------------
def _index_gradient(g, input_shape, indices):
    return F.index_put(F.zeros(input_shape, dtype=g.dtype), indices, g, True), None


structured(
    "index",
    "gather",
    "Tensor input, Tensor?[] indices",
    form="index",
    grad=_index_gradient,
    method=False,
    function=False,
    role="index",
    samples=lambda t: [
        ((t(3, 4), [t.ints(2, high=3)]), {}),
        ((t(3, 4), [None, t.ints(2, 2, high=4)]), {}),
        ((t(3, 4), [t.ints(2, high=3), t.ints(2, high=4)]), {}),
    ],
    oracle="lambda x, ix: x[tuple(slice(None) if i is None else i for i in ix)]",
    doc="NumPy's integer indexing; None keeps a dimension.",
)
structured(
    "gather",
    "gather",
    "Tensor input, int dim, Tensor index",
    form="along",
    role="gather",
    out=True,
    front=lambda input, dim, index, *, sparse_grad=False: F.gather(input, dim, index),
    grad=lambda g, input_shape, dim, index: (F.scatter_add(F.zeros(input_shape, dtype=g.dtype), dim, index, g), None),
    samples=lambda t: [((t(3, 4), 1, t.ints(3, 2, high=4)), {}), ((t(3, 4), 0, t.ints(2, 4, high=3)), {})],
    oracle="lambda x, d, i: numpy.take_along_axis(x, i, d)",
    doc="input at index along one dimension.",
)
# The same, for callers whose index is an argument of its own: out of range is an IndexError.
structured(
    "_pick",
    "gather",
    "Tensor input, int dim, Tensor index",
    form="along",
    index_error=True,
    method=False,
    function=False,
    grad=lambda g, input_shape, dim, index: (F.scatter_add(F.zeros(input_shape, dtype=g.dtype), dim, index, g), None),
)
structured(
    "index_select",
    "gather",
    "Tensor input, int dim, Tensor index",
    form="select",
    role="index_select",
    out=True,
    grad=lambda g, input_shape, dim, index: (F.index_add(F.zeros(input_shape, dtype=g.dtype), dim, index, g), None),
    samples=lambda t: [
        ((t(3, 4), 1, t.ints(5, high=4)), {}),
        ((t(3, 4), 0, t.ints(2, high=3)), {}),
        ((t(3, 4), -1, t.ints(0, high=3)), {}),
    ],
    oracle="lambda x, d, i: x.take(i, d)",
    doc="Whole slices of one dimension by an index vector.",
)


# -- scatter: out of place with an in-place twin -----------------------------------------------------------------------
def _scatter_set_gradient(g, dim, index, src_shape):
    source = F.gather(g, dim, index)
    if tuple(src_shape) != tuple(index.shape):
        source = _grow(source, src_shape)
    return F._scatter(g, dim, index, F.zeros(index.shape, dtype=g.dtype)), None, source


def _grow(x, shape):
    """x in the leading corner of zeros of `shape`."""
    for d, n in enumerate(shape):
        if x.shape[d] != n:
            x = F._slice_backward(x, [*shape[: d + 1], *x.shape[d + 1 :]], d, 0, x.shape[d], 1)
    return x


def _scatter_add_gradient(g, dim, index, src_shape):
    source = F.gather(g, dim, index)
    return g, None, source if tuple(src_shape) == tuple(index.shape) else _grow(source, src_shape)


structured(
    "_scatter",
    "scatter",
    "Tensor input, int dim, Tensor index, Tensor src",
    form="along",
    mode="set",
    grad=_scatter_set_gradient,
    inplace=True,
    method=False,
    function=False,
)
structured(
    "scatter_add",
    "scatter",
    "Tensor input, int dim, Tensor index, Tensor src",
    form="along",
    mode="add",
    grad=_scatter_add_gradient,
    inplace=True,
    samples=lambda t: [
        ((t(3, 5), 1, t.ints(3, 4, high=5), t(3, 4)), {}),
        ((t(3, 5), 0, t.ints(2, 5, high=3), t(4, 5)), {}),
    ],
    oracle="oracles.scatter_add",
    doc="src added into input at index along one dimension, in index order.",
)
structured(
    "index_copy",
    "scatter",
    "Tensor input, int dim, Tensor index, Tensor source",
    form="select",
    mode="set",
    inplace=True,
    out=True,
    grad=lambda g, dim, index: (
        F.index_copy(g, dim, index, F.zeros_like(F.index_select(g, dim, index))),
        None,
        F.index_select(g, dim, index),
    ),
    samples=lambda t: [((t(3, 5), 1, t.permutation(5, 2), t(3, 2)), {})],
    oracle="oracles.index_copy",
    doc="Slices of one dimension replaced by those of source.",
)
structured(
    "_index_add",
    "scatter",
    "Tensor input, int dim, Tensor index, Tensor source",
    form="select",
    mode="add",
    inplace=True,
    method=False,
    function=False,
    grad=lambda g, dim, index: (g, None, F.index_select(g, dim, index)),
)


def _put_gradient(g, indices, values_shape):
    zeros = F.zeros(values_shape, dtype=g.dtype)
    return F._index_put(g, indices, zeros), None, F.sum_to_size(F.index(g, indices), values_shape)


structured(
    "_index_put",
    "scatter",
    "Tensor input, Tensor?[] indices, Tensor values",
    form="index",
    mode="set",
    inplace=True,
    method=False,
    function=False,
    role="index_put",
    grad=_put_gradient,
)
structured(
    "_index_put_add",
    "scatter",
    "Tensor input, Tensor?[] indices, Tensor values",
    form="index",
    mode="add",
    inplace=True,
    method=False,
    function=False,
    role="index_put_add",
    grad=lambda g, indices, values_shape: (g, None, F.sum_to_size(F.index(g, indices), values_shape)),
)


def _twins(name, doc, make, samples=None, oracle=None):
    """A function and its in-place twin: make(inplace) builds either."""
    for inplace in (False, True):
        fn = make(inplace)
        full = name + "_" * inplace
        fn.__name__ = fn.__qualname__ = full
        fn.__doc__ = doc + (" In place." if inplace else "")
        composite(
            full,
            method=True,
            function=not inplace or name == "index_put",
            out=not inplace and name != "index_put",
            samples=None if inplace else samples,
            oracle=oracle,
        )(fn)


def _source(input, index, src):
    return src if isinstance(src, F.Tensor) else F.full(index.shape, src, dtype=input.dtype)


def _make_scatter(inplace):
    suffix = "_" * inplace

    def scatter(input, dim, index, src=None, *, value=None, reduce=None):
        src = value if src is None else src
        if src is None:
            raise TypeError("scatter(): missing argument 'src' or 'value'")
        src = _source(input, index, src)
        if reduce is None:
            return getattr(F, "_scatter" + suffix)(input, dim, index, src)
        if reduce not in ("add", "multiply"):
            raise RuntimeError(f"scatter(): reduce argument must be either add or multiply, got {reduce}")
        return getattr(F, ("scatter_add" if reduce == "add" else "_scatter_mul") + suffix)(input, dim, index, src)

    return scatter


_twins(
    "scatter",
    "src (a tensor or a number) written into input at index along one dimension.",
    _make_scatter,
    oracle="oracles.scatter",
    samples=lambda t: [
        ((t(3, 5), 1, t.permutations(3, 5, 4), t(3, 4)), {}),
        ((t(3, 5), 1, t.ints(3, 4, high=5), 0.5), {}),
    ],
)


def _make_index_add(inplace):
    op = "_index_add" + "_" * inplace

    def index_add(input, dim, index, source, *, alpha=1):
        return getattr(F, op)(input, dim, index, source if alpha == 1 else source * alpha)

    return index_add


_twins(
    "index_add",
    "alpha * source added into slices of one dimension, in index order.",
    _make_index_add,
    oracle="oracles.index_add",
    samples=lambda t: [
        ((t(3, 5), 1, t.ints(4, high=5), t(3, 4)), {}),
        ((t(3, 5), 0, t.ints(4, high=3), t(4, 5)), {"alpha": 2}),
    ],
)


def _make_index_put(inplace):
    suffix = "_" * inplace

    def index_put(input, indices, values, accumulate=False):
        found = []
        for place in indices:
            if place is not None and place.dtype is F.bool:
                found.extend(F.unbind(F.nonzero(place), 1))
            else:
                found.append(place)
        return getattr(F, ("_index_put_add" if accumulate else "_index_put") + suffix)(input, found, values)

    return index_put


_twins(
    "index_put",
    "values written (or added, with accumulate) at integer or bool indices.",
    _make_index_put,
    oracle="oracles.index_put",
    samples=lambda t: [
        ((t(3, 4), [t.permutation(3, 2)], t(2, 4)), {}),
        ((t(3, 4), [t.ints(5, high=3), t.ints(5, high=4)], t(5)), {"accumulate": True}),
    ],
)


def _make_index_fill(inplace):
    op = "index_copy" + "_" * inplace

    def index_fill(input, dim, index, value):
        shape = list(input.shape)
        d = wrap_dim(dim, input.dim())
        if shape:
            index = F._where(F.lt(index, 0), index + shape[d], index)
            shape[d] = index.shape[0] if index.dim() else 1
        return getattr(F, op)(input, dim, index, F.full(shape, value, dtype=input.dtype))

    return index_fill


_twins(
    "index_fill",
    "One value written into slices of one dimension.",
    _make_index_fill,
    oracle="oracles.index_fill",
    samples=lambda t: [((t(3, 5), 1, t.permutation(5, 2), 0.5), {})],
)


# -- masks -------------------------------------------------------------------------------------------------------------
def _check_mask(mask, op):
    if mask.dtype is not F.bool:
        raise RuntimeError(f"{op} only supports boolean masks, but got mask with dtype {mask.dtype}")


@composite(
    method=True,
    samples=lambda t: [
        ((t(3, 4), t.bools(3, 4), 0.5), {}),
        ((t(3, 4), t.bools(4), 2.0), {}),
        ((t(4), t.bools(3, 4), 1.0), {}),
    ],
    oracle="lambda x, m, v: numpy.where(m, v, x)",
)
def masked_fill(input, mask, value):
    """value where mask holds, else input."""
    _check_mask(mask, "masked_fill")
    if isinstance(value, F.Tensor) and value.dim() != 0:
        raise RuntimeError(
            f"masked_fill only supports a 0-dimensional value tensor, but got tensor with {value.dim()} dimension(s)."
        )
    if not isinstance(value, F.Tensor) and not input.is_floating_point() and isinstance(value, float):
        value = int(value)
    return F._where(mask, value, input)


@composite("masked_fill_", method=True, function=False)
def masked_fill_(input, mask, value):
    """Writes value where mask holds."""
    _check_mask(mask, "masked_fill_")
    return input.copy_(F.masked_fill(input, F.expand(mask, input.shape), value))


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3, 4), t.bools(3, 4)), {}), ((t(3, 4), t.bools(4)), {})],
    oracle="lambda x, m: x[numpy.broadcast_to(m, x.shape)]",
)
def masked_select(input, mask):
    """The elements where mask holds, as a vector."""
    _check_mask(mask, "masked_select")
    input, mask = F.broadcast_tensors(input, mask)
    return F.index(input, F.unbind(F.nonzero(mask), 1)) if mask.dim() else F.reshape(input, (1,))[: int(mask.item())]


@composite("masked_scatter", method=True, inplace=True)
def masked_scatter(input, mask, source):
    """The elements where mask holds replaced by those of source in order."""
    _check_mask(mask, "masked_scatter")
    places = F.nonzero(F.expand(mask, input.shape))
    count = places.shape[0]
    if source.numel() < count:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have at least {count} elements, got {source.numel()}"
        )
    return F._index_put(input, list(F.unbind(places, 1)), F.reshape(source, (-1,))[:count])


structured("_nonzero", "nonzero", "Tensor input", grad=False, method=False, function=False, role="nonzero")


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t.bools(3, 4),), {}), ((t(5),), {})],
    oracle="lambda x: numpy.argwhere(x)",
    opcheck=False,
)
def nonzero(input, *, as_tuple=False):
    """Indices of the nonzero elements, [count, ndim], or one vector a dimension."""
    found = F._nonzero(input if input.dtype is F.bool else F.ne(input, 0))
    return F.unbind(found, 1) if as_tuple else found


@composite(method=True, opcheck=False)
def argwhere(input):
    """Indices of the nonzero elements, [count, ndim]."""
    return F.nonzero(input)


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3, 4), t.ints(3, 2, high=4), 1), {}), ((t(3, 4), t.ints(5, high=12)), {})],
    oracle="lambda x, i, d=None: x.reshape(-1)[i] if d is None else numpy.take_along_axis(x, i, d)",
)
def take_along_dim(input, indices, dim=None):
    """gather() that broadcasts; with no dim, over the flattened input."""
    if dim is None:
        return F.gather(F.reshape(input, (-1,)), 0, F.reshape(indices, (-1,)))
    dim = wrap_dim(dim, input.dim())
    shape = F.broadcast_shapes(*((*x.shape[:dim], 1, *x.shape[dim + 1 :]) for x in (input, indices)))
    input = F.expand(input, [*shape[:dim], input.shape[dim], *shape[dim + 1 :]])
    return F.gather(input, dim, F.expand(indices, [*shape[:dim], indices.shape[dim], *shape[dim + 1 :]]))


@composite(
    method=True, out=True, samples=lambda t: [((t(3, 4), t.ints(2, 2, high=12)), {})], oracle="lambda x, i: x.take(i)"
)
def take(input, index):
    """The flattened input at index; negative ones count from the end."""
    return F.index(F.reshape(input, (-1,)), [index])


# -- order -------------------------------------------------------------------------------------------------------------
def _sort_gradient(g, input_shape, dim, out1):
    return F.scatter_add(F.zeros(input_shape, dtype=g.dtype), dim, out1, g) if len(input_shape) else g


structured(
    "_sort",
    "sort",
    "Tensor input, int dim, bool descending, int? k=None",
    grad=_sort_gradient,
    method=False,
    function=False,
    outputs=2,
)


@composite(
    method=True,
    samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), 0), {}), ((t(3, 4), -1, True), {})],
    opcheck=False,
    oracle="lambda x, d=-1, r=False: (lambda i: (numpy.take_along_axis(x, i, d), i))(numpy.argsort(-x if r else x, "
    "d, kind='stable'))",
)
def sort(input, dim=-1, descending=False, *, stable=True, out=None):
    """(values, indices) in order along a dimension; stable; NaN counts as the largest."""
    values, indices = F._sort(input, dim, descending)
    result = F.result_pair("sort", values, indices)
    return result if out is None else F.write_pair("sort", result, out)


@composite(
    method=True,
    samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), 0), {}), ((t(3, 4), -1, True), {})],
    opcheck=False,
    oracle="lambda x, d=-1, r=False: numpy.argsort(-x if r else x, d, kind='stable')",
)
def argsort(input, dim=-1, descending=False, *, stable=True):
    """Indices that put a dimension in order."""
    return F._sort(input.detach(), dim, descending)[1]


@composite(
    method=True,
    samples=lambda t: [((t(3, 5), 2), {}), ((t(5, 3), 2, 0), {}), ((t(3, 5), 2, -1, False), {})],
    opcheck=False,
    oracle="oracles.topk",
)
def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """(values, indices) of the k largest (or smallest) along a dimension, in order."""
    size = input.shape[wrap_dim(dim, input.dim())] if input.dim() else 1
    if k < 0 or k > size:
        raise RuntimeError(f"selected index k out of range: k={k}, dimension {dim} has size {size}")
    if input.dtype is F.bool or input.is_complex():
        raise RuntimeError(f"topk(): not implemented for {input.dtype}")
    values, indices = F._sort(input, dim, largest, k)
    result = F.result_pair("topk", values, indices)
    return result if out is None else F.write_pair("topk", result, out)
