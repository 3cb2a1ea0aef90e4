"""A variational autoencoder without nonlinearities is probabilistic PCA (Lucas et al., 2019, arXiv:1911.02469).

    p(x|z) = N(W z + μ, σ² I),     q(z|x) = N(V (x − μ), D) with a diagonal D, the same for all x

For any W and σ² the best V and D are the posterior of probabilistic PCA if W's columns are orthogonal, and then the bound is
tight: the highest evidence lower bound is the highest likelihood, at W = U_K (Λ_K − σ² I)^½. A turned W has the same likelihood,
but a posterior that isn't diagonal: unlike the likelihood, the bound picks the principal axes themselves.
"""

import math

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count


class LinearVAE(nn.Module):
    """A linear encoder and decoder of vectors.

    Args:
        dim: D, length of a vector.
        latent_dim: K, length of a code.

    Shapes:
        x: [N, dim].
    """

    def __init__(self, dim: int, latent_dim: int) -> None:
        super().__init__()
        check_count(dim, "dim")
        self.encoder = nn.Linear(dim, check_count(latent_dim, "latent_dim"), bias=False)  # V
        self.decoder = nn.Linear(latent_dim, dim)  # W and μ
        self.log_spread = nn.Parameter(torch.zeros(latent_dim))  # log D
        self.log_variance = nn.Parameter(torch.zeros(()))  # log σ²

    def elbo(self, x: Tensor) -> Tensor:
        """The bound on log p(x) in closed form, [N] in nats: no draw is needed."""
        centred = x - self.decoder.bias
        code, weight, variance = self.encoder(centred), self.decoder.weight, self.log_variance.exp()
        spread = self.log_spread.exp()
        missed = (centred - code @ weight.T).square().sum(1) + (weight.square().sum(0) * spread).sum()
        kl = 0.5 * (code.square() + spread - 1 - self.log_spread).sum(1)
        return -0.5 * (x.shape[1] * (math.log(2 * math.pi) + self.log_variance) + missed / variance) - kl

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) itself: x is Gaussian with covariance W Wᵀ + σ² I."""
        weight = self.decoder.weight
        covariance = weight @ weight.T + self.log_variance.exp() * torch.eye(x.shape[1], dtype=x.dtype)
        return torch.distributions.MultivariateNormal(self.decoder.bias, covariance).log_prob(x)


def best_likelihood(x: Tensor, latent_dim: int) -> tuple[float, Tensor]:
    """The highest mean log-likelihood of probabilistic PCA for vectors [N, D], and its principal axes [D, K]."""
    values, axes = torch.linalg.eigh(torch.cov(x.T, correction=0))
    values, axes = values.flip(0), axes.flip(1)
    noise = values[latent_dim:].mean()
    log_det = values[:latent_dim].log().sum() + (len(values) - latent_dim) * noise.log()
    return -0.5 * (len(values) * (math.log(2 * math.pi) + 1) + log_det).item(), axes[:, :latent_dim]
