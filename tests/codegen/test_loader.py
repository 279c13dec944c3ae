"""The object loader: what it links, and that damage is refused instead of crashing the process."""

from __future__ import annotations

import ctypes
import math
import random

import pytest
from harness import HOST_LEVELS, Loaded, shim

from taeda.codegen.compile import compile_ir, compile_kernels
from taeda.codegen.spec import KernelSpec
from taeda.codegen.target import TARGETS
from taeda.ops import expr as ex
from taeda.ops import scalar

TARGET = TARGETS[HOST_LEVELS[0]]
LINKED = f"""
target triple = "{TARGET.triple}"
@numbers = constant [3 x double] [double 1.0, double 2.0, double 4.0]
@counter = global i64 5
@table = constant [2 x ptr] [ptr @numbers, ptr @counter]
@room = internal global [100 x i64] zeroinitializer
declare double @cos(double)
define double @wave(double %x) {{
  %y = call double @cos(double %x)
  ret double %y
}}
define double @third() {{
  %a = load ptr, ptr @table
  %p = getelementptr double, ptr %a, i64 2
  %x = load double, ptr %p
  ret double %x
}}
define i64 @count() {{
  %x = load i64, ptr @counter
  %y = add i64 %x, 1
  store i64 %y, ptr @counter
  %p = getelementptr i64, ptr @room, i64 %x
  store i64 %y, ptr %p
  %z = load i64, ptr %p
  ret i64 %z
}}
"""


def kernel_object() -> bytes:
    x = ex.load(0, "f32")
    e = scalar.exp(x - ex.reduce("max", x))
    return compile_kernels(
        {"k": KernelSpec(("f32", "f32"), (("f32", e / ex.reduce("sum", e) % ex.load(1, "f32")),))}, TARGET
    )[0]


def test_links_data_got_stubs_and_zeroed_memory():
    loaded = Loaded(compile_ir(LINKED, TARGET))
    wave = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(loaded.address("wave"))
    assert wave(0.5) == math.cos(0.5)
    assert ctypes.CFUNCTYPE(ctypes.c_double)(loaded.address("third"))() == 4.0
    count = ctypes.CFUNCTYPE(ctypes.c_int64)(loaded.address("count"))
    assert [count() for _ in range(3)] == [6, 7, 8]
    assert loaded.address("room") is None and loaded.address("nothing") is None
    table = (ctypes.c_void_p * 2).from_address(loaded.address("table"))
    assert table[0] == loaded.address("numbers") and table[1] == loaded.address("counter")


def test_code_is_not_writable():
    loaded = Loaded(kernel_object())
    address = loaded.address("k")
    with open("/proc/self/maps") as maps:
        rights = next(
            parts[1]
            for parts in map(str.split, maps)
            if int(parts[0].split("-")[0], 16) <= address < int(parts[0].split("-")[1], 16)
        )
    assert rights == "r-xp"


def test_unknown_symbol_is_named():
    text = f'target triple = "{TARGET.triple}"\ndeclare void @no_such_function_anywhere()\n' + \
        "define void @f() {\n  call void @no_such_function_anywhere()\n  ret void\n}\n"  # fmt: skip
    with pytest.raises(RuntimeError, match="undefined symbol 'no_such_function_anywhere'"):
        Loaded(compile_ir(text, TARGET))


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"hello" * 100, b"\x7fELF\x02\x01\x01" + bytes(200)])
def test_other_files(data):
    with pytest.raises(RuntimeError, match="object code: "):
        Loaded(data)


def test_another_machine():
    foreign = TARGETS["aarch64" if TARGET.name != "aarch64" else "x86-64-v3"]
    data = compile_kernels({"k": KernelSpec(("f32",), (("f32", -ex.load(0, "f32")),))}, foreign)[0]
    with pytest.raises(RuntimeError, match="made for another machine"):
        Loaded(data)


def try_load(data: bytes) -> bool:
    error = ctypes.create_string_buffer(512)
    handle = shim().shim_load(data, len(data), error, len(error))
    if handle:
        shim().shim_free(handle)
        return True
    assert error.value.startswith(b"object code: ")
    return False


def test_truncation_is_refused():
    data = kernel_object()
    for cut in [*range(128), *range(128, len(data), 37), len(data) - 1]:
        assert not try_load(data[:cut]), cut  # section headers are at the end: any cut loses some


def test_damage_never_crashes():
    """Random damage is refused, or leaves an object that still links; either way the process lives.

    (The cache's checksum is what keeps damaged code from running.)
    """
    dice = random.Random(5)
    originals = [kernel_object(), compile_ir(LINKED, TARGET)]
    refused = 0
    for number in range(3000):
        data = bytearray(originals[number % 2])
        header = number % 3 == 0  # the headers and tables are where the loader looks
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(64) if header else dice.randrange(len(data) * 2 // 3, len(data))
            data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        refused += not try_load(bytes(data))
    assert refused > 500
