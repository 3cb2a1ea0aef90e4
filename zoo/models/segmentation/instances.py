"""From maps of objects and their borders to single objects, and back.

The border of an object is its outermost ring of pixels; two nuclei that touch have four pixels of border between their insides.
What is object and not border falls into separate insides, and each remaining pixel of the objects joins the nearest inside.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import MissingExtraError

LEAST = 30  # pixels of an object; smaller ones are noise (this and the thresholds below: chosen on validation images)
REACH = 4  # pixels that a border is at most away from its inside
BAND = 128  # rows that are worked on at a time


def border_of(instances: Tensor) -> Tensor:
    """The outermost ring of each object, bool [N, H, W], of a map [N, H, W] with 0 for background and 1 … n."""
    y = instances[:, None].float()
    largest = F.max_pool2d(y, 3, stride=1, padding=1)
    smallest = -F.max_pool2d(-y, 3, stride=1, padding=1)  # what lies outside of the image doesn't count
    return ((instances > 0)[:, None] & (largest != smallest))[:, 0]


def masks(
    objects: Tensor, border: Tensor, *, threshold: float = 0.6, border_threshold: float = 0.3
) -> tuple[Tensor, Tensor]:
    """What is an object and what is no border, bool [H, W], from probabilities [H, W] of object and border."""
    return objects > threshold, border <= border_threshold


def separate(objects: Tensor, border: Tensor) -> Tensor:
    """Single objects, int64 [H, W] with 0 for background and 1 … n, from probabilities [H, W] of object and border.

    Raises:
        MissingExtraError: if scipy isn't installed.
    """
    return grow(*masks(objects, border))


def grow(objects: Tensor, inner: Tensor) -> Tensor:
    """Single objects, int64 [H, W], of what is an object and what is no border, bool [H, W].

    Bands of rows are worked on one by one, so that a large picture takes little more memory than its result.
    """
    try:
        from scipy import ndimage
    except ImportError:
        raise MissingExtraError("telling objects apart", "scipy", "vision") from None
    mask = objects.cpu().numpy()
    insides, count = ndimage.label(mask & inner.cpu().numpy())
    bands = [slice(top, top + BAND) for top in range(0, len(mask), BAND)]
    grown = np.zeros_like(insides)
    for band in bands:
        start = max(0, band.start - REACH)
        near = insides[start : band.stop + REACH]
        if near.any():
            distance, nearest = ndimage.distance_transform_edt(near == 0, return_indices=True)
            joined = (near[tuple(nearest)] * (distance <= REACH))[band.start - start :]
            grown[band] = joined[: len(mask[band])] * mask[band]
    del insides
    rest, _ = ndimage.label(mask & (grown == 0))  # objects so small that they are all border
    sizes = torch.zeros(count + int(rest.max(initial=0)) + 1, dtype=torch.int64)
    for band in bands:
        np.add(grown[band], rest[band] + count, out=grown[band], where=rest[band] > 0)
        sizes += torch.from_numpy(grown[band]).flatten().bincount(minlength=len(sizes))
    del rest
    kept = sizes >= LEAST
    kept[0] = False
    number = torch.where(kept, kept.cumsum(0), 0)
    found = torch.empty(grown.shape, dtype=torch.int64)
    for band in bands:
        found[band] = number[torch.from_numpy(grown[band])]
    return found
