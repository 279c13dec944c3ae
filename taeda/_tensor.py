"""The methods of Tensor that are Python: conversions, protocols and what adapts arguments. Operators come from the
table.
"""

from __future__ import annotations

from . import _core
from .ops.namespace import F

Tensor = _core.Tensor


class Size(tuple):
    """The shape of a tensor."""

    __slots__ = ()

    def numel(self) -> int:
        """The product of the sizes."""
        n = 1
        for s in self:
            n = n * s
        return n

    def __repr__(self):
        return f"taeda.Size([{', '.join(map(str, self))}])"

    def __add__(self, other):
        return Size(tuple(self) + tuple(other))

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, n):
        return Size(tuple(self) * n)

    __rmul__ = __mul__

    def __getitem__(self, index):
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found


class memory_format:
    """How a tensor's elements lie in memory."""

    def __init__(self, name: str):
        self._name = name

    def __repr__(self):
        return f"taeda.{self._name}"


class layout(memory_format):
    """The kind of storage behind a tensor."""


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")


#: Bits, bits of the mantissa, smallest and largest exponent.
_FLOAT_FACTS = {
    "f16": (16, 10, -14, 15),
    "bf16": (16, 7, -126, 127),
    "f32": (32, 23, -126, 127),
    "f64": (64, 52, -1022, 1023),
}


class finfo:
    """Numerical limits of a floating point dtype."""

    def __init__(self, dtype=None):
        dtype = dtype or _core.get_default_dtype()
        facts = _FLOAT_FACTS.get(dtype.code)
        if facts is None:
            raise TypeError(f"finfo() requires a floating point input type. Use iinfo to handle '{dtype}'")
        self.bits, mantissa, low, high = facts
        self.dtype = str(dtype).rpartition(".")[2]
        self.eps = 2.0**-mantissa
        self.max = (2 - self.eps) * 2.0**high
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0**low
        self.resolution = 10.0 ** -int(mantissa * 0.30103)

    def __repr__(self):
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Numerical limits of an integer dtype."""

    def __init__(self, dtype):
        if dtype.is_floating_point or dtype.is_complex or dtype is _core.bool:
            raise TypeError(f"iinfo() requires an integer input type. Use finfo to handle '{dtype}'")
        self.bits = 8 * dtype.itemsize
        self.dtype = str(dtype).rpartition(".")[2]
        self.min = -(1 << (self.bits - 1)) if dtype.is_signed else 0
        self.max = (1 << (self.bits - dtype.is_signed)) - 1

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


# -- conversions -------------------------------------------------------------------------------------------------------
def _to(self, *args, dtype=None, device=None, non_blocking=False, copy=False, memory_format=None):
    """The tensor in another dtype (or on a device, or as another tensor is); itself where nothing changes."""
    for a in args:
        if isinstance(a, _core.dtype):
            dtype = a
        elif isinstance(a, Tensor):
            dtype, device = a.dtype, a.device
        elif isinstance(a, bool):  # to(dtype, non_blocking, copy)
            non_blocking, copy = (a, copy) if not non_blocking else (non_blocking, a)
        elif a is not None:
            device = a
    if device is not None:
        F.check_device(device, None, "to")
    if dtype is not None and dtype is not self.dtype:
        return F.cast(self, dtype)
    return F.clone(self) if copy else self


def _caster(name):
    dtype = getattr(_core, name)

    def convert(self, memory_format=None):
        return self if self.dtype is dtype else F.cast(self, dtype)

    convert.__doc__ = f"The tensor as {name}."
    return convert


def _type(self, dtype=None, non_blocking=False):
    """The name of the tensor's type; with dtype, the tensor in it."""
    if dtype is None:
        return f"taeda.{_TYPE_NAMES[self.dtype.code]}"
    if isinstance(dtype, str):
        code = {name: code for code, name in _TYPE_NAMES.items()}.get(dtype.rpartition(".")[2])
        if code is None:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = _core.dtypes[code]
    return _to(self, dtype)


_TYPE_NAMES = {
    "b1": "BoolTensor",
    "u8": "ByteTensor",
    "i8": "CharTensor",
    "i16": "ShortTensor",
    "i32": "IntTensor",
    "i64": "LongTensor",
    "f16": "HalfTensor",
    "bf16": "BFloat16Tensor",
    "f32": "FloatTensor",
    "f64": "DoubleTensor",
    "c64": "ComplexFloatTensor",
    "c128": "ComplexDoubleTensor",
}


def _type_as(self, other):
    """The tensor in the dtype of another."""
    return _to(self, other.dtype)


def _cpu(self, memory_format=None):
    """The tensor on the CPU: itself."""
    return self


def _cuda(self, device=None, non_blocking=False, memory_format=None):
    """The tensor on a GPU; an error in this build."""
    F.check_device("cuda", None, "cuda")


def _clone(self, *, memory_format=None):
    """A copy."""
    return F.clone(self)


# -- protocols ---------------------------------------------------------------------------------------------------------
def _contains(self, value):
    if isinstance(value, (Tensor, bool, int, float, complex)):
        return bool(F.eq(self, value).any())
    raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(value)}.")


def _reversed(self):
    return self if self.dim() == 0 else F.flip(self, 0)


def _matrix_transpose(self):
    """Last two dimensions exchanged."""
    if self.dim() < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {self.dim()}-D tensor."
        )
    return F.transpose(self, -2, -1)


def _all_transposed(self):
    """Dimensions in reverse order."""
    return F.permute(self, list(range(self.dim() - 1, -1, -1)))


def _conjugate_transpose(self):
    """A matrix transposed and conjugated."""
    if self.dim() not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.dim()}-D tensor.")
    return F.adjoint(self)


def _part_setter(name):
    def write(self, value):
        getattr(F, name)(self).copy_(value if isinstance(value, Tensor) else F.tensor(value))

    return write


def _is_same_size(self, other):
    """Whether the shapes are equal."""
    return tuple(self.shape) == tuple(other.shape)


_STANDARD_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")


def _array_namespace(self, *, api_version=None):
    """The namespace of the Python array API standard."""
    if api_version is not None and api_version not in _STANDARD_VERSIONS:
        raise ValueError(f"array API version {api_version!r} is not among {_STANDARD_VERSIONS}")
    from . import array_api

    return array_api


def _array_wrap(self, array, context=None, return_scalar=False):
    """What NumPy makes of a function's result on this tensor: a tensor in the result's memory where there is one."""
    from numpy import asarray

    try:
        return _core.as_tensor(asarray(array))
    except TypeError:  # no dtype of ours
        return array


def _to_device(self, device, /, *, stream=None):
    """The tensor on a device, as the array API standard spells it."""
    if stream is not None:
        raise ValueError(f"to_device(): the CPU has no streams, got stream={stream!r}")
    return _to(self, device=device)


def install() -> None:
    """Puts the Python methods on Tensor. Called once, after the operators are bound."""
    from ._printing import tensor_text

    for name, dtype in (
        ("float", "float32"),
        ("double", "float64"),
        ("half", "float16"),
        ("bfloat16", "bfloat16"),
        ("int", "int32"),
        ("long", "int64"),
        ("short", "int16"),
        ("char", "int8"),
        ("byte", "uint8"),
        ("bool", "bool"),
        ("cfloat", "complex64"),
        ("cdouble", "complex128"),
    ):
        setattr(Tensor, name, _caster(dtype))
    for name, method in {
        "to": _to,
        "type": _type,
        "type_as": _type_as,
        "cpu": _cpu,
        "cuda": _cuda,
        "clone": _clone,
        "__contains__": _contains,
        "__reversed__": _reversed,
        "is_same_size": _is_same_size,
        "__array_namespace__": _array_namespace,
        "__array_wrap__": _array_wrap,
        "to_device": _to_device,
    }.items():
        setattr(Tensor, name, method)
    for name, getter in (("T", _all_transposed), ("mT", _matrix_transpose), ("H", _conjugate_transpose)):
        setattr(Tensor, name, property(getter))
    setattr(Tensor, "mH", property(F.adjoint, doc=F.adjoint.__doc__))  # noqa: B010 (the stub of Tensor is generated)
    for name in ("real", "imag"):
        setattr(Tensor, name, property(getattr(F, name), _part_setter(name), doc=getattr(F, name).__doc__))
    _core.set_hook("size_type", Size)
    _core.set_hook("repr", tensor_text)
