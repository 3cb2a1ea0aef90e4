"""Models whose right explanations are known."""

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """Two classes of an image [C, H, W] by w · x + b; the second class is the negative of the first."""

    def __init__(self, shape: tuple[int, int, int] = (1, 4, 4), seed: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
        self.bias = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        z = (x * self.weight).flatten(1).sum(1) + self.bias
        return torch.stack([z, -z], 1)


class Pooled(nn.Module):
    """A convolution, ReLU, the mean of each map, and a linear head: what CAM is made for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.body(x)))
