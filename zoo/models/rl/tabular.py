"""Learning in tables from steps as they are played: TD(0), Q-learning, SARSA and expected SARSA.

Each moves an estimate a step α towards what the next state promises:

    TD(0):            v(s) ← v(s) + α [ r + γ v(s') − v(s) ]
    Q-learning:       q(s, a) ← q(s, a) + α [ r + γ max_a' q(s', a') − q(s, a) ]                    (B 18.6)
    SARSA:            … r + γ q(s', a'), with the action a' that will be taken there
    expected SARSA:   … r + γ E_π q(s', ·), over the actions that may be taken there

Q-learning values the best policy while it explores; SARSA values the one that it follows, random steps and all. On the edge of a
cliff that is the difference between the short path and the safe one. (Watkins, 1989; Rummery and Niranjan, 1994; Sutton and
Barto, 2018.)

Random actions are taken with a probability ε. The step α is fixed, or (1 + n)^−power after n visits, with which TD(0) converges.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.models.rl.planning import policy_values
from zoo.models.rl.table import TabularAgent


class QLearning(TabularAgent):
    """Q-learning: towards the best next action.

    Args:
        observations, actions, states: see `zoo.models.rl.base.Agent`.
        gamma: discount of a step.
        lr, decay: α, the size of a step, and whether it falls linearly to zero over the run.
        power: α = (1 + n)^−power after n visits, in place of `lr`.
        explore: ε at the run's start and at its end, in between linear.
        start: value of everything before it was tried; a high one draws the agent to what it doesn't know.
        choices: number of actions that each state allows, the first ones; None for all everywhere.
    """

    def __init__(
        self,
        observations: int | list[int] = 1,
        actions: int = 4,
        *,
        states: int | None = 16,
        gamma: float = 0.99,
        lr: float = 0.5,
        decay: bool = False,
        power: float | None = None,
        explore: tuple[float, float] = (0.1, 0.1),
        start: float = 0.0,
        choices: list[int] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.build()

    def promise(self, q: np.ndarray, after: np.ndarray, ended: np.ndarray) -> np.ndarray:
        return q[after].max(1)


class TD(QLearning):
    """TD(0): the values of states under chance or one fixed action; with several actions it values the random policy.

    Args:
        observations, actions, states, gamma, lr, decay, power, explore, start, choices: as for `QLearning`.
    """

    def __init__(
        self,
        observations: int | list[int] = 1,
        actions: int = 1,
        *,
        states: int | None = 6,
        gamma: float = 0.9,
        lr: float = 0.1,
        decay: bool = False,
        power: float | None = 0.75,
        explore: tuple[float, float] = (1.0, 1.0),
        start: float = 0.0,
        choices: list[int] | None = None,
    ) -> None:
        super().__init__(
            observations,
            actions,
            states=states,
            gamma=gamma,
            lr=lr,
            decay=decay,
            power=power,
            explore=explore,
            start=start,
            choices=choices,
        )

    def promise(self, q: np.ndarray, after: np.ndarray, ended: np.ndarray) -> np.ndarray:
        return _mean(q[after])

    def worth(self, obs: Tensor) -> Tensor:
        return self(obs).mean(1)  # of a state, not of an action

    def decide(self, obs: Tensor, greedy: bool, generator: torch.Generator) -> Tensor:
        return torch.from_numpy(self.draw(obs.cpu().numpy(), generator))  # it follows chance: nothing is chosen

    def exact_errors(
        self, probability: Any, reward: Any, final: Any, first: Tensor, states: Tensor, open_: Tensor, gamma: float
    ) -> tuple[float, float | None]:
        """Largest error of a value of the random policy; there is no other policy to compare."""
        chance = torch.full(probability.shape[:2], 1 / probability.shape[1])
        truth = policy_values(probability, reward, final, chance, gamma)
        return float((self.worth(states).double().cpu() - truth)[open_].abs().max()), None


class Sarsa(QLearning):
    """SARSA: towards the next action that will be taken.

    Args:
        observations, actions, states, gamma, lr, decay, power, explore, start, choices: as for `QLearning`.
    """

    def __init__(
        self,
        observations: int | list[int] = 1,
        actions: int = 4,
        *,
        states: int | None = 16,
        gamma: float = 0.99,
        lr: float = 0.5,
        decay: bool = False,
        power: float | None = None,
        explore: tuple[float, float] = (0.1, 0.1),
        start: float = 0.0,
        choices: list[int] | None = None,
    ) -> None:
        super().__init__(
            observations,
            actions,
            states=states,
            gamma=gamma,
            lr=lr,
            decay=decay,
            power=power,
            explore=explore,
            start=start,
            choices=choices,
        )

    def promise(self, q: np.ndarray, after: np.ndarray, ended: np.ndarray) -> np.ndarray:
        actions = self.draw(after, self.generator)
        self.planned, self.keeps = torch.from_numpy(actions), ~ended
        return q[after, actions]


class ExpectedSarsa(QLearning):
    """Expected SARSA: towards the mean over the actions that may be taken next.

    Args:
        observations, actions, states, gamma, lr, decay, power, explore, start, choices: as for `QLearning`.
    """

    def __init__(
        self,
        observations: int | list[int] = 1,
        actions: int = 4,
        *,
        states: int | None = 16,
        gamma: float = 0.99,
        lr: float = 0.5,
        decay: bool = False,
        power: float | None = None,
        explore: tuple[float, float] = (0.1, 0.1),
        start: float = 0.0,
        choices: list[int] | None = None,
    ) -> None:
        super().__init__(
            observations,
            actions,
            states=states,
            gamma=gamma,
            lr=lr,
            decay=decay,
            power=power,
            explore=explore,
            start=start,
            choices=choices,
        )

    def promise(self, q: np.ndarray, after: np.ndarray, ended: np.ndarray) -> np.ndarray:
        return (1 - self.epsilon) * q[after].max(1) + self.epsilon * _mean(q[after])


def _mean(q: np.ndarray) -> np.ndarray:
    """Mean [n] over the actions that are allowed (the others hold −∞)."""
    allowed = np.isfinite(q)
    return np.where(allowed, q, 0.0).sum(1) / allowed.sum(1)
