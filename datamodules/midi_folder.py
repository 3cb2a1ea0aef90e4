"""A person's own music: a folder of MIDI files, each read as a piano roll, all instruments but drums together.

    tunes/*.mid, tunes/bach/*.midi          a step is a quarter note, or steps_per_beat=… of them make one

A step holds for each of the 88 keys whether it sounds at its beginning. A share of the files is held out.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.files import DataNotFoundError
from datamodules.formats.midi import KEYS, LOWEST
from datamodules.jsb_chorales import RollLoader
from datamodules.module import DataModule
from datamodules.own import Own, check_shares, parts_of
from datamodules.place import device_of, share_of, training
from zoo.errors import InputError, MissingExtraError

DRUMS = 9  # channel of the percussion, counted from 0


class MidiFolder(Own, DataModule):
    """Pieces of music as piano rolls, a share of them held out.

    Args:
        root: the folder.
        batch_size: pieces per batch.
        steps_per_beat: steps of a quarter note.
        longest: a piece is cut into parts of so many steps.
        shift: a training piece is moved by up to so many semitones, up or down.
        val_share, test_share: shares of the pieces that validate and test.
        seed: of the shuffles and moves, never of the split.
    """

    offers: ClassVar[tuple[str, ...]] = ("rolls",)
    name = "midi-folder"
    counted: ClassVar[str] = "pieces"

    def __init__(
        self,
        root: str,
        batch_size: int = 8,
        *,
        steps_per_beat: int = 1,
        longest: int = 256,
        shift: int = 0,
        val_share: float = 0.15,
        test_share: float = 0.15,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(root))
        check_shares(val_share, test_share)
        for name, value in (("batch_size", batch_size), ("steps_per_beat", steps_per_beat), ("longest", longest)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; it must be a whole number of at least 1")
        if not 0 <= shift <= 12:
            raise InputError(f"shift is {shift}; it can be 0 to 12 semitones")
        self.root, self.batch_size, self.shift, self.seed = str(root), batch_size, shift, seed
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise DataNotFoundError(f"there is no folder {str(root)!r}: name one that holds MIDI files")
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
        pieces: list[Tensor] = []
        silent: list[str] = []
        for path in files:
            roll = read_roll(path, steps_per_beat)
            if len(roll) >= 2:
                pieces.append(roll)
            else:
                silent.append(path.name)
        if silent:
            self.notes.append(f"{len(silent)} of {len(files)} files hold fewer than two steps and are left out")
        if len(pieces) < 3:
            raise InputError(f"{str(root)!r} holds {len(pieces)} MIDI files with music: it takes three")
        self._rolls = {
            part: [cut for i in index.tolist() for cut in pieces[i].split(longest) if len(cut) >= 2]
            for part, index in parts_of(len(pieces), val_share, test_share).items()
        }

    def rolls(self, part: str) -> list[Tensor]:
        """The pieces of a part, each bool [T, 88]."""
        if part not in self._rolls:
            raise InputError(f"part is {part!r}; it can be 'train', 'val' or 'test'")
        return self._rolls[part]

    def sizes(self) -> dict[str, int]:
        return {part: len(rolls) for part, rolls in self._rolls.items()}

    def train_dataloader(self) -> RollLoader:
        loader = self._loader("train", shift=self.shift, shuffle=True, seed=self.seed, **share_of(self))
        return training(self, loader)

    def val_dataloader(self) -> RollLoader | list:
        return self._loader("val") if self._rolls["val"] else []

    def test_dataloader(self) -> RollLoader:
        return self._loader("test")

    def _loader(self, part: str, **options: Any) -> RollLoader:
        return RollLoader(self.rolls(part), self.batch_size, device=device_of(self), **options)


def read_roll(path: Path, steps_per_beat: int = 1) -> Tensor:
    """The piano roll of a MIDI file, bool [T, 88]: a key sounds in a step if it does at the middle of the step.

    Raises:
        InputError: for a file that is no MIDI.
        MissingExtraError: if `mido` isn't installed.
    """
    try:
        import mido
    except ImportError:
        raise MissingExtraError("MIDI files", "mido", "music") from None
    try:
        music = mido.MidiFile(path)
    except (OSError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"{path} can't be read as MIDI: {str(error) or type(error).__name__}") from None
    ticks = max(1, music.ticks_per_beat)
    notes: list[tuple[int, int, int]] = []  # key, first tick, last tick
    time = 0
    sounding: dict[tuple[int, int], int] = {}  # (channel, note): since which tick
    for message in mido.merge_tracks(music.tracks):
        time += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        voice = (message.channel, message.note)
        if voice in sounding:
            notes.append((message.note - LOWEST, sounding.pop(voice), time))
        if message.type == "note_on" and message.velocity:
            sounding[voice] = time
    notes += [(note - LOWEST, start, time) for (_, note), start in sounding.items()]
    notes = [(key, start, end) for key, start, end in notes if 0 <= key < KEYS and end > start]
    if not notes:
        return torch.zeros(0, KEYS, dtype=torch.bool)
    step = ticks / steps_per_beat
    last = max(end for _, _, end in notes)
    roll = torch.zeros(max(1, round(last / step)), KEYS, dtype=torch.bool)
    for key, start, end in notes:
        first = round(start / step)
        roll[first : max(first + 1, round(end / step)), key] = True
    return roll
