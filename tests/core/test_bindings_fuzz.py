"""Programs of random calls of the core's bindings, on tensors that alias each other: they compute or raise, they never crash.

Runs under the sanitizers too (`make asan`), where a read or write out of bounds ends the process.
"""

from __future__ import annotations

import copy
import math
import pickle
import random

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import taeda
from taeda import _core

ERRORS = (
    RuntimeError, TypeError, ValueError, IndexError, NotImplementedError, OverflowError, ZeroDivisionError, AttributeError, MemoryError,
    BufferError, KeyError, pickle.PicklingError, StopIteration,
)  # fmt: skip
DTYPES = [getattr(taeda, n) for n in (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64",
)]  # fmt: skip
SIZES = (0, 1, 2, 3, 5, -1, -2, 7, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63), 2**64, 2**70)
NUMBERS = (*SIZES, True, False, 0.5, -1.5, float("nan"), float("inf"), 1e308, 1e-320, 1j)
NAMES = """
__abs__ __add__ __and__ __array__ __bool__ __complex__ __contains__ __deepcopy__ __dlpack__ __dlpack_device__ __eq__
__float__ __floordiv__ __format__ __ge__ __getitem__ __getstate__ __gt__ __hash__ __iadd__ __iand__ __ifloordiv__
__ilshift__ __imatmul__ __imod__ __imul__ __index__ __init__ __int__ __invert__ __ior__ __ipow__ __irshift__ __isub__
__iter__ __itruediv__ __ixor__ __le__ __len__ __lshift__ __lt__ __matmul__ __mod__ __mul__ __ne__ __neg__ __or__
__pos__ __pow__ __radd__ __rand__ __reduce__ __reduce_ex__ __repr__ __reversed__ __rfloordiv__ __rlshift__ __rmatmul__
__rmod__ __rmul__ __ror__ __rpow__ __rrshift__ __rshift__ __rsub__ __rtruediv__ __rxor__ __setitem__ __sizeof__
__sub__ __truediv__ __xor__ _is_view backward bfloat16 bool byte char copy_ cpu cuda data_ptr detach detach_ dim
double element_size fill_ float get_device half int is_complex is_contiguous is_floating_point is_inference
is_same_size item long ndimension nelement new_empty new_full new_ones new_tensor new_zeros numel numpy register_hook
requires_grad_ resize_ retain_grad short size storage_offset stride to tolist type type_as as_strided view reshape
permute transpose expand squeeze unsqueeze select narrow unbind chunk split flatten diagonal unfold zero_ mul_ add_
exp_ masked_fill_ index_select gather scatter_ index_put_ cumsum sum max argmax t_ squeeze_ unsqueeze_ transpose_
as_strided_ clone contiguous movedim flip roll tril_ sort topk nonzero where clamp_ matmul
"""
METHODS = [name for name in NAMES.split() if hasattr(taeda.Tensor, name)]
ATTRIBUTES = [
    "H", "T", "mT", "_base", "_version", "data", "device", "dtype", "grad", "grad_fn", "is_leaf", "itemsize", "nbytes", "ndim", "output_nr",
    "requires_grad", "retains_grad", "shape", "real", "imag", "names",
]  # fmt: skip
FUNCTIONS = [
    getattr(_core, n)
    for n in (
        "empty", "empty_strided", "tensor", "as_tensor", "from_numpy", "from_dlpack", "frombuffer", "from_bytes", "to_bytes", "promote_types",
        "result_type", "gradient_edge", "traced_value", "tensor_hooks", "post_accumulate_hooks", "_rebuild_tensor", "_rebuild_view",
        "become_view", "alias_as", "foreach_", "load_object", "dtype", "device", "run_backward", "Generator", "Op", "Node",
        "FunctionState", "Tensor", "rng_reserve", "set_traced_value", "make_traced",
    )
    if hasattr(_core, n)
]  # fmt: skip
KEYWORDS = (
    "dtype",
    "device",
    "requires_grad",
    "dim",
    "keepdim",
    "size",
    "stride",
    "offset",
    "count",
    "copy",
    "memory_format",
    "gradient",
    "inputs",
)


class Program:
    """The state of one random program: tensors that calls take from and add to."""

    def __init__(self, seed: int):
        self.r = random.Random(seed)
        self.pool = [self.fresh() for _ in range(4)]

    def fresh(self) -> taeda.Tensor:
        r = self.r
        shape = r.choice(((), (0,), (1,), (3,), (2, 3), (0, 4), (2, 1, 3), (2, 3, 4)))
        kind = r.randrange(6)
        if kind == 0:
            x = taeda.zeros(shape)
            return x.requires_grad_()
        if kind == 1:
            return taeda.from_numpy(
                numpy.arange(24, dtype=r.choice(("i8", "f4", "f8", "u1"))).reshape(2, 3, 4)[:, ::-1].copy()
            )
        dtype = r.choice(DTYPES)
        x = taeda.from_numpy(numpy.ones(shape, "c8")) if dtype.is_complex else taeda.ones(shape).to(dtype)
        if kind == 2 and x.dim():
            return x.transpose(0, -1)
        if kind == 3:
            return x.expand(2, *shape)
        return x

    def array(self):
        r = self.r
        a = numpy.arange(24).astype(
            r.choice(("i8", "f4", "f2", "u1", "c8", "u8", ">i4", "O", "M8[s]", "S3", "?", "c16", "f16", "u4"))
        )
        kind = r.randrange(7)
        if kind == 0:
            return a[::-1]
        if kind == 1:
            return a.reshape(2, 3, 4).transpose(2, 0, 1)
        if kind == 2:
            a.flags.writeable = False
        if kind == 3:
            return a[:0]
        if kind == 4:
            return numpy.frombuffer(bytes(33), dtype="i4", offset=1)  # unaligned
        if kind == 5:
            return numpy.broadcast_to(a, (3, 24))
        return a

    def tensor(self) -> taeda.Tensor:
        return self.r.choice(self.pool)

    def argument(self, depth: int = 0) -> object:
        r = self.r
        kind = r.randrange(20)
        if kind < 6:
            return self.tensor()
        if kind < 9:
            return r.choice(SIZES[:8])
        if kind < 11:
            return r.choice(NUMBERS)
        if kind < 13:
            return r.choice((list, tuple))(r.choice(SIZES[: r.choice((4, 8, 15))]) for _ in range(r.randrange(4)))
        if kind == 13:
            return r.choice(DTYPES)
        if kind == 14:
            return r.choice(
                (
                    None,
                    None,
                    "",
                    "cpu",
                    "cuda:1",
                    "float32",
                    "\udc80",
                    "x" * 500,
                    Ellipsis,
                    object(),
                    {},
                    set(),
                    b"",
                    b"12345678",
                )
            )
        if kind == 15:
            return slice(*(r.choice((None, *SIZES)) for _ in range(3)))
        if kind == 16:
            return self.array()
        if kind == 17 and depth < 3:
            return r.choice((list, tuple))(self.argument(depth + 1) for _ in range(r.randrange(4)))
        if kind == 18:
            return bytearray(r.choice((0, 1, 7, 8, 64)))
        return r.choice((True, False, taeda.device("cpu"), type(self.tensor()), len, lambda *_: None))

    def keep(self, value: object) -> None:
        for x in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(x, taeda.Tensor) and self.affordable(x):
                if len(self.pool) > 8:
                    self.pool[self.r.randrange(len(self.pool))] = x
                else:
                    self.pool.append(x)

    @staticmethod
    def affordable(x: taeda.Tensor) -> bool:
        return math.prod(max(n, 1) for n in x.shape) < 10**5  # expanded ones can be endless, lists of nothing too

    def step(self) -> None:
        r = self.r
        x, kind = self.tensor(), r.randrange(10)
        arguments = [self.argument() for _ in range(r.choice((0, 1, 1, 2, 2, 3, 4)))]
        keywords = {r.choice(KEYWORDS): self.argument()} if r.random() < 0.15 else {}
        try:
            if kind < 5:
                self.keep(getattr(x, r.choice(METHODS))(*arguments, **keywords))
            elif kind < 7:
                self.keep(r.choice(FUNCTIONS)(*arguments, **keywords))
            elif kind == 7:
                name = r.choice(ATTRIBUTES)
                what = r.randrange(4)
                if what == 0:
                    setattr(x, name, self.argument())
                elif what == 1:
                    delattr(x, name)
                else:
                    self.keep(getattr(x, name))
            elif kind == 8:
                self.keep(copy.deepcopy(x) if r.random() < 0.5 else pickle.loads(pickle.dumps(x)))
            else:
                self.keep(numpy.asarray(x) if r.random() < 0.3 else taeda.from_dlpack(x))
        except ERRORS as error:
            assert str(error) or isinstance(error, (StopIteration, MemoryError)), (
                f"{type(error).__name__} without a word"
            )

    def read_everything(self) -> None:
        for x in self.pool:
            repr(x)
            if self.affordable(x):
                x.detach().clone().tolist()


@given(seed=st.integers(0, 2**48))
@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_programs(seed):
    program = Program(seed)
    grad = taeda.is_grad_enabled()
    for _ in range(30):
        program.step()
    program.read_everything()
    assert taeda.is_grad_enabled() == grad and taeda.get_default_dtype() is taeda.float32


class Lies:
    """Says that it exports memory, and exports something else."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **_):
        return self.capsule

    def __dlpack_device__(self):
        return (1, 0)


def test_dlpack_that_lies():
    used = taeda.ones(3).__dlpack__()
    assert taeda.from_dlpack(Lies(used)).tolist() == [1, 1, 1]
    for capsule in (used, None, 3, "dltensor", object(), taeda.ones(2)):
        with pytest.raises(ERRORS):
            taeda.from_dlpack(Lies(capsule))


def test_sizes_whose_bytes_overflow():
    for size in ((2**62,), (2**32, 2**32), (2**21, 2**21, 2**21), (2**63 - 1,), (2**40, 0, 2**62), (3, 2**61)):
        for make in (taeda.empty, taeda.zeros, taeda.ones, taeda.rand, lambda s: taeda.zeros(1).expand(s).clone()):
            if 0 in size:
                continue
            with pytest.raises(ERRORS):
                make(size)
    assert taeda.empty(2**31, 0).numel() == 0
    wide = taeda.zeros(1).expand(2**40, 2**20)
    with pytest.raises(ERRORS):
        wide.contiguous()
    with pytest.raises(ERRORS):
        wide.tolist()
    repr(wide)
