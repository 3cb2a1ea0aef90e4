"""NICE, non-linear independent components estimation (Dinh, Krueger and Bengio, 2015, arXiv:1410.8516).

The first coupling flow, and the simplest: half of the pixels stay, and a network of them is added to the other half,

    z_a = x_a,        z_b = x_b + m(x_a)          log |det| = 0

Volume is kept by every layer, so only a last diagonal scaling, exp(s), decides which directions matter; the prior is logistic,

    log p(x) = Σ_i [ −softplus(z_i) − softplus(−z_i) + s_i ].

Departures from the paper: narrower networks (512 in place of 1000), AdamW with a cosine schedule.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.flows.bijections import Bijection, Chain, Flatten, perceptron
from zoo.models.flows.image_flow import ImageFlow


class AdditiveCoupling(Bijection):
    """Every second value is shifted by a network's output for the others; `parity` says which ones stay.

    Shapes:
        x: [N, D] with even D.
    """

    def __init__(self, dim: int, parity: int, hidden_dim: int, depth: int) -> None:
        super().__init__()
        self.parity = parity
        self.net = perceptron(dim // 2, hidden_dim, depth, dim // 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._shifted(x, 1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor) -> Tensor:
        return self._shifted(z, -1)

    def _shifted(self, x: Tensor, sign: int) -> Tensor:
        pairs = x.unflatten(1, (-1, 2))  # [N, D/2, 2]
        kept, moved = pairs[..., self.parity], pairs[..., 1 - self.parity]
        moved = moved + sign * self.net(kept).to(x.dtype)
        return torch.stack([moved, kept] if self.parity else [kept, moved], 2).flatten(1)


class Diagonal(Bijection):
    """z = x · exp(s), one learnt s for each value."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * self.log_scale.exp(), self.log_scale.sum().expand(x.shape[0])

    def inverse(self, z: Tensor) -> Tensor:
        return z * (-self.log_scale).exp()


class NICE(ImageFlow):
    """NICE of small images.

    Args:
        image_shape: (channels, height, width), with an even number of pixels.
        layers: coupling layers; even and odd pixels take turns.
        hidden_dim, depth: width and number of the hidden layers of each coupling's network.

    Shapes:
        images: [N, C, H, W] in [0, 1]; codes z: [N, C·H·W].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        layers: int = 4,
        *,
        hidden_dim: int = 512,
        depth: int = 4,
    ) -> None:
        super().__init__(image_shape)
        self.save_hyperparameters()
        if self.dim % 2 or layers < 1:
            raise InputError(
                f"NICE pairs pixels: {self.dim} of them and {layers} layers don't work, take even and >= 1"
            )
        couplings = (AdditiveCoupling(self.dim, i % 2, hidden_dim, depth) for i in range(layers))
        self.flow = Chain(Flatten(self.image_shape), *couplings, Diagonal(self.dim))

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """Of the standard logistic distribution."""
        return -(F.softplus(z) + F.softplus(-z)).sum(1)

    def prior_sample(self, n: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(n, self.dim, device=self.device, generator=generator).clamp(1e-6, 1 - 1e-6)
        return u.log() - torch.log1p(-u)
