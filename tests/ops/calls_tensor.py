"""Calls for test_gradients_rest: order statistics, copies of views, segments, recurrent layers."""

from __future__ import annotations

import taeda
from taeda._bind import bound

index = taeda.tensor


def on(name, *rest, **kwargs):
    """The operator with these further arguments after the float tensors."""
    return lambda *tensors: bound(name)(*tensors, *rest, **kwargs)


def writes(name, *rest, **kwargs):
    """A method that writes into its first argument, on a copy."""
    return lambda x, *more: getattr(x.clone(), name)(*more, *rest, **kwargs)


def floats(*shapes, low=-1.0, high=1.0):
    return lambda t: [t(*s, low=low, high=high) for s in shapes]


def _weights(layers, directions, gates, features, hidden, projected=0):
    """Shapes of the weights of a recurrent layer."""
    found = []
    for layer in range(layers):
        out = projected or hidden
        width = features if layer == 0 else out * directions
        for _ in range(directions):
            found += [(gates * hidden, width), (gates * hidden, out), (gates * hidden,), (gates * hidden,)]
            found += [(projected, hidden)] if projected else []
    return found


def _recurrent(name, states, gates, layers=1, directions=1, packed=None, projected=0):
    """The layer over [3, 2, 2] inputs (or packed ones) with 2 hidden features."""
    shapes = [((3, 2, 2) if packed is None else (sum(packed), 2)), (layers * directions, 2, projected or 2)]
    shapes += [(layers * directions, 2, 2)] * (states - 1)

    def call(x, *tensors):
        hx, params = (tensors[:states] if states > 1 else tensors[0]), list(tensors[states:])
        tail = (params, True, layers, 0.0, True, directions == 2)
        if packed is None:
            return bound(name)(x, hx, *tail, False)
        return bound(name)(x, index(packed), hx, *tail)

    return call, floats(*shapes, *_weights(layers, directions, gates, 2, 2, projected))


#: name -> (function of float tensors, their maker), one or several
CALLS = {
    # order
    "nanmedian": [(on("nanmedian"), floats((5,))), (on("nanmedian", 1), floats((2, 4)))],
    "mode": (on("mode", 1), floats((2, 4))),
    "_cummax": (on("_cummax", 1), floats((2, 4))),
    "_cummin": (on("_cummin", 0), floats((4, 2))),
    # copies of views
    "alias_copy": (on("alias_copy"), floats((2, 3))),
    "as_strided_copy": (on("as_strided_copy", (2, 3), (1, 2), 1), floats((3, 3))),
    "detach_copy": (on("detach_copy"), floats((2, 3))),
    "diagonal_copy": (on("diagonal_copy", 1), floats((3, 3))),
    "expand_copy": (on("expand_copy", (2, 3)), floats((3,))),
    "permute_copy": (on("permute_copy", (1, 0)), floats((2, 3))),
    "select_copy": (on("select_copy", 1, 2), floats((2, 3))),
    "slice_copy": (on("slice_copy", 1, 1, 5, 2), floats((2, 5))),
    "split_copy": (on("split_copy", 2, 1), floats((2, 5))),
    "split_with_sizes_copy": (on("split_with_sizes_copy", (1, 4), 1), floats((2, 5))),
    "squeeze_copy": (on("squeeze_copy"), floats((2, 1, 3))),
    "t_copy": (on("t_copy"), floats((2, 3))),
    "transpose_copy": (on("transpose_copy", 0, 1), floats((2, 3))),
    "unbind_copy": (on("unbind_copy", 1), floats((2, 3))),
    "unfold_copy": (on("unfold_copy", 0, 3, 2), floats((7,))),
    "unsqueeze_copy": (on("unsqueeze_copy", 1), floats((2, 3))),
    "view_copy": (on("view_copy", (3, 2)), floats((2, 3))),
    "as_strided_": (writes("as_strided_", (2, 2), (2, 1), 1), floats((2, 3))),
    "narrow_copy": (on("narrow_copy", 1, 1, 2), floats((2, 4))),
    "slice_inverse": (lambda x: bound("slice_inverse")(x, x.detach()), floats((4,))),
    "unsafe_split": (on("unsafe_split", 2, 1), floats((2, 5))),
    "unsafe_split_with_sizes": (on("unsafe_split_with_sizes", (1, 4), 1), floats((2, 5))),
    "unsafe_chunk": (on("unsafe_chunk", 2, 1), floats((2, 5))),
    # combinations
    "chain_matmul": (on("chain_matmul"), floats((2, 3), (3, 4), (4, 1))),
    "fill": (on("fill"), floats((2, 3), ())),
    "_fill_diagonal_": (writes("fill_diagonal_", 0.5), floats((3, 3))),
    "_resize": (lambda x: x.resize(3, 2), floats((2, 3))),
    "_resize_as": (lambda x: x.resize_as(taeda.zeros(3, 2)), floats((2, 3))),
    "index_reduce_": (
        lambda x, s: x.clone().index_reduce_(1, index([0, 2, 0]), s, "prod"),
        floats((2, 3), (2, 3)),
    ),
    # statistics beside the result
    "native_layer_norm": (lambda x, w, b: bound("native_layer_norm")(x, (4,), w, b, 1e-3)[0], floats((2, 4), (4,), (4,))),
    "native_group_norm": (
        lambda x, w, b: bound("native_group_norm")(x, w, b, 2, 4, 3, 2, 1e-3)[0],
        floats((2, 4, 3), (4,), (4,)),
    ),
    "native_batch_norm": (
        lambda x, w, b: bound("native_batch_norm")(x, w, b, None, None, True, 0.1, 1e-3)[0],
        floats((3, 2), (2,), (2,)),
    ),
    "native_dropout": (lambda x: _seeded_dropout(x), floats((2, 3))),
    # recurrent layers
    "rnn_tanh": [_recurrent("rnn_tanh", 1, 1, layers=2), _recurrent("rnn_tanh", 1, 1, packed=(2, 1, 1))],
    "rnn_relu": _recurrent("rnn_relu", 1, 1, directions=2),
    "lstm": [
        _recurrent("lstm", 2, 4, directions=2),
        _recurrent("lstm", 2, 4, projected=1),
        _recurrent("lstm", 2, 4, directions=2, packed=(2, 2, 1)),
    ],
    "gru": [_recurrent("gru", 1, 3, layers=2), _recurrent("gru", 1, 3, directions=2, packed=(2, 1, 1))],
    "rnn_tanh_cell": (on("rnn_tanh_cell"), floats((2, 3), (2, 2), (2, 3), (2, 2), (2,), (2,))),
    "rnn_relu_cell": (on("rnn_relu_cell"), floats((2, 3), (2, 2), (2, 3), (2, 2), (2,), (2,))),
    "lstm_cell": (
        lambda x, h, c, *w: bound("lstm_cell")(x, (h, c), *w),
        floats((2, 3), (2, 2), (2, 2), (8, 3), (8, 2), (8,), (8,)),
    ),
    "gru_cell": (on("gru_cell"), floats((2, 3), (2, 2), (6, 3), (6, 2), (6,), (6,))),
    # control flow
    "cond": (lambda x: taeda.cond(x.sum() > 100, lambda x: x, lambda x: x * x, (x,)), floats((3,))),
    "while_loop": (
        lambda x: taeda.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * x), (0, x))[1],
        floats((3,), low=0.5, high=1.1),
    ),
}  # fmt: skip


def _seeded_dropout(x):
    taeda.manual_seed(0)
    return bound("native_dropout")(x, 0.4, True)[0]


#: Results that no gradient reaches.
WITHOUT = {
    "unique_consecutive", "isin", "unravel_index", "histc", "histogram", "histogramdd", "nonzero_static", "detach",
    "detach_", "empty_permuted", "hann_window", "hamming_window", "blackman_window", "bartlett_window",
    "kaiser_window", "poisson", "binomial", "_geometric_", "_cauchy_", "_apply_", "_map_", "_map2_", "resize_as_",
    "_set_", "_dim_order", "_new", "_new_empty_strided", "_reinforce", "is_signed", "is_inference", "is_same_size",
    "is_distributed", "range", "isreal", "hash_tensor", "_owners", "view_as_real_copy", "view_as_complex_copy",
}  # fmt: skip
