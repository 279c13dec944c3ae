"""Calls for test_gradients_rest: the functions of nn.functional."""

from __future__ import annotations

import taeda
from taeda._bind import bound

F = taeda.nn.functional
index = taeda.tensor


def on(name, *rest, **kwargs):
    """The operator with these further arguments after the float tensors."""
    return lambda *tensors: bound(name)(*tensors, *rest, **kwargs)


def floats(*shapes, low=-1.0, high=1.0):
    return lambda t: [t(*s, low=low, high=high) for s in shapes]


def seeded(name, *rest):
    """The same random numbers at every call."""

    def call(*args):
        taeda.manual_seed(0)
        return bound(name)(*args, *rest)

    return call


def values(name, *rest, **kwargs):
    """The first of several results."""
    return lambda *tensors: bound(name)(*tensors, *rest, **kwargs)[0]


PLANE, GRID = (1, 2, 3, 4), (1, 2, 3, 2)
VOLUME, GRID3 = (1, 2, 3, 2, 3), (1, 2, 1, 2, 3)
WIDE = {"low": -1.4, "high": 1.4}
TRIPLE = floats((2, 3), (2, 3), (2, 3))
NORM = floats((3, 2, 2), (2,), (2,))
LABELS = index([[1, 2, 2], [3, 0, 0]])
CTC = (index([5, 4]), index([3, 1]))


def ctc(name, *rest):
    """The loss of log-probabilities: its gradient takes for granted that they come from log_softmax."""
    return lambda x: bound(name)(taeda.log_softmax(x, -1), LABELS, *CTC, *rest), floats((5, 2, 4), low=-2, high=2)


def _ctc_parts(x):
    states = index([[0, 1, 0, 2, 0, 2, 0], [0, 3, 0, 0, 0, 0, 0]])
    return bound("_ctc")(taeda.log_softmax(x, -1), states, *CTC, False)[0]


def attention(q, k, v, w, b, bk, bv, out, ob):
    return F.multi_head_attention_forward(q, k, v, 4, 2, w, b, bk, bv, True, 0.0, out, ob)


SAMPLES2, SAMPLES3 = index([[[0.3, 0.6]] * 2], dtype=taeda.float64), index([[[0.3, 0.6, 0.1]] * 2], dtype=taeda.float64)

#: name -> (function of float tensors, their maker), one or several
CALLS = {
    # random masks: functions of their counters
    "_alpha_dropout": (on("_alpha_dropout", 3, 5, 0.4, 0.9, 0.3, -0.7), floats((2, 3))),
    "_rrelu": (on("_rrelu", 3, 5, 0.1, 0.3), floats((2, 3))),
    "dropout": (seeded("dropout", 0.4, True), floats((2, 3))),
    "alpha_dropout": (seeded("alpha_dropout", 0.4, True), floats((2, 3))),
    "feature_dropout": (seeded("feature_dropout", 0.4, True), floats((2, 3, 2))),
    "feature_alpha_dropout": (seeded("feature_alpha_dropout", 0.4, True), floats((2, 3, 2))),
    "rrelu": [(seeded("rrelu", 0.1, 0.3, True), floats((2, 3))), (on("rrelu"), floats((2, 3)))],
    "_nn_rrelu": (seeded("_nn_rrelu", 0.1, 0.3, True), floats((2, 3))),
    "_nn_dropout": (seeded("_nn_dropout", 0.4), floats((2, 3))),
    "_nn_dropout1d": [(seeded("_nn_dropout1d", 0.4), floats((2, 3, 2))), (seeded("_nn_dropout1d", 0.4), floats((3, 2)))],
    "_nn_dropout2d": (seeded("_nn_dropout2d", 0.4), floats((2, 3, 2))),
    "_nn_dropout3d": (seeded("_nn_dropout3d", 0.4), floats((2, 3, 1, 2))),
    "_nn_alpha_dropout": (seeded("_nn_alpha_dropout", 0.4, True), floats((2, 3))),
    "_nn_feature_alpha_dropout": (seeded("_nn_feature_alpha_dropout", 0.4, True), floats((2, 3, 2))),
    # activations
    "_nn_hardtanh": (on("_nn_hardtanh", -0.5, 0.4), floats((2, 3))),
    "_nn_softshrink": (on("_nn_softshrink", 0.3), floats((2, 3))),
    "_nn_softmax": (on("_nn_softmax"), floats((2, 3))),
    "_nn_log_softmax": (on("_nn_log_softmax", 0), floats((2, 3))),
    # pooling
    **{
        f"max_pool{n}d_with_indices": (values(f"max_pool{n}d_with_indices", 2, 1), floats((1, 2, 3, 4, 3)[: n + 2]))
        for n in (1, 2, 3)
    },
    **{
        f"adaptive_max_pool{n}d_with_indices": (
            values(f"adaptive_max_pool{n}d_with_indices", 3), floats((1, 2, 4, 5, 3)[: n + 2])
        )
        for n in (1, 2, 3)
    },
    "_window_sum": [
        (on("_window_sum", (2, 3), (1, 2), (2, 2)), floats((2, 3, 5))),
        (on("_window_sum", (6, 6), (1, 2), (1, 1)), floats((2, 6, 7))),
    ],
    "_window_spread": (on("_window_spread", (4, 6), (2, 3), (2, 2)), floats((2, 2, 2))),
    "adaptive_max_pool1d": (values("adaptive_max_pool1d", 3), floats((2, 2, 4))),
    "max_unpool1d": (lambda x: F.max_unpool1d(x, index([[1, 2]]), 2), floats((1, 2))),
    "max_unpool2d": (lambda x: F.max_unpool2d(x, index([[[0, 6]]]), 2), floats((1, 1, 2))),
    "max_unpool3d": (lambda x: F.max_unpool3d(x, index([[[[0, 14]]]]), 2), floats((1, 1, 1, 2))),
    **{
        name + tail: (
            (values if tail else on)(name + tail, 2, 2, _random_samples=samples), floats((1, 2, 4, 3, 3)[: n + 2])
        )
        for n, samples in ((2, SAMPLES2), (3, SAMPLES3))
        for name in (f"fractional_max_pool{n}d",)
        for tail in ("", "_with_indices")
    },
    # resizing and grids
    "interpolate": [
        (on("interpolate", (4, 2, 5), mode="trilinear"), floats((1, 1, 3, 2, 3))),
        (on("interpolate", (4, 2), mode="nearest-exact"), floats((1, 1, 3, 4))),
        (on("interpolate", (4, 2), mode="bicubic"), floats((1, 1, 3, 4))),
        (on("interpolate", (2, 3), mode="bilinear", antialias=True), floats((1, 1, 5, 4))),
        (on("interpolate", (2, 3), mode="area"), floats((1, 1, 5, 4))),
    ],
    "upsample_nearest": (on("upsample_nearest", (4, 5)), floats((1, 1, 3, 2))),
    "upsample_bilinear": (on("upsample_bilinear", (4, 5)), floats((1, 1, 3, 2))),
    "_grid_aligned": (on("_grid_aligned", 4), floats((2, 3))),
    "_grid_edges": (on("_grid_edges", 4), floats((2, 3))),
    "_grid_border": (on("_grid_border", 3), floats((2, 3), low=-1, high=4)),
    "_grid_reflect": (on("_grid_reflect", -0.5, 3), floats((2, 3), low=-7, high=7)),
    "_grid_weigh": (lambda x, w: bound("_grid_weigh")(x, w, index([True, False, True])), floats((2, 3), (1, 3))),
    "grid_sample": [
        *((on("grid_sample", mode, padding, aligned), floats(PLANE, GRID, **WIDE))
          for mode in ("bilinear", "bicubic") for padding in ("zeros", "border", "reflection")
          for aligned in (False, True)),
        (lambda x: F.grid_sample(x, index([[[[0.3, -0.2]]]], dtype=taeda.float64), "nearest"), floats(PLANE)),
        (on("grid_sample", padding_mode="reflection"), floats(VOLUME, GRID3, **WIDE)),
    ],
    "grid_sampler": (on("grid_sampler", 0, 0, False), floats(PLANE, GRID, **WIDE)),
    "grid_sampler_2d": (on("grid_sampler_2d", 2, 1, True), floats(PLANE, GRID, **WIDE)),
    "grid_sampler_3d": (on("grid_sampler_3d", 0, 1, False), floats(VOLUME, GRID3, **WIDE)),
    "affine_grid": (on("affine_grid", (1, 1, 2, 3)), floats((1, 2, 3))),
    "affine_grid_generator": (on("affine_grid_generator", (1, 1, 2, 1, 3), True), floats((1, 3, 4))),
    "fold": (on("fold", (4, 5), (2, 2), dilation=(1, 2), stride=(2, 1), padding=(0, 1)), floats((1, 4, 10))),
    # convolutions and products
    "convolution": [
        (on("convolution", [1], [1], [1], False, [0], 1), floats((1, 2, 4), (2, 2, 3), (2,))),
        (on("convolution", [2, 1], [1, 0], [1, 1], True, [1, 0], 1), floats((1, 2, 2, 2), (2, 1, 2, 2), (1,))),
    ],
    "conv_tbc": (on("conv_tbc", 1), floats((3, 1, 2), (2, 2, 2), (2,))),
    "grouped_mm": [
        (on("grouped_mm", offs=index([1, 2], dtype=taeda.int32)), floats((3, 2), (2, 2, 2))),
        (on("grouped_mm", offs=index([1, 3], dtype=taeda.int32)), floats((2, 3), (3, 2))),
        (on("grouped_mm", offs=index([1, 3], dtype=taeda.int32)), floats((2, 2, 2), (2, 4))),
    ],
    "multi_head_attention_forward": (
        attention,
        floats((2, 1, 4), (3, 1, 4), (3, 1, 4), (12, 4), (12,), (1, 1, 4), (1, 1, 4), (4, 4), (4,)),
    ),
    # embeddings
    "embedding": (lambda w: taeda.embedding(w, index([0, 2, 0])), floats((3, 2))),
    "embedding_bag": [
        (lambda w, m=m: taeda.embedding_bag(w, index([0, 2, 1, 0]), index([0, 2, 2]), mode=m)[0], floats((3, 2)))
        for m in range(3)
    ],
    "_nn_embedding_bag": [
        (
            lambda w, s: F.embedding_bag(index([[0, 2], [1, 0]]), w, mode="sum", per_sample_weights=s, padding_idx=1),
            floats((3, 2), (2, 2)),
        ),
        (lambda w: F.embedding_bag(index([[0, 2], [1, 0]]), w, mode="max", padding_idx=1), floats((3, 2))),
        (lambda w: F.embedding_bag(index([[0, 2], [1, 0]]), w, padding_idx=-2), floats((3, 2))),
    ],
    # normalisations
    "layer_norm": (lambda x, w, b: taeda.layer_norm(x, (2,), w, b), NORM),
    "group_norm": (lambda x, w, b: taeda.group_norm(x, 1, w, b), NORM),
    "batch_norm": (lambda x, w, b: taeda.batch_norm(x, w, b, None, None, True, 0.1, 1e-3, False), NORM),
    "instance_norm": (
        lambda x, w, b: taeda.instance_norm(x, w, b, None, None, True, 0.1, 1e-3, False),
        floats((2, 2, 3), (2,), (2,)),
    ),
    # losses
    "_ctc_step": (
        lambda a, b, c, d: bound("_ctc_step")(a, b, c, index([True, False, True]), d),
        floats((2, 3), (2, 3), (2, 3), (2, 3)),
    ),
    "_ctc": (_ctc_parts, floats((5, 2, 4), low=-2, high=2)),
    "ctc_loss": ctc("ctc_loss"),
    "_nn_ctc_loss": ctc("_nn_ctc_loss"),
    "multi_margin_loss": [
        (lambda x: F.multi_margin_loss(x, index([0, 2])), floats((2, 3), low=-0.9)),
        (lambda x, w: F.multi_margin_loss(x, index([0, 2]), 2, 0.7, w, reduction="none"), floats((2, 3), (3,))),
    ],
    "multilabel_margin_loss": (
        lambda x: F.multilabel_margin_loss(x, index([[0, 2, -1], [1, -1, 0]]), reduction="none"), floats((2, 3))
    ),
    "multilabel_soft_margin_loss": (on("multilabel_soft_margin_loss"), floats((2, 3), (2, 3))),
    "triplet_margin_with_distance_loss": (on("triplet_margin_with_distance_loss", margin=5.0, swap=True), TRIPLE),
    "linear_cross_entropy": (
        lambda x, w, b: F.linear_cross_entropy(x, w, index([[0, 1], [2, 0]]), linear_bias=b),
        floats((2, 3), (3, 2, 3), (3, 2)),
    ),
    "_nn_cosine_embedding_loss": (
        lambda a, b: F.cosine_embedding_loss(a, b, index([1, -1]), margin=-0.9), floats((2, 3), (2, 3))
    ),
    "_nn_hinge_embedding_loss": (lambda x: F.hinge_embedding_loss(x, index([1, -1, -1]), 2.0), floats((2, 3))),
    "_nn_triplet_margin_loss": (lambda a, p, n: F.triplet_margin_loss(a, p, n, margin=5.0), TRIPLE),
    "cosine_embedding_loss": (
        lambda a, b: taeda.cosine_embedding_loss(a, b, index([1, -1]), -0.9), floats((2, 3), (2, 3))
    ),
    "hinge_embedding_loss": (lambda x: taeda.hinge_embedding_loss(x, index([1, -1, -1]), 2.0, 1), floats((2, 3))),
    "triplet_margin_loss": (on("triplet_margin_loss", 5.0, 2.0, 1e-6, True, 2), TRIPLE),
    "margin_ranking_loss": (lambda a, b: taeda.margin_ranking_loss(a, b, index([1.0, -1.0]), 3.0), floats((2,), (2,))),
    "kl_div": (on("kl_div", 2, log_target=True), floats((2, 3), (2, 3))),
    "poisson_nll_loss": (on("poisson_nll_loss", True, False, 1e-8, 1), floats((2, 3), (2, 3))),
    "binary_cross_entropy_with_logits": (on("binary_cross_entropy_with_logits"), floats((2, 3), (2, 3))),
}  # fmt: skip

#: It writes into its argument and hands no gradient on.
WITHOUT = {"embedding_renorm_"}
