"""Promotion, view geometry, creation and indexing give what PyTorch gives, errors included."""

import itertools
import random

import numpy
import pytest

import taeda
from taeda import _core

torch = pytest.importorskip("torch")

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
NAMES += ["complex64", "complex128"]


def name(dtype):
    return str(dtype).partition(".")[2].replace("complex32", "complex64")  # there is no complex of half floats


def pair(array):
    return _core.tensor(array), torch.tensor(array)


@pytest.mark.parametrize("a", NAMES)
def test_promote_types(a):
    for b in NAMES:
        expected = torch.promote_types(getattr(torch, a), getattr(torch, b))
        assert name(_core.promote_types(getattr(_core, a), getattr(_core, b))) == name(expected), b


@pytest.mark.parametrize("a", NAMES)
def test_result_type(a):
    for b, (sa, sb) in itertools.product(NAMES, itertools.product([(), (2,)], repeat=2)):
        ours = _core.result_type(_core.empty(sa, getattr(_core, a)), _core.empty(sb, getattr(_core, b)))
        theirs = torch.result_type(torch.empty(sa, dtype=getattr(torch, a)), torch.empty(sb, dtype=getattr(torch, b)))
        assert name(ours) == name(theirs), (b, sa, sb)
    for shape, number in itertools.product([(), (2,)], [True, 1, 1.5, 1j]):
        ours = _core.result_type(_core.empty(shape, getattr(_core, a)), number)
        theirs = torch.result_type(torch.empty(shape, dtype=getattr(torch, a)), number)
        assert name(ours) == name(theirs), (shape, number)


def random_shape(rng, ndim=None):
    return tuple(rng.choice([0, 1, 1, 2, 3, 4, 6]) for _ in range(rng.randint(0, 4) if ndim is None else ndim))


def outcome(t, method, args):
    try:
        t = getattr(t, method)(*args)
    except (RuntimeError, IndexError, ValueError, TypeError) as e:
        return type(e), str(e)
    return tuple(t.shape), t.stride(), t.storage_offset()


def random_view_calls(rng, ndim):
    d = rng.randint(-ndim - 1, ndim)
    return [
        ("permute", (rng.sample(range(ndim), ndim),)),
        ("transpose", (d, rng.randint(-ndim, max(ndim - 1, 0)))),
        ("unsqueeze", (d,)),
        ("squeeze", (d,)),
        ("squeeze", ()),
        ("select", (d, rng.randint(-3, 3))),
        ("narrow", (d, 0, rng.randint(0, 3))),
        ("diagonal", (rng.randint(-3, 3), 0, 1)),
        ("unfold", (d, rng.randint(0, 3), rng.randint(1, 3))),
        ("expand", (tuple(rng.choice([-1, 1, 2, 3]) for _ in range(ndim + rng.randint(0, 1))),)),
        ("view", (random_shape(rng),)),
        ("view", ((-1,),)),
    ]


@pytest.mark.parametrize("seed", range(150))
def test_chains_of_views(seed):
    rng = random.Random(seed)
    shape = random_shape(rng)
    ours, theirs = _core.empty(shape), torch.empty(shape)
    for _ in range(6):
        method, args = rng.choice(random_view_calls(rng, theirs.dim()))
        a, b = outcome(ours, method, args), outcome(theirs, method, args)
        if isinstance(b[0], type):
            assert a[0] is b[0], (method, args, theirs.shape, a, b)
        else:
            assert a == b, (method, args, theirs.shape)
            ours, theirs = getattr(ours, method)(*args), getattr(theirs, method)(*args)


@pytest.mark.parametrize(
    "f",
    [
        lambda m, t: t + m.zeros(4),
        lambda m, t: t.view(5, -1),
        lambda m, t: t.view(-1, -1),
        lambda m, t: t.view(7),
        lambda m, t: t.expand(4, 3),
        lambda m, t: t.size(5),
        lambda m, t: t.permute(0, 0),
        lambda m, t: t[5],
        lambda m, t: t[0, 0, 0],
        lambda m, t: t[::-1],
        lambda m, t: t[m.tensor([True, False, True])],
        lambda m, t: bool(t),
        lambda m, t: t.item(),
        lambda m, t: m.tensor([[1, 2, 3], [4]]),
        lambda m, t: m.tensor(None),
        lambda m, t: m.tensor("a"),
        lambda m, t: m.tensor([1], requires_grad=True),
        lambda m, t: m.tensor([1.0], requires_grad=True).numpy(),
        lambda m, t: m.from_numpy(numpy.zeros(3, ">f4")),
        lambda m, t: m.from_numpy([1]),
        lambda m, t: len(m.tensor(1)),
        lambda m, t: iter(m.tensor(1)),
        lambda m, t: m.empty(-1),
    ],
)
def test_errors_have_pytorch_type_and_gist(f):
    def raised(m):
        with pytest.raises(Exception) as e:
            f(m, m.zeros(2, 3))
        return type(e.value), str(e.value).partition("\n")[0].lower()

    (our_type, our_text), (their_type, their_text) = raised(taeda), raised(torch)
    assert our_type is their_type, (our_text, their_text)
    words = set(their_text.replace(",", " ").split())
    assert len(words & set(our_text.replace(",", " ").split())) >= len(words) / 2, (our_text, their_text)


@pytest.mark.parametrize("seed", range(60))
def test_random_indices(seed):
    rng = random.Random(seed)
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 4)))
    ours, theirs = pair(numpy.random.default_rng(seed).random(shape, "float32"))
    items, n = [], 0
    while n < len(shape):
        size = shape[n]
        kind = rng.randint(0, 7)
        if kind == 0:
            items.append(rng.randint(-size, size - 1))
        elif kind == 1:
            items.append(None)
            continue
        elif kind == 2:
            items.append(("tensor", [rng.randint(-size, size - 1) for _ in range(2)]))
        elif kind == 3:
            items.append(("tensor", [rng.random() < 0.5 for _ in range(size)] if rng.random() < 0.3 else [0, 0]))
        elif kind == 4:
            break
        else:
            items.append(slice(rng.randint(-5, 5), rng.randint(-5, 5), rng.randint(1, 3)))
        n += 1
    if rng.random() < 0.4:
        items.insert(rng.randint(0, len(items)), Ellipsis)

    def build(m):
        return tuple(m.tensor(i[1]) if isinstance(i, tuple) else i for i in items)

    a, b = None, None
    try:
        b = theirs[build(torch)]
    except (IndexError, RuntimeError) as e:
        with pytest.raises((IndexError, RuntimeError)):
            a = ours[build(_core)]
        assert e is not None
        return
    a = ours[build(_core)]
    assert tuple(a.shape) == tuple(b.shape) and numpy.array_equal(a.numpy(), b.numpy())
    ours[build(_core)] = 2.5
    theirs[build(torch)] = 2.5
    assert numpy.array_equal(ours.numpy(), theirs.numpy())
