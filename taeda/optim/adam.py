"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import taeda
from taeda import Tensor
from taeda.utils.host import host_numbers

from .fused import fused_step
from .optimizer import Optimizer, check_range, evaluate, gradients, with_gradient


class Adam(Optimizer):
    """Adam (Kingma and Ba, ICLR 2015); L2 penalty added to the gradient; AMSGrad variant (Reddi et al., ICLR 2018).

    All parameters of a group that are at the same step are updated by one kernel.
    """

    _decoupled = False

    def __init__(
        self, params: Any, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, amsgrad: bool = False, *, foreach: bool | None = None, maximize: bool = False,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        check_range("learning rate", lr)
        check_range("epsilon value", eps)
        check_range("beta parameter at index 0", betas[0], 0.0, 1.0)
        check_range("beta parameter at index 1", betas[1], 0.0, 1.0)
        check_range("weight_decay value", weight_decay)
        if differentiable:
            raise ValueError(
                f"{type(self).__name__}: argument 'differentiable' must be False: the fused update has no gradient"
            )
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def _init_state(self, p: Tensor, amsgrad: bool) -> None:
        state = self.state[p]
        state["step"] = 0.0
        state["exp_avg"] = taeda.zeros_like(p)
        state["exp_avg_sq"] = taeda.zeros_like(p)
        if amsgrad:
            state["max_exp_avg_sq"] = taeda.zeros_like(p)

    def _advance(self, group: dict[str, Any], params: list[Tensor]) -> tuple[float, ...]:
        """Counts the step and returns the kernel's numbers, computed in float64."""
        beta1, beta2 = (float(b) for b in group["betas"])
        for p in params:
            self.state[p]["step"] += 1.0
        t = self.state[params[0]]["step"]
        lr = float(group["lr"])
        sign = -1.0 if group["maximize"] else 1.0
        root = math.sqrt(1 - beta2**t)
        return sign, lr / (1 - beta1**t), root, lr, float(group["weight_decay"]), beta1, beta2, float(group["eps"])

    @taeda.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = evaluate(closure)
        for group in self.param_groups:
            by_step: dict[float, list[Tensor]] = {}
            for p in with_gradient(group["params"]):
                if p not in self.state:
                    self._init_state(p, group["amsgrad"])
                by_step.setdefault(self.state[p]["step"], []).append(p)
            for params in by_step.values():
                numbers = host_numbers(partial(self._advance, group, params))
                states = [self.state[p] for p in params]
                lists = [
                    params,
                    gradients(params),
                    [s["exp_avg"] for s in states],
                    [s["exp_avg_sq"] for s in states],
                ]
                name = "_adamw" if self._decoupled else "_adam"
                if group["amsgrad"]:
                    lists.append([s["max_exp_avg_sq"] for s in states])
                    name += "_amsgrad"
                fused_step(name + "_step", lists, numbers)
        return loss


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019)."""

    _decoupled = True

    def __init__(
        self, params: Any, lr: float | Tensor = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False, foreach: bool | None = None,
        capturable: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize, capturable=capturable,
            differentiable=differentiable, fused=fused,
        )  # fmt: skip
