"""What a backbone is worth: a linear probe and nearest neighbours on its frozen embeddings, with all labels and with few.

    linear probe   logistic regression on standardised embeddings: what a linear layer can read from them
    kNN            the class that weighs most among the k nearest training images by the cosine of their embeddings

Both take the embeddings as they are, so that they compare backbones and not trainings. The strength C of the probe's penalty and
k are the same for every backbone.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.classifier import ImageClassifier
from zoo.core.metric import entry
from zoo.core.precision import quick_autocast
from zoo.errors import InputError
from zoo.metrics.features import embed

C = 0.01  # inverse strength of the probe's L2 penalty
NEIGHBOURS, SHARPNESS = 20, 10.0  # k, and the weight exp(10 · cosine) of a neighbour
FEW, DRAWS = 0.01, 3  # share of the labels in the tables of few labels, and how often it is drawn


def linear_probe(z: Any, y: Any, test_z: Any, test_y: Any, *, c: float = C) -> float:
    """Accuracy on test embeddings of a logistic regression that was fitted on others.

    Args:
        z, test_z: embeddings [N, D] and [M, D]; y, test_y: their classes [N] and [M].
        c: inverse strength of the L2 penalty, as in scikit-learn.

    Raises:
        InputError: for shapes that don't fit, values that aren't finite, or labels of one class alone.
    """
    from sklearn.linear_model import LogisticRegression

    z, y, test_z, test_y = _checked(z, y, test_z, test_y)
    spread, mean = torch.std_mean(z, dim=0)
    z, test_z = (z - mean) / (spread + 1e-6), (test_z - mean) / (spread + 1e-6)
    regression = LogisticRegression(C=c, max_iter=200, tol=1e-3).fit(z.numpy(), y.numpy())
    return float(np.mean(regression.predict(test_z.numpy()) == test_y.numpy()))


def knn(z: Any, y: Any, test_z: Any, test_y: Any, *, k: int = NEIGHBOURS) -> float:
    """Accuracy of the classes that weigh most among the k nearest by cosine, each with the weight exp(10 · cosine).

    Raises:
        InputError: as `linear_probe`, or for a k that isn't in 1..N.
    """
    z, y, test_z, test_y = _checked(z, y, test_z, test_y)
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(z):
        raise InputError(f"k must be a whole number from 1 to the {len(z)} embeddings, not {k!r}")
    z, found = F.normalize(z, dim=1), []
    for queries in F.normalize(test_z, dim=1).split(500):
        cosine, index = (queries @ z.T).topk(k, dim=1)
        votes = torch.zeros(len(queries), int(y.max()) + 1).scatter_add_(1, y[index], (SHARPNESS * cosine).exp())
        found.append(votes.argmax(1))
    return (torch.cat(found) == test_y).float().mean().item()


def few_labels(y: Tensor, share: float = FEW, draw: int = 0) -> Tensor:
    """Indices of `share` of the labels y [N], the same number of each class; other draws give others.

    Raises:
        InputError: for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"the share of the labels must lie in (0, 1], not {share!r}")
    from datamodules.base import fixed_permutation, key

    drawn = []
    for label in y.unique():
        index = (y == label).nonzero()[:, 0]
        start = key(draw, int(label)) % len(index)
        drawn.append(index[fixed_permutation(len(index)).roll(-start)[: max(1, round(share * len(index)))]])
    return torch.cat(drawn).sort().values


def all_labels(data: Any) -> tuple[Tensor, Tensor]:
    """Images and labels of the training and the validation part together."""
    (x, y), (more_x, more_y) = data.tensors("train"), data.tensors("val")
    return torch.cat([x, more_x]), torch.cat([y, more_y])


def probe_entries(model: ImageClassifier, data: Any) -> list[dict[str, Any]]:
    """Metric entries of a frozen backbone on the test split of an image data module: linear probe with all labels and with
    1 % of them (mean of three draws), and nearest neighbours."""
    (x, y), (test_x, test_y) = all_labels(data), data.tensors("test")
    autocast, precision = quick_autocast(model.device.type)
    with autocast:
        z, test_z = embed(model, x), embed(model, test_x)
    few = [few_labels(y, draw=draw) for draw in range(DRAWS)]
    few_values = [linear_probe(z[i], y[i], test_z, test_y) for i in few]
    probe = f"logistic regression (scikit-learn, C = {C:g}) on standardised frozen embeddings in {precision}, whole test split"
    few_how = f"{probe}; {len(few[0])} labels, mean of {DRAWS} draws: " + ", ".join(f"{v:.4f}" for v in few_values)
    knn_how = (
        f"{NEIGHBOURS} nearest of {len(y)} by cosine, weights exp({SHARPNESS:g} cosine), {precision}, whole test split"
    )
    found = {
        "probe_accuracy": (linear_probe(z, y, test_z, test_y), f"{probe}; {len(y)} labels"),
        "probe_accuracy_1pct": (sum(few_values) / DRAWS, few_how),
        "knn_accuracy": (knn(z, y, test_z, test_y), knn_how),
    }
    return [entry(data, "test", name, value, how, better="higher") for name, (value, how) in found.items()]


def _checked(z: Any, y: Any, test_z: Any, test_y: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    z, test_z = (torch.as_tensor(np.asarray(v)).float() for v in (z, test_z))
    y, test_y = (torch.as_tensor(np.asarray(v)).long() for v in (y, test_y))
    if z.ndim != 2 or test_z.ndim != 2 or z.shape[1] != test_z.shape[1] or not len(z) or not len(test_z):
        raise InputError(f"embeddings are [N, D] and [M, D], not {list(z.shape)} and {list(test_z.shape)}")
    if y.shape != z.shape[:1] or test_y.shape != test_z.shape[:1]:
        raise InputError(f"{len(z)} and {len(test_z)} embeddings need as many classes, not {len(y)} and {len(test_y)}")
    if not torch.isfinite(z).all() or not torch.isfinite(test_z).all():
        raise InputError("the embeddings hold NaN or infinite values")
    if len(y.unique()) < 2:
        raise InputError("the labels are all of one class: it takes two to tell apart")
    return z, y, test_z, test_y
