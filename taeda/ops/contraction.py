"""Sums of products: matmul in all its forms, linear, einsum. Everything ends in one contraction kernel."""

from __future__ import annotations

from .helpers import wrap_dim
from .namespace import F, Tensor
from .table import complexes, composite, floating, integral, structured

_arithmetic = (*integral, *floating, *complexes)


# -- gradients ---------------------------------------------------------------------------------------------------------
def _matmul_gradient(g, input, other, wanted):
    a, b = F.conj(input), F.conj(other)
    if a.dim() == 1 and b.dim() == 1:
        return (g * b if wanted[0] else None), (g * a if wanted[1] else None)
    if a.dim() == 1:
        a, g = F.unsqueeze(a, 0), F.unsqueeze(g, -2)
    if b.dim() == 1:
        b, g = F.unsqueeze(b, -1), F.unsqueeze(g, -1)
    ga = gb = None
    if wanted[0]:
        ga = F.reshape(F.sum_to_size(F.matmul(g, F.transpose(b, -1, -2)), a.shape), input.shape)
    if wanted[1]:
        if (
            b.dim() == 2 and a.dim() > 2
        ):  # every leading dimension is summed: one contraction instead of a batch and a sum
            lead = _LETTERS[: a.dim() - 2]
            gb = F.contract(a, g, f"{lead}yx,{lead}yz->xz")
        else:
            gb = F.sum_to_size(F.matmul(F.transpose(a, -1, -2), g), b.shape)
        gb = F.reshape(gb, other.shape)
    return ga, gb


def _linear_gradient(g, input, weight, wanted):
    lead, input, weight = _LETTERS[: input.dim() - 1], F.conj(input), F.conj(weight)
    gi = F.contract(g, weight, f"{lead}y,yx->{lead}x") if wanted[0] else None
    gw = F.contract(g, input, f"{lead}y,{lead}x->yx") if wanted[1] else None
    gb = None
    if len(wanted) > 2 and wanted[2]:
        gb = F.sum(g, tuple(range(g.dim() - 1))) if g.dim() > 1 else g
    return gi, gw, gb


def _contract_gradient(g, a, b, labels, wanted):
    terms, _, out = labels.partition("->")
    left, _, right = terms.partition(",")
    a, b = F.conj(a), F.conj(b)
    ga = F.contract(g, b, f"{out},{right}->{left}") if wanted[0] else None
    gb = F.contract(g, a, f"{out},{left}->{right}") if wanted[1] else None
    return ga, gb


_LETTERS = "abcdefghijklmnopqrstuvw"

structured(
    "matmul",
    "contract",
    "Tensor input, Tensor other",
    form="matmul",
    grad=_matmul_gradient,
    slots=("nb_matrix_multiply",),
    accepts=_arithmetic,
    out=True,
    oracle="numpy.matmul",
    samples=lambda t: [
        ((t(3, 4), t(4, 5)), {}),
        ((t(4), t(4)), {}),
        ((t(3, 4), t(4)), {}),
        ((t(4), t(4, 5)), {}),
        ((t(2, 3, 4), t(4, 5)), {}),
        ((t(2, 3, 4), t(2, 4, 5)), {}),
        ((t(2, 1, 3, 4), t(3, 4, 2)), {}),
        ((t(4), t(2, 4, 5)), {}),
        ((t(2, 3, 4), t(4)), {}),
    ],
    doc="Matrix product; leading dimensions are batches and broadcast.",
)
structured(
    "_linear",
    "contract",
    "Tensor input, Tensor weight, Tensor? bias=None",
    form="linear",
    grad=_linear_gradient,
    accepts=_arithmetic,
    method=False,
    function=False,
    samples=lambda t: [((t(3, 4), t(5, 4)), {}), ((t(2, 3, 4), t(5, 4), t(5)), {}), ((t(4), t(5, 4), t(5)), {})],
    oracle="lambda x, w, b=0: x @ w.T + b",
    doc="input @ weight.T + bias.",
)
structured(
    "contract",
    "contract",
    "Tensor a, Tensor b, str labels",
    form="contract",
    grad=_contract_gradient,
    accepts=_arithmetic,
    method=False,
    function=False,
    samples=lambda t: [
        ((t(3, 4), t(4, 5), "ab,bc->ac"), {}),
        ((t(2, 3, 4), t(5, 4, 2), "abc,dca->adb"), {}),
        ((t(2, 3), t(4), "ab,c->cab"), {}),
        ((t(2, 3, 4), t(2, 3, 4), "abc,abc->a"), {}),
    ],
    oracle="lambda a, b, s: numpy.einsum(s, a, b)",
    doc="One contraction of two tensors with einsum letters: each letter is in both operands "
    "or in one and the result, none twice.",
)


@composite(nn=True, function=False)
def linear(input, weight, bias=None):
    """input @ weight.T + bias."""
    if weight.dim() == 1:
        result = F.matmul(input, weight)
        return result if bias is None else result + bias
    return F._linear(input, weight, bias)


# -- products with fixed ranks -----------------------------------------------------------------------------------------
def _ranks(op, *wanted):
    for name, x, n in wanted:
        if x.dim() != n:
            what = {1: "vector", 2: "matrix", 3: "3D tensor"}[n]
            raise RuntimeError(f"{op}(): {name} must be a {what}, got {x.dim()} dimensions")


@composite(method=True, out=True, samples=lambda t: [((t(3, 4), t(4, 5)), {})], oracle="numpy.matmul")
def mm(input, mat2):
    """Product of two matrices."""
    _ranks("mm", ("input", input, 2), ("mat2", mat2, 2))
    return F.matmul(input, mat2)


@composite(method=True, out=True, samples=lambda t: [((t(2, 3, 4), t(2, 4, 5)), {})], oracle="numpy.matmul")
def bmm(input, mat2):
    """Products of two equally long batches of matrices."""
    _ranks("bmm", ("input", input, 3), ("mat2", mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm(): batch sizes differ: input has {input.shape[0]}, mat2 has {mat2.shape[0]}")
    return F.matmul(input, mat2)


@composite(method=True, out=True, samples=lambda t: [((t(3, 4), t(4)), {})], oracle="numpy.matmul")
def mv(input, vec):
    """Matrix times vector."""
    _ranks("mv", ("input", input, 2), ("vec", vec, 1))
    return F.matmul(input, vec)


@composite(method=True, out=True, samples=lambda t: [((t(4), t(4)), {})], oracle="numpy.dot")
def dot(input, tensor: Tensor):
    """Inner product of two vectors."""
    _ranks("dot", ("input", input, 1), ("tensor", tensor, 1))
    if input.shape[0] != tensor.shape[0]:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input.shape[0]}] and src [{tensor.shape[0]}] to have the "
            "same number of elements, "
            f"but got {input.shape[0]} and {tensor.shape[0]} elements respectively"
        )
    return F.matmul(input, tensor)


@composite(method=True, out=True, samples=lambda t: [((t(4), t(4)), {})], oracle="numpy.vdot")
def vdot(input, other: Tensor):
    """Inner product of two vectors, the first conjugated."""
    return F.dot(F.conj(input), other)


@composite(method=True, out=True, aliases=("ger",), samples=lambda t: [((t(3), t(4)), {})], oracle="numpy.outer")
def outer(input, vec2):
    """All products of two vectors' elements."""
    _ranks("outer", ("input", input, 1), ("vec2", vec2, 1))
    return F.unsqueeze(input, 1) * vec2


@composite(
    method=True, out=True, samples=lambda t: [((t(2, 4), t(3, 4)), {}), ((t(4), t(4)), {})], oracle="numpy.inner"
)
def inner(input, other: Tensor):
    """Inner products over the last dimension of both."""
    if input.dim() == 0 or other.dim() == 0:
        return input * other
    return F.tensordot(input, other, ([-1], [-1]))


def _scaled_sum(input, value, beta, alpha):
    if alpha != 1:
        value = value * alpha
    return value if beta == 0 else value + (input if beta == 1 else input * beta)


def _added(name, op, first, second, doc, samples):
    def added(input, first, second, *, beta=1, alpha=1):
        return _scaled_sum(input, getattr(F, op)(first, second), beta, alpha)

    code = added.__code__
    added.__code__ = code.replace(co_varnames=("input", first, second, *code.co_varnames[3:]))
    added.__name__ = added.__qualname__ = name
    added.__doc__ = doc
    composite(
        name,
        method=True,
        out=True,
        inplace="function" if name == "addmv" else True,
        samples=samples,
        oracle="lambda x, a, b, beta=1, alpha=1: beta * x + alpha * "
        f"numpy.{'outer' if op == 'outer' else 'matmul'}(a, b)",
    )(added)


_added(
    "addmm",
    "mm",
    "mat1",
    "mat2",
    "beta * input + alpha * (mat1 @ mat2).",
    lambda t: [((t(3, 5), t(3, 4), t(4, 5)), {}), ((t(5), t(3, 4), t(4, 5)), {"beta": 0.5, "alpha": 2})],
)
_added("addmv", "mv", "mat", "vec", "beta * input + alpha * (mat @ vec).", lambda t: [((t(3), t(3, 4), t(4)), {})])
_added(
    "baddbmm",
    "bmm",
    "batch1",
    "batch2",
    "beta * input + alpha * (batch1 @ batch2).",
    lambda t: [((t(2, 3, 5), t(2, 3, 4), t(2, 4, 5)), {})],
)
_added(
    "addr",
    "outer",
    "vec1",
    "vec2",
    "beta * input + alpha * outer(vec1, vec2).",
    lambda t: [((t(3, 4), t(3), t(4)), {})],
)


@composite(
    method=True,
    inplace=True,
    out=True,
    samples=lambda t: [((t(3, 5), t(2, 3, 4), t(2, 4, 5)), {})],
    oracle="lambda x, a, b: x + numpy.einsum('bij,bjk->ik', a, b)",
)
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * the sum of batch1 @ batch2 over the batch."""
    _ranks("addbmm", ("batch1", batch1, 3), ("batch2", batch2, 3))
    return _scaled_sum(input, F.contract(batch1, batch2, "bij,bjk->ik"), beta, alpha)


# -- tensordot ---------------------------------------------------------------------------------------------------------
@composite(
    out=True,
    samples=lambda t: [
        ((t(2, 3, 4), t(3, 4, 5)), {}),
        ((t(2, 3, 4), t(4, 2), ([2, 0], [0, 1])), {}),
        ((t(2, 3), t(4), 0), {}),
    ],
    oracle="numpy.tensordot",
)
def tensordot(a, b, dims=2):
    """Sum of products over the last `dims` dimensions of a and the first of b, or over two lists of dimensions."""
    if isinstance(dims, F.Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.dim(), b.dim()):
            raise RuntimeError(
                f"tensordot expects dims >= 0 and at most the number of dimensions of both tensors, but got dims={dims}"
            )
        left, right = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(left) != len(right):
        raise RuntimeError(f"both dimension lists should have same length, got {left} and {right}")
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    la = [next(letters) for _ in range(a.dim())]
    lb = [next(letters) for _ in range(b.dim())]
    summed = set()
    for p, q in zip(left, right):
        p, q = wrap_dim(p, a.dim()), wrap_dim(q, b.dim())
        lb[q] = la[p]
        summed.add(la[p])
    out = [c for c in la + lb if c not in summed]
    return F.einsum(f"{''.join(la)},{''.join(lb)}->{''.join(out)}", a, b)


# -- further products --------------------------------------------------------------------------------------------------
@composite(method=True, out=True, samples=lambda t: [((t(2, 3), t(4, 2)), {})], oracle="numpy.kron")
def kron(input, other: Tensor):
    """Kronecker product."""
    n = max(input.dim(), other.dim())
    a = F.reshape(input, [1] * (n - input.dim()) + list(input.shape))
    b = F.reshape(other, [1] * (n - other.dim()) + list(other.shape))
    wide = F.reshape(a, [m for s in a.shape for m in (s, 1)]) * F.reshape(b, [m for s in b.shape for m in (1, s)])
    return F.reshape(wide, [p * q for p, q in zip(a.shape, b.shape)])


@composite(method=True, samples=lambda t: [((t(3, 3),), {}), ((t(3, 4),), {})], oracle="numpy.trace")
def trace(input):
    """Sum of the diagonal of a matrix."""
    if input.dim() != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.dim()}")
    return F.sum(F.diagonal(input))


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(2, 3), t(2, 3)), {}), ((t(3, 2), t(3, 2), 0), {})],
    oracle="lambda a, b, d=-1: numpy.cross(a, b, axis=d)",
)
def cross(input, other: Tensor, dim=None):
    """Cross product along a dimension of size 3 (default: the first such)."""
    if dim is None:
        sizes = input.shape if input.dim() == other.dim() else ()
        dim = next((d for d, n in enumerate(sizes) if n == 3), None)
        if dim is None:
            raise RuntimeError(f"cross: no dimension of size 3 in input, whose shape is {list(input.shape)}")
    return F.linalg_cross(input, other, dim=dim)


@composite(
    nn=True,
    samples=lambda t: [((t(3, 4), t(3, 5), t(2, 4, 5), t(2)), {})],
    oracle="lambda x, y, w, b=0: numpy.einsum('bi,oij,bj->bo', x, w, y) + b",
)
def bilinear(input1, input2, weight, bias=None):
    """input1 @ weight[k] @ input2 for every output k, plus bias."""
    if weight.dim() != 3 or input1.shape[-1] != weight.shape[1] or input2.shape[-1] != weight.shape[2]:
        raise RuntimeError(
            f"bilinear(): inputs of sizes {list(input1.shape)} and {list(input2.shape)} do not fit to a weight of size "
            f"{list(weight.shape)}"
        )
    if input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            f"bilinear(): the inputs' batch dimensions must be the same, got {list(input1.shape)} and "
            f"{list(input2.shape)}"
        )
    if bias is not None and list(bias.shape) != [weight.shape[0]]:
        raise RuntimeError(f"bilinear(): bias must be of size {[weight.shape[0]]}, got {list(bias.shape)}")
    result = F.einsum("...i,oij,...j->...o", input1, weight, input2)
    return result if bias is None else result + bias
