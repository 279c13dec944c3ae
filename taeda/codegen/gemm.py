"""Micro-kernels and packers of the matrix product, one bundle (`gemm_<code>`, a td_gemm_kernels) a dtype.

A micro-kernel keeps an mr x nr tile of C in registers and adds k rank-1 updates to it, in order of k, by fused multiply-add: one
accumulator an output, so that no blocking changes a bit. The driver in runtime/src/gemm.c cuts the product into tiles and packs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .compile import compile_ir
from .llvm import REGISTER, Function, Module, mangled
from .spec import CodegenError
from .target import Target

_STORED_AS = {"f16": "f32", "bf16": "f32"}  # what panels and accumulators hold
_MICRO_KERNELS = 8  # TD_MICRO_KERNELS
_PACK_RUNS = 3  # TD_PACK_RUNS
_PREFETCH_STEPS = 8
_PREFETCH_BYTES = 256
_BYTES = {"f32": 4, "f64": 8, "u8": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
_CODES = ("f32", "f64", "f16", "bf16", "i64", "i32", "i16", "i8", "u8")
#: Position in td_dtype.
_DTYPE_NUMBER = {"u8": 1, "i8": 2, "i16": 3, "i32": 4, "i64": 5, "f16": 6, "bf16": 7, "f32": 8, "f64": 9}


@dataclass(frozen=True)
class Shape:
    """Registers of one target and dtype: `columns` vectors of `width` elements wide, at most `rows` (even) high."""

    width: int
    columns: int
    rows: int

    @property
    def nr(self) -> int:
        return self.width * self.columns


def shape(code: str, target: Target) -> Shape:
    """The tile for panels of dtype `code`."""
    size = _BYTES[_STORED_AS.get(code, code)]
    registers = 32 if target.vector_bits == 512 or target.name == "aarch64" else 16
    if _STORED_AS.get(code, code) not in ("f32", "f64"):
        return Shape(max(1, min(16, target.vector_bits // 8 // size)), 2, 4)
    width = target.vector_bits // 8 // size
    columns = 3 if target.name == "aarch64" else 2
    rows = {16: 6, 32: 14}[registers] if columns == 2 else 8
    return Shape(width, columns, rows)


class _Arithmetic:
    """Scalar and vector operations of one panel dtype."""

    def __init__(self, f: Function, dtype: str, width: int):
        self.f, self.dtype, self.width = f, dtype, width
        self.element = REGISTER[dtype]
        self.vector = f"<{width} x {self.element}>" if width > 1 else self.element
        self.zero = "zeroinitializer" if width > 1 else ("0.0" if dtype in ("f32", "f64") else "0")
        self.is_float = dtype in ("f32", "f64")

    def load(self, pointer: str) -> str:
        return self.f.v(f"load {self.vector}, ptr {pointer}, align {_BYTES[self.dtype]}")

    def broadcast(self, pointer: str) -> str:
        x = self.f.v(f"load {self.element}, ptr {pointer}, align {_BYTES[self.dtype]}")
        return self.f.splat(x, self.element, self.width)

    def multiply_add(self, a: str, b: str, c: str) -> str:
        if self.is_float:
            return self.f.overloaded("fma", self.vector, a, b, c)
        product = self.f.v(f"mul {self.vector} {a}, {b}")
        return self.f.v(f"add {self.vector} {c}, {product}")

    def mask(self, n: str, first: int) -> str:
        """Lanes first, first+1, ... that are < n."""
        lanes = ", ".join(f"i64 {first + i}" for i in range(self.width))
        count = self.f.splat(n, "i64", self.width)
        if self.width == 1:
            return self.f.v(f"icmp slt i64 {first}, {n}")
        return self.f.v(f"icmp slt <{self.width} x i64> <{lanes}>, {count}")

    def lanes(self, first: str, end: str) -> str:
        """Lanes first <= i < end."""
        low, high = self.mask(first, 0), self.mask(end, 0)
        return self.f.v(f"xor {f'<{self.width} x i1>' if self.width > 1 else 'i1'} {low}, {high}")

    def masked_load(self, pointer: str, mask: str, otherwise: str = "") -> str:
        otherwise = otherwise or self.zero
        if self.width == 1:
            x = self.f.var(self.element, otherwise)
            with self.f.when(mask):
                x.set(self.load(pointer))
            return x.get()
        m = f"<{self.width} x i1>"
        callee = self.f.module.intrinsic(
            f"llvm.masked.load.{mangled(self.vector)}.p0", self.vector, "ptr", "i32", m, self.vector
        )
        return self.f.call(
            self.vector,
            callee,
            f"ptr {pointer}",
            f"i32 {_BYTES[self.dtype]}",
            f"{m} {mask}",
            f"{self.vector} {otherwise}",
        )

    def masked_store(self, value: str, pointer: str, mask: str) -> None:
        if self.width == 1:
            with self.f.when(mask):
                self.store(value, pointer)
            return
        m = f"<{self.width} x i1>"
        callee = self.f.module.intrinsic(
            f"llvm.masked.store.{mangled(self.vector)}.p0", "void", self.vector, "ptr", "i32", m
        )
        self.f.call(
            "void", callee, f"{self.vector} {value}", f"ptr {pointer}", f"i32 {_BYTES[self.dtype]}", f"{m} {mask}"
        )

    def store(self, value: str, pointer: str) -> None:
        self.f.emit(f"store {self.vector} {value}, ptr {pointer}, align {_BYTES[self.dtype]}")


_MICRO = [("i64", "k"), ("ptr", "a"), ("i64", "a_k"), ("i64", "a_row"), ("ptr", "b"), ("i64", "b_k"), ("ptr", "c"), ("i64", "c_row"), ("i64", "m"),
          ("i64", "n"), ("i64", "first")]  # fmt: skip


def _micro(module: Module, name: str, dtype: str, tile: Shape, rows: int, strided: bool) -> None:
    """C[0:m, 0:n] (+)= A[0:m, 0:k] B[0:k, 0:n] for m = rows or rows - 1; td_micro_fn of runtime/src/gemm.h.

    strided: row i of A lies at a + i*a_row, else rows are consecutive elements (a packed panel).
    """
    f = Function(module, name, _MICRO)
    op = _Arithmetic(f, dtype, tile.width)
    size = _BYTES[dtype]
    vector_bytes = tile.width * size
    every = f.compare("sge", "%m", str(rows))
    full = f.compare("sge", "%n", str(tile.nr))
    accumulators = [[f.var(op.vector, op.zero) for _ in range(tile.columns)] for _ in range(rows)]
    # the last row of A may be missing: its place is taken by the one before
    offsets = [f.mul(str(i), "%a_row") if strided and i else "0" for i in range(rows)]
    if strided and rows > 1:
        offsets[-1] = f.v(f"select i1 {every}, i64 {offsets[-1]}, i64 {offsets[-2]}")

    def row(body: Callable[[int, int, str, str | None], None], i: int, masks: list[str] | None) -> None:
        base = f.offset("%c", f.mul(str(i), "%c_row"))
        for j in range(tile.columns):
            body(i, j, f.offset(base, str(j * vector_bytes)), masks[j] if masks else None)

    def each_vector(body: Callable[[int, int, str, str | None], None]) -> None:
        """body(row, column, pointer, mask or None) for the vectors of the tile that exist."""
        whole, part, done = f.label("whole"), f.label("part"), f.label("end")
        f.branch(full, whole, part)
        for label in (whole, part):
            f.at(label)
            masks = [op.mask("%n", j * tile.width) for j in range(tile.columns)] if label == part else None
            for i in range(rows - 1):
                row(body, i, masks)
            with f.when(every):
                row(body, rows - 1, masks)
            f.jump(done)
        f.at(done)

    def load(i: int, j: int, p: str, mask: str | None) -> None:
        accumulators[i][j].set(op.load(p) if mask is None else op.masked_load(p, mask))

    def store(i: int, j: int, p: str, mask: str | None) -> None:
        if mask is None:
            op.store(accumulators[i][j].get(), p)
        else:
            op.masked_store(accumulators[i][j].get(), p, mask)

    with f.when(f.compare("eq", "%first", "0")):
        each_vector(load)
    a, b = f.var("ptr", "%a"), f.var("ptr", "%b")
    ahead = f.mul("%b_k", str(_PREFETCH_STEPS))
    with f.loop("0", "%k"):
        pa, pb = a.get(), b.get()
        columns = [op.load(f.offset(pb, str(j * vector_bytes))) for j in range(tile.columns)]
        soon = f.offset(pb, ahead)
        for line in range(0, tile.nr * size, 64):
            f.prefetch(f.offset(soon, str(line)))
        for i in range(rows):
            x = op.broadcast(f.offset(pa, offsets[i] if strided else str(i * size)))
            for j in range(tile.columns):
                accumulators[i][j].set(op.multiply_add(x, columns[j], accumulators[i][j].get()))
        a.set(f.offset(pa, "%a_k"))
        b.set(f.offset(pb, "%b_k"))
    each_vector(store)
    f.ret()
    f.finish()


_PACK_FROM = [("ptr", "src"), ("ptr", "off_k"), ("i64", "k")]
_PACK_PANELS = [("ptr", "dst"), ("i64", "panel"), *_PACK_FROM, ("i64", "panels")]
_PACK = [("ptr", "dst"), ("i64", "dst_k"), *_PACK_FROM]


def _source(f: Function, kk: str) -> str:
    """Where step kk is read."""
    return f.offset("%src", f.v(f"load i64, ptr {f.offset('%off_k', f.mul(kk, '8'))}"))


def _step(f: Function, kk: str) -> tuple[str, str]:
    """Where step kk is read and written."""
    return _source(f, kk), f.offset("%dst", f.mul(kk, "%dst_k"))


@contextmanager
def _panels(f: Function, row: int, step: str) -> Iterator[tuple[str, str]]:
    """Over the panels of every step of k: where to read, `step` bytes apart, and where to write the `row` bytes."""
    with f.loop("0", "%k") as kk:
        source = f.var("ptr", _source(f, kk))
        out = f.var("ptr", f.offset("%dst", f.mul(kk, str(row))))
        with f.loop("0", "%panels"):
            p, q = source.get(), out.get()
            yield p, q
            source.set(f.offset(p, step))
            out.set(f.offset(q, "%panel"))


def _pack_wide(module: Module, name: str, dtype: str, tile: Shape) -> None:
    """dst[p][kk][lane] = src[off_k[kk] + p*nr + lane] for consecutive lanes, panels `panel` bytes apart (td_pack_wide_fn)."""
    f = Function(module, name, _PACK_PANELS)
    op = _Arithmetic(f, dtype, tile.width)
    row, vector_bytes = tile.nr * _BYTES[dtype], tile.width * _BYTES[dtype]
    with _panels(f, row, str(row)) as (p, q):
        values = [op.load(f.offset(p, str(j * vector_bytes))) for j in range(tile.columns)]
        for j, value in enumerate(values):
            op.store(value, f.offset(q, str(j * vector_bytes)))
    f.ret()
    f.finish()


def _pack_tall(module: Module, name: str, dtype: str, width: int) -> None:
    """dst[p][kk][lane] = src[off_k[kk] + p*lanes + lane] for lane < lanes <= width (td_pack_tall_fn)."""
    f = Function(module, name, [*_PACK_PANELS, ("i64", "lanes")])
    op = _Arithmetic(f, dtype, width)
    mask = op.mask("%lanes", 0)
    with _panels(f, width * _BYTES[dtype], f.mul("%lanes", str(_BYTES[dtype]))) as (p, q):
        op.store(op.masked_load(p, mask), q)
    f.ret()
    f.finish()


def _pack_runs(module: Module, name: str, dtype: str, width: int) -> None:
    """dst[kk][lane] = src[off_k[kk] + ...] where the lanes are up to _PACK_RUNS runs of consecutive elements (td_pack_runs_fn)."""
    f = Function(module, name, [*_PACK, ("ptr", "runs"), ("i64", "count")])
    op = _Arithmetic(f, dtype, width)
    for count in range(1, _PACK_RUNS + 1):
        with f.when(f.compare("eq", "%count", str(count))):
            runs = []
            for r in range(count):
                at = f.offset("%runs", str(24 * r))
                first, end, where = (f.item("i64", at, field) for field in range(3))
                runs.append((op.lanes(first, end), where))
            with f.loop("0", "%k") as kk:
                source, row = _step(f, kk)
                value = op.zero
                for mask, where in runs:
                    value = op.masked_load(f.offset(source, where), mask, value)
                op.store(value, row)
    f.ret()
    f.finish()


def _pack_lanes(module: Module, name: str, dtype: str, width: int) -> None:
    """dst[kk][lane] = src[off_k[kk] + off_lane[lane]] (td_pack_lanes_fn)."""
    f = Function(module, name, [*_PACK, ("ptr", "off_lane"), ("i64", "lanes")])
    op = _Arithmetic(f, dtype, width)
    last = f.sub("%lanes", "1")
    places = [f.v(f"load i64, ptr {f.offset('%off_lane', f.mul(f.minimum(str(i), last), '8'))}") for i in range(width)]
    exists = op.mask("%lanes", 0)
    with f.loop("0", "%k") as kk:
        source, row = _step(f, kk)
        if width == 1:
            value = op.masked_load(f.offset(source, places[0]), exists)
        else:
            pointers = "poison"
            for i, place in enumerate(places):
                pointers = f.v(f"insertelement <{width} x ptr> {pointers}, ptr {f.offset(source, place)}, i32 {i}")
            gather = f.module.intrinsic(
                f"llvm.masked.gather.{mangled(op.vector)}.v{width}p0",
                op.vector,
                f"<{width} x ptr>",
                "i32",
                f"<{width} x i1>",
                op.vector,
            )
            value = f.call(
                op.vector,
                gather,
                f"<{width} x ptr> {pointers}",
                f"i32 {_BYTES[dtype]}",
                f"<{width} x i1> {exists}",
                f"{op.vector} {op.zero}",
            )
        op.store(value, row)
    f.ret()
    f.finish()


def _transpose(f: Function, op: _Arithmetic, rows: list[str]) -> list[str]:
    """Transposes width x width registers by log2(width) rounds of two-input shuffles."""
    width, vector = op.width, op.vector
    step = 1
    while step < width:
        following = list(rows)
        for i in range(width):
            if i & step:
                continue
            low, high = rows[i], rows[i + step]
            first = [lane if not lane & step else width + lane - step for lane in range(width)]
            second = [lane + step if not lane & step else width + lane for lane in range(width)]
            for target, pattern in ((i, first), (i + step, second)):
                lanes = ", ".join(f"i32 {p}" for p in pattern)
                following[target] = f.v(f"shufflevector {vector} {low}, {vector} {high}, <{width} x i32> <{lanes}>")
        rows = following
        step *= 2
    return rows


def _pack_transposed(module: Module, name: str, dtype: str, width: int) -> None:
    """dst[kk][lane] = src[off_k[kk] + off_lane[lane]] where k makes runs of `run` consecutive elements, the first with
    `left` of them (td_pack_transposed_fn). Up to `width` steps of one run are read at once, a register a lane; lanes
    that the operand lacks repeat the last."""
    f = Function(module, name, [*_PACK, ("ptr", "off_lane"), ("i64", "lanes"), ("i64", "run"), ("i64", "left")])
    op = _Arithmetic(f, dtype, width)
    last = f.sub("%lanes", "1")
    places = [f.v(f"load i64, ptr {f.offset('%off_lane', f.mul(f.minimum(str(i), last), '8'))}") for i in range(width)]
    kk, rest, out = f.var("i64", "0"), f.var("i64", "%left"), f.var("ptr", "%dst")
    body, after = f.label("body"), f.label("after")
    f.branch(f.compare("sgt", "%k", "0"), body, after)
    f.at(body)
    count = f.minimum(f.minimum(rest.get(), str(width)), f.sub("%k", kk.get()))
    source = f.offset("%src", f.v(f"load i64, ptr {f.offset('%off_k', f.mul(kk.get(), '8'))}"))
    whole, part, done = f.label("whole"), f.label("part"), f.label("end")
    f.branch(f.compare("eq", count, str(width)), whole, part)
    f.at(whole)
    soon = f.offset(source, str(_PREFETCH_BYTES))
    for place in places:  # so many streams at once are more than the hardware follows
        f.prefetch(f.offset(soon, place))
    for column in _transpose(f, op, [op.load(f.offset(source, place)) for place in places]):
        op.store(column, out.get())
        out.set(f.offset(out.get(), "%dst_k"))
    f.jump(done)
    f.at(part)
    mask = op.mask(count, 0)
    columns = _transpose(f, op, [op.masked_load(f.offset(source, place), mask) for place in places])
    for t, column in enumerate(columns[:-1] if width > 1 else columns):
        if t:
            more = f.label("more")
            f.branch(f.compare("sgt", count, str(t)), more, done)
            f.at(more)
        op.store(column, out.get())
        out.set(f.offset(out.get(), "%dst_k"))
    f.jump(done)
    f.at(done)
    kk.set(f.add(kk.get(), count))
    still = f.sub(rest.get(), count)
    rest.set(f.v(f"select i1 {f.compare('sgt', still, '0')}, i64 {still}, i64 %run"))
    f.branch(f.compare("slt", kk.get(), "%k"), body, after)
    f.at(after)
    f.ret()
    f.finish()


def emit_gemm(module: Module, code: str) -> str:
    """Writes the functions and the constant `gemm_<code>` of one dtype; returns the constant's name."""
    if code not in _CODES:
        raise CodegenError(f"gemm: no kernels are generated for dtype {code!r}")
    if not module.target.has_fma:
        raise CodegenError(f"gemm: target {module.target.name} has no fused multiply-add")
    dtype = _STORED_AS.get(code, code)
    tile = shape(code, module.target)
    prefix = f"td_gemm_{code}"
    functions = []
    for form in ("packed", "strided"):
        for rows in range(2, 2 * _MICRO_KERNELS + 2, 2):
            if rows > tile.rows:
                functions.append("ptr null")
                continue
            _micro(module, f"{prefix}_{form}{rows}", dtype, tile, rows, form == "strided")
            functions.append(f"ptr @{prefix}_{form}{rows}")
    _pack_wide(module, f"{prefix}_wide", dtype, tile)
    _pack_tall(module, f"{prefix}_tall", dtype, tile.width)
    _pack_runs(module, f"{prefix}_runs", dtype, tile.width)
    _pack_lanes(module, f"{prefix}_lanes", dtype, tile.width)
    _pack_transposed(module, f"{prefix}_transposed", dtype, tile.width)
    functions += [f"ptr @{prefix}_{n}" for n in ("wide", "tall", "runs", "lanes", "transposed")]
    size = _BYTES[dtype]
    kc = 384 if size == 4 else 192 if size == 8 else 256
    nc = max(tile.nr * 4, (1 << 20) // (kc * size) // tile.nr * tile.nr)
    numbers = (_DTYPE_NUMBER[code], _DTYPE_NUMBER[dtype], size, tile.rows, tile.nr, tile.width, kc, nc)
    types = ", ".join(["ptr"] * len(functions) + ["i32"] * len(numbers))
    module.add(
        f"@gemm_{code} = constant {{ {types} }} {{ {', '.join(functions)}, {', '.join(f'i32 {n}' for n in numbers)} }}, align 8"
    )
    return f"gemm_{code}"


def gemm_kernels(code: str, target: Target) -> tuple[bytes, str]:
    """Object bytes that define `gemm_<code>`, and that name."""
    module = Module(target)
    symbol = emit_gemm(module, code)
    return compile_ir(module.text(), target), symbol
