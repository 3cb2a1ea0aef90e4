"""What penalties do to weights, where it can be written down: for a quadratic loss ½ (w − w*)ᵀ H (w − w*).

    L2   + (α/2) ‖w‖²      w = (H + αI)⁻¹ H w*: along an eigenvector of H with eigenvalue λ, times λ / (λ + α)
    L1   + α ‖w‖₁          for a diagonal H: w_i = sign(w*_i) max(|w*_i| − α / H_ii, 0)

L2 shortens what the loss hardly cares about and leaves the rest; L1 takes the same length off everything, and makes zeros.
"""

import torch
from torch import Tensor

from zoo.errors import InputError


def ridge(hessian: Tensor, best: Tensor, alpha: float) -> Tensor:
    """The minimum [n] with the L2 penalty, for a Hessian [n, n] and the minimum without it, `best` [n]."""
    _check(alpha)
    return torch.linalg.solve(hessian + alpha * torch.eye(len(best), dtype=best.dtype), hessian @ best)


def ridge_factors(hessian: Tensor, alpha: float) -> Tensor:
    """λ / (λ + α) for each eigenvalue of a Hessian, the smallest first."""
    values = torch.linalg.eigvalsh(hessian)
    return values / (values + _check(alpha))


def soft_threshold(w: Tensor, by: Tensor | float) -> Tensor:
    """Each number nearer to zero by `by`, and zero where it would pass it."""
    return w.sign() * (w.abs() - by).clamp(min=0)


def lasso(hessian: Tensor, best: Tensor, alpha: float, *, steps: int = 2000) -> Tensor:
    """The minimum [n] with the L1 penalty, by gradient steps each followed by `soft_threshold` (Daubechies et al., 2004)."""
    rate = 1 / torch.linalg.eigvalsh(hessian)[-1]
    w = torch.zeros_like(best)
    for _ in range(steps):
        w = soft_threshold(w - rate * (hessian @ (w - best)), rate * _check(alpha))
    return w


def _check(alpha: float) -> float:
    if not alpha >= 0:
        raise InputError(f"alpha must be 0 or more, not {alpha!r}")
    return alpha
