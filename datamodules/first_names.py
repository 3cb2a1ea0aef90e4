"""29,494 first names in lower case, as makemore lists them: what a character model can learn to make up.

Each name is a row of its own, so nothing is carried from one to the next: x = "\\nemma", y = "emma\\n", filled up with what isn't
scored. A fixed 80/10/10 split by the hash of the name: no name that is tested was trained on.
"""

from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.files import fetch, read_text
from datamodules.formats.characters import encode
from datamodules.module import DataModule
from datamodules.names import part_of
from datamodules.place import device_of, share_of, training
from datamodules.text import IGNORED, TokenLoader
from zoo.errors import InputError


class NameRows(TokenLoader):
    """Batches of names, shuffled anew in every epoch or in order.

    Args:
        tokens: rows [N, L + 1] that begin with the token of "\\n", and are filled up with -1 behind their last "\\n".
    """

    def __init__(
        self, tokens: Tensor, batch_size: int, *, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1
    ):
        super().__init__(tokens, batch_size, tokens.shape[1] - 1, seed=seed, rank=rank, world_size=world_size)
        self.shuffle = shuffle
        if len(tokens) < batch_size * world_size:
            raise InputError(f"there are {len(tokens)} names for batches of {batch_size}: make batch_size smaller.")

    def __len__(self) -> int:
        share = len(self.tokens) // self.world_size
        return share // self.batch_size if self.shuffle else -(-share // self.batch_size)

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        order = torch.arange(len(self.tokens))
        if self.shuffle:  # on the CPU: every device and rank shuffles alike
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(key(self.seed, epoch)))
        own = order[self.rank :: self.world_size][index * self.batch_size : (index + 1) * self.batch_size]
        rows = self.tokens[own.to(self.tokens.device)]
        return rows[:, :-1].clamp(min=0), rows[:, 1:].masked_fill(rows[:, 1:] < 0, IGNORED)


class FirstNames(DataModule):
    """First names as rows of characters; the split is fixed.

    Args:
        batch_size: names per batch and process.
        seed: of the shuffles.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    use: ClassVar[str] = 'print(model.names(8, seed=0), model.names(4, start="zo", seed=0))'
    name = "first-names"
    reading = "rows"
    classes = tuple("\nabcdefghijklmnopqrstuvwxyz")
    counts: ClassVar[dict[str, int]] = {"train": 23_577, "val": 2_973, "test": 2_944}
    licence: ClassVar[str] = "MIT"
    licence_note: ClassVar[str] = "The repository's licence; names are facts."
    homepage: ClassVar[str] = "https://github.com/karpathy/makemore"
    file: ClassVar[str] = "names/makemore_names.txt"
    urls: ClassVar[tuple[str, ...]] = ("https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",)
    sha256: ClassVar[str] = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"

    def __init__(self, batch_size: int = 128, *, seed: int = 0, root: str | None = None) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.batch_size, self.seed, self.root = batch_size, seed, root
        self._parts: dict[str, list[str]] = {}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def prepare_data(self) -> None:
        fetch(self.file, self.urls, self.sha256, root=self.root)

    def words(self, part: str) -> list[str]:
        """The names of "train", "val" or "test", sorted."""
        if part not in self.counts:
            raise InputError(f"part is {part!r}; it can be 'train', 'val' or 'test'.")
        if not self._parts:
            lines = read_text(fetch(self.file, self.urls, self.sha256, root=self.root), root=self.root).split()
            for name in sorted(set(lines)):
                self._parts.setdefault(part_of(name), []).append(name)
        return self._parts[part]

    def rows(self, part: str) -> Tensor:
        """The names of a part as rows for `NameRows`, int64 [N, longest + 2]."""
        return rows_of(self.words(part), self.classes)

    def train_dataloader(self) -> NameRows:
        names = self._placed("train")
        return training(self, NameRows(names, self.batch_size, shuffle=True, seed=self.seed, **share_of(self)))

    def val_dataloader(self) -> NameRows:
        return NameRows(self._placed("val"), self.batch_size, shuffle=False)

    def _placed(self, part: str) -> Tensor:
        with torch.inference_mode(False):
            return self.rows(part).to(device_of(self))


def rows_of(words: list[str], characters: tuple[str, ...]) -> Tensor:
    """Words framed by "\\n" as rows of tokens, -1 where a shorter one has ended; int64 [N, longest + 2]."""
    longest = max(map(len, words))
    rows = torch.full((len(words), longest + 2), -1)
    for row, word in zip(rows, words, strict=True):
        row[: len(word) + 2] = encode(f"\n{word}\n", characters, f"the name {word!r}")
    return rows
