"""Modules as functions of their parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import _core
from ..nn.module import Module
from ..ops.namespace import F
from .vmap import leaves, tree_map

Tensor = _core.Tensor


def _owner(module: Module, name: str) -> tuple[Module, str]:
    """The submodule that holds parameter or buffer `name`, and its name there."""
    *path, last = name.split(".")
    for part in path:
        module = getattr(module, part)
    return module, last


def _tied(module: Module, name: str) -> list[tuple[Module, str]]:
    """Every place of the module that holds the tensor called `name`."""
    owner, last = _owner(module, name)
    tensor: Any = owner._parameters.get(last)
    tensor = owner._buffers.get(last) if tensor is None else tensor
    if tensor is None:
        raise KeyError(f"functional_call(): the module has no parameter or buffer named {name!r}")
    found = []
    for m in module.modules():
        for table in (m._parameters, m._buffers):
            found += [(m, key) for key, t in table.items() if t is tensor]
    return found


@contextlib.contextmanager
def _replaced(module: Module, tensors: dict[str, Tensor], tie_weights: bool) -> Iterator[None]:
    kept: list[tuple[Any, str, Any]] = []
    try:
        for name, t in tensors.items():
            for owner, key in _tied(module, name) if tie_weights else [_owner(module, name)]:
                table: Any = owner._parameters if key in owner._parameters else owner._buffers
                if key not in table:
                    raise KeyError(f"functional_call(): the module has no parameter or buffer named {name!r}")
                kept.append((table, key, table[key]))
                table[key] = t
        yield
    finally:
        for table, key, before in reversed(kept):
            table[key] = before


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Calls `module(*args, **kwargs)` with the tensors given by name in the place of its parameters and buffers.

    Several dicts are taken together. tie_weights: a tensor given for one of several tied names stands for all of them.
    strict: every parameter and buffer must be given, and nothing else.
    """
    dicts = parameter_and_buffer_dicts
    if isinstance(dicts, dict):
        tensors = dict(dicts)
    elif isinstance(dicts, Sequence) and all(isinstance(d, dict) for d in dicts):
        tensors = {}
        for d in dicts:
            repeated = sorted(set(tensors) & set(d))
            if repeated:
                raise ValueError(
                    f"{repeated} appear in multiple dictionaries; behavior of functional call is ambiguous"
                )
            tensors.update(d)
    else:
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got " + str(type(dicts))
        )
    if strict:
        known = {name for name, _ in (*module.named_parameters(), *module.named_buffers())}
        missing, unexpected = sorted(known - set(tensors)), sorted(set(tensors) - known)
        if missing or unexpected:
            raise RuntimeError(f"Error(s) in loading state_dict: missing keys {missing}, unexpected keys {unexpected}")
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, tensors, tie_weights):
        return module(*args, **(kwargs or {}))


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of modules of one kind, stacked along a new first dimension: for `functional_call` under
    `vmap`."""
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(m.training != models[0].training for m in models):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    columns: list[dict[str, Any]] = [dict(m.named_parameters()) for m in models]
    params = {k: _stacked([c[k] for c in columns]) for k in columns[0]}
    columns = [dict(m.named_buffers()) for m in models]
    return params, {k: F.stack([c[k] for c in columns]).detach() for k in columns[0]}


def _stacked(tensors: list) -> Tensor:
    flags = {t.requires_grad for t in tensors}
    if len(flags) > 1:
        raise RuntimeError("Expected each parameter to have the same .requires_grad")
    if any(not t.is_leaf for t in tensors):
        return F.stack(tensors)
    found = F.stack([t.detach() for t in tensors])
    return found.requires_grad_() if flags.pop() else found


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """A function with the same values and effects whose body works on copies: what it writes into its inputs is copied
    into them at the end, in one write each."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            "functionalize(f, remove='mutations'): received invalid argument for remove=. Valid options are: "
            f"remove='mutations' and remove='mutations_and_views', got {remove!r}"
        )

    def call(*args: Any, **kwargs: Any) -> Any:
        def own(x: Any) -> Any:
            return F.clone(x) if isinstance(x, Tensor) else x

        mine, named = tree_map(own, args), tree_map(own, kwargs)
        before = [x._version for x in leaves((mine, named)) if isinstance(x, Tensor)]
        result = func(*mine, **named)
        pairs = [(x, y) for x, y in zip(leaves((args, kwargs)), leaves((mine, named))) if isinstance(x, Tensor)]
        for (x, y), version in zip(pairs, before):
            if y._version != version:
                x.copy_(y)
        return result

    return call


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Lets every batch normalisation below `root` use the statistics of its batch alone, so that vmap can run it (it
    cannot write one running average for all elements). Returns `root`."""
    for m in root.modules():
        if hasattr(m, "running_mean") and hasattr(m, "track_running_stats"):
            m.running_mean = m.running_var = m.num_batches_tracked = None
            m.track_running_stats = False
    return root
