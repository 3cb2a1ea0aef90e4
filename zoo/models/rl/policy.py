"""What policy-gradient agents share: a policy network, a critic beside it, and the advantages that both learn from.

    δ_t = r_t + γ v(s_{t+1}) − v(s_t),        A_t = δ_t + γλ A_{t+1}        (generalised advantage estimation)

λ = 0 leaves the one-step error δ (B 18.11), λ = 1 the whole return minus the baseline (Schulman et al., 2016, arXiv:1506.02438).
An episode that ended (`terminated`) is worth nothing more; one that was only cut (`truncated`) is worth v of its last state.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.models.rl.base import Agent, network


def gae(
    reward: Tensor, value: Tensor, next_value: Tensor, terminated: Tensor, truncated: Tensor, gamma: float, lam: float
) -> Tensor:
    """Advantages of the steps of a rollout.

    Args:
        value, next_value: v(s_t) and v(s_{t+1}), where s_{t+1} is the state that the step led to, even at an episode's end.
        gamma: discount of a step.
        lam: λ, weight of later errors.

    Shapes:
        all: [T, n], or [T].
    """
    alive, open_ = 1 - terminated.float(), 1 - (terminated | truncated).float()
    delta = reward + gamma * alive * next_value - value
    advantage, last = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        last = delta[t] + gamma * lam * open_[t] * last
        advantage[t] = last
    return advantage


def returns_to_go(reward: Tensor, done: Tensor, gamma: float) -> Tensor:
    """G_t = r_t + γ G_{t+1} within each episode, [T, n]: what followed each step."""
    total, last = torch.empty_like(reward), torch.zeros_like(reward[0])
    for t in range(len(reward) - 1, -1, -1):
        last = reward[t] + gamma * (1 - done[t].float()) * last
        total[t] = last
    return total


def normalised(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """x less its mean, by its standard deviation, both over the entries of the mask."""
    chosen = x if mask is None else x[mask]
    return (x - chosen.mean()) / (chosen.std(correction=0) + 1e-8)


class PolicyAgent(Agent):
    """Base of the agents with a policy network; `critic` is None where `has_critic` is False.

    Shapes:
        forward: observations [N, …] to (logits [N, A], or means [N, A] of continuous actions; values [N]).
    """

    continuous_allowed: ClassVar[bool] = True
    has_critic: bool = True
    actor: nn.Sequential
    critic: nn.Sequential | None
    log_std: nn.Parameter | None

    def build(self) -> None:
        hidden, activation = list(self.hparams["hidden"]), self.hparams["activation"]
        self.actor = network(self.inputs, hidden, self.hparams["actions"], gain=0.01, activation=activation)
        self.critic = network(self.inputs, hidden, 1, activation=activation) if self.has_critic else None
        spread = torch.zeros(self.hparams["actions"]) if self.hparams["bounds"] is not None else None
        self.log_std = None if spread is None else nn.Parameter(spread)

    def forward(self, obs: Tensor) -> tuple[Tensor, ...]:
        x = self.encode_obs(obs)
        return (self.actor(x),) if self.critic is None else (self.actor(x), self.critic(x)[:, 0])

    # Verbs' halves ---------------------------------------------------------------------------------------------------

    def decide(self, obs: Tensor, greedy: bool, generator: torch.Generator) -> Tensor:
        output = self.actor(self.encode_obs(obs))
        bounds = self.hparams["bounds"]
        if bounds is not None:
            assert self.log_std is not None  # `build` makes it where there are bounds
            noise = torch.randn(output.shape, generator=generator, device=output.device)
            action = output if greedy else output + self.log_std.exp() * noise
            return self.scale_up(action) if greedy else self.scale_up(action, clip=False)
        if greedy:
            return output.argmax(1)
        noise = torch.rand(output.shape, generator=generator, device=output.device)
        return (output - (-noise.log()).log()).argmax(1)  # Gumbel's trick: draws from softmax(output)

    def scale_up(self, action: Tensor, clip: bool = True) -> Tensor:
        """Actions of −1 … 1 in the range of the environment."""
        low, high = self.hparams["bounds"]
        action = action.clamp(-1, 1) if clip else action
        return low + (action + 1) * (high - low) / 2

    def worth(self, obs: Tensor) -> Tensor:
        if self.critic is None:
            return super().worth(obs)
        return self.critic(self.encode_obs(obs))[:, 0]

    # What losses are made of -----------------------------------------------------------------------------------------

    def log_prob(self, output: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a | s) [N] and the policy's entropy [N] in nats, from the actor's output [N, A]."""
        bounds = self.hparams["bounds"]
        if bounds is None:
            log_p = output.log_softmax(-1)
            return log_p.gather(-1, action.long()[..., None])[..., 0], -(log_p.exp() * log_p).sum(-1)
        assert self.log_std is not None
        low, high = bounds
        unit = 2 * (action.to(output.dtype) - low) / (high - low) - 1
        log_std = self.log_std.expand_as(output)
        z = (unit - output) / log_std.exp()
        log_p = -0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)
        return log_p.sum(-1), (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    @torch.no_grad()
    def advantages(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Advantages and the critic's targets, A + v, both [T, n], without gradient."""
        steps, n = batch["reward"].shape
        value = self.worth(batch["obs"].flatten(0, 1)).view(steps, n)
        next_value = self.worth(batch["next_obs"].flatten(0, 1)).view(steps, n)
        advantage = gae(
            batch["reward"],
            value,
            next_value,
            batch["terminated"],
            batch["truncated"],
            self.hparams["gamma"],
            self.hparams["lam"],
        )
        return advantage, advantage + value

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams["lr"], eps=1e-5, fused=True)  # one pass, not twelve
