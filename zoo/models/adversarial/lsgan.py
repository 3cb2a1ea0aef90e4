"""Least-squares GAN (Mao et al., 2017, arXiv:1611.04076).

The discriminator regresses 1 for real images and 0 for generated ones, the generator pulls its own towards 1:

    min_D ½ E (d(x) − 1)² + ½ E d(G(z))²,        min_G ½ E (d(G(z)) − 1)²

A generated image that is already on the real side still feels a pull while it is far from the border, where the logistic loss
has let go of it. Networks, penalty, averaging and departures are those of GAN.
"""

from torch import Tensor

from zoo.models.adversarial.gan import GAN


class LSGAN(GAN):
    """GAN with squared errors.

    Args:
        image_shape, latent_dim, hidden, num_classes, dropout, r1, critic_steps, lr, critic_lr, beta1, final_lr, ema: see GAN.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; noise z: [N, latent_dim].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 64,
        *,
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

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())

    def generator_loss(self, fake: Tensor) -> Tensor:
        return 0.5 * (fake - 1).square().mean()
