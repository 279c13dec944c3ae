"""einops on tensors: against einops on NumPy arrays, its layers, gradients, compiled programs, and the order of imports."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import taeda
from taeda import nn

einops = pytest.importorskip("einops")
X = np.random.default_rng(0).standard_normal((2, 6, 4, 3)).astype("float32")

REARRANGE = [
    ("b c h w -> b h w c", {}),
    ("b c h w -> b (c h w)", {}),
    ("b (g c) h w -> (b g) c h w", {"g": 2}),
    ("b c (h h2) w -> b (c h2) h w", {"h2": 2}),
    ("... w -> w ...", {}),
    ("b c ... -> b ... c 1", {}),
    ("b c h w -> (b c h w)", {}),
]
REDUCE = [
    ("b c h w -> b c", {}),
    ("b c (h h2) w -> b c h w", {"h2": 2}),
    ("b ... -> b", {}),
    ("... ->", {}),
    ("b c h w -> b c 1 1", {}),
]
REPEAT = [("b c h w -> b c h w n", {"n": 3}), ("b c h w -> b c (h 2) (w 2)", {}), ("... -> 2 ...", {})]


def close(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pattern, sizes", REARRANGE)
def test_rearrange(pattern, sizes):
    close(einops.rearrange(taeda.tensor(X), pattern, **sizes), einops.rearrange(X, pattern, **sizes))


@pytest.mark.parametrize("operation", ["mean", "sum", "max", "min", "prod"])
@pytest.mark.parametrize("pattern, sizes", REDUCE)
def test_reduce(pattern, sizes, operation):
    close(einops.reduce(taeda.tensor(X), pattern, operation, **sizes), einops.reduce(X, pattern, operation, **sizes))


@pytest.mark.parametrize("operation", ["any", "all"])
def test_reduce_truth(operation):
    got = einops.reduce(taeda.tensor(X) > 1, "b c h w -> b w", operation)
    assert got.tolist() == einops.reduce(X > 1, "b c h w -> b w", operation).tolist()


@pytest.mark.parametrize("pattern, sizes", REPEAT)
def test_repeat(pattern, sizes):
    close(einops.repeat(taeda.tensor(X), pattern, **sizes), einops.repeat(X, pattern, **sizes))


def test_lists_are_stacked():
    parts = [*X]
    close(
        einops.rearrange([*map(taeda.tensor, parts)], "b c h w -> c b h w"),
        einops.rearrange(parts, "b c h w -> c b h w"),
    )
    close(
        einops.reduce([*map(taeda.tensor, parts)], "b c h w -> c", "mean"), einops.reduce(parts, "b c h w -> c", "mean")
    )


def test_einsum():
    w = np.random.default_rng(1).standard_normal((3, 5)).astype("float32")
    close(
        einops.einsum(taeda.tensor(X), taeda.tensor(w), "b c h i, i o -> b c h o"),
        einops.einsum(X, w, "b c h i, i o -> b c h o"),
    )


def test_pack_and_unpack():
    parts = [X[:, 0], X[:, 1:3, 0], X[:, :4]]
    parts = [X.reshape(2, 72), X.reshape(2, 6, 12)[:, 0], X.reshape(2, 6, 4, 3)]
    packed, shapes = einops.pack([taeda.tensor(p) for p in parts], "b *")
    expected, expected_shapes = einops.pack(parts, "b *")
    close(packed, expected)
    assert [tuple(s) for s in shapes] == [tuple(s) for s in expected_shapes]
    for got, part in zip(einops.unpack(packed, shapes, "b *"), parts):
        close(got, part)


def test_parse_shape_and_asnumpy():
    assert einops.parse_shape(taeda.tensor(X), "b _ h w") == {"b": 2, "h": 4, "w": 3}
    np.testing.assert_array_equal(einops.asnumpy(taeda.tensor(X, requires_grad=True)), X)


def test_errors_are_those_of_einops():
    with pytest.raises(einops.EinopsError, match="divide"):
        einops.rearrange(taeda.tensor(X), "b (c k) h w -> b c k h w", k=5)
    with pytest.raises(einops.EinopsError, match="median"):
        einops.reduce(taeda.tensor(X), "b c h w -> b", "median")
    with pytest.raises(NotImplementedError, match="floating"):
        einops.reduce(taeda.ones(2, 2, dtype=taeda.int64), "a b -> a", "mean")


def test_gradients():
    x = taeda.tensor(X, requires_grad=True)
    y = einops.reduce(einops.rearrange(x, "b c (h k) w -> b (c k) h w", k=2), "b c h w -> b c", "max")
    (einops.repeat(y, "b c -> b c 2") ** 2).sum().backward()
    assert x.grad is not None and int((x.grad != 0).sum()) == 2 * 12


def test_compiled_programs_take_every_size():
    def f(x):
        x = einops.rearrange(x, "b (c k) h w -> b c (h k) w", k=2)
        return einops.repeat(einops.reduce(x, "b c h w -> b w", "mean"), "b w -> b 2 w")

    compiled = taeda.compile(f)
    for b, c, h in ((2, 4, 3), (3, 6, 5), (4, 4, 3)):
        x = taeda.randn(b, c, h, 2)
        assert bool((compiled(x) == f(x)).all())
    assert sum(map(len, compiled.entries.values())) == 1


def test_a_capture_leaves_no_sizes_behind():
    taeda.compile(lambda x: einops.rearrange(x, "q r -> (q r)"))(taeda.ones(3, 4))
    assert einops.rearrange(taeda.ones(3, 4), "q r -> (q r)").shape == (12,)
    assert einops.rearrange(np.ones((3, 4)), "q r -> (q r)").shape == (12,)


def test_layers():
    from taeda.nn.einops import EinMix, Rearrange, Reduce

    taeda.manual_seed(0)
    model = nn.Sequential(
        Rearrange("b c h w -> b (h w) c"),
        EinMix("b t c -> b t (g d)", weight_shape="c g d", bias_shape="g d", c=6, g=2, d=4),
        nn.ReLU(),
        Reduce("b t d -> b d", "mean"),
    )
    x = taeda.tensor(X)
    weight, bias = (p.detach().numpy() for p in model.parameters())
    expected = np.maximum(np.einsum("bchw,cgd->bhwgd", X, weight) + bias.reshape(2, 4), 0).reshape(2, 12, 8).mean(1)
    close(model(x), expected)
    assert bool((taeda.compile(model)(x) == model(x)).all())
    model(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert "b c h w -> b (h w) c" in repr(model)
    again = EinMix("b t c -> b t (g d)", weight_shape="c g d", bias_shape="g d", c=6, g=2, d=4)
    again.load_state_dict(model[1].state_dict())
    assert bool((again.weight == model[1].weight).all())


def test_the_functions_for_any_array_api():
    from einops.array_api import rearrange, reduce

    close(rearrange(taeda.tensor(X), "b c h w -> b (h w) c"), einops.rearrange(X, "b c h w -> b (h w) c"))
    close(reduce(taeda.tensor(X), "b c h w -> b c", "mean"), X.mean((2, 3)))


@pytest.mark.parametrize(
    "imports",
    [
        "import einops, taeda",
        "import taeda, einops",
        "import einops, numpy; einops.rearrange(numpy.ones(2), 'a -> a 1'); import taeda",
    ],
)
def test_the_order_of_imports(imports):
    code = f"{imports}\nprint(tuple(einops.rearrange(taeda.ones(2, 3), 'a b -> b a').shape))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "(3, 2)"), done.stderr


def test_taeda_imports_no_einops():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, taeda; print('einops' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr
