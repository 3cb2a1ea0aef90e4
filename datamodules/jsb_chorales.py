"""The JSB chorales: 382 four-part chorales of Bach as piano rolls, a step a quarter note (Boulanger-Lewandowski et al., 2012).

A step holds for each of the 88 keys whether it sounds. The published split of 229, 76 and 77 chorales; a batch is (rolls,
lengths): float32 [B, T, 88] filled up with silence, and int64 [B]. In training, each chorale may be moved up or down by some
semitones, the same music in another key.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.files import fetch, sha256_of
from datamodules.formats.midi import KEYS, LOWEST
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.resumable import ResumableLoader
from zoo.core.files import parse_json
from zoo.core.samples import SAMPLES
from zoo.errors import InputError

Chorale = list[list[int]]  # the MIDI pitches of each step


def to_roll(chorale: Chorale) -> Tensor:
    """bool [T, 88].

    Raises:
        InputError: for a pitch that no piano has.
    """
    roll = torch.zeros(len(chorale), KEYS, dtype=torch.bool)
    for step, pitches in enumerate(chorale):
        for pitch in pitches:
            if not LOWEST <= pitch < LOWEST + KEYS:
                raise InputError(f"step {step} has the pitch {pitch}; a piano has {LOWEST} to {LOWEST + KEYS - 1}.")
            roll[step, pitch - LOWEST] = True
    return roll


def transpose(roll: Tensor, semitones: int) -> Tensor:
    """A roll moved by semitones, or as it is where a note would leave the keyboard."""
    used = roll.any(0).nonzero().flatten()
    if not len(used) or int(used[0]) + semitones < 0 or int(used[-1]) + semitones >= KEYS:
        return roll
    return roll.roll(semitones, dims=1)


class RollLoader(ResumableLoader):
    """Batches of piano rolls; whatever is random is a pure function of (seed, epoch)."""

    def __init__(
        self,
        rolls: list[Tensor],
        batch_size: int,
        *,
        shift: int = 0,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        self.rolls, self.batch_size, self.shift, self.shuffle, self.seed = rolls, batch_size, shift, shuffle, seed
        self.rank, self.world_size, self.device = rank, world_size, device

    def __len__(self) -> int:
        return -(-(len(self.rolls) // self.world_size) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = self.epoch
        generator = torch.Generator().manual_seed(key(self.seed, epoch))
        order, moves = torch.arange(len(self.rolls)), torch.zeros(len(self.rolls), dtype=torch.long)
        if self.shuffle:
            order = torch.randperm(len(self.rolls), generator=generator)
            moves = torch.randint(-self.shift, self.shift + 1, (len(self.rolls),), generator=generator)
        mine = order[self.rank :: self.world_size][: len(self.rolls) // self.world_size]
        for position in self.remaining():
            index = mine[position * self.batch_size : (position + 1) * self.batch_size].tolist()
            rolls = [transpose(self.rolls[i], int(moves[i])) for i in index]
            padded = torch.nn.utils.rnn.pad_sequence(rolls, batch_first=True).float()
            yield padded.to(self.device), torch.tensor([len(roll) for roll in rolls])


class JSBChorales(DataModule):
    """Bach's chorales as piano rolls.

    Args:
        batch_size: chorales per batch and process.
        shift: a training chorale is moved by up to so many semitones, up or down.
        seed: of the shuffles and moves, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    name = "jsb-chorales"
    offers: ClassVar[tuple[str, ...]] = ("rolls",)
    counts: ClassVar[dict[str, int]] = {"train": 229, "val": 76, "test": 77}
    licence: ClassVar[str] = "none stated"
    licence_note: ClassVar[str] = "Bach's music is in the public domain."
    homepage: ClassVar[str] = "https://github.com/czhuang/JSB-Chorales-dataset"
    file: ClassVar[str] = "jsb_chorales/jsb-chorales-quarter.json"
    urls: ClassVar[tuple[str, ...]] = (
        "https://raw.githubusercontent.com/czhuang/JSB-Chorales-dataset/9a7f733ddb4ed91f48da64ac7f0f621c34aadd4d/"
        "jsb-chorales-quarter.json",
    )
    sha256: ClassVar[str] = "2db9329f1881a1d3f49703ec556bf1d6f84b4f6c1d702c156536e93cf31e1c91"

    def __init__(self, batch_size: int = 16, *, shift: int = 0, seed: int = 0, root: str | None = None) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        if not 0 <= shift <= 12:
            raise InputError(f"shift is {shift}; it can be 0 to 12 semitones.")
        self.batch_size, self.shift, self.seed, self.root = batch_size, shift, seed, root
        self._rolls: dict[str, list[Tensor]] = {}

    def prepare_data(self) -> None:
        fetch(self.file, self.urls, self.sha256, root=self.root)

    def setup(self, stage: str | None = None) -> None:
        if self._rolls:
            return
        path = fetch(self.file, self.urls, self.sha256, root=self.root)
        if sha256_of(path) != self.sha256:
            raise InputError(f"{path} isn't the published file: remove it to fetch it again.")
        self._rolls = read_rolls(path)
        if (found := {part: len(rolls) for part, rolls in self._rolls.items()}) != self.counts:
            raise InputError(f"{path} holds {found} chorales, not {self.counts}: remove it to fetch it again.")

    def rolls(self, part: str) -> list[Tensor]:
        """The chorales of a part, each bool [T, 88]."""
        if part not in self.counts:
            raise InputError(f"part is {part!r}; it can be 'train', 'val' or 'test'.")
        self.setup()
        return self._rolls[part]

    def train_dataloader(self) -> RollLoader:
        rolls, options = self.rolls("train"), share_of(self)
        loader = RollLoader(
            rolls, self.batch_size, shift=self.shift, shuffle=True, seed=self.seed, device=device_of(self), **options
        )
        return training(self, loader)

    def val_dataloader(self) -> RollLoader:
        return RollLoader(self.rolls("val"), self.batch_size, device=device_of(self))

    def test_dataloader(self) -> RollLoader:
        return RollLoader(self.rolls("test"), self.batch_size, device=device_of(self))


def read_rolls(path: Path) -> dict[str, list[Tensor]]:
    """Piano rolls by part, bool [steps, 88], of the official file.

    Raises:
        InputError: for a file that holds something else.
    """
    try:
        parts = parse_json(path.read_text(encoding="utf-8"))
        with torch.inference_mode(False):  # an evaluation may be what asks first
            return {
                part: [to_roll(chorale) for chorale in parts[theirs]]
                for part, theirs in (("train", "train"), ("val", "valid"), ("test", "test"))
            }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
        raise InputError(f"{path} holds no chorales ({type(error).__name__}: {error}): fetch it again.") from None


def sample() -> list[Tensor]:
    """The packaged excerpt: the first eight chorales of the test part. Needs no download."""
    return [to_roll(chorale) for chorale in json.loads((SAMPLES / "jsb-chorales.json").read_text(encoding="utf-8"))]
