"""One step of each optimiser as a map operator with several outputs: a parameter and its state are read and written
once.

`_core.foreach_` runs such an operator over lists of tensors. `writes` says which operand each output is written to.
`sign` is 1 to minimise and -1 to maximise.
"""

from __future__ import annotations

from .scalar import maximum, sqrt
from .table import OpDef, floating


def _step(name, fn, tensors: str, numbers: str, writes: tuple[int, ...]):
    operands = tensors.split()
    params = ", ".join(f"Tensor {t}" for t in operands) + "".join(f", Number {n}" for n in numbers.split())
    OpDef(
        name,
        "map",
        params,
        fn=fn,
        in_types="T" * len(operands) + "p" * len(numbers.split()),
        out_types="T" * len(writes),
        accepts=floating,
        to_float=False,
        grad=False,
        traits={"writes": writes},
    )


def _gradient(p, g, sign, decay):
    return g * sign + p * decay


_step(
    "_sgd_step",
    lambda p, g, sign, lr, decay: p - lr * _gradient(p, g, sign, decay),
    "param grad",
    "sign lr weight_decay",
    (0,),
)


def _momentum(p, g, m, sign, lr, decay, momentum, dampening):
    m = m * momentum + _gradient(p, g, sign, decay) * dampening
    return p - lr * m, m


def _nesterov(p, g, m, sign, lr, decay, momentum, dampening):
    g = _gradient(p, g, sign, decay)
    m = m * momentum + g * dampening
    return p - lr * (g + m * momentum), m


# `kept` is 1 - dampening (and 1 on the first step, whose buffer is the gradient itself).
_step("_sgd_momentum_step", _momentum, "param grad buffer", "sign lr weight_decay momentum kept", (0, 2))
_step("_sgd_nesterov_step", _nesterov, "param grad buffer", "sign lr weight_decay momentum kept", (0, 2))


def _moments(g, m, v, beta1, beta2):
    return m + (g - m) * (1 - beta1), v * beta2 + g * g * (1 - beta2)


# step_size = lr / (1 - beta1**t); root = sqrt(1 - beta2**t): computed once a step, in float64.
_ADAM = "sign step_size root lr weight_decay beta1 beta2 eps"


def _adam(p, g, m, v, sign, step_size, root, lr, decay, beta1, beta2, eps):
    m, v = _moments(_gradient(p, g, sign, decay), m, v, beta1, beta2)
    return p - step_size * (m / (sqrt(v) / root + eps)), m, v


def _adamw(p, g, m, v, sign, step_size, root, lr, decay, beta1, beta2, eps):
    p = p * (1 - lr * decay)
    m, v = _moments(g * sign, m, v, beta1, beta2)
    return p - step_size * (m / (sqrt(v) / root + eps)), m, v


def _adam_amsgrad(p, g, m, v, top, sign, step_size, root, lr, decay, beta1, beta2, eps):
    m, v = _moments(_gradient(p, g, sign, decay), m, v, beta1, beta2)
    top = maximum(top, v)
    return p - step_size * (m / (sqrt(top) / root + eps)), m, v, top


def _adamw_amsgrad(p, g, m, v, top, sign, step_size, root, lr, decay, beta1, beta2, eps):
    p = p * (1 - lr * decay)
    m, v = _moments(g * sign, m, v, beta1, beta2)
    top = maximum(top, v)
    return p - step_size * (m / (sqrt(top) / root + eps)), m, v, top


_step("_adam_step", _adam, "param grad exp_avg exp_avg_sq", _ADAM, (0, 2, 3))
_step("_adamw_step", _adamw, "param grad exp_avg exp_avg_sq", _ADAM, (0, 2, 3))
_step("_adam_amsgrad_step", _adam_amsgrad, "param grad exp_avg exp_avg_sq max_exp_avg_sq", _ADAM, (0, 2, 3, 4))
_step("_adamw_amsgrad_step", _adamw_amsgrad, "param grad exp_avg exp_avg_sq max_exp_avg_sq", _ADAM, (0, 2, 3, 4))
