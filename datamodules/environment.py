"""Environments as data: each batch is a stretch of play by the agent that is being trained.

`Environment` gives rollouts, `Replay` gives minibatches drawn from all that was played so far. The agent chooses the actions:
the loaders ask `trainer.lightning_module.behave(obs, generator)`, or draw actions at random where there is no trainer.

A run that was stopped goes on bit-equal from the end of an epoch. What happens in it is a function of (seed, epoch, batch) and of
what the module's `state_dict` carries. Array worlds (`datamodules.worlds`) carry their state; gymnasium's environments hide
theirs, so they are reset at each epoch's start, and their open episodes count as truncated there.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import lightning
import numpy as np
import torch
from torch import Tensor

from datamodules.base import key
from datamodules.resumable import ResumableLoader
from datamodules.worlds import OWN, WORLDS, Step, Table, World, register
from zoo.errors import InputError, MissingExtraError

Batch = dict[str, Tensor]
Behave = Callable[[Tensor, torch.Generator], Tensor]
RECENT = 100  # episodes that a training return is averaged over
NEWER = {"Taxi-v3": "Taxi-v4", "CliffWalking-v0": "CliffWalking-v1", "CartPole-v0": "CartPole-v1"}


@dataclass(frozen=True)
class Spaces:
    """What an agent has to know of an environment: shape of an observation, number or dimension of actions, and their range.

    `states` is the number of states where an observation is one of a finite set (its shape is then empty); `low` and `high` are
    the bounds of continuous actions, None where actions are numbers 0 … actions − 1.
    """

    observations: tuple[int, ...]
    actions: int
    states: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def continuous(self) -> bool:
        return self.low is not None


def make(id: str, *, render_mode: str | None = None, **kwargs: Any) -> Any:
    """An environment of gymnasium, or one of ours under its rules, by its id ("CartPole-v1", "my_pkg:MyEnv-v0").

    Raises:
        InputError: for an id or argument that doesn't exist, or a package that the environment needs.
    """
    gymnasium = _gymnasium()
    register()
    if id in NEWER:
        raise InputError(f"{id} is deprecated: use {NEWER[id]}")
    try:
        return gymnasium.make(id, render_mode=render_mode, disable_env_checker=True, **kwargs)
    except gymnasium.error.DependencyNotInstalled as error:
        raise InputError(f"{id} needs a package that isn't installed: {str(error).splitlines()[0]}") from None
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        near = difflib.get_close_matches(id, [*OWN, *gymnasium.registry], n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise InputError(f"there is no environment {id!r}{hint} ({str(error).splitlines()[0]})") from None
    except TypeError as error:
        raise InputError(f"{id} can't be made with {kwargs}: {error}") from None


def spaces_of(env: Any) -> Spaces:
    """The spaces of a gymnasium environment.

    Raises:
        InputError: if its observations aren't a box or a number, or its actions neither.
    """
    seen, act = env.observation_space, env.action_space
    kinds = [type(space).__name__ for space in (seen, act)]
    if kinds[0] not in ("Box", "Discrete") or kinds[1] not in ("Box", "Discrete"):
        raise InputError(
            f"observations are {kinds[0]} and actions {kinds[1]}; an agent here takes Box or Discrete of each"
        )
    states = int(seen.n) if kinds[0] == "Discrete" else None
    if kinds[1] == "Discrete":
        return Spaces(tuple(seen.shape), int(act.n), states)
    return Spaces(tuple(seen.shape), int(np.prod(act.shape)), states, float(act.low.min()), float(act.high.max()))


def require_time_limit(env: Any) -> None:
    """Raises:
    InputError: if nothing ends an episode, which a greedy agent could then repeat for ever.
    """
    spec = getattr(env, "spec", None)
    if spec is not None and spec.max_episode_steps is None:
        raise InputError(
            f"{spec.id} has no time limit: give max_episode_steps, such as 200, or an episode may never end"
        )


def _gymnasium() -> Any:
    try:
        import gymnasium
    except ImportError:
        raise MissingExtraError("an environment", "gymnasium", "rl") from None
    return gymnasium


class Foreign:
    """n copies of a gymnasium environment with the interface of `World`: an episode that ends begins anew in the same step."""

    def __init__(self, id: str, n: int, kwargs: dict[str, Any]) -> None:
        gymnasium = _gymnasium()
        first = make(id, **kwargs)
        require_time_limit(first)
        self.spaces = spaces_of(first)
        self.envs = gymnasium.vector.SyncVectorEnv(
            [lambda: make(id, **kwargs)] * n, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
        )
        first.close()

    def reset(self, seed: int) -> Any:
        return self.envs.reset(seed=[key(seed, i) % 2**31 for i in range(self.envs.num_envs)])[0]

    def step(self, action: Any) -> Step:
        if self.spaces.continuous:
            action = np.clip(action, self.spaces.low, self.spaces.high).reshape(self.envs.action_space.shape)
        obs, reward, terminated, truncated, info = self.envs.step(action)
        next_obs = obs
        if "final_obs" in info:
            next_obs = obs.copy()
            for i in np.flatnonzero(info["_final_obs"]):
                next_obs[i] = info["final_obs"][i]
        return Step(obs, reward, terminated, truncated & ~terminated, next_obs)


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
        """What the next epoch depends on: open episodes, and the world's state where it can be told. Tensors and numbers."""
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


class Environment(lightning.LightningDataModule):
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
