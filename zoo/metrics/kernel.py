"""The kernel distance, known as KID (Bińkowski et al., 2018, arXiv:1801.01401).

The squared maximum mean discrepancy between two sets of features under the cubic polynomial kernel,

    MMD² = E k(x, x') + E k(y, y') − 2 E k(x, y),       k(a, b) = (a·b / D + 1)³

with x ≠ x' and y ≠ y', which makes the estimate unbiased: its mean doesn't depend on the number of samples, so one to two
thousand images do, where the Fréchet distance takes ten thousand. For the same reason it can come out slightly negative.
"""

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.metrics.features import check_features


def kernel_distance(
    x: Tensor, y: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of the unbiased MMD² over random subsets of features x [N, D] and y [M, D].

    Raises:
        InputError: if a set is smaller than `subset_size`, or the dimensions differ.
    """
    if subsets < 1 or subset_size < 2:
        raise InputError(f"subsets must be at least 1 and subset_size at least 2, not {subsets} and {subset_size}")
    x, y = check_features(x), check_features(y)
    if x.shape[1] != y.shape[1]:
        raise InputError(f"the features have {x.shape[1]} and {y.shape[1]} dimensions: use one extractor for both")
    if min(len(x), len(y)) < subset_size:
        raise InputError(
            f"subset_size is {subset_size} but the sets have {len(x)} and {len(y)} samples: make it smaller"
        )
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        a = x[torch.randperm(len(x), generator=generator)[:subset_size]]
        b = y[torch.randperm(len(y), generator=generator)[:subset_size]]
        values.append(_mmd2(a, b))
    found = torch.stack(values)
    return found.mean().item(), found.std(correction=0).item()


def _mmd2(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased squared MMD of two sets of equal size [M, D] under the cubic kernel."""
    m, dimensions = x.shape
    ones = x.new_ones(()).expand(m, m)
    k_xx, k_yy, k_xy = (
        torch.addmm(ones, a, b.T, alpha=1 / dimensions).pow_(3) for a, b in ((x, x), (y, y), (x, y))
    )  # in place: most of the time would go into fresh memory
    within = k_xx.sum() - k_xx.trace() + k_yy.sum() - k_yy.trace()
    return within / (m * (m - 1)) - 2 * k_xy.mean()


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖ of two sets of vectors [N, D] and [M, D] (Székely and Rizzo, 2013): 0 for the same sets.

    It needs no features and no choice, so it measures images that no classifier knows, in pixels.

    Raises:
        InputError: as `kernel_distance`.
    """
    x, y = check_features(x, least=1), check_features(y, least=1)
    if x.shape[1] != y.shape[1]:
        raise InputError(f"the vectors have {x.shape[1]} and {y.shape[1]} dimensions: compare like with like")
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())
