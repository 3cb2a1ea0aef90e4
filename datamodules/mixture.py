"""Two Gaussians of unequal weight: ⅕ N((−5, −5), I) + ⅘ N((5, 5), I), the toy of Song and Ermon (2019, arXiv:1907.05600).

Between the two modes lies a desert without data. A score model learns nothing there, and a sampler that must cross it forgets
the weights: see `scripts/figures/scores.py`. Density, score, and both of them after any amount of noise have closed forms.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.points import PointsDataModule


class TwoGaussians(PointsDataModule):
    """Two Gaussians of weights 1/5 and 4/5. See `PointsDataModule` for the arguments."""

    name = "two-gaussians"
    classes = ("light", "heavy")
    weights: ClassVar[tuple[float, float]] = (0.2, 0.8)
    means: ClassVar[tuple[tuple[float, float], ...]] = ((-5.0, -5.0), (5.0, 5.0))
    homepage: ClassVar[str] = "https://arxiv.org/abs/1907.05600"

    def __init__(self, batch_size: int = 256, *, train_size: int = 10_000, seed: int = 0) -> None:
        super().__init__(batch_size, train_size=train_size, seed=seed)
        self.save_hyperparameters(ignore=CLI_KEYS)

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        y = (torch.rand(n, generator=generator) >= self.weights[0]).long()
        return torch.tensor(self.means)[y] + torch.randn(n, 2, generator=generator), y

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """log p_σ of points [N, 2]: of the data with noise of standard deviation sigma added, [N]."""
        return self._log_parts(x, sigma).logsumexp(1)

    def score(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """∇ log p_σ of points [N, 2]: each mode pulls, by its share in the point."""
        share = self._log_parts(x, sigma).softmax(1)  # [N, 2]
        return (share @ torch.tensor(self.means).to(x) - x) / (1 + sigma**2)

    def _log_parts(self, x: Tensor, sigma: float) -> Tensor:
        """log of weight × density of each mode, [N, 2]."""
        variance = 1 + sigma**2
        squares = (x[:, None] - torch.tensor(self.means).to(x)).square().sum(2)
        return torch.tensor(self.weights).to(x).log() - squares / (2 * variance) - math.log(2 * math.pi * variance)
