"""Specs: what is refused before LLVM sees it, and the text that keys the cache."""

from __future__ import annotations

import pytest
from harness import HOST_LEVELS

from taeda.codegen.compile import compile_kernels
from taeda.codegen.keys import kernel_spec, parse
from taeda.codegen.spec import CodegenError, KernelSpec, canonical_text, check
from taeda.codegen.target import TARGETS, named
from taeda.ops import expr as ex

x, y, i = ex.load(0, "f32"), ex.load(1, "f32"), ex.load(0, "i32")
total = ex.reduce("sum", x)


@pytest.mark.parametrize(
    "spec,message",
    [
        (
            KernelSpec(("f32",), (("f32", ex.make("llvm.exp", (x,), "f32")),)),
            "node 'llvm.exp' of f32: not a base operation",
        ),
        (KernelSpec(("f32",), (("f32", ex.make("add", (x,), "f32")),)), "takes 2 arguments, got 1"),
        (KernelSpec(("f32",), (("f32", ex.make("add", (x, ex.cast(x, "f64")), "f32")),)), "arguments are f32, f64"),
        (KernelSpec(("f32",), (("f32", x + y),)), "reads input 1, the kernel has 1"),
        (KernelSpec(("i32",), (("f32", x),)), "input 0 is stored as i32"),
        (KernelSpec(("f32",), (("f64", x),)), "an output stored as f64 needs a f64 expression, got f32"),
        (KernelSpec(("f32",), (("c64", x),)), "unknown dtype code 'c64'"),
        (KernelSpec(("i32",), (("i32", ex.make("sqrt", (i,), "i32")),)), "is defined on floats only"),
        (KernelSpec(("f32",), (("f32", ex.make("and", (x, x), "f32")),)), "is not defined on floats"),
        (KernelSpec(("f32",), (("f32", ex.make("reduce", (x,), "f32", "median")),)), "unknown kind 'median'"),
        (KernelSpec(("f32",), (("f64", ex.make("bitcast", (x,), "f64")),)), "cannot take the bits of f32"),
        (KernelSpec(("f32",), ()), "at least one output"),
        (KernelSpec(("f32",) * 64, (("f32", x),)), "65 operands, at most 64 fit"),
        (KernelSpec(("f32",), (("f32", x),), "diagonal"), "form must be one of row, col, scan"),
        (KernelSpec(("f32",), (("f32", x),), "col"), "form 'col' needs a reduction"),
        (KernelSpec(("f32",), (("f32", total + x),), "col"), "may read elements inside reductions only"),
        (KernelSpec(("f32",), (("f32", ex.reduce("max", x - total)),), "scan"), "cannot nest reductions"),
        (KernelSpec(("f32",), (("f32", x),), per_row=frozenset([3])), "per_row names input 3"),
        (KernelSpec(("f32",), ((("f32", 1.0)),)), "an output must be an Expr, got float"),
    ],
)
def test_refused(spec, message):
    with pytest.raises(CodegenError, match=message.replace("(", r"\(")):
        check(spec)
    with pytest.raises(Exception):  # noqa: B017  (whatever it is, LLVM has not been reached)
        compile_kernels({"k": spec}, TARGETS[HOST_LEVELS[0]])


def test_text_tells_specs_apart():
    specs = [
        KernelSpec(("f32", "f32"), (("f32", x + y),)),
        KernelSpec(("f32", "f32"), (("f32", y + x),)),
        KernelSpec(("f32", "f32"), (("f32", x + y), ("f32", x))),
        KernelSpec(("f32", "f32"), (("bf16", x + y),)),
        KernelSpec(("f32", "f32"), (("f32", x + 0.0),)),
        KernelSpec(("f32", "f32"), (("f32", x + ex.const(-0.0, "f32")),)),
        KernelSpec(("f32", "f32"), (("f32", x + float("nan")),)),
        KernelSpec(("f32", "f32"), (("f32", ex.reduce("sum", x)),)),
        KernelSpec(("f32", "f32"), (("f32", ex.reduce("max", x)),)),
        KernelSpec(("f32", "f32"), (("f32", ex.reduce("sum", x)),), "col"),
        KernelSpec(("f32", "f32"), (("f32", ex.reduce("sum", x)),), per_row=frozenset([1])),
    ]
    texts = [canonical_text(s) for s in specs]
    assert len(set(texts)) == len(texts)
    assert canonical_text(KernelSpec(("f32", "f32"), (("f32", ex.load(0, "f32") + ex.load(1, "f32")),))) == texts[0]


def test_equal_text_gives_equal_objects():
    spec = KernelSpec(("f32", "f32"), (("f32", x * y + total),))
    assert (
        compile_kernels({"k": spec}, TARGETS[HOST_LEVELS[0]])[0]
        == compile_kernels({"k": spec}, TARGETS[HOST_LEVELS[0]])[0]
    )


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_compiles(name):
    row = KernelSpec(("bf16", "i32"), (("f16", x % 3), ("i64", ex.cast(ex.load(1, "i32") / 7, "i64"))))
    nest = KernelSpec(("f32",), (("f32", x / total), ("i64", ex.reduce("argmax", x))))
    col = KernelSpec(("f16",), (("f16", total),), "col")
    scan = KernelSpec(("f32",), (("f32", total),), "scan")
    data, facts = compile_kernels({"a": row, "b": nest, "c": col, "d": scan}, named(name))
    assert data[:4] == b"\x7fELF" and data[18] == {"x86-64-v4": 62, "x86-64-v3": 62, "aarch64": 183}[name]
    assert facts["c"].finish == "c_finish" and facts["b"].flags == 2


def test_unknown_target_and_keys():
    with pytest.raises(CodegenError, match="unknown target 'vax', known are x86-64-v4"):
        named("vax")
    for key in (
        "",
        "map/add",
        "map/add/f32/f32/first",
        "cols/sum/f32/f32",
        "cols/sum/f32/f32/last",
    ):
        with pytest.raises(CodegenError, match="kernel key"):
            parse(key)
    with pytest.raises(NotImplementedError, match="sum: not implemented for dtype complex64"):
        parse("rows/sum/c64/c64")
    with pytest.raises(KeyError, match="no_such_op"):
        kernel_spec("map/no_such_op/f32/f32")
