"""Bars and stripes: the small binary images whose rows are all constant, or whose columns are (MacKay, 2003, chapter 43).

On a 3 × 3 grid there are 2³ + 2³ − 2 = 14 of them, all equally likely, so the distribution is known as a whole and has an
entropy of ln 14 = 2.639 nats. A model of it isn't asked to generalise: all splits hold the same images.
"""

import itertools
import math
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, TensorLoader
from datamodules.module import DataModule
from datamodules.place import device_of
from zoo.errors import InputError


class BarsAndStripes(DataModule):
    """All bars and stripes of a square grid.

    Args:
        batch_size: images per batch; 0 for all of them in one batch.
        size: rows and columns of the grid, 2 to 4.
        repeat: how often an epoch goes through the images, in their order.

    Shapes:
        images: float32 [N, 1, size, size] of 0 and 1; labels: int64 [N], 0 for columns and 1 for rows.
    """

    name = "bars-and-stripes"
    classes = ("bars", "stripes")
    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Computed, not collected."
    homepage: ClassVar[str] = "https://www.inference.org.uk/itprnn/book.html"

    def __init__(self, batch_size: int = 0, *, size: int = 3, repeat: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if batch_size < 0:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1, or 0 for all images")
        if not 2 <= size <= 4:
            raise InputError(f"size is {size}; grids of 2 to 4 rows can be enumerated")
        if repeat < 1:
            raise InputError(f"repeat is {repeat}; it must be at least 1")
        self.batch_size, self.size, self.repeat = batch_size, size, repeat
        self.image_shape = (1, size, size)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def entropy(self) -> float:
        """Entropy of the distribution in nats."""
        return math.log(2 ** (self.size + 1) - 2)

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """All images and their labels; the same ones whatever the split."""
        if split not in ("train", "val", "test"):
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        lines = torch.tensor(list(itertools.product([0.0, 1.0], repeat=self.size)))  # [2^size, size]
        bars = lines[:, None, :].expand(-1, self.size, -1)
        stripes = lines[1:-1, :, None].expand(-1, -1, self.size)  # an empty and a full grid count once
        labels = torch.tensor([0] * len(bars) + [1] * len(stripes))
        return torch.cat([bars, stripes])[:, None].contiguous(), labels

    def train_dataloader(self) -> TensorLoader:
        return self._loader("train", self.repeat)

    def val_dataloader(self) -> TensorLoader:
        return self._loader("val")

    def test_dataloader(self) -> TensorLoader:
        return self._loader("test")

    def _loader(self, split: str, repeat: int = 1) -> TensorLoader:
        x, y = self.tensors(split)
        batch = self.batch_size or len(x)
        x, y = x.repeat(repeat, 1, 1, 1), y.repeat(repeat)
        x, y = x.to(device_of(self)), y.to(device_of(self))
        return TensorLoader(x, y, batch)
