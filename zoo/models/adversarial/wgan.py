"""Wasserstein GAN with clipped weights (Arjovsky et al., 2017, arXiv:1701.07875) or a gradient penalty (Gulrajani et al., 2017,
arXiv:1704.00028).

The distance is the least work that moves one density onto the other, which falls smoothly even where they don't overlap:

    W₁(p, q) = sup_{‖d‖_Lip ≤ 1} E_p d(x) − E_q d(x),        min_G max_d  E d(x) − E d(G(z))

d is a critic: any number, no probability. What bounds its slope is either a clip of all its weights to [−c, c] after each step,
which drives many of them to ±c, or, on random points x̂ between real and generated images, the penalty λ E (‖∇d(x̂)‖ − 1)² with
one norm an image.

Departures from the papers: samples come from the generator's moving average; learning rates and critic steps are the recipe's.
"""

from typing import Literal

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.models.adversarial.gan import GAN
from zoo.models.adversarial.networks import ConvDiscriminator, ConvGenerator


class WGAN(GAN):
    """Wasserstein GAN, fully connected or convolutional.

    Args:
        image_shape, latent_dim, hidden, num_classes, critic_steps, lr, critic_lr, final_lr, ema: see GAN.
        constraint: "clip" (RMSprop, as in its paper) or "penalty" (Adam).
        clip: c, the largest weight of a clipped critic.
        penalty_weight: λ.
        width: of convolutional networks, as in DCGAN; 0 for the fully connected ones of `hidden`.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; noise z: [N, latent_dim].
    """

    penalty_every = 1

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 64,
        *,
        constraint: Literal["clip", "penalty"] = "penalty",
        clip: float = 0.01,
        penalty_weight: float = 10.0,
        hidden: tuple[int, ...] = (256, 512),
        width: int = 0,
        num_classes: int = 0,
        critic_steps: int = 5,
        lr: float = 1e-4,
        critic_lr: float = 1e-4,
        final_lr: float = 0.0,
        ema: float = 0.999,
    ) -> None:
        super().__init__(
            image_shape,
            latent_dim,
            hidden=hidden,
            num_classes=num_classes,
            critic_steps=critic_steps,
            lr=lr,
            critic_lr=critic_lr,
            beta1=0.0,
            final_lr=final_lr,
            ema=ema,
        )
        self.save_hyperparameters()
        if constraint not in ("clip", "penalty"):
            raise InputError(f"constraint is 'clip' or 'penalty', not {constraint!r}")
        if clip <= 0 or penalty_weight < 0:
            raise InputError(f"clip is above 0 and penalty_weight at least 0, not {clip!r} and {penalty_weight!r}")
        self.constraint, self.clip, self.penalty_weight = constraint, clip, penalty_weight
        if width:
            self.play(
                ConvGenerator(latent_dim, self.image_shape, width, num_classes),
                ConvDiscriminator(
                    self.image_shape, width, num_classes, norm=False
                ),  # its slope is that of single images
            )

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()  # minus the estimate of W₁

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    @property
    def penalises(self) -> bool:
        return self.constraint == "penalty"

    def penalty(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        return self.penalty_weight * (self.slopes(real.lerp(fake.to(real), share), condition) - 1).square().mean()

    def after_critic_step(self) -> None:
        if self.constraint == "clip":
            with torch.no_grad():
                for weight in self.discriminator.parameters():
                    weight.clamp_(-self.clip, self.clip)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        if self.constraint == "penalty":
            return super().configure_optimizers()
        return [  # the paper found Adam's momentum unstable with a clipped critic
            torch.optim.RMSprop(network.parameters(), lr=lr)
            for network, lr in zip((self.generator, self.discriminator), self.rates, strict=True)
        ]
