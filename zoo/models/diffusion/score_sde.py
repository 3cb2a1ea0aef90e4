"""Score-based generation by stochastic differential equations (Song et al., 2021, arXiv:2011.13456).

Let the steps of DDPM become infinitely many: data dissolve by dx = −½β(t)x dt + √β(t) dw, and x_t = α(t)x_0 + σ(t)ε. With the
score of x_t the process runs backwards, as a stochastic equation or as an ordinary one with the same marginals,

    dx = [−½β x − β s(x, t)] dt + √β dw̄          (reverse SDE)
    dx/dt = −½β (x + s(x, t))                     (probability flow)

The first, with Langevin steps in between that mend the solver's errors, is the predictor-corrector sampler. The second encodes
images and counts their bits. The score is learnt by denoising, s = −ε_θ/σ, with weight σ².

Near the data β and the score change so fast that few even steps in t leave noise behind. Measured by the angle of the noise,
α = cos φ and σ = sin φ, the same flow is a plain turn from noise into data, at an even pace,

    dx/dφ = v(x, φ) = cos φ · ε_θ − sin φ · x_θ,    φ from π/2 (noise) to 0 (data)

so the ODE is solved in φ, and its last step goes straight to x_θ = cos φ · x − sin φ · v.

Departures from the paper: the U-Net of ddpm.py; times are spread evenly over a batch; one step size of the corrector for each
image and not for the batch; the probability flow in φ; the network's output is v, of which ε = σ x + α v, so that training may
start from the weights of ddpm.py.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zoo.blocks.ode import integrate
from zoo.core.checks import check_count, is_whole
from zoo.core.images import check_codes
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.errors import InputError, UnknownNameError
from zoo.models.diffusion.continuous import ContinuousModel
from zoo.models.diffusion.image_generator import steps_of
from zoo.models.diffusion.schedule import spread_times
from zoo.models.diffusion.unet import UNet

EARLIEST = 1e-5  # in training; below it σ is too small to divide by
LAST = 1e-3  # where the reverse SDE and the counting of bits end


class ScoreSDE(ContinuousModel):
    """Variance-preserving SDE of small images.

    Args:
        image_shape: (channels, height, width).
        width, channel_mults, blocks, attention_levels, patch, dropout: see UNet.
        beta_min, beta_max: β(0) and β(1); it rises linearly.
        base: a DDPM checkpoint with v-prediction and the same network, whose weights training starts from; None starts afresh.

    Shapes:
        images: [N, C, H, W] in [0, 1]; angles φ: [N] in 0 (data) … π/2 (noise); times t: 0 … 1.
    """

    samplers: ClassVar[tuple[str, ...]] = ("pc", "sde", "ode")

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 64,
        *,
        channel_mults: Sequence[int] = (1, 2),
        blocks: int = 1,
        attention_levels: Sequence[int] = (1,),
        patch: int = 2,
        dropout: float = 0.0,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        base: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if not 0 < beta_min < beta_max:
            raise InputError(f"beta rises from beta_min above 0 to beta_max, not from {beta_min} to {beta_max}")
        self.image_shape, self.beta_min, self.beta_max, self.base = tuple(image_shape), beta_min, beta_max, base
        self.noise_time, self.data_time = (self.angle(torch.tensor(t)).item() for t in (1.0, LAST))
        self.net = UNet(
            image_shape[0],
            width,
            channel_mults=channel_mults,
            blocks=blocks,
            attention_levels=attention_levels,
            patch=patch,
            dropout=dropout,
        )

    def forward(self, x: Tensor, phi: Tensor) -> Tensor:
        """The guess of v in states [N, C, H, W] at angles [N]."""
        return self.net(x, steps_of(phi.cos(), phi.sin())).float()

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """α(t) and σ(t), in the shape of t: log α = −½ ∫β."""
        log_alpha = -0.25 * t**2 * (self.beta_max - self.beta_min) - 0.5 * t * self.beta_min
        return log_alpha.exp(), (-torch.expm1(2 * log_alpha)).sqrt()

    def angle(self, t: Tensor) -> Tensor:
        """φ(t), in the shape of t."""
        alpha, sigma = self.rates(t)
        return torch.atan2(sigma, alpha)

    def beta(self, t: float) -> float:
        return self.beta_min + t * (self.beta_max - self.beta_min)

    def noise_in(self, x: Tensor, t: Tensor) -> Tensor:
        """The guess of the noise ε in states [N, C, H, W] at times [N]."""
        alpha, sigma = (rate.reshape(-1, 1, 1, 1) for rate in self.rates(t))
        return sigma * x + alpha * self(x, self.angle(t))

    def score(self, x: Tensor, t: float) -> Tensor:
        """∇ log p_t(x)."""
        at = torch.full((len(x),), t, device=x.device)
        return -self.noise_in(x, at) / self.rates(at)[1].reshape(-1, 1, 1, 1)

    def velocity(self, x: Tensor, phi: float) -> Tensor:
        """dx/dφ at states x [N, C, H, W] and one angle."""
        return self(x, torch.full((len(x),), phi, device=x.device))

    @verb
    def trajectory(self, z: Tensor, *, steps: int = 25, method: str = "heun") -> list[Tensor]:
        """The states of the ODE from noise z to data in the scale [-1, 1]; the last step is to the image that is guessed."""
        check_count(steps, "steps")
        z = check_codes(z, self.image_shape).to(self.device)
        angles = [self.noise_time * (1 - k / steps) for k in range(steps)]
        states = [z, *integrate(self.velocity, z, angles, method)]
        x, phi = states[-1], angles[-1]
        return [*states[1:], math.cos(phi) * x - math.sin(phi) * self.velocity(x, phi)]

    @torch.no_grad()
    def reverse_sde(
        self, x: Tensor, steps: int, generator: torch.Generator, *, corrections: int, snr: float
    ) -> Iterator[Tensor]:
        """The states of the reverse SDE by Euler's method with Langevin steps after each step; the last one is denoised."""
        times = torch.linspace(1, LAST, steps + 1, dtype=torch.float64).tolist()
        for t, after in itertools.pairwise(times):
            drift = self.beta(t) * (t - after)
            x = x + drift * (0.5 * x + self.score(x, t))
            x = x + math.sqrt(drift) * torch.randn(x.shape, device=x.device, generator=generator)
            for _ in range(corrections):
                s, z = self.score(x, after), torch.randn(x.shape, device=x.device, generator=generator)
                ratio = snr * z.flatten(1).norm(dim=1) / s.flatten(1).norm(dim=1)
                step = 2 * self.rates(torch.tensor(after))[0] * ratio**2
                # no state varies by more; the step size of a network with the output 0 would be ∞
                step = step.clamp(max=1).reshape(-1, 1, 1, 1)
                x = x + step * s + (2 * step).sqrt() * z
            yield x
        alpha, sigma = self.rates(torch.tensor(times[-1]))
        yield (x + sigma**2 * self.score(x, times[-1])) / alpha  # E[x_0 | x_t] (Tweedie)

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        labels: Tensor | None = None,
        sampler: str = "ode",
        steps: int = 10,
        corrections: int = 1,
        snr: float = 0.16,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            sampler: "ode" (the probability flow, by Heun's method), "pc" (predictor-corrector) or "sde" (the predictor alone),
                which need fifty steps and more.
            steps: of the solver; "pc" takes 1 + corrections network calls in each, "ode" two but for the last.
            corrections, snr: Langevin steps after each step of "pc", and their signal-to-noise ratio.
            labels: refused, the model is unconditional.
        """
        if sampler not in self.samplers:
            raise UnknownNameError("sampler", sampler, self.samplers)
        if not is_whole(corrections) or corrections < 0 or not 0 < snr < math.inf:
            raise InputError(
                f"corrections is a whole number from 0 on and snr above 0, not {corrections!r} and {snr!r}"
            )
        check_count(steps, "steps")

        def draw(count: int, generator: torch.Generator) -> Tensor:
            z = self.noise(count, generator)
            if sampler == "ode":
                return self.trajectory(z, steps=steps)[-1]
            states = self.reverse_sde(z, steps, generator, corrections=corrections if sampler == "pc" else 0, snr=snr)
            *_, x = track(states, "drawing", steps)
            return x

        return self.draw_images(n, seed, labels, batch_size, draw)

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x_0, t = 2 * x - 1, spread_times(len(x), x.device, generator).clamp(min=EARLIEST)
        eps = torch.randn(x.shape, device=x.device, generator=generator)
        alpha, sigma = (rate.reshape(-1, 1, 1, 1) for rate in self.rates(t))
        return (self.noise_in(alpha * x_0 + sigma * eps, t) - eps).square().mean()
