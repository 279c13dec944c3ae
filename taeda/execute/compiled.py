"""Compiled callables: guards, the captured programs behind them, and one call."""

from __future__ import annotations

import os
import re
import sys
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from .. import _core, no_grad
from ..capture import layout
from ..capture.reach import Reach
from ..capture.session import Captured, Returned, Session, Source
from ..capture.tracer import active
from ..ir.graph import Graph
from ..ir.sym import Sym
from ..ir.types import TensorType
from ..utils import pytree
from . import differentiable, program

#: Programs of one function after which a warning says what keeps changing.
MANY = 16


def _log(message: str) -> None:
    if "compile" in os.environ.get("TAEDA_LOG", "").split(","):
        print(f"taeda: compile: {message}", file=sys.stderr)


def _is_tensor(x: Any) -> bool:
    return isinstance(x, _core.Tensor)


def sizes_check(
    graph: Graph, sources: list[Source]
) -> tuple[Callable[[list], bool], str, Callable[[list], dict[str, bool]]]:
    """A function of the arguments' shapes that says whether a program fits them, its text, and one that tells which
    conditions hold."""
    lines: list[str] = []
    tests: list[str] = []
    known: set[str] = set()
    for value, source in zip(graph.inputs, sources):
        if source.kind != "argument":
            continue
        t = value.type
        assert isinstance(t, TensorType)
        for d, s in enumerate(t.sizes):
            have = f"shapes[{source.index}][{source.order[d] if source.order else d}]"
            names = s.symbols()
            if len(names) == 1 and str(s) in names and str(s) not in known:
                known.add(str(s))
                lines.append(f"{s} = {have}")
            else:
                tests.append(f"{have} == {_python(s)}")
    tests += [f"{_python(g.a)} {g.op} {_python(g.b)}" for g in graph.guards if g.a.symbols() | g.b.symbols() <= known]
    body = "\n".join(f"    {line}" for line in lines)
    text = f"def check(shapes):\n{body}\n    return {' and '.join(tests) or 'True'}\n"
    scope: dict[str, Any] = {"floordiv": lambda a, b: a // b if b else 0, "mod": lambda a, b: a % b if b else 0}
    text += f"def every(shapes):\n{body}\n    return {{{', '.join(f'{t!r}: {t}' for t in tests)}}}\n"
    exec(text, scope)
    return scope["check"], "\n".join((*lines, *tests)), scope["every"]


def _python(s: Sym) -> str:
    text = str(s)
    return text if text.isalnum() else f"({text})"


def _shape(sizes: Any) -> str:
    return str(list(sizes))


class Entry:
    """One captured and compiled program of a function, and when it fits."""

    def __init__(self, captured: Captured, capture_seconds: float):
        self.captured, self.capture_seconds = captured, capture_seconds
        self.check_sizes, self.size_text, self._size_checks = sizes_check(captured.graph, captured.sources)
        start = time.perf_counter()
        self.executable = program.build(captured.graph)
        self.build_seconds = time.perf_counter() - start
        self.backward_executable: program.Executable | None = None
        self.places = captured.places
        self.calls = 0
        self.written = sorted({w for w in captured.graph.writes if w is not None})
        self.symbols = {}
        for n, s in captured.graph.symbols.items():
            source = captured.sources[s.input]
            self.symbols[n] = (source.index, source.order[s.dim] if source.order else s.dim)

    def misfit(self, tensors: list[Any]) -> str | None:
        """Why the program does not fit the Python state and these arguments; None: it does."""
        for place in self.places:
            if not place.check():
                return f"{place.name} was {place.expected!r:.60}, is {place.now()!r:.60}"
        for source, expected in self.captured.grad_states:
            leaf = tensors[source.index] if source.kind == "argument" else source.tensor
            if (leaf.grad is not None) != expected:
                return f"the .grad of a leaf is {'set' if not expected else 'None'}"
        for guard in self.captured.layouts:
            if not layout.fits(guard, self.source(self.captured.sources[guard[1]], tensors)):
                return f"the memory layout of input {guard[1]} is another one ({guard[0]} was {guard[2]})"
        shapes = [t.shape for t in tensors]
        if not self.check_sizes(shapes):
            failed = ", ".join(test for test, holds in self._size_checks(shapes).items() if not holds)
            names = {n: shapes[k][d] for n, (k, d) in self.symbols.items() if re.search(rf"\b{n}\b", failed)}
            where = f" with {', '.join(f'{n} = {v}' for n, v in names.items())}" if names else ""
            return f"the sizes do not fit: expected {failed}{where}; got shapes {', '.join(map(_shape, shapes))}"
        return None

    # -- one call ------------------------------------------------------------------------------------------------------
    def run(self, tensors: list[Any], hosts: list[tuple[float, ...]] | None = None) -> Any:
        """Runs the program; `hosts` are the numbers of the call that was captured."""
        c = self.captured
        self.calls += 1
        scalars: list[float] = []
        for k, (fn, _) in enumerate(c.hosts):
            scalars.extend(hosts[k] if hosts is not None else fn())
        inputs, back = self.inputs(tensors)
        if c.backward is None:
            outputs = self._execute(inputs, scalars, back)
        else:
            outputs = differentiable.run(self, tensors, inputs, scalars, lambda: self._execute(inputs, scalars, back))
        made: dict[int, Any] = {}
        env = self.sizes(tensors)
        for source, returned in c.grads:
            leaf = tensors[source.index] if source.kind == "argument" else source.tensor
            leaf.grad = None if returned is None else self.tensor(returned, outputs, inputs, env, made)
        for where, key, returned in c.stores:
            where[key] = self.tensor(returned, outputs, inputs, env, made)
        return pytree.unflatten(c.tree, [self.tensor(r, outputs, inputs, env, made) for r in c.results])

    def _execute(self, inputs: list[Any], scalars: list[float], back: list[tuple[Any, Any]]) -> list[Any]:
        outputs = program.run(self.executable, inputs, scalars)
        if outputs is None:
            raise RuntimeError("a compiled program refused inputs that passed its guards: please report this")
        for real, stand_in in back:
            with no_grad():
                real.copy_(stand_in)
        return outputs

    def inputs(self, tensors: list[Any]) -> tuple[list[Any], list[tuple[Any, Any]]]:
        """Tensors for the program's inputs; written ones that are not row-major are worked on in a copy."""
        found, back = [], []
        for k, source in enumerate(self.captured.sources):
            t = self.source(source, tensors)
            if source.order and list(source.order) != list(range(len(source.order))):
                t = t.permute(source.order)
            if not t.is_contiguous():
                copy = t.detach().contiguous()
                if k in self.written:
                    back.append((t.detach(), copy))
                t = copy
            found.append(t)
        return found, back

    @staticmethod
    def source(source: Source, tensors: list[Any]) -> Any:
        """The real tensor of a graph input."""
        if source.kind == "argument":
            return tensors[source.index]
        if source.kind == "tensor":
            return source.tensor
        return (source.tensor if source.tensor is not None else tensors[source.index]).grad

    def sizes(self, tensors: list[Any]) -> dict[str, int]:
        return {n: tensors[k].shape[d] for n, (k, d) in self.symbols.items()}

    def tensor(
        self, r: Returned, outputs: list[Any], inputs: list[Any], env: dict[str, int], made: dict[int, Any]
    ) -> Any:
        if id(r) in made:
            return made[id(r)]
        t = outputs[r.value] if r.value >= 0 else inputs[r.source]
        if r.geometry is not None:
            sizes, strides, offset = r.geometry
            at = t.storage_offset() + offset.evaluate(env)
            t = t.as_strided([s.evaluate(env) for s in sizes], [s.evaluate(env) for s in strides], at)
        made[id(r)] = t
        return t

    def describe(self) -> str:
        """What was captured, guarded, fused and planned."""
        e = self.executable
        lines = [f"captured in {self.capture_seconds * 1e3:.0f} ms; {self.calls} calls", "", "guards:"]
        lines += [f"  {line}" for line in self.size_text.splitlines()]
        lines += [f"  input {k}: {what} is {expected}" for what, k, expected in self.captured.layouts]
        lines += [f"  {p.name} is {p.expected!r:.60}" for p in self.places[:40]]
        if len(self.places) > 40:
            lines.append(f"  ... and {len(self.places) - 40} more")
        lines += ["", "passes:", str(e.report), "", str(e.plan), "", "memory:"]
        hints = self.captured.graph.hints()
        for k, size in enumerate(e.plan.slots):
            lines.append(f"  slot {k}: {size} bytes ({size.evaluate(hints)} in the example)")
        t = e.timing
        lines += [
            "",
            f"kernels: {len(e.kernel_symbols)}, of which {t.new_kernels} were new to this process",
            f"compile time: passes {t.passes * 1e3:.0f} ms, host text {t.host_text * 1e3:.0f} ms, kernels "
            f"{t.kernels * 1e3:.0f} ms, host code "
            f"{t.host_code * 1e3:.0f} ms",
        ]
        return "\n".join(lines)


class CompiledFunction:
    """A callable that runs compiled. Guards are on dtypes, ranks, layouts, Python values and the state of the modules
    and optimizers it reaches, not on sizes."""

    def __init__(self, fn: Callable, name: str | None = None):
        self.fn = fn
        self.name: str = name or getattr(fn, "__name__", None) or type(fn).__name__
        self.entries: dict[Any, list[Entry]] = {}
        self.eager_calls: list[str] = []
        self._primed: weakref.WeakSet[Any] = weakref.WeakSet()  # optimizers that have had an eager step here
        self._warned = False
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
            if hasattr(fn, attribute):
                setattr(self, attribute, getattr(fn, attribute))
        self.__wrapped__ = fn

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        own, key = getattr(instance, "__dict__", {}), f"__compiled_{self.name}"
        found = own.get(key)
        if found is None or found.__wrapped__.__func__ is not self.fn:
            found = own[key] = CompiledFunction(self.fn.__get__(instance, owner), self.name)
        return found

    def __repr__(self) -> str:
        return f"<compiled {self.name}: {sum(map(len, self.entries.values()))} programs>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if active() is not None:  # inside of another capture: its program takes this one in
            return self.fn(*args, **kwargs)
        tensors, tree = pytree.flatten((args, kwargs), _is_tensor)
        key = self._key(tensors, tree)
        entries = self.entries.setdefault(key, [])
        reason = None
        for entry in entries:
            reason = entry.misfit(tensors)
            if reason is None:
                return entry.run(tensors)
        if entries:
            self._recompile(entries, reason or "")
        made, hosts = self._compile(tensors, tree, key)
        return self.fn(*args, **kwargs) if made is None else made.run(tensors, hosts)

    def _recompile(self, entries: list[Entry], reason: str) -> None:
        _log(f"{self.name}: program {len(entries) + 1}: {reason}")
        if len(entries) >= MANY and not self._warned:
            self._warned = True
            warnings.warn(
                f"taeda.compile: {self.name} has been compiled {len(entries)} times for one kind of arguments; "
                f"last because {reason}. Keep what "
                "changes from call to call in tensors.",
                RuntimeWarning,
                stacklevel=4,
            )

    def _key(self, tensors: list[Any], tree: Any) -> Any:
        first: dict[int, int] = {}
        kinds = []
        for k, t in enumerate(tensors):
            same = first.setdefault(id(t), k)
            laid_out = True if t.is_contiguous() else layout.dense_order(t)
            kinds.append((t.dtype.code, t.dim(), t.requires_grad, laid_out, same))
        modes = (_core.is_grad_enabled(), _core.is_inference_mode_enabled(), _core.get_default_dtype().code)
        return pytree.describe(tree), tuple(kinds), modes

    def _compile(self, tensors: list[Any], tree: Any, key: Any, force: bool = False) -> tuple[Entry | None, Any]:
        reach = Reach(self.fn, tree)
        unready = [o for o in reach.unready() if o not in self._primed]
        if unready and not force:
            # The first step makes the optimizer's state; a program that does so would serve one call.
            self._primed.update(unready)
            self.eager_calls.append(
                f"{type(unready[0]).__name__} had no state yet: the first call ran eagerly to make it"
            )
            _log(f"{self.name}: {self.eager_calls[-1]}")
            return None, None
        start = time.perf_counter()
        places = reach.places + reach.optimizer_places()
        session = Session(self.fn, tree, tensors, reach, _identifier(self.name))
        captured = session.run()
        changed = {(id(d), k) for d, k, _ in captured.stores}
        captured.places = [p for p in places if (id(p.where), p.key) not in changed and p.check()]
        entry = Entry(captured, time.perf_counter() - start)
        _core.trim_memory()  # what eager code had in use is of other sizes than the program's one arena
        _log(
            f"{self.name}: captured {len(captured.graph.nodes)} nodes in {entry.capture_seconds * 1e3:.0f} ms, "
            f"built in {entry.build_seconds * 1e3:.0f} ms"
        )
        self.entries.setdefault(key, []).append(entry)
        return entry, [values for _, values in captured.hosts]

    def explain(self, *args: Any, **kwargs: Any) -> str:
        """A report on the program that serves these arguments (it is captured if there is none, but not run)."""
        tensors, tree = pytree.flatten((args, kwargs), _is_tensor)
        key = self._key(tensors, tree)
        entry = next((e for e in self.entries.get(key, []) if e.misfit(tensors) is None), None)
        if entry is None:
            entry, _ = self._compile(tensors, tree, key, force=True)
        assert entry is not None
        head = [f"compiled function {self.name}"]
        head += [f"  {note}" for note in self.eager_calls]
        return "\n".join((*head, entry.describe()))


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "program"
