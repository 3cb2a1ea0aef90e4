"""How far two sets of points are apart."""

import torch
from torch import Tensor


def wasserstein(a: Tensor, b: Tensor, directions: int = 64) -> float:
    """W₁ of equally many points a, b [N, D]: of the line exactly, else the mean over random directions."""
    d = a.shape[1]
    if d > 1:
        axes = torch.randn(d, directions, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    else:
        axes = torch.ones(1, 1, dtype=torch.float64)
    axes = axes / axes.norm(dim=0)
    return (((a.double() @ axes).sort(0)[0]) - ((b.double() @ axes).sort(0)[0])).abs().mean().item()
