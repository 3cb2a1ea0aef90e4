"""Deep Q-learning (Mnih et al., 2015), with double and duelling variants.

A network q(s, a) learns what an action is worth from its own, older opinion of where the action leads:

    L = E[ ½ (r + γ max_a' q_old(s', a') − q(s, a))² ]                                              (B 18.7)

`q_old` is a copy of the network that stands still for a while, and no gradient goes through it. Steps are drawn from a replay
memory (`datamodules.environment.Replay`), since those of one episode are too alike. Actions are the best, and random ones with
a probability ε that falls.

`double` lets the network choose a' and its copy value it (van Hasselt et al., 2016, arXiv:1509.06461), which takes away the
optimism of a maximum over noise. `duelling` splits q into v(s) + A(s, a) − mean_a A (Wang et al., 2016, arXiv:1511.06581).

Departures from the paper: vectors for pictures; Adam for RMSprop; Huber's loss, which is the square above for errors below 1; a
batch of the data module brings k minibatches after each stretch of play.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.rl.base import Agent, network


class Duelling(nn.Module):
    """v(s) + A(s, a) − mean_a A(s, a) on a shared body."""

    def __init__(self, inputs: int, hidden: list[int], actions: int) -> None:
        super().__init__()
        self.body = nn.Sequential(network(inputs, hidden[:-1], hidden[-1], gain=2**0.5, activation="relu"), nn.ReLU())
        self.value, self.advantage = nn.Linear(hidden[-1], 1), nn.Linear(hidden[-1], actions)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        advantage = self.advantage(h)
        return self.value(h) + advantage - advantage.mean(-1, keepdim=True)


class DQN(Agent):
    """Q-learning with a network, a replay memory and a target network.

    Args:
        observations, actions, states, scale: see `zoo.models.rl.base.Agent`.
        hidden: widths of the hidden layers; empty for a table (with `states`).
        double: the network chooses the next action, its copy values it.
        duelling: value and advantage as two heads.
        gamma: discount of a step.
        explore: the share of random actions at the run's start and after `explore_share` of it.
        explore_share: share of the run in which exploration falls.
        target_every: batches between two renewals of the copy.
        max_norm: bound of the gradient's norm.
        lr, decay: learning rate, and whether it falls linearly to zero over the run.

    Shapes:
        forward: observations [N, …] to q [N, actions].
    """

    def __init__(
        self,
        observations: int | list[int] = 4,
        actions: int = 2,
        *,
        states: int | None = None,
        hidden: tuple[int, ...] = (256, 256),
        double: bool = False,
        duelling: bool = False,
        gamma: float = 0.99,
        explore: tuple[float, float] = (1.0, 0.04),
        explore_share: float = 0.16,
        target_every: int = 1,
        scale: list[float] | None = None,
        max_norm: float = 10.0,
        lr: float = 2.3e-3,
        decay: bool = True,
    ) -> None:
        super().__init__()
        if duelling and not hidden:
            raise InputError("a duelling network needs a hidden layer: give hidden=[…]")
        self.save_hyperparameters()
        self.automatic_optimization = False  # k steps a batch
        self.build()

    def build(self) -> None:
        hidden, actions = list(self.hparams["hidden"]), self.hparams["actions"]
        duelling = self.hparams["duelling"]
        self.q: nn.Module = (
            Duelling(self.inputs, hidden, actions)
            if duelling
            else network(self.inputs, hidden, actions, activation="relu")
        )
        self.old = [copy.deepcopy(self.q).requires_grad_(False)]  # in a list: no part of the weights

    def forward(self, obs: Tensor) -> Tensor:
        return self.q(self.encode_obs(obs))

    # Verbs' halves ---------------------------------------------------------------------------------------------------

    def decide(self, obs: Tensor, greedy: bool, generator: torch.Generator) -> Tensor:
        best = self(obs).argmax(1)
        if greedy:
            return best
        at_random = torch.randint(self.hparams["actions"], best.shape, generator=generator, device=best.device)
        chance = torch.rand(best.shape, generator=generator, device=best.device)
        return torch.where(chance < self.exploration, at_random, best)

    def worth(self, obs: Tensor) -> Tensor:
        return self(obs)

    @property
    def exploration(self) -> float:
        """ε, the share of random actions now."""
        first, last = self.hparams["explore"]
        return first + (last - first) * min(1.0, self.progress / max(1e-9, self.hparams["explore_share"]))

    # Training --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def goal(self, reward: Tensor, terminated: Tensor, next_obs: Tensor) -> Tensor:
        """r + γ q_old(s', a'), [B]; nothing follows a step that ended the episode."""
        x = self.encode_obs(next_obs)
        old = self.old[0](x)
        best = old.max(1).values if not self.hparams["double"] else old.gather(1, self.q(x).argmax(1, True))[:, 0]
        return reward + self.hparams["gamma"] * (1 - terminated.float()) * best

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Huber's loss of one minibatch [B]."""
        value = self(batch["obs"]).gather(1, batch["action"].long()[:, None])[:, 0]
        return F.smooth_l1_loss(value, self.goal(batch["reward"], batch["terminated"], batch["next_obs"]))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        if batch_idx % self.hparams["target_every"] == 0:
            self.renew()  # at each epoch's first batch in any case: a stopped run has lost the copy
        parameters, loss = list(self.q.parameters()), torch.zeros(())
        names = ("obs", "action", "reward", "terminated", "next_obs")
        for k in range(len(batch["reward"])):
            loss = self.loss({name: batch[name][k] for name in names})
            optimizer.zero_grad()
            self.manual_backward(loss)
            nn.utils.clip_grad_norm_(parameters, self.hparams["max_norm"], foreach=True)
            optimizer.step()
        self.log_play(batch, loss=loss.detach(), exploration=self.exploration)

    def renew(self) -> None:
        """Copy the network into the one that gives the targets."""
        self.old[0].to(self.device).load_state_dict(self.q.state_dict())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.q.parameters(), lr=self.hparams["lr"], fused=True)
