"""The pairs of networks that play the game: fully connected, and convolutional as in DCGAN."""

import math

import torch
from torch import Tensor, nn

from zoo.blocks.dense import dense
from zoo.core.checks import check_count

Shape = tuple[int, int, int]


class MLPGenerator(nn.Module):
    """Codes [N, latent_dim] (and one-hot classes [N, K]) to images [N, C, H, W] in [-1, 1]."""

    def __init__(self, latent_dim: int, image_shape: Shape, hidden: tuple[int, ...], num_classes: int = 0) -> None:
        super().__init__()
        self.net = nn.Sequential(
            dense([latent_dim + num_classes, *hidden], "relu", batch_norm=True, bare_end=False),
            nn.Linear([latent_dim + num_classes, *hidden][-1], math.prod(image_shape)),
            nn.Tanh(),
            nn.Unflatten(1, image_shape),
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.net(z if condition is None else torch.cat([z, condition], 1))


class MLPDiscriminator(nn.Module):
    """Images [N, C, H, W] in [-1, 1] (and one-hot classes [N, K]) to one number each, [N]."""

    def __init__(self, image_shape: Shape, hidden: tuple[int, ...], num_classes: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.net = dense([math.prod(image_shape) + num_classes, *hidden, 1], "leaky_relu", dropout=dropout)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = x.flatten(1)
        return self.net(h if condition is None else torch.cat([h, condition], 1)).flatten()


class ConvGenerator(nn.Module):
    """Codes [N, latent_dim] to images [N, C, H, W] in [-1, 1]: transposed convolutions that double height and width twice.

    Height and width are multiples of 4. No bias before batch norm, normal weights of deviation 0.02 (Radford et al., 2016).
    """

    def __init__(self, latent_dim: int, image_shape: Shape, width: int, num_classes: int = 0) -> None:
        super().__init__()
        channels, height, breadth = image_shape
        check_count(width, "width")
        self.net = nn.Sequential(
            nn.Unflatten(1, (latent_dim + num_classes, 1, 1)),
            nn.ConvTranspose2d(latent_dim + num_classes, 2 * width, (height // 4, breadth // 4), bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, 2, 1),
            nn.Tanh(),
        )
        small_normal_weights(self)
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU, keys and values unchanged

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.net(z if condition is None else torch.cat([z, condition], 1))


class ConvDiscriminator(nn.Module):
    """Images [N, C, H, W] in [-1, 1] to one number each, [N]: strided convolutions, the mirror of `ConvGenerator`.

    Args:
        norm: batch norm in the second layer; a critic whose gradient at single images matters has none.
    """

    def __init__(self, image_shape: Shape, width: int, num_classes: int = 0, *, norm: bool = True) -> None:
        super().__init__()
        channels, height, breadth = image_shape
        self.net = nn.Sequential(
            nn.Conv2d(channels + num_classes, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=not norm),
            nn.BatchNorm2d(2 * width) if norm else nn.Identity(),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, (height // 4, breadth // 4)),
        )
        small_normal_weights(self)
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU, keys and values unchanged

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is not None:  # a constant plane for each class
            x = torch.cat([x, condition[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)
        return self.net(x).flatten()


def small_normal_weights(network: nn.Module) -> None:
    """DCGAN's initialisation: N(0, 0.02²) for convolutions, N(1, 0.02²) for the scales of batch norm, no biases."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1, 0.02)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
