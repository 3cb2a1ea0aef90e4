"""What the agents with a table of values share: the table, its verbs, and how a rollout updates it.

The table Q [states, actions] is a buffer; each class of tabular.py defines its target.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.core.data import EnvironmentData
from zoo.core.metric import entry
from zoo.errors import InputError
from zoo.models.rl.base import Agent
from zoo.models.rl.planning import policy_values, value_iteration


class TabularAgent(Agent):
    """Base of the learners; a subclass gives `promise`, the worth of the next state.

    Shapes:
        forward: states int [N] to q [N, actions].
    """

    visits: Tensor
    keeps: np.ndarray  # bool [n], copies that take the action that was planned for them

    def build(self) -> None:
        states, actions = self.hparams["states"], self.hparams["actions"]
        if states is None:
            raise InputError(
                "a table needs an environment with numbered states, such as FrozenLake-v1 or CliffWalking-v1"
            )
        self.automatic_optimization = False  # the updates are its own
        self.table = nn.Embedding(states, actions)
        self.table.weight.requires_grad_(False).fill_(float(self.hparams["start"]))
        self.register_buffer("visits", torch.zeros(states, actions, dtype=torch.long))
        choices = torch.tensor(self.hparams["choices"] or [actions] * states)
        if len(choices) != states or choices.min() < 1 or choices.max() > actions:
            raise InputError(
                f"choices holds a number of 1 … {actions} for each of {states} states, not {choices.tolist()[:9]}"
            )
        self.barred = torch.arange(actions) >= choices[:, None]  # [S, A]
        self.epsilon, self.rate = float(self.hparams["explore"][1]), self.hparams["lr"]
        self.planned: Tensor | None = None  # actions that were already chosen for the states that come now

    def forward(self, obs: Tensor) -> Tensor:
        return self.table(obs.long())

    def decide(self, obs: Tensor, greedy: bool, generator: torch.Generator) -> Tensor:
        if greedy:
            return self.worth(obs).argmax(1)
        return torch.from_numpy(self.draw(obs.numpy(), generator))

    def worth(self, obs: Tensor) -> Tensor:
        return self(obs).masked_fill(self.barred.to(obs.device)[obs.long()], -torch.inf)

    # Training --------------------------------------------------------------------------------------------------------

    @property
    def exploration(self) -> float:
        """ε, the share of random actions now."""
        first, last = self.hparams["explore"]
        return first + (last - first) * self.progress

    def draw(self, states: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """ε-greedy actions [n]; among equally good ones, any."""
        open_ = ~self.barred.numpy()[states]
        q = np.where(open_, self.table.weight.detach().numpy()[states], -np.inf)
        noise = torch.rand(3, *q.shape, generator=generator).numpy()
        best = np.where(q == q.max(1, keepdims=True), noise[0], -1.0).argmax(1)
        return np.where(noise[1, :, 0] < self.epsilon, (noise[2] * open_).argmax(1), best)

    @torch.no_grad()
    def behave(self, obs: Tensor, generator: torch.Generator) -> Tensor:
        self.generator = generator
        actions = self.draw(obs.numpy(), generator)
        if self.planned is not None:
            actions, self.planned = np.where(self.keeps, self.planned.numpy(), actions), None
        return torch.from_numpy(actions)

    @torch.no_grad()
    def learn(self, row: dict[str, Tensor]) -> None:
        """Take in one step of every copy; called by the loader before the next one is played."""
        q, visits = self.table.weight.numpy(), self.visits.numpy()  # they share memory with the tensors
        state, action, after = row["obs"].numpy(), row["action"].numpy(), row["next_obs"].numpy()
        over = row["terminated"].numpy()
        q_open = np.where(self.barred.numpy(), -np.inf, q)
        ahead = self.promise(q_open, after, over | row["truncated"].numpy())
        goal = row["reward"].numpy() + self.hparams["gamma"] * np.where(over, 0.0, ahead)
        for s, a, g in zip(state, action, goal, strict=True):
            power = self.hparams["power"]
            rate = self.rate if power is None else (1.0 + visits[s, a]) ** -power
            q[s, a] += rate * (g - q[s, a])
            visits[s, a] += 1

    def promise(self, q: np.ndarray, after: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """Worth [n] of the states that were reached."""
        raise NotImplementedError

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.pace()  # of the next stretch of play

    def on_train_epoch_start(self) -> None:
        self.pace()
        self.planned = None

    def pace(self) -> None:
        """Set ε and α by the share of the run that is done."""
        self.epsilon = self.exploration
        self.rate = self.hparams["lr"] * (1 - self.progress * self.hparams["decay"])

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.log_play(batch, exploration=self.epsilon)

    def configure_optimizers(self) -> None:
        return None

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: EnvironmentData) -> list[dict[str, Any]]:
        """The returns of 100 episodes, and with a discount below 1 what is exact: the table against the environment's rules."""
        returns = super().evaluate(data)
        if self.hparams["gamma"] >= 1:
            return returns
        probability, reward, final, first = data.tables()
        gamma, states, open_ = self.hparams["gamma"], torch.arange(len(final)), torch.as_tensor(~final)
        error, gap = self.exact_errors(probability, reward, final, torch.as_tensor(first), states, open_, gamma)
        how = f"exact, from the rules of {data.id}, discount {gamma}"
        found = [
            entry(data.id, "test", "value_error", error, f"largest error of a state's value; {how}", better="lower")
        ]
        if gap is not None:
            words = f"what the best policy is worth more than the greedy one, mean over first states; {how}"
            found.append(entry(data.id, "test", "value_gap", gap, words, better="lower"))
        return [*returns, *found]

    def exact_errors(
        self, probability: Any, reward: Any, final: Any, first: Tensor, states: Tensor, open_: Tensor, gamma: float
    ) -> tuple[float, float | None]:
        """Largest error of a value, and how far the greedy policy is from the best one."""
        best = value_iteration(probability, reward, final, gamma)
        q = self.worth(states).double().cpu()
        mine = policy_values(probability, reward, final, q.argmax(1), gamma)
        return float((q.max(1).values - best)[open_].abs().max()), float(first @ (best - mine))
