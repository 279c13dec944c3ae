"""The kernels of the wheel: from keys to a library, as CMake builds it, and what the list of keys holds."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest
from harness import HOST_LEVELS, ROOT

from taeda.codegen import prebuild
from taeda.codegen.keys import kernel_spec

KEYS = prebuild.read_keys((ROOT / "tools" / "prebuilt_keys.txt").read_text())


def test_library(tmp_path):
    keys = [
        "rows/sum/f32/f32",
        "map/add/f32,f32/f32",
        "cols/sum/f32/f32/next",
        "map/add/bf16,bf16/bf16",
        "map/exp/f32/f32",
        "map/relu/f32/f32",
        "map/sin/f64/f64",  # both parts carry the digits of 2/pi
        "map/cos/f64/f64",
        "map/tan/f64/f64",
        "gemm/f32",
    ]
    (tmp_path / "keys.txt").write_text("# common\n" + "\n".join([*keys, keys[0]]) + "  # twice\n\n")
    command = [sys.executable, str(ROOT / "taeda/codegen/prebuild.py"), "--target", HOST_LEVELS[-1]]
    command += ["--keys", str(tmp_path / "keys.txt"), "--out", str(tmp_path), "--parts", "2"]
    for part in ("0", "1"):
        subprocess.run([*command, "--part", part], check=True, env={"PATH": "/usr/bin:/bin"})
    parts = [str(tmp_path / name) for name in ("kernels.c", "kernels_0.o", "kernels_1.o")]
    script = f"-Wl,--version-script={ROOT}/core/kernels.map"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", script, *parts, "-o", tmp_path / "k.so", "-lm"], check=True
    )
    library = ctypes.CDLL(str(tmp_path / "k.so"))
    count = ctypes.c_size_t.in_dll(library, "td_prebuilt_count").value
    table = (ctypes.c_void_p * (2 * count)).in_dll(library, "td_prebuilt_kernels")
    found = {ctypes.string_at(table[2 * k]).decode(): table[2 * k + 1] for k in range(count)}
    assert list(found) == sorted(keys)
    fn, _, finish = (ctypes.c_void_p * 3).from_address(found["cols/sum/f32/f32/next"])
    assert fn and finish
    assert not hasattr(library, "gemm_f32") and not hasattr(library, "td_pre0_kernel")


def test_one_computation_is_compiled_once():
    symbols = prebuild.symbols_of(
        ["map/add/f32,f32/f32", "map/add/f64,f64/f64", "map/cast/f32/f64", "map/cast/f32/f64"]
    )
    assert len({symbol for symbol, _ in symbols.values()}) == 3
    same = [key for key in KEYS if key.split("/")[2:] == ["f32,f32,f32", "f32"]]
    symbols = prebuild.symbols_of(same)
    assert len({symbol for symbol, _ in symbols.values()}) < len(same)
    for key, (_, made_from) in symbols.items():
        assert kernel_spec(key) == kernel_spec(made_from)


def test_every_key_can_be_generated():
    symbols = prebuild.symbols_of(KEYS)
    assert list(symbols) == KEYS  # every key of the list can be generated
    with pytest.raises(SystemExit):
        prebuild.main(["--target", HOST_LEVELS[-1], "--keys", "none", "--out", "none", "--part", "2", "--parts", "2"])


def test_the_list_has_what_programs_start_with():
    for key in (
        "map/add/f32,f32/f32",
        "map/mul/i64,i64/i64",
        "map/cast/b1/f32",
        "rows/sum/i64/i64",
        "gemm/f32",
        "gemm/f64",
    ):
        assert key in KEYS, key
