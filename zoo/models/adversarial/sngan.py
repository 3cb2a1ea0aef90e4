"""Spectrally normalised GAN (Miyato et al., 2018, arXiv:1802.05957) with residual networks.

What spoils a game is a discriminator whose output jumps between images that are nearly equal. A layer h ↦ W h stretches no
difference by more than W's largest singular value σ(W), so a network of layers divided by it,

    W̄ = W / σ(W),        σ(W) = max_{‖h‖ = 1} ‖W h‖ ≈ uᵀ W v   after a step of u ← W v / ‖W v‖, v ← Wᵀ u / ‖Wᵀ u‖

has a slope of at most 1 everywhere, without a penalty and at the price of two products a step. The losses are hinges, which stop
asking for more where the discriminator is right with a margin: max(0, 1 − d(x)) + max(0, 1 + d(G(z))) against −d(G(z)).

With labels, the discriminator adds to its verdict the product of its features with a vector of the class (Miyato and Koyama,
2018, arXiv:1802.05637): d(x, y) = wᵀ φ(x) + e_yᵀ φ(x).

Departures from the papers: one convolution a block in place of two, and narrow networks, for a run on a processor; one step of
the discriminator for each of the generator; the class enters the generator beside the noise; samples come from the generator's
moving average.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.adversarial.gan import GAN


class Up(nn.Module):
    """A residual block from [N, inputs, H, W] to [N, outputs, 2H, 2W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm, self.skip = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 1)
        self.conv = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.relu(self.norm(x))) + F.interpolate(self.skip(x), scale_factor=2.0)


class Down(nn.Module):
    """A residual block from [N, inputs, H, W] to [N, outputs, H/2, W/2], with normalised weights."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1))
        self.skip = spectral_norm(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.leaky_relu(x, 0.2)) + self.skip(F.avg_pool2d(x, 2))


class ResidualGenerator(nn.Module):
    """Codes [N, latent_dim] (and one-hot classes [N, K]) to images [N, C, H, W] in [-1, 1], from an eighth of the size on."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int], width: int, num_classes: int) -> None:
        super().__init__()
        channels, height, breadth = image_shape
        small = (4 * width, height // 8, breadth // 8)
        self.net = nn.Sequential(
            nn.Linear(latent_dim + num_classes, math.prod(small)),
            nn.Unflatten(1, small),
            Up(4 * width, 2 * width),
            Up(2 * width, width),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, 2, 1),
            nn.Tanh(),
        )
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU, keys and values unchanged

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.net(z if condition is None else torch.cat([z, condition], 1))


class ResidualDiscriminator(nn.Module):
    """Images [N, C, H, W] in [-1, 1] (and one-hot classes [N, K]) to one number each, [N]; its slope is bounded."""

    def __init__(self, image_shape: tuple[int, int, int], width: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            spectral_norm(nn.Conv2d(image_shape[0], width, 4, 2, 1)),
            Down(width, 2 * width),
            Down(2 * width, 4 * width),
        )
        self.verdict = spectral_norm(nn.Linear(4 * width, 1))
        self.classes = spectral_norm(nn.Linear(num_classes, 4 * width, bias=False)) if num_classes else None
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        h = F.leaky_relu(self.features(x), 0.2).sum((2, 3))  # [N, 4 width]
        out: Tensor = self.verdict(h)[:, 0]
        return out if self.classes is None else out + (self.classes(condition) * h).sum(1)


class SNGAN(GAN):
    """Residual GAN with a spectrally normalised discriminator, of images whose height and width are multiples of 8.

    Args:
        image_shape, latent_dim, num_classes, r1, critic_steps, lr, critic_lr, beta1, final_lr, ema: see GAN.
        width: channels at half the size; they double at each of two more halvings.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; noise z: [N, latent_dim]; labels: [N].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        latent_dim: int = 128,
        *,
        width: int = 48,
        num_classes: int = 0,
        r1: float = 0.0,
        critic_steps: int = 1,
        lr: float = 2e-4,
        critic_lr: float = 2e-4,
        beta1: float = 0.0,
        final_lr: float = 0.0,
        ema: float = 0.999,
    ) -> None:
        super().__init__(
            image_shape,
            latent_dim,
            hidden=(8,),  # replaced below
            num_classes=num_classes,
            r1=r1,
            critic_steps=critic_steps,
            lr=lr,
            critic_lr=critic_lr,
            beta1=beta1,
            final_lr=final_lr,
            ema=ema,
        )
        self.save_hyperparameters()
        if image_shape[1] % 8 or image_shape[2] % 8:
            raise InputError(f"height and width must be multiples of 8, not {image_shape[1]} and {image_shape[2]}")
        check_count(width, "width")
        self.play(
            ResidualGenerator(latent_dim, self.image_shape, width, num_classes),
            ResidualDiscriminator(self.image_shape, width, num_classes),
        )

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()
