"""What all models of piano rolls share: what a roll is, the measure, the training steps and the picture.

A step is the set of keys that sound. A subclass gives −log p of the next step's set, each in its own way; the numbers compare,
since all of them are probabilities of the same sets. The first step isn't scored: nothing precedes it.
"""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.formats.midi import KEYS, read_midi
from zoo.core.checks import as_numbers
from zoo.core.data import RollData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.errors import InputError

CHORD = (27, 34, 39, 43)  # C3 G3 C4 E4, counted from A0
C4 = 39


class RollModel(ZooModule):
    """Base of the models of piano rolls.

    Attributes:
        reading: words on how a step's probability comes about, for the card.

    Shapes:
        rolls: float32 [N, T, 88], 1 where a key sounds; lengths: int64 [N].
    """

    task: ClassVar[str] = "other"
    learns_from: ClassVar[tuple[str, ...]] = ("rolls",)
    use: ClassVar[str] = (
        "from datamodules.formats.midi import write_midi\n"
        "\n"
        "roll = model.compose(16, seed=0)                     # piano roll, bool [16, 88]\n"
        'write_midi(roll, "chorale.mid")'
    )
    reading: ClassVar[str]

    def log_prob(self, roll: Tensor) -> Tensor:
        """Log-probability of each step but the first of a roll [T, 88], in nats: [T − 1]."""
        raise NotImplementedError

    def nats(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Sum of −log p over all steps but the first of each roll, and their number."""
        raise NotImplementedError

    def compose(self, n: int, *, primer: Any = None, temperature: float = 1.0, seed: int | None = None) -> Tensor:
        """A piano roll, bool [n, 88], that goes on from a primer: a roll [T, 88] or the path of a MIDI file."""
        raise NotImplementedError

    def checked(self, roll: Any, what: str = "a piano roll", *, least: int = 2) -> Tensor:
        """A roll as float32 on the model's device: a tensor, an array, lists, or the path of a MIDI file.

        Raises:
            InputError: for another shape, fewer than `least` steps, or values other than 0 and 1.
        """
        roll = read_midi(roll) if isinstance(roll, str | Path) else as_numbers(roll, "the keys of a roll")
        if roll.ndim != 2 or roll.shape[1] != KEYS or len(roll) < least:
            steps = {1: "one or more", 2: "two or more"}[least]
            raise InputError(f"{what} is [{steps} steps, {KEYS}], not {list(roll.shape)}")
        x = roll.to(self.device, torch.float32)
        if not ((x == 0) | (x == 1)).all():
            raise InputError(f"{what} holds 0 and 1 alone: threshold it first")
        return x

    def opening(self, primer: Any) -> Tensor:
        """The primer, or the chord of C major without one, float32 [T, 88].

        Raises:
            InputError: for a primer that is no roll.
        """
        if primer is not None:
            return self.checked(primer, "the primer", least=1)
        roll = torch.zeros(1, KEYS, device=self.device)
        roll[0, list(CHORD)] = 1
        return roll

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        total, steps = self.nats(batch)
        self.log_train(nats_per_step=total / steps)
        return total / steps

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        total, steps = self.nats(batch)
        self.log("val/nats_per_step", total / steps, prog_bar=True, batch_size=int(steps))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    def evaluate(self, data: RollData) -> list[dict[str, Any]]:
        """Nats a step over the whole test and validation parts."""
        entries = []
        for part in ("test", "val"):
            each = torch.cat([self.log_prob(roll) for roll in data.rolls(part)]).double()
            how = (
                f"-log p a step of 88 keys, mean over {len(each):,} steps (all but the first of each of {len(data.rolls(part))} "
                f"chorales), {self.reading}; last epoch, nothing chosen on the test part; float32"
            )
            value = -each.mean().item()
            entries.append(entry(data, part, "nats_per_step", value, how, better="lower"))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {"rolls": (torch.rand(2, 16, KEYS, generator=generator) < 0.05).float()}

    def preview(self, path: Path) -> Path | None:
        """A composed piano roll of 64 quarter notes."""
        from matplotlib.figure import Figure

        roll = self.compose(64, seed=0)
        figure = Figure(figsize=(9, 3), layout="constrained")
        draw_roll(figure.subplots(), roll, roll.any(0))
        write_figure(path, figure, dpi=80)
        return path


def draw_roll(axis: Any, roll: Tensor, shown: Tensor) -> None:
    """Draw a roll [T, 88] on axes of matplotlib, the darker the nearer to 1, from the lowest to the highest key of shown [88]."""
    keys = shown.nonzero().flatten().tolist() or [C4]  # all is silent
    axis.imshow(
        roll.float().T,
        extent=(0, len(roll), -0.5, KEYS - 0.5),
        aspect="auto",
        cmap="Greys",
        vmin=0,
        vmax=1,
        origin="lower",
        interpolation="nearest",
    )
    octaves = range(C4 % 12, KEYS, 12)
    axis.set_yticks(octaves, [f"C{octave}" for octave, _ in enumerate(octaves, 1)])
    axis.set(ylim=(keys[0] - 1.5, keys[-1] + 1.5), xlabel="quarter notes", ylabel="key")


def check_temperature(temperature: float) -> float:
    """The temperature if it is 0 or more.

    Raises:
        InputError: otherwise.
    """
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not 0 <= temperature < math.inf:
        raise InputError(f"temperature must be 0 (the likelier) or more, not {temperature!r}")
    return temperature
