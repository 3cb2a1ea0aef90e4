"""Invertible layers: what every normalizing flow is a chain of.

A bijection f gives z = f(x) together with log |det ∂f/∂x|, and goes back exactly. In a chain the maps compose and the
log-determinants add,

    log |det ∂(f_K ∘ … ∘ f_1)/∂x| = Σ_k log |det ∂f_k/∂h_{k-1}|.
"""

import math

import torch
from torch import Tensor, nn

from zoo.blocks.layers import Layers


class Bijection(nn.Module):
    """An invertible layer from the data's side to the latent side.

    Shapes:
        x and z: [N, …], equally many values; log-determinant: [N].
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), and log |det ∂f/∂x| of every sample."""
        raise NotImplementedError

    def inverse(self, z: Tensor) -> Tensor:
        """f⁻¹(z)."""
        raise NotImplementedError


class Chain(Bijection):
    """Bijections one after the other."""

    def __init__(self, *steps: Bijection) -> None:
        super().__init__()
        self.steps = Layers(steps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, log_det = step(x)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor) -> Tensor:
        for step in reversed(list(self.steps)):
            z = step.inverse(z)
        return z


class BatchNorm(Bijection):
    """Batch normalisation as a flow layer, z = γ (x − μ)/√(s² + ε) + β: it keeps deep chains trainable (Dinh et al., 2017).

    Training uses the batch's statistics, evaluation and the inverse the running ones; only then is it one fixed bijection.

    Shapes:
        x: [N, D].
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.log_gamma = nn.Parameter(torch.zeros(dim))
        self.beta = nn.Parameter(torch.zeros(dim))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = self.mean, self.variance
        if self.training:
            variance, mean = torch.var_mean(x, 0, unbiased=False)
            with torch.no_grad():
                self.mean.lerp_(mean.float(), self.momentum)
                self.variance.lerp_(variance.float(), self.momentum)
        z = (x - mean) * (self.log_gamma.exp() / (variance + self.eps).sqrt()) + self.beta
        log_det = (self.log_gamma - 0.5 * (variance + self.eps).log()).sum()
        return z, log_det.expand(x.shape[0])

    def inverse(self, z: Tensor) -> Tensor:
        return (z - self.beta) * (self.variance + self.eps).sqrt() * (-self.log_gamma).exp() + self.mean


class Logit(Bijection):
    """x = log(u/(1 − u)) of u = λ + (1 − 2λ)·y: from pixels y in (0, 1) to the whole line, where flows feel at home.

    λ keeps the ends of the range finite.
    """

    def __init__(self, margin: float = 0.05) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = self.margin + (1 - 2 * self.margin) * x
        log_det = math.log(1 - 2 * self.margin) - u.log() - torch.log1p(-u)
        return u.log() - torch.log1p(-u), log_det.flatten(1).sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        return (z.sigmoid() - self.margin) / (1 - 2 * self.margin)


class Flatten(Bijection):
    """[N, *shape] to [N, D]: for bijections of vectors."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor) -> Tensor:
        return z.reshape(len(z), *self.shape)


def perceptron(in_dim: int, hidden_dim: int, depth: int, out_dim: int) -> nn.Sequential:
    """`depth` hidden layers of ReLUs; the last layer starts at zero, so that the flow starts at the identity."""
    layers: list[nn.Module] = []
    for width in [hidden_dim] * depth:
        layers += [nn.Linear(in_dim, width), nn.ReLU()]
        in_dim = width
    last = nn.Linear(in_dim, out_dim)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I) of every sample, [N]."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
