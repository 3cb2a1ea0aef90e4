"""Bandits: one state, several arms, and the question of how often to try what looks worse.

ε-greedy pulls the best arm so far, and any arm with a probability ε. UCB (Auer, Cesa-Bianchi and Fischer, 2002) adds to each mean
what it may still be off by,

    a_t = argmax_a  Q_t(a) + c √( ln t / N_t(a) )

so that an arm is tried again when it is good or little known. ε-greedy goes on losing a share ε for ever; UCB's loss grows with
the logarithm of the steps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.core.checks import check_count
from zoo.errors import InputError

Floats = NDArray[np.float64]
RULES = ("epsilon-greedy", "ucb")


class Pulls(NamedTuple):
    """What happened in all runs: the mean reward and the share of best pulls of each step [steps], the regret so far [steps],
    and how often each arm was pulled [runs, arms].
    """

    reward: Floats
    best: Floats
    regret: Floats
    counts: NDArray[np.int64]


def bandit(
    means: Sequence[float],
    rule: str = "ucb",
    *,
    steps: int = 1000,
    runs: int = 200,
    epsilon: float = 0.1,
    c: float = 1.0,
    noise: float = 1.0,
    seed: int = 0,
) -> Pulls:
    """Pull arms of given mean rewards, `runs` times side by side.

    Args:
        means: mean reward of each arm; rewards are normal around it.
        rule: "epsilon-greedy" or "ucb".
        epsilon: share of pulls at random.
        c: weight of what is not known.
        noise: standard deviation of a reward.

    Raises:
        InputError: for an unknown rule, no arms, or ε beyond 0 … 1.
    """
    check_count(steps, "steps")
    check_count(runs, "runs")
    truth = np.asarray(means, dtype=float)
    if rule not in RULES:
        raise InputError(f"rule is {rule!r}; it can be {' or '.join(RULES)}")
    if truth.ndim != 1 or not len(truth) or not np.isfinite(truth).all():
        raise InputError("means holds the mean reward of each arm: at least one finite number")
    if not 0 <= epsilon <= 1 or c < 0 or noise < 0:
        raise InputError(f"epsilon must be in 0 … 1, c and noise at least 0; they are {epsilon}, {c} and {noise}")
    rng, rows, arms = np.random.default_rng(seed), np.arange(runs), len(truth)
    total, counts = np.zeros((runs, arms)), np.zeros((runs, arms), dtype=np.int64)
    reward, best, lost = np.zeros((3, steps))
    for t in range(steps):
        mean = np.where(counts > 0, total / np.maximum(counts, 1), np.inf)  # an arm that was never tried comes first
        if rule == "ucb":
            mean = mean + c * np.sqrt(np.log(t + 1) / np.maximum(counts, 1))
        arm = (mean + 1e-9 * rng.random((runs, arms))).argmax(1)
        if rule == "epsilon-greedy":
            arm = np.where(rng.random(runs) < epsilon, rng.integers(arms, size=runs), arm)
        pay = truth[arm] + noise * rng.normal(size=runs)
        total[rows, arm] += pay
        counts[rows, arm] += 1
        reward[t], best[t] = pay.mean(), (truth[arm] == truth.max()).mean()
        lost[t] = truth.max() - truth[arm].mean()
    return Pulls(reward, best, lost.cumsum(), counts)
