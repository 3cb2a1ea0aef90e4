"""Kernels: inner products k(x, y) = ⟨φ(x), φ(y)⟩ of features that need not be written down.

    linear xᵀy,   polynomial (xᵀy + c)^d,   RBF exp(−|x − y|² / 2s²),   Ornstein-Uhlenbeck exp(−|x − y| / s)

Infinitely wide ReLU networks f(x) = w_Lᵀ g_L, g_l = sqrt(2 / d_l) relu(W_l g_(l−1)), without biases, with weights N(0, 1), are
two more (Cho and Saul, 2009; Lee et al., 2018, arXiv:1711.00165; Jacot et al., 2018, arXiv:1806.07572). At the start they are
Gaussian processes with the kernel Σ_L (NNGP), and gradient descent on all weights moves them as a linear model with the kernel
H_L (NTK):

    Σ_0 = xᵀy,    cos θ = Σ_(l−1)(x, y) / |x| |y|,
    Σ_l = |x| |y| (sin θ + (π − θ) cos θ) / π,    Σ̇_l = (π − θ) / π,    H_l = Σ_l + H_(l−1) Σ̇_l,    H_0 = Σ_0

The factor 2 keeps Σ_l(x, x) = |x|² in every layer, so H_L(x, x) = (L + 1) |x|².
"""

import math

import torch
from torch import Tensor

from zoo.errors import InputError, UnknownNameError


def linear(x: Tensor, y: Tensor) -> Tensor:
    """xᵀy of points [N, D] and [M, D], [N, M], as all kernels here."""
    return x @ y.T


def polynomial(x: Tensor, y: Tensor, degree: int = 2, offset: float = 0.0) -> Tensor:
    """(xᵀy + offset)^degree."""
    if degree < 1 or offset < 0:
        raise InputError(
            f"a polynomial kernel has degree at least 1 and offset at least 0, not {degree} and {offset!r}"
        )
    return (x @ y.T + offset) ** degree


def rbf(x: Tensor, y: Tensor, scale: float = 1.0) -> Tensor:
    """exp(−|x − y|² / 2 scale²)."""
    square = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return (-square.clamp(min=0) / (2 * _positive(scale) ** 2)).exp()


def ornstein_uhlenbeck(x: Tensor, y: Tensor, scale: float = 1.0) -> Tensor:
    """exp(−|x − y| / scale): its paths are continuous and nowhere smooth."""
    return (-torch.cdist(x, y) / _positive(scale)).exp()


def nngp(x: Tensor, y: Tensor, layers: int = 1) -> Tensor:
    """Σ_L: covariance of the outputs of infinitely wide ReLU networks with L = `layers` hidden layers."""
    return arc_cosine(x, y, layers)[0]


def ntk(x: Tensor, y: Tensor, layers: int = 1) -> Tensor:
    """H_L: inner product of the gradients of the outputs by all weights of such networks."""
    return arc_cosine(x, y, layers)[1]


def arc_cosine(x: Tensor, y: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """NNGP and NTK matrices [N, M] of points [N, D] and [M, D].

    Raises:
        InputError: for a number of hidden layers below 0.
    """
    if isinstance(layers, bool) or not isinstance(layers, int) or layers < 0:
        raise InputError(f"layers must be a whole number of at least 0, not {layers!r}")
    sigma = x @ y.T
    tangent = sigma
    lengths = x.norm(dim=1)[:, None] * y.norm(dim=1)
    for _ in range(layers):
        # atan2 keeps the digits near θ = 0, where the cosine rounds to 1
        theta = torch.atan2((lengths**2 - sigma**2).clamp(min=0).sqrt(), sigma)
        slope = 1 - theta / math.pi
        sigma = lengths * theta.sin() / math.pi + slope * sigma
        tangent = sigma + tangent * slope
    return sigma, tangent


KERNELS = ("linear", "rbf", "nngp", "ntk")


def kernel(name: str, x: Tensor, y: Tensor, *, layers: int = 3, scale: float = 0.5) -> Tensor:
    """The kernel matrix [N, M] of a name in `KERNELS`; LookupError with the known ones for another."""
    if name == "linear":
        return linear(x, y)
    if name == "rbf":
        return rbf(x, y, scale)
    if name in ("nngp", "ntk"):
        return arc_cosine(x, y, layers)[name == "ntk"]
    raise UnknownNameError("kernel", name, KERNELS)


def _positive(scale: float) -> float:
    if not scale > 0:
        raise InputError(f"a kernel's scale must be above 0, not {scale!r}")
    return scale
