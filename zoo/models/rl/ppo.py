"""Proximal policy optimisation (Schulman et al., 2017, arXiv:1707.06347).

A rollout may be used for many gradient steps if the policy stays near the one that played it. With the ratio
ρ = π(a | s) / π_old(a | s), the objective takes no reward for leaving the range 1 ± ε:

    J = E[ min(ρ A, clip(ρ, 1 − ε, 1 + ε) A) ]

At ρ = 1, the first step, its gradient is the actor-critic's.

Departures from the paper: separate networks for policy and value; advantages normalised a minibatch; a bound on the gradient's
norm.
"""

from typing import Any

import torch
from torch import Tensor

from zoo.models.rl.policy import PolicyAgent, normalised


def clipped(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """min(ρ A, clip(ρ, 1 − ε, 1 + ε) A), [N]."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


class PPO(PolicyAgent):
    """Actor-critic with a clipped objective, several passes over each rollout in minibatches.

    Args:
        observations, actions, states, bounds, scale: see `zoo.models.rl.base.Agent`.
        hidden: widths of the hidden layers of actor and critic.
        activation: "tanh" or "relu".
        epochs: passes over a rollout.
        minibatch: steps of a minibatch.
        clip: ε, how far the ratio of probabilities may go from 1.
        gamma, lam: discount of a step, and λ of the advantages.
        value_weight, entropy: weights of the critic's loss and of the policy's entropy.
        max_norm: bound of the gradient's norm.
        lr, decay: learning rate, and whether it falls linearly to zero over the run.
    """

    def __init__(
        self,
        observations: int | list[int] = 4,
        actions: int = 2,
        *,
        states: int | None = None,
        bounds: list[float] | None = None,
        scale: list[float] | None = None,
        hidden: tuple[int, ...] = (64, 64),
        activation: str = "tanh",
        epochs: int = 10,
        minibatch: int = 256,
        clip: float = 0.2,
        gamma: float = 0.98,
        lam: float = 0.8,
        value_weight: float = 0.5,
        entropy: float = 0.0,
        max_norm: float = 0.5,
        lr: float = 1e-3,
        decay: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False  # many steps a batch
        self.build()

    def loss(self, obs: Tensor, action: Tensor, old: Tensor, advantage: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of a minibatch [N], and the estimate of KL(π_old ‖ π) in nats."""
        output, value = self(obs)
        log_p, entropy = self.log_prob(output, action)
        ratio = (log_p - old).exp()
        gain = clipped(ratio, normalised(advantage), self.hparams["clip"]).mean()
        critic = 0.5 * (value - goal).square().mean()
        kl = (ratio.detach() - 1 - (log_p - old).detach()).mean()
        return self.hparams["value_weight"] * critic - gain - self.hparams["entropy"] * entropy.mean(), kl

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        obs, action = batch["obs"].flatten(0, 1), batch["action"].flatten(0, 1)
        advantage, goal = (x.flatten() for x in self.advantages(batch))
        with torch.no_grad():
            old, _ = self.log_prob(self.actor(self.encode_obs(obs)), action)
        kl, parameters = torch.zeros(()), list(self.parameters())
        for _ in range(self.hparams["epochs"]):
            for part in torch.randperm(len(obs)).to(obs.device).split(self.hparams["minibatch"]):
                loss, kl = self.loss(obs[part], action[part], old[part], advantage[part], goal[part])
                optimizer.zero_grad()
                self.manual_backward(loss)
                torch.nn.utils.clip_grad_norm_(parameters, self.hparams["max_norm"], foreach=True)
                optimizer.step()
        self.log_play(batch, kl=kl)
