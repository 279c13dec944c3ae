"""`build`: captures a module's forward pass and writes it as a shared library."""

from __future__ import annotations

import ctypes
import keyword
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _core, no_grad
from ..capture.reach import Reach
from ..capture.session import Captured, Session
from ..ir.graph import Node, Value
from ..ir.types import SIZE, TensorType, Type
from ..passes.pipeline import run_passes
from ..passes.plan import HostStep
from ..utils import pytree
from .interface import Interface, Slot, Weight, header, safetensors_header, source, weights_assembly
from .toolchain import ExportError, Toolchain, find, runtime_folder
from .wrapper import wrapper

ALIGN = 64


@dataclass(frozen=True)
class Exported:
    """What `build` wrote."""

    folder: Path
    library: Path
    header: Path
    wrapper: Path
    weights: Path | None
    plan: str

    def __repr__(self) -> str:
        return f"<exported {self.library}>"


def build(
    module: Callable,
    example_inputs: Any,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    weights: str = "embed",
    target: str | None = None,
) -> Exported:
    """Writes `module` into the folder `path` as `lib<name>.so`, `<name>.h`, `<name>.hpp` and the runtime's sources.

    module          a module or a function of tensors; captured in its present mode (call `.eval()` first), without
    gradients
    example_inputs  a tensor or a tuple of arguments; their sizes stay free in the library, except where the program
    needs a value
    name            a C identifier (default: from the class)
    weights         "embed": part of the library; "safetensors": in `<name>.safetensors` beside it
    target          "x86-64-v3", "x86-64-v4", "aarch64" (default: this machine's)

    The library computes the same bits as eager code on a machine of the same target. It needs the C library only.
    """
    if weights not in ("embed", "safetensors"):
        raise ValueError(f"export.build(): weights must be 'embed' or 'safetensors', got {weights!r}")
    name = _identifier(
        name
        or re.sub(
            r"(?<!^)(?=[A-Z][a-z])", "_", type(module).__name__ if not hasattr(module, "__name__") else module.__name__
        ).lower()
    )
    from ..codegen.target import named
    from ..execute.resolve import target_name

    facts = named(target or target_name())
    tools = find(facts.name)
    runtime = runtime_folder()
    captured, arguments = _capture(module, example_inputs, name)
    stored = _weights(module, captured)
    outputs = _logical_results(captured)
    plan, _ = run_passes(captured.graph)
    for step in plan.steps:
        if isinstance(step, HostStep):
            raise ExportError(
                f"export.build(): {step.op.lstrip('_')} is computed by a library of the Python process (LAPACK), which "
                "an export does not carry"
            )
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    interface = _interface(name, captured, arguments, outputs, stored, weights == "safetensors")
    # Everything is written beside its place and renamed at the end: a full disk or Ctrl-C leaves an earlier export whole.
    with (
        tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as staging,
    ):
        work, new = Path(scratch), Path(staging)
        data = work / "weights.bin"
        _write_weights(data, interface, stored)
        library = new / f"lib{name}.so"
        _objects_and_link(plan, facts, name, len(stored), interface, tools, runtime, work, data, library)
        if weights == "safetensors":
            with open(new / f"{name}.safetensors", "wb") as out, open(data, "rb") as raw:
                out.write(interface.file_header)
                shutil.copyfileobj(raw, out)
        (new / f"{name}.h").write_text(header(interface))
        (new / f"{name}.hpp").write_text(wrapper(interface))
        (new / f"{name}.c").write_text(source(interface))
        shutil.copy(runtime / "include" / "taeda_rt.h", new / "taeda_rt.h")
        shutil.copytree(runtime / "src", new / "runtime" / "src")
        shutil.copytree(runtime / "include", new / "runtime" / "include")
        for file in sorted(p for p in new.rglob("*") if p.is_file()):
            place = folder / file.relative_to(new)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, place)
    kept = folder / f"{name}.safetensors" if weights == "safetensors" else None
    return Exported(folder, folder / library.name, folder / f"{name}.h", folder / f"{name}.hpp", kept, str(plan))


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name in ("taeda", "td", "std"):
        raise ValueError(f"export.build(): name must be a C identifier, got {name!r}")
    return name


def _capture(module: Callable, example_inputs: Any, name: str) -> tuple[Captured, list[Any]]:
    args = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    tensors, tree = pytree.flatten((args, {}), lambda x: isinstance(x, _core.Tensor))
    tensors = [t.detach().contiguous() for t in tensors]
    with no_grad():
        captured = Session(module, tree, tensors, Reach(module), f"{name}_program").run(joint=False)
    if captured.hosts or captured.grads or any(s.kind == "grad" for s in captured.sources):
        raise ExportError(
            "export.build(): the function sets gradients or runs an optimizer; only forward computations can "
            "be exported"
        )
    if captured.stores:
        raise ExportError("export.build(): the function puts new tensors into a module (assign with copy_() instead)")
    return captured, tensors


def _weights(module: Any, captured: Captured) -> list[tuple[str, Any, int]]:
    """(name, tensor in its memory order, graph input) of every tensor that the program holds."""
    names: dict[int, str] = {}
    for method in ("named_buffers", "named_parameters"):
        if hasattr(module, method):
            names.update({id(t): n for n, t in getattr(module, method)()})
    found = []
    for k, s in enumerate(captured.sources):
        if s.kind == "tensor":
            t = s.tensor.detach()
            found.append(
                (names.get(id(s.tensor), f"constant{k}"), t.permute(s.order).contiguous() if t.dim() else t, k)
            )
    return found


def _logical_results(captured: Captured) -> list[TensorType]:
    """Makes the graph return each result row-major in its own memory; their types."""
    g = captured.graph

    def node(kind: str, source: Value, type_: Type, **attrs: Any) -> Value:
        return g.append(Node(kind, "result", [source], [type_], attrs)).output

    results, types = [], []
    for r in captured.results:
        base = g.returns[r.value] if r.value >= 0 else g.inputs[r.source]
        t = base.type
        assert isinstance(t, TensorType)
        if r.geometry is not None:
            sizes, strides, offset = r.geometry
            base = node("view", base, TensorType(t.dtype, sizes), offset=offset, strides=strides)
        elif r.source >= 0:
            base = node("copy", base, t, keep=True)
        if base in results:
            base = node("copy", base, base.type, keep=True)
        results.append(base)
        types.append(base.type)
    written = [(v, w) for v, w in zip(g.returns, g.writes) if w is not None]
    g.block.returns = results + [v for v, _ in written]
    g.writes = [None] * len(results) + [w for _, w in written]
    return types  # type: ignore[return-value]


def _interface(
    name: str,
    captured: Captured,
    arguments: list[Any],
    outputs: list[TensorType],
    stored: list[tuple[str, Any, int]],
    beside: bool,
) -> Interface:
    g = captured.graph
    inputs = []
    for k, s in enumerate(captured.sources):
        if s.kind == "argument":
            t = g.inputs[k].type
            assert isinstance(t, TensorType)
            inputs.append(Slot(f"x{s.index}", t.dtype, tuple(map(str, t.sizes))))
    if len(inputs) != len(arguments):
        raise ExportError("export.build(): one tensor is given twice in example_inputs; give tensors of their own")
    outs = [Slot(f"y{k}", t.dtype, tuple(map(str, t.sizes))) for k, t in enumerate(outputs)]
    table, at = [], 0
    for label, t, _ in stored:
        if t.dim() > 8:
            raise ExportError(f"export.build(): {label} has {t.dim()} dimensions; weights of an export have at most 8")
        table.append(Weight(label, t.dtype.code, tuple(t.shape), at))
        at += t.numel() * SIZE[t.dtype.code]
        if not beside:
            at = -(-at // ALIGN) * ALIGN
    written = any(w is not None and captured.sources[w].kind == "tensor" for w in g.writes)
    for slot in (*inputs, *outs):
        if slot.dtype in ("c64", "c128"):
            raise ExportError(f"export.build(): {slot.name} is complex; exports take real dtypes")
    return Interface(
        name,
        tuple(inputs),
        tuple(outs),
        tuple(table),
        at,
        written,
        f"{name}.safetensors" if beside else None,
        safetensors_header(table, at) if beside else b"",
    )


def _write_weights(path: Path, interface: Interface, stored: list[tuple[str, Any, int]]) -> None:
    with open(path, "wb") as out:
        for w, (_, t, _) in zip(interface.weights, stored):
            out.write(b"\0" * (w.offset - out.tell()))
            if t.numel():
                out.write(ctypes.string_at(t.data_ptr(), t.numel() * SIZE[t.dtype.code]))
        out.write(b"\0" * (interface.weight_bytes - out.tell()))


def _objects_and_link(
    plan: Any,
    facts: Any,
    name: str,
    n_weights: int,
    interface: Interface,
    tools: Toolchain,
    runtime: Path,
    work: Path,
    data: Path,
    library: Path,
) -> None:
    from ..codegen.compile import compile_ir, compile_kernels
    from ..codegen.program import host_program

    host = host_program(plan, facts, f"{name}_program", n_weights, linked=True)
    objects: list[Path] = []

    def add(label: str, code: bytes) -> None:
        objects.append(work / label)
        objects[-1].write_bytes(code)

    add("host.o", compile_ir(host.text, facts, quick=True))
    if host.kernels:
        add("kernels.o", compile_kernels(host.kernels, facts)[0])
    for dtype in sorted(host.gemms):
        from ..codegen.gemm import gemm_kernels

        add(f"gemm_{dtype}.o", gemm_kernels(dtype, facts)[0])
    (work / f"{name}.h").write_text(header(interface))
    (work / f"{name}.c").write_text(source(interface))
    include = [work, runtime / "include"]
    sources = [work / f"{name}.c", *sorted((runtime / "src").glob("*.c"))]
    if interface.weight_bytes and interface.weights_file is None:
        (work / "weights.S").write_text(weights_assembly(name, data.name, interface.weights_written))
        tools.run("-c", "-fPIC", "weights.S", "-o", "weights.o", cwd=work)
        objects.append(work / "weights.o")
    flags = ("-std=c11", "-D_GNU_SOURCE")
    with ThreadPoolExecutor(2) as pool:
        objects += pool.map(lambda s: tools.compile(s, work / f"c_{s.stem}.o", include, flags), sources)
    partial = library.with_suffix(".partial.so")
    tools.link_shared(objects, partial, interface.exported)
    os.replace(partial, library)
