"""Consistency models (Song et al., 2023, arXiv:2303.01469), tuned from a diffusion model (Geng et al., 2024, arXiv:2406.14548).

All points of one path of the probability flow belong to one image. A consistency model maps each of them to it, so that a single
call takes noise to an image. It is taught by pairs of points of one path,

    L = E d( f_θ(x_t, t), f_θ⁻(x_r, r) ),    r < t,    x_t = α_t x_0 + σ_t ε,  x_r = α_r x_0 + σ_r ε,    f(x, 0) = x

where θ⁻ takes no gradient. With r = 0 this is the loss of a denoiser, which a diffusion model already has; so tuning starts with
the diffusion model, and r moves from 0 towards t, halving the gap in every stage. With v-prediction, f = α x − σ v is the
identity where there's no noise: the diffusion network is a consistency model in form from the start.

Departures from the papers: discrete steps of a cosine schedule; the gap halves in stages of equal length; the distance is
pseudo-Huber divided by the gap in angle (α = cos φ, σ = sin φ); no dropout.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.diffusion.image_generator import ImageGenerator, spread_times
from zoo.diffusion.schedule import NoiseSchedule, Shape
from zoo.diffusion.unet import UNet
from zoo.errors import InputError


class ConsistencyModel(ImageGenerator):
    """Consistency model of small images.

    Args:
        image_shape: (channels, height, width).
        width, channel_mults, blocks, attention_levels, patch, dropout, timesteps, schedule: as in DDPM.
        base: a DDPM checkpoint with v-prediction and the same network, whose weights training starts from; None starts afresh.
        stages: how often the gap between t and r halves.

    Shapes:
        images: [N, C, H, W] in [0, 1]; steps t: [N] in 0 … T − 1.
    """

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
        timesteps: int = 1000,
        schedule: Shape = "cosine",
        base: str | None = None,
        stages: int = 6,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if stages < 1:
            raise InputError(f"stages must be at least 1, not {stages}")
        self.image_shape, self.base, self.stages = tuple(image_shape), base, stages
        self.schedule = NoiseSchedule(timesteps, schedule)
        self.net = UNet(
            image_shape[0],
            width,
            channel_mults=channel_mults,
            blocks=blocks,
            attention_levels=attention_levels,
            patch=patch,
            dropout=dropout,
        )

    def start_from(self, base: Any) -> None:
        if getattr(base, "prediction", None) != "v" or len(base.schedule) != len(self.schedule):
            raise InputError(f"{self.base} is no diffusion model with v-prediction and {len(self.schedule)} steps")
        super().start_from(base)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The clean image at the end of the path through x_t [N, C, H, W] at steps t [N], in [-1, 1] or a little outside."""
        alpha, sigma = self.schedule.rates(t)
        return alpha * x_t - sigma * self.net(x_t, t).float()

    @torch.inference_mode()
    def trajectory(self, x: Tensor, *, steps: int = 2, generator: torch.Generator | None = None) -> list[Tensor]:
        """The guesses of the clean image from noise x: after each but the last, noise is added again, each time less."""
        self.eval()
        states: list[Tensor] = []
        for t in self.schedule.steps(steps):
            at = torch.full((len(x),), t, device=x.device)
            if states:
                alpha, sigma = self.schedule.rates(at)
                x = alpha * states[-1] + sigma * torch.randn(x.shape, device=x.device, generator=generator)
            states.append(self(x, at).clamp(-1, 1))
        return states

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        labels: Tensor | None = None,
        steps: int = 2,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            steps: network calls; one is enough, a second mends what it missed.
            labels: refused, the model is unconditional.
        """
        self.schedule.steps(steps)

        def draw(count: int, generator: torch.Generator) -> Tensor:
            return self.trajectory(self.noise(count, generator), steps=steps, generator=generator)[-1]

        return self.draw_images(n, seed, labels, batch_size, draw)

    def halvings(self) -> int:
        """How often the gap has been halved: 0 at the start of a run, `stages` in its last part and after it."""
        trainer = getattr(self, "_trainer", None)
        if trainer is None or not self.training:
            return self.stages
        done = trainer.global_step / max(1, trainer.estimated_stepping_batches)
        return min(self.stages, int(done * (self.stages + 1)))

    def earlier(self, t: Tensor, halvings: int) -> Tensor:
        """r for steps t: −1, the clean image, with no halving; halfway there with one; and so on, always before t."""
        return t - ((t + 1).double() / 2**halvings).ceil().long()

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x_0, last = 2 * x - 1, len(self.schedule) - 1
        t = (spread_times(len(x), x.device, generator) * (last + 1)).long().clamp(max=last)
        r = self.earlier(t, self.halvings())
        eps = torch.randn(x.shape, device=x.device, generator=generator)
        (alpha, sigma), (alpha_r, sigma_r) = self.schedule.rates(t), self.schedule.rates(r.clamp(min=0))
        clean = (r < 0).reshape(-1, 1, 1, 1)
        with torch.no_grad():
            target = torch.where(clean, x_0, self(alpha_r * x_0 + sigma_r * eps, r.clamp(min=0)))
        gap = torch.atan2(sigma, alpha) - torch.where(clean, 0.0, torch.atan2(sigma_r, alpha_r))
        error = (self(alpha * x_0 + sigma * eps, t) - target).flatten(1).square().sum(1)
        c = 0.03 * error.new_tensor(x[0].numel()).sqrt()  # below it the distance is a square, above a length
        return (((error + c**2).sqrt() - c) / gap.flatten()).mean() / x[0].numel() ** 0.5

    def golden_inputs(self) -> dict[str, Tensor]:
        x_t = torch.randn(2, *self.image_shape, generator=torch.Generator().manual_seed(0))
        return {"x_t": x_t, "t": torch.tensor([len(self.schedule) // 4, len(self.schedule) - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"image": self(inputs["x_t"], inputs["t"])}
