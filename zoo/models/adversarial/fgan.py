"""f-GAN (Nowozin, Cseke and Tomioka, 2016, arXiv:1606.00709): one game for each f-divergence.

    D_f(p ‖ q) = E_q f(p/q)  ≥  E_p T(x) − E_q f*(T(x)),        f*(t) = sup_u (u t − f(u))

for any T whose values lie where f* is finite; the best one is T = f'(p/q). An output activation keeps T = g(v) there:

    divergence          f(u)          T = g(v)      f*(T)          best v
    KL                  u log u       v             exp(v − 1)     1 + log p/q
    reverse KL          −log u        −exp(−v)      v − 1          log p/q
    Pearson χ²          (u − 1)²      v             v²/4 + v       2 (p/q − 1)
    squared Hellinger   (√u − 1)²     1 − exp(−v)   exp(v) − 1     ½ log p/q
    Jensen–Shannon      GAN's         log σ(v) + log 2              −log σ(−v) − log 2      log p/q

Departures from the paper: the generator raises v of its images whatever the divergence. For reverse KL that is the divergence
itself; elsewhere it is the paper's own trick against vanishing gradients (for Hellinger and Jensen–Shannon up to a monotone
function). What differs between the games is then which density ratio the discriminator learns. Exponentials are continued by
their tangent above `LINEAR_FROM`, where one image would outweigh the batch. The rest is as in GAN.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.adversarial.gan import GAN

Divergence = Literal["kl", "rkl", "pearson", "hellinger", "js"]
LINEAR_FROM = 4.0


class FGAN(GAN):
    """GAN of a chosen divergence.

    Args:
        image_shape, latent_dim, hidden, num_classes, dropout, r1, critic_steps, lr, critic_lr, beta1, final_lr, ema: see GAN.
        divergence: "kl", "rkl", "pearson", "hellinger" or "js".

    Shapes:
        images x: [N, C, H, W] in [0, 1]; noise z: [N, latent_dim].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 64,
        *,
        divergence: Divergence = "kl",
        hidden: tuple[int, ...] = (256, 512),
        num_classes: int = 0,
        dropout: float = 0.0,
        r1: float = 0.0,
        critic_steps: int = 1,
        lr: float = 2e-4,
        critic_lr: float = 2e-4,
        beta1: float = 0.5,
        final_lr: float = 0.0,
        ema: float = 0.999,
    ) -> None:
        super().__init__(
            image_shape,
            latent_dim,
            hidden=hidden,
            num_classes=num_classes,
            dropout=dropout,
            r1=r1,
            critic_steps=critic_steps,
            lr=lr,
            critic_lr=critic_lr,
            beta1=beta1,
            final_lr=final_lr,
            ema=ema,
        )
        self.save_hyperparameters()
        self.divergence = divergence
        terms(divergence, torch.zeros(1))  # raises for an unknown one

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -(terms(self.divergence, real)[0].mean() - terms(self.divergence, fake)[1].mean())

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()


def terms(divergence: str, v: Tensor) -> tuple[Tensor, Tensor]:
    """T = g(v), and its conjugate f*(T), of a network's outputs v.

    Raises:
        InputError: for an unknown divergence.
    """
    if divergence == "kl":
        return v, exp(v - 1)
    if divergence == "rkl":
        return -exp(-v), v - 1
    if divergence == "pearson":
        return v, v.square() / 4 + v
    if divergence == "hellinger":
        return 1 - exp(-v), exp(v) - 1
    if divergence == "js":
        return F.logsigmoid(v) + math.log(2), -F.logsigmoid(-v) - math.log(2)
    raise InputError(f"divergence is 'kl', 'rkl', 'pearson', 'hellinger' or 'js', not {divergence!r}")


def exp(x: Tensor) -> Tensor:
    """exp(x), continued by its tangent above LINEAR_FROM."""
    low = x.clamp(max=LINEAR_FROM)
    return low.exp() * (1 + x - low)
