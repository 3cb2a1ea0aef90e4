"""Performances as streams of 413 events (see `formats.performance`): Bach's chorales played evenly, or a folder of MIDI files.

Recordings of pianists teach timing and touch; the chorales, one chord each 480 ms and all keys struck alike, are what is at hand
to learn the harmony of events from.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.formats import performance
from datamodules.formats.performance import DOWN, EVENTS, PITCHES, UP, Note
from datamodules.jsb_chorales import JSBChorales
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.text import TokenLoader, Windows
from zoo.errors import InputError

NAMES = (
    *(f"down {pitch}" for pitch in range(PITCHES)),
    *(f"up {pitch}" for pitch in range(PITCHES)),
    *(f"wait {8 * (i + 1)} ms" for i in range(performance.SHIFTS)),
    *(f"strike {4 * i + 2}" for i in range(performance.LOUDNESS)),
)


class Performances(DataModule):
    """Base: pieces of events, cut into shuffled windows.

    Args:
        batch_size: windows per batch and process.
        context: events of a window.
        shift: the training part is heard in all keys up to so many semitones away.
        seed: of the offsets and shuffles.
    """

    classes = NAMES
    name: str

    def __init__(self, batch_size: int = 32, *, context: int = 256, shift: int = 0, seed: int = 0) -> None:
        super().__init__()
        if not 0 <= shift <= 12:
            raise InputError(f"shift is {shift}; it can be 0 to 12 semitones.")
        self.batch_size, self.context, self.shift, self.seed = batch_size, context, shift, seed
        self._tokens: dict[str, Tensor] = {}

    def performances(self, part: str) -> list[list[Note]]:
        """The pieces of "train", "val" or "test" as notes."""
        raise NotImplementedError

    def pieces(self, part: str) -> list[Tensor]:
        """The same as events, each int64 [L]."""
        return [performance.events_of(notes) for notes in self.performances(part)]

    def train_dataloader(self) -> TokenLoader:
        events = self._stream("train")
        return training(self, Windows(events, self.batch_size, self.context, seed=self.seed, **share_of(self)))

    def val_dataloader(self) -> TokenLoader:
        tokens = self._stream("val")
        fit = max(1, (len(tokens) - self.context) // self.context)
        return Windows(tokens, min(self.batch_size, fit), self.context, shuffle=False)

    def _stream(self, part: str) -> Tensor:
        """All pieces of a part one after another, the training part in all its keys."""
        if part not in self._tokens:
            pieces = self.pieces(part)
            keys = range(-self.shift, self.shift + 1) if part == "train" else (0,)
            with torch.inference_mode(False):
                self._tokens[part] = torch.cat([transpose(piece, by) for by in keys for piece in pieces])
        return self._tokens[part].to(device_of(self))


class ChoraleEvents(Performances):
    """Bach's chorales as events. See `Performances` for the arguments; the split is that of `jsb-chorales`."""

    name = "chorale-events"
    licence: ClassVar[str] = JSBChorales.licence
    licence_note: ClassVar[str] = JSBChorales.licence_note
    homepage: ClassVar[str] = JSBChorales.homepage

    def __init__(
        self, batch_size: int = 32, *, context: int = 256, shift: int = 0, seed: int = 0, root: str | None = None
    ) -> None:
        super().__init__(batch_size, context=context, shift=shift, seed=seed)
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.source = JSBChorales(root=root)

    def prepare_data(self) -> None:
        self.source.prepare_data()

    def performances(self, part: str) -> list[list[Note]]:
        return [performance.notes_of_roll(roll) for roll in self.source.rolls(part)]


class PerformanceFolder(Performances):
    """All MIDI files of a folder and its sub-folders; of ten files, in the order of their names, one validates and one tests.

    Args:
        root: the folder.
        batch_size, context, shift, seed: see `Performances`.
    """

    name = "performance-folder"
    licence: ClassVar[str] = "the owner's"
    licence_note: ClassVar[str] = "Whoever owns the music says what may be done with it and with the weights."

    def __init__(self, root: str, batch_size: int = 32, *, context: int = 256, shift: int = 0, seed: int = 0) -> None:
        super().__init__(batch_size, context=context, shift=shift, seed=seed)
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.root = Path(root).expanduser()
        found = sorted(path for path in self.root.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
        if len(found) < 3:
            raise InputError(
                f"the folder {root!r} holds {len(found)} MIDI files; three or more can be split into parts"
            )
        self.files = {"test": found[::10], "val": found[1::10], "train": [f for i, f in enumerate(found) if i % 10 > 1]}

    def performances(self, part: str) -> list[list[Note]]:
        if part not in self.files:
            raise InputError(f"part is {part!r}; it can be 'train', 'val' or 'test'.")
        return [performance.read_performance(path) for path in self.files[part]]


def transpose(events: Tensor, semitones: int) -> Tensor:
    """Events in another key, or as they are where a pitch would leave 0 … 127."""
    keys = events < UP + PITCHES
    pitches = events[keys] % PITCHES + semitones
    if not len(pitches) or int(pitches.min()) < 0 or int(pitches.max()) >= PITCHES:
        return events
    moved = events.clone()
    moved[keys] += semitones
    return moved


assert len(NAMES) == EVENTS and DOWN == 0
