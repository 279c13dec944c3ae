"""One capture of a Python callable: runs it on traced tensors and says what the program reads, returns and changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _core
from ..ir.graph import Graph, Value
from ..ir.partition import split
from ..ir.types import TensorType
from ..ops.namespace import F
from ..utils import host, pytree
from .errors import CaptureError, with_numbers
from .geometry import Geometry, contiguous
from .layout import Guard
from .reach import Reach
from .tracer import Tracer, active


@dataclass
class Source:
    """Where a graph input comes from at a call: argument `index`; the tensor itself; or the .grad of a leaf."""

    kind: str  # "argument", "tensor", "grad"
    index: int = -1
    tensor: Any = None  # "tensor": it; "grad": the leaf (or None: of argument `index`)
    order: tuple[int, ...] = ()  # memory order of its dimensions


@dataclass
class Returned:
    """How a tensor the caller gets is made: from return value `value`, or it is an input (or a view of one)."""

    value: int = -1
    source: int = -1
    geometry: tuple | None = None  # sizes, strides, offset (Sym) over what it is made from, where it is not that itself
    requires_grad: bool = False


@dataclass
class Captured:
    """A captured function."""

    graph: Graph
    sources: list[Source]
    results: list[Returned]
    tree: Any
    #: (leaf source, Returned or None to clear)
    grads: list[tuple[Source, Returned | None]] = field(default_factory=list)
    #: (dict, key, Returned): tensors left in modules and optimizer states
    stores: list[tuple[dict, Any, Returned]] = field(default_factory=list)
    hosts: list[tuple[Callable, tuple[float, ...]]] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    #: leaves (or argument numbers) whose .grad must be None, or not None, at entry
    grad_states: list[tuple[Source, bool]] = field(default_factory=list)
    #: what the function asked about the memory of its inputs
    layouts: list[Guard] = field(default_factory=list)
    backward: Backward | None = None


@dataclass
class Backward:
    """The backward program of a captured function whose results carry gradients."""

    graph: Graph
    #: results (by position) whose gradients it takes
    results: list[int]
    #: leaves it gives gradients for, and which return value that is (None: no gradient reaches the leaf)
    leaves: list[tuple[Source, int | None]]
    saved: list[Any]
    carried: list[str]


_installed = False


def install_hooks() -> None:
    """Connects the core's hooks with the tracer of the calling thread. Once."""
    global _installed
    if _installed:
        return
    from .symint import SYMBOLIC
    from .tracer import current

    _core.set_hook("trace", lambda op, args: current().call(op, args))
    _core.set_hook("traced_shape", _traced_shape)
    _core.set_hook("traced_layout", _traced_layout)
    _core.set_hook("traced_read", _traced_read)
    _core.set_hook("traced_version", _traced_version)
    _core.set_hook("traced_write", lambda t: current().written(t))
    _core.set_hook("symbolic", SYMBOLIC)
    reserve, empty = _core.rng_reserve, _core.empty

    def rng_reserve(n, generator=None):
        tracer = active()
        if tracer is None:
            return reserve(n, generator)
        if generator is not None and generator is not _core.default_generator:
            raise CaptureError("a compiled function draws from the default generator; pass no generator inside of it")
        return tracer.rng_reserve(n)

    def empty_(size, dtype=None, *rest):
        tracer = active()
        if tracer is None:
            return empty(size, dtype, *rest) if dtype is not None else empty(size)
        code = (dtype or _core.get_default_dtype()).code
        t = tracer.type_of(code, [tracer.sym(s) for s in size])
        return tracer.fresh(tracer.add("empty", "empty", [], [t]).output)

    def host_numbers(fn):
        tracer = active()
        return fn() if tracer is None else tracer.host_numbers(fn)

    F.__dict__["rng_reserve"], F.__dict__["_empty"] = rng_reserve, empty_
    host.capturing = host_numbers
    _installed = True


def _traced_shape(t: Any) -> tuple:
    tracer = active()
    if tracer is None:
        raise CaptureError("this tensor belongs to a finished capture; its sizes are no longer known")
    return F.Size(tracer.shape(t))


def _traced_layout(t: Any, what: str) -> Any:
    tracer = active()
    if tracer is None:
        raise CaptureError(f"{what}(): this tensor belongs to a finished capture; it has no memory")
    return tracer.layout(t, what)


def _traced_version(t: Any) -> int:
    tracer = active()
    return _core.traced_value(t).cell.version if tracer is None else tracer.version(t)


def _traced_read(t: Any, what: str) -> None:
    tracer = active()
    if tracer is None:
        raise CaptureError(f"{what}(): this tensor belongs to a finished capture; it has no value")
    tracer.refuse_read(t, what)


class Session:
    """Captures `fn(*args, **kwargs)`; `tensors` are the tensors among the arguments in flat order."""

    def __init__(self, fn: Callable, tree: Any, tensors: Sequence[Any], reach: Reach, name: str = "program"):
        install_hooks()
        self.fn, self.tree, self.tensors, self.reach = fn, tree, list(tensors), reach
        self.tracer = Tracer(_core, name)
        self.sources: list[Source] = []
        self.leaves: list[tuple[Source, Any, Any]] = []  # source, leaf (real, or traced argument), .grad at entry
        self.own = {id(p): p for p in reach.parameters()}
        self.grads: dict[int, Source] = {}

    def run(self, joint: bool = True) -> Captured:
        """Runs the function once. Python state that it changed is put back: the program changes it when it is run."""
        tr = self.tracer
        tr.on_lift = self._lifted
        before = [(d, k, v) for d in self.reach.holders() for k, v in d.items() if isinstance(v, _core.Tensor)]
        stores: list[tuple[dict, Any, Returned]] = []
        try:
            with tr:
                traced = self._arguments()
                args, kwargs = pytree.unflatten(self.tree, traced)
                self._watch_leaves(traced)
                result = self.fn(*args, **kwargs)
                self._check_arguments()
                captured = self._results(result)
                stores = self._stores()
                wanted = self._backward(captured) if joint else None
            captured.stores = stores
            return self._finish(captured, wanted)
        except Exception as error:
            with_numbers(error, tr.env.hints)
            raise
        finally:
            self._restore(before)

    # -- inputs --------------------------------------------------------------------------------------------------------
    def _arguments(self) -> list[Any]:
        traced: list[Any] = []
        known: dict[int, Any] = {}
        for k, t in enumerate(self.tensors):
            if id(t) in self.own:  # a parameter handed in: the same memory as the module's
                traced.append(t)
                continue
            if id(t) not in known:
                known[id(t)], order = self.tracer.argument(t, f"x{k}")
                self.sources.append(Source("argument", k, order=order))
            traced.append(known[id(t)])
        self.traced_arguments = list(known.values())
        return traced

    def _watch_leaves(self, traced: Sequence[Any]) -> None:
        for p in self.own.values():
            if p.requires_grad:
                self.leaves.append((Source("tensor", tensor=p), p, p.grad))
        for k, (real, t) in enumerate(zip(self.tensors, traced)):
            if real is not t and real.requires_grad and real.is_leaf:
                self.leaves.append((Source("argument", k), t, real.grad))
                if real.grad is not None:
                    t.grad = self.tracer.tensor(self.tracer.variable(real.grad))
        for source, _, grad in self.leaves:
            if grad is not None:
                self.grads[id(grad)] = Source("grad", source.index, source.tensor)

    def _lifted(self, t: Any, index: int) -> None:
        """A real tensor became graph input `index`."""
        source = self.grads.get(id(t))
        _, order = self.tracer.lifted_order[-1]
        if source is None:
            source = Source("tensor", tensor=t)
            if t.requires_grad and t.is_leaf and id(t) not in self.own:
                self.own[id(t)] = t
                self.leaves.append((Source("tensor", tensor=t), t, t.grad))
                if t.grad is not None:
                    self.grads[id(t.grad)] = Source("grad", tensor=t)
        self.sources.append(Source(source.kind, source.index, source.tensor, order))

    # -- results -------------------------------------------------------------------------------------------------------
    def _results(self, result: Any) -> Captured:
        tr = self.tracer
        leaves, tree = pytree.flatten(result, lambda x: isinstance(x, _core.Tensor))
        self.values: list[Value] = []
        self.numbers: dict[Value, int] = {}
        results = [self._returned(t) for t in leaves]
        grads: list[tuple[Source, Returned | None]] = []
        states: list[tuple[Source, bool]] = []
        for source, leaf, entry in self.leaves:
            now = leaf.grad
            expected = entry if source.kind == "tensor" else _grad_of(leaf, entry)
            read = entry is not None and any(
                s.kind == "grad" and (s.tensor is source.tensor and s.index == source.index) for s in self.sources
            )
            if (
                now is not None
                and _core.traced_value(now) is not None
                and not (source.kind == "argument" and now is expected)
            ):
                grads.append((source, self._returned(now)))
            elif now is None and entry is not None:
                grads.append((source, None))
            if entry is None or read:
                states.append((source, entry is not None))
        self.result_tensors = leaves
        if not grads and not self.reach.mentions_gradients and not any(s.kind == "grad" for s in self.sources):
            states = []  # the function has nothing to do with .grad
        captured = Captured(tr.graph, self.sources, results, tree, grads, hosts=tr.host_functions, grad_states=states)
        return captured

    def _returned(self, t: Any) -> Returned:
        """Says how the caller's tensor for traced (or real) `t` is made."""
        tr = self.tracer
        needs = bool(t.requires_grad)
        v = tr.variable(t)
        source = v.cell.source
        g = v.geometry
        if source is not None:
            base = tr.graph.inputs[source].type
            assert isinstance(base, TensorType)
            same = g.offset == 0 and g == contiguous(base.sizes)
            return Returned(source=source, geometry=None if same else self._geometry(g), requires_grad=needs)
        base = v.cell.value.type
        assert isinstance(base, TensorType)

        def dims(sizes, strides):
            return sorted((str(tr.env.resolve(k)), str(tr.env.resolve(n))) for n, k in zip(sizes, strides))

        # all elements of the value, in another order at most
        dense = g.offset == 0 and dims(g.sizes, g.strides) == dims(base.sizes, base.strides())
        value = v.cell.value if dense else tr.read(v)
        geometry = self._geometry(g) if dense and g.strides != base.strides() else None
        if value not in self.numbers:
            self.numbers[value] = len(self.values)
            self.values.append(value)
        return Returned(self.numbers[value], geometry=geometry, requires_grad=needs)

    def _geometry(self, g: Geometry) -> tuple:
        return g.sizes, g.strides, g.offset

    def _backward(self, captured: Captured) -> tuple[int, list[Value], list[Value], Backward] | None:
        """Runs the tape from the results that carry gradients: (cut, tangents, gradients, what they belong to)."""
        tr = self.tracer
        asked = [
            k
            for k, (t, r) in enumerate(zip(self.result_tensors, captured.results))
            if r.requires_grad and r.value >= 0 and _core.traced_value(t) is not None
        ]
        if not asked:
            return None
        cut = len(tr.graph.nodes)
        sources = [s for s in self.sources if s.kind == "argument"]
        leaves = [(s, t) for s, t in zip(sources, self.traced_arguments) if t.requires_grad]
        leaves += [(Source("tensor", tensor=t), t) for t, _ in tr.lifted_order if t.requires_grad]
        tangents, values = [], []
        for k in asked:
            t = self.result_tensors[k]
            sizes = tuple(tr.env.resolve(s) for s in tr.variable(t).geometry.sizes)
            value = tr.graph.add_input(TensorType(tr.variable(t).dtype, sizes), f"g{k}")
            values.append(value)
            tangents.append(tr.fresh(value))
        tensors = [self.result_tensors[k] for k in asked]
        try:
            found = _core.run_backward(tensors, tangents, True, False, [t for _, t in leaves], False)
        except RuntimeError as e:
            if "second time" not in str(e):
                raise
            # The function ran backward() itself and freed the tape: as in eager code, nobody can go back
            # from its results.
            del tr.graph.block.params[-len(values) :]
            return None
        gradients: list[Value] = []
        places: list[tuple[Source, int | None]] = []
        for (source, _), g in zip(leaves, found):
            places.append((source, None if g is None else len(gradients)))
            if g is not None:
                gradients.append(tr.read(tr.variable(g)))
        return cut, values, gradients, Backward(tr.graph, asked, places, [], [])

    def _check_arguments(self) -> None:
        """A program cannot give the caller's tensor another shape, as `x.t_()` does."""
        arguments = [k for k, source in enumerate(self.sources) if source.kind == "argument"]
        for index, t in zip(arguments, self.traced_arguments):
            if not self.tracer.layouts.is_whole(index, self.tracer.variable(t)):
                raise CaptureError(
                    f"the function changes the shape of argument {self.sources[index].index} in place; use the form "
                    "without the underscore"
                )

    def _finish(self, captured: Captured, wanted: Any) -> Captured:
        """Closes the graph: returned values, then the inputs that are written; then cuts off the backward program."""
        tr = self.tracer
        values: list[Value] = list(self.values)
        writes: list[int | None] = [None] * len(values)
        for index, cell in enumerate(tr.cells):
            if cell.writes:
                values.append(cell.value)
                writes.append(index)
        captured.graph = tr.finish(values, writes)
        captured.layouts = tr.layouts.guards
        env = tr.env
        for r in (*captured.results, *(r for _, r in captured.grads if r), *(r for _, _, r in captured.stores)):
            if r.geometry is not None:
                sizes, strides, offset = r.geometry
                r.geometry = (tuple(map(env.resolve, sizes)), tuple(map(env.resolve, strides)), env.resolve(offset))
        if wanted is not None:
            cut, tangents, gradients, backward = wanted
            parts = split(captured.graph, cut, tangents, gradients)
            captured.graph, backward.graph = parts.forward, parts.backward
            backward.saved, backward.carried = parts.saved, parts.carried
            captured.backward = backward
        return captured

    # -- Python state
    # ----------------------------------------------------------------------------------------------------
    def _stores(self) -> list[tuple[dict, Any, Returned]]:
        found = []
        for d in self.reach.holders():
            for key, value in d.items():
                if isinstance(value, _core.Tensor) and _core.traced_value(value) is not None:
                    found.append((d, key, self._returned(value)))
        return found

    def _restore(self, before: list[tuple[dict, Any, Any]]) -> None:
        for d, key, value in before:
            if d.get(key) is not value:
                d[key] = value
        known = {(id(d), key) for d, key, _ in before}
        for d in self.reach.holders():
            for key, value in list(d.items()):
                if (
                    (id(d), key) not in known
                    and isinstance(value, _core.Tensor)
                    and _core.traced_value(value) is not None
                ):
                    del d[key]
        for source, leaf, entry in self.leaves:
            if source.kind == "tensor" and leaf.grad is not entry:
                leaf.grad = entry


def _grad_of(leaf: Any, entry: Any) -> Any:
    return None if entry is None else leaf.grad
