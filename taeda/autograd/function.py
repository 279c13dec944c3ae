"""Custom functions: a forward and a backward of your own on the tape."""

from __future__ import annotations

import functools

from .. import _core

TYPE_CHECKING = False  # without importing typing, which would triple this package's import time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Tensor = _core.Tensor


_NO_BACKWARD = (
    "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward "
    "mode AD."
)


class FunctionCtx(_core.FunctionState):
    """Carries what forward leaves for backward: saved tensors, and any attributes."""

    def save_for_forward(self, *tensors: Any) -> None:
        """Keeps tensors (or None) for `jvp`, which finds them in saved_tensors."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_forward can only save tensors or None, but argument {i} is of type {type(t).__name__}"
                )
        self._for_forward = tensors

    def of_forward_mode(self) -> Any:
        """What `jvp` is given: the attributes of this context, and the tensors that were saved for it."""
        return _ForwardCtx(self)


class _ForwardCtx:
    def __init__(self, ctx: FunctionCtx):
        self.__dict__.update(ctx.__dict__)
        self._ctx = ctx

    @property
    def saved_tensors(self) -> tuple:
        found = self.__dict__.get("_for_forward")
        return self._ctx.saved_tensors if found is None else found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


class Function:
    """A differentiable operation of your own.

    Derive, write `forward(ctx, *args)` and `backward(ctx, *grads)` as static methods, and call `apply(*args)`. Backward
    returns one gradient (or None) per argument of forward. Instead of taking ctx, forward may leave it to
    `setup_context(ctx, inputs, output)`.
    """

    _has_setup_context = False
    #: True: vmap may run forward, backward and jvp over batches; forward must not depend on values.
    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any):
        raise RuntimeError(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself."
        )

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        cls._has_setup_context = cls.setup_context is not Function.setup_context
        if cls.vjp is not Function.vjp:
            if cls.backward is not Function.backward and cls.backward is not cls.vjp:
                raise RuntimeError(f"{cls.__name__} implements both 'backward' and 'vjp'; write one of them")
            cls.backward = staticmethod(cls.vjp)  # type: ignore[method-assign]

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the outputs: a tensor, or a tuple of tensors and other values."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Any) -> None:
        """Keeps on ctx what backward needs, where forward does not take ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """Gradients with respect to the arguments of forward, given those with respect to its outputs."""
        raise NotImplementedError(_NO_BACKWARD)

    @staticmethod
    def vjp(ctx: FunctionCtx, *grad_outputs: Any) -> Any:
        """Another name for `backward`."""
        raise NotImplementedError(_NO_BACKWARD)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> Any:
        """(outputs, out_dims) for a batch: args have the batch at dimension in_dims (None: no batch); `info` has
        batch_size and randomness."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap static method or set "
            "generate_vmap_rule=True."
        )

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Forward mode: the tangents of the outputs, given those of the arguments of forward (None where there is
        none)."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs forward and records the operation."""
        if kwargs or cls._has_setup_context:
            args = _bound(cls, args, kwargs)
        if _core.is_transformed(*args):
            import taeda  # its transforms build on this package

            return taeda.func.custom.apply_function(cls, args)
        return _core.apply_function(cls, FunctionCtx, args)


def _bound(cls: type[Function], args: tuple, kwargs: dict) -> tuple:
    """The arguments in the order of forward's parameters, defaults filled in."""
    import inspect

    signature = inspect.signature(cls.forward)
    given = args if cls._has_setup_context else (None, *args)
    bound = signature.bind(*given, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{cls.__name__}.forward: keyword-only parameters cannot be given to apply(): {sorted(bound.kwargs)}"
        )
    return bound.args if cls._has_setup_context else bound.args[1:]


class _Once(Function):
    """Passes tensors on; its backward says that there is no second derivative."""

    @staticmethod
    def forward(ctx, *tensors):
        return tuple(t.detach() for t in tensors)

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def once_differentiable(backward: Callable) -> Callable:
    """Marks a backward that is not made of differentiable operations: differentiating through it raises."""

    @functools.wraps(backward)
    def wrapper(ctx, *args):
        before = _core._set_grad_enabled(False)
        try:
            outputs = backward(ctx, *args)
        finally:
            _core._set_grad_enabled(before)
        if not before or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return outputs
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        places = [i for i, o in enumerate(several) if isinstance(o, Tensor)]
        guarded = _Once.apply(*(several[i].detach().requires_grad_() for i in places)) if places else ()
        result = list(several)
        for i, o in zip(places, guarded):
            result[i] = o
        return tuple(result) if isinstance(outputs, tuple) else result[0]

    return wrapper
