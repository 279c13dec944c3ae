"""Complex numbers: every formula against NumPy, and gradients of both orders against finite differences of the parts."""

from __future__ import annotations

import numpy
import pytest

import taeda
from taeda._bind import bound
from taeda.ops.table import TABLE

from . import gradients
from .samples import Maker, oracle_of, plain_maps, pointwise_sample, tensor, with_defaults

#: Operators with a formula for complex numbers.
MAPS = [op for op in plain_maps() if "c128" in op.accepts]
CURVES = [op for op in MAPS if op.out_types in ("T", "r") and op.grad is not False]
#: Where NumPy differs on purpose: another branch or no complex version.
WITHOUT_ORACLE = {"sigmoid", "rsqrt", "_cube", "lerp", "reciprocal", "ldexp", "sinc", "sign"}


def complex_sample(op, seed=""):
    """Operands away from branch cuts and poles."""
    parts = [pointwise_sample(op, "same", Maker(op.name + seed + half)) for half in ("re", "im")]
    return [a + 1j * (0.3 + abs(b)) for a, b in zip(*parts)]


@pytest.mark.parametrize("code", ["c64", "c128"])
@pytest.mark.parametrize("op", MAPS, ids=lambda op: op.name)
def test_formulas(op, code):
    kind = numpy.complex64 if code == "c64" else numpy.complex128
    arrays = [x.astype(kind) for x in complex_sample(op)]
    got = bound(op.name)(*(taeda.from_numpy(x.copy()) for x in arrays)).numpy()
    flipped = bound(op.name)(*(taeda.from_numpy(x.T.copy()).t() for x in arrays)).numpy()
    numpy.testing.assert_array_equal(got, flipped)  # strides make no difference
    if op.name in WITHOUT_ORACLE or not op.oracle:
        return
    wanted = oracle_of(op)(*arrays)
    tolerance = 4e-6 if code == "c64" else 2e-14
    numpy.testing.assert_allclose(got, wanted, tolerance, tolerance, err_msg=op.name)


def over_parts(fn):
    """`fn` of complex tensors as a function of float64 tensors [..., 2], giving float64 tensors."""

    def call(*parts):
        result = fn(*(taeda.view_as_complex(p) for p in parts))
        return taeda.view_as_real(result) if result.is_complex() else result

    return call


def parts_of(array):
    return tensor(numpy.stack([array.real, array.imag], -1))


@pytest.mark.parametrize("op", CURVES, ids=lambda op: op.name)
def test_gradients_of_formulas(op):
    arrays = [x[:2, :2] if x.ndim == 2 else x[:2] for x in complex_sample(op)]
    assert gradients.check(over_parts(bound(op.name)), [parts_of(x) for x in arrays], {}, what=op.name)


STRUCTURED = {
    "sum": (lambda x: x.sum(0), [(2, 3)]),
    "mean": (lambda x: x.mean(1), [(2, 3)]),
    "prod": (lambda x: x.prod(1), [(2, 3)]),
    "cumsum": (lambda x: x.cumsum(1), [(2, 3)]),
    "cumprod": (lambda x: x.cumprod(1), [(2, 3)]),
    "var": (lambda x: x.var(1), [(2, 3)]),
    "norm": (lambda x: x.norm(), [(2, 3)]),
    "logsumexp": (lambda x: x.logsumexp(1), [(2, 3)]),
    "matmul": (lambda a, b: a @ b, [(2, 3), (3, 2)]),
    "batched matmul": (lambda a, b: a @ b, [(2, 2, 3), (2, 3, 1)]),
    "linear": (taeda.nn.functional.linear, [(2, 3), (2, 3), (2,)]),
    "einsum": (lambda a, b: taeda.einsum("ab,bc->ca", a, b), [(2, 3), (3, 2)]),
    "vdot": (taeda.vdot, [(3,), (3,)]),
    "conv1d": (taeda.nn.functional.conv1d, [(1, 2, 4), (2, 2, 2)]),
    "conv_transpose1d": (taeda.nn.functional.conv_transpose1d, [(1, 2, 3), (2, 1, 2)]),
    "polar": (lambda z: taeda.polar(z.abs(), z.angle()), [(3,)]),
    "sgn": (taeda.sgn, [(3,)]),
    "conj": (lambda z: z.conj() * z * z, [(3,)]),
    "parts": (lambda z: taeda.complex(z.imag, z.real) * z, [(3,)]),
    "where": (lambda a, b: taeda.where(taeda.tensor([True, False, True]), a, b), [(3,), (3,)]),
    "indexing": (lambda z: z[taeda.tensor([0, 2, 0])] * z[1:2], [(3,)]),
    "scatter_add": (lambda z, s: z.scatter_add(0, taeda.tensor([0, 0]), s), [(3,), (2,)]),
    "real times complex": (lambda z: z.real * z, [(3,)]),
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_gradients_of_structured_operators(name):
    fn, shapes = STRUCTURED[name]
    random = numpy.random.default_rng(3)
    arrays = [random.uniform(0.4, 1.5, s) + 1j * random.uniform(0.3, 1.5, s) for s in shapes]
    assert gradients.check(over_parts(fn), [parts_of(x) for x in arrays], {}, what=name)


def test_special_values():
    inf, nan = numpy.inf, numpy.nan
    for z in (
        0,
        -0.0,
        1,
        -1,
        1j,
        -1j,
        1e30,
        1e30j,
        complex(inf, 1),
        complex(-inf, 1),
        complex(1, inf),
        complex(nan, 1),
    ):
        for name in ("sqrt", "exp", "log", "abs"):
            with numpy.errstate(all="ignore"):
                wanted = getattr(numpy, name)(numpy.complex128(z))
            got = getattr(taeda, name)(taeda.tensor(z, dtype=taeda.complex128)).item()
            if name == "exp" and numpy.isinf(z):
                continue  # C leaves the signs of some of these open
            numpy.testing.assert_allclose(got, wanted, 1e-13, err_msg=f"{name}({z})")


def test_views_share_memory():
    z = taeda.zeros(2, 3, dtype=taeda.complex64)
    z.real = taeda.ones(2, 3)
    z.imag[0] = 2
    taeda.view_as_real(z)[1, 1, 1] = 7
    assert z.tolist() == [[1 + 2j] * 3, [1 + 0j, 1 + 7j, 1 + 0j]]
    pairs = taeda.zeros(3, 2)
    taeda.view_as_complex(pairs).add_(1j)
    assert pairs.tolist() == [[0, 1]] * 3


def test_a_real_operand_gets_a_real_gradient():
    x = taeda.tensor([1.0, 2.0], requires_grad=True)
    z = taeda.tensor([1 + 1j, 2 - 1j])
    (x * z).abs().sum().backward()
    assert x.grad.dtype is taeda.float32
    numpy.testing.assert_allclose(x.grad.numpy(), abs(z.numpy()), 1e-6)


def test_a_capture_refuses_complex_numbers():
    with pytest.raises(RuntimeError, match="complex numbers cannot be captured"):
        taeda.compile(lambda x: x * 2)(taeda.tensor([1j]))
    with pytest.raises(RuntimeError, match="cannot be captured"):
        taeda.compile(lambda x: taeda.complex(x, x).abs())(taeda.ones(2))


def test_every_formula_for_complex_numbers_is_tested():
    named = {op.name for op in TABLE.values() if op.kind == "map" and "c64" in (op.accepts or ()) and not op.parent}
    elsewhere = {"_conj", "_sgn", "_pow", "_where", "_isclose", "_isclose_nan", "addcmul", "addcdiv"}
    assert named - {op.name for op in (*MAPS, *with_defaults())} - elsewhere == set()


def test_a_cast_may_be_the_first_complex_operator_of_a_process(tmp_path):
    import os
    import subprocess
    import sys

    code = "import taeda; assert taeda.ones(2).to(taeda.complex64)[1].item() == 1"
    environment = {**os.environ, "TAEDA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("values", [[1 + 0j, 0.3 - 0.2j], [2j, -1 + 0j]])
def test_second_gradient_of_abs_on_the_axes(values):
    assert gradients.check(over_parts(lambda z: (z * 2).abs().square()), [parts_of(numpy.array(values))], {})


@pytest.mark.parametrize("dtype", [taeda.complex64, taeda.complex128])
def test_gradient_of_abs_at_zero(dtype):
    z = taeda.zeros(2, dtype=dtype).requires_grad_()
    z.abs().sum().backward()
    assert z.grad.tolist() == [0, 0]
