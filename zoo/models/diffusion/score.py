"""Scores and Langevin dynamics: learning ∇ log p and sampling with nothing else.

The score s(x) = ∇ log p(x) needs no normaliser: of p = e^{-f}/Z it is −∇f. It can be learnt from samples in three ways,

    explicit    E ‖s_θ(x) − ∇ log p(x)‖²                  where the score is known               (Hyvärinen, 2005)
    implicit    E [2 tr ∇s_θ(x) + ‖s_θ(x)‖²]              the same up to a constant, no score needed, D backward passes
    denoising   E ‖s_θ(x̃) − (x − x̃)/σ²‖²,  x̃ = x + σε    the score of the data with noise       (Vincent, 2011)

and samples follow from it by Langevin dynamics, x ← x + c·s(x) + √(2c)·ε. Without the noise that is gradient ascent, which ends
on the modes. With it, it mixes too slowly between modes far apart; annealing runs it from much noise in the data to little.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from zoo.core.checks import is_whole
from zoo.errors import InputError

Score = Callable[[Tensor], Tensor]


class LevelScore(Protocol):
    """The score of points at a noise level, by its number."""

    def __call__(self, x: Tensor, level: int) -> Tensor: ...


def explicit_loss(score: Score, x: Tensor, target: Tensor) -> Tensor:
    """Mean of ‖s(x) − target‖² for points x [N, D] whose score is known."""
    return (score(x) - target).square().sum(1).mean()


def implicit_loss(score: Score, x: Tensor) -> Tensor:
    """Mean of 2 tr ∇s(x) + ‖s(x)‖² for points x [N, D]: the explicit loss less E‖∇ log p‖², by partial integration."""
    x = x.detach().requires_grad_()
    s = score(x)
    trace = sum(
        torch.autograd.grad(s[:, i].sum(), x, create_graph=True, materialize_grads=True)[0][:, i]
        for i in range(x.shape[1])
    )
    return (2 * trace + s.square().sum(1)).mean()


def denoising_loss(score: Score, x: Tensor, sigma: float, eps: Tensor) -> Tensor:
    """Mean of σ²‖s(x + σε) + ε/σ‖² for points x [N, D]; the factor makes all noise levels weigh the same."""
    return (sigma * score(x + sigma * eps) + eps).square().sum(1).mean()


def noise_levels(largest: float, smallest: float, count: int) -> Tensor:
    """`count` standard deviations in geometric progression, the largest first.

    The largest should reach the distance between data points, so that its Langevin chain crosses from any to any.
    """
    if not largest > smallest > 0 or count < 2:
        raise InputError(
            f"noise levels run from a larger to a smaller one above 0 in at least 2 steps, not {largest}, {smallest}, {count}"
        )
    return torch.logspace(0, 1, count, base=smallest / largest, dtype=torch.float64).mul(largest).float()


def chain_variance(r: Tensor, growth: float, steps: int) -> Tensor:
    """Variance, in units of σ², that Langevin steps of size r·σ² leave at each of many levels.

    A step scales what a chain carries by 1 − r and adds 2r. Coming from γ times the noise, T steps turn the variance v into
    (1 − r)^2T (γ² v − 2/(2 − r)) + 2/(2 − r) (Song and Ermon, 2020, arXiv:2006.09011, proposition 2); this is where it settles.
    """
    kept, settled = (1 - r) ** (2 * steps), 2 / (2 - r)
    return torch.where(kept * growth**2 < 1, settled * (1 - kept) / (1 - kept * growth**2), torch.inf)


def step_ratio(sigmas: Tensor, steps: int) -> float:
    """r in the step r·σ² that leaves noise of variance nearest to σ² after `steps` steps at each level."""
    r = torch.logspace(-6, -0.05, 4000, dtype=torch.float64)
    variance = chain_variance(r, (sigmas[0] / sigmas[1]).item(), steps)
    return r[(variance - 1).abs().argmin()].item()


def langevin(
    score: Score, x: Tensor, step: float, steps: int, generator: torch.Generator, *, noise: bool = True
) -> Iterator[Tensor]:
    """The states of `steps` steps of Langevin dynamics from x; without noise, of gradient ascent on log p."""
    for _ in range(steps):
        x = x + step * score(x)
        if noise:
            x = x + (2 * step) ** 0.5 * torch.randn(x.shape, device=x.device, generator=generator)
        yield x


def annealed_langevin(
    score: LevelScore, x: Tensor, sigmas: Tensor, steps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """The state at the end of each noise level, from x at the first to the last.

    Args:
        score: the score of points at a level, the number of an entry of sigmas.
        steps: Langevin steps at each level; their size follows σ² by `step_ratio`.
    """
    if not is_whole(steps) or steps < 1:
        raise InputError(f"steps, at each noise level, must be a whole number of at least 1, not {steps!r}")
    ratio = step_ratio(sigmas, steps)
    for level, sigma in enumerate(sigmas.tolist()):
        *_, x = langevin(partial(score, level=level), x, ratio * sigma**2, steps, generator)
        yield x
