"""Concepts of a layer: does a class depend on something that people have a word for?

TCAV (Kim et al., 2018, arXiv:1711.11279): a linear classifier separates a layer's activations for examples of a concept
from those for random images; its normal is the concept's direction. The score is the share of a class's images whose
output rises along it: 0.5 means nothing, and a score only counts beside those of random concepts.

Network dissection (Bau et al., 2017, arXiv:1704.05796): which unit's highest activations lie on a concept's pixels? The
score is the overlap of both, intersection over union.

Anchors (Ribeiro et al., 2018): the fewest parts that, kept as they are, hold the answer whatever the others become.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InputError, MissingExtraError
from zoo.explain.cams import find_layer
from zoo.explain.gradients import Function
from zoo.explain.subject import at_rest


def _activations(model: Any, images: Any, layer: str | None, target: int | None = None) -> tuple[Tensor, Tensor | None]:
    """A layer's maps of images, [N, K, h, w], and the gradient of a target's output by them."""
    if model.transform is None:
        raise InputError("concepts are measured on images: the model needs its transform")
    points = model.transform(images)
    points = points if points.ndim == 4 else points[None]
    chosen = find_layer(model, lambda p: model(p)[:, 0], points[:1], layer, method="TCAV")
    seen: list[Tensor] = []
    handle = chosen.module.register_forward_hook(lambda _, __, output: seen.append(output))
    maps, slopes = [], []
    try:
        for part in points.split(64):
            seen.clear()
            scores = model(part.requires_grad_())
            if target is not None:
                slopes.append(torch.autograd.grad(scores[:, target].sum(), seen[-1])[0])
            maps.append(seen[-1].detach())
    finally:
        handle.remove()
    return torch.cat(maps), torch.cat(slopes) if slopes else None


def tcav(
    model: Any, concept: Any, others: Any, images: Any, target: int, layer: str | None = None, *, seed: int = 0
) -> tuple[float, float]:
    """The share of images whose target rises along the concept, and how well the concept was separated from the others on
    held-out ones.

    Args:
        concept, others: images that show the concept and that don't, uint8 [N, C, H, W].
        images: of the target's class.
        layer: as `cams.find_layer`.

    Raises:
        InputError: for fewer than eight images of either side.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtraError("concept vectors", "scikit-learn", "explain") from None
    if min(len(concept), len(others)) < 8:
        raise InputError(
            f"a concept needs eight images and eight others at least, not {len(concept)} and {len(others)}"
        )
    with at_rest(model, seed):
        sides = [_activations(model, some, layer)[0].flatten(1) for some in (concept, others)]
        x = torch.cat(sides)
        y = torch.cat([torch.ones(len(sides[0])), torch.zeros(len(sides[1]))])
        order = torch.randperm(len(x))
        held = max(2, len(x) // 4)
        test, train = order[:held], order[held:]
        mean, scale = x[train].mean(0), x[train].std(0).clamp(min=1e-6)
        line = LogisticRegression(C=0.01, max_iter=500).fit(((x[train] - mean) / scale).numpy(), y[train].numpy())
        right = float(line.score(((x[test] - mean) / scale).numpy(), y[test].numpy()))
        direction = torch.from_numpy(line.coef_[0]).float() / scale
        _, slopes = _activations(model, images, layer, target)
        assert slopes is not None
    return float(((slopes.flatten(1) @ direction) > 0).float().mean()), right


@torch.no_grad()
def dissect(model: Any, images: Any, masks: Tensor, layer: str | None = None, *, share: float = 0.05) -> Tensor:
    """The overlap (intersection over union) of each unit's highest activations with a concept's pixels, [K].

    Args:
        images: uint8 [N, C, H, W]; masks: bool [N, H, W], where the concept is.
        share: of all places that count as high.
    """
    with at_rest(model, 0), torch.enable_grad():
        maps, _ = _activations(model, images, layer)
    large = F.interpolate(maps, masks.shape[-2:], mode="bilinear", align_corners=False)  # [N, K, H, W]
    limit = torch.quantile(maps.transpose(0, 1).flatten(1), 1 - share, dim=1)
    high = (large > limit[:, None, None]) & (large > 0)
    both = (high & masks[:, None]).sum((0, 2, 3)).float()
    return both / ((high | masks[:, None]).sum((0, 2, 3)).float()).clamp(min=1)


@torch.no_grad()
def anchor(
    f: Function, x: Tensor, others: Tensor, parts: Tensor, *, precision: float = 0.95, samples: int = 200, seed: int = 0
) -> tuple[list[int], float]:
    """The parts that hold an answer, found greedily, and the share of draws that keep it.

    A draw keeps the anchor's parts of x and takes the others from a random one of `others`. Parts that turn out to be needless,
    taken while none was better than another, are given up at the end, the first taken first.

    Args:
        f: points [N, …] → class numbers [N]; x: [1, …]; others: [B, …].
        parts: the part of each number of x[0].
    """
    generator = torch.Generator().manual_seed(seed)
    answer, count = f(x)[0], int(parts.max()) + 1
    drawn = others[torch.randint(len(others), (samples,), generator=generator)]

    def holds(kept: list[int]) -> float:
        keep = torch.isin(parts, torch.tensor(kept, dtype=parts.dtype))
        return float((f(torch.where(keep, x, drawn)) == answer).float().mean())

    kept: list[int] = []
    now = holds(kept)
    while now < precision and len(kept) < count:
        scores = {i: holds([*kept, i]) for i in range(count) if i not in kept}
        best = max(scores, key=lambda i: scores[i])
        kept, now = [*kept, best], scores[best]
    for part in kept[:-1]:
        fewer = [other for other in kept if other != part]
        if (without := holds(fewer)) >= precision:
            kept, now = fewer, without
    return kept, now
