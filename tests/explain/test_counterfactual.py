"""Counterfactuals of linear models: the nearest point of a plane."""

import pytest
import torch
from torch import nn

import zoo
from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.explain.counterfactual import counterfactual, diverse, median_absolute_deviation, recourse

W = torch.tensor([1.0, -3.0, 0.5])


def f(x):
    return x @ W + 0.2


X = torch.tensor([[1.0, 2.0, 3.0]])  # f = −3.3


def test_distance_to_a_plane():
    """In weighted absolute distance the nearest point changes the number with the largest |w| · MAD alone."""
    found = counterfactual(f, X, 0.0, tolerance=1e-3)
    assert found.reached and found.changed == [1]
    assert found.distance == pytest.approx(3.3 / 3, abs=1e-3)
    mad = torch.tensor([10.0, 1.0, 1.0])
    weighted = counterfactual(f, X, 0.0, mad, tolerance=1e-3)
    assert weighted.changed == [0] and weighted.distance == pytest.approx(3.3 / 10, abs=1e-3)


def test_recourse_leaves_what_can_not_change():
    found = recourse(f, X, 0.0, [0, 2])
    assert found.reached and found.changed == [0] and found.x[0, 1] == 2
    limited = recourse(f, X, 0.0, [0, 2], upper=torch.tensor([2.0, 9.0, 99.0]))
    assert limited.reached and float(limited.x[0, 0]) <= 2.0 + 1e-6 and 2 in limited.changed
    blocked = recourse(f, X, 0.0, [0], upper=torch.tensor([2.0, 9.0, 99.0]))
    assert not blocked.reached
    with pytest.raises(InputError, match=r"numbers in 0\.\.2"):
        recourse(f, X, 0.0, [3])
    with pytest.raises(InputError, match="every number is fixed"):
        counterfactual(f, X, 0.0, fixed=torch.ones(3, dtype=torch.bool))


def test_several_answers_of_a_network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    data = torch.randn(60, 3)
    found = diverse(network, data[:1], float(network(data).max()) * 0.6, data[1:], 3)
    assert found and all(one.reached for one in found)
    assert [one.distance for one in found] == sorted(one.distance for one in found)


def test_median_absolute_deviation():
    assert median_absolute_deviation(torch.tensor([[1.0, 5], [2, 5], [4, 5], [9, 5], [3, 5]])).tolist() == [1, 1]


def test_of_an_image_and_of_a_flower():
    model, image = zoo.load("lenet5-mnist"), sample_split("mnist")[0][0]
    found = zoo.explain(model, image, "counterfactual")
    answer, second = (name for name, _ in model.predict(image, top=2))
    assert found.label == second and model.predict(found.other, top=1)[0][0] == second != answer
    assert found.details["changed"] < 784 / 2
    flower = zoo.explain(zoo.load("adaline-iris"), [5.1, 1.4], "counterfactual")
    model = zoo.load("adaline-iris")
    assert model.predict([5.1, 1.4]) != model.predict(flower.other.tolist()) and flower.details["changed"] == 1
    with pytest.raises(InputError, match="say which one to reach"):
        zoo.explain(zoo.load("mlp-regression-concrete"), [540, 0, 0, 162, 2.5, 1040, 676, 28], "counterfactual")
