"""Character-level language models on recurrent layers (Graves, 2013, arXiv:1308.0850; Karpathy, 2015).

The state h_t sums up all characters so far, and from it the next one is guessed:

    h_t = cell(E x_t, h_{t−1}),        p(x_{t+1} | x_1 … x_t) = softmax(V h_t + b)

The text is read as a few long streams. The state is carried from batch to batch, but gradients stop at the seam: truncated
back-propagation through time (Mikolov, 2012). The cells are spelled out in `cells.py`; here are torch's fused layers.

Departures from the papers: AdamW on a cosine schedule for SGD and RMSProp, the seams fall elsewhere in every epoch.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.text.causal import CausalLM, cross_entropy

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
State = Tensor | tuple[Tensor, Tensor]


class CharRNN(CausalLM):
    """Embedding, recurrent layers, linear read-out.

    Args:
        vocab_size: number of characters.
        width: units of a recurrent layer.
        kind: "rnn" (tanh), "gru" (torch's convention) or "lstm".
        embedding: length of a character's vector.
        layers: recurrent layers, one on the other.
        dropout: between the layers and before the read-out, never along time.

    Shapes:
        tokens: int64 [N, T]; logits: [N, T, vocab_size]; state: [layers, N, width], for "lstm" two of them.
    """

    stateful = True

    def __init__(
        self,
        vocab_size: int = 65,
        width: int = 512,
        *,
        kind: Literal["rnn", "gru", "lstm"] = "gru",
        embedding: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(vocab_size)
        self.save_hyperparameters()
        if kind not in LAYERS:
            raise InputError(f"kind is one of {', '.join(LAYERS)}, not {kind!r}")
        for name, value in (("width", width), ("embedding", embedding), ("layers", layers)):
            check_count(value, name)
        self.embedding = nn.Embedding(vocab_size, embedding)
        between = dropout if layers > 1 else 0.0
        self.rnn = LAYERS[kind](embedding, width, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocab_size)
        self._carried: dict[str, State] = {}

    def hidden(self, tokens: Tensor) -> Tensor:
        return self.rnn(self.embedding(tokens))[0]

    def forward(self, tokens: Tensor) -> Tensor:
        return self.step(tokens)[0]

    def step(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        hidden, state = self.rnn(self.embedding(tokens), state)
        return self.head(self.dropout(hidden)), state

    def rows(self, state: State, index: Tensor) -> State:
        return _map(state, lambda s: s[:, index])

    # Training: the state is carried from batch to batch, without its gradient ------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self._carry("train", batch, batch_idx)
        self.log_train(nats_per_char=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log_nats(self._carry("val", batch, batch_idx), labelled(batch)[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A run that is cut inside an epoch goes on with the state that it had."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["carried"] = self._carried.get("train")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if (state := checkpoint.get("carried")) is not None:
            self._carried["train"] = state

    def _carry(self, split: str, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        if batch_idx == 0:  # a new epoch starts elsewhere in the text
            self._carried.pop(split, None)
        given = self._carried.get(split) if self._follows_on else None
        logits, state = self.step(x, _map(given, lambda s: s.to(x.device)))
        self._carried[split] = _map(state, Tensor.detach)
        return cross_entropy(logits, y)

    @property
    def _follows_on(self) -> bool:
        """Whether a batch goes on where the one before it ended, which shuffled windows don't."""
        data = getattr(self._trainer, "datamodule", None)
        return getattr(data, "reading", "streams") == "streams"


def _map(state: Any, function: Any) -> Any:
    """A function on each tensor of a state."""
    if isinstance(state, tuple | list):
        return tuple(function(s) for s in state)
    return None if state is None else function(state)
