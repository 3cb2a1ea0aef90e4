"""Small environments as NumPy arrays: n copies of a world that take a step together.

A Python loop over n separate environments costs n calls a step; arrays cost one. `CartPole` and `Acrobot` follow gymnasium's
own equations to the last digits, `Table` is any Markov decision process written out as tables, and `MagLev`, `CatMouse` and
`Cat` exist only here: `register` gives those to gymnasium under `MagLev-v0`, `CatMouse-v0` and `Cat-v0`.

An episode that ends begins anew in the same step, so that every step is one of a living episode; the state it ended in
stands beside the first state of the next one.
"""

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.errors import InputError

Array = NDArray[Any]


class Step(NamedTuple):
    """What n copies answer to n actions: `obs` already belongs to the next episode where one ended, `next_obs` never does."""

    obs: Array  # [n, …]
    reward: Array  # float [n]
    terminated: Array  # bool [n]: the episode is over, nothing follows
    truncated: Array  # bool [n]: cut by the time limit, more would have followed
    next_obs: Array  # [n, …]


class World:
    """Base of the array environments. A subclass gives `start`, `advance` and `observe`.

    Args:
        n: number of copies.
        max_episode_steps: time limit of an episode.

    Shapes:
        state: float64 [n, D]; action: int [n]; observations: [n, *observation_shape].
    """

    observation_shape: ClassVar[tuple[int, ...]] = ()
    actions: int = 0
    time_limit: ClassVar[int] = 500
    width: ClassVar[int] = 0  # D, numbers of a state

    def __init__(self, n: int = 1, *, max_episode_steps: int | None = None) -> None:
        if n < 1:
            raise InputError(f"n is {n}; a world needs at least one copy")
        self.n, self.max_episode_steps = n, max_episode_steps or self.time_limit
        self.state = np.zeros((n, self.width))
        self.steps = np.zeros(n, dtype=np.int64)
        self.rng = np.random.default_rng(0)

    def start(self, n: int) -> Array:
        """First states [n, D] of n episodes, drawn from `self.rng`."""
        raise NotImplementedError

    def advance(self, state: Array, action: Array) -> tuple[Array, Array, Array]:
        """Next states [n, D], rewards [n] and whether each episode is over [n]."""
        raise NotImplementedError

    def observe(self, state: Array) -> Array:
        """What is seen of states [n, D]."""
        return state.astype(np.float32)

    def seed(self, seed: int) -> None:
        """Fix all later draws."""
        self.rng = np.random.default_rng(seed)

    def reset(self, seed: int | None = None) -> Array:
        """Begin all episodes anew; returns observations [n, …]."""
        if seed is not None:
            self.seed(seed)
        self.state, self.steps = self.start(self.n), np.zeros(self.n, dtype=np.int64)
        return self.observe(self.state)

    def step(self, action: Array) -> Step:
        """One step of every copy."""
        self.state, reward, terminated = self.advance(self.state, np.asarray(action))
        self.steps = self.steps + 1
        truncated = (self.steps >= self.max_episode_steps) & ~terminated
        next_obs = self.observe(self.state)
        done = terminated | truncated
        if not done.any():
            return Step(next_obs, reward, terminated, truncated, next_obs)
        self.state[done] = self.start(int(done.sum()))
        self.steps[done] = 0
        return Step(self.observe(self.state), reward, terminated, truncated, next_obs)


class CartPole(World):
    """gymnasium's CartPole-v1: a pole on a cart, pushed left (0) or right (1); reward 1 a step.

    State: position in m, velocity, angle in rad, angular velocity.
    """

    observation_shape = (4,)
    actions = 2
    width = 4

    def start(self, n: int) -> Array:
        return self.rng.uniform(-0.05, 0.05, (n, 4))

    def advance(self, state: Array, action: Array) -> tuple[Array, Array, Array]:
        _, speed, angle, spin = state.T
        cos, sin = np.cos(angle), np.sin(angle)
        push = (
            np.where(action == 1, 10.0, -10.0) + 0.05 * spin**2 * sin
        ) / 1.1  # cart 1 kg, pole 0.1 kg and half 0.5 m
        spin_rate = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        speed_rate = push - 0.05 * spin_rate * cos / 1.1
        state = state + 0.02 * np.stack([speed, speed_rate, spin, spin_rate], 1)  # Euler's step of 0.02 s
        over = (np.abs(state[:, 0]) > 2.4) | (np.abs(state[:, 2]) > 12 * 2 * math.pi / 360)
        return state, np.ones(len(state)), over


class Acrobot(World):
    """gymnasium's Acrobot-v1: two links, torque −1, 0 or 1 at the elbow; reward −1 a step until the tip is high.

    State: both angles in rad, both angular velocities.
    """

    observation_shape = (6,)
    actions = 3
    width = 4

    def start(self, n: int) -> Array:
        return self.rng.uniform(-0.1, 0.1, (n, 4)).astype(np.float32).astype(np.float64)

    def observe(self, state: Array) -> Array:
        a, b, va, vb = state.T
        return np.stack([np.cos(a), np.sin(a), np.cos(b), np.sin(b), va, vb], 1).astype(np.float32)

    def rates(self, state: Array, torque: Array) -> Array:
        """Time derivatives [n, 4] of the state (Sutton and Barto's form)."""
        a, b, va, vb = state.T
        d1 = 0.25 + (1.25 + np.cos(b)) + 2
        d2 = 0.25 + 0.5 * np.cos(b) + 1
        pull2 = 0.5 * 9.8 * np.cos(a + b - math.pi / 2)
        pull1 = -0.5 * vb**2 * np.sin(b) - vb * va * np.sin(b) + 1.5 * 9.8 * np.cos(a - math.pi / 2) + pull2
        rate_b = (torque + d2 / d1 * pull1 - 0.5 * va**2 * np.sin(b) - pull2) / (1.25 - d2**2 / d1)
        return np.stack([va, vb, -(d2 * rate_b + pull1) / d1, rate_b], 1)

    def advance(self, state: Array, action: Array) -> tuple[Array, Array, Array]:
        torque, dt = action - 1.0, 0.2
        k1 = self.rates(state, torque)  # one step of Runge and Kutta's fourth order
        k2 = self.rates(state + dt / 2 * k1, torque)
        k3 = self.rates(state + dt / 2 * k2, torque)
        k4 = self.rates(state + dt * k3, torque)
        state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        state[:, :2] = (state[:, :2] + math.pi) % (2 * math.pi) - math.pi
        state[:, 2] = state[:, 2].clip(-4 * math.pi, 4 * math.pi)
        state[:, 3] = state[:, 3].clip(-9 * math.pi, 9 * math.pi)
        over = -np.cos(state[:, 0]) - np.cos(state[:, 0] + state[:, 1]) > 1.0
        return state, np.where(over, 0.0, -1.0), over


class MagLev(World):
    """A ball under a magnet that is on (1) or off (0): hold it at position 5.

    The magnet lifts with 19.6 N against gravity, 9.8 m/s²; a step lasts 0.01 s. Reward −|x − 5|, and 2 more within 0.5 of
    the target, 1 less outside. An episode starts anywhere in 0 … 10 with a velocity of −20 … 20.

    Args:
        mass: of the ball, in kg.
        target: the position to hold.
    """

    observation_shape = (2,)  # velocity, position
    actions = 2
    width = 2

    def __init__(
        self, n: int = 1, *, max_episode_steps: int | None = None, mass: float = 1.0, target: float = 5.0
    ) -> None:
        super().__init__(n, max_episode_steps=max_episode_steps)
        if not mass > 0:
            raise InputError(f"mass is {mass}; it must be above 0 kg")
        self.mass, self.target = mass, target

    def start(self, n: int) -> Array:
        return np.stack([self.rng.uniform(-20, 20, n), self.rng.uniform(0, 10, n)], 1)

    def observe(self, state: Array) -> Array:
        return (state - [0.0, self.target - 5.0]).astype(
            np.float32
        )  # the agent holds 5; another target moves the origin

    def advance(self, state: Array, action: Array) -> tuple[Array, Array, Array]:
        velocity = state[:, 0] + 0.01 * (19.6 * action / self.mass - 9.8)
        position = state[:, 1] + 0.01 * velocity
        away = np.abs(position - self.target)
        reward = -away + np.where(away < 0.5, 2.0, -1.0)
        return np.stack([velocity, position], 1), reward, np.zeros(len(state), dtype=bool)


class CatMouse(World):
    """A mouse swims in a round pond of radius 1; a cat on the shore runs 3.5 times as fast. Reach the shore away from the cat.

    Seen from the cat's angle: the mouse's position (x, y) with the cat at (1, 0). Actions are 8 directions in that frame,
    45° apart, 0 towards the cat's side; a stroke is 0.05 long. The cat always runs the shorter way round. Reward 1 for
    an escape, −1 for being caught, 0 otherwise.

    Below the speed ratio π + 1 the mouse can win: inside the radius 1/ratio its angular speed beats the cat's, so it circles
    until the cat is opposite, then dashes straight out.

    Args:
        ratio: the cat's speed, in mouse speeds.
        centre: start in the middle of the pond; else anywhere, with the cat anywhere.
    """

    observation_shape = (2,)
    actions = 8
    width = 2
    stroke: ClassVar[float] = 0.05

    def __init__(
        self, n: int = 1, *, max_episode_steps: int | None = None, ratio: float = 3.5, centre: bool = False
    ) -> None:
        super().__init__(n, max_episode_steps=max_episode_steps)
        if not ratio > 0:
            raise InputError(f"ratio is {ratio}; the cat's speed must be above 0")
        self.ratio, self.centre = ratio, centre

    def start(self, n: int) -> Array:
        radius = 0.95 * np.sqrt(self.rng.uniform(0, 1, n)) * (0.0 if self.centre else 1.0)
        angle = self.rng.uniform(-math.pi, math.pi, n)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)

    def advance(self, state: Array, action: Array) -> tuple[Array, Array, Array]:
        angle = action * (math.pi / 4)
        x, y = state[:, 0] + self.stroke * np.cos(angle), state[:, 1] + self.stroke * np.sin(angle)
        ahead, reach = np.arctan2(y, x), self.ratio * self.stroke  # the angle to run, and how far a step takes the cat
        run = np.clip(ahead, -reach, reach)
        x, y = x * np.cos(run) + y * np.sin(run), y * np.cos(run) - x * np.sin(run)  # into the cat's new frame
        ashore = np.hypot(x, y) >= 1.0
        caught = ashore & (np.abs(ahead - run) < 1e-9)
        reward = np.where(caught, -1.0, np.where(ashore, 1.0, 0.0))
        return np.stack([x, y], 1), reward, ashore


class Table(World):
    """A Markov decision process with finitely many states, written out.

    Args:
        probability: [S, A, S], where an action leads.
        reward: [S, A, S], what the step is worth.
        final: bool [S], states in which an episode is over.
        first: [S], probabilities of the first state.
    """

    observation_shape = ()
    width = 1

    def __init__(
        self,
        probability: Array,
        reward: Array,
        final: Array,
        first: Array,
        n: int = 1,
        *,
        max_episode_steps: int = 1000,
    ) -> None:
        super().__init__(n, max_episode_steps=max_episode_steps)
        self.probability, self.rewards = np.asarray(probability, dtype=float), np.asarray(reward, dtype=float)
        self.final, self.first = np.asarray(final, dtype=bool), np.asarray(first, dtype=float)
        if not np.allclose(self.probability.sum(2), 1) or not math.isclose(self.first.sum(), 1, rel_tol=1e-6):
            raise InputError("the probabilities of a table must sum to 1 for every state and action")
        self.cumulative, self.actions = self.probability.cumsum(2), self.probability.shape[1]

    def start(self, n: int) -> Array:
        return self.rng.choice(len(self.first), (n, 1), p=self.first).astype(float)

    def observe(self, state: Array) -> Array:
        return state[:, 0].astype(np.int64)

    def advance(self, state: Array, action: Array) -> tuple[Array, Array, Array]:
        s = state[:, 0].astype(np.int64)
        draw = self.rng.uniform(size=(len(s), 1))
        after = np.minimum((self.cumulative[s, action] < draw).sum(1), self.probability.shape[2] - 1)
        return after[:, None].astype(float), self.rewards[s, action, after], self.final[after]


CAT_STATES = ("hunting", "hungry", "affectionate", "relaxed", "confused", "sleeping")
CAT_REWARDS = (-5.0, -2.0, 5.0, 2.0, 1.0, 0.0)  # of being in a state, paid on leaving it
CAT_CHAIN = (
    (0.8, 0.2, 0, 0, 0, 0),
    (0.5, 0, 0.5, 0, 0, 0),
    (0, 0, 0, 0.5, 0.3, 0.2),
    (0, 0, 0, 0, 0.2, 0.8),
    (0, 0.2, 0, 0.8, 0, 0),
    (0, 0, 0, 0, 0, 1),
)


class Cat(Table):
    """The moods of a cat: hunting, hungry, affectionate, relaxed, confused, and sleeping, which ends the day.

    A mood's reward (−5, −2, 5, 2, 1, 0) is paid on leaving it. Without an owner moods follow each other by chance: a Markov
    reward process of one action. With an owner there are two in "relaxed": talk (0) confuses the cat, stroke (1) lets it
    sleep.

    Args:
        owner: whether there are actions.
    """

    def __init__(self, n: int = 1, *, max_episode_steps: int | None = None, owner: bool = False) -> None:
        chain = np.array(CAT_CHAIN)
        probability = np.stack([chain, chain], 1) if owner else chain[:, None]
        if owner:
            probability[3] = np.eye(6)[[4, 5]]
        reward = np.broadcast_to(np.array(CAT_REWARDS)[:, None, None], probability.shape).copy()
        first = np.array([0.2] * 5 + [0.0])  # any mood but sleeping
        super().__init__(
            probability, reward, np.arange(6) == 5, first, n, max_episode_steps=max_episode_steps or self.time_limit
        )


WORLDS: dict[str, type[World]] = {
    "CartPole-v1": CartPole,
    "Acrobot-v1": Acrobot,
    "MagLev-v0": MagLev,
    "CatMouse-v0": CatMouse,
    "Cat-v0": Cat,
}
OWN = ("MagLev-v0", "CatMouse-v0", "Cat-v0")


def register() -> None:
    """Make the worlds that exist only here known to gymnasium; once is enough."""
    import gymnasium

    for name in OWN:
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="datamodules.worlds:single",
                kwargs={"world": name},
                max_episode_steps=World.time_limit,
            )


def single(world: str, render_mode: str | None = None, **kwargs: Any) -> Any:
    """One copy of a world as a gymnasium environment.

    Raises:
        InputError: for an argument that the world doesn't have.
    """
    import gymnasium
    from gymnasium import spaces

    try:
        copy: Any = WORLDS[world](1, max_episode_steps=2**62, **kwargs)  # gymnasium's TimeLimit keeps the time
    except TypeError as error:
        raise InputError(f"{world} can't be made: {str(error).partition(') ')[2] or error}") from None

    class Single(gymnasium.Env):  # type: ignore[misc]
        metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # as gymnasium declares it
        world_copy = copy
        action_space = spaces.Discrete(copy.actions)
        observation_space = (
            spaces.Box(-np.inf, np.inf, copy.observation_shape, np.float32)
            if copy.observation_shape
            else spaces.Discrete(copy.probability.shape[0])
        )

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            if seed is not None:
                copy.seed(seed)
            return self._one(copy.reset()), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            copy.state, reward, over = copy.advance(copy.state, np.array([int(action)]))
            return self._one(copy.observe(copy.state)), float(reward[0]), bool(over[0]), False, {}

        @property
        def state(self) -> Array:
            return copy.state[0]

        def _one(self, obs: Array) -> Any:
            return obs[0] if copy.observation_shape else int(obs[0])

    return Single()
