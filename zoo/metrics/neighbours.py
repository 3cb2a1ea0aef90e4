"""Measures that count neighbours in feature space: precision and recall, density and coverage, and a check for copies.

Draw a ball around each sample of a set that just holds its k nearest neighbours in that set; the union of balls stands for the
region the set lies in. With real samples x_i of radius r_i and generated samples y_j of radius s_j,

    precision = share of y inside some ball of x            recall   = share of x inside some ball of y
    density   = 1/(kM) Σ_j Σ_i [‖y_j − x_i‖ <= r_i]         coverage = share of balls of x that hold some y

(Kynkäänniemi et al., 2019, arXiv:1904.06991; Naeem et al., 2020, arXiv:2002.09797). Precision asks whether samples look real,
recall and coverage whether all kinds occur. One outlier of the real set has a huge ball that flatters precision; density and
coverage suffer less from it. Density can exceed 1.

Departures from the papers: k = 5 for all four (the first paper takes 3). A sample on a ball's surface counts as inside for all
four (the second paper's code leaves it out), so that a set compared with itself has coverage 1 even where samples coincide.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.metrics.features import check_features


class NeighbourScores(NamedTuple):
    """Precision and recall (fidelity and diversity of samples), density and coverage (the same, against outliers)."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbour_scores(real: Tensor, generated: Tensor, *, k: int = 5) -> NeighbourScores:
    """All four measures for real features [N, D] and generated features [M, D].

    Raises:
        InputError: if a set has k samples or fewer, or the dimensions differ.
    """
    real, generated = _check_pair(real, generated, least=k + 1)
    # the nearest is the sample itself; rounding mustn't decide about points on a surface
    real_radius, generated_radius = (_nearest(x, x, k + 1)[:, -1] * (1 + 1e-9) for x in (real, generated))
    covered = torch.zeros(len(real), dtype=torch.bool)  # balls of x that hold some y
    recalled = torch.zeros(len(real), dtype=torch.bool)  # x inside some ball of y
    precise = inside_total = start = 0
    for distance in _squared_distances(generated, real):  # [chunk, N]
        inside = distance <= real_radius
        precise += int(inside.any(1).sum())
        inside_total += int(inside.sum())
        covered |= inside.any(0)
        recalled |= (distance <= generated_radius[start : start + len(distance), None]).any(0)
        start += len(distance)
    return NeighbourScores(
        precision=precise / len(generated),
        recall=recalled.double().mean().item(),
        density=inside_total / (k * len(generated)),
        coverage=covered.double().mean().item(),
    )


def train_distance(features: Tensor, train: Tensor) -> float:
    """Median distance of features [M, D] to their nearest training features [N, D]."""
    features, train = _check_pair(features, train, least=1)
    return _nearest(features, train, 1).sqrt().median().item()


def memorisation_ratio(generated: Tensor, test: Tensor, train: Tensor) -> float:
    """How near generated images lie to training images, as a share of how near unseen real images do.

    Near 1, samples keep the distance of new real images; towards 0 they are copies; well above 1 they are unlike all data.
    The medians of both distances are compared, which a few failed samples can't move.

    Shapes:
        generated: [M, D]; test: [N, D]; train: [T, D].

    Raises:
        InputError: if the test images have distance 0 to the training images, so that there is nothing to compare with.
    """
    usual = train_distance(test, train)
    if usual == 0:
        raise InputError("most test features coincide with training features: there is no distance to compare with")
    return train_distance(generated, train) / usual


def _check_pair(a: Tensor, b: Tensor, *, least: int) -> tuple[Tensor, Tensor]:
    a, b = check_features(a, least=least), check_features(b, least=least)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"the features have {a.shape[1]} and {b.shape[1]} dimensions: use one extractor for both")
    return a, b


def _nearest(a: Tensor, b: Tensor, k: int) -> Tensor:
    """The k smallest squared distances from each row of a to the rows of b, ascending: [len(a), k]."""
    if k == 1:  # a quarter of topk's time
        return torch.cat([d.amin(1, keepdim=True) for d in _squared_distances(a, b)])
    return torch.cat([d.topk(k, largest=False).values for d in _squared_distances(a, b)])


def _squared_distances(a: Tensor, b: Tensor, values: int = 1 << 23) -> Iterator[Tensor]:
    """Squared distances of rows of a to all rows of b [chunk, len(b)], in order, about `values` of them at a time.

    In float64, so that ‖a‖² + ‖b‖² − 2 a·b, the fast way, keeps enough digits for neighbours that nearly coincide.
    """
    norm = b.square().sum(1)
    for rows in a.split(max(1, values // len(b))):
        yield torch.addmm(norm, rows, b.T, alpha=-2).add_(rows.square().sum(1, keepdim=True)).clamp_(min=0)
