"""Policy gradients against loops, enumeration and dense algebra."""

import itertools

import pytest
import torch
from torch import nn

from tests.batches import rollout
from zoo.models.rl.a2c import A2C
from zoo.models.rl.policy import gae, normalised, returns_to_go
from zoo.models.rl.ppo import PPO, clipped
from zoo.models.rl.reinforce import REINFORCE
from zoo.models.rl.trpo import TRPO, conjugate_gradients


def played(steps=9, n=3):
    g = torch.Generator().manual_seed(1)
    terminated = torch.rand(steps, n, generator=g) < 0.2
    truncated = (torch.rand(steps, n, generator=g) < 0.2) & ~terminated
    value, following, reward = (torch.randn(steps, n, generator=g) for _ in range(3))
    return reward, value, following, terminated, truncated


def test_gae_is_the_weighted_sum_of_later_errors():
    reward, value, following, terminated, truncated = played()
    gamma, lam = 0.9, 0.7
    found = gae(reward, value, following, terminated, truncated, gamma, lam)
    for i in range(3):
        for t in range(9):
            expected, weight = 0.0, 1.0
            for k in range(t, 9):
                ahead = 0.0 if terminated[k, i] else gamma * following[k, i]
                expected += weight * (reward[k, i] + ahead - value[k, i])
                weight *= gamma * lam
                if terminated[k, i] or truncated[k, i]:
                    break
            assert found[t, i] == pytest.approx(float(expected), abs=1e-5)


def test_gae_ends_at_the_error_and_at_the_return():
    reward, value, _, terminated, _ = played()
    terminated[-1] = True
    never = torch.zeros_like(terminated)
    following = value.roll(-1, 0)  # the next step's state, until the episode ends
    delta = reward + 0.9 * ~terminated * following - value
    torch.testing.assert_close(gae(reward, value, following, terminated, never, 0.9, 0.0), delta)
    whole = gae(reward, value, following, terminated, never, 0.9, 1.0)
    torch.testing.assert_close(whole, returns_to_go(reward, terminated, 0.9) - value)


def test_a_cut_episode_is_worth_its_last_state_and_an_ended_one_nothing():
    one, no, yes = torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.bool), torch.ones(1, 1, dtype=torch.bool)
    assert gae(one, one, 5 * one, yes, no, 0.9, 0.95).item() == pytest.approx(0.0)
    assert gae(one, one, 5 * one, no, yes, 0.9, 0.95).item() == pytest.approx(4.5)


def two_steps(agent):
    """Expected return of a two-step process of 2 states, and all its trajectories with their probabilities."""
    states = torch.eye(2)
    pay = torch.tensor([[[1.0, -2.0], [0.5, 3.0]], [[2.0, 0.0], [-1.0, 1.0]]])  # [step, state, action]
    log_p = agent.actor(states).log_softmax(1)
    paths = []
    for a, b in itertools.product(range(2), repeat=2):  # start in state 0, action a leads to state a
        chance = (log_p[0, a] + log_p[a, b]).exp()
        paths.append((chance, [0, a], [a, b], [pay[0, 0, a], pay[1, a, b]]))
    return paths


def as_batch(path):
    _, visited, actions, rewards = path
    done = torch.tensor([[False], [True]])
    return {
        "obs": torch.eye(2)[visited][:, None],
        "action": torch.tensor(actions)[:, None],
        "reward": torch.stack(rewards)[:, None],
        "terminated": done,
        "truncated": torch.zeros_like(done),
        "mask": torch.ones_like(done),
    }


@pytest.mark.parametrize("baseline", [False, True])
def test_reinforce_is_the_gradient_of_the_expected_return(baseline):
    agent = REINFORCE(2, 2, hidden=(4,), baseline=baseline, normalise=False, gamma=1.0)
    nn.init.normal_(agent.actor[-1].weight)
    parameters = list(agent.actor.parameters())
    paths = two_steps(agent)
    exact = torch.autograd.grad(
        sum(chance * sum(rewards) for chance, _, _, rewards in paths), parameters, retain_graph=True
    )
    mean = [torch.zeros_like(p) for p in parameters]
    for path in paths:
        slope = torch.autograd.grad(agent.training_step(as_batch(path), 0), parameters)
        for total, g in zip(mean, slope, strict=True):
            total -= 2 * path[0].detach() * g  # its loss is a mean over the two steps, and falls
    for a, b in zip(exact, mean, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_good_baseline_lowers_the_variance():
    spread = {}
    for baseline in (False, True):
        torch.manual_seed(0)
        agent = REINFORCE(2, 2, hidden=(4,), baseline=baseline, normalise=False, gamma=1.0)
        paths = [
            (c, v, a, [r + 10 for r in rewards]) for c, v, a, rewards in two_steps(agent)
        ]  # all is well: 10 more a step
        if baseline:
            nn.init.zeros_(agent.critic[-1].weight)
            nn.init.constant_(agent.critic[-1].bias, 15.0)
        slopes = [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(agent.training_step(as_batch(p), 0), agent.actor.parameters())
                ]
            )
            for p in paths
        ]
        chances = torch.stack([p[0] for p in paths]).detach()
        stack = torch.stack(slopes)
        mean = (chances[:, None] * stack).sum(0)
        spread[baseline] = float((chances[:, None] * (stack - mean).square()).sum())
    assert spread[True] < 0.2 * spread[False]


def test_the_critics_target_stands_still():
    agent, batch = A2C(hidden=(4,), lam=0.0, normalise=False, value_weight=1.0), rollout()()
    slope = torch.autograd.grad(agent.training_step(batch, 0), agent.critic[-1].bias)[0]
    value = agent.worth(batch["obs"].flatten(0, 1))
    goal = batch["reward"].flatten() + 0.99 * ~batch["terminated"].flatten() * agent.worth(
        batch["next_obs"].flatten(0, 1)
    )
    torch.testing.assert_close(slope[0], (value - goal).mean())  # ∂/∂bias of ½ (v − target)², the target held


def test_at_ratio_one_ppo_has_the_gradient_of_actor_critic():
    ppo, batch = PPO(hidden=(4,), gamma=0.99, lam=0.95, value_weight=0.5), rollout()()
    a2c = A2C(hidden=(4,), gamma=0.99, lam=0.95, value_weight=0.5, normalise=True)
    a2c.load_state_dict(ppo.state_dict())
    obs, action = batch["obs"].flatten(0, 1), batch["action"].flatten()
    advantage, goal = (x.flatten() for x in ppo.advantages(batch))
    old = ppo.log_prob(ppo.actor(obs), action)[0].detach()
    ours = torch.autograd.grad(ppo.loss(obs, action, old, advantage, goal)[0], list(ppo.parameters()))
    theirs = torch.autograd.grad(a2c.training_step(batch, 0), list(a2c.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_clipping_by_hand():
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1], requires_grad=True)
    gain = clipped(ratio, torch.tensor([2.0, 2.0, -2.0, -2.0, 2.0]), 0.2)
    torch.testing.assert_close(gain.detach(), torch.tensor([2.4, 1.0, -3.0, -1.6, 2.2]))
    gain.sum().backward()
    assert ratio.grad.tolist() == [0.0, 2.0, -2.0, 0.0, 2.0]  # no reward for going further, always one for coming back


def test_conjugate_gradients_solve_the_dense_system():
    g = torch.Generator().manual_seed(0)
    root = torch.randn(8, 8, generator=g, dtype=torch.float64)
    matrix, right = root @ root.T + torch.eye(8), torch.randn(8, generator=g, dtype=torch.float64)
    x = conjugate_gradients(lambda v: matrix @ v, right, steps=40)
    torch.testing.assert_close(x, torch.linalg.solve(matrix, right), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bounds", [None, [-2.0, 2.0]])
def test_fisher_products_are_those_of_the_dense_fisher_matrix(bounds):
    agent = TRPO(3, 2, bounds=bounds, hidden=(3,), damping=0.0).double()
    nn.init.normal_(agent.actor[-1].weight)
    obs = torch.randn(5, 3, dtype=torch.float64)
    output = agent.actor(obs).detach()
    old = (output, torch.zeros(()) if agent.log_std is None else agent.log_std.detach().clone())
    size = sum(p.numel() for p in agent.policy_parameters())
    product = agent.fisher_product(obs, old)
    hessian = torch.stack([product(v) for v in torch.eye(size, dtype=torch.float64)])
    fisher = torch.zeros(size, size, dtype=torch.float64)  # E[∇log π ∇log πᵀ], by enumeration or in closed form
    for i in range(5):
        row = agent.actor(obs[i : i + 1])[0]
        jacobian = torch.stack(
            [
                torch.cat(
                    [g.flatten() for g in torch.autograd.grad(part, list(agent.actor.parameters()), retain_graph=True)]
                )
                for part in row
            ]
        )
        n = jacobian.shape[1]
        if bounds is None:
            p = row.softmax(0).detach()
            inner = p.diag() - torch.outer(p, p)
        else:
            inner = (-2 * agent.log_std.detach()).exp().diag()
            fisher[n:, n:] += 2 * torch.eye(2, dtype=torch.float64) / 5
        fisher[:n, :n] += jacobian.T @ inner @ jacobian / 5
    torch.testing.assert_close(hessian, fisher, rtol=1e-6, atol=1e-8)


def test_a_trust_region_step_keeps_its_bound_and_gains():
    agent, batch = TRPO(hidden=(8,), delta=0.01), rollout()()
    obs, action = batch["obs"].flatten(0, 1), batch["action"].flatten()
    advantage = normalised(torch.where(action == 1, 1.0, -1.0) * obs[:, 0])
    kl, gain = agent.improve(obs, action, advantage)
    assert 0.001 < kl <= 0.01 and gain > 0


def test_continuous_log_prob_is_that_of_a_normal_distribution():
    agent = PPO(3, 2, bounds=[-1.0, 1.0], hidden=(4,))
    nn.init.normal_(agent.log_std)
    obs, action = torch.randn(6, 3), torch.rand(6, 2) * 2 - 1
    mean = agent.actor(obs)
    expected = torch.distributions.Normal(mean, agent.log_std.exp())
    log_p, entropy = agent.log_prob(mean, action)
    torch.testing.assert_close(log_p, expected.log_prob(action).sum(1))
    torch.testing.assert_close(entropy, expected.entropy().sum(1))


def test_actions_are_drawn_by_their_probabilities():
    agent = PPO(4, 3, hidden=(4,))
    nn.init.normal_(agent.actor[-1].weight, std=2.0)
    obs = torch.randn(1, 4).expand(20_000, 4)
    drawn = agent.behave(obs, torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=3) / len(drawn)
    torch.testing.assert_close(shares, agent.actor(obs[:1]).softmax(1)[0].detach(), atol=0.015, rtol=0)
