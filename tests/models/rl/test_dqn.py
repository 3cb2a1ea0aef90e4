"""Deep Q-learning by hand."""

import pytest
import torch
from torch import nn

from zoo.errors import InputError
from zoo.models.rl.dqn import DQN


def one_step(agent, reward=1.0, over=False):
    return {
        "obs": torch.tensor([0]),
        "action": torch.tensor([1]),
        "reward": torch.tensor([reward]),
        "terminated": torch.tensor([over]),
        "next_obs": torch.tensor([2]),
    }


def table(**options):
    agent = DQN(states=3, actions=2, hidden=(), gamma=0.9, **options)
    with torch.no_grad():
        agent.q[0].weight.copy_(torch.tensor([[0.0, 0.2, 0.5], [0.3, 0.1, 0.4]]))  # [action, state]
        agent.old[0][0].weight.copy_(torch.tensor([[0.0, 0.0, 0.1], [0.0, 0.0, 0.7]]))
    return agent


def test_the_goal_is_that_of_the_copy():
    agent, step = table(), one_step(None)
    rest = (step["reward"], step["terminated"], step["next_obs"])
    assert agent.goal(*rest).item() == pytest.approx(1 + 0.9 * 0.7)
    assert agent.goal(step["reward"], torch.tensor([True]), step["next_obs"]).item() == 1.0


def test_double_lets_the_network_choose_and_the_copy_value():
    step = one_step(None)
    chosen = table(double=True).goal(step["reward"], step["terminated"], step["next_obs"])
    assert chosen.item() == pytest.approx(1 + 0.9 * 0.1)  # the network prefers action 0, worth 0.1 to the copy


def test_a_table_takes_the_step_of_q_learning():
    """The gradient of ½ (goal − q)² is −(goal − q): a step of size α moves q by α (goal − q), towards the goal."""
    agent, step = table(), one_step(None)
    before = agent.q[0].weight.detach().clone()
    optimizer = torch.optim.SGD([agent.q[0].weight], lr=0.1)
    agent.loss(step).backward()
    assert agent.old[0][0].weight.grad is None
    optimizer.step()
    change = agent.q[0].weight.detach() - before
    error = (1 + 0.9 * 0.7) - 0.3  # above 1, where Huber's slope is 1
    assert change[1, 0] == pytest.approx(0.1 * min(error, 1.0))
    change[1, 0] = 0
    assert not change.any()


def test_a_duelling_network_is_value_plus_advantage_without_its_mean():
    agent = DQN(4, 3, hidden=(8, 8), duelling=True)
    x = torch.randn(5, 4)
    h = agent.q.body(x)
    q = agent(x)
    torch.testing.assert_close(q.mean(1), agent.q.value(h)[:, 0])
    advantage = agent.q.advantage(h)
    torch.testing.assert_close(q - q.mean(1, keepdim=True), advantage - advantage.mean(1, keepdim=True))
    with pytest.raises(InputError, match="hidden layer"):
        DQN(4, 3, hidden=(), duelling=True)


def test_the_copy_is_no_part_of_the_weights_and_is_renewed():
    agent = DQN(4, 2, hidden=(8,))
    assert all(key.startswith("q.") for key in agent.state_dict())
    nn.init.normal_(agent.q[0].weight)
    assert not torch.equal(agent.q[0].weight, agent.old[0][0].weight)
    agent.renew()
    torch.testing.assert_close(agent.q[0].weight, agent.old[0][0].weight, rtol=0, atol=0)


def test_exploration_is_the_share_of_random_actions():
    agent = DQN(4, 2, hidden=(8,), explore=(0.5, 0.1))
    obs = torch.randn(1, 4).expand(10_000, 4)
    best = agent(obs[:1]).argmax(1)
    drawn = agent.behave(obs, torch.Generator().manual_seed(0))
    assert float((drawn != best).float().mean()) == pytest.approx(
        0.25, abs=0.02
    )  # half at random, half of those the best
