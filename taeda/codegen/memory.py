"""How loops read and write operands.

An element loop works on whole vectors at advancing pointers. Contiguous operands are read in place; an operand with
stride 0 is spread once into a vector-sized buffer whose pointer does not advance; any other stride is copied through a
small buffer, chunk by chunk. So one body of code serves every layout, and its results cannot depend on the layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .llvm import MEMORY, Function, Module, Var, vector
from .spec import SIZE
from .vector import from_memory, to_memory

#: Stack bytes that the copy buffers of one kernel may take.
_BUFFER_BYTES = 32768
_MAX_CHUNK = 512
#: "No limit" for the chunk length; adding it to any length stays in 64 bits.
_UNLIMITED = str(1 << 62)


# -- helper functions --------------------------------------------------------------------------------------------------
def _define_move(size: int) -> Callable[[Module], None]:
    """td_move<size>(dst, dst_stride, src, src_stride, n): elements one by one."""

    def define(module: Module) -> None:
        params = [("ptr", "dst"), ("i64", "ds"), ("ptr", "src"), ("i64", "ss"), ("i64", "n")]
        f = Function(module, f"td_move{size}", params, internal=True)
        element = f"i{8 * size}"
        dst, src = f.var("ptr", "%dst"), f.var("ptr", "%src")
        quads = f.v("and i64 %n, -4")

        def move(count: int) -> None:
            d, s = dst.get(), src.get()
            for _ in range(count):
                x = f.v(f"load {element}, ptr {s}, align {size}")
                f.emit(f"store {element} {x}, ptr {d}, align {size}")
                d, s = f.offset(d, "%ds"), f.offset(s, "%ss")
            dst.set(d)
            src.set(s)

        with f.loop("0", quads, 4):
            move(4)
        with f.loop(quads, "%n"):
            move(1)
        f.ret()
        f.finish()

    return define


def _define_tail(module: Module) -> None:
    """td_tail(dst, src, bytes): a copy of fewer than 1024 bytes; never touches memory beyond them."""
    f = Function(module, "td_tail", [("ptr", "dst"), ("ptr", "src"), ("i64", "bytes")], internal=True)
    done = f.v("and i64 %bytes, -16")
    with f.loop("0", done, 16) as i:
        x = f.v(f"load <16 x i8>, ptr {f.offset('%src', i)}, align 1")
        f.emit(f"store <16 x i8> {x}, ptr {f.offset('%dst', i)}, align 1")
    at = f.var("i64", done)
    for piece in (8, 4, 2, 1):
        bit = f.v(f"and i64 %bytes, {piece}")
        with f.when(f.compare("ne", bit, "0")):
            now = at.get()
            x = f.v(f"load i{8 * piece}, ptr {f.offset('%src', now)}, align 1")
            f.emit(f"store i{8 * piece} {x}, ptr {f.offset('%dst', now)}, align 1")
            at.set(f.add(now, str(piece)))
    f.ret()
    f.finish()


def tail_copy(f: Function, dst: str, src: str, byte_count: str) -> None:
    """Copies fewer than 1024 bytes without touching memory beyond them."""
    f.call("void", f.module.helper("td_tail", _define_tail), f"ptr {dst}", f"ptr {src}", f"i64 {byte_count}")


def move(f: Function, size: int, dst: str, dst_stride: str, src: str, src_stride: str, n: str) -> None:
    """Copies n elements between any two strides."""
    callee = f.module.helper(f"td_move{size}", _define_move(size))
    f.call("void", callee, f"ptr {dst}", f"i64 {dst_stride}", f"ptr {src}", f"i64 {src_stride}", f"i64 {n}")


def _define_stage(size: int, width: int) -> Callable[[Module], None]:
    """td_stage: makes a non-contiguous input readable as vectors in `buffer`."""

    def define(module: Module) -> None:
        params = [("ptr", "buffer"), ("ptr", "src"), ("i64", "stride"), ("i64", "n")]
        f = Function(module, f"td_stage{size}_{width}", params, internal=True)
        broadcast, strided = f.label("broadcast"), f.label("strided")
        f.branch(f.compare("eq", "%stride", "0"), broadcast, strided)
        f.at(broadcast)
        element = f"i{8 * size}"
        x = f.splat(f.v(f"load {element}, ptr %src, align {size}"), element, width)
        f.emit(f"store {vector(element, width)} {x}, ptr %buffer, align {size}")
        f.ret()
        f.at(strided)
        move(f, size, "%buffer", str(size), "%src", "%stride", "%n")
        f.ret()
        f.finish()

    return define


# -- vectors in memory -------------------------------------------------------------------------------------------------
class Mask:
    """The first `count` lanes of a vector of `width`; forms that are needed are made once."""

    def __init__(self, f: Function, width: int, count: str):
        self.f, self.width, self.count = f, width, count
        self._lanes: str | None = None

    @property
    def lanes(self) -> str:
        """`<width x i1>`. Ask in a block that dominates every use."""
        if self._lanes is None:
            f, w = self.f, self.width
            if f.target.vector_bits == 512 and w in (16, 32, 64):
                word = "i64" if w == 64 else "i32"
                count = self.count if w == 64 else f.v(f"trunc i64 {self.count} to i32")
                above = f.v(f"shl {word} -1, {count}")
                bits = f.v(f"xor {word} {above}, -1")
                if w == 16:
                    bits, word = f.v(f"trunc i32 {bits} to i16"), "i16"
                self._lanes = f.v(f"bitcast {word} {bits} to <{w} x i1>")
            else:
                count = f.splat(f.v(f"trunc i64 {self.count} to i32"), "i32", w)
                self._lanes = f.v(f"icmp ult <{w} x i32> {iota(w, 'i32')}, {count}")
        return self._lanes


def iota(width: int, element: str) -> str:
    """The constant 0, 1, 2, ..."""
    return "0" if width == 1 else "<" + ", ".join(f"{element} {i}" for i in range(width)) + ">"


def load_raw(f: Function, pointer: str, code: str, width: int, mask: Mask | None, buffer: str | None) -> str:
    """A vector of stored elements; lanes outside the mask are unspecified."""
    size, type_ = SIZE[code], vector(MEMORY[code], width)
    if mask is not None:
        if size in f.target.masked_sizes:
            name = f"llvm.masked.load.v{width}{_suffix(code)}.p0"
            callee = f.module.intrinsic(name, type_, "ptr", "i32", f"<{width} x i1>", type_)
            return f.call(
                type_,
                callee,
                f"ptr {pointer}",
                f"i32 {size}",
                f"<{width} x i1> {mask.lanes}",
                f"{type_} zeroinitializer",
            )
        tail_copy(f, str(buffer), pointer, f.mul(mask.count, str(size)))
        pointer = str(buffer)
    return f.v(f"load {type_}, ptr {pointer}, align {size}")


def store_raw(
    f: Function, value: str, pointer: str, code: str, width: int, mask: Mask | None, buffer: str | None
) -> None:
    size, type_ = SIZE[code], vector(MEMORY[code], width)
    if mask is not None:
        if size in f.target.masked_sizes:
            name = f"llvm.masked.store.v{width}{_suffix(code)}.p0"
            callee = f.module.intrinsic(name, "void", type_, "ptr", "i32", f"<{width} x i1>")
            f.call("void", callee, f"{type_} {value}", f"ptr {pointer}", f"i32 {size}", f"<{width} x i1> {mask.lanes}")
            return
        f.emit(f"store {type_} {value}, ptr {buffer}, align {size}")
        tail_copy(f, pointer, str(buffer), f.mul(mask.count, str(size)))
        return
    f.emit(f"store {type_} {value}, ptr {pointer}, align {size}")


def _suffix(code: str) -> str:
    return {"float": "f32", "double": "f64"}.get(MEMORY[code], MEMORY[code])


@dataclass
class Access:
    """One operand of an element loop. `stride` is None for memory that is contiguous by contract."""

    code: str
    row: Var  # pointer to element 0
    stride: str | None
    output: bool
    # Set by ElementLoop:
    pointer: Var = field(init=False)  # where the next vector is read or written
    step: str = ""  # bytes a vector step advances
    buffer: str = ""  # of a chunk, unless contiguous by contract
    tail: str | None = None
    contiguous: str = ""  # i1


class ElementLoop:
    """Runs a body over elements of a row, a vector at a time."""

    def __init__(self, f: Function, width: int, accesses: list[Access]):
        """`accesses`: every operand that any loop of this function may touch. Emits into the entry block."""
        self.f, self.width = f, width
        total = sum(SIZE[a.code] for a in accesses if a.stride is not None)
        chunk = _MAX_CHUNK
        while chunk > width and chunk * total > _BUFFER_BYTES:
            chunk //= 2
        strided = None
        for a in accesses:
            size = SIZE[a.code]
            a.pointer = f.var("ptr")
            a.step = str(size * width)
            if size not in f.target.masked_sizes and width > 1:
                a.tail = f.alloca("i8", size * width)
            if a.stride is None:
                continue
            a.buffer = f.alloca("i8", size * chunk)
            a.contiguous = f.compare("eq", a.stride, str(size))
            special = f.v(f"xor i1 {a.contiguous}, true")
            if not a.output:
                scalar = f.compare("eq", a.stride, "0")
                a.step = f.v(f"select i1 {scalar}, i64 0, i64 {size * width}")
                regular = f.v(f"xor i1 {scalar}, true")
                special = f.v(f"and i1 {special}, {regular}")
            strided = special if strided is None else f.v(f"or i1 {strided}, {special}")
        self.limit = _UNLIMITED if strided is None else f.v(f"select i1 {strided}, i64 {chunk}, i64 {_UNLIMITED}")

    def run(self, start: str, length: str, accesses: list[Access], body: Callable[[Step], None]) -> None:
        """Emits the loop over elements [start, start + length); `body` emits one step, twice (whole vectors, tail)."""
        f, w = self.f, self.width
        end = f.add(start, length)
        with f.loop(start, end, self.limit) as begin:
            n = f.minimum(f.sub(end, begin), self.limit)
            for a in accesses:
                self._enter(a, begin, n)
            whole = f.v(f"and i64 {n}, {-w}")
            with f.loop("0", whole, w) as i:
                body(Step(f, w, None, f.add(begin, i)))
                for a in accesses:
                    a.pointer.set(f.offset(a.pointer.get(), a.step))
            rest = f.sub(n, whole)
            if w > 1:
                with f.when(f.compare("ne", rest, "0")):
                    mask = Mask(f, w, rest)
                    body(Step(f, w, mask, f.add(begin, whole)))
            for a in accesses:
                if a.output and a.stride is not None:
                    with f.when(f.v(f"xor i1 {a.contiguous}, true")):
                        size = SIZE[a.code]
                        there = f.offset(a.row.get(), f.mul(begin, a.stride))
                        move(f, size, there, a.stride, a.buffer, str(size), n)

    def _enter(self, a: Access, begin: str, n: str) -> None:
        """Sets the pointer of one operand for elements [begin, begin + n)."""
        f, size = self.f, SIZE[a.code]
        a.pointer.set(f.offset(a.row.get(), f.mul(begin, str(size))))
        if a.stride is None:
            return
        with f.when(f.v(f"xor i1 {a.contiguous}, true")):
            if not a.output:
                callee = f.module.helper(f"td_stage{size}_{self.width}", _define_stage(size, self.width))
                there = f.offset(a.row.get(), f.mul(begin, a.stride))
                f.call("void", callee, f"ptr {a.buffer}", f"ptr {there}", f"i64 {a.stride}", f"i64 {n}")
            a.pointer.set(a.buffer)


class Step:
    """One vector step: where it is, and which lanes count."""

    def __init__(self, f: Function, width: int, mask: Mask | None, position: str):
        self.f, self.width, self.mask = f, width, mask
        #: Element number of lane 0 in the row.
        self.position = position

    def load(self, a: Access) -> str:
        raw = load_raw(self.f, a.pointer.get(), a.code, self.width, self.mask, a.tail)
        return from_memory(self.f, raw, a.code, self.width)

    def store(self, a: Access, value: str) -> None:
        raw = to_memory(self.f, value, a.code, self.width)
        store_raw(self.f, raw, a.pointer.get(), a.code, self.width, self.mask, a.tail)
