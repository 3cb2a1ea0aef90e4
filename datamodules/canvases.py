"""Digits of MNIST scattered over canvases of 128 x 128 pixels, with a box around each.

A canvas holds one to eight digits with sides of 18 to 44 pixels. Each is scaled by whole numbers alone, laid where it covers at
most 15 % of another box or is covered so, and blended by the larger value. Every number is drawn by splitmix64 from (seed,
split, canvas), so the same canvases come out on every machine and of every library. Digits to train on, to validate and to test
are different ones.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.dense import DenseDataModule
from datamodules.mnist import MNIST

SIDE, SMALLEST, LARGEST, MOST = 128, 18, 44, 8
INK = 32  # grey level above which a pixel belongs to the digit
TRIES, COVERED = 20, 0.15


class Canvases(DenseDataModule):
    """Canvases [N, 1, 128, 128] with boxes [N, 8, 5]. See `DenseDataModule` for the arguments.

    Args:
        limit: only so many canvases of each split, for a quick look.
    """

    name = "mnist-canvases"
    classes = tuple("0123456789")
    image_shape = (1, SIDE, SIDE)
    mean = (0.036,)
    std = (0.163,)
    counts: ClassVar[dict[str, int]] = {"train": 4000, "val": 500, "test": 1000}
    offers: ClassVar[tuple[str, ...]] = ("boxes",)
    licence: ClassVar[str] = "CC BY-SA 3.0 (MNIST)"
    licence_note: ClassVar[str] = MNIST.licence_note
    homepage: ClassVar[str] = MNIST.homepage

    def __init__(
        self,
        batch_size: int = 32,
        *,
        augment: dict[str, Any] | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(batch_size, augment=augment, normalize=normalize, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.limit = limit
        self._digits = MNIST(root=root)

    def prepare_data(self) -> None:
        self._digits.prepare_data()

    def missing(self) -> list[str]:
        return self._digits.missing()

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        images, labels = self._digits.tensors(split)
        count = min(self.counts[split], self.limit or self.counts[split])
        return draw_canvases(images[:, 0].numpy(), labels.numpy(), split, count)

    def _checked(self, split: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x, y) if self.limit else super()._checked(split, x, y)


class Draws:
    """Whole numbers by splitmix64 (Steele, Lea and Flood, 2014)."""

    def __init__(self, seed: int) -> None:
        self.state = seed & 0xFFFFFFFFFFFFFFFF

    def below(self, n: int) -> int:
        """A number of 0 … n - 1."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return ((z ^ (z >> 31)) * n) >> 64


def draw_canvases(digits: np.ndarray, labels: np.ndarray, split: str, count: int) -> tuple[Tensor, Tensor]:
    """`count` canvases of a split from digits uint8 [N, 28, 28]: uint8 [count, 1, 128, 128] and boxes [count, 8, 5]."""
    pictures = np.zeros((count, 1, SIDE, SIDE), np.uint8)
    boxes = np.zeros((count, MOST, 5), np.float32)
    boxes[..., 0] = -1
    number = ("train", "val", "test").index(split)
    for i in range(count):
        draws, placed = Draws(key(0, number, i)), 0
        for _ in range(1 + draws.below(MOST)):
            chosen = draws.below(len(digits))
            side = SMALLEST + draws.below(LARGEST - SMALLEST + 1)
            digit = resize(digits[chosen], side)
            rows, columns = np.flatnonzero((digit > INK).any(1)), np.flatnonzero((digit > INK).any(0))
            for _ in range(TRIES):
                left, top = draws.below(SIDE - side + 1), draws.below(SIDE - side + 1)
                box = np.array([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1])
                if _free(box, boxes[i, :placed, 1:]):
                    part = pictures[i, 0, top : top + side, left : left + side]
                    np.maximum(part, digit, out=part)
                    boxes[i, placed] = [labels[chosen], *box]
                    placed += 1
                    break
    return torch.from_numpy(pictures), torch.from_numpy(boxes)


def resize(digit: np.ndarray, side: int) -> np.ndarray:
    """A square image uint8 scaled bilinearly to `side` pixels, in whole numbers of 1/256 of a pixel."""
    size = digit.shape[0]
    place = ((2 * np.arange(side) + 1) * size * 128) // side - 128  # of pixel middles, in 1/256
    place = place.clip(0, (size - 1) * 256)
    low, share = place >> 8, place & 255
    high = np.minimum(low + 1, size - 1)
    wide = digit.astype(np.int64)
    rows = wide[low] * (256 - share)[:, None] + wide[high] * share[:, None]
    both = rows[:, low] * (256 - share) + rows[:, high] * share
    return ((both + 32768) >> 16).astype(np.uint8)


def _free(box: np.ndarray, others: np.ndarray) -> bool:
    """Whether a box shares at most 15 % of the smaller of the two with each other one."""
    if not len(others):
        return True
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = (high - low).clip(min=0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1)
    return bool((common <= COVERED * np.minimum(areas, (box[2:] - box[:2]).prod())).all())
