"""`trace`: one recorded run as an object with a graph and its text."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

from .. import _core
from ..capture.reach import Reach
from ..capture.session import Captured, Returned, Session, Source
from ..execute.compiled import Entry
from ..ir.graph import Graph
from ..ir.sym import parse as parse_size
from ..ir.text import parse
from ..ir.types import TensorType
from ..ir.verify import VerifyError, verify
from ..utils import pytree


class Traced:
    """A traced function. Callable with tensors of the same dtypes and ranks as the example's; sizes are free."""

    def __init__(self, captured: Captured, n_arguments: int):
        self._text = str(captured.graph)
        self._captured, self._n = captured, n_arguments
        self._entry: Entry | None = None

    @property
    def graph(self) -> Graph:
        """The captured graph (a copy)."""
        return parse(self._text)

    @property
    def code(self) -> str:
        """The graph's text."""
        return self._text

    def __call__(self, *args: Any) -> Any:
        tensors, _ = pytree.flatten(args, lambda x: isinstance(x, _core.Tensor))
        if len(tensors) != self._n:
            raise TypeError(f"a traced function of {self._n} tensors was called with {len(tensors)}")
        if self._entry is None:
            self._entry = Entry(self._captured, 0.0)
        for source, value in zip(self._captured.sources, self._captured.graph.inputs):
            if source.kind == "argument":
                t = tensors[source.index]
                if t.dtype.code != value.type.dtype or t.dim() != value.type.ndim:  # type: ignore[union-attr]
                    raise RuntimeError(
                        f"traced function: argument {source.index} must be {value.type}, got {t.dtype} of "
                        f"shape {list(t.shape)}"
                    )
        why = self._entry.misfit(tensors)
        if why is not None:
            raise RuntimeError(f"traced function: {why}")
        return self._entry.run(tensors)

    def __repr__(self) -> str:
        return f"<traced {self._captured.graph.name}>"


def trace(f: Callable, example_inputs: Any) -> Traced:
    """Runs `f` once on the example inputs and records it. A branch on a tensor's value raises, naming the line."""
    args = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    tensors, tree = pytree.flatten((args, {}), lambda x: isinstance(x, _core.Tensor))
    # Each argument is one of its own, also where the example gives one tensor twice.
    seen: set[int] = set()
    for k, t in enumerate(tensors):
        if id(t) in seen:
            tensors[k] = t.detach().requires_grad_(t.requires_grad)
        seen.add(id(t))
    captured = Session(f, tree, tensors, Reach(f), getattr(f, "__name__", type(f).__name__)).run(joint=False)
    return Traced(captured, len(tensors))


_FORMAT = "taeda traced 2"


def save(traced: Traced, path: Any) -> None:
    """Writes a traced function into one file: its graph and the tensors it holds. A file that is there is replaced when
    the new one is whole."""
    from ..serialization import save as save_state

    c = traced._captured
    if c.grads or c.stores or c.hosts:
        raise RuntimeError(
            "save(): only functions without side effects on gradients, modules and optimizers can be saved"
        )
    tensors = {f"t{k}": s.tensor.detach() for k, s in enumerate(c.sources) if s.kind == "tensor"}

    def returned(r: Returned) -> Any:
        g = (
            None
            if r.geometry is None
            else [[str(s) for s in r.geometry[0]], [str(s) for s in r.geometry[1]], str(r.geometry[2])]
        )
        return [r.value, r.source, g]

    program = json.dumps(
        {
            "graph": traced.code,
            "n": traced._n,
            "sources": [[s.kind, s.index, list(s.order)] for s in c.sources],
            "results": [returned(r) for r in c.results],
            "tree": _tree_text(c.tree),
            "layouts": c.layouts,
        }
    )
    checksum = zlib.crc32(program.encode())
    save_state({"format": _FORMAT, "checksum": checksum, "program": program, "tensors": tensors}, path)


def load(path: Any) -> Traced:
    """Reads what `save` wrote. RuntimeError for a damaged file; a program is code: load what you trust."""
    from ..serialization import load as load_state

    state = load_state(path)
    try:
        if not isinstance(state, dict) or state.get("format") != _FORMAT:
            raise ValueError("it has another format")
        text, tensors = state["program"], state["tensors"]
        if zlib.crc32(text.encode()) != state["checksum"]:
            raise ValueError("the program's checksum does not match")
        meta = json.loads(text)
        graph = parse(meta["graph"])
        verify(graph)
        sources = [
            Source(kind, index, tensors.get(f"t{k}"), tuple(order))
            for k, (kind, index, order) in enumerate(meta["sources"])
        ]
        for k, (source, value) in enumerate(zip(sources, graph.inputs, strict=True)):
            t, kind = source.tensor, value.type
            if source.kind == "tensor" and not (
                isinstance(kind, TensorType) and t is not None and (t.dtype.code, t.dim()) == (kind.dtype, kind.ndim)
            ):
                raise ValueError(f"tensor {k} is not what the program reads")
        layouts = [(what, k, tuple(e) if isinstance(e, list) else e) for what, k, e in meta["layouts"]]
        results = [_returned(r) for r in meta["results"]]
        return Traced(Captured(graph, sources, results, _tree_from(meta["tree"]), layouts=layouts), meta["n"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, VerifyError) as e:
        raise RuntimeError(f"load(): '{path}' is not a saved traced function: {e}") from None


def _returned(item: Any) -> Returned:
    value, source, g = item
    geometry = None if g is None else (tuple(map(parse_size, g[0])), tuple(map(parse_size, g[1])), parse_size(g[2]))
    return Returned(value, source, geometry)


def _tree_text(tree: Any) -> Any:
    if isinstance(tree, pytree.Leaf):
        return {"leaf": tree.index}
    if isinstance(tree, (tuple, list)):
        return {"tuple" if isinstance(tree, tuple) else "list": [_tree_text(e) for e in tree]}
    if isinstance(tree, dict):
        return {"dict": [[k, _tree_text(v)] for k, v in tree.items()]}
    return {"value": tree}


def _tree_from(text: Any) -> Any:
    ((kind, value),) = text.items()
    if kind == "leaf":
        return pytree.Leaf(value)
    if kind == "tuple":
        return tuple(map(_tree_from, value))
    if kind == "list":
        return [_tree_from(e) for e in value]
    return {k: _tree_from(v) for k, v in value} if kind == "dict" else value
