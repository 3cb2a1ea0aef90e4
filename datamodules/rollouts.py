"""Loaders of play: stretches of it as they come (`RolloutLoader`), or minibatches out of a memory of it (`ReplayLoader`).

A run that was stopped goes on bit-equal from the end of an epoch. What happens in it is a function of (seed, epoch, batch) and of
what the module's `state_dict` carries. Array worlds (`datamodules.worlds`) carry their state; gymnasium's environments hide
theirs, so they are reset at each epoch's start, and their open episodes count as truncated there.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import key
from datamodules.resumable import ResumableLoader
from datamodules.simulators import Foreign
from datamodules.worlds import World

if TYPE_CHECKING:
    from datamodules.environment import Environment, Replay

Batch = dict[str, Tensor]
RECENT = 100  # episodes that a training return is averaged over


class RolloutLoader(ResumableLoader):
    """Batches of play. A batch is a dict of tensors [T, n, …]: obs, action, reward, terminated, truncated, next_obs; and
    `returns` [E], `lengths` [E] of the episodes that ended in it, and `recent`, the mean return of the last 100 so far.
    """

    def __init__(self, data: "Environment", rank: int = 0) -> None:
        self.data, self.rank = data, rank
        self.world = data.worlds()
        self.obs: Any = None
        self.open = np.zeros((2, data.num_envs))  # return and length of the episodes that run
        self.recent: list[float] = []
        self.generator = torch.Generator()

    def __len__(self) -> int:
        return self.data.rollouts

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        if self.obs is None or isinstance(self.world, Foreign):
            self.obs = self.world.reset(seed=key(self.data.seed, epoch, self.rank))
            self.open[:] = 0
        for number in self.remaining():
            seed = key(self.data.seed, epoch, self.rank, number)
            if self.data.whole_episodes:
                self.obs = self.world.reset(seed=seed)
                self.open[:] = 0
            elif isinstance(self.world, World):
                self.world.seed(seed)
            self.generator.manual_seed(seed)
            yield self.batch()

    def batch(self) -> Batch:
        """What the loader gives out next."""
        return self.play(self.data.steps)

    def play(self, steps: int) -> Batch:
        """One rollout of so many steps of every copy, or of one whole episode of each."""
        behave, learn, whole = self.data.behaviour(), self.data.learner(), self.data.whole_episodes
        rows: list[Batch] = []
        ended: list[Any] = []
        finished = np.zeros(self.data.num_envs, dtype=bool)  # copies whose first episode here is over
        while whole or len(rows) < steps:
            obs = torch.as_tensor(self.obs)
            action = behave(obs, self.generator)
            step = self.world.step(action.numpy())
            row = {
                "obs": obs,
                "action": action,
                "reward": torch.as_tensor(step.reward, dtype=torch.float32),
                "terminated": torch.as_tensor(step.terminated),
                "truncated": torch.as_tensor(step.truncated),
                "next_obs": torch.as_tensor(step.next_obs),
            }
            if whole:
                row["mask"] = torch.tensor(~finished)
            if learn is not None:
                learn(row)
            rows.append(row)  # every step makes new arrays: nothing here is overwritten
            self.obs = step.obs
            self.open[0] += step.reward
            self.open[1] += 1
            if (done := step.terminated | step.truncated).any():
                ended.append(self.open[:, done & ~finished if whole else done].copy())
                self.open[:, done] = 0
                finished |= done
                if whole and finished.all():
                    break
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        totals = np.concatenate(ended, 1) if ended else np.zeros((2, 0))
        self.recent = [*self.recent, *totals[0].tolist()][-RECENT:]
        batch["returns"], batch["lengths"] = torch.tensor(totals[0]), torch.tensor(totals[1])
        batch["recent"] = torch.tensor(float(np.mean(self.recent)) if self.recent else float("nan"))
        return batch

    def carried(self) -> dict[str, Any]:
        """What the next epoch depends on: open episodes, and the world's state where the world shows it. Tensors and numbers."""
        state: dict[str, Any] = {
            "open": torch.tensor(self.open),
            "recent": torch.tensor(self.recent, dtype=torch.float64),
        }
        if isinstance(self.world, World) and self.obs is not None:
            state |= {"world": torch.tensor(self.world.state), "steps": torch.tensor(self.world.steps)}
        return state

    def carry_on(self, state: Mapping[str, Any]) -> None:
        """Go on from what `carried` gave."""
        self.open, self.recent = state["open"].numpy().copy(), state["recent"].tolist()
        if "world" in state and isinstance(self.world, World):
            self.world.state, self.world.steps = state["world"].numpy().copy(), state["steps"].numpy().copy()
            self.obs = self.world.observe(self.world.state)


class ReplayLoader(RolloutLoader):
    """Batches drawn from a replay memory: a dict of tensors [k, B, …], k minibatches after each stretch of play."""

    data: "Replay"

    def __init__(self, data: "Replay", rank: int = 0) -> None:
        super().__init__(data, rank)
        self.memory: Batch = {}
        self.filled = self.place = 0

    def batch(self) -> Batch:
        played = self.play(self.data.steps)
        self.remember(played)
        while self.filled < self.data.warmup:
            played = self.play(self.data.steps)
            self.remember(played)
        shape = (self.data.updates, self.data.batch_size)
        index = torch.randint(self.filled, shape, generator=self.generator)
        drawn = {name: memory[index] for name, memory in self.memory.items()}
        return drawn | {name: played[name] for name in ("returns", "lengths", "recent")}

    def remember(self, played: Batch) -> None:
        """Put a rollout into the memory, over the oldest where it is full."""
        for name in ("obs", "action", "reward", "terminated", "next_obs"):
            value = played[name].flatten(0, 1)
            if name not in self.memory:
                self.memory[name] = torch.zeros(self.data.capacity, *value.shape[1:], dtype=value.dtype)
            self.memory[name][(self.place + torch.arange(len(value))) % self.data.capacity] = value
        self.filled = min(self.filled + len(value), self.data.capacity)
        self.place = (self.place + len(value)) % self.data.capacity

    def carried(self) -> dict[str, Any]:
        kept = {name: memory[: self.filled].clone() for name, memory in self.memory.items()}
        return super().carried() | {"memory": kept, "place": self.place}

    def carry_on(self, state: Mapping[str, Any]) -> None:
        super().carry_on(state)
        self.memory, self.filled, self.place = {}, 0, int(state["place"])
        for name, kept in state["memory"].items():
            self.memory[name] = torch.zeros(self.data.capacity, *kept.shape[1:], dtype=kept.dtype)
            self.memory[name][: len(kept)] = kept
            self.filled = len(kept)
