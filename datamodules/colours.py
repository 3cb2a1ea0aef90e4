"""Augmentation that leaves every pixel where it is: light, contrast, colour, noise and edges of whole batches.

As in `datamodules.augment`, images x are [N, C, H, W], uint8 or float in any range, and each gets a draw of its own from an
explicit generator.
"""

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def jitter(
    x: Tensor, *, generator: Generator, brightness: float = 0.0, contrast: float = 0.0, colour: float = 0.0
) -> Tensor:
    """Change how bright, how contrasted and how colourful each image is; float32 in the range of x.

    Args:
        brightness, contrast, colour: factors are uniform in [1 - amount, 1 + amount]: of all values, of their distance from the
            image's mean, and of their distance from the pixel's grey.
    """
    peak = 1.0 if x.is_floating_point() else 255.0
    y = x.float() * _factor(x, brightness, generator)
    middle = y.mean((1, 2, 3), keepdim=True)
    y = middle + (y - middle) * _factor(x, contrast, generator)
    grey = y.mean(1, keepdim=True)
    return (grey + (y - grey) * _factor(x, colour, generator)).clamp(0, peak)


def noise(x: Tensor, amount: float, *, generator: Generator) -> Tensor:
    """Normal noise in each value, its deviation a share of the range; float32 in the range of x."""
    peak = 1.0 if x.is_floating_point() else 255.0
    drawn = torch.randn(x.shape, device=x.device, generator=generator)
    return (x.float() + amount * peak * drawn).clamp(0, peak)


def sharpen(x: Tensor, amount: float, *, generator: Generator) -> Tensor:
    """Add up to `amount` times what a blur takes away: edges get stronger; float32 in the range of x."""
    peak = 1.0 if x.is_floating_point() else 255.0
    blurred = F.avg_pool2d(F.pad(x.float(), (1,) * 4, mode="replicate"), 3, 1)
    share = amount * torch.rand((len(x), 1, 1, 1), device=x.device, generator=generator)
    return (x.float() + share * (x.float() - blurred)).clamp(0, peak)


def principal(x: Tensor, amount: float, *, generator: Generator) -> Tensor:
    """Move all colours of an image along the principal axes of the batch's colours (Krizhevsky et al., 2012).

    Each axis p_i with standard deviation s_i gives a shift of a_i s_i p_i with a_i ~ N(0, amount²), one draw an image: what
    changes is the light, not the thing. Float32 in the range of x.
    """
    peak = 1.0 if x.is_floating_point() else 255.0
    colours = x.float().movedim(1, -1).flatten(0, 2)  # [N H W, C]
    axes = torch.linalg.svd(colours - colours.mean(0), full_matrices=False)
    spread = axes.S / max(1, len(colours) - 1) ** 0.5
    a = amount * torch.randn((len(x), len(spread)), device=x.device, generator=generator)
    return (x.float() + ((a * spread) @ axes.Vh)[:, :, None, None]).clamp(0, peak)


def _factor(x: Tensor, amount: float, generator: Generator) -> Tensor:
    """[N, 1, 1, 1], uniform in [1 - amount, 1 + amount]."""
    return ((2 * torch.rand(len(x), device=x.device, generator=generator) - 1) * amount + 1)[:, None, None, None]
