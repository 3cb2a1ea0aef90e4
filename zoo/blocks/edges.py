"""Edges of images, as a hint for a generator and a measure of how well it keeps to the hint."""

from torch import Tensor
from torch.nn import functional as F


def edge_map(x: Tensor) -> Tensor:
    """Edges of images [N, C, H, W] in [0, 1]: 1 where the darkest and brightest of 3×3 pixels differ by more than a half."""
    grey = x.mean(1, keepdim=True)
    span = F.max_pool2d(grey, 3, 1, 1) + F.max_pool2d(-grey, 3, 1, 1)
    return (span > 0.5).float()


def edge_iou(x: Tensor, edges: Tensor) -> float:
    """Intersection over union of the edges of images [N, C, H, W] in [0, 1], and those asked for [N, 1, H, W]."""
    found = edge_map(x)
    return ((found * edges).sum() / (found + edges).clamp(max=1).sum()).item()
