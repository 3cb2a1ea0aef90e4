"""Noise conditional score networks (Song and Ermon, 2019, arXiv:1907.05600; the choices of their 2020 sequel, arXiv:2006.09011).

Plain score matching fails three times: data on a thin sheet have no score off it; where there are no data nothing is learnt; and
Langevin dynamics between far modes forgets their weights. One cure for all: learn the scores of the data at many noise levels,
by denoising, with one network that takes the level as an input,

    L = Σ_i σ_i² E ‖ s_θ(x + σ_i ε, σ_i) + ε/σ_i ‖²  =  Σ_i E ‖ ε_θ(x + σ_i ε, i) − ε ‖²,       s_θ = −ε_θ / σ_i

and sample by Langevin dynamics from the largest level to the smallest, each starting where the one before has ended.

Departures from the papers: the network predicts ε and takes its input at unit variance, whatever the level; levels are drawn
evenly over a batch; the last state is denoised once more (Jolicoeur-Martineau et al., 2021). For images the U-Net is that of
ddpm.py; it predicts v, of which ε is made, and takes the angle of the noise as its time, so that training may start from the
weights of ddpm.py.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.batch import inputs_of
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import PointData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.metrics.points import draw_beside
from zoo.models.diffusion.image_generator import ImageGenerator, steps_of
from zoo.models.diffusion.schedule import spread_times
from zoo.models.diffusion.score import annealed_langevin, langevin, noise_levels, step_ratio
from zoo.models.diffusion.unet import UNet


class ScoreModel(ZooModule):
    """The method, for data of any shape; a subclass has `net` and the data's standard deviation.

    Shapes:
        data x: [N, …]; levels: [N] in 0 … L-1, the largest noise first.
    """

    sigmas: Tensor
    spread: float  # standard deviation of the data, roughly
    net: nn.Module

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """The guess of the unit noise ε in noisy data x at their levels."""
        sigma = self.sigmas[level].reshape(-1, *[1] * (x.ndim - 1))
        return self.net(x / (sigma**2 + self.spread**2).sqrt(), 1000 * level / len(self.sigmas))

    def score(self, x: Tensor, level: int) -> Tensor:
        """∇ log p of the data with noise sigmas[level], at x."""
        at = torch.full((len(x),), level, device=x.device)
        return -self(x, at).float() / self.sigmas[level]

    def denoising_loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Mean squared error of ε for data x at one random level each."""
        level = (spread_times(len(x), x.device, generator) * len(self.sigmas)).long().clamp(max=len(self.sigmas) - 1)
        eps = torch.randn(x.shape, device=x.device, generator=generator)
        noisy = x + self.sigmas[level].reshape(-1, *[1] * (x.ndim - 1)) * eps
        return (self(noisy, level).float() - eps).square().mean()

    @verb
    def trajectory(self, x: Tensor, *, steps: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """The states of annealed Langevin dynamics from x at the end of each level, and the last one denoised."""
        generator = generator or seeded_generator(self.device, None)
        levels = annealed_langevin(self.score, x, self.sigmas, steps, generator)
        states = list(track(levels, "drawing", len(self.sigmas)))
        clean = states[-1] + self.sigmas[-1] ** 2 * self.score(states[-1], len(self.sigmas) - 1)
        return [*states, clean]


class NCSN(ImageGenerator, ScoreModel):
    """Score network of small images.

    Args:
        image_shape: (channels, height, width).
        width, channel_mults, blocks, attention_levels, patch, dropout: see UNet.
        levels, largest, smallest: number and range of the noise levels, for pixels in [-1, 1].
        base: a DDPM checkpoint with v-prediction and the same network, whose weights training starts from; None starts afresh.
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
        levels: int = 100,
        largest: float = 20.0,
        smallest: float = 0.02,
        base: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.image_shape, self.base = tuple(image_shape), base
        self.register_buffer("sigmas", noise_levels(largest, smallest, levels), persistent=False)
        options: dict[str, Any] = {"attention_levels": attention_levels, "patch": patch, "dropout": dropout}
        self.net = UNet(image_shape[0], width, channel_mults=channel_mults, blocks=blocks, **options)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        sigma = self.sigmas[level]
        alpha = (1 + sigma**2).rsqrt()  # x_0 + σ ε = (α x_0 + α σ ε) / α, which preserves the variance in brackets
        a, s = alpha.reshape(-1, 1, 1, 1), (alpha * sigma).reshape(-1, 1, 1, 1)
        v = self.net(a * x, steps_of(alpha, alpha * sigma)).float()
        return s * a * x + a * v

    def default_sampler(self) -> str:
        return "annealed Langevin dynamics, 1 step at each noise level"

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        labels: Tensor | None = None,
        steps: int = 1,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            steps: Langevin steps, each one network call, at every noise level: one will do where these are close.
            labels: refused, the model is unconditional.
        """

        def draw(count: int, generator: torch.Generator) -> Tensor:
            x = self.sigmas[0] * self.noise(count, generator)
            return self.trajectory(x, steps=steps, generator=generator)[-1]

        return self.draw_images(n, seed, labels, batch_size, draw)

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.denoising_loss(2 * x - 1, generator)

    def golden_inputs(self) -> dict[str, Tensor]:
        x = torch.randn(2, *self.image_shape, generator=torch.Generator().manual_seed(0))
        return {"x": x, "level": torch.tensor([0, len(self.sigmas) - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"output": self(inputs["x"], inputs["level"])}


class PointScore(nn.Module):
    """ε_θ for points [N, D] at times t [N] in 0 … 1000: a perceptron that sees both."""

    def __init__(self, dim: int, hidden_dim: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = [dim + 3, *[hidden_dim] * depth]
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden_dim, dim))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        s = (t / 1000)[:, None].to(x)
        return self.layers(torch.cat([x, s, (math.pi * s).sin(), (math.pi * s).cos()], dim=1))


class PointNCSN(ScoreModel):
    """Score network of points in the plane, where the true score is known and can be drawn.

    Args:
        dim: length of a vector.
        hidden_dim, depth: width and number of the hidden layers.
        levels, largest, smallest: number and range of the noise levels.

    Shapes:
        points x: [N, dim].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "points = model.sample_points(500, seed=0)            # annealed Langevin dynamics\nprint(points.mean(0))"
    )
    spread = 4.0
    STEPS = 100  # Langevin steps at each level, as the paper's toy takes
    BOX = 8.0  # samples start evenly in [-8, 8]²

    def __init__(
        self,
        dim: int = 2,
        hidden_dim: int = 128,
        *,
        depth: int = 3,
        levels: int = 10,
        largest: float = 20.0,
        smallest: float = 0.1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.dim = dim
        self.register_buffer("sigmas", noise_levels(largest, smallest, levels), persistent=False)
        self.net = PointScore(dim, hidden_dim, depth)

    @verb
    def sample_points(self, n: int, *, seed: int | None = None, annealed: bool = True, steps: int = STEPS) -> Tensor:
        """Draw points [n, dim] by annealed Langevin dynamics; the same seed gives the same points on the same device.

        Args:
            steps: Langevin steps at each noise level.
            annealed: False takes all steps at the smallest level, which is what annealing mends.
        """
        check_count(n)
        check_count(steps, "steps")
        generator = seeded_generator(self.device, seed)
        x = self.BOX * (2 * torch.rand(n, self.dim, device=self.device, generator=generator) - 1)
        if annealed:
            return self.trajectory(x, steps=steps, generator=generator)[-1]
        last = len(self.sigmas) - 1
        with torch.no_grad():  # steps as large as a unit Gaussian bears, as many as annealing takes
            *_, x = langevin(lambda y: self.score(y, last), x, 0.05, steps * len(self.sigmas), generator)
        return x

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.denoising_loss(inputs_of(batch))
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = inputs_of(batch)
        loss = self.denoising_loss(x, seeded_generator(x.device, batch_idx))
        self.log("val/loss", loss, prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    @verb
    def evaluate(self, data: PointData) -> list[dict[str, Any]]:
        """Error of the learnt score where it is known, and the weight of the light mode that sampling finds."""
        x = data.tensors("test")[0].to(self.device)
        noise = torch.randn(x.shape, device=self.device, generator=seeded_generator(self.device, 0))
        errors = []
        for level, sigma in enumerate(self.sigmas.tolist()):
            noisy = x + sigma * noise
            truth = data.score(noisy, sigma)
            errors.append((self.score(noisy, level) - truth).square().sum() / truth.square().sum())
        middle, light = torch.tensor(data.means).mean(0).to(x), data.weights[0]

        def light_share(points: Tensor) -> float:
            return ((points - middle).sum(1) < 0).double().mean().item()

        steps = f"{self.STEPS} steps at each of {len(self.sigmas)} levels"
        ratio = step_ratio(self.sigmas, self.STEPS)
        claims = {
            "score_error": (
                torch.stack(errors).mean().item(),
                "E‖s − ∇log p‖² / E‖∇log p‖², mean over the noise levels",
            ),
            "score_error_largest": (torch.stack(errors).max().item(), "the same at the worst noise level"),
            "light_share": (
                light_share(self.sample_points(10_000, seed=0)),
                f"share of the light mode (truth {light}) by annealed Langevin, {steps} of size {ratio:.3g}·σ²",
            ),
            "light_share_plain": (
                light_share(self.sample_points(10_000, seed=0, annealed=False)),
                f"the same (truth {light}) by Langevin at the smallest level alone, as many steps of size 0.05",
            ),
        }
        return [
            entry(data, "test", k, v, f"10,000 points: {how}", better="lower", n=len(x))
            for k, (v, how) in claims.items()
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        x = 5 * torch.randn(16, self.dim, generator=torch.Generator().manual_seed(0))
        return {"x": x, "level": torch.arange(16) % len(self.sigmas)}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"output": self(inputs["x"], inputs["level"])}

    def preview(self, path: Path) -> Path | None:
        """The score field at three noise levels, samples, and real points."""
        if self.dim != 2:
            return None
        from matplotlib.figure import Figure

        axis = torch.linspace(-self.BOX, self.BOX, 17)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
        figure = Figure(figsize=(15, 3.2), layout="constrained")
        axes = figure.subplots(1, 5, sharex=True, sharey=True)
        with torch.no_grad():
            for panel, level in zip(axes, (0, len(self.sigmas) // 2, len(self.sigmas) - 1), strict=False):
                s = self.score(grid.to(self.device), level).cpu()
                panel.quiver(*grid.T, *(s / s.norm(dim=1, keepdim=True)).T, s.norm(dim=1).log(), cmap="viridis")
                panel.set(title=f"score, σ = {self.sigmas[level]:.2g}", xlabel="$x_1$")
        draw_beside(axes[3:], self.sample_points(2000, seed=0), self.data)
        axes[0].set(ylabel="$x_2$", xlim=(-10, 10), ylim=(-10, 10))
        write_figure(path, figure, dpi=80)
        return path
