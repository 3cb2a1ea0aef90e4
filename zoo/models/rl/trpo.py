"""Trust region policy optimisation (Schulman et al., 2015, arXiv:1502.05477).

The largest step that keeps the new policy within a Kullback-Leibler divergence δ of the old one:

    max_θ E[ρ A]   subject to   E KL(π_old ‖ π) ≤ δ,        step = √(2δ / xᵀFx) x,    F x = g

g is the gradient of E[ρ A] and F the Fisher matrix, the Hessian of the divergence. F is never formed: conjugate gradients need
only products F v, each two passes backwards. A line search then halves the step until the divergence holds and the gain is real.

Departures from the paper: a critic gives the advantages (as in the paper's successor on GAE), and Adam fits it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from zoo.models.rl.policy import PolicyAgent, normalised


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], g: Tensor, steps: int = 10, tolerance: float = 1e-10
) -> Tensor:
    """The solution x [D] of F x = g, for a positive definite F that is known by its products F v."""
    x, residual = torch.zeros_like(g), g.clone()
    direction, square = residual.clone(), residual @ residual
    for _ in range(steps):
        if square < tolerance:
            break
        image = product(direction)
        length = square / (direction @ image)
        x = x + length * direction
        residual = residual - length * image
        before, square = square, residual @ residual
        direction = residual + square / before * direction
    return x


class TRPO(PolicyAgent):
    """Natural policy gradient with a trust region and a line search; one policy step a rollout.

    Args:
        observations, actions, states, bounds, scale: see `zoo.models.rl.base.Agent`.
        hidden: widths of the hidden layers of actor and critic.
        activation: "tanh" or "relu".
        delta: δ, bound of the divergence of a step, in nats; with `decay` it falls linearly to zero over the run.
        damping: added to the Fisher matrix's diagonal.
        cg_steps: steps of conjugate gradients.
        backtracks: halvings of the line search before a step is given up.
        critic_steps: steps of Adam on the critic a rollout.
        gamma, lam: discount of a step, and λ of the advantages.
        lr, decay: learning rate of the critic, and whether it falls linearly to zero over the run.
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
        delta: float = 0.01,
        damping: float = 0.1,
        cg_steps: int = 10,
        backtracks: int = 10,
        critic_steps: int = 20,
        gamma: float = 0.99,
        lam: float = 0.95,
        lr: float = 3e-3,
        decay: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.build()

    def policy_parameters(self) -> list[torch.nn.Parameter]:
        """What the trust region bounds: the actor's weights, and the deviation of continuous actions."""
        return [*self.actor.parameters(), *([] if self.log_std is None else [self.log_std])]

    def divergence(self, obs: Tensor, old: tuple[Tensor, Tensor]) -> Tensor:
        """Mean KL(π_old ‖ π) in nats; `old` holds the old actor's output [N, A] and log-deviation [A]."""
        output = self.actor(self.encode_obs(obs))
        if self.hparams["bounds"] is None:
            before, now = old[0].log_softmax(-1), output.log_softmax(-1)
            return (before.exp() * (before - now)).sum(-1).mean()
        assert self.log_std is not None  # bounds come with a deviation
        far = ((2 * old[1]).exp() + (old[0] - output).square()) / (2 * (2 * self.log_std).exp())
        return (self.log_std - old[1] + far - 0.5).sum(-1).mean()

    def fisher_product(self, obs: Tensor, old: tuple[Tensor, Tensor]) -> Callable[[Tensor], Tensor]:
        """The function v ↦ (F + damping) v, v a vector of all policy parameters."""
        parameters = self.policy_parameters()
        slope = torch.autograd.grad(self.divergence(obs, old), parameters, create_graph=True)
        flat = torch.cat([part.flatten() for part in slope])

        def product(v: Tensor) -> Tensor:
            image = torch.autograd.grad(flat @ v, parameters, retain_graph=True)
            return torch.cat([part.flatten() for part in image]) + self.hparams["damping"] * v

        return product

    def improve(self, obs: Tensor, action: Tensor, advantage: Tensor) -> tuple[float, float]:
        """One step of the policy; returns its divergence in nats and its gain, both 0 where no step was found."""
        parameters = self.policy_parameters()
        with torch.no_grad():
            output = self.actor(self.encode_obs(obs))
            old = (output, torch.zeros(()) if self.log_std is None else self.log_std.clone())
            before, _ = self.log_prob(output, action)

        def gain() -> Tensor:
            log_p, _ = self.log_prob(self.actor(self.encode_obs(obs)), action)
            return ((log_p - before).exp() * advantage).mean()

        g = torch.cat([part.flatten() for part in torch.autograd.grad(gain(), parameters)])
        product = self.fisher_product(obs, old)
        x = conjugate_gradients(product, g, self.hparams["cg_steps"])
        delta = self.hparams["delta"] * (1 - self.progress * self.hparams["decay"])
        step = (2 * delta / (x @ product(x)).clamp(min=1e-12)).sqrt() * x
        start, base = parameters_to_vector(parameters).detach().clone(), advantage.mean()
        with torch.no_grad():
            for halvings in range(self.hparams["backtracks"]):
                vector_to_parameters(start + 0.5**halvings * step, parameters)
                kl, better = self.divergence(obs, old), gain() - base
                if kl <= delta and better > 0:
                    return float(kl), float(better)
            vector_to_parameters(start, parameters)
        return 0.0, 0.0

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        obs, action = batch["obs"].flatten(0, 1), batch["action"].flatten(0, 1)
        advantage, goal = (x.flatten() for x in self.advantages(batch))
        kl, gain = self.improve(obs, action, normalised(advantage))
        optimizer: Any = self.optimizers()
        for _ in range(self.hparams["critic_steps"]):
            loss = 0.5 * (self.worth(obs) - goal).square().mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        self.log_play(batch, kl=kl, gain=gain)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.critic is not None  # TRPO always has one
        return torch.optim.Adam(self.critic.parameters(), lr=self.hparams["lr"], fused=True)
