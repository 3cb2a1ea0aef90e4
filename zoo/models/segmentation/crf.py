"""A conditional random field after the network, solved by mean field (Krähenbühl and Koltun, 2011, arXiv:1210.5644).

Pixels that are near each other and look alike should have the same class. With unary energies -log p and the Potts model, each
round is

    Q_i(c)  ∝  p_i(c) exp( Σ_j k(i, j) Q_j(c) ),
    k(i, j) = a exp(-|s_i - s_j|² / 2 α² - |x_i - x_j|² / 2 β²) + b exp(-|s_i - s_j|² / 2 γ²)

for places s and colours x. Departure from the paper: j runs over a window around i, not over all pixels, and the sums of
kernels are 1.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def mean_field(
    logits: Tensor,
    x: Tensor,
    *,
    rounds: int = 5,
    radius: int = 3,
    step: int = 2,
    appearance: float = 4.0,
    smoothness: float = 2.0,
    colour: float = 0.3,
) -> Tensor:
    """Log-probabilities [N, C, H, W] after some rounds, from logits [N, C, H, W] and transformed images x [N, K, H, W].

    Args:
        radius, step: the window has (2 radius + 1)² pixels, `step` apart.
        appearance, smoothness: weights a and b.
        colour: β on the scale of x.
    """
    unary = logits.float().log_softmax(1)
    if rounds < 1:
        return unary
    pixels = x.float()
    offsets = [(i, j) for i in range(-radius, radius + 1) for j in range(-radius, radius + 1) if (i, j) != (0, 0)]
    reach = radius * step
    alike, near = [], []
    padded = F.pad(pixels, (reach,) * 4, mode="replicate")
    for i, j in offsets:
        other = _moved(padded, i * step, j * step, reach, pixels.shape[-2:])
        place = (i * i + j * j) / (2 * (radius / 1.5) ** 2)
        alike.append(torch.exp(-place - (pixels - other).square().mean(1, keepdim=True) / (2 * colour**2)))
        near.append(torch.exp(torch.tensor(-2.0 * place)))
    total = torch.stack(alike).sum(0).clamp(min=1e-6)  # [N, 1, H, W]
    weights = [
        appearance * a / total + smoothness * n / torch.stack(near).sum() for a, n in zip(alike, near, strict=True)
    ]
    q = unary.softmax(1)
    for _ in range(rounds):
        around = F.pad(q, (reach,) * 4, mode="replicate")
        message = torch.zeros_like(q)
        for (i, j), weight in zip(offsets, weights, strict=True):
            message = message + weight * _moved(around, i * step, j * step, reach, q.shape[-2:])
        q = (unary + message).softmax(1)
    return q.clamp(min=1e-8).log()


def _moved(padded: Tensor, i: int, j: int, reach: int, size: torch.Size) -> Tensor:
    top, left = reach + i, reach + j
    return padded[..., top : top + size[0], left : left + size[1]]
