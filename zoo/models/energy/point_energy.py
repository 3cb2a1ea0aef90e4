"""An energy-based model of points: a network that gives every point a height, and water that settles in its valleys.

    p(x) = exp(−f(x)) / Z,       ∇_θ E[−log p] = E_data[∇_θ f(x)] − E_p[∇_θ f(x)]        (Hinton, 2002; Du and Mordatch, 2019)

f may be any network: no inverse, no normaliser, no order of the coordinates. The price is Z, the integral that nobody knows. Its
gradient is a mean over the model's own samples, so training sinks f at the data and lifts it where the model puts points that
aren't data. Those points come from Langevin dynamics, x ← x − c ∇f(x) + √(2c) ε; the chains are kept from step to step
(Tieleman, 2008), and a few start anew each time, since a chain seldom crosses from one valley to another.

In the plane Z is a sum over a fine grid, so that what training never sees can be measured here: log p, and its distance to the
data's.

Departures from the papers: a bowl ‖x‖²/2s² is added to the network, which makes Z finite; samples to look at take more steps
from an even start in the data's box, with steps that shrink.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.blocks.dense import dense
from zoo.core.batch import inputs_of
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import PointData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError


class PointEnergy(ZooModule):
    """Energy of points of the plane, a perceptron in a bowl.

    Args:
        dim: length of a point; log p needs 2.
        hidden: widths of the hidden layers.
        box: (low, high) of both coordinates: where chains start, and what the grid of Z covers.
        bowl: s, the width of the bowl.
        chains: chains that are kept.
        steps: Langevin steps of each chain in a training step.
        step_size: c of these.
        fresh: share of the chains that start anew in each training step.

    Shapes:
        points x: [N, dim]; energies: [N].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "points = model.sample_points(500, seed=0)            # Langevin dynamics, [500, 2]\n"
        "print(model.energy(points).mean(), model.log_prob(points).mean())"
    )
    chains: Tensor
    GRID = 500  # nodes a side

    def __init__(
        self,
        dim: int = 2,
        hidden: tuple[int, ...] = (128, 128, 128),
        *,
        box: tuple[float, float] = (-2.0, 3.0),
        bowl: float = 2.0,
        chains: int = 512,
        steps: int = 20,
        step_size: float = 2e-3,
        fresh: float = 0.05,
    ) -> None:
        super().__init__()
        if not box[0] < box[1] or not bowl > 0 or not step_size > 0 or not 0 <= fresh <= 1:
            raise InputError(
                f"box goes up, bowl and step_size are above 0, fresh is in 0..1, not {box}, {bowl}, {step_size}, {fresh}"
            )
        self.save_hyperparameters()
        self.dim, self.box, self.bowl = check_count(dim, "dim"), tuple(box), bowl
        self.steps, self.step_size, self.fresh = check_count(steps, "steps"), step_size, fresh
        self.net = dense([dim, *hidden, 1], "silu")
        self.automatic_optimization = False  # the loss is a difference of energies, which has no meaning of its own
        self.register_buffer("chains", self._start(check_count(chains, "chains"), None), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Energies f(x), [N]."""
        return self.net(x)[:, 0] + x.square().sum(1) / (2 * self.bowl**2)

    def score(self, x: Tensor) -> Tensor:
        """∇ log p = −∇f at points, [N, dim]: Z isn't in it."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self(x).sum(), x)
        return -slope.detach()

    def walk(self, x: Tensor, steps: int, step_size: float, generator: torch.Generator | None = None) -> Tensor:
        """Langevin dynamics from points x."""
        for _ in range(steps):
            noise = torch.randn(x.shape, device=x.device, generator=generator)
            x = x + step_size * self.score(x) + (2 * step_size) ** 0.5 * noise
        return x

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def energy(self, x: Tensor) -> Tensor:
        """f(x) of points, [N]: low where the model expects points."""
        return self(self._check(x))

    @verb
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, [N], with Z from a grid over the box: for points of the plane alone."""
        if self.dim != 2:
            raise InputError(f"Z is summed over a grid of the plane, and these points have {self.dim} coordinates")
        return -self(self._check(x)) - self.log_normaliser()

    def log_normaliser(self) -> Tensor:
        """log Z: exp(−f) over the middles of GRID × GRID cells of the box, twice as wide as the data's."""
        low, high = self._wide()
        side = low + (high - low) * (torch.arange(self.GRID, device=self.device) + 0.5) / self.GRID
        cell = 2 * torch.log((high - low) / torch.tensor(self.GRID, dtype=torch.float64))
        rows = [(-self(torch.cartesian_prod(some, side))).double().logsumexp(0) for some in side.split(50)]
        return (torch.stack(rows).logsumexp(0) + cell.to(self.device)).float()

    @verb
    def sample_points(self, n: int, *, seed: int | None = None, steps: int = 400) -> Tensor:
        """Draw points [n, dim] by Langevin dynamics whose steps shrink; the same seed gives the same points.

        Args:
            steps: of each chain, from the even start on.
        """
        check_count(n)
        generator = seeded_generator(self.device, seed)
        x = self._start(n, generator)
        for part in torch.linspace(1, 0, check_count(steps, "steps")).tolist():
            x = self.walk(x, 1, self.step_size * (5 * part + (1 - part)), generator)
        return x

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x, chains = inputs_of(batch), self.chains
        anew = torch.rand(len(chains), 1, device=chains.device) < self.fresh
        self.chains = self.walk(torch.where(anew, self._start(len(chains), None), chains), self.steps, self.step_size)
        optimizer: Any = self.optimizers()
        real, own = self(x), self(self.chains)
        loss = real.mean() - own.mean()
        optimizer.zero_grad()
        self.manual_backward(loss)
        torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        optimizer.step()
        schedulers: Any = self.lr_schedulers()
        if schedulers is not None:
            schedulers.step()
        self.log_train(difference=loss, energy=real.mean())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x = inputs_of(batch)
        self.log("val/nll", -self.log_prob(x).mean(), prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3, betas=(0.5, 0.99))

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: PointData) -> list[dict[str, Any]]:
        """KL from the data's density to the model's, the data's entropy, and how far Langevin samples are from test points."""
        from zoo.metrics.points import wasserstein

        x = data.tensors("test")[0]
        own, truth = self.log_prob(x).double(), data.log_density(x.double())
        distance = wasserstein(self.sample_points(len(x), seed=0).cpu(), x)
        grid = f"{len(x):,} test points, Z by a grid of {self.GRID} × {self.GRID}"
        values = {
            "kl": ((truth - own).mean(), f"mean of log p(x) − log model(x) in nats; {grid}"),
            "nll": (-own.mean(), f"in nats; {grid}"),
            "data_entropy": (-truth.mean(), "in nats: no model's nll can be lower but by chance"),
            "wasserstein": (distance, "W₁ to the test points of as many samples, seed 0, mean over 64 directions"),
        }
        return [entry(data, "test", key, value, how, better="lower") for key, (value, how) in values.items()]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"x": torch.rand(16, self.dim, generator=torch.Generator().manual_seed(0)) * 2 - 0.5}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"energy": self(inputs["x"])}

    def preview(self, path: Path) -> Path | None:
        """The energy as a landscape, points that have settled in it, and real ones."""
        if self.dim != 2:
            return None
        from matplotlib.figure import Figure

        from zoo.metrics.points import draw_beside

        side = torch.linspace(self.box[0], self.box[1], 150)
        grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)
        height = self.energy(grid).reshape(150, 150).cpu()
        figure = Figure(figsize=(12, 3.4), layout="constrained")
        first, *others = figure.subplots(1, 3, sharex=True, sharey=True)
        low = float(height.min())
        first.contourf(side, side, height.clamp(max=low + 12), levels=24, cmap="magma_r")
        first.set(
            title="energy, up to 12 nats above its lowest", xlabel="$x_1$", ylabel="$x_2$", xlim=self.box, ylim=self.box
        )
        draw_beside(others, self.sample_points(3000, seed=0), self.data)
        write_figure(path, figure, dpi=80)
        return path

    def _wide(self) -> tuple[float, float]:
        middle, half = (self.box[0] + self.box[1]) / 2, self.box[1] - self.box[0]
        return middle - half, middle + half

    def _start(self, n: int, generator: torch.Generator | None) -> Tensor:
        low, high = self.box
        return low + (high - low) * torch.rand(n, self.dim, device=self.device, generator=generator)

    def _check(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.dim or not torch.isfinite(x).all():
            raise InputError(f"points are finite [N, {self.dim}], not {list(x.shape)}")
        return x.to(self.device)
