"""A person's own recordings: one sub-folder per speaker or instrument, any rate and format that libsndfile reads.

    voices/anna/*.wav, voices/ben/*.flac                 split here, the same way every time
    voices/{train,val,test}/anna/*.wav, …                split by its owner; val or test may be missing

Two of them at a time are mixed, as `SpeechMixtures` says. Recordings are averaged over their channels and resampled once.
"""

import os
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np

from datamodules.base import CLI_KEYS, fixed_permutation
from datamodules.files import DataNotFoundError
from datamodules.speech_mixtures import SPLITS, SpeechMixtures, Voices
from zoo.core.audio import resample, to_waveform
from zoo.errors import InputError, ZooWarning

SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff"}
SHARES = {"val": 0.15, "test": 0.15}  # of each speaker's recordings, where their owner didn't split them


class WavFolder(SpeechMixtures):
    """Mixtures of two sub-folders' recordings. See `SpeechMixtures` for the other arguments and the batches.

    Args:
        root: the folder.
        rate: samples a second of the mixtures: that of the model to be trained.
    """

    name = "wav-folder"
    own: ClassVar[bool] = True  # a person's own data
    licence: ClassVar[str] = "the owner's"
    licence_note: ClassVar[str] = (
        "Whoever owns the recordings says what may be done with them and with what was trained on them."
    )

    def __init__(
        self,
        root: str,
        batch_size: int = 16,
        *,
        rate: int = 8000,
        samples: int = 8192,
        train_size: int = 1600,
        val_size: int = 100,
        test_size: int = 200,
        seed: int = 0,
    ) -> None:
        if isinstance(rate, bool) or not isinstance(rate, int) or rate < 1:
            raise InputError(f"rate is {rate!r}; it's a whole number of samples a second.")
        root = os.fspath(root)
        super().__init__(
            batch_size,
            samples=samples,
            train_size=train_size,
            val_size=val_size,
            test_size=test_size,
            seed=seed,
            root=root,
        )
        self.rate = rate
        self._files = find_recordings(Path(root))
        self.speakers = tuple(self._files["train"])
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=root)

    def recordings(self, split: str) -> Voices:
        files = self._files[split]
        found = [[sound for path in files[name] if (sound := self._read(path)) is not None] for name in files]
        if empty := [name for name, sounds in zip(files, found, strict=True) if not sounds]:
            raise InputError(f"no recording of {', '.join(empty)} for the {split} part of {self.root} can be read.")
        return found

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            sound, rate = to_waveform(path)
        except InputError as error:
            warnings.warn(f"{error}; it's skipped", category=ZooWarning, stacklevel=4)
            return None
        assert rate is not None  # a file names its rate
        return resample(sound.mean(0), rate, self.rate).numpy()


def find_recordings(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Sound files as {split: {speaker: files}}, all sorted; parts without a folder of their own are held out of the training's.

    Raises:
        InputError: for fewer than two speakers, or too few recordings of one.
    """
    if not root.is_dir():
        raise DataNotFoundError(
            f"there is no folder {str(root)!r}: name one that holds a sub-folder of sounds per speaker."
        )
    split = (root / "train").is_dir() and any((root / part).is_dir() for part in SPLITS[1:])
    found = {part: _speakers(root / part) for part in SPLITS if (root / part).is_dir()} if split else {}
    train = found["train"] if split else _speakers(root)
    if len(train) < 2:
        raise InputError(
            f"{str(root)!r} has {len(train)} sub-folders with sound files: mixing takes at least two, one a speaker."
        )
    parts: dict[str, dict[str, list[Path]]] = {part: {} for part in SPLITS}
    for speaker, files in train.items():
        kept = files
        for part in SPLITS[1:]:
            if part in found:
                if not found[part].get(speaker):
                    raise InputError(f"the {part} part of {str(root)!r} has no recording of {speaker}, whom train has.")
                parts[part][speaker] = found[part][speaker]
                continue
            order = [files[i] for i in fixed_permutation(len(files)).tolist()]
            n = max(1, round(SHARES[part] * len(files)))
            chosen = set(order[:n] if part == "val" else order[-n:])
            parts[part][speaker] = sorted(chosen)
            kept = [file for file in kept if file not in chosen]
        if not kept:
            raise InputError(
                f"{speaker} in {str(root)!r} has {len(files)} recordings: it takes three, one for each part."
            )
        parts["train"][speaker] = kept
    return parts


def _speakers(folder: Path) -> dict[str, list[Path]]:
    found = {
        entry.name: sorted(path for path in entry.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    }
    return {name: files for name, files in found.items() if files}
