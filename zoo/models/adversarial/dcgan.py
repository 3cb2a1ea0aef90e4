"""Deep convolutional GAN (Radford, Metz and Chintala, 2016, arXiv:1511.06434).

The game of GAN, −log D(x) − log(1 − D(G(z))) against −log D(G(z)), between networks made of strided convolutions: no pooling, no
hidden dense layer, batch norm in both (real and generated batches each with their own statistics), ReLU in the generator, leaky
ReLU in the discriminator, weights from N(0, 0.02²), Adam with β₁ = ½, images in [−1, 1].

Departures from the paper: two doublings in place of four, for 28×28 images; samples come from the generator's moving average;
the discriminator may learn faster than the generator (Heusel et al., 2017).
"""

from zoo.errors import InputError
from zoo.models.adversarial.gan import GAN
from zoo.models.adversarial.networks import ConvDiscriminator, ConvGenerator


class DCGAN(GAN):
    """Convolutional GAN of images whose height and width are multiples of 4.

    Args:
        image_shape, latent_dim, num_classes, r1, lr, critic_lr, beta1, final_lr, ema: see GAN.
        width: channels of the finest hidden layer; the next coarser has twice as many.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; noise z: [N, latent_dim].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 64,
        *,
        width: int = 32,
        num_classes: int = 0,
        r1: float = 0.0,
        lr: float = 2e-4,
        critic_lr: float = 2e-4,
        beta1: float = 0.5,
        final_lr: float = 0.0,
        ema: float = 0.999,
    ) -> None:
        super().__init__(
            image_shape,
            latent_dim,
            hidden=(8,),  # replaced below
            num_classes=num_classes,
            r1=r1,
            lr=lr,
            critic_lr=critic_lr,
            beta1=beta1,
            final_lr=final_lr,
            ema=ema,
        )
        self.save_hyperparameters()
        if image_shape[1] % 4 or image_shape[2] % 4:
            raise InputError(f"height and width must be multiples of 4, not {image_shape[1]} and {image_shape[2]}")
        self.play(
            ConvGenerator(latent_dim, self.image_shape, width, num_classes),
            ConvDiscriminator(self.image_shape, width, num_classes),
        )
