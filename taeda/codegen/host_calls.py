"""Steps of a plan as calls of the runtime's drivers: operand descriptors on the stack, then the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.sym import Sym
from ..ir.types import DTYPES, SIZE
from ..passes.plan import Access, ContractStep, CopyStep, HostStep, IndexStep, KernelStep, Operand, SortStep

if TYPE_CHECKING:
    from .program import ProgramEmitter

SCATTER_MODES = ("set", "add", "mul", "max", "min")  # in the order of TD_SCATTER_...
GROUP_BYTES, INDEX_BYTES, OPERAND_BYTES = 40, 40, 16


def _operands(
    p: ProgramEmitter, items: list[Operand], ndim: int, order: list[int] | None = None, at: str = "operands"
) -> str:
    """Table of td_operand."""
    table = p.h.scratch(at, OPERAND_BYTES * 64)
    zeros = p.h.constant_array([0] * ndim)
    for k, x in enumerate(items):
        data = p.address(x) if isinstance(x, Access) else p.scalar(x)
        strides = p.byte_strides(x, order) if isinstance(x, Access) else zeros
        p.f.emit(f"store ptr {data}, ptr {p.f.offset(table, str(OPERAND_BYTES * k))}")
        p.f.emit(f"store ptr {strides}, ptr {p.f.offset(table, str(OPERAND_BYTES * k + 8))}")
    return table


def _item_sizes(p: ProgramEmitter, items: list[Operand]) -> str:
    return p.h.constant_array([SIZE[x.buffer.dtype if isinstance(x, Access) else x.dtype] for x in items], "i8")


def kernel(p: ProgramEmitter, step: KernelStep) -> None:
    """td_map, td_rows, td_cols or td_scan."""
    items: list[Operand] = [*step.outputs, *step.inputs]
    ndim = len(step.sizes)
    symbol = p.kernel(step.spec)
    table = _operands(p, items, ndim)
    sizes = f"ptr {p.h.array(list(step.sizes))}"
    head = (f"ptr {symbol}", f"ptr {table}")
    if step.driver == "map":
        p.h.checked(p.h.runtime("td_map", "i32", "ptr", "ptr", "i32", "ptr"), *head, f"i32 {ndim}", sizes)
    elif step.driver == "rows":
        callee = p.h.runtime("td_rows", "i32", "ptr", "ptr", "ptr", "i32", "i32", "ptr")
        p.h.checked(callee, *head, f"ptr {_item_sizes(p, items)}", f"i32 {ndim}", f"i32 {step.nred}", sizes)
    elif step.driver == "cols":
        callee = p.h.runtime("td_cols", "i32", "ptr", "ptr", "ptr", "i32", "i32", "i32", "ptr")
        p.h.checked(
            callee, *head, f"ptr {_item_sizes(p, items)}", f"i32 {ndim}", f"i32 {step.begin}", f"i32 {step.nred}", sizes
        )
    else:
        p.h.checked(
            p.h.runtime("td_scan", "i32", "ptr", "ptr", "i32", "i32", "ptr"),
            *head,
            f"i32 {ndim}",
            f"i32 {step.begin}",
            sizes,
        )


def copy(p: ProgramEmitter, step: CopyStep) -> None:
    """td_copy."""
    callee = p.h.runtime("td_copy", "i32", "ptr", "ptr", "ptr", "ptr", "i32", "ptr", "i64")
    p.h.checked(
        callee,
        f"ptr {p.address(step.dst)}",
        f"ptr {p.byte_strides(step.dst)}",
        f"ptr {p.address(step.src)}",
        f"ptr {p.byte_strides(step.src)}",
        f"i32 {len(step.sizes)}",
        f"ptr {p.h.array(list(step.sizes))}",
        f"i64 {SIZE[step.dst.buffer.dtype]}",
    )


def contract(p: ProgramEmitter, step: ContractStep) -> None:
    """td_contract."""
    accesses = {"a": step.a, "b": step.b, "c": step.c}
    letters = dict(zip("abc", step.letters))
    tables: list[str] = []
    for k, group in enumerate(step.groups[name] for name in ("batch", "m", "n", "k")):
        table = p.h.scratch(f"group{k}", GROUP_BYTES)
        p.f.emit(f"store i32 {len(group)}, ptr {table}")
        p.f.emit(f"store ptr {p.h.array([step.sizes[c] for c in group])}, ptr {p.f.offset(table, '8')}")
        for j, operand in enumerate("abc"):
            mine = letters[operand]
            if all(c in mine for c in group):
                strides = p.byte_strides(accesses[operand], [mine.index(c) for c in group])
            else:
                strides = "null"
            p.f.emit(f"store ptr {strides}, ptr {p.f.offset(table, str(16 + 8 * j))}")
        tables.append(table)
    epilogue = "null"
    if step.epilogue is not None:
        c = step.letters[2]
        order = [c.index(x) for x in step.groups["batch"] + step.groups["m"] + step.groups["n"]]
        own = Access(step.c.buffer, step.c.offset, tuple(step.c.strides[d] for d in order))
        # The kernel writes C and reads it as its first input.
        operands = _operands(p, [own, own, *step.extra], len(order), at="epilogue_operands")
        epilogue = p.h.scratch("epilogue", 16)
        p.f.emit(f"store ptr {p.kernel(step.epilogue)}, ptr {epilogue}")
        p.f.emit(f"store ptr {operands}, ptr {p.f.offset(epilogue, '8')}")
    callee = p.h.runtime("td_contract", "i32", *["ptr"] * 9)
    p.h.checked(
        callee,
        f"ptr {p.gemm(step.dtype)}",
        f"ptr {p.address(step.c)}",
        f"ptr {p.address(step.a)}",
        f"ptr {p.address(step.b)}",
        *(f"ptr {t}" for t in tables),
        f"ptr {epilogue}",
    )


def index(p: ProgramEmitter, step: IndexStep) -> None:
    """td_gather or td_scatter."""
    table = p.h.scratch("indices", INDEX_BYTES * 32)
    for k, (a, dtype, bound, stride, dim) in enumerate(step.indices):
        at = INDEX_BYTES * k
        item = SIZE[step.target.buffer.dtype]
        fields = (
            f"ptr {p.address(a)}",
            f"ptr {p.byte_strides(a)}",
            f"i64 {p.h.size(bound)}",
            f"i64 {p.h.size(stride * item)}",
        )
        for j, value in enumerate(fields):
            p.f.emit(f"store {value}, ptr {p.f.offset(table, str(at + 8 * j))}")
        p.f.emit(f"store i32 {dim if step.wraps else -1 - dim}, ptr {p.f.offset(table, str(at + 32))}")
        p.f.emit(f"store i32 {DTYPES.index(dtype)}, ptr {p.f.offset(table, str(at + 36))}")
    sides = [step.moved, step.target] if step.mode == "gather" else [step.target, step.moved]
    args = [x for a in sides for x in (f"ptr {p.address(a)}", f"ptr {p.byte_strides(a)}")]
    args += [f"i32 {len(step.indices)}", f"ptr {table}", f"i32 {len(step.sizes)}", f"ptr {p.h.array(list(step.sizes))}"]
    dtype = step.target.buffer.dtype
    if step.mode == "gather":
        p.h.checked(
            p.h.runtime("td_gather", "i32", "ptr", "ptr", "ptr", "ptr", "i32", "ptr", "i32", "ptr", "i64"),
            *args,
            f"i64 {SIZE[dtype]}",
        )
    else:
        callee = p.h.runtime("td_scatter", "i32", "ptr", "ptr", "ptr", "ptr", "i32", "ptr", "i32", "ptr", "i32", "i32")
        p.h.checked(callee, *args, f"i32 {DTYPES.index(dtype)}", f"i32 {SCATTER_MODES.index(step.mode)}")


def foreign(p: ProgramEmitter, step: HostStep) -> None:
    """A td_host_fn of the process."""
    host = p.host(step)
    sides = (
        ("host_inputs", list(zip(step.inputs, step.in_sizes))),
        ("host_outputs", [(a, a.buffer.sizes) for a in step.outputs]),
    )
    context = p.f.offset(host, "8")
    args = [f"ptr {p.f.v(f'load ptr, ptr {context}')}"]
    for name, items in sides:
        table = p.h.scratch(name, p.TENSOR_BYTES * len(items))
        for k, (a, sizes) in enumerate(items):
            place = p.f.offset(table, str(p.TENSOR_BYTES * k))
            p.describe(place, p.address(a), a.buffer.dtype, sizes, a.strides)
        args += [f"ptr {table}", f"i32 {len(items)}"]
    numbers = [x for x in step.arguments if isinstance(x, Sym) and x.value is None]
    args += [f"ptr {p.h.array(numbers)}", f"i32 {len(numbers)}"]
    p.h.checked(p.f.v(f"load ptr, ptr {host}"), *args)


def sort(p: ProgramEmitter, step: SortStep) -> None:
    """td_sort."""
    callee = p.h.runtime("td_sort", "i32", "ptr", "ptr", "i32", "ptr", "i32", "i32", "i64", "ptr", "ptr")
    p.h.checked(
        callee,
        f"ptr {p.address(step.src)}",
        f"ptr {p.byte_strides(step.src)}",
        f"i32 {len(step.sizes)}",
        f"ptr {p.h.array(list(step.sizes))}",
        f"i32 {DTYPES.index(step.src.buffer.dtype)}",
        f"i32 {int(step.descending)}",
        f"i64 {p.h.size(step.k) if step.k is not None else 0}",
        f"ptr {p.address(step.values)}",
        f"ptr {p.address(step.indices)}",
    )
