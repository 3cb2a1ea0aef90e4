"""The noise schedule that a diffusion model, its samplers and its losses share.

The forward process mixes an image x_0 with Gaussian noise, a little more at each of T steps. Its marginal is

    x_t = α_t · x_0 + σ_t · ε,        α_t² + σ_t² = 1,        ε ~ N(0, I)                          (variance preserving)

so that a schedule is one table: ᾱ_t = α_t², falling from almost 1 to almost 0. Everything else follows from it.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.core.checks import is_whole
from zoo.errors import InputError

Shape = Literal["linear", "cosine"]


class NoiseSchedule(nn.Module):
    """Table of ᾱ_t for t = 0 … T-1, as a buffer that isn't stored with the weights.

    Args:
        timesteps: T.
        shape: "linear" betas from 1e-4 to 0.02 at T = 1000 (Ho et al., 2020), or "cosine" (Nichol and Dhariwal, 2021),
            which destroys the image more evenly.
    """

    alpha_bar: Tensor

    def __init__(self, timesteps: int = 1000, shape: Shape = "cosine") -> None:
        super().__init__()
        if shape == "linear":
            scale = 1000 / timesteps
            beta = torch.linspace(scale * 1e-4, scale * 0.02, timesteps, dtype=torch.float64).clamp(max=0.999)
        elif shape == "cosine":
            t = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
            f = torch.cos((t + 0.008) / 1.008 * math.pi / 2).square()
            beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)  # keeps the last steps from dividing by zero
        else:
            raise InputError(f"the schedule is 'linear' or 'cosine', not {shape!r}")
        self.register_buffer("alpha_bar", torch.cumprod(1 - beta, 0).float(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "NoiseSchedule":
        """A cast of the model leaves the table in float32: bfloat16 would round its first entries to 1."""
        table = self.alpha_bar
        super()._apply(fn, recurse)
        self.alpha_bar = table.to(self.alpha_bar.device)
        return self

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def draw(self, n: int, generator: torch.Generator | None = None, *, below: int | None = None) -> Tensor:
        """Steps for training, int64 [n], from 0 to T-1 or `below` - 1, evenly spread at one random offset."""
        count = len(self) if below is None else below
        return (spread_times(n, self.alpha_bar.device, generator) * count).long().clamp(max=count - 1)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """α_t and σ_t for steps t [N], shaped [N, 1, 1, 1] to multiply images."""
        alpha_bar = self.alpha_bar[t].reshape(-1, 1, 1, 1)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def steps(self, count: int) -> list[int]:
        """`count` steps from T-1 downwards, evenly spaced, the last one near 0.

        Raises:
            InputError: unless 1 <= count <= T.
        """
        if not is_whole(count) or not 1 <= count <= len(self):
            raise InputError(f"steps must be a whole number from 1 to {len(self)}, not {count!r}")
        return [round(len(self) * (1 - i / count)) - 1 for i in range(count)]


def spread_times(n: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Times in [0, 1), [n], evenly spread at one random offset: less variance in the gradient than n independent draws."""
    offset = torch.rand(1, device=device, generator=generator)
    return (torch.arange(n, device=device) / n + offset) % 1
