"""Ways to make maps larger again, and a convolution in two halves.

    nearest neighbour   each value fills a block                                             all places, no detail
    bed of nails        each value stands in the corner of a block of zeros                   no idea where it belongs
    max-unpooling       each value goes back to where max-pooling found it                    knows where, needs the pooling
    transposed          each value multiplies a kernel; where the copies overlap, they add    learns how

A spatially separable kernel k = u vᵀ is a column after a row, n + n weights and products for n²: the kernels of rank one.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.checks import check_count
from zoo.errors import InputError


def nearest(x: Tensor, factor: int = 2) -> Tensor:
    """Each value of maps [N, C, H, W] as a block: [N, C, factor · H, factor · W]."""
    return x.repeat_interleave(check_count(factor, "factor"), 2).repeat_interleave(factor, 3)


def bed_of_nails(x: Tensor, factor: int = 2) -> Tensor:
    """Each value of maps [N, C, H, W] in the upper left corner of a block of zeros."""
    wide = x.new_zeros(*x.shape[:2], check_count(factor, "factor") * x.shape[2], factor * x.shape[3])
    wide[:, :, ::factor, ::factor] = x
    return wide


def max_pool_with_places(x: Tensor, size: int = 2) -> tuple[Tensor, Tensor]:
    """The largest value of each block, and where it was: maps [N, C, H/size, W/size], both."""
    return F.max_pool2d(x, check_count(size, "size"), return_indices=True)


def max_unpool(pooled: Tensor, places: Tensor, shape: tuple[int, int]) -> Tensor:
    """Values [N, C, h, w] back at the places that max-pooling found, zeros elsewhere: [N, C, *shape].

    Raises:
        InputError: if values and places have other shapes, or a place lies outside.
    """
    height, width = shape
    if pooled.shape != places.shape or places.max() >= height * width:
        raise InputError(f"values {list(pooled.shape)} need places of that shape below {height} × {width}")
    flat = pooled.new_zeros(*pooled.shape[:2], height * width)
    return flat.scatter(2, places.flatten(2), pooled.flatten(2)).unflatten(2, shape)


class SeparableConv2d(nn.Module):
    """A column of n weights after a row of n weights, for each channel pair: [N, C, H, W] to [N, out, H, W], zero-padded.

    Args:
        in_channels, out_channels: of the maps; the row makes the new channels.
        size: n, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int = 3) -> None:
        super().__init__()
        if size % 2 == 0:
            raise InputError(f"size must be odd, so that the kernel has a middle, not {size!r}")
        self.row = nn.Conv2d(in_channels, out_channels, (1, size), padding=(0, size // 2), bias=False)
        self.column = nn.Conv2d(out_channels, out_channels, (size, 1), padding=(size // 2, 0), groups=out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.column(self.row(x))


def separate(kernel: Tensor) -> tuple[Tensor, Tensor, float]:
    """The best column u and row v of a kernel [n, m], k ≈ u vᵀ, and the share of its squares that they miss."""
    left, values, right = torch.linalg.svd(kernel.double())
    root = values[0].sqrt()
    missed = (values[1:].square().sum() / values.square().sum().clamp(min=1e-30)).item()
    return (left[:, 0] * root).to(kernel), (right[0] * root).to(kernel), missed
