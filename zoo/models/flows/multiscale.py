"""What flows of images are built from: squeezing, couplings by convolution, and scales that values leave early.

    28×28×1 ──couplings──▶ squeeze ─▶ 14×14×4 ──couplings──▶ half of the channels are done, the rest goes on, coarser

Squeezing trades 2×2 pixels for channels, so that later layers see further; factoring half of the channels out at each scale
(Dinh et al., 2017) saves the deep layers the work on details, and trains the early ones directly.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.layers import Layers
from zoo.models.flows.bijections import Bijection

Size = tuple[int, int, int]


class Squeeze(Bijection):
    """[N, C, H, W] to [N, 4C, H/2, W/2]."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor) -> Tensor:
        return F.pixel_shuffle(z, 2)


class MultiScale(Bijection):
    """Bijections of images one after the other; after each but the last, half of the channels are done.

    Args:
        scales: what happens at each scale.
        sizes: (channels, height, width) of what comes out of each.

    Shapes:
        x: [N, C, H, W]; z: [N, C·H·W], first what left first.
    """

    def __init__(self, scales: Sequence[Bijection], sizes: Sequence[Size]) -> None:
        super().__init__()
        self.scales = Layers(scales)
        self.sizes = [(c // 2, h, w) for c, h, w in sizes[:-1]] + list(sizes[-1:])  # of what leaves at each scale

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total, done = x.new_zeros(x.shape[0]), []
        for i, scale in enumerate(self.scales):
            x, log_det = scale(x)
            total = total + log_det
            if i < len(self.scales) - 1:
                x, out = x.chunk(2, dim=1)
                done.append(out.flatten(1))
        return torch.cat([*done, x.flatten(1)], dim=1), total

    def inverse(self, z: Tensor) -> Tensor:
        parts = [
            part.reshape(len(z), *size)
            for part, size in zip(z.split([math.prod(size) for size in self.sizes], dim=1), self.sizes, strict=True)
        ]
        x = parts.pop()
        for i in reversed(range(len(self.scales))):
            if i < len(self.scales) - 1:
                x = torch.cat([x, parts.pop()], dim=1)
            x = self.scales[i].inverse(x)
        return x


class GatedBlock(nn.Module):
    """x + a·σ(b), where a and b come from two convolutions of the normalised x: [N, C, H, W] to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(1, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, 2 * channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.net(x).chunk(2, dim=1)
        # of a slice it takes five times as long
        return x + a * b.contiguous(memory_format=torch.channels_last).sigmoid()


class ConvCoupling(Bijection):
    """Affine coupling of images: the values where mask is 1 stay and move, by a convolutional network, those where it is 0.

    Args:
        mask: float [C, H, W].
        width, blocks: channels and residual blocks of the network.
        fold: side of the blocks of pixels that the network reads and writes as channels; at full resolution most of its time
            would go into memory traffic.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, width: int, blocks: int, *, fold: int = 1) -> None:
        super().__init__()
        channels = len(mask)
        self.register_buffer("mask", mask, persistent=False)
        last = nn.Conv2d(width, 2 * channels * fold**2, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.net = nn.Sequential(
            nn.PixelUnshuffle(fold),
            nn.Conv2d(channels * fold**2, width, 3, padding=1),
            *(GatedBlock(width) for _ in range(blocks)),
            nn.SiLU(),
            last,
            nn.PixelShuffle(fold),
        ).to(memory_format=torch.channels_last)
        self.range = nn.Parameter(torch.ones(channels, 1, 1))

    def scale_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """s and t [N, C, H, W] from the values that stay; zero for those."""
        s, t = self.net(kept).to(kept.dtype).chunk(2, dim=1)  # float32 under autocast, too
        return (1 - self.mask) * self.range * s.tanh(), (1 - self.mask) * t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.scale_shift(x * self.mask)
        return x * s.exp() + t, s.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        s, t = self.scale_shift(z * self.mask)
        return (z - t) * (-s).exp()


def checkerboard(size: Size, parity: int) -> Tensor:
    """1 on the fields of one colour, float [C, H, W]."""
    rows, columns = torch.arange(size[1])[:, None], torch.arange(size[2])[None, :]
    return ((rows + columns) % 2 == parity).float().expand(size).clone()


def half_channels(size: Size, parity: int) -> Tensor:
    """1 on the first or the second half of the channels, float [C, H, W]."""
    return ((torch.arange(size[0]) < size[0] // 2) != bool(parity)).float()[:, None, None].expand(size).clone()
