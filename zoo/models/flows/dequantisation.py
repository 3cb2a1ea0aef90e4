"""Dequantisation: noise that spreads a grey level k over the numbers [k, k + 1)/256, so that a density can fit it.

With noise u of density q, whatever q is,

    log P(k) = log ∫ p((k + u)/256)/256 du  >=  E_q[log p((k + u)/256) − log q(u)] − log 256          (in nats)

Uniform noise has log q = 0. But affine layers can't bend the density of a pixel that is surely black: it stays flat, and a code's
Gaussian fits that a quarter of a bit too dear. Noise that is normal where the flow begins, behind the logit, costs nothing there.
(Variational dequantisation learns q: Ho et al., 2019, arXiv:1902.00275. This q is fixed.)
"""

import math

import torch
from torch import Tensor

LEVELS = 256
REACH = 3.0  # standard deviations from the middle of the black or white cell to its edge


class Uniform:
    """u uniform in [0, 1)."""

    how = "uniform dequantisation"

    def __call__(self, k: Tensor, quantile: Tensor) -> tuple[Tensor, Tensor]:
        """u at a quantile of its distribution, in the shape of the levels k [N, …], and log q(u) [N]."""
        return quantile, quantile.new_zeros(k.shape[0])


class NormalEnds:
    """u of black and white so that the logit of the pixel is normal, cut off at three standard deviations; else uniform.

    Grey levels stay uniform: their density is wide, and narrow noise would cost bits there.

    Args:
        margin: λ of the logit, as in bijections.Logit.
    """

    how = "dequantisation normal in the logit for black and white, uniform for greys"

    def __init__(self, margin: float) -> None:
        low, high = self.logit(margin), self.logit(margin + (1 - 2 * margin) / LEVELS)
        self.margin, self.middle, self.std = margin, (low + high) / 2, (high - low) / (2 * REACH)

    @staticmethod
    def logit(u: float) -> float:
        return math.log(u / (1 - u))

    def __call__(self, k: Tensor, quantile: Tensor) -> tuple[Tensor, Tensor]:
        """u at a quantile of its distribution, in the shape of the levels k [N, …], and log q(u) [N]."""
        inside = math.erf(REACH / math.sqrt(2))  # mass of the normal density that isn't cut off
        e = math.sqrt(2) * torch.erfinv((2 * quantile - 1) * inside)
        pixel = (self.middle + self.std * e).sigmoid()  # of a black one; a white one mirrors it
        u = LEVELS * (pixel - self.margin) / (1 - 2 * self.margin)
        log_slope = math.log((1 - 2 * self.margin) / LEVELS) - pixel.log() - torch.log1p(-pixel)  # of the logit by u
        log_q = -0.5 * e.square() - math.log(math.sqrt(2 * math.pi) * self.std * inside) + log_slope
        black, white = k == 0, k == LEVELS - 1
        u = torch.where(black, u, torch.where(white, 1 - u, quantile))
        return u, torch.where(black | white, log_q, 0.0).flatten(1).sum(1)
