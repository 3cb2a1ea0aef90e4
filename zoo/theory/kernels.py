"""Kernels, Gaussian processes, and what infinitely wide networks have to do with them.

Finitely many values of a Gaussian process are jointly Gaussian, with the kernel as covariance. Regression with noise σ² on the
labels t (Rasmussen and Williams, 2006):

    μ(x) = k(x)ᵀ (K + σ²I)⁻¹ t,     σ²(x) = k(x, x) − k(x)ᵀ (K + σ²I)⁻¹ k(x)        of the function; a noisy label has σ² more

A network of width d with weights N(0, 1) scaled as in `zoo.blocks.kernels` tends to a Gaussian process with the kernel
`nngp` as d grows. In training by gradient flow on ½ Σ (f − y)² its outputs u on the training points follow du/dt = −K(t) (u
− y) with K = ⟨∂f/∂θ, ∂f/∂θ⟩; as d grows K stays at its start, the kernel `ntk`, and then

    u(t) = y + exp(−K t) (u(0) − y)

All functions take lists, arrays or tensors and compute in float64. (One textbook calls the limit H* and K* by turns.)
"""

import itertools
import math

import torch
from torch import Tensor

from zoo.blocks import kernels as blocks
from zoo.errors import InputError
from zoo.theory.arrays import Numbers, array, points


def linear(x: Numbers, y: Numbers) -> Tensor:
    """xᵀy of points [N, D] and [M, D], float64 [N, M]; a single point [D] counts as one row."""
    return blocks.linear(*_pair(x, y))


def polynomial(x: Numbers, y: Numbers, degree: int = 2, offset: float = 0.0) -> Tensor:
    """(xᵀy + offset)^degree, float64 [N, M]."""
    return blocks.polynomial(*_pair(x, y), degree, offset)


def polynomial_features(x: Numbers, offset: float = 0.0) -> Tensor:
    """φ(x) of the polynomial kernel of degree 2 of points [N, D]: the squares, √2 times the products, and with an offset c
    also √(2c) times the coordinates and c."""
    x = points(x, "x")
    if offset < 0:
        raise InputError(f"offset must be at least 0, not {offset!r}")
    first, second = torch.triu_indices(x.shape[1], x.shape[1], 1)
    parts = [x.square(), math.sqrt(2) * x[:, first] * x[:, second]]
    if offset:
        parts += [math.sqrt(2 * offset) * x, x.new_full((len(x), 1), offset)]
    return torch.cat(parts, 1)


def rbf(x: Numbers, y: Numbers, scale: float = 1.0) -> Tensor:
    """exp(−|x − y|² / 2 scale²), float64 [N, M]."""
    return blocks.rbf(*_pair(x, y), scale)


def ornstein_uhlenbeck(x: Numbers, y: Numbers, scale: float = 1.0) -> Tensor:
    """exp(−|x − y| / scale), float64 [N, M]."""
    return blocks.ornstein_uhlenbeck(*_pair(x, y), scale)


def nngp(x: Numbers, y: Numbers | None = None, layers: int = 1) -> Tensor:
    """Covariance [N, M] of the outputs of infinitely wide ReLU networks with `layers` hidden layers at points x and y.

    Raises:
        InputError: for points of different dimensions, values that aren't finite, or fewer than 0 layers.
    """
    return blocks.nngp(*_pair(x, x if y is None else y), layers)


def ntk(x: Numbers, y: Numbers | None = None, layers: int = 1) -> Tensor:
    """Neural tangent kernel [N, M] of infinitely wide ReLU networks with `layers` hidden layers at points x and y.

    Raises:
        InputError: for points of different dimensions, values that aren't finite, or fewer than 0 layers.
    """
    return blocks.ntk(*_pair(x, x if y is None else y), layers)


def brownian(x: Numbers, y: Numbers) -> Tensor:
    """min(x, y) of times [N] and [M], not negative: the covariance of Brownian motion, which isn't stationary."""
    a, b = array(x, "x").flatten(), array(y, "y").flatten()
    if a.min() < 0 or b.min() < 0:
        raise InputError("Brownian motion starts at time 0: there are no negative times")
    return torch.minimum(a[:, None], b)


def draw(covariance: Numbers, n: int = 1, seed: int = 0) -> Tensor:
    """n realisations [n, N] of a Gaussian process with mean 0 and a covariance matrix [N, N].

    Raises:
        InputError: for a matrix that isn't symmetric and positive semidefinite.
    """
    k = array(covariance, "the covariance", 2)
    if k.shape[0] != k.shape[1] or not torch.allclose(k, k.T, atol=1e-9 * k.abs().max().item()):
        raise InputError("a covariance matrix is square and symmetric")
    values, vectors = torch.linalg.eigh(k)
    if values[0] < -1e-8 * values[-1].abs() - 1e-12:
        raise InputError(f"a covariance matrix has no negative eigenvalue, this one has {values[0]:.3g}")
    noise = torch.randn(n, len(k), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return noise * values.clamp(min=0).sqrt() @ vectors.T


def regress(
    k_train: Numbers, k_cross: Numbers, k_test: Numbers, targets: Numbers, noise: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean [M] and variance [M] of a Gaussian process at test points; add `noise` to the variance for a noisy label.

    Args:
        k_train: kernel of the training points, [N, N].
        k_cross: kernel of training and test points, [N, M].
        k_test: variances k(x, x) of the test points, [M].
        targets: labels [N].
        noise: variance σ² of the labels.

    Raises:
        InputError: for shapes that don't fit, negative noise, or a matrix that can't be solved.
    """
    k, cross = array(k_train, "k_train", 2), array(k_cross, "k_cross", 2)
    variance, t = array(k_test, "k_test").flatten(), array(targets, "targets").flatten()
    if k.shape != (len(t), len(t)) or cross.shape != (len(t), len(variance)):
        raise InputError(
            f"{len(t)} labels and {len(variance)} test points don't fit kernels of {list(k.shape)} and {list(cross.shape)}"
        )
    if noise < 0:
        raise InputError(f"noise is a variance, at least 0, not {noise!r}")
    factor, info = torch.linalg.cholesky_ex(k + noise * torch.eye(len(k), dtype=k.dtype))
    if info:
        raise InputError("the kernel matrix is singular: leave out doubled points, or give some noise")
    solved = torch.cholesky_solve(cross, factor)  # [N, M]
    return solved.T @ t, (variance - (cross * solved).sum(0)).clamp(min=0)


# Networks of finite width --------------------------------------------------------------------------------------------


def network(dimension: int, width: int, layers: int = 2, seed: int = 0) -> list[Tensor]:
    """Weights N(0, 1) of a ReLU network without biases, [out, in] of each layer, float64; one output."""
    generator = torch.Generator().manual_seed(seed)
    widths = [dimension, *[width] * layers, 1]
    return [
        torch.randn(after, before, dtype=torch.float64, generator=generator)
        for before, after in itertools.pairwise(widths)
    ]


def output(weights: list[Tensor], x: Tensor) -> Tensor:
    """f(x) [N] of points [N, D]: hidden layers are scaled by sqrt(2 / width)."""
    for weight in weights[:-1]:
        x = math.sqrt(2 / len(weight)) * (x @ weight.T).relu()
    return (x @ weights[-1].T)[:, 0]


def empirical_ntk(weights: list[Tensor], x: Numbers, y: Numbers | None = None) -> Tensor:
    """⟨∂f(x)/∂θ, ∂f(y)/∂θ⟩ [N, M] of one network: what `ntk` is the limit of."""
    from torch.func import jacrev, vmap

    x, y = _pair(x, x if y is None else y)

    def gradient(point: Tensor) -> Tensor:
        parts = jacrev(lambda w: output(w, point[None])[0])(list(weights))
        return torch.cat([part.flatten() for part in parts])

    jacobian = vmap(gradient)
    return jacobian(x) @ jacobian(y).T


def linear_dynamics(kernel: Numbers, start: Numbers, targets: Numbers, time: float) -> Tensor:
    """u(t) = y + exp(−K t) (u(0) − y) [N]: outputs after gradient flow of that time with a constant kernel [N, N]."""
    k, u, y = array(kernel, "the kernel", 2), array(start, "the start", 1), array(targets, "the targets", 1)
    if not k.shape == (len(u), len(u)) or len(y) != len(u):
        raise InputError(f"a kernel {list(k.shape)} doesn't fit {len(u)} outputs and {len(y)} targets")
    if not time >= 0:
        raise InputError(f"time must be at least 0, not {time!r}")
    values, vectors = torch.linalg.eigh(k)
    return y + vectors @ ((-values * time).exp() * (vectors.T @ (u - y)))


def train_network(
    weights: list[Tensor], x: Numbers, targets: Numbers, rate: float, steps: int
) -> tuple[list[Tensor], Tensor]:
    """Weights after `steps` of gradient descent on ½ Σ (f − y)², and the outputs [steps + 1, N] on the way."""
    x, y = points(x, "x"), array(targets, "the targets", 1)
    weights = [weight.clone().requires_grad_() for weight in weights]
    path = []
    for _ in range(steps):
        u = output(weights, x)
        path.append(u.detach())
        gradients = torch.autograd.grad(0.5 * (u - y).square().sum(), weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= rate * gradient
    weights = [weight.detach() for weight in weights]
    return weights, torch.stack([*path, output(weights, x)])


def _pair(x: Numbers, y: Numbers) -> tuple[Tensor, Tensor]:
    a, b = points(x, "x"), points(y, "y")
    if a.shape[1] != b.shape[1]:
        raise InputError(f"x has points of {a.shape[1]} coordinates, y of {b.shape[1]}")
    return a, b
