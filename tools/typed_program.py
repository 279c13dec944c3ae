"""A user's program that a type checker must understand (it is not run): tools/check_wheel.sh checks it against a wheel."""

from __future__ import annotations

import taeda
from taeda import Tensor, nn
from taeda.nn import functional as F


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(8, width)
        self.second = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.first(x)).view(x.shape[0], -1)
        return self.second(hidden * 2 + 1)


def train(net: Net, x: Tensor, y: Tensor) -> float:
    optimizer = taeda.optim.AdamW(net.parameters(), lr=1e-3, betas=(0.9, 0.99))
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def mistakes(x: Tensor) -> None:
    """Never called. Each line has an error that the checker must find: an ignore without one is an error too."""
    x.sofmax(1)  # type: ignore[attr-defined]
    taeda.zeroes(3)  # type: ignore[attr-defined]
    F.gelu(x, aproximate="tanh")  # type: ignore[call-arg]
    x.transpose("rows", 1)  # type: ignore[arg-type]
    mistakes(x.shape[0])  # type: ignore[arg-type]


values, places = taeda.randn(4, 8).topk(2, dim=1)
rows: list[Tensor] = list(values.unbind(0))
mask: Tensor = values > 0
height: int = values.shape[0] + values.size(1)
best: Tensor = values.max(1).values + values.sort(0).values.sum(1) + values.max()
double: Tensor = best.to(taeda.float64).detach().requires_grad_()
print(train(Net(16), taeda.randn(4, 8), places[:, 0] % 3), rows, mask.sum().item())
