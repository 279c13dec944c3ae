"""Complex tensors: their parts, conjugates and polar forms."""

from __future__ import annotations

from .expr import as_expr, const, select
from .namespace import F
from .scalar import atan2, isnan
from .table import complexes, composite, floating, pointwise, structured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .complex_number import Complex

structured(
    "view_as_real",
    "view",
    "Tensor input",
    form="as_real",
    grad=lambda g: F.view_as_complex(F.contiguous(g)),
    method=False,
    doc="A complex tensor as a real one with a last dimension of size 2: real and imaginary parts. A view.",
)
structured(
    "view_as_complex",
    "view",
    "Tensor input",
    form="as_complex",
    grad=lambda g: F.view_as_real(g),
    method=False,
    doc="A float32 or float64 tensor whose last dimension is 2 as a complex one. A view.",
)
pointwise(
    "_complex",
    lambda re, im: _pair(re, im),
    types="TT->c",
    params="Tensor re, Tensor im",
    accepts=("f32", "f64"),
    grad=False,
    method=False,
    function=False,
)


def _pair(re, im) -> Complex:
    from .complex_number import Complex

    return Complex(re, im)


def _parts_gradient(g):
    return F.real(g), F.imag(g)


@composite(
    "complex",
    params="Tensor real, Tensor imag",
    grad=_parts_gradient,
    batch="map",
    out=True,
)
def _make_complex(real, imag):
    """real + imag * 1j: complex64 of two float32 tensors, complex128 of two float64 ones."""
    if real.dtype is not imag.dtype:
        raise RuntimeError(
            f"complex(): Expected object of scalar type {_scalar_name(real)} but got scalar type {_scalar_name(imag)} "
            "for second argument"
        )
    if real.dtype not in (F.float32, F.float64):
        raise RuntimeError(
            "complex(): Expected both inputs to be Half, Float or Double tensors but got "
            f"{_scalar_name(real)} and {_scalar_name(imag)}"
        )
    return F._complex(real, imag)


def _scalar_name(t) -> str:
    names = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long", "int32": "Int"}
    names |= {"complex64": "ComplexFloat", "complex128": "ComplexDouble", "bool": "Bool", "bfloat16": "BFloat16"}
    text = str(t.dtype).rpartition(".")[2]
    return names.get(text, text.capitalize())


@composite(out=True)
def polar(abs, angle):
    """abs * exp(1j * angle) of two real tensors."""
    if abs.dtype is not angle.dtype or abs.dtype not in (F.float32, F.float64):
        raise RuntimeError(
            f"polar(): Expected both inputs to be Float or Double tensors of one dtype but got {_scalar_name(abs)} and "
            f"{_scalar_name(angle)}"
        )
    return F.complex(abs * F.cos(angle), abs * F.sin(angle))


@composite(oracle="numpy.real", samples=lambda t: [((t(3, 4),), {})])
def real(input):
    """The real part: a view of a complex tensor, a real tensor itself."""
    return F.select(F.view_as_real(input), -1, 0) if input.dtype.is_complex else input


@composite(opcheck=False)
def imag(input):
    """The imaginary part of a complex tensor: a view."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return F.select(F.view_as_real(input), -1, 1)


pointwise(
    "_conj",
    lambda z: z.conj(),
    accepts=complexes,
    traits={"holomorphic": False},
    grad=lambda g: g.conj(),
    method=False,
    function=False,
)


@composite(method=True, inplace="function", oracle="numpy.conj", samples=lambda t: [((t(3, 4),), {})])
def conj_physical(input):
    """The complex conjugate; a real tensor is returned as it is."""
    return F._conj(input) if input.dtype.is_complex else input


@composite(method=True, oracle="numpy.conj", samples=lambda t: [((t(3, 4),), {})])
def conj(input):
    """The complex conjugate. Computed at once: no tensor is lazily conjugated."""
    return F._conj(input) if input.dtype.is_complex else input


@composite(method=True)
def resolve_conj(input):
    """The tensor itself: conjugates are never lazy."""
    return input


@composite(method=True)
def resolve_neg(input):
    """The tensor itself: negatives are never lazy."""
    return input


@composite(method=True, opcheck=False)
def is_conj(input):
    """Whether the tensor is lazily conjugated: never."""
    return False


@composite(method=True, opcheck=False)
def is_neg(input):
    """Whether the tensor is lazily negated: never."""
    return False


@composite(method=True, oracle="lambda x: numpy.conj(numpy.swapaxes(x, -1, -2))", samples=lambda t: [((t(3, 4),), {})])
def adjoint(input):
    """The conjugate transpose of the last two dimensions."""
    if input.dim() < 2 and input.dim() != 0:
        raise RuntimeError(
            f"tensor.adjoint() is only supported on matrices or batches of matrices. Got {input.dim()}-D tensor."
        )
    return F.conj(F.transpose(input, -1, -2)) if input.dim() else F.conj(input)


def _angle(z):
    if hasattr(z, "im"):
        return atan2(z.im, z.re)
    return select(isnan(z), z, select(z < 0, const(3.141592653589793, z.dtype), as_expr(0, z.dtype)))


pointwise(
    "angle",
    _angle,
    types="T->r",
    accepts=(*floating, *complexes),
    to_float=True,
    method=True,
    inplace=False,
    oracle="numpy.angle(x)",
    doc="The argument of complex numbers, in radians; pi for negative real ones.",
)
pointwise(
    "_sgn",
    lambda z: _sgn(z),
    accepts=complexes,
    traits={"holomorphic": False},
    method=False,
    function=False,
)


def _sgn(z):
    from .complex_number import Complex

    size = abs(z)
    zero = size.eq(0)
    return Complex(select(zero, z.re, z.re / size), select(zero, z.im, z.im / size))


@composite(method=True, inplace=True, out=True, oracle="numpy.sign", samples=lambda t: [((t(3, 4),), {})])
def sgn(input):
    """input / |input| of complex numbers (0 where it is 0), the sign of real ones."""
    return F._sgn(input) if input.dtype.is_complex else F.sign(input)


# -- kinds without kernels for complex numbers, over the parts ---------------------------------------------------------
def on_complex(op, args):
    """What operator `op` gives for complex operands: the core asks here where a kind has real kernels only."""
    from .table import lookup

    entry = lookup(op.name)
    return {"reduce": _reduce, "scan": _scan, "contract": _contract}[entry.kind](op, entry, *args)


def _reduce(op, entry, x, dim, keepdim, dtype=None):
    kind = entry.traits["kind"]
    if entry.out_types in ("b", "i"):
        return op(F.ne(x, 0), dim, keepdim)
    if kind == "sum":
        return F._complex(op(F.real(x), dim, keepdim), op(F.imag(x), dim, keepdim))
    return _product(x, dim, keepdim)


def _product(x, dim, keepdim):
    """The product over `dim`: pairs are multiplied until one is left."""
    from .helpers import product, wrap_dims

    dims = wrap_dims(dim, x.dim())
    kept = [d for d in range(x.dim()) if d not in dims]
    shape = [x.shape[d] for d in kept]
    n = product(x.shape[d] for d in dims)
    flat = F.reshape(F.permute(x, (*kept, *dims)), (*shape, n))
    if n == 0:
        flat, n = F.ones((*shape, 1), dtype=x.dtype), 1
    while n > 1:
        half = n // 2
        pairs = F.slice(flat, -1, 0, half, 1) * F.slice(flat, -1, half, 2 * half, 1)
        flat = F.cat([pairs, F.slice(flat, -1, 2 * half, n, 1)], -1) if n % 2 else pairs
        n -= half
    result = F.select(flat, -1, 0)
    return F.reshape(result, [1 if d in dims else x.shape[d] for d in range(x.dim())]) if keepdim else result


def _scan(op, entry, x, dim, dtype=None):
    if entry.traits["kind"] == "sum":
        return F._complex(op(F.real(x), dim), op(F.imag(x), dim))
    if not x.dim():
        return F.clone(x)
    n, step = x.shape[dim], 1
    while step < n:  # every element times what lies `step` before it: twice as far each time
        far = F.slice(x, dim, step, n, 1) * F.slice(x, dim, 0, n - step, 1)
        x = F.cat([F.slice(x, dim, 0, step, 1), far], dim)
        step *= 2
    return F.clone(x) if n < 2 else x


def _contract(op, entry, a, b, more=None):
    rest = () if more is None or hasattr(more, "dtype") else (more,)
    ar, ai, br, bi = F.real(a), F.imag(a), F.real(b), F.imag(b)
    result = F._complex(op(ar, br, *rest) - op(ai, bi, *rest), op(ar, bi, *rest) + op(ai, br, *rest))
    return result if more is None or rest else result + more
