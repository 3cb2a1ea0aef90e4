"""Environments as data: what a batch holds, what carries over epochs, and what is refused."""

import numpy as np
import pytest
import torch

from datamodules.environment import Environment, Replay
from datamodules.simulators import make
from zoo.errors import InputError

pytest.importorskip("gymnasium")


def first_batch(data):
    return next(iter(data.train_dataloader()))


@pytest.mark.parametrize("arrays", [True, False])
def test_a_batch_is_a_stretch_of_play(arrays):
    batch = first_batch(Environment("CartPole-v1", 3, steps=40, arrays=arrays))
    assert batch["obs"].shape == batch["next_obs"].shape == (40, 3, 4)
    for name in ("action", "reward", "terminated", "truncated"):
        assert batch[name].shape == (40, 3)
    done = batch["terminated"] | batch["truncated"]
    going = ~done[:-1]
    torch.testing.assert_close(batch["next_obs"][:-1][going], batch["obs"][1:][going])  # a step leads to the next one
    assert (batch["obs"][1:][done[:-1]].abs() <= 0.05).all()  # after an end there is a start
    fallen = batch["next_obs"][batch["terminated"]]
    assert len(fallen) and ((fallen[:, 0].abs() > 2.4) | (fallen[:, 2].abs() > 0.2095)).all()
    assert len(batch["returns"]) == int(done.sum()) and torch.equal(batch["returns"], batch["lengths"])


def test_whole_episodes_end_and_the_mask_says_where():
    batch = first_batch(Environment("CartPole-v1", 4, whole_episodes=True))
    mask, done = batch["mask"], batch["terminated"] | batch["truncated"]
    lengths = mask.sum(0)
    assert sorted(lengths.tolist()) == sorted(batch["lengths"].tolist()) and len(batch["returns"]) == 4
    for i, length in enumerate(lengths):
        assert mask[:length, i].all() and done[length - 1, i] and not done[: length - 1, i].any()


def test_the_same_seed_plays_the_same_and_epochs_differ():
    def play(seed, epoch):
        loader = Environment("CartPole-v1", 2, steps=8, rollouts=1, seed=seed).train_dataloader()
        loader.set_epoch(epoch)
        return next(iter(loader))["obs"]

    assert torch.equal(play(0, 0), play(0, 0))
    assert not torch.equal(play(0, 0), play(1, 0)) and not torch.equal(play(0, 0), play(0, 1))


@pytest.mark.parametrize("id", ["CartPole-v1", "FrozenLake-v1"])
@pytest.mark.parametrize("kind", [Environment, Replay])
def test_a_loader_goes_on_from_its_state(id, kind):
    def made():
        extra = {} if kind is Environment else {"capacity": 300, "warmup": 10, "updates": 2, "batch_size": 4}
        return kind(id, 2, steps=30, rollouts=2, **extra)

    def epoch(source, number):
        source.set_epoch(number)
        return list(source)

    data = made()
    whole = data.train_dataloader()
    epoch(whole, 0)
    state = data.state_dict()
    assert all(isinstance(v, torch.Tensor | int | dict) for v in state.values())
    data = made()
    data.load_state_dict(state)
    again = data.train_dataloader()
    for a, b in zip(epoch(whole, 1), epoch(again, 1), strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=0, atol=0, equal_nan=True)


def test_the_memory_forgets_the_oldest():
    loader = Replay("CartPole-v1", 2, steps=8, capacity=20, warmup=4, updates=1, batch_size=4).train_dataloader()
    steps = iter(range(1000))

    def played(n):
        value = torch.tensor([float(next(steps)) for _ in range(n)])[:, None]
        flags = torch.zeros(n, 1, dtype=torch.bool)
        return {
            "obs": value[..., None],
            "action": value,
            "reward": value,
            "terminated": flags,
            "next_obs": value[..., None],
        }

    for _ in range(3):
        loader.remember(played(8))
    assert sorted(loader.memory["reward"].tolist()) == [float(i) for i in range(4, 24)] and loader.filled == 20


def test_the_rules_of_the_ice_are_read():
    probability, reward, final, first = Environment("FrozenLake-v1").tables()
    assert probability.shape == reward.shape == (16, 4, 16) and first[0] == 1
    np.testing.assert_allclose(probability.sum(2), 1)
    assert final.tolist() == [i in (5, 7, 11, 12, 15) for i in range(16)]
    with pytest.raises(InputError, match="no tables"):
        Environment("CartPole-v1").tables()


@pytest.mark.parametrize(
    ("id", "kwargs", "words"),
    [
        ("CartPool-v1", {}, "did you mean CartPole"),
        ("Taxi-v3", {}, "use Taxi-v4"),
        ("CliffWalking-v0", {}, "use CliffWalking-v1"),
        ("CliffWalking-v1", {}, "no time limit: give max_episode_steps"),
        ("nowhere:Env-v0", {}, "no environment"),
        ("CartPole-v1", {"gravitation": 3}, "can't be made"),
        ("MagLev-v0", {"mass": -1}, "above 0 kg"),
    ],
)
def test_what_cannot_be_played_is_said(id, kwargs, words):
    with pytest.raises(InputError, match=words):
        Environment(id, kwargs=kwargs).prepare_data()


def test_impossible_sizes_are_refused():
    for wrong in ({"num_envs": 0}, {"steps": 0}, {"rollouts": -1}, {"num_envs": 2.5}):
        with pytest.raises(InputError, match="at least 1"):
            Environment("CartPole-v1", **wrong)
    with pytest.raises(InputError, match="capacity"):
        Replay("CartPole-v1", capacity=10)


def test_our_worlds_are_gymnasium_environments():
    env = make("MagLev-v0", mass=0.5)
    obs, _ = env.reset(seed=3)
    assert obs.shape == (2,) and env.spec.max_episode_steps == 500
    again, _ = make("MagLev-v0").reset(seed=3)
    np.testing.assert_array_equal(obs, again)
    assert make("Cat-v0").reset(seed=0)[0] in range(5)
