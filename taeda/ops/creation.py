"""New tensors from sizes and numbers."""

from __future__ import annotations

from .expr import cast
from .namespace import F
from .scalar import select
from .table import composite, everything, generate

generate(
    "_full",
    lambda at, value: value,
    "int[] size, Number value, *, dtype? dtype=None",
    types="T",
    accepts=everything,
    role="full",
)
generate(
    "_arange_int",
    lambda at, start, step: start + at * step,
    "int[] size, Number start, Number step, *, dtype? dtype=None",
    types="ii",
)
generate(
    "_arange",
    lambda at, start, step: start + cast(at, "f64") * step,
    "int[] size, Number start, Number step, *, dtype? dtype=None",
    types="dd",
)
# Counted from the nearer end, so that both ends are exact.
generate(
    "_linspace",
    lambda at, start, end, step, half, last: select(
        at < half, start + cast(at, "f64") * step, end - cast(last - at, "f64") * step
    ),
    "int[] size, Number start, Number end, Number step, Number half, Number last, *, dtype? dtype=None",
    types="dddii",
)
generate(
    "_eye",
    lambda at, columns: (at / columns).eq(at % columns),
    "int[] size, Number columns, *, dtype? dtype=None",
    types="i",
    accepts=everything,
)
generate(
    "_band",
    lambda at, columns, diagonal: at % columns - at / columns <= diagonal,
    "int[] size, Number columns, Number diagonal, *, dtype? dtype=None",
    types="ii",
    accepts=everything,
)


def check_device(device, layout=None, op="tensor") -> None:
    """Raises unless the device is the CPU and the layout is strided."""
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise RuntimeError(f"{op}(): device {str(device)!r} is not available; this build runs on 'cpu'")
    if layout is not None and layout is not F.strided:
        raise RuntimeError(f"{op}(): only the strided layout exists, got {layout}")


def finish(result, op, out, device, layout, requires_grad):
    """What every creation function does last."""
    if device is not None or layout is not None:
        check_device(device, layout, op)
    if out is not None:
        result = F.write_out(op, result, out)
    return result.requires_grad_() if requires_grad else result


def _size(args):
    """Sizes given as f(2, 3) or f((2, 3))."""
    return args[0] if len(args) == 1 and isinstance(args[0], (tuple, list)) else args


def _sizes(op, args, size):
    """Sizes given as f(2, 3), f((2, 3)) or f(size=(2, 3))."""
    if size is None:
        return _size(args)
    if args:
        raise TypeError(f"{op}() got multiple values for argument 'size'")
    return _size((size,))


def _float(dtype):
    return F.get_default_dtype() if dtype is None else dtype


@composite()
def empty(
    *sizes, size=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
    memory_format=None,
):  # fmt: skip
    """A tensor with whatever the memory holds."""
    return finish(F._empty(_sizes("empty", sizes, size), _float(dtype)), "empty", out, device, layout, requires_grad)


@composite()
def zeros(*sizes, size=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Zeros."""
    return finish(
        F._full(_sizes("zeros", sizes, size), 0, dtype=_float(dtype)), "zeros", out, device, layout, requires_grad
    )


@composite()
def ones(*sizes, size=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """Ones."""
    return finish(
        F._full(_sizes("ones", sizes, size), 1, dtype=_float(dtype)), "ones", out, device, layout, requires_grad
    )


@composite()
def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """One value everywhere; the dtype follows the value where not given."""
    if isinstance(fill_value, F.Tensor):
        if fill_value.dim() != 0:
            raise TypeError(
                "full(): argument 'fill_value' must be a number or a 0-d tensor, got a tensor of shape "
                f"{list(fill_value.shape)}"
            )
        result = F.clone(F.expand(fill_value if dtype is None else F.cast(fill_value, dtype), _size((size,))))
        return finish(result, "full", out, device, layout, requires_grad)
    if dtype is None:
        dtype = (
            F.bool
            if isinstance(fill_value, bool)
            else F.int64
            if isinstance(fill_value, int)
            else F.get_default_dtype().to_complex()
            if isinstance(fill_value, complex)
            else F.get_default_dtype()
        )
    return finish(F._full(_size((size,)), fill_value, dtype=dtype), "full", out, device, layout, requires_grad)


@composite()
def scalar_tensor(value, *, like=None, dtype=None, device=None, requires_grad=False):
    """A 0-d tensor; with `like`, a number as an operand beside it would be."""
    if dtype is None and like is not None and isinstance(like, F.Tensor):
        dtype = F.result_type(like, value)
    elif dtype is None:
        dtype = (
            F.get_default_dtype()
            if like is None or isinstance(value, float)
            else F.bool
            if isinstance(value, bool)
            else F.int64
        )
    return finish(F._full((), value, dtype=dtype), "scalar_tensor", None, device, None, requires_grad)


def _like(op, make):
    def like(input, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False, memory_format=None):
        made = F.spread(make(input.shape, input.dtype if dtype is None else dtype), input)
        return finish(made, op, None, device, layout, requires_grad)

    like.__name__ = like.__qualname__ = op
    like.__doc__ = f"{op[:-5]}() of the input's shape and dtype."
    composite(op)(like)


_like("empty_like", lambda shape, dtype: F._empty(shape, dtype))
_like("zeros_like", lambda shape, dtype: F._full(shape, 0, dtype=dtype))
_like("ones_like", lambda shape, dtype: F._full(shape, 1, dtype=dtype))


@composite()
def full_like(input, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None):
    """One value in the input's shape and dtype."""
    made = F.spread(F._full(input.shape, fill_value, dtype=dtype or input.dtype), input)
    return finish(made, "full_like", None, device, layout, requires_grad)


@composite()
def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor with the given strides (in elements) and whatever the memory holds."""
    if len(size) != len(stride):
        raise RuntimeError(
            f"empty_strided(): dimensionality of sizes ({len(size)}) must match dimensionality of strides "
            f"({len(stride)})"
        )
    span = 1 + sum((n - 1) * s for n, s in zip(size, stride)) if all(size) else 0
    flat = F._empty((span,), _float(dtype))
    return finish(F._as_strided(flat, size, stride, 0), "empty_strided", None, device, layout, requires_grad)


@composite()
def arange(start=None, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """start, start + step, ... below end."""
    if start is None:
        if end is None:
            raise TypeError("arange() missing 1 required positional argument: 'end'")
        start = 0
    elif end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, F.Tensor) else x for x in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if dtype is not None and not dtype.is_floating_point and dtype is not F.bool:
        start, end, step = int(start), int(end), int(step)
    floats = isinstance(start, float) or isinstance(end, float) or isinstance(step, float)
    if dtype is None:
        dtype = F.get_default_dtype() if floats else F.int64
    if floats:
        import math

        if not (math.isfinite(start) and math.isfinite(end)):
            raise RuntimeError(f"unsupported range: {start} -> {end}")
        count = math.ceil((end - start) / step)
    else:
        count = -((start - end) // step) if step > 0 else -((end - start) // -step)
    if isinstance(count, int) and count < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if floats:
        result = F._arange((count,), start, step, dtype=dtype)
    else:
        result = F._arange_int((count,), start, step, dtype=dtype)
    return finish(result, "arange", out, device, layout, requires_grad)


@composite("range")
def _range_with_end(start=0, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """start, start + step, ... up to end, which is included. Deprecated: arange() leaves the end out, as Python does."""
    import warnings

    warnings.warn("range() includes its end, unlike Python's: use arange()", stacklevel=2)
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, F.Tensor) else x for x in (start, end, step))
    dtype = _float(dtype)
    if not dtype.is_floating_point:
        start, end, step = int(start), int(end), int(step)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if not -1e300 < start < 1e300 or not -1e300 < end < 1e300:
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = int((end - start) / step) + 1
    make = F._arange if dtype.is_floating_point else F._arange_int
    return finish(make((count,), start, step, dtype=dtype), "range", out, device, layout, requires_grad)


@composite()
def linspace(start, end, steps, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """`steps` equally spaced values from start to end, both included."""
    start, end = (x.item() if isinstance(x, F.Tensor) else x for x in (start, end))
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if isinstance(start, complex) or isinstance(end, complex) or (dtype is not None and dtype.is_complex):
        dtype = F.get_default_dtype().to_complex() if dtype is None else dtype
        if not dtype.is_complex:
            raise RuntimeError(f"linspace(): inferred dtype of complex ends can't be safely cast to {dtype}")
        start, end, part = complex(start), complex(end), dtype.to_real()
        ends = ((start.real, end.real), (start.imag, end.imag))
        result = F.complex(*(F.linspace(low, high, steps, dtype=part) for low, high in ends))
        return finish(result, "linspace", out, device, layout, requires_grad)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    result = F._linspace((steps,), start, end, step, max(steps // 2, 1), steps - 1, dtype=_float(dtype))
    return finish(result, "linspace", out, device, layout, requires_grad)


@composite()
def logspace(start, end, steps, base=10.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """base ** linspace(start, end, steps)."""
    result = F.cast(
        F._pow(
            F.linspace(start, end, steps, dtype=F.float64) * 0 + base, F.linspace(start, end, steps, dtype=F.float64)
        ),
        _float(dtype),
    )
    return finish(result, "logspace", out, device, layout, requires_grad)


@composite()
def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """Ones on the diagonal, zeros elsewhere."""
    m = n if m is None else m
    if n < 0 or m < 0:
        raise RuntimeError(f"n must be greater or equal to 0, got {n if n < 0 else m}")
    return finish(F._eye((n, m), m, dtype=_float(dtype)), "eye", out, device, layout, requires_grad)


def _matrix(input, op):
    if input.dim() < 2:
        raise RuntimeError(f"{op}: input tensor must have at least 2 dimensions")
    rows, columns = input.shape[-2:]
    return rows, columns


@composite(
    method=True,
    out=True,
    inplace=True,
    oracle="numpy.tril",
    samples=lambda t: [((t(3, 4),), {}), ((t(2, 4, 3), 1), {}), ((t(3, 3), -1), {})],
)
def tril(input, diagonal=0):
    """The lower triangle, zeros above."""
    rows, columns = _matrix(input, "tril")
    return F._where(F._band((rows, columns), columns, diagonal, dtype=F.bool), input, False)


@composite(
    method=True,
    out=True,
    inplace=True,
    oracle="numpy.triu",
    samples=lambda t: [((t(3, 4),), {}), ((t(2, 4, 3), 1), {}), ((t(3, 3), -1), {})],
)
def triu(input, diagonal=0):
    """The upper triangle, zeros below."""
    rows, columns = _matrix(input, "triu")
    return F._where(F._band((rows, columns), columns, diagonal - 1, dtype=F.bool), False, input)


def _triangle_indices(row, col, keep, offset, dtype):
    mask = F._band((row, col), col, offset if keep else offset - 1, dtype=F.bool)
    return F.cast(F.transpose(F.nonzero(mask if keep else F.logical_not(mask)), 0, 1).contiguous(), dtype or F.int64)


@composite()
def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """Indices of the lower triangle, [2, count]."""
    return _triangle_indices(row, col, True, offset, dtype)


@composite()
def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None):
    """Indices of the upper triangle, [2, count]."""
    return _triangle_indices(row, col, False, offset, dtype)


@composite("fill_", method=True)
def fill_(self, value):
    """Writes one value everywhere."""
    if not isinstance(value, F.Tensor):
        value = F._full((), value, dtype=self.dtype)
    elif value.dim() != 0:
        raise RuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {value.dim()} dimensions."
        )
    return self.copy_(value)


@composite("zero_", method=True)
def zero_(self):
    """Writes zeros."""
    return self.copy_(F._full((), 0, dtype=self.dtype))


def _new(op):
    def new(self, *sizes, size=None, dtype=None, device=None, layout=None, requires_grad=False, pin_memory=False):
        made = getattr(F, op)(*sizes, size=size, dtype=dtype or self.dtype, device=device, layout=layout)
        return finish(F.spread(made, self), f"new_{op}", None, None, None, requires_grad)

    new.__doc__ = f"{op}() with this tensor's dtype."
    composite(f"_new_{op}", method=f"new_{op}", function=False)(new)


for _op in ("empty", "zeros", "ones"):
    _new(_op)


@composite(method="new_full", function=False)
def _new_full(self, size, fill_value, *, dtype=None, device=None, layout=None, requires_grad=False, pin_memory=False):
    """full() with this tensor's dtype."""
    made = F.full(size, fill_value, dtype=dtype or self.dtype, device=device, layout=layout)
    return finish(F.spread(made, self), "new_full", None, None, None, requires_grad)


@composite(method="new_tensor", function=False)
def _new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """tensor() with this tensor's dtype."""
    return F.tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)
