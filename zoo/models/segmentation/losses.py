"""The five losses of semantic segmentation, by name, and their sums ("bce+dice").

With p the probability and t the target of a pixel, I = Σ pt their overlap and S = Σ p + Σ t:

    bce            -Σ t log p + (1 - t) log (1 - p)     a pixel is object or background, for each map by itself
    cce            -Σ_c t_c log p_c                     a pixel is one of several classes (softmax)
    dice           1 - D,  D = 2 I / S                  overlap: what is rare counts as much as what is common
    jaccard        1 - J,  J = I / (S - I) = D / (2 - D)
    weighted-cce   cce with a weight for each class, usually the inverse of its frequency

Overlaps are counted over the whole batch for each class, then averaged over the classes that occur in it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InputError

LOSSES = ("bce", "cce", "dice", "jaccard", "weighted-cce")
TINY = 1e-6  # beside sums over thousands of pixels: an empty map that is predicted empty has overlap 1


def segmentation_loss(
    name: str,
    logits: Tensor,
    target: Tensor,
    *,
    weights: Tensor | None = None,
    ignore_index: int | None = None,
) -> Tensor:
    """Mean loss of logits [N, C, H, W]; a scalar.

    Args:
        name: one of `LOSSES`, or several joined by "+".
        target: classes, whole numbers [N, H, W], or a probability for each map [N, C, H, W].
        weights: of the classes [C], for "weighted-cce"; without it the inverse frequencies of the batch.
        ignore_index: a class that counts for nothing. Where nothing else is there, the loss is 0.

    Raises:
        InputError: for an unknown name, shapes that don't fit, or a class that there is no logit for.
    """
    parts = name.split("+")
    if unknown := [part for part in parts if part not in LOSSES]:
        raise InputError(f"loss must be one of {', '.join(LOSSES)}, or a sum with +, not {unknown[0]!r}")
    if logits.ndim != 4 or target.shape not in (logits.shape, logits[:, 0].shape):
        raise InputError(
            f"logits are [N, C, H, W] and targets [N, H, W] or the same shape, not {list(logits.shape)}, {list(target.shape)}"
        )
    logits = logits.float()
    if target.shape == logits.shape:
        valid = torch.ones_like(target[:, :1], dtype=torch.bool)
        truth, exclusive = target.float(), False
    else:
        classes = logits.shape[1]
        valid = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
        known = torch.where(valid, target.long(), 0)
        if int(known.max()) >= classes or int(known.min()) < 0:
            raise InputError(f"targets hold the class {int(known.max())}, the last of the logits is {classes - 1}")
        truth, exclusive = F.one_hot(known, classes).movedim(-1, 1).float(), classes > 1
        valid = valid[:, None]  # [N, 1, H, W]
    total = logits.sum() * 0  # keeps the graph where no pixel counts
    for part in parts:
        total = total + _loss(part, logits, truth, valid, exclusive, weights)
    return total


def _loss(name: str, logits: Tensor, truth: Tensor, valid: Tensor, exclusive: bool, weights: Tensor | None) -> Tensor:
    mask = valid.float()
    count = mask.sum().clamp(min=1)
    if name in ("dice", "jaccard"):
        p = logits.softmax(1) if exclusive else logits.sigmoid()
        p, t = p * mask, truth * mask
        overlap, size = (p * t).sum((0, 2, 3)), p.sum((0, 2, 3)) + t.sum((0, 2, 3))  # [C]
        dice = 2 * (overlap + TINY) / (size + 2 * TINY)
        score = dice if name == "dice" else dice / (2 - dice)
        present = valid.any() & (t.sum((0, 2, 3)) > 0)  # a class that the batch lacks has no overlap to raise
        return torch.where(present, 1 - score, 0.0).sum() / present.sum().clamp(min=1)
    if name == "bce":
        each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1, keepdim=True)
        return (each * mask).sum() / count
    if name == "weighted-cce":
        weights = _inverse_frequency(truth * mask) if weights is None else weights.to(logits)
        factor = (truth * weights[:, None, None]).sum(1, keepdim=True) * mask
    else:
        factor = mask
    log_p = logits.log_softmax(1) if exclusive else F.logsigmoid(logits)
    each = -(truth * log_p).sum(1, keepdim=True)
    if not exclusive:
        each = each - ((1 - truth) * F.logsigmoid(-logits)).sum(1, keepdim=True)
        factor = mask if name == "cce" else factor + mask * (1 - truth.amax(1, keepdim=True))
    return (each * factor).sum() / factor.sum().clamp(min=TINY)


def _inverse_frequency(truth: Tensor) -> Tensor:
    count = truth.sum((0, 2, 3))
    return torch.where(count > 0, count.sum() / count.clamp(min=1), 0.0)
