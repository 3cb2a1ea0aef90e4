"""Neighbour counts against naive loops, torch-fidelity, and cases whose answer is known."""

import pytest
import torch
from torch import Tensor

from zoo.metrics import neighbours
from zoo.metrics.neighbours import memorisation_ratio, neighbour_scores, train_distance


def points(n: int, seed: int, dimensions: int = 6, shift: float = 0.0) -> Tensor:
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed)) + shift


def naive(real: Tensor, fake: Tensor, k: int) -> tuple[float, float, float, float]:
    """The four measures from their definitions, one pair at a time."""

    def distance(a: Tensor, b: Tensor) -> float:
        return (a.double() - b.double()).norm().item()

    def radii(x: Tensor) -> list[float]:
        return [sorted(distance(a, b) for j, b in enumerate(x) if j != i)[k - 1] for i, a in enumerate(x)]

    r, s = radii(real), radii(fake)
    in_real = [[distance(y, x) <= r[i] for i, x in enumerate(real)] for y in fake]
    in_fake = [[distance(x, y) <= s[j] for j, y in enumerate(fake)] for x in real]
    precision = sum(any(row) for row in in_real) / len(fake)
    recall = sum(any(row) for row in in_fake) / len(real)
    density = sum(map(sum, in_real)) / (k * len(fake))
    coverage = sum(any(row[i] for row in in_real) for i in range(len(real))) / len(real)
    return precision, recall, density, coverage


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_equals_the_naive_loops(k, shift):
    real, fake = points(40, 0), points(30, 1, shift=shift)
    assert neighbour_scores(real, fake, k=k) == pytest.approx(naive(real, fake, k))


def test_chunks_change_nothing(monkeypatch):
    real, fake = points(90, 0), points(70, 1, shift=0.5)
    whole = *neighbour_scores(real, fake), train_distance(fake, real)
    original = neighbours._squared_distances
    monkeypatch.setattr(neighbours, "_squared_distances", lambda a, b: original(a, b, values=1000))
    assert (*neighbour_scores(real, fake), train_distance(fake, real)) == pytest.approx(whole)


def test_precision_and_recall_equal_torch_fidelity():
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, fake = points(300, 0, 16), 0.8 * points(250, 1, 16)
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=5, prc_batch_size=100, verbose=False)
    ours = neighbour_scores(real, fake, k=5)
    assert (ours.precision, ours.recall) == pytest.approx((float(theirs["precision"]), float(theirs["recall"])))
    assert ours.precision > ours.recall  # shrunk samples: all plausible, not all kinds


def test_a_set_against_itself():
    x = points(200, 0)
    scores = neighbour_scores(x, x, k=5)
    assert scores[:2] == (1, 1) and scores.coverage == 1
    assert scores.density == pytest.approx(6 / 5)  # each ball holds its centre and k neighbours


def test_coinciding_samples():
    x = points(50, 0).repeat(8, 1)  # every ball has radius 0
    assert neighbour_scores(x, x, k=5)[:2] == (1, 1)
    assert neighbour_scores(x, x, k=5).coverage == 1


def test_disjoint_sets_score_nothing():
    assert neighbour_scores(points(60, 0), points(60, 1, shift=100.0)) == (0, 0, 0, 0)


def test_two_draws_of_one_distribution_have_density_near_one():
    scores = neighbour_scores(points(3000, 0), points(3000, 1))
    assert scores.density == pytest.approx(1, abs=0.05)
    assert scores.coverage == pytest.approx(1 - 0.5**5, abs=0.02)  # Naeem et al., equation 9, for equal sizes


def test_a_dropped_mode_costs_recall_not_precision():
    modes = torch.cat([points(200, 0), points(200, 1, shift=30.0)])
    scores = neighbour_scores(modes, points(400, 2))
    assert scores.precision > 0.9 and scores.recall < 0.55 and scores.coverage < 0.55


def test_one_real_outlier_flatters_precision_more_than_density():
    outlier = torch.full((1, 6), 20.0)
    scores = neighbour_scores(torch.cat([points(200, 0), outlier]), points(200, 1, shift=10.0))
    assert scores.precision > 0.9 and scores.density < 0.3 and scores.coverage < 0.1


def test_memorisation_ratio():
    train, test = points(2000, 0), points(300, 1)
    assert memorisation_ratio(points(300, 2), test, train) == pytest.approx(1, abs=0.06)
    assert memorisation_ratio(train[:300], test, train) == pytest.approx(0, abs=1e-6)
    assert memorisation_ratio(train[:300] + 1e-3, test, train) < 0.02
    assert memorisation_ratio(3 * points(300, 2), test, train) > 2


def test_memorisation_ratio_is_the_ratio_of_median_distances():
    train, test, fake = points(50, 0), points(9, 1), points(11, 2)
    expected = torch.cdist(fake, train).min(1).values.median() / torch.cdist(test, train).min(1).values.median()
    assert memorisation_ratio(fake, test, train) == pytest.approx(expected.item(), rel=1e-5)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 6 samples are needed, not 5"):
        neighbour_scores(points(5, 0), points(50, 0))
    with pytest.raises(ValueError, match="6 and 3 dimensions"):
        neighbour_scores(points(50, 0), points(50, 0, 3))
    with pytest.raises(ValueError, match="NaN"):
        train_distance(points(5, 0) * torch.nan, points(5, 0))
    with pytest.raises(ValueError, match="coincide"):
        memorisation_ratio(points(9, 0), points(9, 1), points(9, 1))
