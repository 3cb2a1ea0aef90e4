"""Occlusion: what the output loses when a part of the input is covered (Zeiler and Fergus, 2014, arXiv:1311.2901).

A window slides over the image; a pixel's value is the mean loss over the windows that cover it. Adaptive occlusion asks
the other way round: how little has to stay uncovered for the same answer.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.explain.gradients import Function, captum, quietly


def occlusion(
    f: Function, x: Tensor, baseline: Tensor, window: int | None = None, stride: int | None = None, *, batch: int = 64
) -> Tensor:
    """f(x) − f(x with a window covered), for each pixel the mean over the windows that cover it, [H, W].

    Args:
        x, baseline: images [1, C, H, W].
        window: its side in pixels; by default a seventh of the image's.
        stride: by default half of the window.

    Raises:
        InputError: for a window that is larger than the image, or a stride beyond the window, which would leave pixels out.
    """
    height, width = x.shape[-2:]
    window = max(1, min(height, width) // 7) if window is None else window
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= window <= min(height, width):
        raise InputError(f"the window's side must lie in 1..{min(height, width)}, not {window!r}")
    if not 1 <= stride <= window:
        raise InputError(f"the stride must lie in 1..{window}, the window's side, not {stride!r}")
    with torch.no_grad(), quietly():
        values = captum().Occlusion(f).attribute(
            x, (x.shape[1], window, window), (x.shape[1], stride, stride), baselines=baseline, perturbations_per_eval=batch
        )  # fmt: skip
    return values[0].mean(0)  # all channels of a window are covered at once


def ablation(f: Function, x: Tensor, baseline: Tensor, parts: Tensor, *, batch: int = 64) -> Tensor:
    """f(x) − f(x with one part covered), for each part, [M].

    Args:
        parts: the part that each number of x[0] belongs to, int64 0 … M − 1.
    """
    with torch.no_grad(), quietly():
        values = (
            captum()
            .FeatureAblation(f)
            .attribute(x, baselines=baseline, feature_mask=parts[None], perturbations_per_eval=batch)
        )
    return one_each(values[0], parts)


def one_each(values: Tensor, parts: Tensor) -> Tensor:
    """The value of each part, [M], where all numbers of a part hold the same one, as captum writes it."""
    flat = parts.flatten().to(values.device)
    return torch.zeros(int(flat.max()) + 1, dtype=values.dtype, device=values.device).scatter_(
        0, flat, values.flatten()
    )


@torch.no_grad()
def adaptive(same: Callable[[Tensor], Tensor], x: Tensor, baseline: Tensor, patches: Tensor, score: Function) -> Tensor:
    """The patches that have to stay for the model to give the same class, found greedily: bool [M], True for those that stay.

    From all, the patch whose loss leaves the score highest is covered, again and again, as long as the class stays; then
    every
    patch is needed: without any one of them the class is another.

    Args:
        same: points [N, …] → bool [N], whether the model still gives the class.
        patches: the patch that each number of x[0] belongs to.
        score: points [N, …] → [N], the target's output.
    """
    m = int(patches.max()) + 1
    stays = torch.ones(m, dtype=torch.bool, device=x.device)
    while stays.any():
        left = stays.nonzero().flatten()
        trials = stays.repeat(len(left), 1)
        trials[torch.arange(len(left)), left] = False
        points = torch.where(trials[:, patches], x, baseline)
        kept = torch.cat([same(part) for part in points.split(64)])
        if not kept.any():
            break
        scores = torch.cat([score(part) for part in points.split(64)]).where(
            kept, torch.tensor(-torch.inf, device=x.device)
        )
        stays = trials[int(scores.argmax())]
    return stays


def smallest(same: Callable[[Tensor], Tensor], x: Tensor, baseline: Tensor, patches: Tensor) -> int:
    """The smallest number of patches that keep the class, by trying all sets: for tests, and 16 patches at most."""
    m = int(patches.max()) + 1
    if m > 16:
        raise InputError(f"{m} patches have 2^{m} sets, trying them all takes 16 patches at most: use adaptive")
    codes = torch.arange(2**m)
    for size in range(m + 1):
        sets = (codes[:, None] >> torch.arange(m) & 1).bool()
        sets = sets[sets.sum(1) == size]
        if any(bool(same(torch.where(part[:, patches], x, baseline)).any()) for part in sets.split(256)):
            return size
    return m
