"""Advantage actor-critic (Mnih et al., 2016, arXiv:1602.01783), the synchronous form.

The critic's error is the actor's weight: what came out better than expected is made likelier, at once and not at the end of the
episode.

    δ_t = r_t + γ v(s_{t+1}) − v(s_t),    actor: E[ A_t ∇ log π(a_t | s_t) ],    critic: ½ (g_t − v(s_t))²    (B 18.11, 18.12)

with the critic's target g_t = A_t + v(s_t), through which no gradient goes.

Departures from the paper: one process with n environments side by side instead of many workers; generalised advantages with λ,
of which λ = 0 is the equation above; Adam for RMSprop.
"""

from torch import Tensor

from zoo.models.rl.policy import PolicyAgent, normalised


class A2C(PolicyAgent):
    """Actor-critic with one gradient step a rollout.

    Args:
        observations, actions, states, bounds, scale: see `zoo.models.rl.base.Agent`.
        hidden: widths of the hidden layers of actor and critic.
        activation: "tanh" or "relu".
        gamma: discount of a step.
        lam: λ of the advantages; 0 is the one-step error, 1 the return.
        normalise: bring the advantages of a batch to mean 0 and deviation 1.
        value_weight, entropy: weights of the critic's loss and of the policy's entropy.
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
        gamma: float = 0.99,
        lam: float = 0.95,
        normalise: bool = True,
        value_weight: float = 0.5,
        entropy: float = 0.0,
        lr: float = 5e-3,
        decay: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.build()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        advantage, goal = (x.flatten() for x in self.advantages(batch))
        output, value = self(batch["obs"].flatten(0, 1))
        log_p, entropy = self.log_prob(output, batch["action"].flatten(0, 1))
        if self.hparams["normalise"]:
            advantage = normalised(advantage)
        critic = 0.5 * (value - goal).square().mean()
        loss = self.hparams["value_weight"] * critic - (advantage * log_p).mean()
        self.log_play(batch, entropy=entropy.mean().detach(), critic=critic.detach())
        return loss - self.hparams["entropy"] * entropy.mean()
