"""Planning in a known Markov decision process: value iteration and policy iteration (Bellman, 1957; Howard, 1960).

The best values solve Bellman's equation

    v(s) = max_a Σ_s' p(s' | s, a) [ r(s, a, s') + γ v(s') ]

Value iteration applies its right side until nothing changes. Policy iteration solves a linear system for the value of a policy,
then takes the best action by that value, until no action changes. Both end at the same values. No episode is played: these agents
read the environment's tables, and are what agents that learn from episodes are measured by.
"""

from typing import Any

import torch
from torch import Tensor, nn

from zoo.core.data import EnvironmentData
from zoo.errors import InputError
from zoo.models.rl.base import Agent


def action_values(probability: Tensor, reward: Tensor, values: Tensor, final: Tensor, gamma: float) -> Tensor:
    """q(s, a) [S, A] by one step ahead of `values` [S]; a final state is worth 0, and nothing happens in it.

    Shapes:
        probability, reward: [S, A, S]; final: bool [S].
    """
    ahead = reward + gamma * (values * ~final)  # [S, A, S]
    return (probability * ahead).sum(2) * ~final[:, None]


def value_iteration(
    probability: Any, reward: Any, final: Any, gamma: float, *, tolerance: float = 1e-12, most: int = 100_000
) -> Tensor:
    """The best values v [S], float64, to within `tolerance` of Bellman's equation.

    Raises:
        InputError: if they don't settle, as with γ = 1 where an episode may go on for ever.
    """
    p, r, end = _tables(probability, reward, final)
    values = torch.zeros(len(p), dtype=torch.float64)
    for _ in range(most):
        better = action_values(p, r, values, end, gamma).max(1).values
        change, values = (better - values).abs().max(), better
        if change <= tolerance:
            return values
    raise InputError(
        f"the values don't settle in {most:,} sweeps: with gamma {gamma} an episode may never end; take it below 1"
    )


def policy_values(probability: Any, reward: Any, final: Any, policy: Any, gamma: float) -> Tensor:
    """The values [S], float64, of a policy: the solution of (I − γ P) v = r.

    Args:
        policy: an action for each state, int [S], or probabilities [S, A].
    """
    p, r, end = _tables(probability, reward, final)
    chance = torch.as_tensor(policy)
    weights = nn.functional.one_hot(chance.long(), p.shape[1]).double() if chance.ndim == 1 else chance.double()
    step = (weights[:, :, None] * p).sum(1)  # [S, S]
    pay = (weights * (p * r).sum(2)).sum(1) * ~end
    onward = gamma * step * ~end[None] * ~end[:, None]
    return torch.linalg.solve(torch.eye(len(p), dtype=torch.float64) - onward, pay)


def policy_iteration(
    probability: Any, reward: Any, final: Any, gamma: float, *, most: int = 1000
) -> tuple[Tensor, Tensor]:
    """The best values [S], float64, and a best action for each state, int64 [S].

    Raises:
        InputError: if the policy doesn't settle.
    """
    p, r, end = _tables(probability, reward, final)
    policy = torch.zeros(len(p), dtype=torch.long)
    for _ in range(most):
        values = policy_values(p, r, end, policy, gamma)
        q = action_values(p, r, values, end, gamma)
        better = torch.where(q.max(1).values > q.gather(1, policy[:, None])[:, 0] + 1e-10, q.argmax(1), policy)
        if torch.equal(better, policy):
            return values, policy
        policy = better
    raise InputError(f"the policy doesn't settle in {most} improvements")


def _tables(probability: Any, reward: Any, final: Any) -> tuple[Tensor, Tensor, Tensor]:
    p, r = torch.as_tensor(probability, dtype=torch.float64), torch.as_tensor(reward, dtype=torch.float64)
    end = torch.as_tensor(final, dtype=torch.bool)
    if p.ndim != 3 or p.shape[0] != p.shape[2] or end.shape != p.shape[:1]:
        raise InputError(f"probability is [S, A, S] and final [S], not {list(p.shape)} and {list(end.shape)}")
    if not torch.allclose(p.sum(2), torch.ones((), dtype=torch.float64), atol=1e-6):
        raise InputError("the probabilities of a state and action must sum to 1")
    return p, r.expand_as(p), end


class ValueIteration(Agent):
    """Plans by sweeps of Bellman's equation over all states; a batch of its data module is one sweep.

    Args:
        observations, actions, states: see `zoo.models.rl.base.Agent`; only environments with numbered states have tables.
        gamma: discount of a step.

    Shapes:
        forward: states int [N] to q [N, actions].
    """

    def __init__(
        self, observations: int | list[int] = 1, actions: int = 4, *, states: int | None = 16, gamma: float = 0.99
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False  # nothing is differentiated
        self.build()

    def build(self) -> None:
        if self.hparams["states"] is None:
            raise InputError("planning needs an environment with numbered states, such as FrozenLake-v1")
        self.table = nn.Embedding(self.hparams["states"], self.hparams["actions"])
        self.table.weight.requires_grad_(False).zero_()

    def forward(self, obs: Tensor) -> Tensor:
        return self.table(obs.long())

    def decide(self, obs: Tensor, greedy: bool, generator: torch.Generator) -> Tensor:
        return self(obs).argmax(1)

    def worth(self, obs: Tensor) -> Tensor:
        return self(obs)

    def on_fit_start(self) -> None:
        data: EnvironmentData | None = getattr(self.trainer, "datamodule", None)
        if data is None or not hasattr(data, "tables"):
            raise InputError("planning needs the environment's tables: give trainer.fit the data module (datamodule=…)")
        self.tables = data.tables()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        before = self.table.weight.clone()
        self.sweep()
        self.log_play({}, change=(self.table.weight - before).abs().max())

    def sweep(self) -> None:
        """One application of Bellman's equation to all states."""
        p, r, final = _tables(*self.tables[:3])
        values = self.table.weight.double().max(1).values
        self.table.weight.copy_(action_values(p, r, values, final, self.hparams["gamma"]))

    def configure_optimizers(self) -> None:
        return None


class PolicyIteration(ValueIteration):
    """Plans by solving for the value of its policy and improving the policy; a batch of its data module is one of both.

    Args:
        observations, actions, states, gamma: as for `ValueIteration`.
    """

    def __init__(
        self, observations: int | list[int] = 1, actions: int = 4, *, states: int | None = 16, gamma: float = 0.99
    ) -> None:
        super().__init__(observations, actions, states=states, gamma=gamma)

    def sweep(self) -> None:
        """Values of the present policy, then the best actions by them."""
        p, r, final = _tables(*self.tables[:3])
        values = policy_values(p, r, final, self.table.weight.argmax(1), self.hparams["gamma"])
        self.table.weight.copy_(action_values(p, r, values, final, self.hparams["gamma"]))
