"""Bandits with known means."""

import numpy as np
import pytest

from zoo.errors import InputError
from zoo.models.rl.bandits import bandit

MEANS = [0.1, 0.5, 0.9]


def test_both_rules_find_the_best_arm_and_pull_as_often_as_they_should():
    greedy, ucb = (bandit(MEANS, rule, steps=600, runs=50, noise=0.3) for rule in ("epsilon-greedy", "ucb"))
    for pulls in (greedy, ucb):
        assert (pulls.counts.sum(1) == 600).all() and (pulls.counts[:, 2] > 300).mean() > 0.9
    assert greedy.best[-200:].mean() == pytest.approx(
        1 - 0.1 * 2 / 3, abs=0.03
    )  # two thirds of the random pulls go elsewhere
    assert ucb.best[-200:].mean() > 0.95


def test_regret_is_what_the_best_arm_would_have_brought_more():
    pulls = bandit(MEANS, "epsilon-greedy", steps=50, runs=20, noise=0.0)
    expected = 0.9 * 50 - (pulls.counts @ np.array(MEANS)).mean()
    assert pulls.regret[-1] == pytest.approx(expected) and (np.diff(pulls.regret) >= -1e-12).all()


def test_without_chance_every_arm_is_tried_once_before_the_best_is_kept():
    pulls = bandit(MEANS, "epsilon-greedy", steps=30, runs=5, epsilon=0.0, noise=0.0)
    assert (pulls.counts == [1, 1, 28]).all()


@pytest.mark.parametrize(
    "wrong", [{"rule": "thompson"}, {"epsilon": 1.5}, {"means": []}, {"steps": 0}, {"means": [np.nan]}]
)
def test_what_makes_no_sense_is_said(wrong):
    with pytest.raises(InputError):
        bandit(**({"means": MEANS} | wrong))
