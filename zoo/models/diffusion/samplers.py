"""Samplers: four ways from noise to an image with the same network.

A sampler gets the model's own schedule and a function `denoise(x, t)` that guesses the clean image x_0 from x_t. The guess also
fixes the noise, ε = (x_t − α_t x_0) / σ_t. What differs is how the step from t to an earlier s uses the two:

    ancestral       draw x_s from q(x_s | x_t, x_0), the true posterior           Ho, Jain and Abbeel, 2020, arXiv:2006.11239
    ddim            x_s = α_s x_0 + √(σ_s² − η²v²) ε + η v·noise                   Song, Meng and Ermon, 2021, arXiv:2010.02502
    dpm-solver++    second-order multistep in λ = log(α/σ)                         Lu et al., 2022, arXiv:2211.01095
    heun            trapezoidal rule on the probability-flow ODE, two calls a step  Karras et al., 2022, arXiv:2206.00364
                    (here in the angle φ of α = cos φ, σ = sin φ, where the paper uses the noise level σ/α)

with v² = (σ_s²/σ_t²)(1 − α_t²/α_s²), the posterior's variance: DDIM with η = 1 has the posterior's mean and variance and is
ancestral sampling; with η = 0 it is deterministic, and can be run backwards to encode an image.
"""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from zoo.errors import UnknownNameError
from zoo.models.diffusion.schedule import NoiseSchedule

Denoise = Callable[[Tensor, int], Tensor]


class Sampler(Protocol):
    def __call__(
        self, denoise: Denoise, x: Tensor, schedule: NoiseSchedule, steps: int, eta: float, generator: torch.Generator
    ) -> Iterator[Tensor]: ...


def _nodes(schedule: NoiseSchedule, steps: int) -> Iterator[tuple[int, float, float, float, float]]:
    """(t, α_t, σ_t, α_s, σ_s) for every step from t to the next earlier s; the last s is the clean image."""
    times = schedule.steps(steps)
    table = schedule.alpha_bar.double().tolist()
    for t, s in zip(times, [*times[1:], None], strict=True):
        now, after = table[t], 1.0 if s is None else table[s]
        yield t, math.sqrt(now), math.sqrt(1 - now), math.sqrt(after), math.sqrt(1 - after)


def ddim(
    denoise: Denoise, x: Tensor, schedule: NoiseSchedule, steps: int, eta: float, generator: torch.Generator
) -> Iterator[Tensor]:
    for t, alpha_t, sigma_t, alpha_s, sigma_s in _nodes(schedule, steps):
        x_0 = denoise(x, t)
        eps = (x - alpha_t * x_0) / sigma_t
        spread = eta * (sigma_s / sigma_t) * math.sqrt(max(0.0, 1 - (alpha_t / alpha_s) ** 2))
        x = alpha_s * x_0 + math.sqrt(max(0.0, sigma_s**2 - spread**2)) * eps
        if spread:
            x = x + spread * torch.randn(x.shape, device=x.device, generator=generator)
        yield x


def ancestral(
    denoise: Denoise, x: Tensor, schedule: NoiseSchedule, steps: int, eta: float, generator: torch.Generator
) -> Iterator[Tensor]:
    for t, alpha_t, sigma_t, alpha_s, sigma_s in _nodes(schedule, steps):
        x_0 = denoise(x, t)
        kept = (alpha_t / alpha_s) ** 2  # the share of the signal that survives from s to t: 1 − β when s = t − 1
        mean = (alpha_s * (1 - kept) * x_0 + math.sqrt(kept) * sigma_s**2 * x) / sigma_t**2
        spread = math.sqrt((1 - kept) * sigma_s**2 / sigma_t**2)
        noise = torch.randn(x.shape, device=x.device, generator=generator) if spread else 0.0
        x = mean + spread * noise
        yield x


def dpm_solver_pp(
    denoise: Denoise, x: Tensor, schedule: NoiseSchedule, steps: int, eta: float, generator: torch.Generator
) -> Iterator[Tensor]:
    previous, h_previous = None, 0.0
    for t, alpha_t, sigma_t, alpha_s, sigma_s in _nodes(schedule, steps):
        x_0 = denoise(x, t)
        if sigma_s == 0:  # λ is infinite at the clean image: the step there is the guess itself
            x = x_0
        else:
            h = math.log(alpha_s / sigma_s) - math.log(alpha_t / sigma_t)
            slope = 0.0 if previous is None else 0.5 * h / h_previous  # extrapolates x_0 to the middle of the step
            guess = x_0 if previous is None else (1 + slope) * x_0 - slope * previous
            x = (sigma_s / sigma_t) * x - alpha_s * math.expm1(-h) * guess
            previous, h_previous = x_0, h
        yield x


def heun(
    denoise: Denoise, x: Tensor, schedule: NoiseSchedule, steps: int, eta: float, generator: torch.Generator
) -> Iterator[Tensor]:
    times = schedule.steps(steps)
    for (t, alpha_t, sigma_t, alpha_s, sigma_s), s in zip(_nodes(schedule, steps), [*times[1:], None], strict=True):
        x_0 = denoise(x, t)
        if s is None:  # the clean image has no noise level to look back from
            x = x_0
        else:
            angle = math.atan2(sigma_s, alpha_s) - math.atan2(sigma_t, alpha_t)  # (α, σ) = (cos φ, sin φ)
            velocity = (alpha_t * x - x_0) / sigma_t  # dx/dφ = α ε − σ x_0, well-scaled at every φ
            ahead = x + angle * velocity
            velocity = 0.5 * (velocity + (alpha_s * ahead - denoise(ahead, s)) / sigma_s)
            x = x + angle * velocity
        yield x


SAMPLERS: dict[str, Sampler] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "dpm-solver++": dpm_solver_pp,
    "heun": heun,
}


def sampler(name: str) -> Sampler:
    """A sampler by name; LookupError that names the known ones."""
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    return SAMPLERS[name]
