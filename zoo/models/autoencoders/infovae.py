"""InfoVAE (Zhao, Song and Ermon, 2019, arXiv:1706.02262).

The rate of a VAE splits into the information that the code holds about the image and how far all codes together are from the
prior,

    E_x KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ p(z)),        q(z) = E_x q(z|x)

and only the second has to vanish for samples to look like data. InfoVAE weighs them apart:

    min  D + (1 − α) R + (α + λ − 1) MMD²(q(z), p(z))

α = 1 lifts the penalty on information (MMD-VAE), and a kernel's maximum mean discrepancy between the batch's codes and fresh
draws of the prior stands for the second term. Where a VAE switches unneeded units of the code off, this one uses all.
"""

from typing import Any

import torch
from torch import Tensor

from zoo.blocks.dense import Activation
from zoo.core.data import ImageData
from zoo.core.metric import entry
from zoo.errors import InputError
from zoo.models.autoencoders.coder import split_images
from zoo.models.autoencoders.vae import VAE


class InfoVAE(VAE):
    """VAE whose codes are matched to the prior as a whole.

    Args:
        image_shape, latent_dim, hidden, activation, binarize: see VAE.
        alpha: weight of the information in the code; 0 with lambda_ = 1 is the VAE, 1 the MMD-VAE.
        lambda_: weight of the distance between the codes and the prior; the distortion is a sum over pixels, so it is large.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 10,
        *,
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "gelu",
        binarize: bool = True,
        alpha: float = 1.0,
        lambda_: float = 1000.0,
    ) -> None:
        super().__init__(image_shape, latent_dim, hidden=hidden, activation=activation, binarize=binarize)
        self.save_hyperparameters()
        if alpha > 1 or alpha + lambda_ < 1:
            raise InputError(f"alpha is at most 1 and alpha + lambda_ at least 1, not {alpha!r} and {lambda_!r}")
        self.alpha, self.lambda_ = alpha, lambda_

    def penalty(self, z: Tensor, kl: Tensor) -> Tensor:
        distance = squared_mmd(z, torch.randn_like(z))
        return (1 - self.alpha) * kl + (self.alpha + self.lambda_ - 1) * distance

    def likelihood_entries(self, data: ImageData, k: int = 5000, few: int = 100) -> list[dict[str, Any]]:
        x = self.binarize(split_images(data, "test"), seed=0)
        with torch.no_grad():
            mean, log_var = self.posterior(x.to(self.device))
            z = mean + (0.5 * log_var).exp() * self.prior(len(mean), 0)
            distance = squared_mmd(z[:2000], self.prior(2000, 1)).item()
        how = (
            "squared kernel distance of 2,000 codes of test images to the prior, inverse multiquadric kernel, unbiased"
        )
        return [
            *super().likelihood_entries(data, k, few),
            entry(data, "test", "code_mmd2", distance, how, better="lower"),
        ]


def squared_mmd(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased MMD² of samples a, b [N, D]: E k(a, a') + E k(b, b') − 2 E k(a, b), over distinct pairs.

    The kernel c / (c + ‖x − y‖²) with c = 2 D, the mean squared distance of two standard normal vectors: unlike a
    Gaussian's, its tails still pull on codes that are far out (Tolstikhin et al., 2018).
    """
    c, n = 2.0 * a.shape[1], len(a)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return c / (c + torch.cdist(x.float(), y.float(), compute_mode="donot_use_mm_for_euclid_dist").square())

    def within(x: Tensor) -> Tensor:
        return (kernel(x, x).sum() - n) / (n * (n - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()
