"""RealNVP, real-valued non-volume-preserving flow (Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803).

A coupling layer leaves one part of a vector as it is and moves the other by what it reads off the first,

    z_a = x_a,        z_b = x_b · exp(s(x_a)) + t(x_a)          log |det| = Σ s(x_a)

so s and t may be any networks: neither the inverse, x_b = (z_b − t(z_a)) · exp(−s(z_a)), nor the triangular Jacobian asks for
theirs. Alternate which part moves, and a chain of such layers bends a Gaussian into any shape; both directions cost one pass.

Departures from the paper: one network with two outputs for s and t; no batch normalisation between the layers, which a flow of
two dimensions doesn't need; Adam with a cosine schedule. Images, with checkerboards and scales: realnvp_image.py.
"""

import torch
from torch import Tensor, nn

from zoo.errors import InputError
from zoo.models.flows.base import MixtureBase
from zoo.models.flows.bijections import Bijection, Chain, perceptron
from zoo.models.flows.point_flow import PointFlow


class AffineCoupling(Bijection):
    """One coupling layer: the values where mask is 1 stay and move those where it is 0.

    s is bounded by a tanh times a learnt factor of each value, so that no early step explodes.

    Shapes:
        mask: [D]; x: [N, D].
    """

    mask: Tensor

    def __init__(self, mask: Tensor, hidden_dim: int, depth: int) -> None:
        super().__init__()
        dim = len(mask)
        self.register_buffer("mask", mask.float(), persistent=False)
        self.net = perceptron(dim, hidden_dim, depth, 2 * dim)
        self.range = nn.Parameter(torch.ones(dim))

    def scale_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """s and t [N, D] from the values that stay; zero for those."""
        s, t = self.net(kept).chunk(2, dim=1)
        return (1 - self.mask) * self.range * s.tanh(), (1 - self.mask) * t

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.scale_shift(x * self.mask)
        return x * s.exp() + t, s.sum(1)  # where the mask is 1, s = t = 0

    def inverse(self, z: Tensor) -> Tensor:
        s, t = self.scale_shift(z * self.mask)
        return (z - t) * (-s).exp()


class RealNVP(PointFlow):
    """RealNVP of vectors.

    Args:
        dim: length D of a vector, at least 2.
        layers: coupling layers; the even and the odd coordinates take turns.
        hidden_dim, depth: width and number of the hidden layers of each coupling's network.
        base_components: Gaussians of a base that learns, see `base.py`; 0 for the standard normal distribution.

    Shapes:
        points x and codes z: [N, dim].
    """

    def __init__(
        self, dim: int = 2, layers: int = 8, *, hidden_dim: int = 64, depth: int = 2, base_components: int = 0
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if dim < 2 or layers < 1:
            raise InputError(f"a coupling needs dim of at least 2 and layers of at least 1, not {dim} and {layers}")
        self.dim = dim
        even = torch.arange(dim) % 2 == 0
        self.flow = Chain(*(AffineCoupling(even if i % 2 else ~even, hidden_dim, depth) for i in range(layers)))
        if base_components:
            self.base = MixtureBase(dim, base_components)
