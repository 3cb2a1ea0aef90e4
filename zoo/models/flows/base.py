"""A base distribution that learns: a mixture of Gaussians in the place of one (Izmailov et al., 2020, arXiv:1912.13025).

A flow is continuous and invertible, so it can't tear a Gaussian in two: between far modes a thread of density stays. Of a base
p_z(z; ψ) with as many bumps as the data has parts each becomes one, and

    log p(x) = log p_z(f(x); ψ) + log |det ∂f/∂x|,       log p_z(z; ψ) = log Σ_k π_k N(z; μ_k, diag σ_k²)

The gradient of ψ comes from the first term alone.
"""

import math

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count


class MixtureBase(nn.Module):
    """A mixture of K Gaussians with diagonal covariances; at the start all are near the standard one.

    Args:
        dim: D, length of a code.
        components: K.

    Shapes:
        codes z: [N, dim]; log-densities: [N].
    """

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        check_count(dim, "dim")
        self.weights = nn.Parameter(torch.zeros(check_count(components, "components")))  # π = softmax of these
        self.means = nn.Parameter(torch.randn(components, dim))
        self.log_scales = nn.Parameter(torch.zeros(components, dim))

    def log_prob(self, z: Tensor) -> Tensor:
        unit = (z[:, None] - self.means) * (-self.log_scales).exp()  # [N, K, D]
        each = -0.5 * unit.square().sum(2) - self.log_scales.sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
        return (each + self.weights.log_softmax(0)).logsumexp(1)

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """n codes."""
        share = self.weights.softmax(0)
        index = torch.multinomial(share, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], device=self.means.device, generator=generator)
        return self.means[index] + self.log_scales[index].exp() * noise
