"""Random views of a batch of images: a crop, a mirror image and other colours, drawn for each image (Chen et al., 2020).

A crop with its resize is one affine map of places, and brightness, contrast, saturation, hue and greyness together are one affine
map of colours, x' = Mx + o. So a batch of views costs one resampling and one small matrix product.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])  # lightness, two of colour
RATIO = 4 / 3  # widest and, as its inverse, narrowest crop


def crop(x: Tensor, size: int, *, least: float = 0.2, mirror: bool = True) -> Tensor:
    """A random part of each image, resized: [N, C, H, W] → [N, C, size, size].

    Args:
        least: smallest area of a crop as a share of the image's; 1 keeps the whole image.
        mirror: mirror half of the images left to right.
    """
    n = len(x)
    area = _uniform(x, least, 1.0)
    ratio = _uniform(x, -math.log(RATIO), math.log(RATIO)).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    place = torch.zeros(n, 2, 3, device=x.device)  # from places of the view to places of the image, both in [-1, 1]
    place[:, 0, 0], place[:, 1, 1] = width, height
    place[:, 0, 2], place[:, 1, 2] = (1 - width) * _uniform(x, -1, 1), (1 - height) * _uniform(x, -1, 1)
    if mirror:
        place[:, 0, 0] *= torch.randint(0, 2, (n,), device=x.device) * 2 - 1
    grid = F.affine_grid(place, [n, x.shape[1], size, size], align_corners=False)
    return F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)


def jitter(x: Tensor, *, strength: float = 0.5, likely: float = 0.8, grey: float = 0.2) -> Tensor:
    """Other colours for each image [N, 3, H, W] in [0, 1]: brightness, contrast, saturation and hue at once.

    Args:
        strength: brightness, contrast and saturation change by a factor in 1 ± 0.8 · strength, hue by ± 0.2 · strength turns.
        likely: share of the images that change.
        grey: share of the images that become grey.
    """
    n, low, high = len(x), 1 - 0.8 * strength, 1 + 0.8 * strength
    on = torch.rand(n, device=x.device) < likely
    brightness, contrast, saturation = (torch.where(on, _uniform(x, low, high), 1.0) for _ in range(3))
    hue = torch.where(on, 2 * math.pi * _uniform(x, -0.2 * strength, 0.2 * strength), 0.0)
    saturation = torch.where(torch.rand(n, device=x.device) < grey, 0.0, saturation)
    yiq = YIQ.to(x.device)
    turn = torch.zeros(n, 3, 3, device=x.device)  # of colour alone: lightness stays
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = saturation * hue.cos()
    turn[:, 2, 1] = saturation * hue.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    matrix = torch.linalg.inv(yiq) @ turn @ yiq * (brightness * contrast)[:, None, None]  # [N, 3, 3]
    flat = x.flatten(2)  # [N, 3, HW]
    lightness = (yiq[0] @ flat.mean(2).T) * brightness  # contrast spreads or gathers around an image's mean lightness
    return (matrix @ flat + ((1 - contrast) * lightness)[:, None, None]).clamp(0, 1).view_as(x)


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    return torch.empty(len(x), device=x.device).uniform_(low, high)
