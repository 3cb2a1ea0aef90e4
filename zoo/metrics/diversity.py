"""A classifier's answers to a set of images: which classes occur, how often, and how surely each is recognised.

All functions take class probabilities [N, K]. The classifier should be another than the one whose features measure the
distance, so that no model is judged twice by the same eyes.
"""

import math

import torch
from torch import Tensor

from zoo.errors import InputError


def class_histogram(probabilities: Tensor) -> Tensor:
    """Share of the images that is given each class, float64 [K]."""
    p = _check(probabilities)
    return torch.bincount(p.argmax(1), minlength=p.shape[1]).double() / len(p)


def histogram_kl(histogram: Tensor, reference: Tensor) -> float:
    """KL(histogram ‖ reference) in nats; 0 for equal shares, finite where the generator misses classes.

    Raises:
        InputError: if the reference lacks a class that occurs.
    """
    h, r = histogram.double(), reference.double()
    if h.shape != r.shape:
        raise InputError(f"the histograms have {h.numel()} and {r.numel()} classes")
    if ((h > 0) & (r == 0)).any():
        raise InputError("a class occurs that the reference data lacks: the divergence is infinite")
    return max(0.0, torch.xlogy(h, torch.where(h > 0, h / r, 1.0)).sum().item())


def class_entropy_bits(histogram: Tensor) -> float:
    """Entropy of the class shares [K] in bits: log2(K) if all classes are equally frequent, 0 if there's only one."""
    h = histogram.double()
    return max(0.0, -torch.xlogy(h, h).sum().item() / math.log(2))


def mean_confidence(probabilities: Tensor) -> float:
    """Mean probability of the most probable class: low if many images belong to no class."""
    return _check(probabilities).max(1).values.mean().item()


def classifier_score(probabilities: Tensor) -> float:
    """exp E KL(p(y|x) ‖ p(y)), the Inception score's formula (Salimans et al., 2016): from 1 to K, larger is better."""
    p = _check(probabilities)
    marginal = p.mean(0).expand_as(p)
    return torch.exp((torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(1).mean()).item()


def _check(probabilities: Tensor) -> Tensor:
    p = probabilities.double()
    if p.ndim != 2 or not len(p):
        raise InputError(f"class probabilities must have the shape [N, K], not {list(probabilities.shape)}")
    if (
        not torch.isfinite(p).all()
        or p.min() < 0
        or not torch.allclose(p.sum(1), torch.ones(len(p)).double(), atol=1e-4)
    ):
        raise InputError("class probabilities must lie in [0, 1] and sum to 1 in each row: apply softmax to logits")
    return p
