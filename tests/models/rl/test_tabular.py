"""Tables against linear algebra and known numbers."""

import numpy as np
import pytest
import torch

from datamodules.environment import Environment
from zoo.errors import InputError
from zoo.models.rl.planning import PolicyIteration, action_values, policy_iteration, policy_values, value_iteration
from zoo.models.rl.tabular import TD, ExpectedSarsa, QLearning, Sarsa

pytest.importorskip("gymnasium")


@pytest.mark.parametrize(
    ("id", "kwargs", "state", "value"),
    [("FrozenLake-v1", {}, 0, 0.542), ("CliffWalking-v1", {"max_episode_steps": 200}, 36, -12.248)],
)
def test_three_ways_to_the_same_values(id, kwargs, state, value):
    probability, reward, final, _ = Environment(id, kwargs=kwargs).tables()
    swept = value_iteration(probability, reward, final, 0.99)
    solved, policy = policy_iteration(probability, reward, final, 0.99)
    linear = policy_values(probability, reward, final, policy, 0.99)
    assert (swept - solved).abs().max() < 3e-9 and (solved - linear).abs().max() < 3e-9
    assert swept[state].item() == pytest.approx(value, abs=1e-3)


def test_the_cats_owner_talks():
    probability, reward, final, _ = Environment("Cat-v0", kwargs={"owner": True}).tables()
    values, policy = policy_iteration(probability, reward, final, 0.9)
    np.testing.assert_allclose(values[:5], [-23.963, -9.498, 7.300, 3.867, 2.075], atol=1e-3)
    q = action_values(*map(torch.as_tensor, (probability, reward)), values, torch.as_tensor(final), 0.9)
    np.testing.assert_allclose(q[3], [3.867, 2.0], atol=1e-3)
    assert policy[3] == 0


def step(state, action, reward, after, over=False):
    return {
        "obs": torch.tensor([state]),
        "action": torch.tensor([action]),
        "reward": torch.tensor([reward]),
        "next_obs": torch.tensor([after]),
        "terminated": torch.tensor([over]),
        "truncated": torch.tensor([False]),
    }


@pytest.mark.parametrize(
    ("cls", "promise"), [(QLearning, 5.0), (ExpectedSarsa, 0.8 * 5.0 + 0.2 * 2.0), (TD, 2.0)], ids=lambda x: str(x)
)
def test_one_step_by_hand(cls, promise):
    agent = cls(states=3, actions=2, gamma=0.9, lr=0.5, power=None, explore=(0.2, 0.2))
    agent.table.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 5.0], [0.0, 0.0]]))
    agent.learn(step(0, 0, 2.0, 1))
    assert agent.table.weight[0, 0].item() == pytest.approx(1 + 0.5 * (2 + 0.9 * promise - 1))
    agent.learn(step(0, 1, 2.0, 1, over=True))
    assert agent.table.weight[0, 1].item() == pytest.approx(1.0)  # nothing follows the end
    assert agent.visits.sum() == 2


def test_sarsa_takes_the_action_that_it_learned_from():
    agent = Sarsa(states=3, actions=2, gamma=0.9, lr=0.5, explore=(1.0, 1.0))
    agent.table.weight.copy_(torch.tensor([[0.0, 0.0], [-1.0, 5.0], [0.0, 0.0]]))
    generator, seen = torch.Generator().manual_seed(0), set()
    for _ in range(20):
        agent.table.weight[0] = 0.0
        action = int(agent.behave(torch.tensor([0]), generator)[0])
        agent.learn(step(0, action, 0.0, 1))
        following = int(agent.behave(torch.tensor([1]), generator)[0])
        learned = agent.table.weight[0, action].item()
        assert learned == pytest.approx(0.5 * 0.9 * (-1.0, 5.0)[following])
        seen.add(following)
        agent.planned = None
    assert seen == {0, 1}


def test_steps_shrink_with_visits():
    agent = QLearning(states=3, actions=1, power=1.0, gamma=0.0)
    for reward in (1.0, 2.0, 6.0):
        agent.learn(step(0, 0, reward, 1, over=True))
    assert agent.table.weight[0, 0].item() == pytest.approx(3.0)  # 1/n: the mean


def test_barred_actions_are_never_taken_nor_promised():
    agent = QLearning(states=2, actions=3, choices=[1, 3], gamma=1.0, explore=(1.0, 1.0))
    agent.table.weight.copy_(torch.tensor([[1.0, 9.0, 9.0], [0.0, 0.0, 0.0]]))
    assert set(agent.behave(torch.zeros(200, dtype=torch.long), torch.Generator().manual_seed(0)).tolist()) == {0}
    assert agent.act(0) == 0 and agent.values(0)[1] == -torch.inf
    agent.learn(step(1, 0, 0.0, 0))
    assert agent.table.weight[1, 0].item() == pytest.approx(0.5)  # half way to 1, not to 9


def test_a_sweep_of_policy_iteration_needs_few():
    agent = PolicyIteration(states=16)
    agent.tables = Environment("FrozenLake-v1").tables()
    for _ in range(12):
        agent.sweep()
    assert agent.values(0).max().item() == pytest.approx(0.542, abs=1e-3)


def test_what_cannot_be_planned_is_said():
    for_ever = np.ones((1, 1, 1))
    with pytest.raises(InputError, match="don't settle"):
        value_iteration(for_ever, for_ever, [False], 1.0, most=50)
    with pytest.raises(InputError, match="sum to 1"):
        value_iteration(for_ever / 2, for_ever, [False], 0.9)
    with pytest.raises(InputError, match="numbered states"):
        QLearning(states=None)
    with pytest.raises(InputError, match="choices"):
        QLearning(states=2, actions=2, choices=[1, 3])
