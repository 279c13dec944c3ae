"""Gradients, first and second order, of the operators that have no samples of their own in the table, and a count: no
differentiable operator goes without finite differences."""

from __future__ import annotations

import numpy
import pytest

import taeda
from taeda._bind import bound
from taeda.ops.table import TABLE

from . import calls_functional, calls_linalg, calls_special, calls_tensor, gradients
from .samples import Maker, tensor
from .test_generated import CURVES, MAPS, SAMPLED, _differentiable

F = taeda.nn.functional
CHECKED = {op.name for op in (*MAPS, *CURVES) if _differentiable(op)}
CHECKED |= {op.name for op in SAMPLED if op.opcheck is not False and op.grad is not False}


def writes(name, *rest):
    """An operator that writes into its first argument, on a copy."""
    return lambda x, *more: bound(name)(x.clone(), *more, *rest)


def seeded(fn):
    """The same random numbers at every call."""

    def call(*args):
        taeda.manual_seed(0)
        return fn(*args)

    return call


def on(name, *rest, **kwargs):
    """The operator with these further arguments after the float tensors."""
    return lambda *tensors: bound(name)(*tensors, *rest, **kwargs)


def floats(*shapes, low=-1.0, high=1.0):
    return lambda t: [t(*s, low=low, high=high) for s in shapes]


index = taeda.tensor
CONV = ((2, 1), (1, 0), (1, 2), 2)

#: name -> (function of float tensors, their maker), one or several
CALLS = {
    # geometry
    "_squeeze": (on("_squeeze"), floats((2, 1, 3))),
    "_squeeze_": (writes("_squeeze_"), floats((2, 1, 3))),
    "_unsqueeze_": (writes("_unsqueeze_", 1), floats((2, 3))),
    "_transpose_": (writes("_transpose_", 0, 1), floats((2, 3))),
    "_swapaxes_": (writes("_swapaxes_", 0, 1), floats((2, 3))),
    "_swapdims_": (writes("_swapdims_", 0, 1), floats((2, 3))),
    "_t_": (writes("_t_"), floats((2, 3))),
    "_as_strided_": (writes("_as_strided_", (2, 2), (2, 1), 1), floats((2, 3))),
    "as_strided": (on("as_strided", (2, 3), (1, 2), 1), floats((3, 3))),
    "t": [(on("t"), floats((2, 3))), (on("t"), floats((3,)))],
    "atleast_1d": (on("atleast_1d"), floats(())),
    "atleast_2d": (on("atleast_2d"), floats((3,))),
    "atleast_3d": (on("atleast_3d"), floats((2, 3))),
    "broadcast_tensors": (on("broadcast_tensors"), floats((2, 1), (3,))),
    "broadcast_to": (on("broadcast_to", (2, 3)), floats((3,))),
    "expand_as": (on("expand_as", taeda.zeros(2, 3)), floats((3,))),
    "view_as": (on("view_as", taeda.zeros(3, 2)), floats((2, 3))),
    "reshape_as": (on("reshape_as", taeda.zeros(6)), floats((2, 3))),
    "ravel": (on("ravel"), floats((2, 3))),
    "narrow": (on("narrow", 1, 1, 2), floats((2, 4))),
    "chunk": (on("chunk", 2, 1), floats((2, 5))),
    "split": (on("split", 2, 1), floats((2, 5))),
    "split_with_sizes": (on("split_with_sizes", (1, 4), 1), floats((2, 5))),
    "tensor_split": (on("tensor_split", 2, 1), floats((2, 5))),
    "hsplit": (on("hsplit", (1, 3)), floats((2, 5))),
    "vsplit": (on("vsplit", 2), floats((4, 2))),
    "dsplit": (on("dsplit", 2), floats((1, 2, 4))),
    "unbind": (on("unbind", 1), floats((2, 3))),
    "meshgrid": (on("meshgrid", indexing="ij"), floats((2,), (3,))),
    "diag_embed": (on("diag_embed", 1), floats((2, 3))),
    "diagflat": (on("diagflat"), floats((2, 2))),
    "diagonal_scatter": (on("diagonal_scatter"), floats((3, 3), (3,))),
    "sum_to_size": (on("sum_to_size", 1, 3), floats((2, 3))),
    "_select_backward": (on("_select_backward", (2, 3), 1, 2), floats((2,))),
    "_slice_backward": (on("_slice_backward", (5, 2), 0, 1, 5, 2), floats((2, 2))),
    "_diagonal_backward": (on("_diagonal_backward", (3, 4), 1, 0, 1), floats((3,))),
    "_unfold_backward": (on("_unfold_backward", (6,), 0, 3, 1), floats((4, 3))),
    "_pad_constant": (on("_pad_constant", (1, 2, 0, 1), 0.5), floats((2, 3))),
    # parts of complex numbers
    "complex": (lambda a, b: taeda.view_as_real(taeda.complex(a, b)), floats((2, 3), (2, 3))),
    "polar": (lambda a, b: taeda.view_as_real(taeda.polar(a, b)), floats((2, 3), (2, 3))),
    "view_as_complex": (lambda x: taeda.view_as_real(taeda.view_as_complex(x) ** 2), floats((2, 2))),
    "view_as_real": (lambda x: taeda.view_as_real(taeda.complex(x, x * x)), floats((2, 2))),
    "imag": (lambda x: taeda.imag(taeda.complex(x, x * x)), floats((2, 2))),
    "resolve_conj": (on("resolve_conj"), floats((2, 2))),
    "resolve_neg": (on("resolve_neg"), floats((2, 2))),
    "vdot": (on("vdot"), floats((3,), (3,))),
    # copies
    "cast": (lambda x: bound("cast")(bound("cast")(x, taeda.float64), taeda.float64), floats((2, 3))),
    "copy_": (writes("copy_"), floats((2, 3), (3,))),
    "fill_": (lambda x, v: bound("fill_")(x.clone(), v) * x, floats((2, 3), ())),
    "zero_": (lambda x: bound("zero_")(x.clone()) + x * x, floats((2, 3))),
    "full": (lambda v: taeda.full((2, 3), v), floats(())),
    # indexing
    "_pick": (on("_pick", 1, index([[0, 2], [1, 1]])), floats((2, 3))),
    "_scatter": (lambda x, s: bound("_scatter")(x, 1, index([[0, 2], [1, 0]]), s), floats((2, 3), (2, 2))),
    "scatter_": (lambda x, s: x.clone().scatter_(1, index([[0, 2], [1, 0]]), s), floats((2, 3), (2, 3))),
    "scatter_reduce_": (
        lambda x, s: x.clone().scatter_reduce_(1, index([[0, 2], [1, 1]]), s, "amax"),
        floats((2, 3), (2, 2)),
    ),
    "_index_add": (lambda x, s: bound("_index_add")(x, 0, index([1, 1]), s), floats((2, 3), (2, 3))),
    "index_add_": (lambda x, s: x.clone().index_add_(0, index([1, 1]), s, alpha=2), floats((2, 3), (2, 3))),
    "index_fill_": (lambda x: x.clone().index_fill_(1, index([0, 2]), 2.0), floats((2, 3))),
    "_index_put": (lambda x, v: bound("_index_put")(x, [index([0, 1]), index([2, 0])], v), floats((2, 3), (2,))),
    "_index_put_add": (lambda x, v: bound("_index_put_add")(x, [index([0, 0]), None], v), floats((2, 3), (2, 3))),
    "index_put_": (lambda x, v: x.clone().index_put_([index([0, 1])], v), floats((2, 3), (3,))),
    "masked_fill_": (lambda x, v: x.clone().masked_fill_(index([True, False, True]), v), floats((2, 3), ())),
    "masked_scatter": (on("masked_scatter", index([True, False, True]), tensor(numpy.arange(9.0))), floats((2, 3))),
    "_where_method": (lambda x, y: x.where(index([True, False, True]), y), floats((2, 3), (3,))),
    "_where": (lambda x, y: bound("_where")(index([True, False, True]), x, y), floats((2, 3), (2, 1))),
    "_rows_by_frequency": (on("_rows_by_frequency", index([0, 2, 1])), floats((3, 2))),  # each once: the true gradient
    # order
    "_sort": [(on("_sort", 1, False), floats((2, 4))), (on("_sort", 0, True, 2), floats((4, 2)))],
    "sort": (on("sort", 1), floats((2, 4))),
    "topk": (on("topk", 2), floats((2, 4))),
    "kthvalue": (on("kthvalue", 2), floats((2, 4))),
    "median": [(on("median"), floats((5,))), (on("median", 1), floats((2, 4)))],
    # reductions
    "_prod": [(on("_prod"), floats((2, 3))), (on("_prod", (1,), True), floats((2, 3)))],
    "_sum_abs": (on("_sum_abs", (1,)), floats((2, 3))),
    "_sum_exp": (on("_sum_exp", (0,)), floats((2, 3))),
    "_sum_squares": (on("_sum_squares"), floats((2, 3))),
    "_max_abs": (on("_max_abs", (1,)), floats((2, 3))),
    "aminmax": (on("aminmax", dim=1), floats((2, 3))),
    "std_mean": (on("std_mean", 1), floats((2, 3))),
    "var_mean": (on("var_mean", 1, correction=0), floats((2, 3))),
    "dist": (on("dist", p=3), floats((2, 3), (2, 3))),
    "_norm_root": (on("_norm_root"), floats((2, 3), low=0.5, high=2)),
    # elementwise
    "pow": [
        (on("pow"), floats((2, 3), (3,), low=0.5, high=2)),
        *((on("pow", p), floats((2, 3), low=0.5, high=2)) for p in (0, 1, 2, 3, -1, 0.5, -0.5, 1.7)),
    ],
    "float_power": (on("float_power", 2.5), floats((2, 3), low=0.5, high=2)),
    "positive": (on("positive"), floats((2, 3))),
    "rsub": (on("rsub", alpha=2), floats((2, 3), (3,))),
    "clamp_min": (on("clamp_min", 0.2), floats((2, 3))),
    "clamp_max": (on("clamp_max", 0.2), floats((2, 3))),
    "nan_to_num": (on("nan_to_num"), floats((2, 3))),
    "_nan_to_num": (on("_nan_to_num", 0.0, 1.0, -1.0), floats((2, 3))),
    "_round_decimals": (on("_round_decimals", 10.0), floats((2, 3))),
    "_round_tens": (on("_round_tens", 10.0), floats((2, 3), low=-40, high=40)),
    "_batch_scale": (on("_batch_scale", 0.1), lambda t: [t(2, 3), t(1, 3, low=0.5, high=2)]),
    "linear": [(on("linear"), floats((2, 3), (4, 3), (4,))), (on("linear"), floats((2, 3), (3,)))],
    # random masks: functions of their counters
    "_dropout": (on("_dropout", 3, 5, 0.4, 1 / 0.6), floats((2, 3))),
    "gumbel_softmax": (seeded(on("gumbel_softmax")), floats((2, 3))),
    "normal": (seeded(lambda mean, std: taeda.normal(mean, std)), lambda t: [t(3), t(3, low=0.5, high=1)]),
    # losses
    "_bce": (on("_bce"), floats((2, 3), (2, 3), low=0.1, high=0.9)),
    "_huber": (on("_huber", 0.7), floats((2, 3), (2, 3), low=-2, high=2)),
    "_smooth_l1": (on("_smooth_l1", 0.7), floats((2, 3), (2, 3), low=-2, high=2)),
    "pairwise_distance": (on("pairwise_distance", p=3), floats((2, 3), (2, 3))),
    # programs over rows
    "_attend": (on("_attend", 0.7), floats((2, 4))),
    "_attend_biased": (lambda x, b: bound("_attend_biased")(x, b, 0.7), floats((2, 4), (4,))),
    "_attend_masked": (lambda x: bound("_attend_masked")(x, index([True, False, True, True]), 0.7), floats((2, 4))),
    "_softmax_grad": (on("_softmax_grad", 0.7), floats((2, 4), (2, 4))),
    "_log_softmax_grad": (on("_log_softmax_grad"), floats((2, 4), (2, 4))),
    "_layer_norm": [
        (on("_layer_norm", 4, 1e-3), floats((2, 4), (4,), (4,))),
        (on("_layer_norm", 1.0, 0.0, 4, 1e-3), floats((2, 4))),
    ],
    "_layer_norm_grad": [
        (on("_layer_norm_grad", 4, 1e-3), floats((2, 4), (2, 4), (4,))),
        (on("_layer_norm_grad", 1.0, 4, 1e-3), floats((2, 4), (2, 4))),
    ],
    "_rms_norm": [(on("_rms_norm", 4, 1e-3), floats((2, 4), (4,))), (on("_rms_norm", 1.0, 4, 1e-3), floats((2, 4)))],
    "_rms_norm_grad": [
        (on("_rms_norm_grad", 4, 1e-3), floats((2, 4), (2, 4), (4,))),
        (on("_rms_norm_grad", 1.0, 4, 1e-3), floats((2, 4), (2, 4))),
    ],
    "_nll_rows": (on("_nll_rows", index([[2], [-1], [5]])), floats((3, 4))),
    "_nll_rows_grad": (lambda g, x: bound("_nll_rows_grad")(g, x, index([[2], [-1]])), floats((2, 1), (2, 4))),
    # convolution and pooling
    "_convolution": (
        lambda x, w, b: bound("_convolution")(x, w, b, *CONV),
        floats((1, 4, 5, 4), (2, 2, 3, 2), (2,)),
    ),
    "_convolution_input": [
        (on("_convolution_input", (1, 4, 5, 4), *CONV), floats((1, 2, 3, 2), (2, 2, 3, 2))),
        (on("_convolution_input", (1, 2, 4, 4), (1, 1), (1, 1), (1, 1), 1), floats((1, 2, 4, 4), (2, 2, 3, 3))),
    ],
    "_convolution_weight": (on("_convolution_weight", (2, 2, 3, 2), *CONV), floats((1, 2, 3, 2), (1, 4, 5, 4))),
    "_convolution_transposed": (
        lambda x, w: bound("_convolution_transposed")(x, w, (1, 4, 5, 4), *CONV, (0, 0)),
        floats((1, 2, 3, 2), (2, 2, 3, 2)),
    ),
    "_max_pool": (on("_max_pool", (2, 2), (1, 2), (1, 0), (1, 1), True), floats((1, 2, 3, 3))),
}  # fmt: skip

#: Results that no gradient reaches: whole numbers, truth values, Python objects, new tensors, random numbers.
WITHOUT = {
    "allclose", "arange", "argsort", "argwhere", "bernoulli", "bincount", "broadcast_shapes", "bucketize",
    "count_nonzero", "empty", "empty_like", "empty_strided", "equal", "eye", "full_like", "is_conj", "is_neg", "is_nonzero",
    "isclose", "linspace", "logspace", "multinomial", "nonzero", "one_hot", "ones", "ones_like", "rand",
    "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "scalar_tensor", "searchsorted",
    "tril_indices", "triu_indices", "unique", "zeros", "zeros_like", "_bernoulli_", "_exponential_",
    "_log_normal_", "_normal_", "_random_", "_uniform_", "_new_empty", "_new_full", "_new_ones", "_new_tensor",
    "_new_zeros",
}  # fmt: skip


for more in (calls_functional, calls_linalg, calls_special, calls_tensor):
    CALLS |= more.CALLS
    WITHOUT |= more.WITHOUT


def can_have_a_gradient(op):
    if op.parent or op.grad is False or op.kind == "generate":
        return False
    return op.kind != "map" or ("T" in op.out_types and "f64" in op.accepts)


def test_no_differentiable_operator_goes_unchecked():
    wanted = {op.name for op in list(TABLE.values()) if can_have_a_gradient(op)}
    assert sorted(wanted - CHECKED - set(CALLS) - WITHOUT) == []
    assert sorted((set(CALLS) | WITHOUT) - wanted) == []
    assert sorted(CHECKED & WITHOUT) == []


@pytest.mark.parametrize("name", CALLS)
def test_gradients(name):
    calls = CALLS[name]
    for fn, make in calls if isinstance(calls, list) else [calls]:
        assert gradients.check(fn, [tensor(x) for x in make(Maker(name))], {}, what=name)
