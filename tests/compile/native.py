"""Runs plans without the core: kernels and host program are linked with the runtime's C sources and called through
ctypes."""

import ctypes
import functools
import pathlib
import subprocess
import tempfile

import numpy as np

from taeda import ir
from taeda.codegen.compile import compile_ir, compile_kernels
from taeda.codegen.program import host_program
from taeda.codegen.target import host
from taeda.ir.types import DTYPES
from taeda.passes import run_passes

ROOT = pathlib.Path(__file__).resolve().parents[2]
NUMPY = {
    "b1": "bool",
    "u8": "uint8",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
}


class TdTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("sizes", ctypes.c_int64 * 32),
        ("strides", ctypes.c_int64 * 32),
        ("owner", ctypes.c_void_p),
    ]


class TdCtx(ctypes.Structure):
    _fields_ = [
        ("rng", ctypes.c_void_p),
        ("host_scalars", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("failed_step", ctypes.c_int64),
    ]


@functools.cache
def runtime():
    """The runtime as a shared library of its own."""
    folder = tempfile.mkdtemp()
    path = f"{folder}/libtaeda_rt.so"
    sources = sorted(str(p) for p in (ROOT / "runtime/src").glob("*.c"))
    subprocess.run(
        [
            "cc",
            "-O2",
            "-std=c11",
            "-shared",
            "-fPIC",
            "-D_GNU_SOURCE",
            "-I",
            str(ROOT / "runtime/include"),
            *sources,
            "-o",
            path,
            "-lpthread",
            "-lm",
        ],
        check=True,
    )
    library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    library.td_last_error.restype = ctypes.c_char_p
    return library


class Program:
    """A graph compiled to a callable over NumPy arrays. Returns (status, arrays)."""

    def __init__(self, graph: ir.Graph, check: bool = True):
        self.library = runtime()
        self.plan, self.report = run_passes(graph, check)
        self.host = host_program(self.plan, host(), "program", linked=True)
        folder = tempfile.mkdtemp()
        objects = [(f"{folder}/host.o", compile_ir(self.host.text, host(), quick=True))]
        if self.host.kernels:
            objects.append((f"{folder}/kernels.o", compile_kernels(self.host.kernels, host())[0]))
        for dtype in self.host.gemms:
            from taeda.codegen.gemm import gemm_kernels

            objects.append((f"{folder}/gemm_{dtype}.o", gemm_kernels(dtype, host())[0]))
        for path, data in objects:
            pathlib.Path(path).write_bytes(data)
        path = f"{folder}/program.so"
        subprocess.run(["cc", "-shared", *(p for p, _ in objects), "-o", path, "-lm"], check=True)
        self.call = ctypes.CDLL(path).program

    def run(self, *arrays, scalars=(), rng=(0, 0)):
        inputs = (TdTensor * max(len(arrays), 1))()
        for t, a in zip(inputs, arrays):
            t.data, t.dtype, t.ndim = (
                a.ctypes.data,
                DTYPES.index(next(c for c, n in NUMPY.items() if n == a.dtype.name)),
                a.ndim,
            )
            for d in range(a.ndim):
                t.sizes[d], t.strides[d] = a.shape[d], a.strides[d]
        outputs = (TdTensor * max(len(self.plan.outputs), 1))()
        state = (ctypes.c_uint64 * 2)(*rng)
        numbers = (ctypes.c_double * max(len(scalars), 1))(*scalars)
        ctx = TdCtx(ctypes.addressof(state), ctypes.addressof(numbers), None, -1)
        status = self.call(ctypes.byref(ctx), inputs, outputs)
        if status:
            return status, self.library.td_last_error().decode()
        found = []
        for t in list(outputs)[: len(self.plan.outputs)]:
            shape = tuple(t.sizes[: t.ndim])
            dtype = np.dtype(NUMPY[DTYPES[t.dtype]])
            count = int(np.prod(shape, dtype=int))
            raw = ctypes.string_at(t.data, count * dtype.itemsize) if count else b""
            found.append(np.frombuffer(raw, dtype).reshape(shape).copy())
            if t.owner:
                self.library.td_free(ctypes.c_void_p(t.owner))
        self.rng = tuple(state)
        return 0, found
