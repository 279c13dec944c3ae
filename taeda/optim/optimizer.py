"""Base of all optimizers: parameter groups, state, state dicts, hooks."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import taeda
from taeda import Tensor
from taeda.nn.hooks import RemovableHandle, register


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Holds `param_groups` (dicts with 'params' and options) and `state` (per parameter).

    params: tensors, (name, tensor) pairs, or dicts of groups. Errors: TypeError for anything else, ValueError for an empty list,
    a non-leaf or a parameter in two groups.
    """

    state: defaultdict[Tensor, dict[str, Any]]
    param_groups: list[dict[str, Any]]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._step_pre_hooks: OrderedDict[int, Callable] = OrderedDict()
        self._step_post_hooks: OrderedDict[int, Callable] = OrderedDict()
        if isinstance(params, Tensor):
            raise TypeError(
                f"params argument given to the optimizer should be an iterable of Tensors or dicts, but got {params.type()}"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None:
            cls.step = _with_hooks(step)  # type: ignore[method-assign]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters to be optimised, with options of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will "
                "change between runs. Please use a list instead."
            )
        params = list(params)
        group = dict(param_group)
        if params and isinstance(params[0], tuple):
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            raise ValueError("some parameters appear more than once in one parameter group")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if set_to_none:
                        p.grad = None
                    else:
                        p.grad = taeda.zeros_like(p.grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters; `closure` re-evaluates the model and returns the loss."""
        raise RuntimeError(f"{type(self).__name__} has no step(): an optimizer must define it")

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Calls hook(optimizer, args, kwargs) before each step; may return new (args, kwargs)."""
        return register(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Calls hook(optimizer, args, kwargs) after each step."""
        return register(self._step_post_hooks, hook)

    def state_dict(self) -> dict[str, Any]:
        """{'state': by parameter number, 'param_groups': options with parameter numbers}."""
        numbers: dict[int, int] = {}
        packed = []
        for group in self.param_groups:
            options = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            options["params"] = [numbers[id(p)] for p in group["params"]]
            packed.append(options)
        state = {numbers[id(k)] if isinstance(k, Tensor) else k: _with_step_tensor(v) for k, v in self.state.items()}
        return {"state": state, "param_groups": packed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state dict; tensors are copied to each parameter's dtype (step counts keep theirs)."""
        saved_groups = copy.deepcopy(state_dict["param_groups"])
        if len(saved_groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(self.param_groups, saved_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        by_number = {
            number: p
            for saved, group in zip(saved_groups, self.param_groups)
            for number, p in zip(saved["params"], group["params"])
        }

        def convert(p: Tensor, value: Any, key: Any = None) -> Any:
            if isinstance(value, Tensor):
                if key == "step":
                    return float(value)
                return value.detach().clone().to(p.dtype) if p.is_floating_point() else value.detach().clone()
            if isinstance(value, dict):
                return {k: convert(p, v, k) for k, v in value.items()}
            if isinstance(value, (list, tuple)):
                return type(value)(convert(p, v) for v in value)
            return copy.deepcopy(value)

        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, value in state_dict["state"].items():
            if number in by_number:
                state[by_number[number]] = convert(by_number[number], value)
            else:
                state[number] = copy.deepcopy(value)
        self.state = state
        for saved, group in zip(saved_groups, self.param_groups):
            params = group["params"]
            group.update({k: v for k, v in saved.items() if k != "params"})
            group["params"] = params

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._step_pre_hooks = OrderedDict()
        self._step_post_hooks = OrderedDict()

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {key}: {group[key]}\n" for key in sorted(group) if key != "params")
        return text + ")"


def _with_step_tensor(state: dict[str, Any]) -> dict[str, Any]:
    """Step counts are kept as Python floats; a state dict holds them as float32 tensors, as PyTorch's do."""
    step = state.get("step")
    return {**state, "step": taeda.tensor(step, dtype=taeda.float32)} if isinstance(step, float) else state


def _with_hooks(step: Callable) -> Callable:
    def stepped(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        for hook in list(self._step_pre_hooks.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), but got {changed}."
                    )
                args, kwargs = changed
        result = step(self, *args, **kwargs)
        for hook in list(self._step_post_hooks.values()):
            hook(self, args, kwargs)
        return result

    stepped.__name__, stepped.__doc__, stepped.__wrapped__ = "step", step.__doc__, step  # type: ignore[attr-defined]
    return stepped


def evaluate(closure: Callable[[], Any] | None) -> Any:
    """Runs a step's closure with gradients enabled."""
    if closure is None:
        return None
    with taeda.enable_grad():
        return closure()


def check_range(name: str, value: Any, low: float = 0.0, high: float | None = None) -> None:
    """ValueError in PyTorch's words when a hyperparameter is outside its range."""
    if not low <= value or (high is not None and not value < high):
        raise ValueError(f"Invalid {name}: {value}")


def with_gradient(params: Iterable[Tensor]) -> list[Tensor]:
    return [p for p in params if p.grad is not None]


def gradients(params: Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]
