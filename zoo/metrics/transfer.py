"""What a backbone is worth: a linear probe and nearest neighbours on its frozen embeddings, with all labels and with few.

    linear probe   logistic regression on standardised embeddings: what a linear layer can read from them
    kNN            the class that weighs most among the k nearest training images by the cosine of their embeddings
    few shots      the class whose mean of one or five embeddings is nearest (Snell et al., 2017, arXiv:1703.05175)

All take the embeddings as they are, so that they compare backbones and not trainings. The strength C of the probe's penalty and
k are the same for every backbone.
"""

import contextlib
import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.checks import is_whole
from zoo.core.classifier import ImageClassifier
from zoo.core.data import ImageData
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
    if not is_whole(k) or not 1 <= k <= len(z):
        raise InputError(f"k must be a whole number from 1 to the {len(z)} embeddings, not {k!r}")
    z, found = F.normalize(z, dim=1), []
    for queries in F.normalize(test_z, dim=1).split(500):
        cosine, index = (queries @ z.T).topk(k, dim=1)
        votes = torch.zeros(len(queries), int(y.max()) + 1).scatter_add_(1, y[index], (SHARPNESS * cosine).exp())
        found.append(votes.argmax(1))
    return (torch.cat(found) == test_y).float().mean().item()


def few_shot(z: Any, y: Any, test_z: Any, test_y: Any, shots: int, *, draws: int = 200, seed: int = 0) -> float:
    """Accuracy, mean over draws, where a test embedding is of the class whose mean of `shots` embeddings is nearest by cosine.

    Args:
        z, y: embeddings [N, D] and classes [N] that each draw takes `shots` a class from.
        test_z, test_y: embeddings [M, D] and classes [M] that are told apart.

    Raises:
        InputError: as `linear_probe`, or where a class has fewer than `shots` embeddings.
    """
    z, y, test_z, test_y = _checked(z, y, test_z, test_y)
    labels, counts = y.unique(return_counts=True)
    if not is_whole(shots) or not 1 <= shots <= int(counts.min()):
        raise InputError(
            f"shots must be a whole number from 1 to the smallest class's {int(counts.min())}, not {shots!r}"
        )
    z, test_z = F.normalize(z, dim=1), F.normalize(test_z, dim=1)
    generator, right = torch.Generator().manual_seed(seed), []
    rows = [(y == label).nonzero()[:, 0] for label in labels]
    for _ in range(draws):
        means = [z[index[torch.randperm(len(index), generator=generator)[:shots]]].mean(0) for index in rows]
        nearest = (test_z @ F.normalize(torch.stack(means), dim=1).T).argmax(1)
        right.append((labels[nearest] == test_y).float().mean())
    return torch.stack(right).mean().item()


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


def all_labels(data: ImageData) -> tuple[Tensor, Tensor]:
    """Images and labels of the training and the validation part together."""
    (x, y), (more_x, more_y) = data.tensors("train"), data.tensors("val")
    return torch.cat([x, more_x]), torch.cat([y, more_y])


def probe_entries(model: ImageClassifier, data: ImageData) -> list[dict[str, Any]]:
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


def fine_tuned(
    model: ImageClassifier,
    x: Tensor,
    y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    steps: int = 400,
    batch_size: int = 64,
    lr: float = 1e-3,
    head_first: int = 100,
    seed: int = 0,
) -> float:
    """Test accuracy of a copy of a classifier with a fresh head that learnt from few labelled images.

    AdamW with a cosine, images mirrored and moved by up to four pixels. The fresh head learns alone in the first steps, on a
    frozen backbone, so that its random start doesn't spoil the backbone; with head_first=0 everything learns throughout.

    Args:
        x, test_x: images uint8 [N, C, H, W] and [M, C, H, W]; y, test_y: their classes.
        steps: of batches of `batch_size`.
        lr: highest learning rate of the backbone; the head's is the same.
        head_first: steps of the head alone.
        seed: of the head, the batches and the augmentation.

    Raises:
        InputError: for images and labels that don't fit.
    """
    if len(x) != len(y) or len(test_x) != len(test_y) or not len(x) or not len(test_x):
        raise InputError(f"{len(x)} and {len(test_x)} images need as many labels, not {len(y)} and {len(test_y)}")
    from datamodules.augment import flip, translate

    transform = model._ready_transform()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        learner: Any = copy.deepcopy(model).train()
        with contextlib.redirect_stdout(None):
            learner.reset_head(int(max(y.max(), test_y.max())) + 1)
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(learner.parameters(), lr=lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        if head_first:
            learner.freeze("backbone").train()
        for step in range(steps):
            if step == head_first and head_first:
                learner.unfreeze("backbone").train()
            index = torch.randint(len(x), (min(batch_size, len(x)),), generator=generator)
            images = translate(flip(x[index], generator=generator), 4, generator=generator)
            with quick_autocast(learner.device.type)[0]:
                logits = learner(transform(images).to(learner.device))
            loss = F.cross_entropy(logits.float(), y[index].to(learner.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad(), quick_autocast(learner.device.type)[0]:
            right = [
                (learner.eval()(transform(images).to(learner.device)).argmax(1).cpu() == labels)
                for images, labels in zip(test_x.split(500), test_y.split(500), strict=True)
            ]
    return torch.cat(right).float().mean().item()
