"""`Function.apply` on tensors of transforms: forward mode runs `jvp`, vmap runs `vmap` or, where the class allows it
(`generate_vmap_rule`), forward and backward over whole batches."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core
from ..autograd.function import Function, FunctionCtx
from ..ops.namespace import F
from .batched import VmapLevel
from .duals import below, differentiable, tangent_of
from .forward import own_tangent
from .levels import value_of

Tensor = _core.Tensor


class VmapInfo(NamedTuple):
    """What `Function.vmap` is told: the size of the batch, and what random operators are to do."""

    batch_size: int
    randomness: str


class Context:
    """Stands in for a function's context where the tape has one of its own for the whole batch."""

    def __init__(self, needs_input_grad: tuple):
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple = ()
        self.for_forward: tuple | None = None
        self.non_differentiable: tuple = ()
        self.materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        self.for_forward = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        self.non_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        raise RuntimeError("vmap: an autograd.Function that writes its inputs in place (mark_dirty) is not supported")

    def set_materialize_grads(self, value: bool) -> None:
        self.materialize = value

    def of_forward_mode(self) -> Context:
        found = object.__new__(Context)
        found.__dict__.update(self.__dict__)
        if self.for_forward is not None:
            found.saved_tensors = self.for_forward
        return found


def apply_function(cls: Any, args: tuple) -> Any:
    """`cls.apply(*args)` where an argument belongs to a transform or has a tangent."""
    return _applied(cls, args)[0]


def _applied(cls: Any, args: tuple) -> tuple[Any, Any]:
    """(results, the context)."""
    level: VmapLevel | None = None
    for a in args:
        value = value_of(a)
        if value is not None and (level is None or value.level.number > level.number):
            level = value.level
    tangents = _core.forward_level(*args)
    if level is None and tangents < 0:
        contexts: list = []

        def make() -> FunctionCtx:
            contexts.append(FunctionCtx())
            return contexts[-1]

        return _core.apply_function(cls, make, args), contexts[0]
    if level is None or tangents > level.number:
        return _pushed(cls, args, tangents)
    return _vectorized(cls, args, level)


def _several(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


# -- forward mode ------------------------------------------------------------------------------------------------------
def _pushed(cls: Any, args: tuple, level: int) -> tuple[Any, Any]:
    given = [tangent_of(a, level) for a in args]
    with below(level):
        result, ctx = _applied(cls, args)
        outputs, pushed = _several(result), _several(cls.jvp(ctx.of_forward_mode(), *given))
        if len(pushed) != len(outputs):
            raise RuntimeError(
                f"{cls.__name__}.jvp: expected {len(outputs)} tangents, one per output of forward, got {len(pushed)}"
            )
        for y, t in zip(outputs, pushed):
            if t is None or not differentiable(y):
                continue
            if tuple(t.shape) != tuple(y.shape):
                raise RuntimeError(
                    f"{cls.__name__}.jvp: expected a tangent of shape {list(y.shape)}, got {list(t.shape)}"
                )
            _core.set_tangent(y, level, own_tangent(t, y, given))
    return result, ctx


# -- vmap --------------------------------------------------------------------------------------------------------------
def _vectorized(cls: Any, args: tuple, level: VmapLevel) -> tuple[Any, Any]:
    given = cls.vmap is not Function.vmap
    if given and cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and a vmap staticmethod of "
            "its own. Set generate_vmap_rule=False or leave the staticmethod out."
        )
    if not given and not cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and implement the "
            "vmap staticmethod or set generate_vmap_rule=True."
        )
    if not cls._has_setup_context:
        raise RuntimeError(
            f"In order to use the autograd.Function {cls.__name__} with vmap, it must override the setup_context "
            "staticmethod."
        )
    inner = [level.inner(a) if isinstance(a, Tensor) else None for a in args]
    in_dims = tuple(None if x is None else 0 for x in inner)
    values = tuple(a if x is None else x for a, x in zip(args, inner))
    if given:
        result, out_dims = cls.vmap(VmapInfo(level.size, level.randomness), in_dims, *values)
        several = isinstance(result, (tuple, list))
        dims = _several(out_dims) if several else (out_dims,)
        outputs = tuple(
            y if d is None or not isinstance(y, Tensor) else level.wrap(F.movedim(y, d, 0) if d else y)
            for y, d in zip(_several(result), dims, strict=True)
        )
    else:
        found = _Vectorized.apply(cls, level.size, level.randomness, in_dims, *values)
        several = isinstance(found, tuple)
        outputs = tuple(level.wrap(y) if isinstance(y, Tensor) else y for y in _several(found))
    result = outputs if several else outputs[0]
    ctx = Context(tuple(isinstance(a, Tensor) and a.requires_grad for a in args))
    cls.setup_context(ctx, args, result)
    return result, ctx


class _Vectorized(Function):
    """A function with `generate_vmap_rule` over a batch: forward, backward and jvp run under vmap."""

    @staticmethod
    def forward(ctx: Any, cls: Any, size: int, randomness: str, in_dims: tuple, *values: Any) -> Any:
        with VmapLevel(size, randomness) as level:
            args = tuple(x if d is None else level.wrap(x) for x, d in zip(values, in_dims))
            result = cls.forward(*args)
            mine = Context(ctx.needs_input_grad[4:])
            cls.setup_context(mine, args, result)
            outputs = tuple(level.batch(y) if isinstance(y, Tensor) else y for y in _several(result))
            ctx.mark_non_differentiable(
                *(o for y, o in zip(_several(result), outputs) if any(y is n for n in mine.non_differentiable))
            )
            ctx.cls, ctx.mine, ctx.size, ctx.in_dims, ctx.randomness = cls, mine, size, in_dims, randomness
            ctx.save_for_backward(*_kept(ctx, "backward", mine.saved_tensors, level))
            if mine.for_forward is not None:
                ctx.save_for_forward(*_kept(ctx, "forward", mine.for_forward, level))
            mine.saved_tensors, mine.for_forward = (), None
        ctx.set_materialize_grads(mine.materialize)
        return outputs if isinstance(result, (tuple, list)) else outputs[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        with VmapLevel(ctx.size, ctx.randomness) as level:
            ctx.mine.saved_tensors = _again(ctx, "backward", ctx.saved_tensors, level)
            try:
                found = ctx.cls.backward(ctx.mine, *(None if g is None else level.wrap(g) for g in gradients))
            finally:
                ctx.mine.saved_tensors = ()
            results = []
            for g, d in zip(_several(found), ctx.in_dims):
                if isinstance(g, Tensor):
                    g = level.batch(g) if d == 0 else F.sum(level.batch(g), 0)
                results.append(g)
        return (None, None, None, None, *results)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        with VmapLevel(ctx.size, ctx.randomness) as level:
            own = ctx.mine.of_forward_mode()
            own.saved_tensors = _again(ctx, "forward", ctx.saved_tensors, level)
            given = (t if t is None or d is None else level.wrap(t) for t, d in zip(tangents[4:], ctx.in_dims))
            found = ctx.cls.jvp(own, *given)
            results = tuple(level.batch(t) if isinstance(t, Tensor) else t for t in _several(found))
        return results if isinstance(found, (tuple, list)) else results[0]


def _kept(ctx: Any, what: str, tensors: tuple, level: VmapLevel) -> list:
    """The tensors below, and on ctx which of them stood for the batch."""
    inner = [None if t is None else level.inner(t) for t in tensors]
    setattr(ctx, f"batched_{what}", tuple(x is not None for x in inner))
    return [t if x is None else x for t, x in zip(tensors, inner)]


def _again(ctx: Any, what: str, tensors: tuple, level: VmapLevel) -> tuple:
    flags = getattr(ctx, f"batched_{what}", ctx.batched_backward)  # jvp may read what backward does
    return tuple(level.wrap(t) if batched else t for t, batched in zip(tensors, flags))
