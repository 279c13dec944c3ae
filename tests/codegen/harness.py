"""Runs generated kernels on NumPy arrays through the core's object loader (in a small shim), without the core."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

from taeda.codegen.compile import compile_kernels
from taeda.codegen.spec import SIZE, KernelSpec
from taeda.codegen.target import LEVELS, TARGETS, host

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIM = r"""
#include "object_loader.h"
#include <cstring>
extern "C" void *shim_load(const void *bytes, size_t n, char *error, size_t room) {
  try {
    return new taeda::LoadedObject(taeda::load_object({static_cast<const std::byte *>(bytes), n}));
  } catch (const taeda::ObjectError &e) {
    std::strncpy(error, e.what(), room - 1);
    return nullptr;
  }
}
extern "C" void *shim_address(void *object, const char *name) {
  return static_cast<taeda::LoadedObject *>(object)->address(name);
}
extern "C" void shim_free(void *object) { delete static_cast<taeda::LoadedObject *>(object); }
"""
#: Levels that this machine runs.
HOST_LEVELS = (
    [t for t in LEVELS if LEVELS.index(t) >= LEVELS.index(host().name)] if host().name in LEVELS else [host().name]
)
NUMPY = {"b1": np.bool_, "u8": np.uint8, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
         "f16": np.float16, "bf16": np.uint16, "f32": np.float32, "f64": np.float64}  # fmt: skip


@functools.cache
def shim() -> ctypes.CDLL:
    sources = [ROOT / "core/object_loader.cpp", ROOT / "core/object_loader.h"]
    digest = hashlib.sha256(SHIM.encode() + b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]
    library = pathlib.Path(tempfile.gettempdir()) / f"taeda-loader-{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "shim.cpp"
            source.write_text(SHIM)
            built = pathlib.Path(folder) / "shim.so"
            flags = ["-std=c++20", "-O1", "-g", "-fPIC", "-shared", f"-I{ROOT}/core"]
            subprocess.run(["g++", *flags, str(source), str(sources[0]), "-o", str(built), "-ldl"], check=True)
            fresh = library.with_name(f"{library.name}.{os.getpid()}")
            shutil.copy(built, fresh)
            fresh.replace(library)
    dll = ctypes.CDLL(str(library))
    dll.shim_load.restype = ctypes.c_void_p
    dll.shim_load.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    dll.shim_address.restype = ctypes.c_void_p
    dll.shim_address.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    dll.shim_free.argtypes = [ctypes.c_void_p]
    return dll


class Loaded:
    """An object in memory; raises RuntimeError with the loader's text if it is refused."""

    def __init__(self, data: bytes):
        error = ctypes.create_string_buffer(512)
        self.handle = shim().shim_load(data, len(data), error, len(error))
        if not self.handle:
            raise RuntimeError(error.value.decode())

    def address(self, name: str) -> int | None:
        return shim().shim_address(self.handle, name.encode())

    def __del__(self):
        if getattr(self, "handle", None):
            shim().shim_free(self.handle)


def to_bf16(x) -> np.ndarray:
    """float32 to the uint16 bits of bfloat16, to nearest even, NaN kept."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(x), ((bits >> 16) | 0x40).astype(np.uint16), rounded)


def from_bf16(x) -> np.ndarray:
    return (np.asarray(x).astype(np.uint32) << 16).view(np.float32)


def pointers(arrays):
    return (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays])


def longs(values):
    return (ctypes.c_int64 * len(values))(*values)


i64, ptr = ctypes.c_int64, ctypes.c_void_p
ROW = ctypes.CFUNCTYPE(None, ptr, ptr, ptr, i64, i64, i64, ptr)
PARTIAL_ROW = ctypes.CFUNCTYPE(None, ptr, ptr, i64, i64, ptr)
PARTIAL_COL = ctypes.CFUNCTYPE(None, ptr, ptr, ptr, i64, i64, i64, ptr)
FINISH = ctypes.CFUNCTYPE(None, ptr, ptr, ptr, i64, i64, i64)


class Kernel:
    """A compiled spec. Arrays are 2-D [rows, n] with any strides (0 for broadcast); per-row arrays are [rows, 1]."""

    def __init__(self, spec: KernelSpec, level: str | None = None):
        self.spec = spec
        data, facts = compile_kernels({"k": spec}, TARGETS[level or HOST_LEVELS[0]])
        self.facts, self.object = facts["k"], Loaded(data)

    def fn(self, prototype, which="fn"):
        return prototype(self.object.address(getattr(self.facts, which)))

    def _strides(self, arrays, axis, n):
        return longs(
            [
                a.strides[axis] if a.shape[axis] == n and n != 1 else 0 if a.shape[axis] != n else a.itemsize
                for a in arrays
            ]
        )

    def rows(self, outs, ins, n, index=0, rows=None):
        arrays = [*outs, *ins]
        rows = outs[0].shape[0] if rows is None else rows
        scratch = np.full(max(1, n * self.facts.scratch_per_elem) + 64, 0xA5, np.uint8)
        across = longs([a.strides[0] if a.shape[0] != 1 else 0 for a in arrays])
        self.fn(ROW)(pointers(arrays), self._strides(arrays, 1, n), across, n, rows, index, scratch.ctypes.data)
        end = n * self.facts.scratch_per_elem
        assert (scratch[end:] == 0xA5).all() or end == 0, "wrote past its scratch"
        return outs

    def blocked_rows(self, outs, ins, n, block=16384):
        """What td_rows does with few long rows: partial per block, then finish."""
        partial, finish = self.fn(PARTIAL_ROW, "partial"), self.fn(FINISH, "finish")
        arrays = [*outs, *ins]
        for r in range(outs[0].shape[0]):
            here = (ctypes.c_void_p * len(arrays))(
                *[a.ctypes.data + (a.strides[0] * r if a.shape[0] != 1 else 0) for a in arrays]
            )
            count = max(1, -(-n // block))
            states = np.zeros(count * self.facts.state_size, np.uint8)
            for b in range(count):
                partial(
                    here,
                    self._strides(arrays, 1, n),
                    min(block, n - b * block),
                    b * block,
                    states.ctypes.data + b * self.facts.state_size,
                )
            out = (ctypes.c_void_p * len(outs))(*[o.ctypes.data + o.strides[0] * r for o in outs])
            finish(out, longs([o.itemsize for o in outs]), states.ctypes.data, self.facts.state_size, count, 1)
        return outs

    def cols(self, outs, ins, rows, n, block=256):
        """outs: 1-D of n, ins: [rows, n]."""
        partial, finish = self.fn(PARTIAL_COL), self.fn(FINISH, "finish")
        count = max(1, -(-rows // block))
        step = self.facts.state_size * n
        states = np.zeros(count * step + 8, np.uint8)
        arrays = [*outs, *ins]
        along = longs([*[o.strides[0] for o in outs], *[a.strides[1] for a in ins]])
        down = longs([*[0 for _ in outs], *[a.strides[0] for a in ins]])
        for b in range(count):
            at = [*[o.ctypes.data for o in outs], *[a.ctypes.data + b * block * a.strides[0] for a in ins]]
            partial(
                (ctypes.c_void_p * len(arrays))(*at),
                along,
                down,
                n,
                min(block, rows - b * block),
                b * block,
                states.ctypes.data + b * step,
            )
        finish(pointers(outs), longs([o.strides[0] for o in outs]), states.ctypes.data, step, count, n)
        return outs


def size(code: str) -> int:
    return SIZE[code]
