"""From a map of probabilities to the places of small round things: atoms, spots, cells seen from afar."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.core.metric import entry
from zoo.errors import MissingExtraError

LEAST = 3  # pixels of a spot
NEAR = 1.0  # pixels: a place that is found within this distance is right


def find_points(probability: Tensor) -> Tensor:
    """Places of the spots in probabilities [C, H, W] of the ground (class 0) and C - 1 kinds: float [n, 4] of (kind, p, x, y).

    Connected pixels that are likelier a kind than ground are one spot. Its place is their mean, weighted by that probability;
    its kind the one with the most of it. Pixel (0, 0) has its middle at (0.5, 0.5).

    Raises:
        MissingExtraError: if scipy isn't installed.
    """
    try:
        from scipy import ndimage
    except ImportError:
        raise MissingExtraError("finding spots", "scipy", "vision") from None
    p = probability.double().cpu().numpy()
    anything = 1 - p[0]
    labels, count = ndimage.label(anything > 0.5)
    if not count:
        return torch.empty(0, 4)
    index = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(np.ones_like(anything), labels, index)
    middles = np.array(ndimage.center_of_mass(anything, labels, index)) + 0.5  # [n, (y, x)]
    mass = np.stack([ndimage.sum_labels(kind, labels, index) for kind in p[1:]], 1)  # [n, kinds]
    kind = mass.argmax(1)
    likely = mass[np.arange(count), kind] / sizes
    found = np.stack([kind + 1, likely, middles[:, 1], middles[:, 0]], 1)[sizes >= LEAST]
    return torch.from_numpy(found).float()


def match(found: Tensor, there: Tensor, reach: float = NEAR) -> tuple[Tensor, Tensor]:
    """Pairs of found and true places (x, y), [n, 2] and [m, 2], nearest first, each used once and none further than `reach`."""
    distance = torch.cdist(found.double(), there.double())
    i, j = (distance <= reach).nonzero(as_tuple=True)
    used_i, used_j, pairs = set(), set(), []
    for k in distance[i, j].argsort().tolist():
        a, b = int(i[k]), int(j[k])
        if a not in used_i and b not in used_j:
            used_i.add(a)
            used_j.add(b)
            pairs.append((a, b))
    kept = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    return kept[:, 0], kept[:, 1]


def point_metrics(found: list[Tensor], there: list[Tensor], dataset: Any) -> list[dict[str, Any]]:
    """F1 of the places within a pixel, the share of matched ones with the right kind, and their mean distance."""
    hits = right = total = 0
    distance = 0.0
    for given, true in zip(found, there, strict=True):
        i, j = match(given[:, 2:], true[:, 1:])
        hits += len(i)
        right += int((given[i, 0] == true[j, 0]).sum())
        distance += float((given[i, 2:] - true[j, 1:]).norm(dim=1).sum())
        total += len(given) + len(true)
    how = f"places matched one to one within {NEAR:g} pixel, all atoms of {len(there)} test pictures"
    return [
        entry(dataset, "test", "f1", 2 * hits / max(1, total), how, better="higher"),
        entry(dataset, "test", "kind_accuracy", right / max(1, hits), f"matched atoms; {how}", better="higher"),
        entry(
            dataset,
            "test",
            "distance",
            distance / max(1, hits),
            f"mean in pixels of the matched; {how}",
            better="lower",
        ),
    ]
