"""Running the tape: `backward`, `grad`, and the methods of Tensor that go with them."""

from __future__ import annotations

from .. import _core
from ..utils.hooks import RemovableHandle

TYPE_CHECKING = False  # without importing typing, which would triple this package's import time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

Tensor = _core.Tensor


def _tensors(value: Any) -> tuple:
    return (value,) if isinstance(value, Tensor) else tuple(value)


def _gradients(given: Any, count: int) -> tuple:
    if given is None:
        return (None,) * count
    return _tensors(given)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Adds the gradients of `tensors` to the `.grad` of the leaves they were computed from (or of `inputs` only).

    grad_tensors: the gradient each tensor starts with; a tensor of one element needs none. retain_graph keeps what the
    graph saved, for another pass; create_graph records the pass itself.
    """
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only "
                "use `grad_tensors`."
            )
        grad_tensors = grad_variables
    if inputs is not None:
        inputs = _tensors(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots = _tensors(tensors)
    gradients = _gradients(grad_tensors, len(roots))
    if create_graph:
        _warn_of_cycle()
    keep = create_graph if retain_graph is None else retain_graph
    _core.run_backward(roots, gradients, bool(keep), bool(create_graph), inputs or (), True)


def _warn_of_cycle() -> None:
    import warnings

    warnings.warn(
        "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient "
        "which can cause a memory leak. We recommend using autograd.grad when creating the graph to avoid this. If you "
        "have to use this function, make sure to reset the .grad fields of your parameters to None after use to break "
        "the cycle and avoid the leak.",
        stacklevel=3,
    )


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    is_grads_batched: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of `outputs` with respect to `inputs`, without touching any `.grad`.

    allow_unused: None for an input that no output depends on, instead of an error; materialize_grads: zeros for it.
    is_grads_batched: every given gradient has a leading dimension, over which the results are stacked. Other arguments
    as for `backward`.
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    roots, wanted = _tensors(outputs), _tensors(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    gradients = _gradients(grad_outputs, len(roots))
    keep = bool(create_graph if retain_graph is None else retain_graph)
    if is_grads_batched:
        found = _batched(roots, wanted, gradients, keep, bool(create_graph))
    else:
        found = _core.run_backward(roots, gradients, keep, bool(create_graph), wanted, False)
    if materialize_grads:
        return tuple(t.new_zeros(t.shape) if g is None else g for g, t in zip(found, wanted))
    if not allow_unused:
        for i, g in enumerate(found):
            if g is None:
                raise RuntimeError(
                    f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                    "allow_unused=True if this is the desired behavior."
                )
    return found


def _batched(roots: tuple, wanted: tuple, gradients: tuple, keep: bool, create: bool) -> tuple:
    counts = {g.shape[0] for g in gradients if g is not None}
    if len(counts) != 1 or any(g is None for g in gradients):
        raise RuntimeError("is_grads_batched needs a gradient for every output, all with the same leading dimension")
    (count,) = counts
    used: list[bool] = []

    def one(*seeds: Tensor) -> list:
        found = _core.run_backward(roots, seeds, keep, create, wanted, False)
        used[:] = [g is not None for g in found]
        return [g for g in found if g is not None]

    import taeda  # its transforms build on this module

    results = iter(taeda.func.vmap(one)(*gradients)) if count else iter(())
    if not count:
        return tuple(t.new_zeros((0, *t.shape)) for t in wanted)
    return tuple(next(results) if there else None for there in used)


# -- methods of Tensor and of nodes ------------------------------------------------------------------------------------
def _tensor_backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
    """Adds the gradients of this tensor to the `.grad` of the leaves behind it; see `taeda.autograd.backward`."""
    if inputs is None and not create_graph:  # the usual call, without the helper's checks
        _core.run_backward((self,), (gradient,), bool(retain_graph), False, (), True)
    else:
        backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def _register_hook(self, hook: Callable) -> RemovableHandle:
    """Calls hook(gradient) whenever the gradient of this tensor is computed; a tensor it returns takes its place."""
    return RemovableHandle.add(_core.tensor_hooks(self), hook)


def _register_post_accumulate_grad_hook(self, hook: Callable) -> RemovableHandle:
    """Calls hook(tensor) after a backward pass has added to the `.grad` of this leaf."""
    return RemovableHandle.add(_core.post_accumulate_hooks(self), hook)


def _node_register_hook(self, hook: Callable) -> RemovableHandle:
    """Calls hook(grad_inputs, grad_outputs) after the node ran; a tuple it returns takes the place of grad_inputs."""
    return RemovableHandle.add(self._post_hooks, hook)


def _node_register_prehook(self, hook: Callable) -> RemovableHandle:
    """Calls hook(grad_outputs) before the node runs; a tuple it returns takes the place of grad_outputs."""
    return RemovableHandle.add(self._pre_hooks, hook)


def _full(shape, value, dtype):
    from ..ops.namespace import F

    return F.full(shape, value, dtype=dtype)


def install() -> None:
    """Puts the methods on Tensor and Node, and gives the core what it calls back. Called once."""
    methods: tuple[tuple[type, str, Callable], ...] = (
        (Tensor, "backward", _tensor_backward),
        (Tensor, "register_hook", _register_hook),
        (Tensor, "register_post_accumulate_grad_hook", _register_post_accumulate_grad_hook),
        (_core.Node, "register_hook", _node_register_hook),
        (_core.Node, "register_prehook", _node_register_prehook),
    )
    for cls, name, method in methods:
        setattr(cls, name, method)
    _core.set_hook("full", _full)
