"""Two moons: two interleaved half circles with Gaussian noise, scikit-learn's `make_moons`.

The smallest density that no Gaussian, and no mixture of a few, describes. It is known exactly: a point is c(θ) + noise·ε with θ
uniform on a half circle, so

    p(x) = ½ Σ_moons (1/π) ∫₀^π N(x; c(θ), noise² I) dθ                                   (here by 2,000 nodes)

and a model's mean negative log-likelihood can be held against the entropy, which no model can beat.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.points import PointsDataModule
from zoo.errors import InputError, MissingExtraError


class TwoMoons(PointsDataModule):
    """Two moons. See `PointsDataModule` for the other arguments.

    Args:
        noise: standard deviation of the noise around the half circles, which have radius 1.
    """

    name = "moons"
    classes = ("upper", "lower")
    homepage: ClassVar[str] = "https://scikit-learn.org/stable/modules/generated/sklearn.datasets.make_moons.html"

    def __init__(self, batch_size: int = 256, *, train_size: int = 10_000, noise: float = 0.05, seed: int = 0) -> None:
        super().__init__(batch_size, train_size=train_size, seed=seed)
        self.save_hyperparameters(ignore=CLI_KEYS)
        if noise <= 0:
            raise InputError(f"noise is {noise}; it must be above 0, or the points have no density.")
        self.noise = noise

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        try:
            from sklearn.datasets import make_moons
        except ImportError:
            raise MissingExtraError("two moons", "scikit-learn", "explain") from None
        x, y = make_moons(n, noise=self.noise, random_state=seed)
        return torch.from_numpy(x).float(), torch.from_numpy(y).long()

    def log_density(self, x: Tensor, nodes: int = 2000) -> Tensor:
        theta = (torch.arange(nodes, dtype=torch.float64) + 0.5) * math.pi / nodes
        upper = torch.stack([theta.cos(), theta.sin()], 1)
        centres = torch.cat([upper, torch.tensor([1.0, 0.5], dtype=torch.float64) - upper])  # [2 · nodes, 2]
        parts = []
        for some in x.double().cpu().split(500):
            exponent = -0.5 * (torch.cdist(some, centres) / self.noise).square()
            parts.append(exponent.logsumexp(1))
        return (torch.cat(parts) - math.log(len(centres) * 2 * math.pi * self.noise**2)).to(x)
