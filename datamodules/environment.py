"""Environments as data: each batch is a stretch of play by the agent that is being trained.

`Environment` gives rollouts, `Replay` gives minibatches drawn from all that was played so far. The agent chooses the actions:
the loaders ask `trainer.lightning_module.behave(obs, generator)`, or draw actions at random where there is no trainer.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.module import DataModule
from datamodules.rollouts import Batch, ReplayLoader, RolloutLoader
from datamodules.simulators import Foreign, Spaces, make, require_time_limit, spaces_of
from datamodules.worlds import WORLDS, Table, World
from zoo.errors import InputError

Behave = Callable[[Tensor, torch.Generator], Tensor]


class Environment(DataModule):
    """Rollouts of an environment, played by the agent in training.

    An epoch is `rollouts` batches of `steps` steps by `num_envs` copies: a fixed number of environment steps.

    Args:
        id: of an environment of gymnasium ("CartPole-v1", "my_pkg:MyEnv-v0"), or MagLev-v0, CatMouse-v0, Cat-v0.
        num_envs: copies that are played side by side.
        steps: of each copy in a batch.
        rollouts: batches of an epoch.
        kwargs: arguments of the environment, as for gymnasium.make (is_slippery=False, max_episode_steps=200).
        seed: of the starts, the environment's chances and the agent's draws.
        arrays: play CartPole, Acrobot and our own on arrays, which is faster and the same to the last digits.
        whole_episodes: a batch is one whole episode of each copy, however long, in place of `steps` steps; its `mask` [T, n] is
            False where a copy had finished before the others.

    Raises:
        InputError: for an id or arguments that gymnasium doesn't take, or an environment without a time limit.
    """

    name = "environment"
    classes: ClassVar[tuple[str, ...]] = ()
    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Played, not collected: nothing is stored or passed on."

    def __init__(
        self,
        id: str = "CartPole-v1",
        num_envs: int = 8,
        *,
        steps: int = 32,
        rollouts: int = 16,
        kwargs: dict[str, Any] | None = None,
        seed: int = 0,
        arrays: bool = True,
        whole_episodes: bool = False,
    ) -> None:
        super().__init__()
        for what, value in (("num_envs", num_envs), ("steps", steps), ("rollouts", rollouts)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{what} is {value!r}; it must be a whole number of at least 1.")
        self.id, self.num_envs, self.steps, self.rollouts = id, num_envs, steps, rollouts
        self.kwargs, self.seed, self.arrays, self.whole_episodes = dict(kwargs or {}), seed, arrays, whole_episodes
        if type(self).__init__ is Environment.__init__:
            self.save_hyperparameters(ignore=["_class_path", "_instantiator"])
        self._spaces: Spaces | None = None
        self._loader: RolloutLoader | None = None
        self._carried: dict[str, Any] | None = None  # by a stopped run

    @property
    def spaces(self) -> Spaces:
        """Shapes and ranges of the environment."""
        if self._spaces is None:
            env = make(self.id, **self.kwargs)
            require_time_limit(env)
            self._spaces = spaces_of(env)
            env.close()
        return self._spaces

    def prepare_data(self) -> None:
        """Fail early where the environment can't be made; there is nothing to fetch."""
        self.spaces  # noqa: B018

    def missing(self) -> list[str]:
        return []

    def worlds(self) -> World | Foreign:
        """`num_envs` copies of the environment."""
        if self.arrays and self.id in WORLDS:
            try:
                return WORLDS[self.id](self.num_envs, **self.kwargs)
            except TypeError:
                self.spaces  # noqa: B018  # an argument that only gymnasium's knows, or one that nobody knows
        return Foreign(self.id, self.num_envs, self.kwargs)

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The rules of an environment with numbered states: probability and reward [S, A, S], final bool [S], first [S].

        Raises:
            InputError: if it keeps no tables.
        """
        if self.id in WORLDS and isinstance(world := self.worlds(), Table):
            return world.probability, world.rewards, world.final, world.first
        env = make(self.id, **self.kwargs).unwrapped
        if not isinstance(rules := getattr(env, "P", None), dict):
            raise InputError(f"{self.id} keeps no tables of its rules: planning needs one such as FrozenLake-v1")
        states, actions = len(rules), len(rules[0])
        probability, reward = np.zeros((2, states, actions, states))
        final = np.zeros(states, dtype=bool)
        for s in range(states):
            for a in range(actions):
                for chance, after, pay, over in rules[s][a]:
                    probability[s, a, after] += chance
                    reward[s, a, after] += chance * pay  # several ways to one state: their mean
                    final[after] |= bool(over)
        reward = np.divide(reward, probability, out=np.zeros_like(reward), where=probability > 0)
        first = np.asarray(env.initial_state_distrib, dtype=float)
        return probability, reward, final, first / first.sum()

    def behaviour(self) -> Behave:
        """What chooses actions: the trainer's agent, or chance without one."""
        agent = getattr(self.trainer, "lightning_module", None)
        if agent is not None:
            return agent.behave
        spaces = self.spaces

        def at_random(obs: Tensor, generator: torch.Generator) -> Tensor:
            if spaces.low is None or spaces.high is None:
                return torch.randint(spaces.actions, (len(obs),), generator=generator)
            uniform = torch.rand(len(obs), spaces.actions, generator=generator)
            return spaces.low + (spaces.high - spaces.low) * uniform

        return at_random

    def learner(self) -> Callable[[Batch], None] | None:
        """What learns from each step as it is played (tabular agents); None for agents that learn from whole batches."""
        return getattr(getattr(self.trainer, "lightning_module", None), "learn", None)

    def loader(self) -> RolloutLoader:
        return RolloutLoader(self, self.trainer.global_rank if self.trainer else 0)

    def train_dataloader(self) -> RolloutLoader:
        self._loader = self.loader()
        if self._carried is not None:
            self._loader.carry_on(self._carried)
            self._carried = None
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """What travels in a checkpoint of a run: Lightning doesn't give a loader its own state back at an epoch's end."""
        return {} if self._loader is None else self._loader.carried()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._carried = state or None


class Replay(Environment):
    """Minibatches drawn from a memory of past steps, after each stretch of play.

    Args:
        id, num_envs, steps, rollouts, kwargs, seed, arrays: as for `Environment`; `steps` are played between two batches.
        capacity: steps that the memory holds; the oldest go first.
        batch_size: steps of a minibatch.
        updates: minibatches of a batch, k.
        warmup: steps played before the first batch.
    """

    name = "replay"

    def __init__(
        self,
        id: str = "CartPole-v1",
        num_envs: int = 8,
        *,
        steps: int = 32,
        rollouts: int = 16,
        kwargs: dict[str, Any] | None = None,
        seed: int = 0,
        arrays: bool = True,
        capacity: int = 50_000,
        batch_size: int = 64,
        updates: int = 128,
        warmup: int = 1000,
    ) -> None:
        super().__init__(id, num_envs, steps=steps, rollouts=rollouts, kwargs=kwargs, seed=seed, arrays=arrays)
        for what, value in (("capacity", capacity), ("batch_size", batch_size), ("updates", updates)):
            if value < 1:
                raise InputError(f"{what} is {value}; it must be at least 1.")
        if max(warmup, num_envs * steps) > capacity:
            raise InputError(
                f"capacity is {capacity}; it must hold a stretch of play ({num_envs * steps} steps) and the warm-up ({warmup})."
            )
        self.capacity, self.batch_size, self.updates, self.warmup = capacity, batch_size, updates, warmup
        self.save_hyperparameters(ignore=["_class_path", "_instantiator"])

    def loader(self) -> ReplayLoader:
        return ReplayLoader(self, self.trainer.global_rank if self.trainer else 0)
