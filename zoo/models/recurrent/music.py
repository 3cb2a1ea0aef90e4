"""Polyphonic music by a recurrent network (Boulanger-Lewandowski, Bengio and Vincent, 2012, arXiv:1206.6392).

A step is the set of keys that sound. Given all steps so far, each of the 88 keys is a coin of its own:

    p(x_t | x_1 … x_{t−1}) = Π_k Bernoulli(x_tk; σ(v_k · h_{t−1} + b_k)),        h_t = cell(x_t, h_{t−1})

The measure is −log p a step in nats, over all steps but the first, which nothing precedes. That coins are thrown independently is
what the model gets wrong: it knows which chords are likely, but not that one note of a chord speaks for or against another.

Departures from the paper: LSTM for the plain cell, no conditional RBM or NADE on top, AdamW, dropout, and training music moved to
other keys.
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.midi import KEYS
from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.recurrent.char_rnn import LAYERS, State
from zoo.models.recurrent.rolls import RollModel, check_temperature


class PianoRollRNN(RollModel):
    """Recurrent layers over piano rolls, a linear read-out for the next step.

    Args:
        width: units of a layer.
        layers: recurrent layers, one on the other.
        kind: "rnn", "gru" or "lstm".
        dropout: between the layers and before the read-out; a chord has no note to lose.

    Shapes:
        rolls: float32 [N, T, 88], 1 where a key sounds; logits of the next step: [N, T, 88].
    """

    reading: ClassVar[str] = "state carried"

    def __init__(
        self,
        width: int = 256,
        layers: int = 1,
        *,
        kind: Literal["rnn", "gru", "lstm"] = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if kind not in LAYERS:
            raise InputError(f"kind is one of {', '.join(LAYERS)}, not {kind!r}")
        check_count(width, "width")
        check_count(layers, "layers")
        self.dropout = nn.Dropout(dropout)
        self.rnn = LAYERS[kind](KEYS, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.head = nn.Linear(width, KEYS)

    def forward(self, rolls: Tensor) -> Tensor:
        return self.step(rolls)[0]

    def step(self, rolls: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the step after each one, and the state after the last."""
        hidden, state = self.rnn(rolls.to(self.head.weight), state)
        return self.head(self.dropout(hidden)), state

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def log_prob(self, roll: Tensor) -> Tensor:
        """Log-probability of each step but the first of a roll [T, 88], in nats: [T − 1].

        Raises:
            InputError: for another shape, or values other than 0 and 1.
        """
        x = self.checked(roll)
        logits = self(x[None, :-1])[0]
        return -F.binary_cross_entropy_with_logits(logits, x[1:], reduction="none").sum(1).cpu()

    @verb
    def compose(
        self,
        n: int,
        *,
        primer: Any = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> Tensor:
        """A piano roll, bool [n, 88], that goes on from a primer [T, 88]; `write_midi` makes it a file.

        Args:
            primer: what precedes, a roll or the path of a MIDI file; None begins with the chord of C major. It isn't repeated.
            temperature: 0 takes what is likelier for each key, 1 throws the model's coins.

        Raises:
            InputError: for a primer of another shape, or a temperature below 0.
        """
        check_count(n)
        check_temperature(temperature)
        now = self.opening(primer)
        generator = seeded_generator(torch.device("cpu"), seed)
        state, steps = None, []
        for _ in range(n):
            logits, state = self.step(now[None], state)
            logits = logits[0, -1].double().cpu()
            if not logits.isfinite().all():
                raise InputError("the model gave logits that aren't finite: its weights are damaged")
            if temperature == 0:
                notes = logits > 0
            else:
                notes = torch.rand(KEYS, dtype=torch.float64, generator=generator) < (logits / temperature).sigmoid()
            steps.append(notes)
            now = notes[None].to(self.device, torch.float32)
        return torch.stack(steps)

    # Training --------------------------------------------------------------------------------------------------------

    def nats(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Sum of −log p over all steps but the first of each roll, and their number."""
        rolls, lengths = labelled(batch)
        logits = self(rolls[:, :-1])
        each = F.binary_cross_entropy_with_logits(logits.float(), rolls[:, 1:], reduction="none").sum(2)  # [N, T − 1]
        counts = torch.arange(1, rolls.shape[1], device=rolls.device) < lengths.to(rolls.device)[:, None]
        return (each * counts).sum(), counts.sum()

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self(inputs["rolls"])}
