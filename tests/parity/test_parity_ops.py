"""The operator table's samples against PyTorch: values, dtypes, gradients and special values."""

from __future__ import annotations

import warnings

import numpy
import pytest
from ops import samples

from taeda._bind import bound
from taeda.ops.table import complexes, integral

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

NAMES_ELSEWHERE = ("index",)  # methods of PyTorch with another meaning
SPECIAL = numpy.array([numpy.nan, numpy.inf, -numpy.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.5, 1e30, -1e-30])
#: Where PyTorch's own value is known to be worse or a matter of taste; each with the reason.
DIFFERENT = {
    "remainder": "PyTorch returns NaN or the divisor for infinite divisors, Python's % the dividend",
    "floor_divide": "follows from remainder",
    "_div_trunc": "no PyTorch function of that name",
    "i0": "PyTorch gives NaN at infinity",
    "heaviside": "NaN input: PyTorch gives 0 here",
    "_gelu": "PyTorch's float32 kernel gives NaN at infinity and cancels more at -3.5",
    "fmod": "quotients beyond 2**127: see the code generator's rem",
}


def reference(op):
    """PyTorch's function of the same name, or None. Internal maps (_clamp_min) have a public twin; others do not."""
    name = op.name if op.kind != "map" else op.name.removeprefix("_")
    if name[0] == "_" or name in NAMES_ELSEWHERE:
        return None
    homes = [torch, torch.Tensor]
    homes.insert(0 if op.traits and op.traits.get("nn") else 2, torch.nn.functional)
    return next((getattr(home, name) for home in homes if hasattr(home, name)), None)


def with_reference(ops):
    return [op for op in ops if reference(op) is not None]


def to_torch(value, code):
    if isinstance(value, (numpy.ndarray, numpy.generic)):
        t = torch.from_numpy(numpy.array(value))
        return t.to(getattr(torch, samples.DTYPES[code])) if t.is_floating_point() and code else t
    if isinstance(value, list):
        return [to_torch(v, code) for v in value]
    if isinstance(value, dict):
        return {k: to_torch(v, code) for k, v in value.items()}
    return value


def same(ours, theirs, code, what):
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs), what
        for a, b in zip(ours, theirs):
            same(a, b, code, what)
        return
    if not isinstance(theirs, torch.Tensor):
        assert ours == theirs, what
        return
    assert str(ours.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2], (
        f"{what}: dtype {ours.dtype}, PyTorch gives {theirs.dtype}"
    )
    theirs = theirs.detach()
    samples.close(ours, (theirs.double() if theirs.is_floating_point() else theirs).numpy(), code, what)


@pytest.mark.parametrize("op", with_reference(samples.plain_maps()), ids=lambda op: op.name)
def test_maps(op):
    for case in ("broadcast", "mixed_dim"):
        arrays = samples.pointwise_sample(op, case, samples.Maker(op.name))
        for code in op.accepts if not op.to_float else (*op.accepts, "i32", "b1"):
            if code in complexes:
                continue  # lines/complex.txt
            whole = code in integral or code == "b1"
            data = [
                (abs(x) if code == "u8" else numpy.trunc(x)).astype(samples.DTYPES[code]) if whole else x
                for x in arrays
            ]
            if (
                whole
                and code not in op.accepts
                and op.name in ("acosh", "log", "log2", "log10", "reciprocal", "div", "rsqrt", "_logit")
            ):
                data = [numpy.ones_like(x) for x in data]
            ours = bound(op.name)(*(samples.tensor(x, code) for x in data))
            theirs = reference(op)(*(to_torch(x, code) for x in data))
            same(ours, theirs, code if not whole else "f32", f"{op.name} of {code}, {case}")


@pytest.mark.parametrize(
    "op",
    [op for op in with_reference(samples.plain_maps()) if op.name not in DIFFERENT and "f64" in op.accepts],
    ids=lambda op: op.name,
)
def test_special_values(op):
    n = len(op.in_types)
    grids = [SPECIAL] if n == 1 else [g.ravel() for g in numpy.meshgrid(*[SPECIAL] * n)]
    if op.name in ("sin", "cos", "tan", "sinc"):  # arguments are reduced exactly up to 2**40
        grids = [SPECIAL[~(numpy.isfinite(SPECIAL) & (abs(SPECIAL) > 2**40))]]
    for code in ("f64", "f32"):
        ours = bound(op.name)(*(samples.tensor(x, code) for x in grids))
        theirs = reference(op)(*(to_torch(x, code) for x in grids))
        values = theirs.double().numpy() if theirs.is_floating_point() else theirs.numpy()
        mine = ours.double().numpy() if theirs.is_floating_point() else ours.numpy()
        with numpy.errstate(all="ignore"):
            numpy.testing.assert_allclose(
                mine,
                values,
                1e-5 if code == "f32" else 1e-11,
                1e-7 if code == "f32" else 1e-15,
                err_msg=f"{op.name} of {code}",
            )


@pytest.mark.parametrize("op", with_reference(samples.with_defaults()), ids=lambda op: op.name)
def test_activations(op):
    x = samples.Maker(op.name)(5, 6, low=-6, high=9)
    for code in ("f64", "f32"):
        ours, theirs = samples.tensor(x, code).requires_grad_(), to_torch(x, code).requires_grad_()
        a, b = bound(op.name)(ours), reference(op)(theirs)
        same(a, b, code, op.name)
        a.sum().backward()
        b.sum().backward()
        same(ours.grad, theirs.grad, code, f"gradient of {op.name}")


def relaid(value, how):
    """Arrays in column order, or with gaps between their elements."""
    if isinstance(value, list):
        return [relaid(v, how) for v in value]
    if isinstance(value, dict):
        return {k: relaid(v, how) for k, v in value.items()}
    if not isinstance(value, numpy.ndarray) or value.ndim == 0:
        return value
    if how == "columns":
        return numpy.asfortranarray(value)
    every_other = (slice(None, None, 2),) * value.ndim
    wide = numpy.zeros([2 * n for n in value.shape], value.dtype)
    wide[every_other] = value
    return wide[every_other]


@pytest.mark.parametrize("how", ["columns", "gaps"])
@pytest.mark.parametrize("op", with_reference(samples.sampled()), ids=lambda op: op.name)
def test_sampled_in_other_layouts(op, how):
    if op.name in ("view", "take_along_dim"):
        pytest.skip("PyTorch's depend on strides")
    for args, kwargs in samples.samples_of(op):
        args, kwargs = relaid(list(args), how), relaid(kwargs, how)
        ours = bound(op.name)(*samples.convert(args, "f32"), **samples.convert(kwargs, "f32"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = reference(op)(*to_torch(args, "f32"), **to_torch(kwargs, "f32"))
        same(ours, theirs, "f32", f"{op.name}, {how}, {kwargs}")


@pytest.mark.parametrize("op", with_reference(samples.sampled()), ids=lambda op: op.name)
def test_sampled(op):
    for args, kwargs in samples.samples_of(op):
        for code in ("f64", "f32"):
            ours = bound(op.name)(*samples.convert(list(args), code), **samples.convert(kwargs, code))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = reference(op)(*to_torch(list(args), code), **to_torch(kwargs, code))
            same(ours, theirs, code, f"{op.name} of {code}, {kwargs}")
