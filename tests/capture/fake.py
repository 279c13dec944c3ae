"""A stand-in for the core: enough of a tensor to drive the tracer without the extension."""

from types import SimpleNamespace

from taeda.capture.tracer import Tracer
from taeda.ir.types import DTYPES

DTYPE = {c: SimpleNamespace(code=c) for c in DTYPES}


class Tensor:
    def __init__(self, shape, dtype="f32", strides=None, traced=None):
        self.shape, self.dtype, self.traced = tuple(shape), DTYPE[dtype], traced
        self._strides = strides
        self.requires_grad = False

    def stride(self):
        if self._strides is not None:
            return tuple(self._strides)
        out, step = [], 1
        for n in reversed(self.shape):
            out.insert(0, step)
            step *= n
        return tuple(out)

    def is_contiguous(self):
        return self._strides is None


class Core:
    Tensor = Tensor
    dtypes = DTYPE

    @staticmethod
    def make_traced(value, sizes, strides, dtype):
        return Tensor(sizes, dtype.code, strides, value)

    @staticmethod
    def traced_value(t):
        return t.traced

    @staticmethod
    def get_default_dtype():
        return DTYPE["f32"]

    begin_trace = end_trace = staticmethod(lambda: None)


def tracer():
    return Tracer(Core, "test")


def call(tr, name, *args):
    return tr.call(SimpleNamespace(name=name), args)


def finish(tr, *tensors, writes=None):
    values = [tr.read(tr.variable(t)) for t in tensors]
    return tr.finish(values, writes or [None] * len(values))
