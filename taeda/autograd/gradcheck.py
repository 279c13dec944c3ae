"""Derivatives against finite differences.

Everything is compared as real numbers: a complex element counts as two, its real and its imaginary part, which is what
PyTorch's convention for complex gradients (d/dre + i d/dim) amounts to.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _core
from ..ops.namespace import F
from .function import Function
from .run import grad

Tensor = _core.Tensor


class GradcheckError(RuntimeError):
    """A derivative differs from the finite difference, or a further check failed."""


class _Options(NamedTuple):
    eps: float
    atol: float
    rtol: float
    nondet_tol: float
    undefined: bool
    dtypes: bool
    batched: bool
    batched_forward: bool
    forward: bool
    backward: bool
    fast: bool


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the derivatives of func at `inputs` agree with central differences of width `eps`.

    The inputs that require a gradient are varied; they should be float64 or complex128. An element is right where
    |derivative - difference| <= atol + rtol * |difference|. What else is checked:

    check_backward_ad: backward mode; it must give the same within nondet_tol when it runs again, and zero for a zero
    gradient. check_forward_ad: forward mode. check_undefined_grad: gradients and tangents that are left out count as
    zero. check_grad_dtypes: gradients have the dtype of their inputs. check_batched_grad, check_batched_forward_grad:
    derivatives for a batch of vectors at once (by vmap) are those of the vectors one by one. fast_mode: one product
    with random vectors in the place of the whole Jacobian. masked concerns sparse inputs only.

    Raises GradcheckError, or returns False where raise_exception is off.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    if check_batched_grad and not check_backward_ad:
        raise AssertionError("Setting check_batched_grad=True requires check_backward_ad to be True")
    if check_batched_forward_grad and not check_forward_ad:
        raise AssertionError("Setting check_batched_forward_grad=True requires check_forward_ad to be True")
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    options = _Options(
        eps=eps,
        atol=atol,
        rtol=rtol,
        nondet_tol=nondet_tol,
        undefined=check_undefined_grad,
        dtypes=check_grad_dtypes,
        batched=check_batched_grad,
        batched_forward=check_batched_forward_grad,
        forward=check_forward_ad,
        backward=check_backward_ad,
        fast=fast_mode,
    )
    try:
        _Check(func, args, options).run()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the backward pass itself: second derivatives, by the inputs and by the incoming gradients.

    grad_outputs: where to differentiate by those; made up where it is left out (gen_non_contig_grad_outputs: with gaps
    in memory). check_rev_over_rev differentiates the backward pass in backward mode, check_fwd_over_rev in forward
    mode. The rest is as for `gradcheck`.
    """
    if not (check_fwd_over_rev or check_rev_over_rev):
        raise AssertionError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None:
        starts = _made_up(_outputs(func(*args)), gen_non_contig_grad_outputs)
    else:
        starts = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    count = len(args)

    def backward(*values):
        xs = list(values[:count])
        ys = _outputs(func(*xs))
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        found = grad(ys, wanted, list(values[count:]), create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        backward,
        (*args, *starts),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
    )


# -- numbers -----------------------------------------------------------------------------------------------------------
def _outputs(value: Any) -> list[Tensor]:
    """The outputs that require a gradient."""
    items = value if isinstance(value, (tuple, list)) else (value,)
    for y in items:
        if not isinstance(y, Tensor):
            raise AttributeError(
                f"gradcheck: the function must return tensors (attribute requires_grad), not {type(y).__name__}"
            )
    return [y for y in items if y.requires_grad]


def _real(t: Tensor) -> Tensor:
    """The elements of t in order, a complex one as its two parts."""
    t = t.detach().resolve_conj().contiguous() if t.is_complex() else t.detach()
    return (F.view_as_real(t) if t.is_complex() else t).reshape((-1,))


def _from_real(values: Tensor, like: Tensor) -> Tensor:
    """What `_real` took apart."""
    if like.is_complex():
        return F.view_as_complex(values.reshape((*like.shape, 2)))
    return values.reshape(like.shape)


def _width(t: Tensor) -> int:
    """How many real numbers t holds."""
    return t.numel() * (2 if t.is_complex() else 1)


def _part(t: Tensor) -> Any:
    return t.real.dtype if t.is_complex() else t.dtype


def _unit(t: Tensor, place: int) -> Tensor:
    """The unit vector of t's shape for one of its real numbers."""
    flat = F.zeros(_width(t), dtype=_part(t))
    flat[place] = 1
    return _from_real(flat, t)


def _made_up(outputs: list[Tensor], gaps: bool) -> list[Tensor]:
    found, source = [], random.Random(0)
    for y in outputs:
        flat = F.tensor([source.uniform(-1, 1) for _ in range(_width(y))], dtype=_part(y))
        g = _from_real(flat, y)
        if gaps:
            g = F.stack([g, g], -1)[..., 0]
        found.append(g.detach().requires_grad_())
    return found


def _far(a: Tensor, b: Tensor, atol: float, rtol: float) -> bool:
    """Whether any |a - b| is beyond atol + rtol * |b|; not-a-numbers are."""
    return not bool(((a - b).abs() <= atol + rtol * b.abs()).all())


class _Undefined(Function):
    """Passes a tensor on; its backward hands no gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> None:
        return None


# -- the check ---------------------------------------------------------------------------------------------------------
class _Check:
    """One function at one point."""

    def __init__(self, func: Callable, args: list, options: _Options):
        self.func, self.args, self.options = func, args, options
        self.places = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
        if not self.places:
            raise ValueError(
                "gradcheck expects at least one input tensor to require gradient, but none of the them have "
                "requires_grad=True."
            )
        for i in self.places:
            self._look_at(i)
        self.inputs = [args[i] for i in self.places]
        self.outputs = _outputs(func(*args))

    def _look_at(self, i: int) -> None:
        x = self.args[i]
        if x.dtype not in (_core.float64, _core.complex128):
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check "
                "will likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=4,
            )
        if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape)):
            raise RuntimeError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping to be able to compute the numerical gradients correctly. You should call .contiguous "
                "on the input before passing it to gradcheck."
            )

    def run(self) -> None:
        options = self.options
        if not self.outputs:
            return self._check_constant()
        if options.fast:
            self._compare_fast()
        else:
            self._compare_slow()
        if options.backward:
            for k in range(len(self.outputs)):
                self._check_again(k)
            if options.batched:
                self._check_batched()
            self._check_zero()
            if options.undefined:
                self._check_undefined()
        if options.forward:
            if options.undefined:
                self._check_missing_tangents()
            if options.batched_forward:
                self._check_batched_forward()
        return None

    # finite differences
    def _moved(self, i: int, by: Tensor) -> list[Tensor]:
        """The outputs as real numbers when input number i is moved by so much."""
        args = list(self.args)
        x = self.inputs[i].detach().clone()
        x += _from_real(by, x)
        x.requires_grad_()
        for place in self.places:  # one tensor may be given several times
            if self.args[place] is self.inputs[i]:
                args[place] = x
        value = self.func(*args)
        items = value if isinstance(value, (tuple, list)) else (value,)
        if self.outputs:
            items = [y for y in items if y.requires_grad]
        return [_real(y) for y in items if y.is_floating_point() or y.is_complex()]

    def _difference(self, i: int, direction: Tensor) -> list[Tensor]:
        """Per output its change for a step of input number i along `direction`."""
        eps = self.options.eps
        low, high = self._moved(i, direction * -eps), self._moved(i, direction * eps)
        return [(b - a) / (2 * eps) for a, b in zip(low, high)]

    def _numeric(self, i: int) -> list[Tensor]:
        """Per output the Jacobian by input number i: a row for each real number of the output."""
        x = self.inputs[i]
        n = _width(x)
        columns = [self._difference(i, _real(_unit(x, j))) for j in range(n)]
        if not columns:
            return [F.zeros(_width(y), 0, dtype=_part(y)) for y in self.outputs]
        return [F.stack(list(column), 1) for column in zip(*columns)]

    # backward mode
    def _vjp(self, k: int, vector: Tensor, dtypes: bool = False) -> list[Tensor | None]:
        found = grad(self.outputs[k], self.inputs, vector, retain_graph=True, allow_unused=True)
        for g, x, place in zip(found, self.inputs, self.places):
            if g is None:
                continue
            if tuple(g.shape) != tuple(x.shape):
                raise GradcheckError(
                    f"Analytical gradient has incorrect size: {tuple(g.shape)} for input {place} of size "
                    f"{tuple(x.shape)}"
                )
            if dtypes and g.dtype is not x.dtype:
                raise GradcheckError(f"Gradient has dtype mismatch: {g.dtype} for input {place} of dtype {x.dtype}")
        return list(found)

    def _rows(self, k: int) -> list[Tensor]:
        """Per input the Jacobian of output k from backward mode."""
        y, rows = self.outputs[k], []
        for j in range(_width(y)):
            found = self._vjp(k, _unit(y, j), self.options.dtypes)
            rows.append(
                [F.zeros(_width(x), dtype=_part(x)) if g is None else _real(g) for g, x in zip(found, self.inputs)]
            )
        if not rows:
            return [F.zeros(0, _width(x), dtype=_part(x)) for x in self.inputs]
        return [F.stack(list(row), 0) for row in zip(*rows)]

    # forward mode
    def _jvp(self, tangents: list[Tensor | None]) -> list[Tensor]:
        """Per output its tangent, where the inputs have these."""
        from . import forward_ad

        args = list(self.args)
        with forward_ad.dual_level():
            for x, t in zip(self.inputs, tangents):
                dual = x.detach().requires_grad_()
                if t is not None:
                    dual = forward_ad.make_dual(dual, t)
                elif any(x is y and other is not None for y, other in zip(self.inputs, tangents)):
                    continue  # given several times, with the tangent at another place
                for place in self.places:
                    if self.args[place] is x:
                        args[place] = dual
            outputs = [forward_ad.unpack_dual(y) for y in _outputs(self.func(*args))]
        return [F.zeros_like(y.primal) if y.tangent is None else y.tangent.detach() for y in outputs]

    def _tangents(self, i: int, vector: Tensor, rest: bool = False) -> list[Tensor | None]:
        return [vector if j == i else F.zeros_like(x.detach()) if rest else None for j, x in enumerate(self.inputs)]

    def _columns(self, i: int) -> list[Tensor]:
        """Per output the Jacobian by input number i from forward mode."""
        x = self.inputs[i]
        columns = [[_real(t) for t in self._jvp(self._tangents(i, _unit(x, j)))] for j in range(_width(x))]
        if not columns:
            return [F.zeros(_width(y), 0, dtype=_part(y)) for y in self.outputs]
        return [F.stack(list(column), 1) for column in zip(*columns)]

    # comparisons
    def _compare_slow(self) -> None:
        numeric = [self._numeric(i) for i in range(len(self.inputs))]
        if self.options.backward:
            for k in range(len(self.outputs)):
                for i, exact in enumerate(self._rows(k)):
                    self._compare(k, i, exact, numeric[i][k], "Jacobian")
        if self.options.forward:
            for i in range(len(self.inputs)):
                for k, exact in enumerate(self._columns(i)):
                    self._compare(k, i, exact, numeric[i][k], "Jacobian computed with forward mode")

    def _compare(self, k: int, i: int, exact: Tensor, numeric: Tensor, what: str) -> None:
        numeric = numeric.to(exact.dtype)
        if not _far(exact, numeric, self.options.atol, self.options.rtol):
            return
        part = ""
        if self.outputs[k].is_complex():
            real = _far(exact[::2], numeric[::2], self.options.atol, self.options.rtol)
            part = f"While considering the {'real' if real else 'imaginary'} part of complex outputs only, "
        raise GradcheckError(
            f"{part}{what} mismatch for output {k} with respect to input {self.places[i]},\n"
            f"numerical:{numeric}\nanalytical:{exact}\n"
            f"(rows: real numbers of the output; eps {self.options.eps:g}, atol {self.options.atol:g}, "
            f"rtol {self.options.rtol:g})"
        )

    def _compare_fast(self) -> None:
        """v J u for random v and u in the place of J. An error of atol in every element of J moves it by atol times
        the sums of v and u."""
        source = random.Random(0)

        def vector(t: Tensor) -> Tensor:
            found = F.tensor([source.uniform(0.1, 1) for _ in range(_width(t))], dtype=_part(t))
            return found / found.norm() if len(found) else found

        options = self.options
        us = [vector(x) for x in self.inputs]
        vs = [vector(y) for y in self.outputs]
        slopes = [self._difference(i, u) for i, u in enumerate(us)]
        found: list[tuple[int, int, Any, str]] = []
        if options.backward:
            for k, (y, v) in enumerate(zip(self.outputs, vs)):
                gradients = self._vjp(k, _from_real(v, y), options.dtypes)
                for i, g in enumerate(gradients):
                    found.append((k, i, 0 if g is None else (_real(g) * us[i]).sum(), "Jacobian"))
        if options.forward:
            for i, u in enumerate(us):
                for k, t in enumerate(self._jvp(self._tangents(i, _from_real(u, self.inputs[i])))):
                    found.append((k, i, (_real(t) * vs[k]).sum(), "Jacobian computed with forward mode"))
        for k, i, exact, what in found:
            numeric = float((slopes[i][k] * vs[k].to(slopes[i][k].dtype)).sum())
            atol = options.atol * max(float(us[i].sum() * vs[k].sum()), 1.0)
            if abs(float(exact) - numeric) <= atol + options.rtol * abs(numeric):
                continue
            report = (
                f"{what} mismatch for output {k} with respect to input {self.places[i]},\nnumerical:{numeric}\n"
                f"analytical:{float(exact)}\n\nThese are products of the Jacobian with random vectors (fast mode). "
            )
            try:
                self._compare_slow()
            except GradcheckError as whole:
                raise GradcheckError(f"{report}The whole Jacobians:\n{whole}") from None
            raise GradcheckError(report + "Element by element (fast_mode=False) the Jacobians agree.")

    def _check_constant(self) -> None:
        """No output requires a gradient: none may change."""
        for i in range(len(self.inputs)):
            x = self.inputs[i]
            for j in range(_width(x)):
                for change in self._difference(i, _real(_unit(x, j))):
                    if _far(change, F.zeros_like(change), self.options.atol, self.options.rtol):
                        raise GradcheckError("Numerical gradient for function expected to be zero")

    # further checks
    def _ones(self, k: int) -> Tensor:
        y = self.outputs[k]
        return _from_real(F.linspace(0.5, 1.5, _width(y), dtype=_part(y)), y)

    def _check_again(self, k: int) -> None:
        vector = self._ones(k)
        for a, b in zip(self._vjp(k, vector), self._vjp(k, vector)):
            if a is None or b is None:
                continue
            if _far(_real(a), _real(b), self.options.nondet_tol, 0.0):
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                    "gives different values, although analytical gradient matches numerical gradient. The tolerance "
                    f"for nondeterminism was {self.options.nondet_tol}."
                )

    def _check_zero(self) -> None:
        zeros = [F.zeros_like(y.detach()) for y in self.outputs]
        found = grad(self.outputs, self.inputs, zeros, retain_graph=True, allow_unused=True)
        for place, g in zip(self.places, found):
            if g is not None and bool((_real(g).abs() > self.options.nondet_tol).any()):
                raise GradcheckError(
                    f"backward not multiplied by grad_output: input {place} has a gradient for a zero one"
                )

    def _check_undefined(self) -> None:
        """Leaves gradients out: all, then each alone; nothing but None or zero may come of those left out."""
        outputs = _outputs(self.func(*self.args))

        def gradients(left_out: set[int], others: float) -> tuple:
            given = [_Undefined.apply(y) if k in left_out else y for k, y in enumerate(outputs)]
            starts = [F.full_like(y.detach(), others) for y in outputs]
            return grad(given, self.inputs, starts, retain_graph=True, allow_unused=True)

        everything = set(range(len(outputs)))
        for left_out in [everything, *({k} for k in everything if len(everything) > 1)]:
            for place, g in zip(self.places, gradients(left_out, 0.0)):
                if g is not None and bool((_real(g) != 0).any()):
                    raise GradcheckError(
                        "Expected all input grads to be undefined or zero when all output grads are undefined or "
                        f"zero; that of input {place} is not. Backward must treat a gradient that is left out as zero."
                    )

    def _check_missing_tangents(self) -> None:
        """An input without a tangent counts as one whose tangent is zero."""
        for i, x in enumerate(self.inputs):
            repeated = any(x is y for y in self.inputs[:i] + self.inputs[i + 1 :])
            if len(self.inputs) == 1 or repeated or not _width(x):
                continue
            vector = _from_real(F.linspace(0.5, 1.5, _width(x), dtype=_part(x)), x)
            single, padded = self._jvp(self._tangents(i, vector)), self._jvp(self._tangents(i, vector, rest=True))
            for k, (a, b) in enumerate(zip(single, padded)):
                if _far(_real(a), _real(b), self.options.atol, self.options.rtol):
                    raise GradcheckError(
                        f"forward mode: output {k} has one tangent where the inputs other than {self.places[i]} have "
                        "zeros, and another where they have none"
                    )

    def _check_batched(self) -> None:
        for k, y in enumerate(self.outputs):
            vectors = [self._ones(k), self._ones(k) * -0.5]
            loop = [self._vjp(k, v) for v in vectors]
            try:
                batch = grad(
                    y, self.inputs, F.stack(vectors, 0), retain_graph=True, allow_unused=True, is_grads_batched=True
                )
            except RuntimeError as e:
                raise GradcheckError(f"While computing batched gradients, got: {e}") from e
            for i, (g, singles) in enumerate(zip(batch, zip(*loop))):
                self._same_batch(g, singles, k, i, "gradients", "vmap of backward mode")

    def _check_batched_forward(self) -> None:
        import taeda  # its transforms build on this package

        for i, x in enumerate(self.inputs):
            if not _width(x):
                continue
            vector = _from_real(F.linspace(0.5, 1.5, _width(x), dtype=_part(x)), x)
            vectors = [vector, vector * -0.5]
            loop = [self._jvp(self._tangents(i, v)) for v in vectors]
            try:
                batch = taeda.func.vmap(lambda v, i=i: tuple(self._jvp(self._tangents(i, v))))(F.stack(vectors, 0))
            except RuntimeError as e:
                raise GradcheckError(f"While computing batched gradients of forward mode, got: {e}") from e
            for k, (g, singles) in enumerate(zip(batch, zip(*loop))):
                self._same_batch(g, singles, k, i, "forward gradients", "vmap of forward mode")

    def _same_batch(self, batch: Any, singles: tuple, k: int, i: int, what: str, how: str) -> None:
        for n, single in enumerate(singles):
            if single is None or batch is None:
                if single is not batch and bool((_real(single if batch is None else batch) != 0).any()):
                    raise GradcheckError(f"{how}: one of the {what} of output {k} by input {self.places[i]} is missing")
                continue
            if _far(_real(batch[n]), _real(single), self.options.atol, self.options.rtol):
                raise GradcheckError(
                    f"For output {k} and input {self.places[i]}:\nthe batched {what} ({how}) differ from those "
                    f"computed one by one:\nbatched:{batch[n]}\none by one:{single}"
                )
