"""Pieces of host programs: size arithmetic, constant tables, checked calls of the runtime."""

from __future__ import annotations

import struct

from ..ir.sym import Atom, Sym, as_sym
from .llvm import Function, Module

CTX_STEP = 24  # byte offset of failed_step in td_ctx


def constant_text(name: str, text: str) -> str:
    """A C string as a global."""
    data = text.encode() + b"\0"
    body = "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\{b:02X}" for b in data)
    return f'{name} = private constant [{len(data)} x i8] c"{body}"\n'


#: Checks a td_tensor: dtype, rank, sizes (-1: any), row-major strides.
CHECK_INPUT = (
    constant_text("@taeda_text_dtype", "%s: expected dtype number %d of td_dtype, got %d")
    + constant_text("@taeda_text_rank", "%s: expected %d dimensions, got %d")
    + constant_text("@taeda_text_size", "%s: size of dimension %d must be %lld, got %lld")
    + constant_text("@taeda_text_layout", "%s: must be contiguous (row-major), but is not")
    + r"""
define internal i32 @taeda_check_input(ptr %t, i32 %dtype, i32 %ndim, ptr %expected, ptr %name, i64 %item) #0 noinline {
entry:
  %dtype_at = getelementptr i8, ptr %t, i64 8
  %have = load i32, ptr %dtype_at
  %dtype_ok = icmp eq i32 %have, %dtype
  br i1 %dtype_ok, label %rank, label %bad_dtype
bad_dtype:
  %s1 = call i32 (i32, ptr, ...) @td_fail(i32 5, ptr @taeda_text_dtype, ptr %name, i32 %dtype, i32 %have)
  ret i32 %s1
rank:
  %rank_at = getelementptr i8, ptr %t, i64 12
  %n = load i32, ptr %rank_at
  %rank_ok = icmp eq i32 %n, %ndim
  br i1 %rank_ok, label %sizes, label %bad_rank
bad_rank:
  %s2 = call i32 (i32, ptr, ...) @td_fail(i32 3, ptr @taeda_text_rank, ptr %name, i32 %ndim, i32 %n)
  ret i32 %s2
sizes:
  %n64 = sext i32 %ndim to i64
  %size0 = getelementptr i8, ptr %t, i64 16
  %stride0 = getelementptr i8, ptr %t, i64 272
  br label %head
head:
  %left = phi i64 [ %n64, %sizes ], [ %d, %next ]
  %step = phi i64 [ %item, %sizes ], [ %step2, %next ]
  %empty = phi i1 [ false, %sizes ], [ %empty2, %next ]
  %loose = phi i1 [ false, %sizes ], [ %loose2, %next ]
  %done = icmp eq i64 %left, 0
  br i1 %done, label %end, label %body
body:
  %d = sub i64 %left, 1
  %size_at = getelementptr i64, ptr %size0, i64 %d
  %size = load i64, ptr %size_at
  %want_at = getelementptr i64, ptr %expected, i64 %d
  %want = load i64, ptr %want_at
  %any = icmp slt i64 %want, 0
  %negative = icmp slt i64 %size, 0
  %equal = icmp eq i64 %size, %want
  %either = or i1 %any, %equal
  %positive = xor i1 %negative, true
  %good = and i1 %either, %positive
  br i1 %good, label %next, label %bad_size
bad_size:
  %d32 = trunc i64 %d to i32
  %s3 = call i32 (i32, ptr, ...) @td_fail(i32 3, ptr @taeda_text_size, ptr %name, i32 %d32, i64 %want, i64 %size)
  ret i32 %s3
next:
  %stride_at = getelementptr i64, ptr %stride0, i64 %d
  %stride = load i64, ptr %stride_at
  %one = icmp eq i64 %size, 1
  %fits = icmp eq i64 %stride, %step
  %fine = or i1 %one, %fits
  %off = xor i1 %fine, true
  %loose2 = or i1 %loose, %off
  %zero = icmp eq i64 %size, 0
  %empty2 = or i1 %empty, %zero
  %step2 = mul i64 %step, %size
  br label %head
end:
  %full = xor i1 %empty, true
  %bad = and i1 %loose, %full
  br i1 %bad, label %bad_layout, label %ok
bad_layout:
  %s4 = call i32 (i32, ptr, ...) @td_fail(i32 3, ptr @taeda_text_layout, ptr %name)
  ret i32 %s4
ok:
  ret i32 0
}
"""
)


class Host:
    """Writes the parts that a host program is made of."""

    def __init__(self, module: Module, name: str, linked: bool = False):
        self.module, self.name = module, name
        self.f = Function(module, name, [("ptr", "ctx"), ("ptr", "inputs"), ("ptr", "outputs")], "i32")
        self.sizes: dict[str, str] = {}
        self._values: dict[Sym, str] = {}
        self._arrays: dict[tuple[Sym, ...], str] = {}
        self._globals: dict[str, str] = {}
        self.linked = linked
        self._externals: dict[str, int] = {}
        self._weights = ""
        self._scratch: dict[str, str] = {}
        self.step = -1  # of the plan: whose calls are written
        self.f._allocas += ["  %status = alloca i32", "  %arena_slot = alloca ptr"]
        self.f.emit("store ptr null, ptr %arena_slot")
        module.intrinsic("td_fail", "i32", "i32", "ptr", "...")

    # -- symbols -----------------------------------------------------------------------------------------------------
    def runtime(self, name: str, result: str, *params: str) -> str:
        """A function of the runtime."""
        return self.module.intrinsic(name, result, *params)

    def external(self, name: str) -> str:
        """Address of data that another object defines: its symbol, or an entry of the import table."""
        if self.linked:
            if name not in self._externals:
                self._externals[name] = len(self._externals)
                self.module.add(f"@{name} = external constant i8")
            return f"@{name}"
        number = self._externals.setdefault(name, len(self._externals))
        return self.f.v(f"load ptr, ptr {self.f.offset(f'@{self.name}_imports', str(8 * number))}")

    def finish_imports(self) -> list[str]:
        """Defines the import table; the names of its entries."""
        if self.linked or not self._externals:
            return []
        self.module.add(f"@{self.name}_imports = global [{len(self._externals)} x ptr] zeroinitializer")
        return list(self._externals)

    def _global(self, body: str) -> str:
        if body not in self._globals:
            name = f"@{self.name}_c{len(self._globals)}"
            self._globals[body] = name
            self.module.add(f"{name} = private constant {body}")
        return self._globals[body]

    def string(self, text: str) -> str:
        return self._global(constant_text("", text).partition("constant ")[2].strip())

    def constant_array(self, values: list[int], type_: str = "i64") -> str:
        """Address of a constant table (never empty: a table of no entries has one 0)."""
        values = values or [0]
        return self._global(f"[{len(values)} x {type_}] [{', '.join(f'{type_} {v}' for v in values)}]")

    def weights_pointer(self, offset: int) -> str:
        if not self._weights:
            self._weights = self.f.v(f"load ptr, ptr {self.f.offset('%ctx', str(offset))}")
        return self._weights

    # -- sizes -------------------------------------------------------------------------------------------------------
    def size(self, s: Sym | int) -> str:
        """Register (or literal) of a size. Code runs straight through, so a value computed once serves the rest."""
        s = as_sym(s)
        if s.value is not None:
            return str(s.value)
        if s not in self._values:
            total = ""
            for m, c in s.terms:
                term = ""
                for a in m:
                    x = self._atom(a)
                    term = self.f.mul(term, x) if term else x
                if not term:
                    term = str(c)
                elif c != 1:
                    term = self.f.mul(term, str(c))
                total = self.f.add(total, term) if total else term
            self._values[s] = total
        return self._values[s]

    def _atom(self, a: Atom) -> str:
        if not a.args:
            return self.sizes[a.op]
        key = Sym((((a,), 1),))
        if key not in self._values:
            x, y = (self.size(v) for v in a.args)
            if a.op in ("max", "min"):
                how = "sgt" if a.op == "max" else "slt"
                found = self.f.v(f"select i1 {self.f.compare(how, x, y)}, i64 {x}, i64 {y}")
            else:
                found = self._division(a.op, x, y)
            self._values[key] = found
        return self._values[key]

    def _division(self, op: str, x: str, y: str) -> str:
        """floordiv or mod, rounding toward minus infinity; a divisor of 0 gives 0 (a guard has refused it before)."""
        zero = self.f.compare("eq", y, "0")
        y = self.f.v(f"select i1 {zero}, i64 1, i64 {y}")
        rest = self.f.v(f"srem i64 {x}, {y}")
        signs = self.f.v(f"xor i64 {rest}, {y}")
        wrong = self.f.v(f"and i1 {self.f.compare('ne', rest, '0')}, {self.f.compare('slt', signs, '0')}")
        if op == "mod":
            return self.f.v(f"select i1 {wrong}, i64 {self.f.add(rest, y)}, i64 {rest}")
        quotient = self.f.v(f"sdiv i64 {x}, {y}")
        return self.f.v(f"select i1 {wrong}, i64 {self.f.sub(quotient, '1')}, i64 {quotient}")

    def array(self, values: list[Sym]) -> str:
        """Address of a table of sizes or strides: constant data, or filled once."""
        if all(v.value is not None for v in values):
            return self.constant_array([v.value for v in values])  # type: ignore[misc]
        key = tuple(values)
        if key not in self._arrays:
            place = self.f.alloca("i64", len(values))
            for k, v in enumerate(values):
                self.f.emit(f"store i64 {self.size(v)}, ptr {self.f.offset(place, str(8 * k))}")
            self._arrays[key] = place
        return self._arrays[key]

    def scratch(self, name: str, nbytes: int) -> str:
        """Stack memory that every step may overwrite."""
        key = f"{name}{nbytes}"
        if key not in self._scratch:
            self._scratch[key] = self.f.alloca("i8", nbytes)
        return self._scratch[key]

    # -- numbers -----------------------------------------------------------------------------------------------------
    def literal(self, value) -> tuple[str, str]:
        if isinstance(value, float):
            return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}", "double"
        return str(int(value)), "i64"

    def arithmetic(self, op: str, operands: list[tuple[str, str]], type_: str) -> tuple[str, str]:
        """add, sub, mul, div, pow or neg of numbers, as Python computes them."""
        f = self.f
        if type_ == "i64":
            names = [r for r, _ in operands]
            return f.v(f"sub i64 0, {names[0]}" if op == "neg" else f"{op} i64 {', '.join(names)}"), type_
        names = [r if t == "double" else f.v(f"sitofp i64 {r} to double") for r, t in operands]
        if op == "neg":
            return f.v(f"fneg double {names[0]}"), type_
        if op == "pow":
            return f.call(
                "double", self.runtime("pow", "double", "double", "double"), *(f"double {n}" for n in names)
            ), type_
        return f.v(f"f{op} double {', '.join(names)}"), type_

    def store_number(self, register: str, type_: str, dtype: str) -> str:
        """Stack slot holding the number as an element of `dtype`."""
        f = self.f
        place = f.alloca("i64")
        if dtype in ("f64", "f32", "f16", "bf16"):
            wide = register if type_ == "double" else f.v(f"sitofp i64 {register} to double")
            if dtype == "f64":
                f.emit(f"store double {wide}, ptr {place}")
                return place
            single = f.v(f"fptrunc double {wide} to float")
            if dtype == "f32":
                f.emit(f"store float {single}, ptr {place}")
            elif dtype == "f16":
                f.emit(f"store half {f.v(f'fptrunc float {single} to half')}, ptr {place}")
            else:
                bits = f.v(f"bitcast float {single} to i32")
                odd = f.v(f"and i32 {f.v(f'lshr i32 {bits}, 16')}, 1")
                rounded = f.v(f"add i32 {bits}, {f.v(f'add i32 {odd}, 32767')}")
                high = f.v(f"lshr i32 {rounded}, 16")
                f.emit(f"store i16 {f.v(f'trunc i32 {high} to i16')}, ptr {place}")
            return place
        if type_ == "double":
            whole = self.module.intrinsic("llvm.fptosi.sat.i64.f64", "i64", "double")
            register = (
                f.call("i64", whole, f"double {register}")
                if dtype != "b1"
                else f.v(f"zext i1 {f.v(f'fcmp une double {register}, 0.0')} to i64")
            )
        elif dtype == "b1":
            register = f.v(f"zext i1 {f.compare('ne', register, '0')} to i64")
        f.emit(f"store i64 {register}, ptr {place}")  # little-endian: the low bytes are the element
        return place

    # -- calls -------------------------------------------------------------------------------------------------------
    def checked(self, callee: str, *args: str) -> None:
        """A call that gives a td_status; anything but TD_OK ends the program."""
        status = self.f.call("i32", callee, *args)
        good, bad = self.f.label("good"), self.f.label("bad")
        self.f.branch(self.f.v(f"icmp eq i32 {status}, 0"), good, bad)
        self.f.at(bad)
        self.f.emit(f"store i32 {status}, ptr %status")
        if self.step >= 0:
            self.f.emit(f"store i64 {self.step}, ptr {self.f.offset('%ctx', str(CTX_STEP))}")
        self.f.jump("failed")
        self.f.at(good)

    def fail(self, code: int, message: str) -> str:
        """td_fail with a fixed text."""
        return self.f.v(
            f"call i32 (i32, ptr, ...) @td_fail(i32 {code}, ptr {self.string('%s')}, ptr {self.string(message)})"
        )
