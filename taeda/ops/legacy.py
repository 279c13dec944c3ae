"""Methods of Tensor that change what it is, go through its elements in Python, or are kept for old programs."""

from __future__ import annotations

from .helpers import ints, product, tensor_argument, wrap_dims
from .namespace import F
from .table import composite


def _no_gradient(op, self):
    if self.requires_grad:
        raise RuntimeError(f"{op}(): elements of a tensor that requires grad cannot be replaced: use detach()")


def _write_elements(op, self, callable, *others):
    """self[i] = callable(self[i], *(o[i] for o in others)), element by element in Python."""
    _no_gradient(op, self)
    for o in others:
        tensor_argument(op, "tensor", o)
        if o.dtype is not self.dtype:
            raise TypeError(f"expected {self.type()} for argument 'tensor' of {op}(), but got {o.type()}")
    columns = [F.reshape(x, (-1,)).tolist() for x in (self, *(F.expand(o.detach(), self.shape) for o in others))]
    values = [callable(*row) for row in zip(*columns)]
    return self.copy_(F.reshape(F.tensor(values, dtype=None if values else self.dtype), self.shape))


@composite(method="apply_", function=False, opcheck=False)
def _apply_(self, callable):
    """Replaces every element by callable(element). Slow: Python runs once an element."""
    return _write_elements("apply_", self, callable)


@composite(method="map_", function=False, opcheck=False)
def _map_(self, tensor, callable):
    """Replaces every element by callable(element, element of tensor), tensor broadcast to this shape. Slow."""
    return _write_elements("map_", self, callable, tensor)


@composite(method="map2_", function=False, opcheck=False)
def _map2_(self, x, y, callable):
    """Replaces every element by callable(element, element of x, element of y). Slow."""
    return _write_elements("map2_", self, callable, x, y)


@composite(method="fill_diagonal_", function=False)
def _fill_diagonal_(self, fill_value, wrap=False):
    """Writes one value on the main diagonal (of more than two dimensions: where all indices are equal). wrap: the
    diagonal of a tall matrix begins again below each full one.
    """
    if self.dim() < 2:
        raise RuntimeError(f"fill_diagonal_(): expected at least 2 dimensions, got {self.dim()}")
    shape, strides, start = self.shape, self.stride(), self.storage_offset()
    if self.dim() > 2 and any(n != shape[0] for n in shape):
        raise RuntimeError(f"fill_diagonal_(): more than 2 dimensions must have one size, got {list(shape)}")
    size, step = min(shape), sum(strides)
    F.as_strided(self, (size,), (step,), start).fill_(fill_value)
    height, width = shape[0], shape[1]
    if wrap and self.dim() == 2 and height > width + 1:
        more = -(-self.numel() // (width + 1)) - size
        F.as_strided(self, (more,), (step,), start + strides[0] * (width + 1)).fill_(fill_value)
    return self


# -- sizes and memory --------------------------------------------------------------------------------------------------
@composite(method=True)
def resize_as_(input, the_template, *, memory_format=None):
    """Gives the tensor the shape of another; elements that were not there are undefined."""
    tensor_argument("resize_as_", "input", input)
    tensor_argument("resize_as_", "the_template", the_template)
    return input.resize_(the_template.shape)


def _resized(op, self, sizes):
    import warnings

    warnings.warn(f"{op}() is deprecated: use reshape()", stacklevel=3)
    if product(sizes) != self.numel():
        raise RuntimeError(
            f"{op}(): the shape {list(sizes)} has {product(sizes)} elements, the tensor of shape {list(self.shape)} "
            f"has {self.numel()}"
        )
    return F.reshape(self.contiguous(), sizes)


@composite(method="resize", function=False)
def _resize(self, *sizes):
    """Deprecated: reshape()."""
    return _resized("resize", self, ints(sizes))


@composite(method="resize_as", function=False)
def _resize_as(self, tensor):
    """Deprecated: reshape() to the shape of another tensor."""
    return _resized("resize_as", self, list(tensor.shape))


@composite(method="set_", function=False, opcheck=False)
def _set_(self, source=None, storage_offset=0, size=None, stride=None):
    """Makes the tensor one over the memory of `source` (nothing: an empty one), with the given geometry or that of
    source.
    """
    if source is None:
        source = F._empty((0,), self.dtype)
    elif not isinstance(source, F.Tensor):
        source = source.as_tensor(self.dtype)
    if source.dtype is not self.dtype:
        raise RuntimeError(f"set_(): source has dtype {source.dtype}, the tensor {self.dtype}")
    source = source.detach()
    if size is not None:
        size = ints((size,)) if not isinstance(size, int) else [size]
        if stride is None:
            stride, n = [], 1
            for s in reversed(size):
                stride.insert(0, n)
                n = n * max(s, 1)
        source = F.as_strided(source, size, list(stride), storage_offset)
    self.data = source
    return self


@composite(method="dim_order", function=False, opcheck=False)
def _dim_order(self, *, ambiguity_check=False):
    """The dimensions from the outermost in memory to the innermost. ambiguity_check: an error where strides do not
    settle it.
    """
    shape, strides = list(self.shape), list(self.stride())
    if ambiguity_check:
        moving = sorted(s for n, s in zip(shape, strides) if n > 1)
        if len(moving) < len(shape) or len(set(moving)) < len(moving):
            raise RuntimeError(f"dim_order(): sizes {shape} and strides {strides} leave the order of dimensions open")
    if self.is_contiguous():
        return tuple(range(len(shape)))
    return tuple(sorted(range(len(shape)), key=lambda d: -strides[d]))


# -- new tensors -------------------------------------------------------------------------------------------------------
@composite(method="new", function=False, opcheck=False)
def _new(self, *args, device=None):
    """A tensor of this dtype: of the given sizes (not initialised), of the given data, or over another tensor's memory."""
    F.check_device(device, None, "new")
    if not args:
        return F._empty((0,), self.dtype)
    first = args[0]
    if isinstance(first, F.Tensor) and len(args) == 1:
        if first.dtype is not self.dtype:
            raise TypeError(f"expected {self.type()} (got {first.type()})")
        return first.detach()
    if isinstance(first, F.Size):
        return F._empty(tuple(first), self.dtype)
    if all(isinstance(a, int) for a in args):
        return F._empty(args, self.dtype)
    if len(args) > 1 or isinstance(first, (float, str)):
        raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
    return F.tensor(first, dtype=self.dtype)


@composite(method="new_empty_strided", function=False, opcheck=False)
def _new_empty_strided(
    self, size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
):
    """empty_strided() with this tensor's dtype."""
    return F.empty_strided(
        size, stride, dtype=dtype or self.dtype, layout=layout, device=device, requires_grad=requires_grad
    )


@composite(method="reinforce", function=False, opcheck=False)
def _reinforce(self, reward):
    """Removed from PyTorch: an error that names what to use."""
    raise RuntimeError(
        "reinforce() was removed: scale the log-probability of the action by the reward instead, loss = -log_prob * "
        "reward, and call loss.backward()"
    )


# -- facts -------------------------------------------------------------------------------------------------------------
def _fact(name, doc, method=False):
    def fact(input):
        tensor_argument(name, "input", input)
        return getattr(input, name)()

    fact.__name__ = fact.__qualname__ = name
    fact.__doc__ = doc
    composite(name, opcheck=False)(fact)


_fact("is_signed", "Whether the dtype has negative numbers.")
_fact("is_inference", "Whether the tensor was made in inference mode.")


@composite(opcheck=False)
def is_same_size(input, other):
    """Whether the shapes are equal."""
    tensor_argument("is_same_size", "input", input)
    tensor_argument("is_same_size", "other", other)
    return tuple(input.shape) == tuple(other.shape)


@composite(method=True, opcheck=False)
def is_distributed(input):
    """False: this is for tensors that are spread over several processes in one type of their own."""
    tensor_argument("is_distributed", "input", input)
    return False


@composite(
    method=True,
    opcheck=False,
    samples=lambda t: [((t(3),), {}), ((t.ints(2, 2, high=3),), {})],
    oracle="lambda x: numpy.isreal(x)",
)
def isreal(input):
    """Whether each element has no imaginary part."""
    tensor_argument("isreal", "input", input)
    return F.eq(F.imag(input), 0) if input.is_complex() else F.ones(input.shape, dtype=F.bool)


@composite(method=True, opcheck=False)
def hash_tensor(input, dim=(), *, keepdim=False, mode=0):
    """Exclusive or of the elements' 64 bits (floats as float64, the rest as int64) over dimensions (default: all), as
    int64. mode: 0 is the only one.
    """
    tensor_argument("hash_tensor", "input", input)
    if mode != 0:
        raise RuntimeError(f"hash_tensor(): mode must be 0, got {mode}")
    if input.is_complex():
        raise NotImplementedError(f"hash_tensor(): not implemented for {input.dtype}")
    if input.is_floating_point():
        bits = F._view_dtype(F.cast(input.detach(), F.float64).contiguous(), F.int64)
    else:
        bits = F.cast(input, F.int64)
    if input.numel() == 0 and dim == ():
        raise RuntimeError("hash_tensor(): dim must be given for a tensor without elements")
    shape, dims = bits.shape, wrap_dims(dim, bits.dim())
    kept = [d for d in range(bits.dim()) if d not in dims]
    bits = F.reshape(
        F.permute(bits, [*kept, *dims]), [product(shape[d] for d in kept), product(shape[d] for d in dims)]
    )
    while (size := bits.shape[1]) > 1:
        half = size // 2
        folded = F.bitwise_xor(bits[:, :half], bits[:, half : 2 * half])
        bits = F.cat([folded, bits[:, 2 * half :]], 1) if size % 2 else folded
    if bits.shape[1] == 0:
        bits = F.zeros((bits.shape[0], 1), dtype=F.int64)
    return F.reshape(bits, [1 if d in dims else n for d, n in enumerate(shape) if keepdim or d not in dims])
