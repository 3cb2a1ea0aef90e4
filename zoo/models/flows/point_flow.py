"""What flows of points share: exact densities, sampling, the loss, and what is measured where the true density is known.

    log p(x) = log N(f(x); 0, I) + log |det ∂f/∂x|,        x = f⁻¹(z) with z ~ N(0, I)        (change of variables, in nats)

Training minimises −log p(x) over the data: the Kullback-Leibler divergence from the data to the model, up to the data's entropy.
Where a density is known only up to a factor, exp(−E(x)), the other direction needs no data at all: `reverse_kl`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.core.batch import inputs_of
from zoo.core.checks import as_numbers, check_count, seeded_generator
from zoo.core.data import PointData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.flows.base import MixtureBase
from zoo.models.flows.bijections import Bijection, standard_normal


class PointFlow(ZooModule):
    """Base of the flows of vectors; a subclass sets `dim` and `flow`.

    Shapes:
        points x and codes z: [N, dim].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "points = model.sample_points(500, seed=0)            # [500, 2]\n"
        "print(model.log_prob(points).mean())                 # exact, in nats"
    )
    dim: int
    flow: Bijection

    def __init__(self) -> None:
        super().__init__()
        self.base: MixtureBase | None = None  # of the codes; None for the standard normal distribution

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes z [N, dim] and log p(x) [N]."""
        z, log_det = self.flow(x)
        return z, (standard_normal(z) if self.base is None else self.base.log_prob(z)) + log_det

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, [N]: exact."""
        return self(self._check(x))[1]

    @verb
    def encode(self, x: Tensor) -> Tensor:
        """The codes z = f(x) of points."""
        return self(self._check(x))[0]

    @verb
    def decode(self, z: Tensor) -> Tensor:
        """The points f⁻¹(z) of codes."""
        return self.flow.inverse(self._check(z))

    def sample_points(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw points [n, dim]; the same seed gives the same points on the same device."""
        check_count(n)
        generator = seeded_generator(self.device, seed)
        if self.base is not None:
            return self.decode(self.base.draw(n, generator))
        return self.decode(torch.randn(n, self.dim, device=self.device, generator=generator))

    def interpolate(self, a: Tensor, b: Tensor, *, steps: int = 8) -> Tensor:
        """The path [steps, dim] from point a to point b [dim] that is straight among the codes."""
        check_count(steps, "steps")
        a, b = (as_numbers(point, "points") for point in (a, b))
        if a.numel() != self.dim or b.numel() != self.dim:
            raise InputError(f"interpolate takes two points [{self.dim}], not {list(a.shape)} and {list(b.shape)}")
        start, end = self.encode(torch.stack([a.flatten(), b.flatten()]))
        return self.decode(start + torch.linspace(0, 1, steps, device=self.device)[:, None] * (end - start))

    # Training --------------------------------------------------------------------------------------------------------

    def reverse_kl(self, energy: Callable[[Tensor], Tensor], n: int) -> Tensor:
        """KL(model ‖ exp(−energy)/Z) − log Z from n draws: minimised, it fits a density that was never sampled.

        With x = f⁻¹(z) it is E_z[log p(x) + energy(x)]; the gradient goes through the draw.

        Raises:
            InputError: for a base that learns: the choice of a component has no gradient.
        """
        if self.base is not None:
            raise InputError(
                "a flow whose base learns can't be fitted by its own draws: make it with base_components=0"
            )
        x = self.flow.inverse(torch.randn(n, self.dim, device=self.device))
        return (self(x)[1] + energy(x)).mean()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = -self(inputs_of(batch))[1].mean()
        self.log_train(nll=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/nll", -self(inputs_of(batch))[1].mean(), prog_bar=True, batch_size=len(inputs_of(batch)))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("test/nll", -self(inputs_of(batch))[1].mean(), batch_size=len(inputs_of(batch)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: PointData) -> list[dict[str, Any]]:
        """Negative log-likelihood of the test points, beside the best possible, and the error of the inverse."""
        x = data.tensors("test")[0]
        model, truth = self.log_prob(x).double(), data.log_density(x.double())
        error = (self.decode(self.encode(x)) - x).abs().max()
        values = {
            "nll": (-model.mean(), "mean negative log-likelihood in nats"),
            "kl": (
                (truth - model).mean(),
                "mean of log p(x) − log model(x) in nats, p the density that x is drawn from",
            ),
            "data_entropy": (-truth.mean(), "mean of −log p(x) in nats: no model's nll can be lower but by chance"),
            "inverse_error": (error, "largest difference of decode(encode(x)) from x, float32"),
        }
        return [
            entry(data, "test", key, value, f"{len(x):,} test points, exact: {text}", better="lower", n=len(x))
            for key, (value, text) in values.items()
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"x": torch.rand(16, self.dim, generator=torch.Generator().manual_seed(0)) * 2 - 0.5}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The codes, the density, and the points of codes taken for granted."""
        z, log_prob = self(inputs["x"])
        return {"z": z, "log_prob": log_prob, "decoded": self.decode(inputs["x"])}

    def preview(self, path: Path) -> Path | None:
        """The density of a flow of the plane, beside points that it draws and real ones."""
        if self.dim != 2:
            return None
        from matplotlib.figure import Figure

        from zoo.metrics.points import draw_beside

        points = self.sample_points(4000, seed=0).cpu()
        low, high = points.quantile(0.002, 0) - 0.25, points.quantile(0.998, 0) + 0.25
        axes = [torch.linspace(float(low[i]), float(high[i]), 200) for i in (0, 1)]
        grid = torch.stack(torch.meshgrid(*axes, indexing="xy"), -1).reshape(-1, 2)
        density = self.log_prob(grid.to(self.device)).exp().reshape(200, 200).cpu()
        figure = Figure(figsize=(12, 3.4), layout="constrained")
        first, *others = figure.subplots(1, 3, sharex=True, sharey=True)
        first.pcolormesh(*axes, density, cmap="magma", vmax=float(density.flatten().quantile(0.995)), rasterized=True)
        first.set(title="density", xlabel="$x_1$", ylabel="$x_2$", xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        draw_beside(others, points, self.data)
        write_figure(path, figure, dpi=90)
        return path

    def _check(self, x: Any) -> Tensor:
        x = as_numbers(x, "points")
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise InputError(f"points are [N, {self.dim}], not {list(x.shape)}")
        if not torch.isfinite(x).all():
            raise InputError("the points hold NaN or infinite values")
        return x.to(self.device)
