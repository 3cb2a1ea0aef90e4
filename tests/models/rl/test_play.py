"""What a person does with an agent: act, play, draw, train in an environment of their own, and go on where a run was stopped."""

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.environment import Environment, Replay
from zoo.core.protocols import Acts
from zoo.errors import InputError
from zoo.models.rl.dqn import DQN
from zoo.models.rl.episodes import Episodes
from zoo.models.rl.ppo import PPO
from zoo.models.rl.reinforce import REINFORCE
from zoo.models.rl.tabular import QLearning
from zoo.train.callbacks import Resume

gymnasium = pytest.importorskip("gymnasium")
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def trainer(epochs, *callbacks):
    return L.Trainer(max_epochs=epochs, accelerator="cpu", callbacks=list(callbacks), **QUIET)


def leaner():
    """A policy that pushes to the side where the pole leans and moves: it balances for long."""
    agent = PPO(hidden=())
    with torch.no_grad():
        agent.actor[0].weight.copy_(torch.tensor([[0.0, 0, -1, -1], [0.0, 0, 1, 1]]))
    agent.data = {"name": "environment", "init": {"id": "CartPole-v1", "kwargs": None}}
    return agent.eval()


def test_one_observation_gives_one_action_and_a_batch_gives_many():
    agent, env = leaner(), gymnasium.make("CartPole-v1")
    assert isinstance(agent, Acts)
    obs, _ = env.reset(seed=0)
    action = agent.act(obs)
    assert type(action) is int
    env.step(action)
    batch = np.stack([obs, -obs])
    actions = agent.act(batch)
    assert isinstance(actions, np.ndarray) and actions.shape == (2,) and actions[0] == action == 1 - actions[1]
    assert isinstance(agent.act(torch.as_tensor(batch)), torch.Tensor)
    assert agent.act(obs.tolist()) == action and agent.act(batch.tolist()).shape == (2,)
    assert agent.values(obs).shape == () and agent.values(batch).shape == (2,)
    assert DQN(hidden=(4,)).values(batch).shape == (2, 2)
    assert not agent.values(obs).requires_grad


def test_draws_follow_the_seed_and_the_best_action_needs_none():
    agent = PPO(hidden=(4,))
    batch = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    first = agent.act(batch, greedy=False, seed=1)
    assert (first == agent.act(batch, greedy=False, seed=1)).all()
    assert (first != agent.act(batch, greedy=False, seed=2)).any()
    assert (agent.act(batch) == agent.act(batch)).all()


def test_continuous_actions_stay_in_their_range():
    agent = REINFORCE(3, 1, bounds=[-2.0, 2.0], hidden=(4,))
    torch.nn.init.constant_(agent.actor[-1].bias, 9.0)
    action = agent.act(np.zeros(3, dtype=np.float32))
    assert action.shape == (1,) and action.dtype == np.float32 and action[0] == 2.0
    assert len(agent.play(2, env="Pendulum-v1")) == 2


@pytest.mark.parametrize(
    ("obs", "words"),
    [(np.zeros(3), r"shape \[4\]"), (np.full(4, np.nan), "NaN"), (np.zeros((0, 4)), "empty"), ("left", "array")],
)
def test_a_wrong_observation_is_said(obs, words):
    with pytest.raises(InputError, match=words):
        leaner().act(obs)


def test_states_are_numbers():
    agent = QLearning(states=16)
    assert agent.act(3) in range(4) and agent.act(np.array([1, 2])).shape == (2,)
    for wrong in (16, -1, 2.5):
        with pytest.raises(InputError, match="0 … 15"):
            agent.act(wrong)


def test_play_is_gymnasiums_own_loop():
    agent, env = leaner(), gymnasium.make("CartPole-v1")
    expected = []
    for seed in (5, 6, 7):
        obs, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(agent.act(obs))
            total, over = total + reward, terminated or truncated
        expected.append(total)
    played = agent.play(3, seed=5)
    assert played.tolist() == expected == played.returns and played.lengths.tolist() == expected
    assert agent.play(3, seed=5, env=env).tolist() == expected
    assert agent.play(3, seed=5, env="CartPole-v1").tolist() == expected
    assert float(played.mean()) == pytest.approx(np.mean(expected)) and "3 episodes" in str(played)


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_an_episode_is_drawn(tmp_path, suffix):
    path = tmp_path / f"episode{suffix}"
    played = leaner().play(path=path)
    assert played.path == path and path.stat().st_size < 200_000
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) > 10 if suffix == ".gif" else picture.size == (960, 320)


@pytest.mark.parametrize(
    "id", ["Acrobot-v1", "Pendulum-v1", "MagLev-v0", "CatMouse-v0", "FrozenLake-v1", "Taxi-v4", "Cat-v0"]
)
def test_every_environment_here_can_be_drawn(tmp_path, id):
    spaces = Environment(id).spaces
    bounds = [spaces.low, spaces.high] if spaces.continuous else None
    agent = PPO(list(spaces.observations), spaces.actions, states=spaces.states, bounds=bounds, hidden=(4,))
    path = tmp_path / "episode.gif"
    agent.play(path=path, env=id, greedy=False)
    assert 500 < path.stat().st_size < 200_000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"episodes": 0}, "at least 1"),
        ({"path": "episode.mp4"}, r"\.gif"),
        ({"path": "no-such-folder/episode.gif"}, "doesn't exist"),
        ({"env": "Acrobot-v1"}, "was made for"),
        ({"env": "Pendulum-v1"}, "was made for"),
        ({"env": "CartPool-v1"}, "did you mean"),
        ({"env": 3}, "an id or a gymnasium environment"),
    ],
)
def test_what_cannot_be_played_is_said(options, words):
    with pytest.raises(InputError, match=words):
        leaner().play(**options)
    with pytest.raises(InputError, match="no environment yet"):
        PPO().play()
    with pytest.raises(InputError, match="no time limit"):
        QLearning(states=48).play(env="CliffWalking-v1")


def test_a_fresh_agent_takes_on_the_shapes_of_its_environment():
    agent = PPO(hidden=(8,), epochs=1)
    trainer(1).fit(agent, Environment("Acrobot-v1", 2, steps=8, rollouts=2))
    assert agent.shape == (6,) and agent.hparams["actions"] == 3
    assert len(agent.play(1)) == 1
    agent = PPO(hidden=(8,), epochs=1)
    trainer(1).fit(agent, Environment("Pendulum-v1", 2, steps=8, rollouts=2))
    assert agent.hparams["bounds"] == [-2.0, 2.0]
    with pytest.raises(InputError, match="continuous"):
        trainer(1).fit(DQN(hidden=(8,)), Replay("Pendulum-v1", 2, steps=8, rollouts=2))
    known = PPO(hidden=(8,))
    known.name = "ppo-cartpole"
    with pytest.raises(InputError, match="other shapes"):
        trainer(1).fit(known, Environment("Acrobot-v1", 2, steps=8, rollouts=2))


def make_ppo():
    return PPO(hidden=(8,), epochs=2, minibatch=16), Environment("CartPole-v1", 4, steps=32, rollouts=3)


def make_dqn():
    data = Replay("CartPole-v1", 2, steps=16, rollouts=3, capacity=200, warmup=40, updates=4, batch_size=8)
    return DQN(hidden=(8,), target_every=2), data


def make_tables():
    return QLearning(states=16, explore=(0.9, 0.1)), Environment("FrozenLake-v1", 2, steps=40, rollouts=3)


def make_reinforce():
    return REINFORCE(hidden=(8,)), Environment("CartPole-v1", 3, rollouts=2, whole_episodes=True)


@pytest.mark.parametrize("make", [make_ppo, make_dqn, make_tables, make_reinforce])
def test_a_run_that_was_stopped_ends_at_the_same_weights(make, tmp_path):
    class Stop(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    weights = []
    for stopped in (False, True):
        torch.manual_seed(0)
        agent, data = make()
        if not stopped:
            trainer(4).fit(agent, data)
        else:
            state = tmp_path / "last.ckpt"
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                trainer(4, Resume(state, every_seconds=0), Stop()).fit(agent, data)
            torch.manual_seed(99)
            agent, data = make()
            trainer(4, Resume(state, every_seconds=0)).fit(agent, data, ckpt_path=state, weights_only=True)
        weights.append(agent.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_what_is_calculated_from_returns_is_a_number_and_a_part_keeps_its_lengths():
    played = Episodes([9.0, 20.0, 7.0], [9, 20, 7])
    assert str(played.mean()) == "12.0" and type(played + 1) is np.ndarray
    assert str(played[:2]) == "2 episodes: return 14.5 ± 5.5, least 9, 14.5 steps"
    assert played[played > 8].lengths.tolist() == [9, 20] and played[1] == 20
