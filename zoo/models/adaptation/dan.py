"""Deep adaptation network (Long et al., 2015, arXiv:1502.02791): features whose means agree in a space of many functions.

The maximum mean discrepancy is the distance of two samples' mean embeddings in the space of a kernel k. With the kernel matrix
K of both samples together and L, which holds 1/n_s² within the source, 1/n_t² within the target and -1/(n_s n_t) across, it is

    MMD² = mean k(x_s, x_s') + mean k(x_t, x_t') - 2 mean k(x_s, x_t) = tr(K L)

    min  1/n_s Σ ℓ(C(G(x_i)), y_i)  +  weight · [ MMD²(embeddings) + MMD²(logits) ]

Unlike DANN's this loss has no adversary. k is a sum of Gaussians of five widths around the mean
distance.

Departures from the paper: a small network from scratch, not AlexNet; all pairs of a batch, not the linear-time estimate; equal
weights of the kernels.
"""

import torch
from torch import Tensor

from zoo.models.adaptation.two_domains import TwoDomainClassifier

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the Gaussians, as shares of the mean squared distance


class DAN(TwoDomainClassifier):
    """Classifier whose embeddings and logits have the same mean in both domains, for every function of a kernel's space.

    Args:
        num_classes, in_channels, image_size, width, embedding_dim, dropout: see `TwoDomainClassifier`.
        weight: of the squared discrepancies; 0 is training on the source alone.

    Shapes:
        images x: [N, in_channels, image_size, image_size]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: int = 16,
        width: int = 32,
        embedding_dim: int = 128,
        weight: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            image_size=image_size,
            width=width,
            embedding_dim=embedding_dim,
            weight=weight,
            dropout=dropout,
        )
        self.save_hyperparameters()

    def alignment(self, source: Tensor, target: Tensor) -> Tensor:
        """weight · (MMD² of the embeddings + MMD² of the logits)."""
        return self.weight * (mmd(source, target) + mmd(self.head(source).float(), self.head(target).float()))


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of samples [N, D] and [M, D], every pair counted (the V-statistic): at least 0."""
    kernel = gaussians(torch.cat([source, target]))  # [N + M, N + M]
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def gaussians(x: Tensor) -> Tensor:
    """Mean of Gaussian kernels of five widths between all rows of x [N, D], [N, N]; the widths carry no gradient."""
    distance = (x[:, None] - x[None]).square().sum(2)
    scale = distance.detach().mean().clamp(min=1e-12)
    return torch.stack([(-distance / (2 * width * scale)).exp() for width in WIDTHS]).mean(0)
