"""Backbones of the detectors: pictures to maps of features at 1/4, 1/8, 1/16 … of their size.

`residual` stages are a convolution of stride 2 and blocks x + f(x) (He et al., 2016). `gelan` stages (Wang, Yeh and Liao, 2024,
arXiv:2402.13616) split the channels, send one half through a chain of convolutions and keep every link of the chain:

    [a, b_0] = split(W x),    b_k = conv(b_{k-1}),    y = V [a, b_0, b_1, …, b_K]

so that short and long paths of the gradient stand side by side.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError

Kind = Literal["residual", "gelan"]


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation and SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class ResidualBlock(nn.Module):
    """x + f(x) with two 3 x 3 convolutions, [N, width, H, W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(width, width), convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class GELANBlock(nn.Module):
    """Split, a chain of `depth` convolutions whose every link is kept, and a 1 x 1 convolution over all, [N, width, H, W]."""

    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        half = width // 2
        self.into = convolution(width, 2 * half, 1)
        self.chain = nn.ModuleList(convolution(half, half) for _ in range(depth))
        self.out = convolution((2 + depth) * half, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = list(self.into(x).chunk(2, 1))
        for link in self.chain:
            kept.append(link(kept[-1]))
        return self.out(torch.cat(kept, 1))


class ReversibleBlock(nn.Module):
    """Additive coupling: (a, b) -> (a + f(b), b + g(a + f(b))). Its input can be had back exactly, so it loses no information.

    Shapes:
        x: [N, width, H, W] with an even width.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        if width % 2:
            raise InputError(f"a reversible block needs an even width, not {width}")
        self.f, self.g = convolution(width // 2, width // 2), convolution(width // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        a = a + self.f(b)
        return torch.cat([a, b + self.g(a)], 1)

    def inverse(self, y: Tensor) -> Tensor:
        """The x that gave y; in eval mode, since batch statistics of another input are others."""
        a, b = y.chunk(2, 1)
        b = b - self.g(a)
        return torch.cat([a - self.f(b), b], 1)


class Backbone(nn.Module):
    """Stages that halve the size; the first takes blocks of `stem` x `stem` pixels as one (space to depth).

    Args:
        in_channels: of the picture.
        widths: channels of each stage.
        stem: side of the blocks.
        depth: blocks in each stage.
        kind: of the blocks.

    Shapes:
        x: [N, in_channels, H, W] with H and W multiples of stem · 2^(stages - 1); result: a list of maps, the largest first.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], *, stem: int = 4, depth: int = 2, kind: Kind = "residual"
    ) -> None:
        super().__init__()
        if kind not in ("residual", "gelan"):
            raise InputError(f"backbone must be residual or gelan, not {kind!r}")
        if stem < 1 or not widths or min(widths) < 2 or depth < 0:
            raise InputError(f"stem, widths and depth must be positive, not {stem!r}, {widths!r} and {depth!r}")
        block = ResidualBlock if kind == "residual" else GELANBlock
        self.stem, self.widths = stem, tuple(widths)
        inputs = [in_channels * stem**2, *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(i, o, stride=2 if level else 1), *(block(o) for _ in range(depth)))
            for level, (i, o) in enumerate(zip(inputs, widths, strict=True))
        )

    @property
    def stride(self) -> int:
        """Pixels of the picture to one of the last map."""
        return self.stem * 2 ** (len(self.widths) - 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.pixel_unshuffle(x, self.stem).contiguous(memory_format=torch.channels_last)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
