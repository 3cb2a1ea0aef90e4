"""Polyphonic music by a recurrent network (Boulanger-Lewandowski, Bengio and Vincent, 2012, arXiv:1206.6392).

A step is the set of keys that sound. Given all steps so far, each of the 88 keys is a coin of its own:

    p(x_t | x_1 … x_{t−1}) = Π_k Bernoulli(x_tk; σ(v_k · h_{t−1} + b_k)),        h_t = cell(x_t, h_{t−1})

The measure is −log p a step in nats, over all steps but the first, which nothing precedes. That coins are thrown independently is
what the model gets wrong: it knows which chords are likely, but not that one note of a chord speaks for or against another.

Departures from the paper: LSTM for the plain cell, no conditional RBM or NADE on top, AdamW, dropout, and training music moved to
other keys.
"""

import math
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.module import ZooModule, check_count, seeded_generator
from zoo.recurrent.char_rnn import LAYERS, State
from zoo.recurrent.midi import KEYS


class PianoRollRNN(ZooModule):
    """Recurrent layers over piano rolls, a linear read-out for the next step.

    Args:
        width: units of a layer.
        layers: recurrent layers, one on the other.
        kind: "rnn", "gru" or "lstm".
        dropout: between the layers and before the read-out; a chord has no note to lose.

    Shapes:
        rolls: float32 [N, T, 88], 1 where a key sounds; logits of the next step: [N, T, 88].
    """

    task: ClassVar[str] = "other"

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
        hidden, state = self.rnn(rolls, state)
        return self.head(self.dropout(hidden)), state

    # Verbs -----------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def log_prob(self, roll: Tensor) -> Tensor:
        """Log-probability of each step but the first of a roll [T, 88], in nats: [T − 1].

        Raises:
            InputError: for another shape, or values other than 0 and 1.
        """
        if roll.ndim != 2 or roll.shape[1] != KEYS or len(roll) < 2:
            raise InputError(f"a piano roll is [two or more steps, {KEYS}], not {list(roll.shape)}")
        x = roll.to(self.device, torch.float32)
        if not ((x == 0) | (x == 1)).all():
            raise InputError("a piano roll holds 0 and 1 alone: threshold it first")
        logits = self.eval()(x[None, :-1])[0]
        return -F.binary_cross_entropy_with_logits(logits, x[1:], reduction="none").sum(1).cpu()

    @torch.inference_mode()
    def compose(
        self,
        n: int,
        *,
        primer: Tensor | None = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> Tensor:
        """A piano roll, bool [n, 88], that goes on from a primer [T, 88]; `write_midi` makes it a file.

        Args:
            primer: what precedes; None begins with the chord of C major. It isn't repeated.
            temperature: 0 takes what is likelier for each key, 1 throws the model's coins.

        Raises:
            InputError: for a primer of another shape, or a temperature below 0.
        """
        check_count(n)
        if isinstance(temperature, bool) or not 0 <= temperature < math.inf:
            raise InputError(f"temperature must be 0 (the likelier) or more, not {temperature!r}")
        if primer is None:
            primer = torch.zeros(1, KEYS)
            primer[0, [27, 34, 39, 43]] = 1  # C3 G3 C4 E4, counted from A0
        if primer.ndim != 2 or primer.shape[1] != KEYS or not len(primer):
            raise InputError(f"primer is [steps, {KEYS}], not {list(primer.shape)}")
        self.eval()
        generator = seeded_generator(torch.device("cpu"), seed)
        state, now, steps = None, primer.to(self.device, torch.float32), []
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
        rolls, lengths = batch
        logits = self(rolls[:, :-1])
        each = F.binary_cross_entropy_with_logits(logits.float(), rolls[:, 1:], reduction="none").sum(2)  # [N, T − 1]
        counts = torch.arange(1, rolls.shape[1], device=rolls.device) < lengths.to(rolls.device)[:, None]
        return (each * counts).sum(), counts.sum()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        total, steps = self.nats(batch)
        self.log_train(nats_per_step=total / steps)
        return total / steps

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        total, steps = self.nats(batch)
        self.log("val/nats_per_step", total / steps, prog_bar=True, batch_size=int(steps))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    # Measures --------------------------------------------------------------------------------------------------------

    def evaluate(self, data: L.LightningDataModule) -> list[dict[str, Any]]:
        """Nats a step over the whole test and validation parts."""
        entries = []
        for part in ("test", "val"):
            each = torch.cat([self.log_prob(roll) for roll in data.rolls(part)]).double()
            how = (
                f"-log p a step of 88 keys, mean over {len(each):,} steps (all but the first of each of {len(data.rolls(part))} "
                f"chorales), state carried; last epoch, nothing chosen on the test part; float32"
            )
            entries.append(
                {
                    "dataset": data.name,
                    "split": part,
                    "metric": "nats_per_step",
                    "value": -each.mean().item(),
                    "how": how,
                }
            )
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {"rolls": (torch.rand(2, 16, KEYS, generator=generator) < 0.05).float()}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self(inputs["rolls"])}

    def preview(self, path: Path) -> Path | None:
        """A composed piano roll: time to the right, pitch upwards."""
        from PIL import Image

        roll = self.compose(96, seed=0)
        picture = (~roll.T.flip(0)).to(torch.uint8).mul(255).numpy()
        Image.fromarray(picture).resize((96 * 8, KEYS * 4), Image.Resampling.NEAREST).save(path, optimize=True)
        return path
