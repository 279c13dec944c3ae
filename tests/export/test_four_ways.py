"""One numeric path: eager, traced, compiled and exported models give the same bits, with one thread and with two."""

from __future__ import annotations

import ctypes
import shutil
import sys
from pathlib import Path

import pytest

import taeda
import taeda.nn.functional as F
from taeda import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "shakespeare"))
from model import CharGPT

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None and shutil.which("cc") is None, reason="no compiler")


class TensorStruct(ctypes.Structure):  # td_tensor of taeda_rt.h
    _fields_ = (
        ("data", ctypes.c_void_p), ("dtype", ctypes.c_int32), ("ndim", ctypes.c_int32), ("sizes", ctypes.c_int64 * 32),
        ("strides", ctypes.c_int64 * 32), ("owner", ctypes.c_void_p),
    )  # fmt: skip


class Exported:
    """A library made by export.build, with one input and one float32 output."""

    def __init__(self, path: Path, name: str):
        library = ctypes.CDLL(str(path))
        create = getattr(library, f"{name}_create")
        create.restype = ctypes.c_void_p
        self.model = ctypes.c_void_p(create(None))
        self.run, self.free = getattr(library, f"{name}_run"), getattr(library, f"{name}_free")
        self.set_threads = getattr(library, f"{name}_set_threads")

    def __call__(self, x: taeda.Tensor) -> taeda.Tensor:
        x = x.contiguous()
        given, made = TensorStruct(), TensorStruct()
        given.data, given.ndim = x.data_ptr(), x.dim()
        given.dtype = 5 if x.dtype is taeda.int64 else 8
        for d in range(x.dim()):
            given.sizes[d], given.strides[d] = x.shape[d], x.stride(d) * x.element_size()
        self.set_threads(taeda.get_num_threads())
        assert self.run(self.model, ctypes.byref(given), ctypes.byref(made)) == 0
        y = taeda.empty(tuple(made.sizes[: made.ndim]))
        ctypes.memmove(y.data_ptr(), made.data, y.numel() * 4)
        self.free(ctypes.byref(made))
        return y


def mlp():
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.LayerNorm(64), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 7))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 7 * 7, 32), nn.SiLU(), nn.Linear(32, 10),
    )  # fmt: skip


MODELS = {
    "mlp": (mlp, lambda n: taeda.randn(n, 20)),
    "lenet": (lenet, lambda n: taeda.randn(n, 1, 28, 28)),
    "char_gpt": (lambda: CharGPT(65, 32, 48, 2, 4), lambda n: taeda.randint(0, 65, (n, 29))),
}


@pytest.fixture(scope="module", autouse=True)
def threads_as_before():
    before = taeda.get_num_threads()
    yield
    taeda.set_num_threads(before)


@needs_compiler
@pytest.mark.parametrize("name", MODELS)
def test_forward(name, tmp_path):
    make, inputs = MODELS[name]
    taeda.manual_seed(1)
    model = make().eval()
    example = inputs(2)
    built = taeda.export.build(model, (example,), tmp_path, name=name)
    ways = {
        "traced": taeda.jit.trace(model, (example,)), "compiled": taeda.compile(model), "exported": Exported(built.library, name),
    }  # fmt: skip
    for n in (1, 2, 33):
        x = inputs(n)
        answers = []
        for threads in (1, 2):
            taeda.set_num_threads(threads)
            with taeda.no_grad():
                answers.append(model(x))
                for way, call in ways.items():
                    assert taeda.equal(call(x), answers[-1]), f"{way}, {threads} threads, batch {n}"
        assert taeda.equal(*answers), "1 and 2 threads differ"


def class_loss(model, x):
    y = model(x).flatten(0, -2)
    return F.cross_entropy(y, taeda.arange(y.shape[0]) % y.shape[1])


OPTIMIZERS = {
    "sgd": lambda p: taeda.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda p: taeda.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: taeda.optim.AdamW(p, lr=0.01),
}


def train(name, optimizer_name, compiled, dropout):
    """Losses, gradients, parameters and optimizer state after three steps."""
    make, inputs = MODELS[name]
    taeda.manual_seed(2)
    model = make()
    if dropout:
        model = nn.Sequential(model, nn.Dropout(0.3))
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    batches = [inputs(n) for n in (6, 6, 5)]

    def step(x):
        optimizer.zero_grad()
        loss = class_loss(model, x)
        loss.backward()
        optimizer.step()
        return loss

    run = taeda.compile(step) if compiled else step
    found = [run(x).detach() for x in batches]
    found += [p.detach() for p in model.parameters()] + [p.grad for p in model.parameters()]
    for state in optimizer.state_dict()["state"].values():
        found += [v if isinstance(v, taeda.Tensor) else taeda.tensor(v) for v in state.values()]
    return found


@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_training(name, optimizer, dropout):
    results = []
    for threads in (1, 2):
        taeda.set_num_threads(threads)
        results += [train(name, optimizer, compiled, dropout) for compiled in (False, True)]
    for other in results[1:]:
        assert len(other) == len(results[0])
        assert all(taeda.equal(a, b) for a, b in zip(results[0], other))
