"""A small training run that tests fork from, interrupt and repeat; started by `import training` in children too."""

from __future__ import annotations

import taeda
from taeda import nn


def make(batch: int = 512):
    """(model, step, x, y): `step(x, y)` trains once and returns the loss. Always from the same start."""
    taeda.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.LayerNorm(256), nn.Linear(256, 8))
    optimizer = taeda.optim.AdamW(model.parameters(), lr=1e-2)
    x, y = taeda.randn(batch, 64), taeda.randint(0, 8, (batch,))

    return model, stepper(model, optimizer), x, y


def stepper(model, optimizer):
    """step(x, y): one step of `optimizer` on the cross entropy of `model`."""

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step
