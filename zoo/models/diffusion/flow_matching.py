"""Flow matching (Lipman et al., 2023, arXiv:2210.02747; rectified flow, Liu et al., 2023, arXiv:2209.03003).

Join every noise ε to an image x by a straight line, x_t = (1 − t)·ε + t·x, and regress the velocity of the point on it,

    L = E_{x, ε, t} ‖ v_θ(x_t, t) − (x − ε) ‖².

Many lines pass through a point, so the network learns their mean velocity; the flow of that mean field carries the noise to the
data's distribution exactly. It is nearly straight, so an ODE solver needs few steps. No schedule, no weights, no posterior.

A point of the line, shrunk to unit variance, is a point of ddpm.py's path: with s² = t² + (1 − t)², α = t/s, σ = (1 − t)/s it is
x_t / s = α·x + σ·ε, and what ddpm.py regresses there, v = α·ε − σ·x, gives the velocity as well,

    x − ε = (α − σ)·x_t/s − (α + σ)·v.

So the network takes x_t/s and predicts v: its input and output keep their scale at all times, and with the weights of a DDPM the
flow is that model's from the start.

Departures from the papers: this form of the network's output, with the U-Net of ddpm.py; times are spread evenly over a batch;
data in [-1, 1].
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.blocks.ode import solver
from zoo.models.diffusion.continuous import ContinuousModel
from zoo.models.diffusion.image_generator import steps_of
from zoo.models.diffusion.schedule import spread_times
from zoo.models.diffusion.unet import UNet


class FlowMatching(ContinuousModel):
    """Flow matching of small images.

    Args:
        image_shape: (channels, height, width).
        width, channel_mults, blocks, attention_levels, patch, dropout: see UNet.
        base: a DDPM checkpoint with v-prediction and the same network, whose weights training starts from; None starts afresh.

    Shapes:
        images: [N, C, H, W] in [0, 1]; times t: [N] in 0 (noise) … 1 (data).
    """

    noise_time = 0.0
    data_time = 1.0

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
        base: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.image_shape, self.base = tuple(image_shape), base
        self.net = UNet(
            image_shape[0],
            width,
            channel_mults=channel_mults,
            blocks=blocks,
            attention_levels=attention_levels,
            patch=patch,
            dropout=dropout,
        )

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The mean velocity at states [N, C, H, W] and times [N]."""
        s = torch.hypot(t, 1 - t)
        alpha, sigma = ((part / s).reshape(-1, 1, 1, 1) for part in (t, 1 - t))
        z = x_t / s.reshape(-1, 1, 1, 1)
        return (alpha - sigma) * z - (alpha + sigma) * self.net(z, steps_of(t, 1 - t)).float()

    def velocity(self, x: Tensor, t: float) -> Tensor:
        return self(x, torch.full((len(x),), t, device=x.device)).float()

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        labels: Tensor | None = None,
        steps: int = 10,
        method: str = "midpoint",
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            steps: of the solver, evenly from noise to data.
            method: "euler" (one network call a step), "midpoint", "heun" (two) or "rk4" (four).
            labels: refused, the model is unconditional.
        """
        solver(method)
        self.times(steps)

        def draw(count: int, generator: torch.Generator) -> Tensor:
            return self.trajectory(self.noise(count, generator), steps=steps, method=method)[-1]

        return self.draw_images(n, seed, labels, batch_size, draw)

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        x_1, t = 2 * x - 1, spread_times(len(x), x.device, generator)
        eps = torch.randn(x.shape, device=x.device, generator=generator)
        share = t.reshape(-1, 1, 1, 1)
        return (self((1 - share) * eps + share * x_1, t).float() - (x_1 - eps)).square().mean()
