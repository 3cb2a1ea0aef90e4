"""Transformer, encoder and decoder (Vaswani et al., 2017, arXiv:1706.03762).

No recurrence: every token looks at other tokens, all at once. A token asks by its query q, the others answer by their values v as
far as their keys k fit, in several heads that each look for something else:

    attention(q, k, v)_t = Σ_s softmax_s(q_t · k_s / √d) v_s

In the encoder source tokens look at each other; in the decoder a target token looks at the targets up to itself, then at the
encoded source. What has no order gets one by adding a wave of its place to each token. All positions of a target train at once;
translating goes token by token, and keeps keys and values of what is already there (the cache).

Departures from the paper: each part normalises what it reads, not what it has added (x + f(norm(x)), Xiong et al., 2020,
arXiv:2002.04745), which trains at higher learning rates; GELU for ReLU by choice; AdamW, its rate falling as a cosine; a far
smaller network with more dropout, since there are 29,000 sentences and not 4.5 million.
"""

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.words import PADDING
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.text.translation import AttentiveTranslator

# what translating keeps: keys and values of the source, −∞ at its padding, keys and values of the targets, each row's source
State = tuple[list[Tensor], Tensor, list[Tensor] | None, Tensor]
ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU}


class Attention(nn.Module):
    """Multi-head attention of some tokens to others, with all weights in memory.

    Sentences are short: written out, a training step on a CPU takes two thirds of the time that it takes with the fused kernel.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def offer(self, x: Tensor) -> Tensor:
        """Keys and values of tokens [N, S, width]: [2, N, heads, S, d]."""
        return self.key_value(x).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor, offered: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What tokens x [N, T, width] find, of the same shape, and their weights [N, heads, T, S].

        `hidden` is −∞ at what they can't see, 0 elsewhere.
        """
        q = self.query(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [N, heads, T, d]
        k, v = offered
        weight = (q @ k.transpose(2, 3) / math.sqrt(q.shape[3]) + hidden).softmax(3)
        found = weight.to(v.dtype) @ v
        return self.out(found.transpose(1, 2).flatten(2)), weight


class MLP(nn.Sequential):
    """What a layer does with each token by itself."""

    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__(nn.Linear(width, inner), ACTIVATIONS[activation](), nn.Linear(inner, width))


class EncoderLayer(nn.Module):
    """Look at all source tokens, then work on each."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, activation: str) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = MLP(width, inner, activation)
        self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.dropout1(self.attention(y, self.attention.offer(y), hidden)[0])
        return x + self.dropout2(self.mlp(self.norm2(x)))


class DecoderLayer(nn.Module):
    """Look at the targets so far, then at the source, then work on each."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, activation: str) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.cross = Attention(width, heads), Attention(width, heads)
        self.mlp = MLP(width, inner, activation)
        self.dropout1, self.dropout2, self.dropout3 = nn.Dropout(dropout), nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(
        self, x: Tensor, future: Tensor, past: Tensor | None, source: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens after this layer, keys and values of all targets so far, and the attention to the source."""
        y = self.norm1(x)
        offered = self.attention.offer(y)
        if past is not None:
            offered = torch.cat([past, offered], 3)
        x = x + self.dropout1(self.attention(y, offered, future)[0])
        found, weight = self.cross(self.norm2(x), source, hidden)
        x = x + self.dropout2(found)
        return x + self.dropout3(self.mlp(self.norm3(x))), offered, weight


class Transformer(AttentiveTranslator):
    """Encoder-decoder Transformer.

    Args:
        vocab_size: tokens of both languages together.
        width: length of a token's vector.
        layers: of the encoder, and of the decoder.
        heads: of each attention.
        inner: units inside a layer's MLP.
        dropout: of what each part adds, and of the vectors.
        label_smoothing: share of the target that is spread over all tokens.
        activation: "relu" or "gelu".
        tokenizer, source, target: see `Translator`.

    Shapes:
        sources: int64 [N, S]; lengths: int64 [N]; targets (from BEGIN on): int64 [N, T]; logits: [N, T, vocab_size].
    """

    def __init__(
        self,
        vocab_size: int = 5000,
        width: int = 256,
        *,
        layers: int = 3,
        heads: int = 4,
        inner: int = 512,
        dropout: float = 0.3,
        label_smoothing: float = 0.1,
        activation: Literal["relu", "gelu"] = "relu",
        tokenizer: str | None = None,
        source: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.check_languages()
        for name, value in (("vocab_size", vocab_size), ("width", width), ("layers", layers), ("heads", heads)):
            check_count(value, name)
        check_count(inner, "inner")
        if width % heads or width % 2:
            raise InputError(f"width {width} must be even and fall into {heads} heads: change one of them")
        if activation not in ACTIVATIONS:
            raise InputError(f"activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        self.embedding = nn.Embedding(vocab_size, width, padding_idx=PADDING)  # of both languages, and the read-out
        sizes = (width, heads, inner, dropout, activation)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits of the token after each target token."""
        return self.decode(targets, *self.encode(sources, lengths))[0]

    def encode(self, sources: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Keys and values of the source for each decoder layer, and −∞ at what fills it up, [N, 1, 1, S]."""
        place = torch.arange(sources.shape[1], device=sources.device)
        hidden = torch.zeros(sources.shape, device=sources.device)
        hidden = hidden.masked_fill(place >= lengths.to(sources.device)[:, None], -torch.inf)[:, None, None]
        x = self.dropout1(self.at_places(sources))
        for layer in self.encoder:
            x = layer(x, hidden)
        memory = self.encoder_norm(x)
        return [cast(DecoderLayer, layer).cross.offer(memory) for layer in self.decoder], hidden

    def decode(
        self, targets: Tensor, memory: list[Tensor], hidden: Tensor, past: list[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Logits [N, T, vocab_size] after targets that follow the past ones, keys and values of all of them, and the last
        layer's attention to the source [N, heads, T, S]."""
        start, length = (past[0].shape[3] if past else 0), targets.shape[1]
        future = torch.full((length, start + length), -torch.inf, device=targets.device).triu(start + 1)
        x, kept, weight = self.dropout2(self.at_places(targets, start)), [], hidden
        for i, layer in enumerate(self.decoder):
            x, offered, weight = layer(x, future, past[i] if past else None, memory[i], hidden)
            kept.append(offered)
        return F.linear(self.decoder_norm(x), self.embedding.weight), kept, weight

    def at_places(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Vectors of tokens [N, T] whose first one is at place `start`."""
        width = self.embedding.embedding_dim
        return math.sqrt(width) * self.embedding(tokens) + waves(start, tokens.shape[1], width).to(tokens.device)

    # What translating needs; the verbs are in `zoo.models.text.translation` -----------------------------------------------------

    def begin(self, sources: Tensor, lengths: Tensor | None = None) -> State:
        lengths = torch.full((len(sources),), sources.shape[1]) if lengths is None else lengths
        return *self.encode(sources, lengths), None, torch.arange(len(sources), device=sources.device)

    def step(self, newest: Tensor, state: State) -> tuple[Tensor, State]:
        memory, hidden, past, source = state
        if len(hidden) == 1:  # every row has the same source
            memory = [offered.expand(-1, len(newest), -1, -1, -1) for offered in memory]
        logits, past, _ = self.decode(newest[:, None], memory, hidden, past)
        return logits[:, 0], (state[0], hidden, past, source)

    def reorder(self, state: State, rows: Tensor) -> State:
        memory, hidden, past, source = state
        if len(hidden) > 1 and not torch.equal(source[rows], source):  # where beams alone change places, sources stay
            memory, hidden = [offered[:, rows] for offered in memory], hidden[rows]
        return memory, hidden, [offered[:, rows] for offered in past or []], source[rows]

    def look(self, sources: Tensor, targets: Tensor) -> Tensor:
        weight = self.decode(targets, *self.encode(sources, torch.tensor([sources.shape[1]])))[2]
        return weight[0].mean(0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, betas=(0.9, 0.98))


def waves(start: int, length: int, width: int) -> Tensor:
    """Sines and cosines [length, width] of the places from `start` on, in wave lengths from 2π to 2π · 10000."""
    place = torch.arange(start, start + length)[:, None]
    angle = place * 10000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)
