"""USPS: 16 x 16 grey digits from envelopes (LeCun et al., 1990; Hull, 1994), in the LIBSVM collection's text format.

A line is a digit from 1 to 10, then "index:value" for each of 256 pixels, with values in [-1, 1]. The files are
`usps.bz2` and `usps.t.bz2`; a tenfold smaller and harder relative of MNIST, which is what it is good for.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.augment import Settings
from datamodules.base import CLI_KEYS, TensorDataModule
from datamodules.files import fetch, read_text
from zoo.errors import InputError

PIXELS = 256


class USPS(TensorDataModule):
    """Ten digits, 7291 images to train on and 2007 to test. See `TensorDataModule` for the arguments."""

    name = "usps"
    classes = tuple("0123456789")
    image_shape = (1, 16, 16)
    mean = (0.2539,)
    std = (0.3842,)
    counts: ClassVar[dict[str, int]] = {"train": 7291, "test": 2007}
    licence: ClassVar[str] = "none stated"
    licence_note: ClassVar[str] = (
        "Collected by the US Postal Service, passed on freely with textbooks. Cite Hull (1994)."
    )
    photographs: ClassVar[str] = (
        "A photograph makes sense if it shows one handwritten digit, light on a dark even ground, upright, in the middle, and "
        "about square. Ink on paper has to be inverted first (`PIL.ImageOps.invert`), and a number cut into its digits: of "
        "anything else the model names a digit all the same, often with a high probability."
    )
    homepage: ClassVar[str] = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps"
    files: ClassVar[dict[str, str]] = {"train": "usps/usps.bz2", "test": "usps/usps.t.bz2"}

    def __init__(
        self,
        batch_size: int = 256,
        *,
        val_size: int = 700,
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
        return read_libsvm(self._path(part))

    def _path(self, part: str) -> Path:
        return fetch(self.files[part], (), "", root=self.root)  # no mirror speaks https: put the files there


def read_libsvm(path: Path) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 1, 16, 16] and labels int64 [N] of a packed LIBSVM file."""
    try:
        lines = read_text(path, most=2**26, encoding="ascii").splitlines()
        labels = [int(line.split(" ", 1)[0]) - 1 for line in lines]
        text = " ".join(line.split(" ", 1)[1] for line in lines)
        table = np.array([pair.split(":") for pair in text.split()], np.float32)  # [N · 256, (index, value)]
        index, value = table.reshape(len(lines), PIXELS, 2).transpose(2, 0, 1)
        if (index != np.arange(1, PIXELS + 1)).any() or min(labels) < 0:
            raise ValueError("indices or labels are out of order")
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise InputError(f"{path} isn't a USPS file ({error}): remove it and fetch it again.") from error
    pixels = torch.from_numpy((value + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.reshape(-1, 1, 16, 16), torch.tensor(labels)
