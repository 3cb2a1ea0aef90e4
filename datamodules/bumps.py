"""Mixtures of narrow Gaussians inside [−1, 1]: the toy games of adversarial networks, whose right answer is known.

bell   one Gaussian on the line: the picture of Goodfellow et al. (2014), in which densities and discriminator can be drawn
coin   two values on the line, 70 % and 30 %: does a generator learn how often, or only what?
pixel  three values on the line, the brightness of one pixel of a drawing: mostly paper, some ink, a little of the edge
ring   eight Gaussians on a circle, all alike (Metz et al., 2017, arXiv:1611.02163): does it find all of them?
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.points import PointsDataModule


class Bumps(PointsDataModule):
    """A mixture of Gaussians of one spread. See `PointsDataModule` for the arguments.

    Shapes:
        points: float32 [N, D]; labels, the component that each was drawn from: int64 [N].
    """

    centres: ClassVar[tuple[tuple[float, ...], ...]]
    weights: ClassVar[tuple[float, ...]]
    spread: ClassVar[float]

    def __init__(self, batch_size: int = 200, *, train_size: int = 10_000, seed: int = 0) -> None:
        super().__init__(batch_size, train_size=train_size, seed=seed)
        self.save_hyperparameters(ignore=CLI_KEYS)

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        y = torch.multinomial(torch.tensor(self.weights), n, replacement=True, generator=generator)
        centres = torch.tensor(self.centres)
        return centres[y] + self.spread * torch.randn(n, centres.shape[1], generator=generator), y

    def log_density(self, x: Tensor) -> Tensor:
        squares = self._distances(x).square() / self.spread**2
        scale = x.shape[1] * math.log(self.spread * math.sqrt(2 * math.pi))
        return (torch.tensor(self.weights).to(x).log() - 0.5 * squares - scale).logsumexp(1)

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest component of points [N, D], int64 [N], and whether it is within three standard deviations."""
        distance, index = self._distances(x).min(1)
        return index, distance < 3 * self.spread

    def _distances(self, x: Tensor) -> Tensor:
        return torch.cdist(x, torch.tensor(self.centres).to(x))  # [N, components]


class Bell(Bumps):
    """One Gaussian on the line. See `Bumps`."""

    name = "bell"
    classes = ("bell",)
    centres = ((0.2,),)
    weights = (1.0,)
    spread = 0.16


class Coin(Bumps):
    """Tails and heads, 70 % and 30 %. See `Bumps`."""

    name = "coin"
    classes = ("tails", "heads")
    centres = ((-0.5,), (0.5,))
    weights = (0.7, 0.3)
    spread = 0.05


class Pixel(Bumps):
    """Paper, edge and ink, 60 %, 15 % and 25 %. See `Bumps`."""

    name = "pixel"
    classes = ("paper", "edge", "ink")
    centres = ((-0.8,), (0.1,), (0.8,))
    weights = (0.6, 0.15, 0.25)
    spread = 0.06


class Ring(Bumps):
    """Eight Gaussians on a circle. See `Bumps`."""

    name = "ring"
    classes = tuple(f"{45 * k}°" for k in range(8))
    centres = tuple((0.7 * math.cos(k * math.pi / 4), 0.7 * math.sin(k * math.pi / 4)) for k in range(8))
    weights = (1 / 8,) * 8
    spread = 0.02
