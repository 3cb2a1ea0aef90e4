"""SST-2: sentences of film reviews, each positive or negative (Socher et al., 2013).

Training: 67,349 phrases, which are whole sentences and the parts of their parse trees that have a clear sentiment of their own;
validation: 872 sentences; test: the 1,821 sentences of the original treebank with their labels, which GLUE keeps back.
"""

from pathlib import Path
from typing import ClassVar

from datamodules.base import CLI_KEYS
from datamodules.files import fetch, sha256_of
from datamodules.labelled_text import Example, LabelledText
from zoo.core.samples import SAMPLES
from zoo.errors import InputError


class SST2(LabelledText):
    """Film reviews as words. See `LabelledText` for the arguments; the split is fixed."""

    use: ClassVar[str] = 'print(model.predict("a quiet, moving film", top=2))  # [(label, probability), …]; or a list'

    name = "sst2"
    classes = ("negative", "positive")
    unit = "word"
    counts: ClassVar[dict[str, int]] = {"train": 67_349, "val": 872, "test": 1_821}
    languages: ClassVar[tuple[str, ...]] = ("en",)
    licence: ClassVar[str] = "none stated"
    licence_note: ClassVar[str] = "Distributed by Stanford for research; the sentences come from Rotten Tomatoes."
    homepage: ClassVar[str] = "https://nlp.stanford.edu/sentiment"
    files: ClassVar[dict[str, tuple[str, str]]] = {  # of part: name, sha256
        "train": ("train.tsv", "dc4a10637729af71aeb11f573482b10031ba7ffe53159403599d06759e484e30"),
        "val": ("dev.tsv", "95e23a00053d2596a991cd6d65735790f18c79549dbf91dfad70d8de61e3ce27"),
        "test": ("test.tsv", "0623232030343a0795aeaf26203059321e0a50eb6b282041bacac9111720a88b"),
    }
    mirror: ClassVar[str] = (
        "https://raw.githubusercontent.com/awake020/pytorch_Bert_sst2/ce2ab1719d32182e6233b24b2de246bd32814fde/SST-2"
    )

    def __init__(self, batch_size: int = 128, *, seed: int = 0, root: str | None = None) -> None:
        super().__init__(batch_size, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)

    def prepare_data(self) -> None:
        for part in self.files:
            self._path(part)

    def read(self) -> dict[str, list[Example]]:
        texts = {}
        for part, (_, sha256) in self.files.items():
            path = self._path(part)
            if sha256_of(path) != sha256:
                raise InputError(f"{path} isn't the published file: remove it to fetch it again.")
            texts[part] = parse(path.read_text(encoding="utf-8"))
        return texts

    def _path(self, part: str) -> Path:
        name, sha256 = self.files[part]
        return fetch(f"sst2/{name}", (f"{self.mirror}/{name}",), sha256, root=self.root)


def parse(table: str) -> list[Example]:
    """The rows "label, tab, sentence" below a header line.

    Raises:
        InputError: for a row of another form, with its number.
    """
    rows = []
    for number, line in enumerate(table.splitlines()[1:], 2):
        label, _, sentence = line.partition("\t")
        if label not in ("0", "1") or not sentence.strip():
            raise InputError(f"line {number} should be 0 or 1, a tab and a sentence, not {line[:60]!r}.")
        rows.append((sentence.strip(), int(label)))
    return rows


def sample() -> list[Example]:
    """The packaged excerpt: 200 sentences of the test part. Needs no download."""
    return parse((SAMPLES / "sst2.tsv").read_text(encoding="utf-8"))
