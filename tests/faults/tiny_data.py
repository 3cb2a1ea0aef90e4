"""A data set small enough to train on hundreds of times: noise with a label in its brightness."""

from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import TensorDataModule


class TinyData(TensorDataModule):
    """384 images to train on, 64 held out."""

    name: ClassVar[str] = "tiny"
    classes = tuple("0123456789")
    image_shape = (1, 28, 28)
    mean = (0.5,)
    std = (0.25,)
    counts: ClassVar[dict[str, int]] = {"train": 448, "test": 64}
    licence: ClassVar[str] = "none"
    licence_note: ClassVar[str] = ""
    homepage: ClassVar[str] = ""

    def __init__(self, batch_size: int = 64, *, val_size: int = 64, augmented: bool = True, seed: int = 0) -> None:
        augment = {"translate": 2} if augmented else None
        super().__init__(batch_size, val_size=val_size, augment=augment, seed=seed)
        self.save_hyperparameters()

    def load(self, part: str) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(len(part))
        n = self.counts[part]
        y = torch.arange(n) % 10
        x = torch.randint(0, 100, (n, 1, 28, 28), generator=generator) + 15 * y.view(-1, 1, 1, 1)
        return x.to(torch.uint8), y
