"""FSDD mixtures: two of six speakers say digits at once, mixed from the Free Spoken Digit Dataset (Jackson et al., 2018).

3,000 recordings of 0.14 to 2.3 s at 8 kHz: six speakers, ten digits, fifty times each, in
`fsdd/recordings/DIGIT_SPEAKER_INDEX.wav`. The official test part are the indices 0 to 4; 5 to 9 are held out here for
validation. All six speakers are in every part, so what is learnt of them is speaker-dependent: of other voices it knows
nothing.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from datamodules.files import DataNotFoundError, data_root
from datamodules.speech_mixtures import SpeechMixtures, Voices
from zoo.core.audio import to_waveform
from zoo.core.samples import SAMPLES
from zoo.errors import InputError

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SAMPLE_SCALE = 2048  # the packaged voices are 16-bit numbers
INDICES = {"train": range(10, 50), "val": range(5, 10), "test": range(5)}


class FSDDMixtures(SpeechMixtures):
    """Mixtures of two spoken-digit voices at 8 kHz. See `SpeechMixtures` for the arguments and the batches."""

    name = "fsdd-mixtures"
    rate = 8000
    speakers: ClassVar[tuple[str, ...]] = SPEAKERS
    licence: ClassVar[str] = "CC BY-SA 4.0"
    licence_note: ClassVar[str] = "Attribution, and adaptations of the recordings under the same licence."
    homepage: ClassVar[str] = "https://github.com/Jakobovski/free-spoken-digit-dataset"
    folder: ClassVar[str] = "fsdd/recordings"
    # of the integers that the first hundred test mixtures are drawn as; another value means other mixtures
    plan_sha256: ClassVar[str] = "d672dc9437ca5f0e099b4d083c32b8f4bc999b6ddb5b4797abf33a21050d8520"

    def prepare_data(self) -> None:
        folder = data_root(self.root) / self.folder
        if not (folder / f"0_{SPEAKERS[0]}_0.wav").is_file():
            raise DataNotFoundError(
                f"the recordings aren't in {folder}: unpack the free-spoken-digit-dataset's recordings there, or set ZOO_DATA to "
                f"a folder that has {self.folder}."
            )

    def recordings(self, split: str) -> Voices:
        return [
            [self._read(f"{digit}_{speaker}_{index}.wav") for digit in range(10) for index in INDICES[split]]
            for speaker in SPEAKERS
        ]

    def _read(self, file: str) -> np.ndarray:
        path: Path = data_root(self.root) / self.folder / file
        samples, rate = to_waveform(path)
        if rate != self.rate or len(samples) != 1:
            raise InputError(
                f"{path} has {len(samples)} channels at {rate} Hz, not one at {self.rate}: fetch it again."
            )
        return samples[0].numpy()


def sample(n: int = 8) -> tuple[Tensor, Tensor]:
    """The first n of eight packaged test mixtures float32 [n, 8192] and their voices [n, 2, 8192]. Needs no download."""
    from safetensors.torch import load_file

    voices = load_file(SAMPLES / "fsdd-mixtures.safetensors")["voices"][:n].float() / SAMPLE_SCALE
    return voices.sum(1), voices
