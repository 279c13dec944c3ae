"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import taeda
from taeda import Tensor
from taeda.utils.host import host_numbers

from .fused import fused_step
from .optimizer import Optimizer, check_range, evaluate, gradients, with_gradient


class SGD(Optimizer):
    """Gradient descent with momentum, dampening, Nesterov's form (Sutskever et al., ICML 2013) and L2 penalty."""

    def __init__(
        self, params: Any, lr: float | Tensor = 1e-3, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0,
        nesterov: bool = False, *, maximize: bool = False, foreach: bool | None = None, differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_range("learning rate", lr)
        check_range("momentum value", momentum)
        check_range("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        if differentiable:
            raise ValueError("SGD: argument 'differentiable' must be False: the fused update has no gradient")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    @staticmethod
    def _numbers(group: dict[str, Any]) -> tuple[float, ...]:
        return -1.0 if group["maximize"] else 1.0, float(group["lr"]), float(group["weight_decay"])

    def _momentum_numbers(self, group: dict[str, Any], first: bool) -> tuple[float, ...]:
        share = 1.0 if first else 1.0 - float(group["dampening"])
        return *self._numbers(group), float(group["momentum"]), share

    @taeda.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = evaluate(closure)
        for group in self.param_groups:
            params = with_gradient(group["params"])
            if not params:
                continue
            if group["momentum"] == 0:
                fused_step("_sgd_step", [params, gradients(params)], host_numbers(partial(self._numbers, group)))
                continue
            fresh = [p for p in params if self.state[p].get("momentum_buffer") is None]
            started = [p for p in params if self.state[p].get("momentum_buffer") is not None]
            for p in fresh:
                self.state[p]["momentum_buffer"] = taeda.zeros_like(p)
            # the first step's buffer is the gradient itself, undamped
            for some, first in ((fresh, True), (started, False)):
                if some:
                    numbers = host_numbers(partial(self._momentum_numbers, group, first))
                    lists = [some, gradients(some), [self.state[p]["momentum_buffer"] for p in some]]
                    fused_step("_sgd_nesterov_step" if group["nesterov"] else "_sgd_momentum_step", lists, numbers)
        return loss
