"""Mackey-Glass series (Mackey and Glass, 1977), a delay equation whose solution is chaotic for a delay of 17:

    dy/dt = 0.2 y(t − τ) / (1 + y(t − τ)^10) − 0.1 y(t)

It is integrated by the classical Runge-Kutta method with steps of 0.1, sampled at every full time, and given as tanh(y − 1), the
benchmark form of echo state networks. Everything is computed; the three splits are stretches of one series.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.module import DataModule
from zoo.errors import InputError

DISCARDED = 1000  # samples until the start is forgotten


class MackeyGlass(DataModule):
    """A chaotic series to forecast.

    Args:
        train_size: samples to train on; the next 2,000 validate and the 6,000 after them test.
        delay: τ; 17 is mildly chaotic, 30 wildly.
        seed: of the values before time 0.

    Shapes:
        a batch: a stretch float64 [T], and its continuation by one sample [T].
    """

    name = "mackey-glass"
    classes: tuple[str, ...] = ()
    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Computed, not collected."
    homepage: ClassVar[str] = "https://www.scholarpedia.org/article/Mackey-Glass_equation"

    def __init__(self, train_size: int = 3000, *, delay: int = 17, seed: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if train_size < 2 or delay < 1:
            raise InputError(f"train_size must be at least 2 and delay at least 1, not {train_size} and {delay}")
        self.counts = {"train": train_size, "val": 2000, "test": 6000}
        self.delay, self.seed = delay, seed
        self._series: Tensor | None = None

    def tensors(self, split: str) -> Tensor:
        """The stretch float64 [T] of "train", "val" or "test"."""
        if split not in self.counts:
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        if self._series is None:
            with torch.inference_mode(False):
                whole = series(DISCARDED + sum(self.counts.values()), delay=self.delay, seed=self.seed)
                self._series = whole[DISCARDED:]
        start = {"train": 0, "val": self.counts["train"], "test": self.counts["train"] + self.counts["val"]}[split]
        return self._series[start : start + self.counts[split]]

    def train_dataloader(self) -> "OneBatch":
        return OneBatch(self.tensors("train"))

    def val_dataloader(self) -> "OneBatch":
        return OneBatch(self.tensors("val"))

    def test_dataloader(self) -> "OneBatch":
        return OneBatch(self.tensors("test"))


class OneBatch:
    """A whole stretch as the only batch."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield self.x[:-1].clone(), self.x[1:].clone()


def series(n: int, *, delay: int = 17, step: float = 0.1, seed: int = 0) -> Tensor:
    """n samples tanh(y − 1), float64, from random values near 1.2 before time 0.

    Raises:
        InputError: for n or delay below 1, or a step that doesn't divide 1.
    """
    per = round(1 / step)
    if n < 1 or delay < 1 or abs(per * step - 1) > 1e-9:
        raise InputError(f"n and delay must be at least 1 and step a part of 1, not {n}, {delay} and {step}")
    lag = delay * per
    start = 1.2 + 0.2 * (torch.rand(lag + 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5)
    y = start.tolist()
    for i in range(lag, lag + (n - 1) * per):
        past, after = y[i - lag], y[i - lag + 1]
        now = y[i]
        forces = [0.2 * p / (1 + p**10) for p in (past, 0.5 * (past + after), after)]
        a = forces[0] - 0.1 * now
        b = forces[1] - 0.1 * (now + step / 2 * a)
        c = forces[1] - 0.1 * (now + step / 2 * b)
        d = forces[2] - 0.1 * (now + step * c)
        y.append(now + step / 6 * (a + 2 * b + 2 * c + d))
    return (torch.tensor(y[lag::per], dtype=torch.float64) - 1).tanh()
