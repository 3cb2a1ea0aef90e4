"""Family names of eighteen languages, in Latin letters (the data of PyTorch's tutorial on character networks).

The lists repeat themselves (2,000 lines of Arabic names hold 108 names), so each name counts once a language, and all languages
of a name go to the same part: nothing that is tested was trained on. A fixed 80/10/10 split by the hash of the name.
"""

import hashlib
from pathlib import Path
from typing import ClassVar

from datamodules.base import CLI_KEYS
from datamodules.files import DataNotFoundError, check, data_root, read_text
from datamodules.labelled_text import Example, LabelledText
from zoo.core.samples import SAMPLES

LANGUAGES = (
    "Arabic", "Chinese", "Czech", "Dutch", "English", "French", "German", "Greek", "Irish", "Italian", "Japanese", "Korean",
    "Polish", "Portuguese", "Russian", "Scottish", "Spanish", "Vietnamese",
)  # fmt: skip


class Names(LabelledText):
    """Names as characters. See `LabelledText` for the arguments; the split is fixed."""

    use: ClassVar[str] = 'print(model.predict("Takahashi", top=3))  # [(language, probability), …]; or a list of names'

    name = "names"
    classes = LANGUAGES
    unit = "character"
    counts: ClassVar[dict[str, int]] = {"train": 14_356, "val": 1_806, "test": 1_850}
    licence: ClassVar[str] = "MIT"
    licence_note: ClassVar[str] = "The repository's licence; lists of names are facts."
    homepage: ClassVar[str] = "https://github.com/spro/practical-pytorch"

    def __init__(self, batch_size: int = 128, *, seed: int = 0, root: str | None = None) -> None:
        super().__init__(batch_size, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)

    def prepare_data(self) -> None:
        for language in LANGUAGES:
            if not self._path(language).is_file():
                raise DataNotFoundError(
                    f"{language}.txt isn't at {self._path(language).parent}: unpack the data/names folder of {self.homepage} "
                    "so that its eighteen files lie there."
                )
            check(self._path(language), root=self.root)

    def read(self) -> dict[str, list[Example]]:
        self.prepare_data()
        parts: dict[str, list[Example]] = {"train": [], "val": [], "test": []}
        for label, language in enumerate(LANGUAGES):
            lines = read_text(self._path(language), root=self.root).splitlines()
            for name in sorted({line.strip().replace("\u00a0", " ") for line in lines} - {""}):
                parts[part_of(name)].append((name, label))
        return parts

    def _path(self, language: str) -> Path:
        return data_root(self.root) / "names" / "by_language" / f"{language}.txt"


def part_of(name: str) -> str:
    """Where a name belongs, whatever its language: a tenth each to "val" and "test"."""
    tenth = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") % 10
    return {8: "val", 9: "test"}.get(tenth, "train")


def sample() -> list[Example]:
    """The packaged excerpt: up to ten names a language of the test part. Needs no download."""
    rows = (line.split("\t") for line in (SAMPLES / "names.tsv").read_text(encoding="utf-8").splitlines())
    return [(name, LANGUAGES.index(language)) for language, name in rows]
