"""Building LLVM IR as text: a module that collects declarations and functions, and a function that writes instructions.

Values are strings ("%t12", "0"). Mutable variables are stack slots (`Function.var`); LLVM's SROA pass turns them into
registers, so loops need no hand-written phi nodes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .target import Target

#: LLVM type of a value in registers, and in memory.
REGISTER = {
    "b1": "i1",
    "u8": "i8",
    "i8": "i8",
    "i16": "i16",
    "i32": "i32",
    "i64": "i64",
    "f32": "float",
    "f64": "double",
}
MEMORY = {**REGISTER, "b1": "i8", "f16": "i16", "bf16": "i16"}
#: The name part of overloaded intrinsics.
_MANGLED = {"float": "f32", "double": "f64", "half": "f16"}


def vector(element: str, width: int) -> str:
    """`<width x element>`, or the element itself at width 1."""
    return element if width == 1 else f"<{width} x {element}>"


def mangled(type_: str) -> str:
    """How an intrinsic's name spells `type_`."""
    if type_.startswith("<"):
        count, element = type_[1:-1].split(" x ")
        return f"v{count}{_MANGLED.get(element, element)}"
    return _MANGLED.get(type_, type_)


def literal(value, dtype: str) -> str:
    """A constant of compute dtype `dtype`."""
    if dtype == "b1":
        return "true" if value else "false"
    if dtype in ("f32", "f64"):
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    return str(int(value))


def splat(text: str, element: str, width: int) -> str:
    """A literal in every lane."""
    return text if width == 1 else f"splat ({element} {text})"


class Module:
    """Text of one LLVM module."""

    def __init__(self, target: Target):
        self.target = target
        self._declared: dict[str, None] = {}
        self._helpers: set[str] = set()
        self._functions: list[str] = []

    def intrinsic(self, name: str, result: str, *params: str) -> str:
        """Declares `@name` once and returns it."""
        self._declared[f"declare {result} @{name}({', '.join(params)})"] = None
        return f"@{name}"

    def helper(self, name: str, define: Callable[[Module], None]) -> str:
        """A function of the module that is defined on first use."""
        if name not in self._helpers:
            self._helpers.add(name)
            define(self)
        return f"@{name}"

    def add(self, text: str) -> None:
        """Adds a finished definition."""
        self._functions.append(text)

    def text(self) -> str:
        head = f'target triple = "{self.target.triple}"\n'
        tail = f"attributes #0 = {{ {self.target.attributes} }}\n"
        return "\n".join((head, *self._declared, *self._functions, tail))


class Var:
    """A mutable variable of a function."""

    __slots__ = ("f", "slot", "type")

    def __init__(self, f: Function, type_: str, slot: str):
        self.f, self.type, self.slot = f, type_, slot

    def get(self) -> str:
        return self.f.v(f"load {self.type}, ptr {self.slot}")

    def set(self, value: str) -> None:
        self.f.emit(f"store {self.type} {value}, ptr {self.slot}")


def row_parameters(fifth: str = "index", sixth: str = "scratch") -> list[tuple[str, str]]:
    """Parameters of td_row_fn and, with other names for the last two, of td_partial_col_fn."""
    tables = [("ptr", name) for name in ("ptr", "es", "rs")]
    return [*tables, ("i64", "n"), ("i64", "rows"), ("i64", fifth), ("ptr", sixth)]


class Function:
    """Writes one function. `finish()` hands it to the module."""

    def __init__(
        self, module: Module, name: str, params: list[tuple[str, str]], result: str = "void", internal: bool = False
    ):
        self.module, self.target, self.name = module, module.target, name
        linkage = "internal " if internal else ""
        inline = " noinline" if internal else ""
        args = ", ".join(f"{t} %{n}" for t, n in params)
        self._head = f"define {linkage}{result} @{name}({args}) #0{inline} {{\nentry:"
        self._allocas: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._labels = 0

    # -- instructions ------------------------------------------------------------------------------------------------
    def emit(self, line: str) -> None:
        self._lines.append("  " + line)

    def v(self, text: str) -> str:
        """Writes an instruction that has a value and names it."""
        self._count += 1
        name = f"%t{self._count}"
        self._lines.append(f"  {name} = {text}")
        return name

    def alloca(self, type_: str, count: int = 1) -> str:
        """Stack memory of the whole call, 64-byte aligned."""
        self._count += 1
        name = f"%s{self._count}"
        self._allocas.append(f"  {name} = alloca {type_}, i64 {count}, align 64")
        return name

    def var(self, type_: str, init: str | None = None) -> Var:
        self._count += 1
        slot = f"%s{self._count}"
        self._allocas.append(f"  {slot} = alloca {type_}")
        variable = Var(self, type_, slot)
        if init is not None:
            variable.set(init)
        return variable

    def call(self, result: str, callee: str, *args: str) -> str:
        """`args` are typed ("i64 %n"). Returns the value, or "" for void."""
        text = f"call {result} {callee}({', '.join(args)})"
        if result == "void":
            self.emit(text)
            return ""
        return self.v(text)

    def overloaded(self, name: str, type_: str, *values: str) -> str:
        """Calls intrinsic llvm.`name` whose parameters and result are all `type_`."""
        callee = self.module.intrinsic(f"llvm.{name}.{mangled(type_)}", type_, *([type_] * len(values)))
        return self.call(type_, callee, *(f"{type_} {x}" for x in values))

    # -- small integer and address arithmetic --------------------------------------------------------------------------
    def offset(self, pointer: str, byte_count: str) -> str:
        return pointer if byte_count == "0" else self.v(f"getelementptr i8, ptr {pointer}, i64 {byte_count}")

    def item(self, type_: str, array: str, k: int) -> str:
        """Element k of an array of 8-byte values."""
        return self.v(f"load {type_}, ptr {self.offset(array, str(8 * k))}")

    def add(self, a: str, b: str) -> str:
        return a if b == "0" else b if a == "0" else self.v(f"add i64 {a}, {b}")

    def sub(self, a: str, b: str) -> str:
        return self.v(f"sub i64 {a}, {b}")

    def mul(self, a: str, b: str) -> str:
        return self.v(f"mul i64 {a}, {b}")

    def compare(self, how: str, a: str, b: str) -> str:
        return self.v(f"icmp {how} i64 {a}, {b}")

    def minimum(self, a: str, b: str) -> str:
        return self.v(f"select i1 {self.compare('slt', a, b)}, i64 {a}, i64 {b}")

    def prefetch(self, pointer: str) -> None:
        callee = self.module.intrinsic("llvm.prefetch.p0", "void", "ptr", "i32", "i32", "i32")
        self.call("void", callee, f"ptr {pointer}", "i32 0", "i32 3", "i32 1")

    def splat(self, value: str, element: str, width: int) -> str:
        """A scalar register in every lane."""
        if width == 1:
            return value
        type_ = vector(element, width)
        one = self.v(f"insertelement {type_} poison, {element} {value}, i64 0")
        return self.v(f"shufflevector {type_} {one}, {type_} poison, <{width} x i32> zeroinitializer")

    # -- control flow ------------------------------------------------------------------------------------------------
    def label(self, hint: str) -> str:
        self._labels += 1
        return f"{hint}{self._labels}"

    def at(self, label: str) -> None:
        self._lines.append(f"{label}:")

    def jump(self, label: str) -> None:
        self.emit(f"br label %{label}")

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.emit(f"br i1 {condition}, label %{yes}, label %{no}")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """The body runs if `condition` holds."""
        yes, after = self.label("then"), self.label("done")
        self.branch(condition, yes, after)
        self.at(yes)
        yield
        self.jump(after)
        self.at(after)

    @contextmanager
    def loop(self, start: str, end: str, step: int | str = 1) -> Iterator[str]:
        """for (i = start; i < end; i += step); yields i. The body runs while i < end."""
        head, body, after = self.label("head"), self.label("body"), self.label("after")
        i = self.var("i64", start)
        self.branch(self.compare("slt", start, end), body, after)
        # Bottom-tested: the compare at the end of the body is the only branch a step takes.
        self.at(body)
        now = i.get()
        yield now
        self.jump(head)
        self.at(head)
        following = self.add(now, str(step))
        i.set(following)
        self.branch(self.compare("slt", following, end), body, after)
        self.at(after)

    def ret(self, typed_value: str = "void") -> None:
        self.emit(f"ret {typed_value}")

    def finish(self) -> None:
        self.module.add("\n".join((self._head, *self._allocas, *self._lines, "}")))
