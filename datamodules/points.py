"""Points in the plane whose true density is known: what a density model is judged by before it sees an image.

Everything is computed, nothing is downloaded. The three splits come from three fixed seeds, so they are the same for ever; a
subclass gives the draw and the density that it is drawn from.
"""

from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import TensorLoader
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from zoo.errors import InputError

SEEDS = {"train": 0, "val": 1, "test": 2}


class PointsDataModule(DataModule):
    """Base of the point sets.

    Args:
        batch_size: points per batch.
        train_size: points to train on; 2,000 more validate and 10,000 test.
        seed: of the shuffles, never of the points.

    Shapes:
        points: float32 [N, 2]; labels, which component a point belongs to: int64 [N].
    """

    name = ""
    classes: ClassVar[tuple[str, ...]] = ()
    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Computed, not collected."

    def __init__(self, batch_size: int = 256, *, train_size: int = 10_000, seed: int = 0) -> None:
        super().__init__()
        if batch_size < 1 or train_size < batch_size:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1 and at most train_size, {train_size}.")
        self.batch_size, self.seed = batch_size, seed
        self.counts = {"train": train_size, "val": 2000, "test": 10_000}
        self._splits: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """n fresh points and their labels."""
        raise NotImplementedError

    def log_density(self, x: Tensor) -> Tensor:
        """log p of points [N, 2] under the distribution they are drawn from, [N], in nats."""
        raise NotImplementedError

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """Points and labels of "train", "val" or "test"."""
        if split not in SEEDS:
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        if split not in self._splits:
            with torch.inference_mode(False):  # an evaluation may ask first, and training needs ordinary tensors
                self._splits[split] = self.draw(self.counts[split], SEEDS[split])
        return self._splits[split]

    def train_dataloader(self) -> TensorLoader:
        x, y = self._placed("train")
        loader = TensorLoader(x, y, self.batch_size, shuffle=True, drop_last=True, seed=self.seed, **share_of(self))
        return training(self, loader)

    def val_dataloader(self) -> TensorLoader:
        return self._loader("val")

    def test_dataloader(self) -> TensorLoader:
        return self._loader("test")

    def _loader(self, split: str) -> TensorLoader:
        return TensorLoader(*self._placed(split), self.batch_size, seed=self.seed)

    def _placed(self, split: str) -> tuple[Tensor, Tensor]:
        x, y = self.tensors(split)
        return x.to(device_of(self)), y.to(device_of(self))
