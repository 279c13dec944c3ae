"""func.rearrange against PyTorch."""

import pytest

import taeda

torch = pytest.importorskip("torch")

PATTERNS = [
    ("a b c -> c a b", {}), ("a b c -> a (b c)", {}), ("a b (c d) -> (a c) b d", {"c": 2}),
    ("a b (c d) -> d c b a", {"d": 2}), ("... c -> c ...", {}), ("a ... -> ... a", {}), ("a b c -> a 1 b c", {}),
    ("a b c -> (a b c)", {}), ("...->...", {}), ("a ... c -> a (...) c", {}), ("a ... -> (a ...)", {}),
    ("a b (c 1) -> a b c", {}), ("a b c -> a b (c)", {}), (" a   b c->c b a", {}), ("a b c -> b a c", {"a": 2}),
]  # fmt: skip
WRONG = [
    ("a b -> b a", {}), ("a b c -> a b", {}), ("a b c -> a b c d", {}), ("a a c -> a c", {}), ("a b c", {}),
    ("a b c -> a b c -> d", {}), ("a (b c -> a b c", {}), ("a b) c -> a b c", {}), ("a b c -> a b c", {"e": 2}),
    ("a ... ... -> a", {}), ("a b c -> ... a b c", {}), ("(...) -> ...", {}), ("a b 2 -> a b", {}),
    ("_a b c -> c b _a", {}), ("a-1 b c -> c b", {}), ("1a b c -> b", {}), ("((a b) c) -> a", {}),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "sizes"), PATTERNS)
def test_patterns(pattern, sizes):
    ours = taeda.func.rearrange(taeda.arange(24.0).reshape(2, 3, 4), pattern, **sizes)
    theirs = torch.func.rearrange(torch.arange(24.0).reshape(2, 3, 4), pattern, **sizes)
    assert tuple(ours.shape) == tuple(theirs.shape) and ours.tolist() == theirs.tolist()


@pytest.mark.parametrize(("pattern", "sizes"), WRONG)
def test_wrong_patterns(pattern, sizes):
    for lib in (torch, taeda):
        with pytest.raises(ValueError):
            lib.func.rearrange(lib.arange(24.0).reshape(2, 3, 4), pattern, **sizes)


@pytest.mark.parametrize(
    ("pattern", "sizes"),
    [("a b (c d) -> a b c d", {}), ("a b (c d) -> a b c d", {"c": 3}), ("a b c -> b a c", {"a": 3})],
)
def test_sizes_that_do_not_fit(pattern, sizes):
    with pytest.raises(ValueError, match="rearrange"):
        taeda.func.rearrange(taeda.arange(24.0).reshape(2, 3, 4), pattern, **sizes)


def test_lists_gradients_and_batches():
    x = taeda.arange(6.0).reshape(2, 3).requires_grad_()
    assert taeda.func.rearrange([x, x], "k a b -> a k b").shape == (2, 2, 3)
    taeda.func.rearrange(x, "a b -> (b a)")[1:3].sum().backward()
    assert x.grad.tolist() == [[0, 1, 0], [1, 0, 0]]
    y = taeda.vmap(lambda a: taeda.func.rearrange(a, "(a b) -> b a", a=1))(x)
    assert y.shape == (2, 3, 1)
