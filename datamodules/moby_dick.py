"""Moby-Dick; or, The Whale (Herman Melville, 1851), in lower case: 1.2 million characters, 71 of them distinct.

The plain text of Project Gutenberg's 2701 without its header and footer. The first 90 % train, the last 10 % are held out; there
is no third part, so nothing may be chosen on the held-out one.
"""

import hashlib
from pathlib import Path
from typing import ClassVar

from datamodules.base import CLI_KEYS
from datamodules.files import fetch
from datamodules.text import CharacterText, Reading
from zoo.core.samples import SAMPLES
from zoo.errors import InputError

CHARACTERS = "\n !$&()*,-.0123456789:;?[]_abcdefghijklmnopqrstuvwxyz£âæèéœηοςτϰוח—‘’“”"  # all that occur, sorted


class MobyDick(CharacterText):
    """The novel as lower-case characters. See `CharacterText` for the arguments; the split is fixed."""

    use: ClassVar[str] = 'print(model.generate("call me ishmael. ", 200, temperature=0.7, seed=0))'

    name = "moby-dick"
    classes = tuple(CHARACTERS)
    counts: ClassVar[dict[str, int]] = {"train": 1_097_080, "val": 121_898}
    languages: ClassVar[tuple[str, ...]] = ("en",)
    licence: ClassVar[str] = "public domain (in the USA)"
    licence_note: ClassVar[str] = "Project Gutenberg's text without its trademark header."
    homepage: ClassVar[str] = "https://www.gutenberg.org/ebooks/2701"
    file: ClassVar[str] = "gutenberg/Moby-Dick--Or-The-Whale_2701.txt"
    urls: ClassVar[tuple[str, ...]] = ()  # Gutenberg's own file has a header and footer that change; see the sha256
    sha256: ClassVar[str] = "dcac694371fdeb859436f3e6babc926ca8d3e0dd9f8d3f36bda12271b56e288c"

    def __init__(
        self,
        batch_size: int = 64,
        *,
        context: int = 100,
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
                f"{self._path()} has the sha256 {found[:12]}…, not {self.sha256[:12]}…: it must be the book alone, from "
                '"Produced by" to its last line, as GITenberg keeps it.'
            )
        return raw.decode("utf-8").lower()

    def _path(self) -> Path:
        return fetch(self.file, self.urls, self.sha256, root=self.root)


def sample_text() -> str:
    """The packaged excerpt: the first 20,000 characters of the held-out part. Needs no download."""
    return (SAMPLES / "moby-dick.txt").read_text(encoding="utf-8")
