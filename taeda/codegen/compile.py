"""Kernel specs to IR text, and IR text to object code (the only module of the room that calls LLVM)."""

from __future__ import annotations

import _thread
import atexit
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..ops import expr as ex
from . import spec as spec_
from .cols import emit_col
from .llvm import Module
from .rows import emit_row
from .scan import emit_scan
from .spec import CodegenError, KernelFacts, KernelSpec
from .target import Target

_EMIT = {"row": emit_row, "col": emit_col, "scan": emit_scan}


def lowered(spec: KernelSpec) -> KernelSpec:
    """The spec over base nodes only: scalar primitives (exp, log, ...) replaced by their definitions."""
    roots = tuple(root for _, root in spec.outputs)
    if any(e.op == "prim" for e in ex.topological(*roots)):
        from ..ops import scalar

        roots = tuple(scalar.lower(*roots))
        spec = replace(spec, outputs=tuple((code, root) for (code, _), root in zip(spec.outputs, roots)))
    return spec


def emit_kernel(module: Module, symbol: str, spec: KernelSpec) -> KernelFacts:
    """Writes the functions of one kernel and its td_kernel (`<symbol>_kernel`) into `module`."""
    spec = lowered(spec)
    spec_.check(spec)
    facts = _EMIT[spec.form](module, symbol, spec)
    module.add(facts.descriptor(symbol))
    return facts


def compile_kernels(specs: Mapping[str, KernelSpec], target: Target) -> tuple[bytes, dict[str, KernelFacts]]:
    """One object file with the functions of every kernel, and the facts of each."""
    module = Module(target)
    facts = {symbol: emit_kernel(module, symbol, spec) for symbol, spec in specs.items()}
    return compile_ir(module.text(), target), facts


# -- LLVM --------------------------------------------------------------------------------------------------------------
_lock = threading.Lock()
_machines: dict[tuple[str, int], object] = {}


def _let_finish() -> None:
    with _lock:
        pass


# A fork or the end of the process amid LLVM's work would leave LLVM's own locks taken, or tear its tables down under it.
atexit.register(_let_finish)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _undisturbed(work: Callable[[], Any]) -> Any:
    """work(), in a thread that no signal reaches.

    In the main thread the exception of Ctrl-C would be raised amid llvmlite: mostly in a `__del__`, where Python drops it,
    or in its lock, which would stay taken. Here it is raised at once, in the caller, and LLVM finishes behind it.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    # Bare threads and locks: those of `threading` are Python code that an exception may leave half-done.
    result: list[Any] = []
    errors: list[BaseException] = []
    done = threading.Lock()
    done.acquire()

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    try:
        _thread.start_new_thread(run, ())
    except RuntimeError:  # the system gives no thread
        return work()
    done.acquire()
    if errors:
        raise errors.pop()
    return result.pop()


def _machine(target: Target, level: int):
    import llvmlite.binding as llvm

    if (target.name, level) not in _machines:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        _machines[target.name, level] = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small"
        )
    return _machines[target.name, level]


def compile_ir(text: str, target: Target, *, assembly: bool = False, quick: bool = False):
    """Object bytes of an LLVM module's text (or its assembly, to read). quick: straight-line code that runs once a call, where
    compiling takes longer than optimising could ever save."""

    def work() -> Any:
        with (
            _lock
        ):  # held until LLVM's objects are gone as well: they take llvmlite's lock, which no fork may find taken
            return _compile(text, target, assembly, quick)

    return _undisturbed(work)


def _compile(text: str, target: Target, assembly: bool, quick: bool) -> Any:
    import llvmlite.binding as llvm

    machine = _machine(target, 0 if quick else 2)
    try:
        module = llvm.parse_assembly(text)
    except RuntimeError as error:
        raise CodegenError(f"generated LLVM IR does not parse: {error}") from error
    if quick:
        return machine.emit_assembly(module) if assembly else machine.emit_object(module)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
    return machine.emit_assembly(module) if assembly else machine.emit_object(module)
