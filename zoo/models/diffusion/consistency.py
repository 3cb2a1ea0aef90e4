"""Consistency models (Song et al., 2023, arXiv:2303.01469), in segments (Heek et al., 2024, arXiv:2403.06807), distilled.

All points of one path of the probability flow lead to one image. A diffusion model follows the path in many small steps; a
consistency model is taught to give the end of the path from any point of it, so that one call does what many did. Cut into
segments, the path is easier: a model of two learns to reach the middle from above it and the image from below, in two calls.

With s the end of t's segment, r one of `intervals` small steps below t, and the jump f(x, t) = (α_s x_0 + σ_s ε) by the network's
guess of x_0 and ε (deterministic DDIM's step), neighbours on the teacher's path are to agree,

    L = E ‖ f_θ(x_t, t) − f_θ⁻(x_r, r) ‖,    x_t = α_t x_0 + σ_t ε,   x_r = teacher(x_t, t → r),    f(x, s) = x

where θ⁻ takes no gradient. The last condition holds in form: where there's nothing left to jump, f is the identity. The teacher
is the diffusion model whose weights training starts from; its step is Heun's, two calls. There is no chance in its path. The one
through image and fresh noise, which needs no teacher, agrees with it on average only: far more pairs are needed.

Departures from the papers: discrete steps of a cosine schedule; the teacher steps by Heun in the angle φ of α = cos φ, σ = sin φ;
the distance is pseudo-Huber of the points at s themselves; θ⁻ is θ.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.image_generator import ImageGenerator
from zoo.models.diffusion.schedule import NoiseSchedule, Shape, spread_times
from zoo.models.diffusion.unet import UNet


class ConsistencyModel(ImageGenerator):
    """Consistency model of small images, taught by a diffusion model.

    Args:
        image_shape: (channels, height, width).
        width, channel_mults, blocks, attention_levels, patch, dropout, timesteps, schedule: as in DDPM.
        base: a DDPM checkpoint with v-prediction and the same network: the teacher, whose weights training starts from. Without
            it the path goes through the image and the noise that was mixed into it.
        segments: of the path; a sample takes as many network calls.
        intervals: of the teacher's path, spread over all segments: a multiple of `segments`.

    Shapes:
        images: [N, C, H, W] in [0, 1]; steps t: [N] in 0 … T − 1, and −1 for the clean image.
    """

    times: Tensor
    ends: Tensor

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
        segments: int = 2,
        intervals: int = 10,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if segments < 1 or intervals < 1 or intervals % segments:
            raise InputError(f"intervals must be a multiple of segments, not {intervals} of {segments}")
        self.image_shape, self.base, self.segments = tuple(image_shape), base, segments
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
        times = torch.tensor([*self.schedule.steps(intervals), -1])  # from noise down to the clean image
        self.register_buffer("times", times, persistent=False)
        self.register_buffer("ends", times[:: intervals // segments], persistent=False)
        self._teacher: list[Any] = []  # in a list: it is no part of this module and of its checkpoints

    def start_from(self, base: Any) -> None:
        if getattr(base, "prediction", None) != "v" or len(base.schedule) != len(self.schedule):
            raise InputError(f"{self.base} is no diffusion model with v-prediction and {len(self.schedule)} steps")
        super().start_from(base)
        self.learn_from(base)

    def learn_from(self, base: Any) -> None:
        """Let the base teach."""
        self._teacher = [base.eval().requires_grad_(False)]

    def setup(self, stage: str) -> None:
        """Start from the base, as all image generators do, and be taught by it, which a loaded checkpoint is, too."""
        super().setup(stage)
        if stage == "fit" and self.base is not None and not self._teacher:
            from zoo.api import load

            self.learn_from(load(self.base))

    def angles(self, t: Tensor) -> Tensor:
        """φ with α = cos φ, σ = sin φ for steps t [N], 0 for t = −1; [N, 1, 1, 1]."""
        alpha, sigma = self.schedule.rates(t.clamp(min=0))
        return torch.where((t < 0).reshape(-1, 1, 1, 1), 0.0, torch.atan2(sigma, alpha))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The end of t's segment on the path through x_t [N, C, H, W] at steps t [N]: in the last segment, the clean image.

        Along the path x = cos φ · x_0 + sin φ · ε the velocity is v = dx/dφ; a guess of v is one of x_0 and ε, which turn x by
        the angle to s: x_s = cos δ · x − sin δ · v, δ = φ_t − φ_s.
        """
        return self.turn(x_t, self.net(x_t, t).float(), self.angles(t) - self.angles(self.end_of(t)))

    @staticmethod
    def turn(x: Tensor, v: Tensor, angle: Tensor) -> Tensor:
        """The point `angle` nearer to the image than x, if v stays what it is there."""
        return angle.cos() * x - angle.sin() * v

    def end_of(self, t: Tensor) -> Tensor:
        """The last step of the segment that starts at or above steps t [N]; −1 is the clean image."""
        return self.ends[(self.ends[:, None] >= t).sum(0).clamp(max=len(self.ends) - 1)]

    @verb
    def trajectory(self, x: Tensor) -> list[Tensor]:
        """The ends of all segments from noise x on, [N, C, H, W] each; the last are the images, in [-1, 1]."""
        states: list[Tensor] = []
        for t in self.ends[:-1].tolist():
            x = self(x, torch.full((len(x),), t, device=x.device))
            states.append(x)
        return [*states[:-1], states[-1].clamp(-1, 1)]

    def sample(self, n: int, *, seed: int | None = None, labels: Tensor | None = None, batch_size: int = 250) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1] by one network call a segment; the same seed gives the same images.

        Args:
            labels: refused, the model is unconditional.
        """
        return self.draw_images(
            n, seed, labels, batch_size, lambda count, generator: self.trajectory(self.noise(count, generator))[-1]
        )

    def default_sampler(self) -> str:
        return f"{self.hparams['segments']} network calls"

    # Training --------------------------------------------------------------------------------------------------------

    def teach(self, x_t: Tensor, t: Tensor, r: Tensor) -> Tensor:
        """x_r on the teacher's path through x_t: Heun's step, the mean of the velocities at both ends."""
        teacher = self._teacher[0].to(x_t.device)
        angle = self.angles(t) - self.angles(r)
        v = teacher(x_t, t).float()
        x_r = self.turn(x_t, v, angle)
        v_r = teacher(x_r, r.clamp(min=0)).float()
        back = angle.cos() * v_r - angle.sin() * x_r  # velocities turn with their points: what v_r would be at t
        mean = 0.5 * (v + back)
        clean = (r < 0).reshape(-1, 1, 1, 1)  # there the guess is the end: nothing is left to look back from
        return torch.where(clean, x_r, self.turn(x_t, mean, angle))

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Pseudo-Huber distance, a pixel, between the ends that neighbours on one path lead to."""
        intervals = len(self.times) - 1
        i = (spread_times(len(x), x.device, generator) * intervals).long().clamp(max=intervals - 1)
        t, r = self.times[i], self.times[i + 1]
        alpha, sigma = self.schedule.rates(t)
        x_0, eps = 2 * x - 1, torch.randn(x.shape, device=x.device, generator=generator)
        x_t = alpha * x_0 + sigma * eps
        with torch.no_grad():
            phi = self.angles(r)
            x_r = self.teach(x_t, t, r) if self._teacher else phi.cos() * x_0 + phi.sin() * eps
            arrived = (r == self.end_of(t)).reshape(-1, 1, 1, 1)
            target = torch.where(arrived, x_r, self(x_r, r.clamp(min=0)))
        error = (self(x_t, t) - target).flatten(1).square().sum(1)
        c = 0.03 * math.sqrt(x[0].numel())  # below it the distance is a square, above a length
        return ((error + c**2).sqrt() - c).mean() / math.sqrt(x[0].numel())

    # Claims ----------------------------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        x_t = torch.randn(2, *self.image_shape, generator=torch.Generator().manual_seed(0))
        return {"x_t": x_t, "t": torch.tensor([len(self.schedule) // 4, len(self.schedule) - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"image": self(inputs["x_t"], inputs["t"])}
