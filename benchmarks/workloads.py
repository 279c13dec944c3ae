"""Training steps of the benchmark, written once against the PyTorch API: `lib` is taeda or torch.

Each builder returns (step, flops): step() does forward, backward and the optimizer's update on one fixed batch and returns the
loss tensor; flops is the arithmetic of the contractions of one step (forward + backward), for the distance to the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Step = Callable[[], Any]


def _train_step(
    lib: Any, model: Any, optimizer: Any, loss_of: Callable[..., Any], batch: tuple, compiled: bool
) -> Step:
    def step(*batch: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model, *batch)
        loss.backward()
        optimizer.step()
        return loss

    if compiled and lib.__name__ == "torch":
        forward = lib.compile(lambda *b: loss_of(model, *b))

        def torch_step(*batch: Any) -> Any:
            optimizer.zero_grad()
            loss = forward(*batch)
            loss.backward()
            optimizer.step()
            return loss

        return lambda: torch_step(*batch)
    run = lib.compile(step) if compiled else step
    return lambda: run(*batch)


def _classify(lib: Any) -> Callable[..., Any]:
    return lambda model, x, y: lib.nn.functional.cross_entropy(model(x), y)


def mlp(lib: Any, compiled: bool) -> tuple[Step, float]:
    """MLP 784-256-256-10, batch 64, Adam."""
    nn = lib.nn
    lib.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
    batch = lib.randn(64, 784), lib.randint(0, 10, (64,))
    flops = 2 * 64 * (2 * 784 * 256 + 3 * 256 * 256 + 3 * 256 * 10)
    return _train_step(lib, model, optimizer, _classify(lib), batch, compiled), flops


def lenet(lib: Any, compiled: bool) -> tuple[Step, float]:
    """LeNet on 28x28, batch 64, Adam."""
    nn = lib.nn
    lib.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
    batch = lib.randn(64, 1, 28, 28), lib.randint(0, 10, (64,))
    flops = 2 * 64 * (2 * 28 * 28 * 32 * 25 + 3 * 14 * 14 * 64 * 32 * 25 + 3 * 3136 * 512 + 3 * 512 * 10)
    return _train_step(lib, model, optimizer, _classify(lib), batch, compiled), flops


def gpt_model(lib: Any, vocabulary: int, layers: int, width: int, heads: int, length: int) -> Any:
    """A decoder-only Transformer in the usual pre-norm form."""
    nn, F = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            b, t, c = x.shape
            q, k, v = self.qkv(self.ln1(x)).split(width, 2)
            q, k, v = (z.view(b, t, heads, c // heads).transpose(1, 2) for z in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(b, t, c))
            return x + self.down(F.gelu(self.up(self.ln2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

        def forward(self, ids: Any) -> Any:
            x = self.token(ids) + self.position(lib.arange(ids.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    return GPT()


def _gpt(
    lib: Any, compiled: bool, layers: int, width: int, heads: int, length: int, batch_size: int
) -> tuple[Step, float]:
    vocabulary = 65
    lib.manual_seed(0)
    model = gpt_model(lib, vocabulary, layers, width, heads, length)
    optimizer = lib.optim.AdamW(model.parameters(), lr=3e-4)
    ids = lib.randint(0, vocabulary, (batch_size, length + 1))
    batch = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def loss_of(model: Any, x: Any, y: Any) -> Any:
        return lib.nn.functional.cross_entropy(model(x).view(-1, vocabulary), y.view(-1))

    tokens = batch_size * length
    per_token = layers * (12 * width * width + 2 * length * width) + width * vocabulary
    return _train_step(lib, model, optimizer, loss_of, batch, compiled), 6.0 * tokens * per_token


def gpt_small(lib: Any, compiled: bool) -> tuple[Step, float]:
    """GPT 4 layers, d 128, T 64, batch 12, AdamW."""
    return _gpt(lib, compiled, 4, 128, 4, 64, 12)


def gpt_large(lib: Any, compiled: bool) -> tuple[Step, float]:
    """GPT 6 layers, d 384, T 256, batch 4, AdamW."""
    return _gpt(lib, compiled, 6, 384, 6, 256, 4)


WORKLOADS: dict[str, Callable[[Any, bool], tuple[Step, float]]] = {
    "mlp": mlp,
    "lenet": lenet,
    "gpt_small": gpt_small,
    "gpt_large": gpt_large,
}


# -- small operations -----------------------------------------------------------------------------------------------------
def small_ops(lib: Any) -> dict[str, Callable[[], Any]]:
    """Overhead of single calls on tiny tensors, and of a chain of 30 small ops forward and backward."""
    a, b = lib.randn(8, 8), lib.randn(8, 8)
    c = lib.randn(8, 8, requires_grad=True)
    w, x = lib.randn(8, 8), lib.randn(4, 8)
    row = lib.randn(8)

    def chain() -> Any:
        y = c
        for _ in range(10):
            y = (y * 1.01 + b).tanh()
        y.sum().backward()
        c.grad = None

    return {
        "a + b": lambda: a + b,
        "a + b (grad)": lambda: c + b,
        "a * 2": lambda: a * 2,
        "a + row": lambda: a + row,
        "exp(a)": lambda: lib.exp(a),
        "a.sum()": lambda: a.sum(),
        "a.sum(1)": lambda: a.sum(1),
        "a @ b": lambda: a @ b,
        "linear": lambda: lib.nn.functional.linear(x, w),
        "a.view(64)": lambda: a.view(64),
        "a.transpose(0, 1)": lambda: a.transpose(0, 1),
        "a[2]": lambda: a[2],
        "softmax": lambda: a.softmax(-1),
        "chain of 30, fwd+bwd": chain,
    }


def limits(lib: Any) -> dict[str, Callable[[], tuple[float, str]]]:
    """What the machine can do, as the peers measure it: GEMM peak and copy bandwidth."""
    n = 1536
    a, b = lib.randn(n, n), lib.randn(n, n)
    big = lib.randn(16 * 1024 * 1024)
    out = lib.empty_like(big)
    return {
        "gemm": lambda: (2.0 * math.pow(n, 3), str(tuple((a @ b).shape))),
        "copy": lambda: (2.0 * 4 * big.numel(), str(tuple(out.copy_(big).shape))),
    }
