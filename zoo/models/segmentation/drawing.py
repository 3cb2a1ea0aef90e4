"""Pictures of segmentations: each class or object in its colour over the picture."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SHARE = 0.55  # of the colour, beside the picture


def palette(n: int) -> Tensor:
    """n colours that are easy to tell apart, uint8 [n, 3]: hues a golden angle apart."""
    hue = torch.arange(n) * 0.618034 % 1
    value = 1 - 0.35 * (torch.arange(n) % 3) / 2
    wheel = (hue[:, None] * 6 - torch.tensor([3.0, 2.0, 4.0])).abs()
    rgb = torch.stack([wheel[:, 0] - 1, 2 - wheel[:, 1], 2 - wheel[:, 2]], 1).clamp(0, 1)
    return (255 * value[:, None] * (0.25 + 0.75 * rgb)).to(torch.uint8)


def paint(picture: Tensor, labels: Tensor, colours: Tensor, *, clear: int | None = None) -> Tensor:
    """A picture uint8 [C, H, W] under a map [H, W] of colour numbers, uint8 [3, H, W]; `clear` is left as it is."""
    base = picture.expand(3, -1, -1).float()
    over = colours[labels.long() % len(colours)].permute(2, 0, 1).float()
    mixed = (1 - SHARE) * base + SHARE * over
    result = mixed if clear is None else torch.where((labels == clear)[None], base, mixed)
    return result.round().to(torch.uint8)


def paint_classes(picture: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Every class in its colour; of two classes the second alone."""
    return paint(picture, labels, palette(classes), clear=0 if classes == 2 else None)


def paint_instances(picture: Tensor, objects: Tensor) -> Tensor:
    """Every object in a colour, over the picture stretched to full brightness."""
    from zoo.core.images import stretch

    return paint(stretch(picture, (1.0, 99.8)), objects, palette(24), clear=0)


def side_by_side(rows: list[tuple[Tensor, Tensor]], path: Path, *, most: int = 240) -> Path:
    """Write pictures uint8 above their paintings as one PNG, each at most `most` pixels wide."""
    from zoo.core.images import stretch

    columns = []
    for picture, painted in rows:
        top = stretch(picture, (0.0, 99.9)) if picture.shape[0] == 1 else picture
        both = torch.cat([top.expand(3, -1, -1), painted], 1)
        image = Image.fromarray(both.permute(1, 2, 0).numpy())
        if image.width > most:
            image = image.resize((most, round(image.height * most / image.width)), Image.Resampling.BILINEAR)
        columns.append(np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)), constant_values=255))
    height = max(column.shape[0] for column in columns)
    columns = [np.pad(c, ((0, height - c.shape[0]), (0, 0), (0, 0)), constant_values=255) for c in columns]
    picture = Image.fromarray(np.concatenate(columns, 1))
    picture.quantize(128).save(path, optimize=True)
    return path
