"""Tensor functions whose results are random, Python objects, or programs: what parity lines cannot say."""

from __future__ import annotations

import copy
import pickle

import numpy
import pytest
import scipy.stats

import taeda
from taeda import return_types


# -- results with names ------------------------------------------------------------------------------------------------
def test_results_are_tuples_with_names():
    found = taeda.tensor([[1.0, 3.0], [5.0, 2.0]]).max(1)
    assert isinstance(found, tuple)
    assert found.values is found[0]
    assert type(found) is return_types.max
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is return_types.max
    assert again.indices.tolist() == [1, 0]
    assert copy.deepcopy(found).values.tolist() == [3.0, 5.0]
    assert return_types.histogram._fields == ("hist", "bin_edges")


def test_out_of_several_results_is_a_tuple():
    values, indices = taeda.empty(0), taeda.empty(0, dtype=taeda.int64)
    found = taeda.cummax(taeda.tensor([1.0, 3.0, 2.0]), 0, out=(values, indices))
    assert found.values is values
    assert indices.tolist() == [0, 1, 1]
    with pytest.raises(TypeError, match="tuple of 2 Tensors"):
        taeda.sort(values, out=values)
    with pytest.raises(RuntimeError, match="dtype"):
        taeda.sort(values, out=(values, taeda.empty(0)))


def test_public_functions_can_be_copied_and_described():
    assert copy.deepcopy(taeda.mean) is taeda.mean
    assert pickle.loads(pickle.dumps(taeda.softmax)) is taeda.softmax
    assert taeda.mean.__name__ == "mean"
    assert "mean" in taeda.mean.__doc__
    assert repr(taeda.mean) == "<taeda function mean>"


def test_names_of_numpy():
    x = taeda.arange(6.0).reshape(2, 3)
    assert x.sum(axis=0, keepdims=True).shape == (1, 3)
    assert taeda.mean(x, axis=1).tolist() == [1.0, 4.0]
    assert taeda.var(x=x, axis=1).shape == (2,)
    with pytest.raises(TypeError):
        taeda.sum(x, axis=1, dim=0)
    with pytest.raises(TypeError):
        taeda.mean(x, axis=1, dim=0)


# -- random counts -----------------------------------------------------------------------------------------------------
def _fits(sample, distribution, low, high):
    """Chi-squared test of counts against a discrete distribution."""
    counts = numpy.array([(sample == k).sum() for k in range(low, high)])
    expected = distribution.pmf(numpy.arange(low, high)) * len(sample)
    kept = expected > 5
    assert kept.sum() > 2
    statistic = ((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum()
    return scipy.stats.chi2.sf(statistic, kept.sum() - 1) > 1e-4


@pytest.mark.parametrize("rate", [0.3, 4.0, 9.99, 10.0, 57.0])
def test_poisson(rate):
    taeda.manual_seed(3)
    sample = taeda.poisson(taeda.full((20000,), rate)).numpy()
    assert _fits(sample, scipy.stats.poisson(rate), 0, int(rate * 4) + 10)


@pytest.mark.parametrize(("count", "p"), [(5, 0.3), (20, 0.9), (100, 0.02), (100, 0.5), (1000, 0.97)])
def test_binomial(count, p):
    taeda.manual_seed(3)
    n = taeda.full((20000,), float(count), dtype=taeda.float64)
    sample = taeda.binomial(n, taeda.full((), p, dtype=taeda.float64)).numpy()
    assert _fits(sample, scipy.stats.binom(count, p), 0, count + 1)


def test_counts_at_the_edges():
    nan, inf = float("nan"), float("inf")
    assert taeda.poisson(taeda.tensor([0.0, 0.0])).tolist() == [0.0, 0.0]
    assert taeda.poisson(taeda.zeros(0, 3)).shape == (0, 3)
    assert taeda.poisson(taeda.tensor([inf])).tolist() == [inf]
    assert taeda.binomial(taeda.tensor([5.0, 5.0, 0.0, -3.0]), taeda.tensor([0.0, 1.0, 0.5, 0.5])).tolist() == [
        0,
        5,
        0,
        0,
    ]
    assert numpy.isnan(taeda.binomial(taeda.tensor([5.0]), taeda.tensor([nan])).numpy()).all()
    with pytest.raises(RuntimeError, match="rates"):
        taeda.poisson(taeda.tensor([-1.0]))
    with pytest.raises(NotImplementedError, match="int64"):
        taeda.poisson(taeda.tensor([1]))
    with pytest.raises(ValueError, match="floating point"):
        taeda.binomial(taeda.tensor([1]), taeda.tensor([0.5]))
    generator = taeda.Generator().manual_seed(5)
    first = taeda.poisson(taeda.full((50,), 20.0), generator=generator)
    again = taeda.poisson(taeda.full((50,), 20.0), generator=generator.manual_seed(5))
    assert first.tolist() == again.tolist()


def test_geometric():
    taeda.manual_seed(3)
    sample = taeda.empty(20000).geometric_(0.3).numpy()
    assert _fits(sample, scipy.stats.geom(0.3), 1, 40)
    assert taeda.empty(3, dtype=taeda.int64).geometric_(0.999).tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="got 1"):
        taeda.empty(3).geometric_(1)


def test_cauchy():
    taeda.manual_seed(3)
    sample = taeda.empty(5000, dtype=taeda.float64).cauchy_(1.0, 2.0).numpy()
    assert scipy.stats.kstest(sample, scipy.stats.cauchy(1.0, 2.0).cdf).pvalue > 1e-3
    with pytest.raises(RuntimeError, match="sigma"):
        taeda.empty(3).cauchy_(0, -1)
    with pytest.raises(RuntimeError, match="int64"):
        taeda.empty(3, dtype=taeda.int64).cauchy_()


def test_dropout_and_its_mask_agree():
    taeda.manual_seed(0)
    x = taeda.ones(1000)
    out, mask = taeda.native_dropout(x, 0.25, True)
    assert mask.dtype is taeda.bool
    assert 650 < int(mask.sum()) < 850
    assert taeda.equal(out, taeda.where(mask, x / 0.75, taeda.zeros(())))


# -- control flow ------------------------------------------------------------------------------------------------------
def test_cond_takes_one_branch():
    x = taeda.tensor([1.0, 2.0], requires_grad=True)
    y = taeda.cond(x.sum() > 2, lambda x: x * 3, lambda x: 1 / 0, (x,))
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert taeda.cond(False, lambda: 1, lambda: taeda.zeros(2)).tolist() == [0.0, 0.0]
    for bad in (
        lambda: taeda.cond(3, abs, abs, (x,)),
        lambda: taeda.cond(x, abs, abs, (x,)),
        lambda: taeda.cond(True, 1, abs, (x,)),
        lambda: taeda.cond(True, abs, abs, x),
        lambda: taeda.cond(True, abs, abs, ("text",)),
    ):
        with pytest.raises(RuntimeError, match=r"cond\(\)"):
            bad()


def test_while_loop():
    k, x = taeda.while_loop(lambda k, x: k < 4, lambda k, x: (k + 1, x * 2), (taeda.tensor(0), taeda.ones(2)))
    assert (k.item(), x.tolist()) == (4, [16.0, 16.0])
    with pytest.raises(RuntimeError, match="shapes and dtypes"):
        taeda.while_loop(lambda x: x.sum() < 9, lambda x: (taeda.cat([x, x]),), (taeda.ones(2),))
    with pytest.raises(RuntimeError, match="2 values"):
        taeda.while_loop(lambda k, x: k < 1, lambda k, x: (k + 1,), (taeda.tensor(0), taeda.ones(2)))


def test_cond_on_data_is_refused_while_captured():
    def f(x):
        return taeda.cond(x.sum() > 0, lambda x: x, lambda x: -x, (x,))

    with pytest.raises(taeda.capture.CaptureError, match="bool"):
        taeda.compile(f)(taeda.ones(3))


# -- compiled ----------------------------------------------------------------------------------------------------------
COMPILED = {
    "quantile": lambda a: taeda.quantile(a, taeda.tensor([0.2, 0.7]), 0),
    "nanmedian": lambda a: taeda.nanmedian(a, 1),
    "mode": lambda a: taeda.mode(a.round(), 1),
    "cummax": lambda a: taeda.cummax(a, 1),
    "cov": lambda a: taeda.corrcoef(a),
    "histogram": lambda a: taeda.histogram(a, 5, range=(-1.0, 1.0)),
    "isin": lambda a: taeda.isin(a.round(), taeda.arange(30.0)),
    "searchsorted": lambda a: taeda.searchsorted(taeda.sort(a, 1).values, a),
    "gradient": lambda a: taeda.gradient(a),
    "cartesian_prod": lambda a: taeda.cartesian_prod(a[0], a[1]),
    "combinations": lambda a: taeda.combinations(a[0]),
    "block_diag": lambda a: taeda.block_diag(a, a),
    "nonzero_static": lambda a: taeda.nonzero_static(a > 0, size=4),
    "renorm": lambda a: taeda.renorm(a, 2, 0, 1.0),
    "hann_window": lambda a: a * taeda.hann_window(a.shape[1]),
    "einsum": lambda a: taeda.einsum("ab,cb,cd,ed->ae", a, a, a, a),
    "cdist": lambda a: taeda.cdist(a, a * 2),
    "gru": lambda a: taeda.gru(
        a[None], taeda.zeros(1, a.shape[0], 2), [taeda.ones(6, a.shape[1]), taeda.ones(6, 2)], False, 1, 0.0, False,
        False, True,
    ),
    "sym_max": lambda a: a * taeda.sym_max(a.shape[0], 5) + taeda.sym_min(a.shape[1], 3),
    "flip": lambda a: (a.flip(0) @ a.T.flip(1), a.flip(1).softmax(1).flip(0)[1:].cumsum(0), (a * 2).flip(0).flip(0)),
    "prefix": lambda a: (a * 2)[:, :3].cumsum(0)[:2],
}  # fmt: skip


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_equals_eager(name):
    fn = COMPILED[name]
    compiled = taeda.compile(fn)
    for shape in ((4, 6), (5, 7)):
        x = taeda.randn(*shape)
        expected, found = fn(x), compiled(x)
        expected, found = (r if isinstance(r, tuple) else (r,) for r in (expected, found))
        for a, b in zip(expected, found):
            assert a.shape == b.shape
            numpy.testing.assert_array_equal(a.numpy(), b.numpy())


# -- order of contractions ---------------------------------------------------------------------------------------------
def test_einsum_takes_the_cheap_order():
    from taeda.ops.einsum import _best_order, _greedy_order

    terms, sizes = [frozenset("ab"), frozenset("bc"), frozenset("cd")], {"a": 1, "b": 100, "c": 100, "d": 100}
    assert _best_order(terms, frozenset("ad"), sizes) == ((0, 1), 2)
    sizes = {"a": 100, "b": 100, "c": 100, "d": 1}
    assert _best_order(terms, frozenset("ad"), sizes) in ((0, (1, 2)), ((1, 2), 0))
    apart = [frozenset("ab"), frozenset("cd"), frozenset("bc")]
    assert _greedy_order(apart, frozenset("ad"), {"a": 2, "b": 3, "c": 4, "d": 5}) not in (((0, 1), 2), ((1, 0), 2))


def test_einsum_of_many_operands():
    random = numpy.random.default_rng(0)
    for count in (4, 6, 8):
        terms = ["".join(random.permutation(list("abcdef"))[: random.integers(1, 4)]) for _ in range(count)]
        out = "".join(sorted(set("".join(terms)))[:2])
        arrays = [random.standard_normal([2 + "abcdef".index(c) % 3 for c in t]) for t in terms]
        equation = f"{','.join(terms)}->{out}"
        found = taeda.einsum(equation, *map(taeda.from_numpy, arrays)).numpy()
        numpy.testing.assert_allclose(found, numpy.einsum(equation, *arrays), 1e-9, 1e-9, err_msg=equation)


# -- memory ------------------------------------------------------------------------------------------------------------
def test_copies_of_views_have_memory_of_their_own():
    x = taeda.arange(6.0).reshape(2, 3)
    for y in (taeda.t_copy(x), taeda.view_copy(x, (3, 2)), taeda.alias_copy(x), *taeda.unbind_copy(x)):
        assert y.data_ptr() != x.data_ptr()
        y.zero_()
    assert x.sum().item() == 15


def test_set_shares_memory():
    x, y = taeda.zeros(2), taeda.arange(6.0)
    assert x.set_(y, 1, (2, 2)) is x
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    x[0, 0] = 9
    assert y.tolist()[1] == 9
    with pytest.raises(RuntimeError, match="dtype"):
        x.set_(taeda.zeros(2, dtype=taeda.int64))


def test_new_over_a_tensor_shares_memory():
    x = taeda.ones(2, requires_grad=True)
    y = x.new(x)
    assert y.data_ptr() == x.data_ptr()
    assert not y.requires_grad


def test_gradient_through_running_maximum_goes_to_its_source():
    x = taeda.tensor([1.0, 3.0, 2.0, 3.0], requires_grad=True)
    taeda.cummax(x, 0).values.sum().backward()
    assert x.grad.tolist() == [1.0, 2.0, 0.0, 1.0]


# -- arguments of the wrong type ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: taeda.mean(3), r"mean\(\): argument 'input' \(position 1\) must be Tensor, not int"),
        (lambda x: taeda.median(x, 0, "a"), r"median\(\): argument 'keepdim' \(position 3\) must be bool, not str"),
        (lambda x: taeda.mean(x, keepdim=1), r"mean\(\): argument 'keepdim' must be bool, not int"),
        (lambda x: taeda.median(x, keepdims=1), r"median\(\): argument 'keepdim' must be bool, not int"),
        (lambda x: taeda.mean(x, 1.5), r"mean\(\): argument 'dim' \(position 2\) must be int, not float"),
        (
            lambda x: taeda.stack([x, 3]),
            r"stack\(\): argument 'tensors' \(position 1\) must be tuple of Tensors, not list",
        ),
        (lambda x: taeda.meshgrid(x, 3), r"meshgrid\(\): argument 2 must be Tensor, not int"),
        (lambda x: taeda.mm(x, 3), r"mm\(\): argument 'mat2' \(position 2\) must be Tensor, not int"),
        (lambda x: taeda.kron(x, None), r"kron\(\): argument 'other' \(position 2\) must be Tensor, not NoneType"),
        (lambda x: taeda.flatten(x, 0.5), r"flatten\(\): argument 'start_dim' \(position 2\) must be int, not float"),
        (lambda x: taeda.poisson(x, 3), r"poisson\(\): argument 'generator' \(position 2\) must be Generator, not int"),
        (lambda x: x.quantile(0.5, keepdim=None), r"quantile\(\): argument 'keepdim' must be bool, not NoneType"),
        (lambda x: taeda.flip(3, 0), r"flip\(\): argument 'input' \(position 1\) must be Tensor, not int"),
        (lambda x: taeda.transpose(x, "a", 0), "int"),
        (lambda x: taeda.clone(3), r"clone\(\): argument 'input' must be Tensor, not int"),
        (lambda x: taeda.sum(x, axis="a"), "dim"),
    ],
)
def test_wrong_types_are_named(call, text):
    with pytest.raises(TypeError, match=text):
        call(taeda.ones(2, 2))
