"""From maps of objects and their borders to single objects, and back.

The border of an object is its outermost ring of pixels; two nuclei that touch have four pixels of border between their insides.
What is object and not border falls into separate insides, and each remaining pixel of the objects joins the nearest inside.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import MissingExtraError

LEAST = 30  # pixels of an object; smaller ones are noise (this and the thresholds below: chosen on validation images)
REACH = 4  # pixels that a border is at most away from its inside


def border_of(instances: Tensor) -> Tensor:
    """The outermost ring of each object, bool [N, H, W], of a map [N, H, W] with 0 for background and 1 … n."""
    y = instances[:, None].float()
    largest = F.max_pool2d(y, 3, stride=1, padding=1)
    smallest = -F.max_pool2d(-y, 3, stride=1, padding=1)  # what lies outside of the image doesn't count
    return ((instances > 0)[:, None] & (largest != smallest))[:, 0]


def separate(objects: Tensor, border: Tensor, *, threshold: float = 0.6, border_threshold: float = 0.3) -> Tensor:
    """Single objects, int64 [H, W] with 0 for background and 1 … n, from probabilities [H, W] of object and border.

    Raises:
        MissingExtraError: if scipy isn't installed.
    """
    try:
        from scipy import ndimage
    except ImportError:
        raise MissingExtraError("telling objects apart", "scipy", "vision") from None
    mask = (objects > threshold).cpu().numpy()
    insides, _ = ndimage.label(mask & (border <= border_threshold).cpu().numpy())
    distance, nearest = ndimage.distance_transform_edt(insides == 0, return_indices=True)
    grown = insides[tuple(nearest)] * (mask & (distance <= REACH))
    rest, _ = ndimage.label(mask & (grown == 0))  # objects so small that they are all border
    grown = grown + (rest + insides.max()) * (rest > 0)
    sizes = torch.from_numpy(grown.astype("int64")).flatten().bincount()
    kept = sizes >= LEAST
    kept[0] = False
    number = torch.where(kept, kept.cumsum(0), 0)
    return number[torch.from_numpy(grown.astype("int64"))]
