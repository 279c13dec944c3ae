"""Copies of views: what a view shows, in memory of its own. And views given back to what they were taken from."""

from __future__ import annotations

from .helpers import tensor_argument
from .namespace import F
from .table import composite


def _copied(result):
    return tuple(F.clone(x) for x in result) if isinstance(result, tuple) else F.clone(result)


def _register(name, view, out=True, samples=None, oracle=None):
    view.__name__ = view.__qualname__ = name
    base = name.removesuffix("_copy")
    view.__doc__ = f"{base}() as a copy, in memory of its own."
    composite(name, out=out, samples=samples, oracle=oracle)(view)


def _alias(input):
    tensor_argument("alias_copy", "input", input)
    return F.clone(input)


def _as_strided(input, size, stride, storage_offset=None):
    return _copied(F.as_strided(input, size, stride, storage_offset))


def _detach(input):
    tensor_argument("detach_copy", "input", input)
    return F.clone(input)


def _diagonal(input, offset=0, dim1=0, dim2=1):
    return _copied(F.diagonal(input, offset, dim1, dim2))


def _expand(input, size, *, implicit=False):
    return _copied(F.expand(input, size))


def _permute(input, dims):
    return _copied(F.permute(input, dims))


def _select(input, dim, index):
    return _copied(F.select(input, dim, index))


def _slice(input, dim=0, start=None, end=None, step=1):
    tensor_argument("slice_copy", "input", input)
    if step <= 0:
        raise RuntimeError(f"slice step must be positive, got {step}")
    return _copied(F.slice(input, dim, start, end, step))


def _split(input, split_size, dim=0):
    return _copied(F.split(input, split_size, dim))


def _split_with_sizes(input, split_sizes, dim=0):
    return _copied(F.split(input, list(split_sizes), dim))


def _squeeze(input, dim=None):
    return _copied(F.squeeze(input, dim))


def _t(input):
    return _copied(F.t(input))


def _transpose(input, dim0, dim1):
    return _copied(F.transpose(input, dim0, dim1))


def _unbind(input, dim=0):
    return _copied(F.unbind(input, dim))


def _unfold(input, dimension, size, step):
    return _copied(F.unfold(input, dimension, size, step))


def _unsqueeze(input, dim):
    return _copied(F.unsqueeze(input, dim))


def _view(input, size):
    return _copied(F.view(input, size))


def _view_as_real(input):
    return _copied(F.view_as_real(input))


def _view_as_complex(input):
    return _copied(F.view_as_complex(input))


def _narrow(input, dim, start, length):
    return _copied(F.narrow(input, dim, start, length))


for _name, _fn in (
    ("alias_copy", _alias), ("as_strided_copy", _as_strided), ("detach_copy", _detach), ("diagonal_copy", _diagonal),
    ("expand_copy", _expand), ("permute_copy", _permute), ("select_copy", _select), ("slice_copy", _slice),
    ("split_copy", _split), ("split_with_sizes_copy", _split_with_sizes), ("squeeze_copy", _squeeze), ("t_copy", _t),
    ("transpose_copy", _transpose), ("unbind_copy", _unbind), ("unfold_copy", _unfold),
    ("unsqueeze_copy", _unsqueeze), ("view_copy", _view), ("view_as_real_copy", _view_as_real),
    ("view_as_complex_copy", _view_as_complex),
):  # fmt: skip
    _register(_name, _fn)

_narrow.__name__ = _narrow.__qualname__ = "narrow_copy"
_narrow.__doc__ = "narrow() as a copy, in memory of its own."
composite("narrow_copy", method=True, out=True)(_narrow)


@composite("as_strided_", opcheck=False)
def _as_strided_in_place(input, size, stride, storage_offset=None):
    """In-place as_strided(): the tensor itself becomes the view."""
    tensor_argument("as_strided_", "input", input)
    return input.as_strided_(size, stride, storage_offset)


# -- views written back ------------------------------------------------------------------------------------------------
def _own_memory(input):
    """A copy of the memory that input lies in, seen as input sees it: strides and offset are its own."""
    first = input.storage_offset()
    strides = input.stride()
    if any(n == 0 for n in input.shape):
        return F.clone(input), 0
    last = first + sum((n - 1) * s for n, s in zip(input.shape, strides))
    memory = F.clone(F.as_strided(input, (last + 1,), (1,), 0))
    return F.as_strided(memory, list(input.shape), list(strides), first), first


@composite(
    method=True,
    out=True,
    samples=lambda t: [((t(3, 4), t(2, 2), (2, 2), (4, 1), 1), {}), ((t(6), t(3), (3,), (2,)), {})],
    oracle="oracles.as_strided_scatter",
)
def as_strided_scatter(input, src, size, stride, storage_offset=None):
    """A copy of input with src in the places that as_strided(size, stride, storage_offset) shows."""
    tensor_argument("as_strided_scatter", "input", input)
    tensor_argument("as_strided_scatter", "src", src)
    copy = F.clone(input) if input.is_contiguous() and input.storage_offset() == 0 else _own_memory(input)[0]
    copy = F.spread(copy, src)
    target = F.as_strided(copy, size, stride, storage_offset)
    if tuple(target.shape) != tuple(src.shape):
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = {list(src.shape)}, slice size = "
            f"{list(target.shape)}"
        )
    target.copy_(src)
    return copy


@composite(method=True)
def slice_inverse(input, src, dim=0, start=None, end=None, step=1):
    """The view that `src` was, over the memory of its slice `input`: sizes, strides and offset of src."""
    tensor_argument("slice_inverse", "input", input)
    return F.as_strided(input, list(src.shape), list(src.stride()), src.storage_offset())


# -- pieces that need not be tracked as views of one tensor: here they are the same ------------------------------------
@composite(method=True)
def unsafe_split(input, split_size, dim=0):
    """split() without the checks that its pieces are views of one tensor."""
    return F.split(input, split_size, dim)


@composite(method=True)
def unsafe_split_with_sizes(input, split_sizes, dim=0):
    """split_with_sizes() without the checks that its pieces are views of one tensor."""
    return F.split(input, list(split_sizes), dim)


@composite(method=True)
def unsafe_chunk(input, chunks, dim=0):
    """chunk() without the checks that its pieces are views of one tensor."""
    return F.chunk(input, chunks, dim)
