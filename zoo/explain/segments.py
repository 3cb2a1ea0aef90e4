"""Segments of an image: the players of LIME and of Shapley values, and what they are when they are absent."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InputError


def grid(height: int, width: int, rows: int, columns: int) -> Tensor:
    """A map [H, W] of rows × columns rectangles, numbered line by line."""
    if not 1 <= rows <= height or not 1 <= columns <= width:
        raise InputError(f"an image of {height}×{width} pixels can't be cut into {rows}×{columns} segments")
    row = torch.arange(height) * rows // height
    column = torch.arange(width) * columns // width
    return row[:, None] * columns + column


def slic(image: Tensor, count: int = 49, *, compactness: float = 0.15, rounds: int = 10) -> Tensor:
    """Superpixels (Achanta et al., 2012): k-means of colour and place, each pixel near one of `count` seeds, int64 [H, W].

    Args:
        image: [C, H, W] in 0..1.
        compactness: how much a seed's distance in place counts beside one in colour.
    """
    channels, height, width = image.shape
    side = max(1, round((height * width / max(1, count)) ** 0.5))
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    place = torch.stack([y, x]) * (compactness / side)
    points = torch.cat([image.float(), place]).flatten(1).T  # [H W, C + 2]
    label = grid(height, width, rows, columns).flatten()
    for _ in range(rounds):
        known, label = label.unique(return_inverse=True)
        sums = torch.zeros(len(known), channels + 2).index_add(0, label, points)
        centres = sums / torch.bincount(label).clamp(min=1)[:, None]
        label = torch.cdist(points, centres).argmin(1)
    return label.unique(return_inverse=True)[1].reshape(height, width)


def segments_of(image: Tensor, segments: Any, default: int = 49) -> Tensor:
    """The segments [H, W] that a user asks for: their number, (rows, columns), "slic", or a map of his own.

    Raises:
        InputError: for anything else, or a map of another shape.
    """
    height, width = image.shape[-2:]
    if segments is None:
        segments = default
    if isinstance(segments, str):
        if segments != "slic":
            raise InputError(f'segments are a number, (rows, columns), "slic" or a map [H, W], not {segments!r}')
        return slic(image)
    if isinstance(segments, bool):
        raise InputError(f"segments must be a whole number of at least 1, not {segments!r}")
    if isinstance(segments, int):
        if not 1 <= segments <= height * width:
            raise InputError(f"segments must be a whole number in 1..{height * width}, not {segments!r}")
        rows = max(1, round(segments**0.5))
        return grid(height, width, min(rows, height), min(max(1, round(segments / rows)), width))
    if isinstance(segments, tuple) and len(segments) == 2 and all(isinstance(n, int) for n in segments):
        return grid(height, width, *segments)
    try:
        found = torch.as_tensor(segments)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f'segments are a number, (rows, columns), "slic" or a map [H, W], not {segments!r}') from None
    if tuple(found.shape) != (height, width) or found.is_floating_point():
        raise InputError(
            f"a map of segments is whole numbers [{height}, {width}], not {found.dtype} {list(found.shape)}"
        )
    return found.long().unique(return_inverse=True)[1].reshape(height, width)


def blurred(image: Tensor, sigma: float = 3.0) -> Tensor:
    """An image [..., C, H, W] under a Gaussian blur of σ pixels, its border repeated."""
    reach = min(int(3 * sigma), min(image.shape[-2:]) - 1)
    t = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = (-t.square() / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    flat = image.reshape(-1, 1, *image.shape[-2:])
    flat = F.pad(flat, (reach,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel.reshape(1, 1, 1, -1))
    return F.conv2d(flat, kernel.reshape(1, 1, -1, 1)).reshape(image.shape)
