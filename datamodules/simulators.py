"""Simulators: environments of gymnasium by their id, what an agent has to know of one, and copies of one side by side."""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamodules.base import key
from datamodules.worlds import OWN, Step, register
from zoo.errors import InputError, MissingExtraError

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
