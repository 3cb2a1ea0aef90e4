"""Playing whole episodes with an agent, as many side by side as is useful, and the returns as an array."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.core.checks import check_count
from zoo.core.progress import track
from zoo.errors import InputError

if TYPE_CHECKING:
    from zoo.models.rl.base import Agent

SIDE_BY_SIDE = 64  # environments that are asked about at once


class Episodes(np.ndarray):
    """Returns of episodes, an array [episodes] of float64, with the steps that each took.

    Attributes:
        lengths: int64 [episodes], steps of each episode.
        path: the file that the first episode was drawn to, or None.
    """

    lengths: np.ndarray
    path: Path | None

    def __new__(cls, returns: Any, lengths: Any, path: Path | None = None) -> "Episodes":
        array = np.asarray(returns, dtype=np.float64).view(cls)
        array.lengths, array.path = np.asarray(lengths, dtype=np.int64), path
        return array

    def __array_finalize__(self, other: Any) -> None:
        self.lengths, self.path = getattr(other, "lengths", np.zeros(0, np.int64)), getattr(other, "path", None)

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        if isinstance(part, Episodes):
            part.lengths = self.lengths[at]
        return part

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        """What is calculated from returns is a number or a plain array: a mean is no episode."""
        return np.asarray(array)[()]

    @property
    def returns(self) -> list[float]:
        """The returns as plain numbers."""
        return self.tolist()

    def __str__(self) -> str:
        mean, std, least = float(np.mean(self)), float(np.std(self)), float(np.min(self))
        noun = "episode" if self.size == 1 else "episodes"
        return (
            f"{self.size} {noun}: return {mean:.5g} ± {std:.3g}, least {least:.5g}, {np.mean(self.lengths):.4g} steps"
        )


def play_episodes(
    agent: "Agent",
    episodes: int,
    seed: int,
    path: str | Path | None,
    env: Any,
    greedy: bool,
    frames: list[Any] | None = None,
) -> Episodes:
    """See `Agent.play`; pictures of the first episode are put into `frames`."""
    check_count(episodes, "episodes")
    target = _target(path)
    make_one = _maker(agent, env)
    first = make_one()
    _fits(agent, first)
    drawn = frames if frames is not None else ([] if target else None)
    own = first is env  # an environment that a person gave is played alone, one episode after another
    copies = [first, *(make_one() for _ in range(0 if own else min(episodes, SIDE_BY_SIDE) - 1))]
    returns, lengths = np.zeros(episodes), np.zeros(episodes, dtype=np.int64)
    try:
        for start in track(range(0, episodes, len(copies)), "playing"):
            numbers = range(start, min(start + len(copies), episodes))
            _side_by_side(agent, copies, numbers, seed, greedy, returns, lengths, drawn if start == 0 else None)
    finally:
        if not own:
            for copy in copies:
                copy.close()
    if target and drawn is not None:
        from zoo.models.rl.drawing import save_moving, save_strip

        (save_moving if target.suffix.lower() == ".gif" else save_strip)(drawn, target)
    return Episodes(returns, lengths, target)


def _side_by_side(
    agent: "Agent",
    copies: list[Any],
    numbers: range,
    seed: int,
    greedy: bool,
    returns: np.ndarray,
    lengths: np.ndarray,
    frames: list[Any] | None,
) -> None:
    """One episode in each copy; those that have ended are left alone."""
    obs = {i: copy.reset(seed=seed + i)[0] for i, copy in zip(numbers, copies, strict=False)}
    running, step = list(numbers), 0
    while running:
        if frames is not None and numbers[0] in obs:
            frames.append(_picture(copies[0]))
        batch = np.stack([np.asarray(obs[i]) for i in running])
        actions = agent.act(batch, greedy=greedy, seed=None if greedy else seed + 7919 * step + numbers[0])
        alive = []
        for i, action in zip(running, actions, strict=True):
            copy = copies[i - numbers[0]]
            taken = action.reshape(copy.action_space.shape) if action.ndim else int(action)
            obs[i], reward, terminated, truncated, _ = copy.step(taken)
            returns[i] += float(reward)
            lengths[i] += 1
            if terminated or truncated:
                if frames is not None and i == numbers[0]:
                    frames.append(_picture(copy))
                del obs[i]
            else:
                alive.append(i)
        running, step = alive, step + 1


def _picture(env: Any) -> Any:
    from zoo.models.rl.drawing import draw

    return draw(env)


def _target(path: str | Path | None) -> Path | None:
    if path is None:
        return None
    target = Path(path)
    if target.suffix.lower() not in (".gif", ".png"):
        raise InputError(
            f"an episode is drawn to a .gif (moving) or a .png (a strip of moments), not to {target.name!r}"
        )
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} doesn't exist: make it first")
    return target


def _maker(agent: "Agent", env: Any) -> Callable[[], Any]:
    """What makes the environments to play in."""
    from datamodules.simulators import make

    if isinstance(env, str):
        return lambda: make(env)
    if hasattr(env, "step"):
        return lambda: env
    if callable(env):
        return env
    if env is not None:
        raise InputError(f"env is an id or a gymnasium environment, not {type(env).__name__}")
    return agent.environment


def _fits(agent: "Agent", env: Any) -> None:
    """Raises:
    InputError: if an agent can't see or act in an environment, or nothing ends its episodes.
    """
    from datamodules.simulators import require_time_limit, spaces_of

    require_time_limit(env)
    spaces = spaces_of(env)
    name = getattr(getattr(env, "spec", None), "id", type(env).__name__)
    bounds = agent.hparams.get("bounds")
    mine = (agent.hparams.get("states"), agent.shape, agent.hparams["actions"], bounds is not None)
    its = (spaces.states, spaces.observations, spaces.actions, spaces.continuous)
    if mine != its:
        words = "(states, shape of an observation, actions, continuous)"
        raise InputError(f"{agent.name or type(agent).__name__} was made for {mine} {words}, but {name} has {its}")
