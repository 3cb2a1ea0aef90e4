"""The networks that turn pictures into pictures: a small U-Net, and a discriminator that judges patches (Isola et al., 2017)."""

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.models.adversarial.networks import small_normal_weights


class Translator(nn.Module):
    """Pictures [N, in_channels, H, W] to pictures [N, out_channels, H, W] in [-1, 1]; H and W are multiples of 4.

    Two strided convolutions down, two residual ones, two transposed ones up; the input and the first level skip across, so that
    what is to stay in its place needn't pass the narrow middle. Instance norm: each picture by itself.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        check_count(width, "width")
        self.down1 = nn.Sequential(nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2))
        self.down2 = nn.Sequential(
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.InstanceNorm2d(2 * width), nn.LeakyReLU(0.2)
        )
        self.middle = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.InstanceNorm2d(2 * width), nn.ReLU())
            for _ in range(2)
        )
        self.up1 = nn.Sequential(nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.InstanceNorm2d(width), nn.ReLU())
        self.up2 = nn.Sequential(nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.ReLU())
        self.out = nn.Sequential(nn.Conv2d(width + in_channels, out_channels, 3, 1, 1), nn.Tanh())
        small_normal_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        high = self.down1(x)
        h = self.down2(high)
        for layer in self.middle:
            h = h + layer(h)
        h = self.up2(torch.cat([self.up1(h), high], 1))
        return self.out(torch.cat([h, x], 1))


class PatchDiscriminator(nn.Module):
    """Pictures [N, in_channels, H, W] to a verdict on each patch, [N, H/4 · W/4]: it judges strokes, not the whole."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, check_count(width, "width"), 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.InstanceNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )
        small_normal_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).flatten(1)
