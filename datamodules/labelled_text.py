"""Texts with a label each: tokens on the device, batches of texts that are about equally long.

The vocabulary is what occurs in the training part alone, the frequent first; what else a text holds becomes one "unknown" token.
Sorting by length before cutting into batches leaves next to nothing to fill up; the order of the batches, and of texts of one
length among them, is drawn anew in every epoch. A batch is (tokens int64 [B, T], lengths int64 [B], labels int64 [B]).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.base import key
from datamodules.formats.words import Unit, index_of, pad, split, tokens_of
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError

Example = tuple[str, int]
Batch = tuple[Tensor, Tensor, Tensor]


class LengthSorted(ResumableLoader):
    """Batches of texts of like length; whatever is random is a pure function of (seed, epoch).

    Args:
        rank, world_size: this process's place; every rank gets its own equal share of the batches.
    """

    def __init__(
        self,
        texts: Sequence[Tensor],
        labels: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        if len(texts) != len(labels) or not len(labels):
            raise InputError(f"there are {len(texts)} texts but {len(labels)} labels.")
        self.tokens, lengths = pad(texts)
        self.tokens, self.lengths, self.labels = self.tokens.to(device), lengths, labels.to(device)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        batches = len(self.cut(torch.arange(len(self.lengths))))
        return batches // self.world_size if self.world_size > 1 else batches

    def cut(self, order: Tensor) -> list[Tensor]:
        """Batches of indices by length, those of one length in their order; their number doesn't depend on the order."""
        return list(order[self.lengths[order].argsort(stable=True)].split(self.batch_size))

    def batches(self, epoch: int) -> list[Tensor]:
        """The indices of each batch of an epoch, over all ranks."""
        order = torch.arange(len(self.lengths))
        generator = torch.Generator().manual_seed(key(self.seed, epoch))  # on the CPU: all ranks draw alike
        if self.shuffle:
            order = torch.randperm(len(order), generator=generator)
        batches = self.cut(order)
        if self.shuffle:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]
        return batches

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        mine = self.batches(epoch)[self.rank :: self.world_size][: len(self)]
        for position in self.remaining():
            index = mine[position]
            lengths = self.lengths[index]
            where = index.to(self.tokens.device)
            yield self.tokens[where, : int(lengths.max())], lengths, self.labels[where]


class LabelledText(DataModule):
    """Base of the labelled texts; a subclass gives `name`, `classes`, `unit`, `counts` and `read()`.

    Args:
        batch_size: texts per batch and process.
        seed: of the order of the batches, never of a split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    offers: ClassVar[tuple[str, ...]] = ("labelled-text",)  # what its batches hold, see zoo.core.own_data
    name: str
    classes: Sequence[str]
    unit: Unit
    counts: ClassVar[dict[str, int]]
    pieces: Any = (
        None  # a `tokenizers.Tokenizer` that a model brought along: its pieces stand in place of the vocabulary
    )
    longest: int | None = None  # pieces of a text that such a model sees

    def __init__(self, batch_size: int = 128, *, seed: int = 0, root: str | None = None) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        self.batch_size, self.seed, self.root = batch_size, seed, root
        self._texts: dict[str, list[Example]] = {}
        self._vocabulary: list[str] = []

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def read(self) -> dict[str, list[Example]]:
        """The texts of "train", "val" and "test" with the numbers of their classes."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if not self._texts:
            texts = self.read()
            if (found := {part: len(rows) for part, rows in texts.items()}) != self.counts:
                raise InputError(
                    f"{self.name} has {found} texts, not {self.counts}: remove its files and fetch them again."
                )
            self._texts = texts

    def texts(self, part: str) -> list[Example]:
        """All texts of a part, in a fixed order."""
        if part not in ("train", "val", "test"):
            raise InputError(f"part is {part!r}; it can be 'train', 'val' or 'test'.")
        if not self._texts:
            self.prepare_data()
            self.setup()
        return self._texts[part]

    @property
    def vocabulary(self) -> list[str]:
        """The pieces that occur in the training part, the most frequent first."""
        if not self._vocabulary:
            counts = Counter(piece for text, _ in self.texts("train") for piece in split(text, self.unit))
            self._vocabulary = sorted(counts, key=lambda piece: (-counts[piece], piece))
        return self._vocabulary

    def train_dataloader(self) -> LengthSorted:
        return training(self, self._loader("train", shuffle=True, **share_of(self)))

    def val_dataloader(self) -> LengthSorted | list:
        return self._loader("val")

    def test_dataloader(self) -> LengthSorted:
        return self._loader("test")

    def _loader(self, part: str, *, shuffle: bool = False, rank: int = 0, world_size: int = 1) -> LengthSorted:
        with torch.inference_mode(False):  # an evaluation may be what asks first, and training needs ordinary tensors
            rows = self.texts(part)
            return LengthSorted(
                self._tokens([text for text, _ in rows]),
                torch.tensor([label for _, label in rows]),
                self.batch_size,
                shuffle=shuffle,
                seed=self.seed,
                rank=rank,
                world_size=world_size,
                device=device_of(self),
            )

    def _tokens(self, texts: Sequence[str]) -> list[Tensor]:
        if self.pieces is not None:
            return [torch.tensor(found.ids[: self.longest]) for found in self.pieces.encode_batch(list(texts))]
        index = index_of(self.vocabulary)
        return [tokens_of(split(text, self.unit), index) for text in texts]
