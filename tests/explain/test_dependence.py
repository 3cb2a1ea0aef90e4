"""PDP, ICE and ALE on functions that add up and on one that interacts; permutation importance; trees."""

import numpy as np
import pytest
import torch

import zoo
from zoo.errors import InputError
from zoo.explain import dependence


@pytest.fixture
def rows():
    return np.random.default_rng(0).uniform(-1, 1, (200, 3))


def additive(x):
    return np.sin(3 * x[:, 0]) + x[:, 1] ** 2 - 2 * x[:, 2]


def test_pdp_of_an_additive_model_is_its_term(rows):
    grid, values = dependence.pdp(additive, rows, 0, np.linspace(-1, 1, 21))
    term = np.sin(3 * grid)
    assert values - values.mean() == pytest.approx(term - term.mean())
    assert len(dependence.pdp(additive, rows, 1)[0]) == 50  # quantiles where there are more values


def test_interaction_has_a_flat_pdp_and_sloped_curves(rows):
    sign = np.where(np.arange(200) % 2, 1.0, -1.0)
    rows[:, 1] = sign  # f = x₀ x₁: half of the rows rise, half fall
    _, curves = dependence.ice(lambda x: x[:, 0] * x[:, 1], rows, 0, [-1, 0, 1])
    assert curves.mean(0) == pytest.approx([0, 0, 0])
    assert curves[:, 2] - curves[:, 0] == pytest.approx(2 * sign)


def test_scikit_learn_draws_the_same_pdp(rows):
    inspection, ensemble = (pytest.importorskip(f"sklearn.{name}") for name in ("inspection", "ensemble"))
    model = ensemble.RandomForestRegressor(10, random_state=0).fit(rows, additive(rows))
    grid = np.linspace(-0.9, 0.9, 9)
    theirs = inspection.partial_dependence(model, rows, [2], custom_values={2: grid}, method="brute")["average"][0]
    assert dependence.pdp(model, rows, 2, grid)[1] == pytest.approx(theirs)


def test_ale_follows_the_term_where_features_go_together(rows):
    rows[:, 1] = rows[:, 0] + 0.01 * rows[:, 1]
    edges, effect = dependence.ale(lambda x: x[:, 0] ** 2 + 3 * x[:, 1], rows, 0, bins=20)
    term = edges**2
    assert effect - effect.mean() == pytest.approx(term - term.mean(), abs=0.02)
    with pytest.raises(InputError, match="in every row"):
        dependence.ale(additive, np.ones((5, 3)), 0)


def test_permutation_importance_of_an_unused_feature_is_0(rows):
    found = dependence.permutation_importance(lambda x: x[:, 0] + 0.1 * x[:, 1], rows, rows[:, 0] + 0.1 * rows[:, 1])
    assert found[2] == 0 and found[0] > 50 * found[1] > 0
    with pytest.raises(InputError, match="200 rows but 3 targets"):
        dependence.permutation_importance(additive, rows, [1, 2, 3])


def test_entropy_in_bits():
    assert dependence.entropy([0, 1] * 5) == 1
    assert dependence.entropy(["a"] * 4) == 0
    assert dependence.entropy([0, 1, 2, 3]) == 2
    labels, side = [0, 0, 1, 1], [False, False, True, True]
    assert dependence.information_gain(labels, side) == 1
    assert dependence.information_gain(labels, [True, False, True, False]) == 0


def test_tree_and_surrogate(rows):
    tree = dependence.tree(rows, rows[:, 1] > 0.25, depth=1)
    assert tree.tree_.feature[0] == 1 and tree.tree_.threshold[0] == pytest.approx(0.25, abs=0.05)
    assert tree.tree_.impurity[0] == pytest.approx(dependence.entropy(rows[:, 1] > 0.25))
    _, fidelity, rules = dependence.surrogate(lambda x: (x[:, 2] > 0) * 2.0, rows, depth=1, names=["a", "b", "c"])
    assert fidelity == pytest.approx(1) and "c <=" in rules


def test_a_model_of_the_zoo_and_bad_rows(rows):
    model = zoo.load("linear-regression-concrete")
    data = torch.rand(20, 8) * 100 + 100
    grid, values = dependence.pdp(model, data, 0, [0.0, 100.0, 200.0])
    assert values[1] - values[0] == pytest.approx(values[2] - values[1], abs=1e-3) and len(grid) == 3
    for wrong, said in (([[1.0, float("nan")]], "NaN"), ([1.0, 2.0], r"rows of numbers"), ("abc", "rows of numbers")):
        with pytest.raises(InputError, match=said):
            dependence.pdp(additive, wrong, 0)
    with pytest.raises(InputError, match=r"feature must be a whole number in 0\.\.2, not 3"):
        dependence.pdp(additive, rows, 3)
