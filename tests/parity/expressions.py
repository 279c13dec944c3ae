"""One expression, evaluated with PyTorch and with Taeda on the same data: results, dtypes, gradients and errors must
agree."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import taeda

torch = pytest.importorskip("torch")


class World:
    """The names an expression may use, for one of the two libraries."""

    def __init__(self, lib):
        self.lib, self.leaves = lib, []
        self.random = np.random.default_rng(7)
        self.names = {
            "m": lib, "F": lib.nn.functional, "nn": lib.nn, "np": np, "inf": float("inf"), "nan": float("nan"),
            "f": self.floats, "d": self.doubles, "i": self.ints, "b": self.bools, "t": self.tensor, "leaf": self.leaf,
            "c": self.complexes, "put": put, "then": then, "ranked": self.ranked, "mod": self.module,
        }  # fmt: skip
        for name in (
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
        ):
            self.names[name + "_"] = getattr(lib, name)

    def tensor(self, data, dtype=None):
        """A constant."""
        return self.lib.tensor(data, dtype=None if dtype is None else getattr(self.lib, dtype))

    def leaf(self, t):
        """A tensor whose gradient is compared too."""
        t = t.detach().requires_grad_()
        self.leaves.append(t)
        return t

    def floats(self, *shape, low=-2.0, high=2.0, dtype="float32"):
        """Different numbers in random order, a leaf."""
        n = int(np.prod(shape))
        values = low + (high - low) * (self.random.permutation(n) + 0.37) / max(n, 1)
        t = self.lib.tensor(values.reshape(shape), dtype=self.lib.float64).to(getattr(self.lib, dtype))
        return self.leaf(t)

    def doubles(self, *shape, **kwargs):
        return self.floats(*shape, dtype="float64", **kwargs)

    def complexes(self, *shape, low=-2.0, high=2.0, dtype="complex128"):
        """Different complex numbers in random order, a leaf."""
        n = int(np.prod(shape))
        re, im = (low + (high - low) * (self.random.permutation(n) + 0.37) / max(n, 1) for _ in range(2))
        return self.leaf(self.lib.tensor((re + 1j * im).reshape(shape), dtype=getattr(self.lib, dtype)))

    def ints(self, *shape, low=-5, high=6, dtype="int64"):
        return self.lib.tensor(self.random.integers(low, high, shape), dtype=getattr(self.lib, dtype))

    def bools(self, *shape):
        return self.lib.tensor(self.random.random(shape) < 0.5)

    def module(self, name, *args, **kwargs):
        """A module of `nn` with made-up parameters; its text and state-dict keys are part of the result."""
        module = getattr(self.lib.nn, name)(*args, **kwargs)
        for p in module.parameters():
            with self.lib.no_grad():
                p.copy_(self.lib.tensor(self.random.standard_normal(tuple(p.shape)) * 0.3).to(p.dtype))
            self.leaves.append(p)

        def call(*args, train=True, **kwargs):
            result = module.train(train)(*args, **kwargs)
            return result, repr(module), list(module.state_dict())

        call.module = module
        return call

    def ranked(self, *shape):
        """Every place's own number."""
        return self.leaf(self.lib.arange(float(np.prod(shape))).reshape(shape))


def put(t, index, value):
    """t[index] = value, on a copy that is part of the graph."""
    t = t.clone()
    t[index] = value
    return t


def then(t, method, *args, **kwargs):
    """A method that writes, on a copy; also says that it returned the copy."""
    t = t.clone()
    result = getattr(t, method)(*args, **kwargs)
    return t, result is t


def flatten(value, lib):
    if isinstance(value, lib.Tensor):
        return [value]
    if isinstance(value, dict):
        return [x for k, v in value.items() for x in (k, *flatten(v, lib))]
    if isinstance(value, (tuple, list)):
        return [type(value) is list, *(x for v in value for x in flatten(v, lib))]
    return [str(value).rpartition(".")[2] if isinstance(value, (lib.dtype, lib.device)) else value]


def seed_like(random, v, lib):
    """Random numbers to weigh an output with."""
    numbers = random.standard_normal(tuple(v.shape))
    if v.dtype.is_complex:
        numbers = numbers + 1j * random.standard_normal(tuple(v.shape))
    return lib.tensor(numbers).to(v.dtype)


def evaluate(text, lib):
    """(values, gradients) or the exception."""
    world = World(lib)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            values = flatten(eval(text, world.names), lib)
        except Exception as e:
            return e
        outputs = [v for v in values if isinstance(v, lib.Tensor) and v.requires_grad]
        outputs = [v for v in outputs if not any(v is x for x in world.leaves)]
        if outputs:
            random = np.random.default_rng(1)
            weights = [seed_like(random, v, lib) for v in outputs]
            try:
                grads = lib.autograd.grad(outputs, world.leaves, weights, allow_unused=True)
            except Exception as e:
                return e
            return values, [None if g is None else g for g in grads]
    return values, []


TOLERANCE = {"float16": (2e-3, 2e-3), "bfloat16": (2e-2, 2e-2), "float32": (2e-5, 4e-6), "float64": (1e-11, 1e-12)}
TOLERANCE |= {"complex64": TOLERANCE["float32"], "complex128": TOLERANCE["float64"]}


def _same(a, b, what):
    if not isinstance(b, torch.Tensor):
        assert type(a) is type(b) or isinstance(a, type(b)), f"{what}: {type(a).__name__}, PyTorch: {type(b).__name__}"
        if isinstance(b, (float, complex)):
            np.testing.assert_allclose(a, b, 1e-6, err_msg=what)
        elif not isinstance(b, np.ndarray):
            assert a == b, f"{what}: {a!r}, PyTorch: {b!r}"
        return
    assert isinstance(a, taeda.Tensor), f"{what}: {a!r}, PyTorch: {b!r}"
    dtype = str(b.dtype).rpartition(".")[2]
    assert str(a.dtype).rpartition(".")[2] == dtype, f"{what}: {a.dtype}, PyTorch: {b.dtype}"
    assert tuple(a.shape) == tuple(b.shape), f"{what}: {tuple(a.shape)}, PyTorch: {tuple(b.shape)}"
    x, y = a.detach(), b.detach()
    if dtype in TOLERANCE:
        rtol, atol = TOLERANCE[dtype]
        if "complex" not in dtype:
            x, y = x.double(), y.double()
        np.testing.assert_allclose(x.numpy(), y.resolve_conj().numpy(), rtol, atol, err_msg=what)
    else:
        np.testing.assert_array_equal(x.numpy(), y.numpy(), err_msg=what)


def agree(text):
    """Asserts that both libraries give the same for the expression."""
    expected, got = evaluate(text, torch), evaluate(text, taeda)
    if isinstance(expected, Exception):
        assert isinstance(got, Exception), f"PyTorch raises {type(expected).__name__}: {expected}"
        ours, theirs = type(got), type(expected)
        theirs = taeda.linalg.LinAlgError if theirs is torch.linalg.LinAlgError else theirs
        assert issubclass(ours, theirs) or issubclass(theirs, ours), f"{got!r}, PyTorch: {expected!r}"
        return
    if isinstance(got, Exception):
        raise got
    (values, grads), (their_values, their_grads) = got, expected
    assert len(values) == len(their_values), f"{values}, PyTorch: {their_values}"
    for k, (a, b) in enumerate(zip(values, their_values)):
        _same(a, b, f"value {k}")
    assert len(grads) == len(their_grads), "one of the two has no gradient"
    for k, (a, b) in enumerate(zip(grads, their_grads)):
        assert (a is None) == (b is None), f"gradient {k}: {a}, PyTorch: {b}"
        if b is not None:
            _same(a, b, f"gradient {k}")
