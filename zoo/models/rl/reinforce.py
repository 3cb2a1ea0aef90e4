"""REINFORCE (Williams, 1992): the policy gradient from whole episodes, with or without a baseline.

An action is made likelier by as much as the return that followed it. With G_t = Σ_k γ^k r_{t+k},

    ∇J = E[ Σ_t (G_t − b(s_t)) ∇ log π(a_t | s_t) ]                                              (B 18.9, 18.10)

Any baseline b that depends on the state alone leaves the mean of this gradient as it is; a good one, here the value v(s) that
a second network learns, lowers its variance.

Departures from the textbook: the factor γ^t before each step is dropped, as everywhere in practice; several episodes are
averaged a step; with `normalise` the weights G − b are brought to mean 0 and deviation 1 a batch.
"""

import torch
from torch import Tensor

from zoo.models.rl.policy import PolicyAgent, normalised, returns_to_go


class REINFORCE(PolicyAgent):
    """Policy gradient by whole episodes; its data module plays them with `whole_episodes: true`.

    Args:
        observations, actions, states, bounds, scale: see `zoo.models.rl.base.Agent`.
        hidden: widths of the hidden layers of the policy and the baseline.
        activation: "tanh" or "relu".
        baseline: learn b(s); without it, G_t itself weighs.
        normalise: bring the weights of a batch to mean 0 and deviation 1.
        gamma: discount of a step.
        entropy: weight of the policy's entropy in the objective.
        reward_scale: factor on rewards, where they are large.
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
        baseline: bool = True,
        normalise: bool = True,
        gamma: float = 0.99,
        entropy: float = 0.0,
        reward_scale: float = 1.0,
        lr: float = 5e-3,
        decay: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.has_critic = baseline
        self.build()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        mask = batch["mask"]  # the steps of whole episodes
        obs, action = batch["obs"][mask], batch["action"][mask]
        done = batch["terminated"] | batch["truncated"]
        reward = self.hparams["reward_scale"] * batch["reward"]
        goal = returns_to_go(reward * mask, done, self.hparams["gamma"])[mask]
        output = self(obs)
        log_p, entropy = self.log_prob(output[0], action)
        weight, loss = goal, torch.zeros(())
        if self.has_critic:
            weight = goal - output[1].detach()
            loss = (
                0.5 * (output[1] - goal).square().mean() / goal.square().mean().clamp(min=1)
            )  # as large as the policy's
        if self.hparams["normalise"]:
            weight = normalised(weight)
        loss = loss - (weight * log_p).mean() - self.hparams["entropy"] * entropy.mean()
        self.log_play(batch, entropy=entropy.mean().detach())
        return loss
