"""Translation by recurrent networks with attention (Bahdanau et al., 2015, arXiv:1409.0473; Luong et al., 2015,
arXiv:1508.04025).

One network reads the source from both ends into a state m_s for each of its tokens; another one writes the target. Before each
token it looks back at all m_s, at some more than at others:

    α_ts = softmax_s(h_t · A m_s),     c_t = Σ_s α_ts m_s,     p(y_{t+1} | y_1 … y_t, x) = softmax(E tanh(C [h_t ; c_t]))

so that nothing has to pass through one vector. What α looks at is roughly the word being translated: the attention map.

Departures from the papers: c_t isn't fed back into the next step, so that all steps of a training target run as one fused call;
GRUs in place of LSTMs; byte pairs; one table of vectors E for both languages and the read-out; label smoothing; AdamW.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from datamodules.formats.words import PADDING
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.text.translation import AttentiveTranslator


class AttentionSeq2Seq(AttentiveTranslator):
    """Bidirectional GRU, GRU, and attention between them.

    Args:
        vocab_size: tokens of both languages together.
        width: units of the decoder, and of both directions of the encoder together.
        embedding: length of a token's vector.
        dropout: of the vectors and before the read-out.
        label_smoothing: share of the target that is spread over all tokens.
        tokenizer, source, target: see `Translator`.

    Shapes:
        sources: int64 [N, S]; lengths: int64 [N]; targets (from BEGIN on): int64 [N, T]; logits: [N, T, vocab_size].
    """

    def __init__(
        self,
        vocab_size: int = 5000,
        width: int = 320,
        *,
        embedding: int = 192,
        dropout: float = 0.3,
        label_smoothing: float = 0.1,
        tokenizer: str | None = None,
        source: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.check_languages()
        for name, value in (("vocab_size", vocab_size), ("width", width), ("embedding", embedding)):
            check_count(value, name)
        if width % 2:
            raise InputError(f"width is {width}; it must be even: half of it reads from each end")
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        self.encoder = nn.GRU(embedding, width // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(width, width)  # the encoder's last states to the decoder's first
        self.decoder = nn.GRU(embedding, width, batch_first=True)
        self.attention = nn.Linear(width, width, bias=False)
        self.combine = nn.Linear(2 * width, embedding)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout1, self.dropout2, self.dropout3 = nn.Dropout(dropout), nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits of the token after each target token."""
        return self.decode(targets, *self.encode(sources, lengths))[0]

    def encode(self, sources: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Memory [N, S, width], which of it is real [N, S], and the decoder's first state [1, N, width]."""
        x = self.dropout1(self.embedding(sources))
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(states, batch_first=True)
        real = torch.arange(memory.shape[1], device=memory.device) < lengths.to(memory.device)[:, None]
        return memory, real, torch.tanh(self.bridge(last.transpose(0, 1).flatten(1)))[None]

    def decode(self, targets: Tensor, memory: Tensor, real: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [N, T, vocab_size], the state after the last token, and the attention [N, T, S]."""
        h, state = self.decoder(self.dropout2(self.embedding(targets)), state)
        score = self.attention(h) @ memory.transpose(1, 2)
        weight = score.float().masked_fill(~real[:, None], -torch.inf).softmax(2)
        seen = weight.to(memory.dtype) @ memory
        out = self.dropout3(torch.tanh(self.combine(torch.cat([h, seen.to(h.dtype)], 2))))
        return F.linear(out, self.embedding.weight, self.bias), state, weight

    # What translating needs; the verbs are in `zoo.models.text.translation` -----------------------------------------------------

    def begin(self, sources: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        return self.encode(sources, torch.full((len(sources),), sources.shape[1]) if lengths is None else lengths)

    def step(
        self, newest: Tensor, state: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        memory, real, h = state
        n = len(newest)
        if len(memory) == 1:  # every row has the same source
            memory, real = memory.expand(n, -1, -1), real.expand(n, -1)
        logits, h, _ = self.decode(newest[:, None], memory, real, h)
        return logits[:, 0], (state[0], state[1], h)

    def reorder(self, state: tuple[Tensor, Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        memory, real, h = state
        return (memory, real, h[:, rows]) if len(memory) == 1 else (memory[rows], real[rows], h[:, rows])

    def look(self, sources: Tensor, targets: Tensor) -> Tensor:
        return self.decode(targets, *self.begin(sources))[2][0]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)
