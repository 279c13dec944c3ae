"""Recurrent layers as functions: Elman (tanh, relu), LSTM and GRU, over padded and over packed sequences, and their
cells. Weights come as a flat list: for every layer and direction input weights, hidden weights and, with has_biases,
their two biases (and for an LSTM whose output is projected the projection).
"""

from __future__ import annotations

from .helpers import tensor_argument
from .namespace import F
from .table import composite


# -- one step, from x = the input's projection -------------------------------------------------------------------------
def _elman(activation):
    def step(x, state, weights):
        (h,) = state
        return (getattr(F, activation)(x + F.linear(h, weights.hidden, weights.hidden_bias)),)

    return step


def _lstm_step(x, state, weights):
    h, c = state
    i, f, g, o = F.chunk(x + F.linear(h, weights.hidden, weights.hidden_bias), 4, -1)
    c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
    h = F.sigmoid(o) * F.tanh(c)
    return (h if weights.projection is None else F.linear(h, weights.projection)), c


def _gru_step(x, state, weights):
    (h,) = state
    xr, xz, xn = F.chunk(x, 3, -1)
    hr, hz, hn = F.chunk(F.linear(h, weights.hidden, weights.hidden_bias), 3, -1)
    n = F.tanh(xn + F.sigmoid(xr + hr) * hn)
    return (n + F.sigmoid(xz + hz) * (h - n),)


_STEPS = {"rnn_tanh": _elman("tanh"), "rnn_relu": _elman("relu"), "lstm": _lstm_step, "gru": _gru_step}


class _Weights:
    """The weights of one layer and direction."""

    __slots__ = ("hidden", "hidden_bias", "input", "input_bias", "projection")

    def __init__(self, input, hidden, input_bias=None, hidden_bias=None, projection=None):
        self.input, self.hidden, self.projection = input, hidden, projection
        self.input_bias, self.hidden_bias = input_bias, hidden_bias


def _split_weights(op, params, has_biases, layers, directions, projected):
    params = list(params)
    each = 2 + 2 * bool(has_biases) + projected
    if len(params) != each * layers * directions:
        raise RuntimeError(
            f"{op}(): expected {each * layers * directions} weights for {layers} layers and {directions} directions, "
            f"got {len(params)}"
        )
    found = []
    for k in range(0, len(params), each):
        own = params[k : k + each]
        last = own.pop() if projected else None
        found.append(_Weights(*own, *([None] * (4 - len(own))), last))
    return found


# -- a layer in one direction ------------------------------------------------------------------------------------------
def _padded_run(step, x, state, weights, backward):
    """x is [time, batch, features]; gives [time, batch, hidden] and the last state."""
    rows = F.unbind(F.linear(x, weights.input, weights.input_bias), 0)
    outputs = []
    for row in reversed(rows) if backward else rows:
        state = step(row, state, weights)
        outputs.append(state[0])
    return F.stack(outputs[::-1] if backward else outputs, 0), state


def _packed_run(step, x, state, weights, backward, sizes):
    """x is [elements, features], time steps one after the other with sizes[t] sequences each, the longest first."""
    pieces = F.split(F.linear(x, weights.input, weights.input_bias), list(sizes), 0)
    outputs = []
    if backward:  # sequences join as their last elements are met
        running = tuple(F.slice(s, 0, 0, sizes[-1], 1) for s in state)
        for piece, n in zip(reversed(pieces), reversed(sizes)):
            have = running[0].shape[0]
            if have < n:
                running = tuple(F.cat([r, F.slice(s, 0, have, n, 1)], 0) for r, s in zip(running, state))
            running = step(piece, running, weights)
            outputs.append(running[0])
        return F.cat(outputs[::-1], 0), running
    finished, running = [], state
    for piece, n in zip(pieces, sizes):
        have = running[0].shape[0]
        if n < have:
            finished.append(tuple(F.slice(r, 0, n, have, 1) for r in running))
            running = tuple(F.slice(r, 0, 0, n, 1) for r in running)
        running = step(piece, running, weights)
        outputs.append(running[0])
    finished.append(running)
    return F.cat(outputs, 0), tuple(F.cat(list(parts), 0) for parts in zip(*reversed(finished)))


def _layers(op, x, states, params, has_biases, num_layers, dropout, train, bidirectional, sizes):
    directions = 1 + bool(bidirectional)
    projected = op == "lstm" and states[0].shape[2] != states[1].shape[2]
    weights = _split_weights(op, params, has_biases, num_layers, directions, projected)
    for s in states:
        tensor_argument(op, "hx", s)
        if s.dim() != 3 or s.shape[0] != num_layers * directions:
            raise RuntimeError(f"{op}(): hx must be [{num_layers * directions}, batch, hidden], got {list(s.shape)}")
    step, last = _STEPS[op], []
    for layer in range(num_layers):
        outputs = []
        for backward in range(directions):
            k = layer * directions + backward
            state = tuple(F.select(s, 0, k) for s in states)
            if sizes is None:
                out, state = _padded_run(step, x, state, weights[k], bool(backward))
            else:
                out, state = _packed_run(step, x, state, weights[k], bool(backward), sizes)
            outputs.append(out)
            last.append(state)
        x = outputs[0] if directions == 1 else F.cat(outputs, -1)
        if dropout and train and layer + 1 < num_layers:
            x = F.dropout(x, dropout, True)
    return x, *(F.stack(list(parts), 0) for parts in zip(*last))


def _run(op, input, states, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, sizes):
    tensor_argument(op, "input", input)
    if input.dim() != (3 if sizes is None else 2):
        raise RuntimeError(f"{op}(): input must have {3 if sizes is None else 2} dimensions, got {input.dim()}")
    if not input.is_floating_point() and not input.is_complex():
        raise RuntimeError(f"{op}(): input must be floating point, got {input.dtype}")
    if sizes is None:
        if input.shape[1 if batch_first else 0] == 0:
            raise RuntimeError(f"{op}(): the sequence is empty")
    elif not sizes:
        raise RuntimeError(f"{op}(): batch_sizes must not be empty")
    x = F.transpose(input, 0, 1) if batch_first else input
    out, *last = _layers(op, x, states, params, has_biases, num_layers, dropout, train, bidirectional, sizes)
    return (F.transpose(out, 0, 1) if batch_first else out), *last


_PADDED = ("hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first")
_PACKED = ("batch_sizes", "hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional")


def _register(op, what):
    several = op == "lstm"

    def function(input, *args, **kwargs):
        packed = "batch_sizes" in kwargs or (
            len(args) > 1 and isinstance(args[0], F.Tensor) and (several or isinstance(args[1], F.Tensor))
        )
        names = _PACKED if packed else _PADDED
        given = dict(zip(names, args)) | kwargs
        if len(args) > len(names) or len(given) < len(args) + len(kwargs) or sorted(given) != sorted(names):
            raise TypeError(
                f"{op}(): expected the arguments input, {', '.join(_PADDED)}, or for a packed sequence data, "
                f"{', '.join(_PACKED)}; got {len(args) + 1} and {sorted(kwargs)}"
            )
        states = given.pop("hx")
        if not several:
            states = (states,)
        elif not isinstance(states, (tuple, list)) or len(states) != 2:
            raise RuntimeError("lstm(): hx must be (h, c)")
        sizes = given.pop("batch_sizes").tolist() if packed else None
        return _run(op, input, states, sizes=sizes, **({"batch_first": False} | given))

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"""{what} over sequences: (output, {"h, c" if several else "h"}).

    {op}(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first) takes input
    [time, batch, features]; {op}(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)
    a packed sequence. hx: {"(h, c), each" if several else "h,"} [layers * directions, batch, hidden].
    """
    composite(op)(function)


_register("rnn_tanh", "Elman's recurrent layers with tanh")
_register("rnn_relu", "Elman's recurrent layers with relu")
_register("lstm", "Long short-term memory (Hochreiter and Schmidhuber, 1997)")
_register("gru", "Gated recurrent units (Cho et al., 2014)")


# -- cells -------------------------------------------------------------------------------------------------------------
def _cell(op, input, states, w_ih, w_hh, b_ih, b_hh):
    tensor_argument(op, "input", input)
    for s in states:
        tensor_argument(op, "hx", s)
        if s.shape[-1] != w_hh.shape[1] or s.dim() != input.dim():
            raise RuntimeError(f"{op}(): hx has shape {list(s.shape)}, expected {w_hh.shape[1]} hidden features")
    weights = _Weights(w_ih, w_hh, b_ih, b_hh)
    return _STEPS[op.removesuffix("_cell")](F.linear(input, w_ih, b_ih), tuple(states), weights)


@composite()
def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """tanh(input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh)."""
    return _cell("rnn_tanh_cell", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@composite()
def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """relu(input @ w_ih.T + b_ih + hx @ w_hh.T + b_hh)."""
    return _cell("rnn_relu_cell", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@composite()
def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of an LSTM: (h, c) from input and hx = (h, c). Gates in the order input, forget, cell, output."""
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise RuntimeError("lstm_cell(): hx must be (h, c)")
    return _cell("lstm_cell", input, hx, w_ih, w_hh, b_ih, b_hh)


@composite()
def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of a GRU. Gates in the order reset, update, new."""
    return _cell("gru_cell", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]
