"""MNIST-M: MNIST's digits blended over patches of photographs, 32 x 32 in colour (Ganin and Lempitsky, 2015, arXiv:1409.7495).

Each pixel is |patch - digit|: the digit is the patch with its colours turned over. `mnist_m/{train,test}.npz` hold `x` uint8
[N, 32, 32, 3] and `y`. The usual distribution has 59,001 training images; a file may hold the first of them only, and says how
many.
"""

import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.augment import Settings
from datamodules.base import CLI_KEYS, TensorDataModule
from datamodules.files import fetch
from zoo.errors import InputError


class MNISTM(TensorDataModule):
    """Ten digits on photographs, 9,001 images to test. See `TensorDataModule` for the arguments."""

    name = "mnist-m"
    classes = tuple("0123456789")
    image_shape = (3, 32, 32)
    mean = (0.458, 0.462, 0.408)
    std = (0.252, 0.238, 0.257)
    counts: ClassVar[dict[str, int]] = {"train": 14_000, "test": 9_001}  # of the subset that is at hand
    licence: ClassVar[str] = "none stated"
    licence_note: ClassVar[str] = "MNIST (CC BY-SA 3.0) over photographs of BSDS500, which are for research."
    homepage: ClassVar[str] = "https://github.com/pumpikano/tf-dann"
    files: ClassVar[dict[str, str]] = {"train": "mnist_m/train.npz", "test": "mnist_m/test.npz"}

    def __init__(
        self,
        batch_size: int = 256,
        *,
        val_size: int = 1000,
        augment: Settings | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
        train_on_all: bool = False,
    ) -> None:
        super().__init__(
            batch_size,
            val_size=val_size,
            augment=augment,
            normalize=normalize,
            seed=seed,
            root=root,
            train_on_all=train_on_all,
        )
        self.save_hyperparameters(ignore=CLI_KEYS)

    def prepare_data(self) -> None:
        for part in self.files:
            self._path(part)

    def load(self, part: str) -> tuple[Tensor, Tensor]:
        path = self._path(part)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                x, y = arrays["x"], arrays["y"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} isn't an MNIST-M file ({error}): remove it and fetch it again.") from None
        return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y).long()

    def _path(self, part: str) -> Path:
        return fetch(self.files[part], (), "", root=self.root)  # its owner keeps it where no program may fetch it
