"""The Tensor object: creation, attributes, views, indexing, interchange, identity, and errors in each."""

import copy
import gc
import pickle
import weakref

import numpy
import pytest

import taeda
from taeda import _core

F32 = _core.float32


def arange(*sizes, dtype=F32):
    """0, 1, 2, ... in a given shape, made without any operator."""
    return _core.tensor(numpy.arange(int(numpy.prod(sizes))).reshape(sizes), dtype=dtype)


# ---- dtypes ----

NAMES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


@pytest.mark.parametrize("name", NAMES)
def test_dtype_objects(name):
    d = getattr(_core, name)
    assert repr(d) == f"taeda.{name}"
    assert pickle.loads(pickle.dumps(d)) is d
    assert copy.deepcopy(d) is d
    assert d.is_floating_point == ("float" in name)
    assert d.is_complex == ("complex" in name)


def test_promotion_is_symmetric_and_keeps_what_both_hold():
    for a in NAMES:
        for b in NAMES:
            r = _core.promote_types(getattr(_core, a), getattr(_core, b))
            assert r is _core.promote_types(getattr(_core, b), getattr(_core, a))
    assert _core.promote_types(_core.uint8, _core.int8) is _core.int16
    assert _core.promote_types(_core.float16, _core.bfloat16) is _core.float32
    assert _core.promote_types(_core.int64, _core.float16) is _core.float16
    assert _core.promote_types(_core.float64, _core.complex64) is _core.complex128


def test_result_type_has_three_categories():
    half, ints = arange(3, dtype=_core.float16), arange(3, dtype=_core.int32)
    zero_dim = _core.tensor(1.0, dtype=_core.float64)
    assert _core.result_type(half, zero_dim) is _core.float16
    assert _core.result_type(ints, zero_dim) is _core.float64
    assert _core.result_type(ints, 1.5) is F32
    assert _core.result_type(ints, True) is _core.int32
    assert _core.result_type(_core.tensor(True), 2) is _core.int64
    assert _core.result_type(half, 2j) is _core.complex64


@pytest.mark.parametrize(
    "value", [0.0, -0.0, 1.0, 65504.0, 65520.0, 1e-8, 5.9e-8, 6.1e-5, 3.14159, float("inf"), float("nan"), -2.5e-7]
)
def test_half_scalars_round_as_numpy_does(value):
    with numpy.errstate(over="ignore"):
        expected = numpy.array(value, "float32").astype("float16")
    got = _core.tensor(value, dtype=_core.float16)
    assert numpy.array_equal(got.numpy(), expected, equal_nan=True)
    assert numpy.signbit(got.numpy()) == numpy.signbit(expected)


def test_bfloat16_scalars_round_to_nearest_even():
    for value in (1.0, 1.00390625, 1.01171875, -3.3e38, 1e-40):
        bits = int(numpy.float32(value).view("uint32"))
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16) << 16
        assert _core.tensor(value, dtype=_core.bfloat16).item() == float(numpy.uint32(rounded).view("float32"))


# ---- devices ----


def test_device():
    assert repr(_core.device("cpu")) == "device(type='cpu')"
    assert repr(_core.device("cpu", 1)) == "device(type='cpu', index=1)"
    assert _core.device("cpu:0") != _core.device("cpu")
    assert str(pickle.loads(pickle.dumps(_core.device("cpu:2")))) == "cpu:2"
    with pytest.raises(RuntimeError, match="no CUDA"):
        _core.device("cuda:0")
    with pytest.raises(RuntimeError, match="start of device string: tpu"):
        _core.device("tpu")
    with pytest.raises(RuntimeError, match="Invalid device string: 'cpu:x'"):
        _core.device("cpu:x")
    with pytest.raises(RuntimeError, match="no CUDA"):
        _core.tensor(1.0, device="cuda")


# ---- creation ----


@pytest.mark.parametrize(
    "data, dtype, shape",
    [
        (1, _core.int64, ()),
        (1.5, F32, ()),
        (True, _core.bool, ()),
        (1j, _core.complex64, ()),
        ([], F32, (0,)),
        ([[], []], F32, (2, 0)),
        ([[1, 2], [3, 4]], _core.int64, (2, 2)),
        ([1, 2.5], F32, (2,)),
        ([True, 2], _core.int64, (2,)),
        (range(3), _core.int64, (3,)),
        ((1.0, (2.0)), F32, (2,)),
        (numpy.float64(2), _core.float64, ()),
        ([numpy.float32(1), numpy.float32(2)], F32, (2,)),
        (numpy.int16(3), _core.int16, ()),
        (numpy.ones((2, 3), "float16"), _core.float16, (2, 3)),
        (bytearray(b"ab"), _core.uint8, (2,)),
    ],
)
def test_tensor_infers_dtype_and_shape(data, dtype, shape):
    t = _core.tensor(data)
    assert t.dtype is dtype
    assert tuple(t.shape) == shape


def test_tensor_copies_and_nests_tensors():
    a = arange(3)
    b = _core.tensor(a)
    assert b.data_ptr() != a.data_ptr() and b.tolist() == [0, 1, 2]
    assert _core.tensor([_core.tensor(1.0), _core.tensor(2.0)]).tolist() == [1.0, 2.0]
    assert _core.tensor(numpy.arange(6).reshape(2, 3)[:, ::-1]).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert _core.tensor(numpy.arange(3), dtype=F32).tolist() == [0.0, 1.0, 2.0]


def self_nested():
    a = []
    a.append(a)
    return a


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: _core.tensor([[1, 2, 3], [1, 2]]), ValueError, r"expected sequence of length 3 at dim 1 \(got 2\)"),
        (lambda: _core.tensor([1, [2]]), ValueError, "expected a number at dim 1, got list"),
        (lambda: _core.tensor([[1], 2]), TypeError, "expected a sequence"),
        (lambda: _core.tensor("text"), TypeError, "invalid data type 'str'"),
        (lambda: _core.tensor({}), RuntimeError, "Could not infer dtype of dict"),
        (lambda: _core.tensor(None), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: _core.tensor([1, 2**70]), RuntimeError, "Overflow"),
        (lambda: _core.tensor([300], dtype=_core.uint8), RuntimeError, "without overflow"),
        (lambda: _core.tensor(float("nan"), dtype=_core.int32), ValueError, "NaN to integer"),
        (lambda: _core.tensor(1j, dtype=F32), TypeError, "can't convert complex"),
        (lambda: _core.tensor([arange(2), arange(2)]), ValueError, "only one element tensors"),
        (lambda: _core.tensor(self_nested()), ValueError, "too many dimensions 'list'"),
        (lambda: _core.tensor(numpy.array(["a"])), TypeError, "can't convert numpy.ndarray"),
        (lambda: _core.tensor(1, dtype="float32"), TypeError, "argument 'dtype' must be taeda.dtype, not str"),
        (lambda: _core.tensor([1], requires_grad=True), RuntimeError, "floating point"),
        (lambda: _core.empty([10**18]), RuntimeError, "can't allocate memory"),
        (lambda: _core.empty([2**40, 2**40]), RuntimeError, "overflow"),
        (lambda: _core.empty([-1]), RuntimeError, "negative dimension -1"),
        (lambda: _core.empty([1.5]), TypeError, "must be int, not float"),
        (lambda: _core.empty([1] * 33), RuntimeError, "at most 32 dimensions"),
        (lambda: _core.empty_strided((2,), (-1,)), RuntimeError, "Negative strides"),
        (lambda: _core.empty_strided((2,), (1, 1)), RuntimeError, "mismatch in length"),
        (lambda: _core.empty_strided((2**40, 2), (2**40, 1)), RuntimeError, "overflow"),
        (lambda: _core.set_default_dtype(_core.int32), TypeError, "floating-point types"),
        (lambda: taeda.Tensor(2, foo=1), TypeError, "keywords"),
    ],
)
def test_creation_errors(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_frombuffer():
    data = bytearray(numpy.arange(4, dtype="float32").tobytes())
    t = _core.frombuffer(data, dtype=F32, offset=4, count=2)
    assert t.tolist() == [1.0, 2.0]
    data[4:8] = numpy.float32(9).tobytes()
    assert t.tolist() == [9.0, 2.0]
    for kwargs, text in (
        ({"offset": 16}, "no greater than"),
        ({"offset": 1}, "multiple of element size"),
        ({"count": 5}, "requested buffer length"),
    ):
        with pytest.raises(ValueError, match=text):
            _core.frombuffer(data, dtype=F32, **kwargs)
    with pytest.warns(UserWarning, match="not writable"):
        _core.frombuffer(bytes(8), dtype=F32)


def test_legacy_constructor():
    assert tuple(taeda.Tensor(2, 3).shape) == (2, 3)
    assert taeda.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert tuple(taeda.Tensor().shape) == (0,)
    assert taeda.Tensor(taeda.Tensor(2, 3).shape).ndim == 2


# ---- attributes ----


def test_attributes():
    t = arange(2, 3)
    assert t.shape == (2, 3) and t.shape[-1] == 3
    assert (t.size(), t.size(0), t.size(dim=-1)) == ((2, 3), 2, 3)
    assert (t.stride(), t.stride(0), t.ndim, t.dim(), t.numel(), t.nelement()) == ((3, 1), 3, 2, 2, 6, 6)
    assert (t.dtype, t.itemsize, t.element_size(), t.nbytes, t.storage_offset()) == (F32, 4, 4, 24, 0)
    assert str(t.device) == "cpu" and t.is_cpu and not t.is_cuda
    assert t.is_contiguous() and t.is_floating_point() and not t.is_complex()
    assert len(t) == 2
    with pytest.raises(IndexError, match=r"range of \[-2, 1\], but got 2"):
        t.size(2)
    with pytest.raises(TypeError, match="len"):
        len(_core.tensor(1.0))
    with pytest.raises(AttributeError):
        t.dtype = F32


def test_numbers_of_one_element():
    t = _core.tensor([[3]])
    assert t.item() == 3 and int(t) == 3 and float(t) == 3.0 and complex(t) == 3 and bool(t)
    assert [10, 11, 12, 13][t] == 13
    assert f"{_core.tensor(1.5):.2f}" == "1.50"
    with pytest.raises(TypeError, match="converted to an index"):
        [1][_core.tensor(1.0)]
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        bool(arange(2))
    with pytest.raises(RuntimeError, match="no values is ambiguous"):
        bool(arange(0))
    with pytest.raises(RuntimeError, match="6 elements cannot be converted"):
        arange(2, 3).item()
    assert int(_core.tensor(2 + 0j)) == 2
    with pytest.raises(RuntimeError, match="without overflow"):
        int(_core.tensor(1j))


def test_resize():
    t = arange(2, 3)
    assert t.resize_(3, 3) is t
    assert t.stride() == (3, 1) and t.tolist()[:2] == [[0, 1, 2], [3, 4, 5]]
    assert t.resize_((2,)).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="not resizable"):
        _core.from_numpy(numpy.zeros(2)).resize_(5)
    with pytest.raises(RuntimeError, match="require grad"):
        _core.tensor([1.0], requires_grad=True).resize_(3)
    with pytest.raises(RuntimeError, match="negative dimension"):
        t.resize_(-1)
    with pytest.raises(RuntimeError, match="overflow"):
        t.resize_(2**62, 3)


# ---- identity, attributes of its own, subclasses, lifetime ----


class Named(taeda.Tensor):
    def __new__(cls, data, name):
        return _core.alias_as(cls, data, True)

    def __init__(self, data, name):
        self.name = name


def test_subclass_shares_memory():
    base = arange(3)
    t = Named(base, "w")
    assert type(t) is Named and isinstance(t, taeda.Tensor)
    assert t.name == "w" and t.requires_grad and t.data_ptr() == base.data_ptr()
    twin = copy.deepcopy(t)
    assert type(twin) is Named and twin.name == "w" and twin.data_ptr() != t.data_ptr() and twin.requires_grad
    back = pickle.loads(pickle.dumps(t))
    assert type(back) is Named and back.name == "w" and back.tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="subclass of Tensor"):
        _core.alias_as(int, base, False)
    with pytest.raises(TypeError, match="expected a Tensor, got int"):
        _core.alias_as(Named, 1, False)


def test_cycles_are_collected():
    t = arange(3)
    t.me = t
    alive = weakref.ref(t)
    del t
    gc.collect()
    assert alive() is None


def test_hash_and_equality_with_other_types():
    t = arange(2)
    assert len({t, t, arange(2)}) == 2
    assert (t == "text") is False and (t != None) is True  # noqa: E711
    with pytest.raises(TypeError, match="unsupported operand"):
        t + "text"


def test_deepcopy_keeps_sharing_through_the_memo():
    t = arange(3)
    a, b = copy.deepcopy([t, t])
    assert a is b and a is not t


# ---- indexing ----

X = numpy.arange(24.0, dtype="float32").reshape(2, 3, 4)
INDICES = [
    0,
    -1,
    (1, 2),
    (slice(None), 1),
    slice(0, 1),
    (slice(None), slice(None, None, 2)),
    (Ellipsis, 0),
    (0, Ellipsis),
    None,
    (None, Ellipsis, None),
    (slice(5, 9),),
    (slice(-2, None), slice(None, -1)),
    (slice(-(10**30), 10**30),),
    (),
    Ellipsis,
    ([0, 1], [2, 0]),
    ([1, 0],),
    (slice(None), [0, 2]),
    (slice(None), [0, 2], slice(1, 3)),
    ([0, 1], slice(None), [1, 3]),
    (numpy.array([1, 1, 0]),),
    (slice(None), numpy.array([[0, 1], [2, 2]])),
    X > 7,
    (X.sum((1, 2)) > 80,),
    (slice(None), X[0, :, 0] > 3),
    ([True, False],),
    True,
    False,
    (Ellipsis, [3, -1]),
    (0, [1, 2]),
    (numpy.array([], "int64"), 0),
]


def to_ours(index):
    if isinstance(index, numpy.ndarray):
        return _core.tensor(index)
    return tuple(to_ours(i) for i in index) if isinstance(index, tuple) else index


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_getitem_as_numpy(index):
    expected = X[index]
    got = _core.tensor(X)[to_ours(index)]
    assert tuple(got.shape) == expected.shape
    assert numpy.array_equal(got.numpy(), expected)


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_setitem_as_numpy(index):
    expected, ours = X.copy(), _core.tensor(X)
    expected[index] = 5
    ours[to_ours(index)] = 5
    assert numpy.array_equal(ours.numpy(), expected)


def test_setitem_values():
    t = _core.tensor(X)
    t[0] = arange(4)
    assert t[0, 2].tolist() == [0, 1, 2, 3]
    t[:, 1] = [[9.0], [8.0]]
    assert t[0, 1].tolist() == [9.0] * 4 and t[1, 1].tolist() == [8.0] * 4
    t[0, 0] = numpy.full((1, 1, 4), 7)
    assert t[0, 0].tolist() == [7.0] * 4
    t[_core.tensor([0, 1]), 2] = _core.tensor([[1.0], [2.0]])
    assert t[1, 2].tolist() == [2.0] * 4
    version = t._version
    t[0] = 0
    assert t._version > version


def test_an_empty_list_takes_nothing():
    assert tuple(_core.tensor(X)[[]].shape) == (0, 3, 4)


def test_basic_indexing_is_a_view():
    t = arange(3, 4)
    assert t[1].data_ptr() == t.data_ptr() + 16
    assert t[...].data_ptr() == t.data_ptr() and t[...] is not t
    assert [row.tolist() for row in arange(2, 2)] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    "index, error, text",
    [
        (5, IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
        ((0, -4), IndexError, "index -4 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        (slice(None, None, 0), ValueError, "step must be greater than zero"),
        (slice(0.5), TypeError, "slice indices must be integers"),
        ("a", IndexError, "only integers, slices"),
        (1.5, IndexError, "only integers, slices"),
        ((Ellipsis, Ellipsis), IndexError, "single ellipsis"),
        (numpy.array([True, False, True]), IndexError, r"shape of the mask \[3\] at index 0"),
        (numpy.array([0.5]), IndexError, "long, int, byte or bool"),
        ([0, 7], IndexError, "out of"),
        (10**30, IndexError, "out of bounds"),
    ],
)
def test_index_errors(index, error, text):
    with pytest.raises(error, match=text):
        _core.tensor(X)[to_ours(index)]


def test_index_errors_of_zero_dim():
    with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
        _core.tensor(1.0)[0]
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(_core.tensor(1.0))
    with pytest.raises(TypeError, match="deleting"):
        del arange(2)[0]


# ---- interchange ----


@pytest.mark.parametrize("name", [n for n in NAMES if n != "bfloat16"])
def test_numpy_both_ways_shares_memory(name):
    array = numpy.arange(6).reshape(2, 3).astype(name)
    t = _core.from_numpy(array)
    assert t.dtype is getattr(_core, name) and t.data_ptr() == array.ctypes.data
    back = t.numpy()
    assert back.dtype == array.dtype and back.ctypes.data == array.ctypes.data
    assert numpy.array_equal(numpy.asarray(t), array)
    assert memoryview(t).shape == (2, 3)
    assert _core.from_bytes(_core.to_bytes(t), t.dtype, t.shape).tolist() == array.tolist()


def test_numpy_keeps_the_tensor_alive():
    array = arange(1000).numpy()
    gc.collect()
    for _ in range(10):
        _core.empty([1000])
    assert array[999] == 999
    t = _core.from_numpy(numpy.arange(1000.0).T)
    gc.collect()
    assert t[999].item() == 999


def test_numpy_errors():
    with pytest.raises(ValueError, match="negative"):
        _core.from_numpy(numpy.arange(3)[::-1])
    with pytest.raises(ValueError, match="byte order"):
        _core.from_numpy(numpy.zeros(3, ">f4"))
    with pytest.raises(TypeError, match=r"expected np.ndarray \(got list\)"):
        _core.from_numpy([1])
    with pytest.raises(TypeError, match="BFloat16"):
        _core.tensor([1.0], dtype=_core.bfloat16).numpy()
    leaf = _core.tensor([1.0], requires_grad=True)
    for read in (leaf.numpy, lambda: numpy.asarray(leaf), lambda: memoryview(leaf)):
        with pytest.raises(RuntimeError, match=r"Use tensor\.detach"):
            read()
    assert leaf.numpy(force=True).tolist() == [1.0]
    read_only = numpy.arange(3)
    read_only.setflags(write=False)
    with pytest.warns(UserWarning, match="not writable"):
        _core.from_numpy(read_only)


def test_strided_arrays():
    array = numpy.arange(12.0).reshape(3, 4)[:, ::2].T
    t = _core.from_numpy(array)
    assert t.stride() == (2, 4) and not t.is_contiguous() and t.tolist() == array.tolist()
    assert numpy.array_equal(numpy.asarray(memoryview(t)), array)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "bfloat16"])
def test_dlpack_both_ways(name):
    array = numpy.arange(6).reshape(2, 3).astype(name)
    t = _core.from_dlpack(array)
    assert t.dtype is getattr(_core, name) and t.data_ptr() == array.ctypes.data
    assert numpy.array_equal(numpy.from_dlpack(t), array)
    twin = _core.from_dlpack(t)
    assert twin.data_ptr() == t.data_ptr()
    assert _core.from_dlpack(t.__dlpack__(copy=True)).data_ptr() != t.data_ptr()
    assert _core.from_dlpack(t.__dlpack__(max_version=(1, 0))).tolist() == array.tolist()


def test_dlpack_errors():
    t = arange(2)
    capsule = t.__dlpack__()
    _core.from_dlpack(capsule)
    with pytest.raises(RuntimeError, match="consumed only once"):
        _core.from_dlpack(capsule)
    with pytest.raises(TypeError, match="no __dlpack__"):
        _core.from_dlpack(3)
    with pytest.raises(BufferError, match="gradient"):
        _core.tensor([1.0], requires_grad=True).__dlpack__()
    with pytest.raises(BufferError, match="CPU"):
        t.__dlpack__(dl_device=(2, 0))

    class OnGpu:
        def __dlpack_device__(self):
            return (2, 0)

        def __dlpack__(self, **_):
            raise AssertionError("must not be asked")

    with pytest.raises(RuntimeError, match="device type 2"):
        _core.from_dlpack(OnGpu())
    assert t.__dlpack_device__() == (1, 0)


def test_exported_memory_outlives_what_the_tensor_does():
    for export in (taeda.Tensor.numpy, numpy.from_dlpack, memoryview, taeda.from_dlpack):
        x = taeda.arange(6)
        seen = export(x)
        x.data = taeda.zeros(6, dtype=taeda.int64)
        taeda.arange(6, 12)  # would take the memory if it were free
        assert seen.tolist() == [0, 1, 2, 3, 4, 5] and x.tolist() == [0] * 6
        x = taeda.arange(6)
        seen = export(x)
        with pytest.raises(RuntimeError, match="not resizable"):
            x.resize_(1000)
        assert x.resize_(2).tolist() == [0, 1] and seen.tolist() == [0, 1, 2, 3, 4, 5]


def test_dlpack_capsules_free_their_memory():
    before = _core.memory_stats()["in_use"]
    t = _core.empty([1 << 20])
    used, unused = _core.from_dlpack(t), t.__dlpack__()
    del t, used, unused
    gc.collect()
    assert _core.memory_stats()["in_use"] <= before


def test_pickle_of_a_view():
    t = arange(3, 4)[:, 1]
    back = pickle.loads(pickle.dumps(t))
    assert back.tolist() == t.tolist() and (back.stride(), back.storage_offset()) == ((4,), 1)
    whole = arange(3, 4)
    a, b = pickle.loads(pickle.dumps((whole, whole[1:])))
    a[1, 0] = 50.0
    assert b.tolist()[0][0] == 50.0


@pytest.mark.parametrize("place", [((100,), (1,), 0), ((1,), (1,), -5), ((1,), (1,), 2), ((2, 2**62), (2**61, 1), 0)])
def test_damaged_pickles_are_refused(place):
    with pytest.raises(RuntimeError):
        _core._rebuild_view(_core.Tensor, _core.empty([8], _core.uint8), _core.float32, *place, False)


# ---- random state ----


def test_generator():
    g = _core.Generator().manual_seed(5)
    assert g.initial_seed() == 5
    assert _core.rng_reserve(10, g) == (5, 0) and _core.rng_reserve(1, g) == (5, 10)
    state = g.get_state()
    assert state.dtype is _core.uint8
    _core.rng_reserve(7, g)
    g.set_state(state)
    assert _core.rng_reserve(1, g)[1] == 11
    assert g.manual_seed(-1).initial_seed() == 2**64 - 1
    assert g.seed() == g.initial_seed()
    with pytest.raises(RuntimeError, match="expected a seed"):
        g.manual_seed(2**64)
    with pytest.raises(TypeError, match="uint8"):
        g.set_state(arange(16))
    with pytest.raises(RuntimeError, match="wrong size"):
        g.set_state(_core.empty([3], _core.uint8))
    with pytest.raises(TypeError):
        g.set_state(None)


# ---- process ----


def test_threads_and_memory():
    n = _core.get_num_threads()
    _core.set_num_threads(1)
    assert _core.get_num_threads() == 1
    _core.set_num_threads(n)
    for bad in (0, -1, 10**9):
        with pytest.raises(RuntimeError, match="positive integer"):
            _core.set_num_threads(bad)
    before = _core.memory_stats()["in_use"]
    t = _core.empty([1 << 18])
    assert _core.memory_stats()["in_use"] >= before + (1 << 20)
    del t
    assert _core.memory_stats()["in_use"] <= before
    assert _core.cpu_level() in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64", "generic")
