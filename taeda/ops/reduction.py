"""Reductions and running reductions."""

from __future__ import annotations

from .helpers import reduced_count, unreduce, wrap_dim, wrap_dims
from .namespace import F
from .scalar import cast, exp, isnan, select, sqrt
from .table import composite, everything, floating, numeric, pointwise, reduce_op, scan_op


def _samples(t):
    return [
        ((t(3, 4),), {}),
        ((t(3, 4), 1), {}),
        ((t(2, 3, 4), (0, 2)), {"keepdim": True}),
        ((t(2, 3, 4), -2), {}),
        ((t(),), {}),
        ((t(2, 3, 4), 0), {}),
    ]


def _sum_gradient(g, input_shape, dim, keepdim, input_dtype):
    g = F.expand(unreduce(g, input_shape, dim, keepdim), input_shape)
    return g if g.dtype is input_dtype else F.cast(g, input_dtype)


reduce_op(
    "sum",
    "sum",
    out="acc",
    grad=_sum_gradient,
    accepts=everything,
    role="sum",
    samples=_samples,
    oracle="lambda x, dim=None, keepdim=False: x.sum(dim, keepdims=keepdim)",
    doc="Sum over dimensions (default: all).",
)


def _prod_gradient(g, input, dim, keepdim):
    # Products of all the others, exact where elements are zero: exclusive products from both ends.
    shape = input.shape
    g = unreduce(g, shape, dim, keepdim)
    dims = wrap_dims(dim, input.dim())
    flat, at = (input, dims[0]) if len(dims) == 1 else (F.reshape(input, (-1,)), 0)
    one = F.ones_like(F.slice(flat, at, 0, 1, 1))
    before = F.cumprod(F.cat([one, F.slice(flat, at, 0, -1, 1)], at), at)
    after = F.flip(F.cumprod(F.cat([one, F.slice(F.flip(flat, at), at, 0, -1, 1)], at), at), at)
    return F.conj(F.reshape(before * after, shape)) * g


reduce_op("_prod", "prod", out="acc", grad=_prod_gradient, accepts=everything, method=False, function=False)


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), 1), {}), ((t(2, 3), 0), {"keepdim": True})],
    oracle="lambda x, dim=None, keepdim=False: x.prod(dim, keepdims=keepdim)",
)
def prod(input, dim=None, keepdim=False, *, dtype=None):
    """Product over one dimension (default: all)."""
    return F._prod(input, dim, keepdim, dtype=dtype)


def _extreme_gradient(g, input, out, dim, keepdim):
    """Shared equally among the elements that reach the extreme."""
    g, out = unreduce(g, input.shape, dim, keepdim), unreduce(out, input.shape, dim, keepdim)
    hit = F._same(input, out)
    return F._where(hit, g / F.cast(F.sum(hit, dim, True) if input.dim() else F.cast(hit, F.int64), g.dtype), 0)


pointwise("_same", lambda a, b: a.eq(b) | (isnan(a) & isnan(b)), types="TT->b", method=False, function=False)
for _name, _kind in (("amax", "max"), ("amin", "min")):
    reduce_op(
        _name,
        _kind,
        grad=_extreme_gradient,
        samples=_samples,
        oracle=f"lambda x, dim=None, keepdim=False: x.{_kind}(dim, keepdims=keepdim)",
        doc=f"The {_kind}imum over dimensions.",
    )
    reduce_op(
        f"arg{_kind}",
        f"arg{_kind}",
        out="i",
        single=True,
        grad=False,
        accepts=numeric,
        samples=lambda t: [
            ((t(3, 4),), {}),
            ((t(3, 4), 1), {}),
            ((t(2, 3, 4), 0), {"keepdim": True}),
            ((t(2, 3, 4), -2), {}),
        ],
        oracle=f"lambda x, dim=None, keepdim=False: numpy.arg{_kind}(x, dim, keepdims=keepdim)",
        doc=f"Index of the first {_kind}imum.",
    )
reduce_op(
    "any",
    "any",
    pre=lambda x: cast(x, "b1"),
    out="b",
    accepts=everything,
    grad=False,
    samples=_samples,
    oracle="lambda x, dim=None, keepdim=False: x.astype(bool).any(dim, keepdims=keepdim)",
    doc="Whether any element is nonzero.",
)
reduce_op(
    "all",
    "all",
    pre=lambda x: cast(x, "b1"),
    out="b",
    accepts=everything,
    grad=False,
    samples=_samples,
    oracle="lambda x, dim=None, keepdim=False: x.astype(bool).all(dim, keepdims=keepdim)",
    doc="Whether every element is nonzero.",
)
reduce_op(
    "_count_nonzero",
    "sum",
    pre=lambda x: cast(cast(x, "b1"), "i64"),
    out="i",
    grad=False,
    accepts=everything,
    method=False,
    function=False,
)
reduce_op(
    "_sum_squares",
    "sum",
    pre=lambda x: x * x,
    out="acc",
    accepts=floating,
    method=False,
    function=False,
    grad=lambda g, input, dim, keepdim: unreduce(g, input.shape, dim, keepdim) * (input * 2),
)
reduce_op(
    "_sum_abs",
    "sum",
    pre=lambda x: abs(x),
    out="acc",
    accepts=floating,
    method=False,
    function=False,
    grad=lambda g, input, dim, keepdim: unreduce(g, input.shape, dim, keepdim) * F.sign(input),
)
reduce_op(
    "_max_abs",
    "max",
    pre=lambda x: abs(x),
    accepts=floating,
    method=False,
    function=False,
    grad=lambda g, input, out, dim, keepdim: _extreme_gradient(g, F.abs(input), out, dim, keepdim) * F.sign(input),
)


@composite(
    method=True,
    opcheck=False,
    samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), 1), {}), ((t(3, 4), (0, 1)), {})],
    oracle="lambda x, dim=None: numpy.count_nonzero(x, dim)",
)
def count_nonzero(input, dim=None):
    """Number of nonzero elements."""
    return F._count_nonzero(input, dim)


# -- max and min in their three forms ----------------------------------------------------------------------------------
def _extreme_form(op, input, dim, keepdim, out):
    index = getattr(F, f"arg{op}")(input, dim, True)
    values = F.gather(input, dim, index) if input.dim() else F.clone(input)
    if not keepdim and input.dim():
        values, index = F._squeeze(values, (dim,)), F._squeeze(index, (dim,))
    result = F.result_pair(op, values, index)
    return result if out is None else F.write_pair(op, result, out)


def _three_forms(op, binary):
    def form(input, dim=None, keepdim=False, *, other=None, out=None):
        if other is None and isinstance(dim, F.Tensor):
            other = dim
        if other is not None:
            return F.write_out(op, getattr(F, binary)(input, other), out)
        if dim is None:
            if input.numel() == 0:
                raise RuntimeError(
                    f"{op}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction "
                    "dim with the 'dim' argument."
                )
            return F.write_out(op, getattr(F, f"a{op}")(input), out)
        return _extreme_form(op, input, dim, keepdim, out)

    form.__name__ = form.__qualname__ = op
    form.__doc__ = (
        f"The {op}imum of all elements; with dim, (values, indices) along it; with a tensor, element by element."
    )
    composite(
        op,
        method=True,
        samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), t(4)), {})],
        oracle=f"lambda x, y=None: numpy.{op}(x) if y is None else numpy.{binary}(x, y)",
    )(form)


_three_forms("max", "maximum")
_three_forms("min", "minimum")


@composite(method=True, out=True)
def aminmax(input, *, dim=None, keepdim=False):
    """Both extremes."""
    return F.result_pair("aminmax", F.amin(input, dim, keepdim), F.amax(input, dim, keepdim))


# -- means and moments -------------------------------------------------------------------------------------------------
def _wide(dtype):
    return F.float32 if dtype is F.float16 or dtype is F.bfloat16 else dtype


@composite(
    method=True, out=True, samples=_samples, oracle="lambda x, dim=None, keepdim=False: x.mean(dim, keepdims=keepdim)"
)
def mean(input, dim=None, keepdim=False, *, dtype=None):
    """Arithmetic mean over dimensions (default: all)."""
    target = input.dtype if dtype is None else dtype
    if not (target.is_floating_point or target.is_complex):
        what = "Input dtype" if dtype is None else "Optional dtype"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {what} must be either a floating point or complex dtype. "
            f"Got: {target}"
        )
    count = input.numel() if dim is None else reduced_count(input.shape, dim)
    wide = _wide(target)
    if wide is input.dtype:
        return F.div(F.sum(input, dim, keepdim), count)
    result = F.div(F.sum(input, dim, keepdim, dtype=wide), count)
    return result if wide is target else F.cast(result, target)


@composite(
    method=True,
    out=True,
    samples=_samples,
    oracle="lambda x, dim=None, keepdim=False: numpy.nansum(x, dim, keepdims=keepdim)",
)
def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """Sum that counts NaN as zero."""
    return F.sum(F._where(F.isnan(input), 0, input), dim, keepdim, dtype=dtype)


@composite(
    method=True,
    out=True,
    samples=_samples,
    oracle="lambda x, dim=None, keepdim=False: numpy.nanmean(x, dim, keepdims=keepdim)",
)
def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """Mean of the elements that are not NaN."""
    count = F.sum(F.logical_not(F.isnan(input)), dim, keepdim)
    return F.nansum(input, dim, keepdim, dtype=dtype) / F.cast(count, dtype or input.dtype)


def _variance(input, dim, unbiased, correction, keepdim, op):
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    if not (input.is_floating_point() or input.is_complex()):
        raise RuntimeError(f"{op}(): only support floating point and complex dtypes, got {input.dtype}")
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op}(): got both unbiased and correction")
    correction = correction if correction is not None else 1 if unbiased is None or unbiased else 0
    wide = _wide(input.dtype)
    x = F.cast(input, wide)
    count = reduced_count(x.shape, dim)
    center = F.sum(x, dim, True) / count if x.dim() else x
    away = x - center
    if x.is_complex():
        total = F._sum_squares(F.real(away), dim, keepdim) + F._sum_squares(F.imag(away), dim, keepdim)
        wide = total.dtype
    else:
        total = F._sum_squares(away, dim, keepdim)
    if isinstance(count, int):
        return center, total / max(count - correction, 0), wide
    return center, total / (count - correction), wide


def _narrow(result, input):
    """A real moment in the input's dtype; that of complex numbers is in the dtype of their parts."""
    return result if input.is_complex() else F.cast(result, input.dtype)


def _moment_samples(t):
    return [
        ((t(3, 4),), {}),
        ((t(3, 4), 1), {}),
        ((t(2, 3, 4), (0, 2)), {"keepdim": True}),
        ((t(3, 4), 0), {"correction": 0}),
    ]


@composite(
    method=True,
    out=True,
    samples=_moment_samples,
    oracle="lambda x, dim=None, correction=1, keepdim=False: x.var(dim, ddof=correction, keepdims=keepdim)",
)
def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Variance over dimensions, with Bessel's correction unless `correction` says otherwise."""
    return _narrow(_variance(input, dim, unbiased, correction, keepdim, "var")[1], input)


@composite(
    method=True,
    out=True,
    samples=_moment_samples,
    oracle="lambda x, dim=None, correction=1, keepdim=False: x.std(dim, ddof=correction, keepdims=keepdim)",
)
def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Standard deviation over dimensions."""
    return _narrow(F._norm_root(_variance(input, dim, unbiased, correction, keepdim, "std")[1]), input)


def _with_mean(op, input, dim, unbiased, keepdim, correction):
    center, variance, _ = _variance(input, dim, unbiased, correction, keepdim, op)
    if not keepdim and input.dim():
        center = F._squeeze(center, wrap_dims(None if isinstance(dim, bool) else dim, input.dim()))
    return _narrow(variance if op == "var_mean" else F._norm_root(variance), input), F.cast(center, input.dtype)


@composite()
def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(variance, mean)."""
    return _with_mean("var_mean", input, dim, unbiased, keepdim, correction)


@composite()
def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(standard deviation, mean)."""
    return _with_mean("std_mean", input, dim, unbiased, keepdim, correction)


# -- norms -------------------------------------------------------------------------------------------------------------
# The slope of sqrt at 0 is infinite; a norm's and a deviation's is taken as 0 there, as PyTorch does.
pointwise(
    "_norm_root",
    sqrt,
    grad=lambda g, x, y: select(y.eq(0), 0, g / (y * 2)),
    accepts=floating,
    method=False,
    function=False,
)


@composite(
    method=True,
    samples=lambda t: [((t(3, 4),), {}), ((t(3, 4), 1), {}), ((t(3, 4), float("inf"), 1), {}), ((t(3, 4), 3, 1), {})],
    oracle="lambda x, p=2, dim=None: numpy.linalg.norm(x.reshape(-1) if dim is None else x, p, dim)",
)
def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """p-norm over dimensions (default: all)."""
    if dtype is not None:
        input = F.cast(input, dtype)
    if p == "nuc":
        return F.nuclear_norm(input, dim, keepdim, out)
    if input.is_complex():
        input = F.abs(input)
    if not input.is_floating_point():
        raise RuntimeError(f"norm(): input dtype should be either floating point or complex dtypes, got {input.dtype}")
    if p is None or p == "fro":
        p = 2
    elif isinstance(p, str):
        raise RuntimeError(f"norm(): p must be a number, 'fro', 'nuc', inf or -inf, got {p!r}")
    x = F.cast(input, _wide(input.dtype))
    if p == 2:
        result = F._norm_root(F._sum_squares(x, dim, keepdim))
    elif p == 1:
        result = F._sum_abs(x, dim, keepdim)
    elif p == float("inf"):
        result = F._max_abs(x, dim, keepdim)
    elif p == float("-inf"):
        result = F.amin(F.abs(x), dim, keepdim)
    elif p == 0:
        result = F._norm_zero(x, dim, keepdim)
    elif p < 0:
        result = F._pow(F.sum(F._pow(F.abs(x), p), dim, keepdim), 1 / p)
    else:  # zeros stay out of the powers: the slope there is 0
        none = F.eq(x, 0)
        total = F.sum(F._where(none, 0, F._pow(F._where(none, 1, F.abs(x)), p)), dim, keepdim)
        none = F.eq(total, 0)
        result = F._where(none, total, F._pow(F._where(none, 1, total), 1 / p))
    return F.write_out("norm", F.cast(result, input.dtype), out)


@composite(method=True)
def dist(input, other, p=2):
    """p-norm of input - other."""
    return F.norm(input - other, p)


@composite(
    nn=True,
    samples=lambda t: [((t(3, 4),), {}), ((t(3, 4),), {"dim": 0})],
    function=False,
    oracle="lambda x, dim=1: x / numpy.maximum(numpy.linalg.norm(x, 2, dim, keepdims=True), 1e-12)",
)
def normalize(input, p: float | str | None = 2.0, dim=1, eps=1e-12, out=None):
    """input divided by its p-norm along a dimension."""
    return F.write_out("normalize", input / F.clamp_min(F.norm(input, p, dim, True), eps), out)


# -- log-sum-exp -------------------------------------------------------------------------------------------------------
reduce_op(
    "_sum_exp",
    "sum",
    pre=lambda x: exp(x),
    out="acc",
    accepts=floating,
    method=False,
    function=False,
    grad=lambda g, input, dim, keepdim: unreduce(g, input.shape, dim, keepdim) * F.exp(input),
)


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3, 4), 1), {}), ((t(2, 3, 4), (0, 2)), {"keepdim": True}), ((t(3, 4), 0), {})],
    oracle="lambda x, dim, keepdim=False: scipy.special.logsumexp(x, dim, keepdims=keepdim)",
)
def logsumexp(input, dim, keepdim=False):
    """log(sum(exp(input))) without overflow."""
    if input.is_complex():
        peak = F.amax(F.real(input).detach(), dim, True)
        total = F.log(F.sum(F.exp(input - peak), dim, True)) + peak
        return total if keepdim or not input.dim() else F._squeeze(total, wrap_dims(dim, input.dim()))
    x = input if input.is_floating_point() else F.cast(input, F.get_default_dtype())
    wide = F.cast(x, _wide(x.dtype))
    peak = F.amax(wide.detach(), dim, True)
    peak = F._where(F.isfinite(peak), peak, 0)
    total = F.log(F._sum_exp(wide - peak, dim, True)) + peak
    if not keepdim and x.dim():
        total = F._squeeze(total, wrap_dims(dim, x.dim()))
    return F.cast(total, x.dtype)


# -- running reductions ------------------------------------------------------------------------------------------------
def _reverse_cumsum(x, dim):
    return F.flip(F.cumsum(F.flip(x, dim), dim), dim)


def _cumulative_samples(t):
    return [((t(5), 0), {}), ((t(3, 4), 1), {}), ((t(3, 4), 0), {}), ((t(2, 3, 4), -2), {})]


scan_op(
    "cumsum",
    "sum",
    grad=lambda g, dim, input_dtype: F.cast(_reverse_cumsum(g, dim), input_dtype),
    accepts=everything,
    samples=_cumulative_samples,
    oracle="lambda x, d: numpy.cumsum(x, d)",
    doc="Running sum along a dimension.",
)


def _cumprod_gradient(g, input, out, dim):
    if not bool((input == 0).any()):
        return _reverse_cumsum(g * F.conj(out), dim) / F.conj(input)
    # With zeros the quotient is undefined: column j of the Jacobian is the running product with x_j replaced by 1, from
    # j on.
    dim = wrap_dim(dim, input.dim())
    total = []
    for j in range(input.shape[dim]):
        parts = [
            F.slice(input, dim, 0, j, 1),
            F.ones_like(F.slice(input, dim, j, j + 1, 1)),
            F.slice(input, dim, j + 1, None, 1),
        ]
        run = F.slice(F.cumprod(F.cat(parts, dim), dim), dim, j, None, 1)
        total.append(F.sum(F.slice(g, dim, j, None, 1) * F.conj(run), dim, True))
    return F.cat(total, dim)


scan_op(
    "cumprod",
    "prod",
    grad=_cumprod_gradient,
    accepts=everything,
    samples=_cumulative_samples,
    oracle="lambda x, d: numpy.cumprod(x, d)",
    doc="Running product along a dimension.",
)


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(5), 0), {}), ((t(3, 4), 1), {})],
    oracle="lambda x, d: numpy.logaddexp.accumulate(x, d)",
)
def logcumsumexp(input, dim):
    """log of the running sum of exp along a dimension. Sums of ever wider windows (Hillis and Steele, 1986), so that
    small elements in front of large ones keep their digits.
    """
    if input.is_complex():
        peak = F.amax(F.real(input).detach(), dim, True)
        return F.log(F.cumsum(F.exp(input - peak), dim)) + peak
    if not input.is_floating_point():
        raise NotImplementedError(f"logcumsumexp(): not implemented for {input.dtype}")
    dim = wrap_dim(dim, input.dim())
    if not input.dim():
        return F.clone(input)
    x, width = F.cast(input, _wide(input.dtype)), 1
    while width < input.shape[dim]:
        grown = F.logaddexp(F.slice(x, dim, width, None, 1), F.slice(x, dim, 0, -width, 1))
        x, width = F.cat([F.slice(x, dim, 0, width, 1), grown], dim), 2 * width
    return F.clone(x) if x is input else F.cast(x, input.dtype)


@composite(method=True, function=True)
def sum_to_size(input, *size):
    """Summed down to a shape that broadcasts to the input's: undoes broadcasting."""
    size = (
        list(size[0])
        if len(size) == 1 and not isinstance(size[0], int) and hasattr(size[0], "__iter__")
        else list(size)
    )
    shape = list(input.shape)
    extra = len(shape) - len(size)
    if extra < 0 or any(n != 1 and n is not shape[extra + d] and n != shape[extra + d] for d, n in enumerate(size)):
        raise RuntimeError(f"size {{{size}}} is not expandable to size {{{shape}}}.")
    dims = [
        *range(extra),
        *(extra + d for d, n in enumerate(size) if isinstance(n, int) and n == 1 and not _is_one(shape[extra + d])),
    ]
    if dims:
        input = F.sum(input, dims, True, dtype=input.dtype)
    return F.reshape(input, size) if extra else input


def _is_one(n):
    return isinstance(n, int) and n == 1
