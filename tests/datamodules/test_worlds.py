"""The array worlds against gymnasium's own environments, closed forms and hand-made steps."""

import math

import numpy as np
import pytest

from datamodules.worlds import Acrobot, CartPole, Cat, CatMouse, MagLev, Table
from zoo.errors import InputError

gymnasium = pytest.importorskip("gymnasium")


@pytest.mark.parametrize(("cls", "name"), [(CartPole, "CartPole-v1"), (Acrobot, "Acrobot-v1")])
def test_arrays_take_gymnasiums_steps(cls, name):
    world, rng = cls(3), np.random.default_rng(0)
    envs = [gymnasium.make(name) for _ in range(3)]
    world.reset(seed=1)
    for i, env in enumerate(envs):
        env.reset(seed=i)
        env.unwrapped.state = world.state[i].copy()
    for _ in range(200):
        action = rng.integers(world.actions, size=3)
        before = world.state.copy()
        step = world.step(action)
        for i, env in enumerate(envs):
            env.unwrapped.state = before[i].copy()  # the same state again: errors of rounding mustn't add up over chaos
            obs, reward, terminated, _, _ = env.step(int(action[i]))
            np.testing.assert_allclose(step.next_obs[i], obs, rtol=1e-5, atol=1e-5)
            assert step.reward[i] == reward and step.terminated[i] == terminated
            if terminated or step.truncated[i]:
                env.reset(seed=0)


def test_an_episode_that_ends_begins_anew_in_the_same_step_and_its_last_state_is_kept():
    world = CartPole(2)
    world.reset(seed=0)
    world.state[0] = [2.399, 3.0, 0.0, 0.0]  # about to leave the track
    step = world.step(np.array([1, 1]))
    assert step.terminated.tolist() == [True, False] and not step.truncated.any()
    assert step.next_obs[0, 0] > 2.4 and abs(step.obs[0, 0]) <= 0.05
    np.testing.assert_array_equal(step.obs[1], step.next_obs[1])
    assert world.steps.tolist() == [0, 1]


def test_the_time_limit_truncates_and_does_not_terminate():
    world = MagLev(1, max_episode_steps=3)
    world.reset(seed=0)
    flags = [world.step(np.array([0])) for _ in range(3)]
    assert [bool(s.truncated[0]) for s in flags] == [False, False, True]
    assert not any(s.terminated[0] for s in flags)


def test_maglev_by_hand():
    world = MagLev(1, mass=2.0)
    state, reward, over = world.advance(np.array([[1.0, 5.2]]), np.array([1]))
    assert state[0, 0] == pytest.approx(1.0 + 0.01 * (19.6 / 2 - 9.8)) and state[0, 1] == pytest.approx(5.21)
    assert reward[0] == pytest.approx(-0.21 + 2) and not over[0]
    _, far, _ = world.advance(np.array([[0.0, 8.0]]), np.array([0]))
    assert far[0] == pytest.approx(-abs(8.0 - 0.01 * 0.098 - 5) - 1)


@pytest.mark.parametrize(("ratio", "wins"), [(3.5, True), (4.0, True), (4.5, False)])
def test_a_dash_from_the_inner_circle_escapes_below_pi_plus_one(ratio, wins):
    """Opposite the cat at radius 1/ratio, straight out: 1 − 1/ratio strokes against half a circle, π/ratio."""
    world = CatMouse(1, ratio=ratio)
    world.stroke = 0.001  # nearly continuous
    state, over = np.array([[-1 / ratio, 1e-9]]), [False]
    while not over[0]:
        outwards = math.atan2(state[0, 1], state[0, 0]) / (math.pi / 4)
        state, reward, over = world.advance(state, np.array([outwards]))
    assert (reward[0] == 1.0) == wins == (ratio < math.pi + 1)


def test_inside_the_inner_circle_the_mouse_gains_angle_on_the_cat():
    world, state = CatMouse(1), np.array([[0.2, 0.0]])
    gained = []
    for _ in range(60):
        angle, radius = math.atan2(state[0, 1], state[0, 0]), math.hypot(*state[0])
        gained.append(abs(angle))
        chord = angle + math.pi / 2 + math.asin(0.025 / radius)  # from one point of the circle to another
        state, _, _ = world.advance(state, np.array([chord / (math.pi / 4)]))
    assert math.hypot(*state[0]) == pytest.approx(0.2) and max(gained) > 2.9  # opposite the cat


def test_the_moods_of_the_cat_have_the_textbooks_values():
    cat = Cat()
    v = np.linalg.solve(np.eye(5) - 0.9 * cat.probability[:5, 0, :5], cat.rewards[:5, 0, 0])
    np.testing.assert_allclose(v, [-24.4, -10.2, 6.1, 2.1, 0.7], atol=0.05)
    day = [1, 0, 1, 2]  # hungry, hunting, hungry, affectionate, and asleep
    rewards = [cat.rewards[s, 0, 0] for s in day]
    assert sum(rewards) == -4
    assert sum(0.9**k * r for k, r in enumerate(rewards)) == pytest.approx(-4.475)


def test_a_table_follows_its_probabilities():
    chain = np.array([[[0.25, 0.75]], [[0.0, 1.0]]])
    world = Table(chain, np.ones_like(chain), [False, True], [1.0, 0.0], 4000)
    world.reset(seed=0)
    step = world.step(np.zeros(4000, dtype=int))
    assert step.terminated.mean() == pytest.approx(0.75, abs=0.03)
    with pytest.raises(InputError, match="sum to 1"):
        Table(chain / 2, chain, [False, True], [1.0, 0.0])
