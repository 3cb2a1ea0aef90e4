"""Tiny Shakespeare: 40,000 lines of the plays in one file of 1,115,394 characters, 65 of them distinct (Karpathy, 2015).

The first 90 % train, the last 10 % are held out, cut as in nanoGPT, so that numbers compare. There is no third part: the
held-out one serves as test set under the name "val", as in every published number. So that it can, nothing is chosen on it: a
recipe takes the last epoch of a run, whatever the curve says.
"""

import hashlib
from pathlib import Path
from typing import ClassVar

from datamodules.base import CLI_KEYS
from datamodules.files import fetch
from datamodules.text import CharacterText, Reading
from zoo.core.samples import SAMPLES
from zoo.errors import InputError

CHARACTERS = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # all that occur, sorted


class TinyShakespeare(CharacterText):
    """Shakespeare's plays as characters. See `CharacterText` for the arguments; the split is fixed."""

    name = "tinyshakespeare"
    classes = tuple(CHARACTERS)
    counts: ClassVar[dict[str, int]] = {"train": 1_003_854, "val": 111_540}
    hub_id: ClassVar[str] = "karpathy/tiny_shakespeare"
    languages: ClassVar[tuple[str, ...]] = ("en",)
    licence: ClassVar[str] = "public domain (the repository: MIT)"
    licence_note: ClassVar[str] = "The plays are in the public domain."
    homepage: ClassVar[str] = "https://github.com/karpathy/char-rnn"
    file: ClassVar[str] = "tinyshakespeare/input.txt"
    urls: ClassVar[tuple[str, ...]] = (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    )
    sha256: ClassVar[str] = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

    def __init__(
        self,
        batch_size: int = 64,
        *,
        context: int = 128,
        reading: Reading = "windows",
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__(batch_size, context=context, reading=reading, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)

    def prepare_data(self) -> None:
        self._path()

    def read(self) -> str:
        raw = self._path().read_bytes()
        if (found := hashlib.sha256(raw).hexdigest()) != self.sha256:
            raise InputError(
                f"{self._path()} isn't the published file (its sha256 is {found[:12]}…, not {self.sha256[:12]}…): "
                "remove it to fetch it again."
            )
        return raw.decode("ascii")

    def _path(self) -> Path:
        return fetch(self.file, self.urls, self.sha256, root=self.root)


def sample_text() -> str:
    """The packaged excerpt: the first 20,000 characters of the held-out part. Needs no download."""
    return (SAMPLES / "tinyshakespeare.txt").read_text(encoding="ascii")
