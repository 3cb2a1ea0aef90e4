"""Sequence to sequence through one vector (Sutskever et al., 2014, arXiv:1409.3215; Cho et al., 2014, arXiv:1406.1078).

An LSTM reads the source and ends with a state v, the thought vector; the whole content of the sentence has to be in it. Another
LSTM starts from v, sees it before each token again, and writes the target:

    h_t = LSTM(h_{t-1}, E y_t + P v),     p(y_{t+1} | y_1 … y_t, x) = softmax(E tanh(C [h_t ; v]))

The source is read backwards: its first words, which the target begins with, are then the last ones read. This is
`zoo.models.recurrent.seq2seq` with one v in place of a c_t for each token; what attention adds is the difference of both files.

Departures from the papers: v is the last output of the uppermost layer, not all layers' states; it enters every step as in Cho et
al.; one or two layers for four; byte pairs; one table of vectors E for both languages and the read-out; label smoothing; AdamW.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.words import PADDING
from zoo.core.checks import check_count
from zoo.models.text.translation import Translator

State = tuple[Tensor, tuple[Tensor, Tensor]]  # v [N, width]; the decoder's h and c [layers, B, width]


class ThoughtVector(Translator):
    """LSTM, one vector, LSTM.

    Args:
        vocab_size: tokens of both languages together.
        width: units of either LSTM, and length of the thought vector.
        embedding: length of a token's vector.
        layers: of either LSTM.
        dropout: of the vectors, between layers, of v, and before the read-out.
        label_smoothing: share of the target that is spread over all tokens.
        tokenizer, source, target: see `Translator`.

    Shapes:
        sources: int64 [N, S]; lengths: int64 [N]; targets (from BEGIN on): int64 [N, T]; logits: [N, T, vocab_size].
    """

    def __init__(
        self,
        vocab_size: int = 5000,
        width: int = 512,
        *,
        embedding: int = 256,
        layers: int = 1,
        dropout: float = 0.3,
        label_smoothing: float = 0.1,
        tokenizer: str | None = None,
        source: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.check_languages()
        counts = (("vocab_size", vocab_size), ("width", width), ("embedding", embedding), ("layers", layers))
        for name, value in counts:
            check_count(value, name)
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=PADDING)
        nn.init.normal_(self.embedding.weight, std=embedding**-0.5)
        between = dropout if layers > 1 else 0.0
        self.encoder = nn.LSTM(embedding, width, layers, batch_first=True, dropout=between)
        self.bridge = nn.Linear(width, 2 * layers * width)  # v to the decoder's first states
        self.prompt = nn.Linear(width, embedding, bias=False)  # P
        self.decoder = nn.LSTM(embedding, width, layers, batch_first=True, dropout=between)
        self.combine = nn.Linear(2 * width, embedding)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout1, self.dropout2, self.dropout3 = nn.Dropout(dropout), nn.Dropout(dropout), nn.Dropout(dropout)
        self.dropout4 = nn.Dropout(dropout)

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits of the token after each target token."""
        return self.decode(targets, self.start(self.encode(sources, lengths)))[0]

    def encode(self, sources: Tensor, lengths: Tensor) -> Tensor:
        """The thought vector of each source, [N, width]."""
        last = lengths.to(sources.device)[:, None] - 1
        place = torch.arange(sources.shape[1], device=sources.device)
        # what fills up still comes last, and isn't looked at
        backwards = sources.gather(1, (last - place).clamp(min=0))
        states, _ = self.encoder(self.dropout1(self.embedding(backwards)))
        return states[torch.arange(len(states), device=states.device), last[:, 0]]

    def start(self, thought: Tensor) -> State:
        """The decoder's state before the first token."""
        thought = self.dropout2(thought)
        h, c = torch.tanh(self.bridge(thought)).unflatten(1, (2, -1, thought.shape[1])).permute(1, 2, 0, 3)
        return thought, (h.contiguous(), c.contiguous())  # each [layers, N, width]

    def decode(self, targets: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits [N, T, vocab_size], and the state after the last token."""
        thought, hc = state
        x = self.dropout3(self.embedding(targets)) + self.prompt(thought)[:, None]
        h, hc = self.decoder(x, tuple(part.to(x.dtype) for part in hc))
        both = torch.cat([h, thought[:, None].expand(-1, h.shape[1], -1).to(h.dtype)], 2)
        out = self.dropout4(torch.tanh(self.combine(both)))
        return F.linear(out, self.embedding.weight, self.bias), (thought, hc)

    # What translating needs; the verbs are in `zoo.models.text.translation` -----------------------------------------------------

    def begin(self, sources: Tensor, lengths: Tensor | None = None) -> State:
        return self.start(
            self.encode(sources, torch.full((len(sources),), sources.shape[1]) if lengths is None else lengths)
        )

    def step(self, newest: Tensor, state: State) -> tuple[Tensor, State]:
        logits, state = self.decode(newest[:, None], state)
        return logits[:, 0], state

    def reorder(self, state: State, rows: Tensor) -> State:
        thought, (h, c) = state
        return thought[rows], (h[:, rows], c[:, rows])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)
