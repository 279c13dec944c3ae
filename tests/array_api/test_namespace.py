"""What the standard says about the namespace itself, its signatures, the array object, and what array-api-compat makes
of them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import taeda
from taeda import array_api as ours

from .worlds import ANY, strict

#: Dtypes that tensors have not, and names of array-api-strict itself.
MISSING = {"uint16", "uint32", "uint64"}
OWN = {"ArrayAPIStrictFlags", "Device", "__version__"}


def functions(xp):
    return {name: value for name in xp.__all__ if inspect.isfunction(value := getattr(xp, name))}


def test_every_name_is_there():
    expected = {n for n in strict.__all__ if n not in OWN | MISSING and not n.endswith("_flags")}
    assert expected - {*ours.__all__} == set()
    assert {*dir(ours)} == {*ours.__all__}
    assert len({*ours.__all__}) == len(ours.__all__)
    for name in ours.__all__:
        getattr(ours, name)
    for extension in ("linalg", "fft"):
        assert {*getattr(strict, extension).__all__} - {*getattr(ours, extension).__all__} == set()


@pytest.mark.parametrize("extension", ["", "linalg", "fft"])
def test_signatures(extension):
    mine, theirs = (getattr(xp, extension) if extension else xp for xp in (ours, strict))
    for name, reference in functions(theirs).items():
        if name not in mine.__all__:
            continue
        expected = inspect.signature(reference).parameters
        found = inspect.signature(getattr(mine, name)).parameters
        assert [*found] == [*expected], name
        for parameter in expected.values():
            got = found[parameter.name]
            assert got.kind == parameter.kind, (name, parameter.name)
            if isinstance(parameter.default, (int, float, str, type(None))):
                assert got.default == parameter.default or name == "full_like", (name, parameter.name)
        assert getattr(mine, name).__doc__, name


def test_inspection():
    info = ours.__array_namespace_info__()
    assert info.capabilities() == {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 32}
    assert info.default_device() in info.devices() and info.default_device() == taeda.ones(1).device
    defaults = info.default_dtypes()
    assert defaults == {
        "real floating": ours.float32,
        "complex floating": ours.complex64,
        "integral": ours.int64,
        "indexing": ours.int64,
    }
    for kind, dtype in defaults.items():
        if kind != "indexing":
            assert ours.isdtype(dtype, kind)
    assert set(info.dtypes()) == set(ANY)
    for kind in (
        "bool",
        "signed integer",
        "unsigned integer",
        "integral",
        "real floating",
        "complex floating",
        "numeric",
    ):
        assert all(ours.isdtype(d, kind) and getattr(ours, name) is d for name, d in info.dtypes(kind=kind).items())
    assert {*info.dtypes(kind=("bool", "complex floating"))} == {"bool", "complex64", "complex128"}
    with pytest.raises(ValueError, match="unknown kind"):
        info.dtypes(kind="text")
    taeda.set_default_dtype(taeda.float64)
    try:
        assert info.default_dtypes()["complex floating"] is ours.complex128
    finally:
        taeda.set_default_dtype(taeda.float32)


def test_the_array_object():
    x = ours.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert x.__array_namespace__() is ours is x.__array_namespace__(api_version="2024.12")
    assert (x.ndim, tuple(x.shape), x.dtype, str(x.device)) == (2, (2, 3), ours.float32, "cpu")
    assert tuple(x.T.shape) == tuple(x.mT.shape) == (3, 2)
    assert x.to_device("cpu") is x and x.to_device(x.device) is x
    assert x.__dlpack_device__() == (1, 0)
    one = ours.asarray(3)
    assert (int(one), float(one), complex(one), bool(one), one.__index__()) == (3, 3.0, 3 + 0j, True, 3)
    methods = (
        "abs add and array_namespace bool complex dlpack dlpack_device eq float floordiv ge getitem gt index int invert"
    )
    methods += " le lshift lt matmul mod mul ne neg or pos pow rshift setitem sub truediv xor"
    methods += " radd rsub rmul rtruediv rfloordiv rmod rpow rmatmul rand ror rxor rlshift rrshift"
    methods += " iadd isub imul itruediv ifloordiv imod ipow iand ior ixor ilshift irshift"
    for name in methods.split():
        assert hasattr(taeda.Tensor, f"__{name}__"), name


def test_copies():
    x = ours.asarray([1.0, 2.0])
    assert ours.asarray(x) is x and ours.asarray(x, copy=False) is x
    assert ours.asarray(x, copy=True).data_ptr() != x.data_ptr()
    assert ours.astype(x, ours.float32).data_ptr() != x.data_ptr()
    assert ours.astype(x, ours.float32, copy=False) is x
    assert ours.reshape(x, (2, 1), copy=True).data_ptr() != x.data_ptr()
    assert ours.reshape(x, (2, 1), copy=False).data_ptr() == x.data_ptr()
    array = np.arange(3.0)
    shared, own = ours.asarray(array, copy=False), ours.asarray(array, copy=True)
    array[0] = 7
    assert shared[0] == 7 and own[0] == 0
    assert ours.from_dlpack(array)[0] == 7 and ours.from_dlpack(array, copy=True).data_ptr() != shared.data_ptr()
    with pytest.raises(ValueError, match="copy"):
        ours.asarray(array, dtype=ours.float32, copy=False)


@pytest.mark.parametrize(
    "array", [np.arange(6.0)[::-1], np.arange(3, dtype=">i4"), np.arange(6).reshape(2, 3).T, np.float32(2)]
)
def test_arrays_of_any_layout(array):
    x = ours.asarray(array)
    assert x.tolist() == array.tolist() and x.numpy().dtype == np.asarray(array).dtype.newbyteorder("=")


def test_read_only_memory_is_copied():
    array = np.arange(3.0)
    array.flags.writeable = False
    x = ours.asarray(array)
    x[0] = 5
    assert array[0] == 0


def test_compat():
    compat = pytest.importorskip("array_api_compat")
    x = ours.asarray([[1.0, 2.0, 3.0]])
    assert compat.array_namespace(x, x) is ours
    assert compat.is_array_api_obj(x) and not compat.is_lazy_array(x) and compat.is_writeable_array(x)
    assert not compat.is_numpy_array(x) and not compat.is_torch_array(x)
    assert compat.size(x) == 3 and str(compat.device(x)) == "cpu"
    assert compat.to_device(x, "cpu") is x


def test_extra_functions_of_array_api_extra():
    xpx = pytest.importorskip("array_api_extra")
    x = ours.asarray([[1.0, 2.0, 4.0], [2.0, 1.0, 0.0]])
    assert xpx.atleast_nd(x[0], ndim=2, xp=ours).shape == (1, 3)
    assert xpx.nunique(x, xp=ours) == 4
    np.testing.assert_allclose(xpx.cov(x, xp=ours).numpy(), np.cov(x.numpy()), rtol=1e-6)
