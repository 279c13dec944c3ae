"""The character model and its text: everything of the demo that is about the network."""

from __future__ import annotations

from pathlib import Path

import taeda
from taeda import nn
from taeda.nn import functional as F

PLAYS = Path(__file__).with_name("plays.txt")


class CharGPT(nn.Module):
    """Predicts the next character. ids [N, T] int64, T <= context -> logits [N, T, vocabulary]."""

    def __init__(self, vocabulary: int, context: int = 64, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.context = context
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        block = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(width))
        self.head = nn.Linear(width, vocabulary, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: taeda.Tensor) -> taeda.Tensor:
        length = ids.shape[1]
        x = self.token(ids) + self.position(taeda.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.head(self.blocks(x, mask=mask, is_causal=True))

    def loss(self, ids: taeda.Tensor, targets: taeda.Tensor) -> taeda.Tensor:
        logits = self(ids)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Characters:
    """The plays as character codes, with the last tenth held out."""

    def __init__(self, path: Path = PLAYS) -> None:
        text = path.read_text()
        self.alphabet = "".join(sorted(set(text)))
        number = {c: i for i, c in enumerate(self.alphabet)}
        codes = taeda.tensor([number[c] for c in text], dtype=taeda.int64)
        cut = len(text) * 9 // 10
        self.parts = {"train": codes[:cut], "held out": codes[cut:]}

    def batch(
        self, part: str, batch_size: int, context: int, generator: taeda.Generator | None = None
    ) -> tuple[taeda.Tensor, taeda.Tensor]:
        """Random windows: inputs and targets, both [batch_size, context]."""
        codes = self.parts[part]
        starts = taeda.randint(0, len(codes) - context - 1, (batch_size, 1), generator=generator)
        windows = codes[starts + taeda.arange(context + 1)]
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
