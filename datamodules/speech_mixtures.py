"""Two people who speak at once, mixed from recordings of one person at a time, with the two voices as targets.

A voice is a chain of one speaker's recordings with short pauses, at unit power. A mixture adds the voices of two speakers, one of
them softer or louder by up to 5 dB, and has unit power itself. Which recordings, where, and how loud are drawn as integers from
(seed, split, number), so that mixture 17 of the test part is the same for ever, whatever libraries are installed.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.module import DataModule
from datamodules.place import share_of, training
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError

SPLITS = ("train", "val", "test")
LEVEL = 5.0  # dB: the second voice against the first, at most
FIRST, PAUSE = 0.1, 0.05  # seconds before the first recording and between two, at most
Voices = list[list[np.ndarray]]  # of each speaker the recordings, float32 [samples]


def integers(*parts: int) -> Iterator[int]:
    """64-bit integers without end, a pure function of a few whole numbers: splitmix64 (Steele, Lea and Flood, 2014)."""
    state, mask = key(*parts), 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


class SpeechMixtures(DataModule):
    """Base of data modules of mixtures. A subclass gives `recordings(split)`.

    Args:
        batch_size: mixtures per batch and process.
        samples: length of a mixture.
        train_size: mixtures per epoch; every epoch has new ones.
        val_size, test_size: mixtures of the other parts, always the same.
        seed: of the training mixtures alone.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.

    Shapes:
        a batch is (mixture float32 [N, samples], voices float32 [N, 2, samples]), and the voices add up to the mixture.
    """

    name: str
    rate: int
    licence: ClassVar[str]
    licence_note: ClassVar[str]
    homepage: ClassVar[str] = ""
    offers: ClassVar[tuple[str, ...]] = ("mixtures",)
    counted: ClassVar[str] = "mixtures"

    def __init__(
        self,
        batch_size: int = 32,
        *,
        samples: int = 8192,
        train_size: int = 4800,
        val_size: int = 500,
        test_size: int = 1000,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        numbers = {
            "batch_size": batch_size,
            "samples": samples,
            "train_size": train_size,
            "val_size": val_size,
            "test_size": test_size,
        }
        for what, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{what} is {value!r}; it's a whole number of at least 1.")
        self.batch_size, self.samples, self.seed, self.root = batch_size, samples, seed, root
        self.lengths = {"train": train_size, "val": val_size, "test": test_size}
        if type(self).__init__ is SpeechMixtures.__init__:  # a subclass with arguments of its own saves those itself
            self.save_hyperparameters(ignore=CLI_KEYS)
        self._voices: dict[str, Voices] = {}

    def sizes(self) -> dict[str, int]:
        """Mixtures of each split; of the training split those of one epoch."""
        return dict(self.lengths)

    def recordings(self, split: str) -> Voices:
        """Recordings float32 [samples] at `self.rate` of "train", "val" or "test", a list for each speaker."""
        raise NotImplementedError

    def voices(self, split: str) -> Voices:
        """The recordings of a split, read once."""
        if split not in SPLITS:
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        if split not in self._voices:
            self.prepare_data()
            self._voices[split] = self.recordings(split)
        return self._voices[split]

    def plan(self, split: str, number: int) -> dict[str, Any]:
        """What mixture `number` of a split is made of, in whole numbers.

        "level" in 2^-53 of the range from -5 to 5 dB, "voices" as pairs (speaker, pieces), pieces as (recording, first sample).
        """
        voices = self.voices(split)
        seed = self.seed if split == "train" else 0
        draw = integers(seed, SPLITS.index(split), number)
        one, other, level = islice(draw, 3)
        first = one % len(voices)
        second = (first + 1 + other % (len(voices) - 1)) % len(voices)
        chains = []
        for speaker in (first, second):
            place, pieces = next(draw) % (int(FIRST * self.rate) + 1), []
            while place < self.samples:
                piece = next(draw) % len(voices[speaker])
                pieces.append((piece, place))
                place += len(voices[speaker][piece]) + next(draw) % (int(PAUSE * self.rate) + 1)
            chains.append((speaker, pieces))
        return {"level": level >> 11, "voices": chains}

    def mixture(self, split: str, number: int) -> np.ndarray:
        """The two voices of a mixture, float32 [2, samples]; their sum is the mixture, of unit power."""
        plan, voices = self.plan(split, number), self.voices(split)
        pair = np.zeros((2, self.samples))
        for voice, (speaker, pieces) in zip(pair, plan["voices"], strict=True):
            for piece, place in pieces:
                sound = voices[speaker][piece][: self.samples - place]
                voice[place : place + len(sound)] = sound
            voice /= max(np.sqrt(np.mean(voice**2)), 1e-9)
        pair[1] *= 10 ** ((plan["level"] / 2**53 * 2 - 1) * LEVEL / 20)
        return (pair / max(np.sqrt(np.mean(pair.sum(0) ** 2)), 1e-9)).astype(np.float32)

    def tensors(self, split: str, n: int | None = None) -> tuple[Tensor, Tensor]:
        """The first n mixtures [n, samples] of a split, all of them by default, and their voices [n, 2, samples]."""
        voices = torch.from_numpy(np.stack([self.mixture(split, i) for i in range(n or self.lengths[split])]))
        return voices.sum(1), voices

    def train_dataloader(self) -> "MixtureLoader":
        return training(self, MixtureLoader(self, "train", **share_of(self)))

    def val_dataloader(self) -> "MixtureLoader":
        return MixtureLoader(self, "val")

    def test_dataloader(self) -> "MixtureLoader":
        return MixtureLoader(self, "test")


class MixtureLoader(ResumableLoader):
    """Batches of mixtures. Mixing takes well under a millisecond each, a small share of a network's step."""

    def __init__(self, data: SpeechMixtures, split: str, *, rank: int = 0, world_size: int = 1) -> None:
        self.data, self.split, self.rank, self.world_size = data, split, rank, world_size
        self.samples = data.lengths[split] // world_size
        data.voices(split)

    def __len__(self) -> int:
        size = self.data.batch_size
        return max(1, self.samples // size) if self.split == "train" else -(-self.samples // size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = self.epoch if self.split == "train" else 0
        for batch in self.remaining():
            first = batch * self.data.batch_size
            shares = range(first, min(first + self.data.batch_size, self.samples))
            numbers = [epoch * self.data.lengths[self.split] + i * self.world_size + self.rank for i in shares]
            voices = torch.from_numpy(np.stack([self.data.mixture(self.split, number) for number in numbers]))
            yield voices.sum(1), voices
