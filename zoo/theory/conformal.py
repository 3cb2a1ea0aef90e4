"""Conformal prediction: sets of classes that hold the right one as often as was promised, whatever the model (Vovk et al., 2005).

Score each held-out example by how strange its right class looks to the model, s_i = 1 − p(y_i | x_i). With q the
⌈(n + 1)(1 − α)⌉-th smallest of these n scores,

    C(x) = {y : 1 − p(y | x) ≤ q}        holds the right class with probability at least 1 − α

for a fresh example that is exchangeable with them. No model is needed that is right, nor calibrated: a bad one gives large sets.
"""

import math

from torch import Tensor

from zoo.errors import InputError


def threshold(probability: Tensor, labels: Tensor, alpha: float) -> float:
    """q, from class probabilities [N, C] of held-out examples and their classes [N]; infinite where N is too small.

    Raises:
        InputError: for an alpha outside 0..1, or other shapes.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha must be between 0 and 1, not {alpha!r}")
    if probability.ndim != 2 or labels.shape != probability.shape[:1] or not len(labels):
        raise InputError(
            f"probabilities are [N, C] and labels [N], not {list(probability.shape)} and {list(labels.shape)}"
        )
    scores = 1 - probability.gather(1, labels[:, None])[:, 0]
    rank = math.ceil((len(scores) + 1) * (1 - alpha))
    return math.inf if rank > len(scores) else scores.sort().values[rank - 1].item()


def sets(probability: Tensor, q: float) -> Tensor:
    """Which classes belong to the set of each example, bool [N, C]; a set may be empty."""
    return 1 - probability <= q
