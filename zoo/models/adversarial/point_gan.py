"""The game of `GAN` between points of the line or the plane, where its right answer is known (Goodfellow et al., 2014, figure 1).

With the density p of the data at hand one can see what images hide: whether the discriminator comes near the best one,

    D*(x) = p(x) / (p(x) + p_G(x)),        which is ½ everywhere once the generator is right,

how often the generator draws each of several values, and which modes it leaves out. Networks, losses and departures are GAN's;
points lie in [−1, 1], the range of its last layer.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.batch import inputs_of
from zoo.core.checks import check_count
from zoo.core.data import PointData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.metrics.points import real_points, wasserstein
from zoo.models.adversarial.gan import GAN


class PointGAN(GAN):
    """GAN of points.

    Args:
        dim: D, coordinates of a point.
        latent_dim, hidden, generator_loss, r1, lr, critic_lr, beta1, final_lr, ema: see GAN.

    Shapes:
        points x: [N, dim]; noise z: [N, latent_dim].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "points = model.sample_points(500, seed=0)\n"
        "print(points.mean(0), points.std(0))\n"
        "print(model.verdict(points[:5]))                     # how real the discriminator thinks they are"
    )
    learns_from: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        dim: int = 2,
        latent_dim: int = 8,
        *,
        hidden: tuple[int, ...] = (128, 128),
        generator_loss: Literal["non-saturating", "saturating"] = "non-saturating",
        r1: float = 0.0,
        lr: float = 1e-3,
        critic_lr: float = 2e-3,
        beta1: float = 0.5,
        final_lr: float = 0.0,
        ema: float = 0.99,
    ) -> None:
        super().__init__(
            (1, 1, check_count(dim, "dim")),
            latent_dim,
            hidden=hidden,
            generator_loss=generator_loss,
            r1=r1,
            lr=lr,
            critic_lr=critic_lr,
            beta1=beta1,
            final_lr=final_lr,
            ema=ema,
        )
        self.save_hyperparameters()
        self.dim = dim

    # Verbs -----------------------------------------------------------------------------------------------------------

    def sample_points(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw points [n, dim]; the same seed gives the same ones."""
        return 2 * self.sample(n, seed=seed).flatten(1) - 1

    @verb
    def verdict(self, x: Tensor) -> Tensor:
        """D(x), how likely points [N, dim] are real, [N]."""
        if x.ndim != 2 or x.shape[1] != self.dim or not torch.isfinite(x).all():
            raise InputError(f"points are finite [N, {self.dim}], not {list(x.shape)}")
        return self.discriminator(2 * self._as_images(x).to(self.device) - 1, None).sigmoid()

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> None:
        super().training_step(self._as_images(inputs_of(batch)), batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(self._as_images(inputs_of(batch)), batch_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return super().predict_step(self._as_images(inputs_of(batch)), batch_idx)

    def _as_images(self, x: Tensor) -> Tensor:
        return ((x + 1) / 2).reshape(-1, 1, 1, self.dim)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: PointData) -> list[dict[str, Any]]:  # type: ignore[override]  # points, no images
        """How far 10,000 generated points are from the test points, and from the components of their known density."""
        points, real = self.sample_points(10_000, seed=0).cpu(), data.tensors("test")[0]
        index, near = data.nearest(points)
        found = torch.bincount(index[near], minlength=len(data.weights)).double() / len(points)
        weights = torch.tensor(data.weights, dtype=torch.float64)
        share = torch.bincount(index, minlength=len(weights)).double() / len(points)
        off = (self.verdict(real) - 0.5).abs().mean().item()
        values = {
            "modes": (
                int((found >= weights / 4).sum()),
                f"of {len(weights)}: with at least a quarter of their share near them",
            ),
            "near": (near.double().mean().item(), "share of the points within three deviations of a component"),
            "component_kl": (
                torch.where(share > 0, share * (share / weights).log(), 0.0).sum().item(),
                "KL(shares of the nearest components ‖ the data's) in nats",
            ),
            "wasserstein": (
                wasserstein(points, real),
                "W₁ to the test points, in the plane the mean over 64 directions",
            ),
            "verdict_off_half": (off, "mean of |D(x) − ½| at the test points"),
        }
        how = "10,000 points of the averaged generator, seed 0"
        return [
            entry(data, "test", key, value, f"{text}; {how}", better="higher" if key in ("modes", "near") else "lower")
            for key, (value, text) in values.items()
        ]

    def preview(self, path: Path) -> Path:
        """Generated and real points, as histograms on the line or on the discriminator's verdict in the plane."""
        from matplotlib.figure import Figure

        points, real = self.sample_points(4000, seed=0).cpu(), real_points(self.data, 4000)
        at = torch.linspace(-1, 1, 100)
        if self.dim == 1:
            figure = Figure(figsize=(5, 3.4), layout="constrained")
            axis = figure.subplots()
            bins: dict[str, Any] = {"bins": 80, "range": (-1, 1), "density": True}
            axis.hist(points[:, 0].tolist(), color="0.6", label="generated", **bins)
            if real is not None:
                axis.hist(real[:, 0].tolist(), histtype="step", color="tab:orange", label="real", **bins)
            axis.plot(at, self.verdict(at[:, None]).cpu(), color="tab:blue", label="D(x)")
            axis.set(xlabel="x", ylabel="density; D(x)")
            axis.legend()
        else:
            panels = {"generated": points} if real is None else {"real": real, "generated": points}
            figure = Figure(figsize=(4 * len(panels), 3.4), layout="constrained")
            grid = torch.cartesian_prod(at, at)
            plane = torch.cat([grid.flip(1), torch.zeros(len(grid), self.dim - 2)], 1)  # rows are y, columns x
            verdict = self.verdict(plane).cpu().reshape(100, 100)
            axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
            for axis, (title, shown) in zip(axes, panels.items(), strict=True):
                mesh = axis.pcolormesh(at, at, verdict, cmap="coolwarm", vmin=0, vmax=1)
                axis.scatter(shown[:, 0], shown[:, 1], s=1, color="black")
                axis.set(title=title, xlabel="$x_1$", ylabel="$x_2$", xlim=(-1, 1), ylim=(-1, 1))
                axis.label_outer()
            figure.colorbar(mesh, ax=axes, label="D(x)")
        write_figure(path, figure, dpi=90)
        return path
