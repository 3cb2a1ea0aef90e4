"""Domain-adversarial network (Ganin et al., 2016, arXiv:1505.07818).

A discriminator D learns to predict from the features G(x) which domain an image is of. Between it and the features stands a layer
that passes everything on and turns the gradient round, so that one backward pass trains D to separate the domains and G to
make them alike:

    min_{G, C} max_D  1/n_s Σ ℓ(C(G(x_i)), y_i)  -  λ [ 1/n_s Σ ℓ(D(G(x_i)), source) + 1/n_t Σ ℓ(D(G(x_j)), target) ]

    reverse(z) = z,    ∂reverse/∂z = -λ,    λ = weight · (2 / (1 + e^(-10 p)) - 1)

with p the share of the run that is done: at first the features are noise, and there's nothing worth making alike.

Departures from the paper: batch norm by domain, three convolutions, a cosine for a power law; on USPS AdamW for momentum.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.adaptation.two_domains import TwoDomainClassifier


class Reverse(torch.autograd.Function):
    """The identity, whose gradient is -λ times what comes back."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return -ctx.strength * gradient, None


def reverse(z: Tensor, strength: float = 1.0) -> Tensor:
    """z, with its gradient turned round and multiplied by `strength`."""
    return Reverse.apply(z, strength)


def reversal_strength(progress: float) -> float:
    """λ = 2 / (1 + e^(-10 p)) - 1 after a share p of the run: from 0 to nearly 1."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class DANN(TwoDomainClassifier):
    """Classifier with features by which a domain discriminator can't separate the domains.

    Args:
        num_classes, in_channels, image_size, width, embedding_dim, dropout: see `TwoDomainClassifier`.
        weight: the largest λ; 0 is training on the source alone.

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
        self.discriminator = nn.Sequential(
            nn.Linear(embedding_dim, embedding_dim), nn.ReLU(), nn.Linear(embedding_dim, 1)
        )
        self.progress = 1.0  # share of the run that is done

    def alignment(self, source: Tensor, target: Tensor) -> Tensor:
        """The discriminator's cross-entropy in nats, averaged within each domain; its gradient reaches the features reversed."""
        strength = self.weight * reversal_strength(self.progress)
        logits = self.discriminator(reverse(torch.cat([source, target]), strength))[:, 0].float()
        real = torch.cat([torch.zeros(len(source)), torch.ones(len(target))]).to(logits)
        return F.binary_cross_entropy_with_logits(logits, real)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        self.progress = self.trainer.global_step / max(1, self.trainer.estimated_stepping_batches)
