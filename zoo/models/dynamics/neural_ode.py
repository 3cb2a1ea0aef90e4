"""Neural ordinary differential equation (Chen et al., 2018, arXiv:1806.07366) that learns the law of motion of a system.

    dx/dt = f_θ(x),     x(t₁) = x(t₀) + ∫ f_θ(x(t)) dt

f is a small network and a numerical solver its forward pass, so the model is a vector field that can be followed for any
time, forwards or backwards, with any solver and any accuracy. The loss compares states along a trajectory; its gradient
flows through the solver's steps (`odeint_adjoint` of torchdiffeq finds the same one in constant memory, by solving a second
equation backwards).

Departures from the paper: training sees short segments by fixed steps of the fourth-order Runge-Kutta method and
back-propagates through them, which is quicker than the adjoint for so few steps; measurements use the adaptive method of
Dormand and Prince.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.blocks.ode import integrate
from zoo.core.batch import inputs_of, labelled
from zoo.core.checks import check_count, readable
from zoo.core.data import SeriesData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError, MissingExtraError

Times = Tensor | Sequence[float]


class NeuralODE(ZooModule):
    """A vector field of a few coordinates, learnt from trajectories.

    Args:
        dimension: coordinates of a state.
        hidden: widths of the field's hidden layers, with tanh.
        substeps: Runge-Kutta steps between two states of a training segment.

    Shapes:
        states x: [N, dimension]; trajectories: [N, times, dimension].
    """

    task: ClassVar[str] = "forecasting"
    use: ClassVar[str] = (
        "path = model.solve([1.0, 0.0], [0.0, 0.5, 1.0])      # from rest at 1 rad: angle and velocity at three times\n"
        "print(path)\n"
        "print(model.solve(path[-1], [1.0, 0.0])[-1])         # and back\n"
        "print(model.forecast(path, 5, step=0.5))"
    )

    def __init__(self, dimension: int = 2, hidden: tuple[int, ...] = (50, 50), *, substeps: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.dimension, self.substeps = check_count(dimension, "dimension"), check_count(substeps, "substeps")
        widths = [dimension, *(check_count(width, "each of hidden") for width in hidden)]
        layers: list[nn.Module] = []
        for before, after in zip(widths, hidden, strict=False):
            layers += [nn.Linear(before, after), nn.Tanh()]
        self.field = nn.Sequential(*layers, nn.Linear(widths[-1], dimension))

    def forward(self, x: Tensor) -> Tensor:
        """The time derivative [..., dimension] of states."""
        return self.field(x)

    def path(self, x: Tensor, times: Sequence[float]) -> Tensor:
        """States [N, times, dimension] by fixed steps from x at times[0], with gradient."""
        found = [x]
        for t, after in itertools.pairwise(times):
            grid = [t + (after - t) * i / self.substeps for i in range(self.substeps + 1)]
            *_, x = integrate(lambda state, _: self.field(state), x, grid, "rk4")
            found.append(x)
        return torch.stack(found, 1)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def solve(
        self, x: Tensor, times: Times, *, method: str = "dopri5", rtol: float = 1e-6, atol: float = 1e-8
    ) -> Tensor:
        """The trajectory [N, times, dimension] (or [times, dimension]) from a state [N, dimension] (or [dimension]) at times[0].

        Args:
            times: increasing, or decreasing to go backwards.
            method, rtol, atol: as in torchdiffeq's `odeint`.

        Raises:
            InputError: for times that don't run one way, states of another dimension, values that aren't finite, or a solution
                that leaves every bound.
        """
        return solve(lambda _, state: self.field(state), self._states(x), times, method=method, rtol=rtol, atol=atol)

    @verb
    def forecast(self, series: Tensor, n: int, *, step: float | None = None) -> Tensor:
        """The next n states [n, dimension] or [N, n, dimension] of a trajectory [T, dimension] or [N, T, dimension].

        Args:
            step: seconds between states; None for that of the data it was trained on.

        Raises:
            InputError: for values that aren't finite, n below 1, or a step not above 0.
        """
        u = torch.as_tensor(series)
        if u.ndim not in (2, 3):
            raise InputError(f"a trajectory is [T, {self.dimension}] or [N, T, {self.dimension}], not {list(u.shape)}")
        if step is None:
            step = float((self.data or {}).get("init", {}).get("step", 0.05))
        if not step > 0:
            raise InputError(f"step must be above 0, not {step!r}")
        times = [step * i for i in range(check_count(n) + 1)]
        return self.solve(u[..., -1, :], times)[..., 1:, :]

    def _states(self, x: Tensor) -> Tensor:
        x = torch.as_tensor(x).to(self.device, self.dtype)
        if x.ndim not in (1, 2) or x.shape[-1] != self.dimension:
            raise InputError(f"a state is [{self.dimension}] or [N, {self.dimension}], not {list(x.shape)}")
        if readable() and not x.isfinite().all():
            raise InputError("the state holds NaN or infinite values")
        return x

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self._loss(batch)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/rmse", self._loss(batch).sqrt(), prog_bar=True, batch_size=len(inputs_of(batch)))

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        states, times = labelled(batch)
        return (self.path(states[:, 0], times.tolist()) - states)[:, 1:].square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: SeriesData) -> list[dict[str, Any]]:
        """Error of the angle over a whole trajectory, and over twice its time from a calm and a wild start."""
        truth = data.tensors("test").to(self.device)
        times = [data.step * i for i in range(truth.shape[1])]
        found = self.solve(truth[:, 0], times)
        how = f"root mean squared error of the first coordinate, {len(truth)} trajectories, dopri5, rtol 1e-6"
        error = (found - truth)[..., 0].square().mean().sqrt()
        entries = [
            entry(data, "test", "rmse", error, f"{how}, {times[-1]:g} s", better="lower"),
            entry(
                data,
                "test",
                "spread",
                truth[..., 0].std(),
                "standard deviation of the first coordinate",
                better="lower",
            ),
        ]
        pendulum: Any = data  # which computes the true angles beyond its test part
        if data.name == "pendulum" and getattr(data, "system", "pendulum") == "pendulum":
            long = [data.step * i for i in range(2 * truth.shape[1] - 1)]
            for amplitude in (1.0, 2.5):
                start = torch.tensor([[amplitude, 0.0]], device=self.device)
                true = pendulum.simulate(start.cpu(), len(long) - 1).to(found)
                gap = (self.solve(start, long) - true)[..., 0].square().mean().sqrt()
                what = f"root mean squared error over {long[-1]:g} s from rest at {amplitude:g} rad, dopri5, rtol 1e-6"
                entries.append(entry(data, "test", f"rmse_from_{amplitude:g}_rad", gap, what, better="lower"))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"input": torch.randn(8, self.dimension, generator=torch.Generator().manual_seed(0))}

    def preview(self, path: Path) -> Path | None:
        """The true and the learnt field with trajectories of both."""
        if self.data is None or self.data["name"] != "pendulum":
            return None
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure

        from datamodules.pendulum import Pendulum, pendulum

        grid = torch.cartesian_prod(torch.linspace(-math.pi, math.pi, 21), torch.linspace(-5, 5, 15))
        starts = torch.tensor([[-2.5, 0.0], [1.0, 0.0], [0.0, 4.0], [2.0, -3.0]])
        true = Pendulum(seconds=4).simulate(starts, 80)
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        for axis, title, field, paths in (
            (figure.add_subplot(1, 2, 1), "true pendulum", pendulum(grid), true),
            (
                figure.add_subplot(1, 2, 2),
                "learnt field",
                self(grid.to(self.device)).detach().cpu(),
                self.solve(starts, [0.05 * i for i in range(81)]).cpu(),
            ),
        ):
            axis.quiver(grid[:, 0], grid[:, 1], field[:, 0], field[:, 1], color="0.7", angles="xy", width=0.003)
            for one in paths:
                axis.plot(one[:, 0], one[:, 1], lw=1.5)
            axis.set(
                title=title,
                xlabel="angle (rad)",
                ylabel="angular velocity (rad/s)",
                xlim=(-math.pi, math.pi),
                ylim=(-5.5, 5.5),
            )
        write_figure(path, figure, dpi=80)
        return path


def solve(field: Any, x: Tensor, times: Times, *, method: str = "dopri5", rtol: float, atol: float) -> Tensor:
    """Solution [..., times, D] of dx/dt = field(t, x) by torchdiffeq, from x [..., D] at times[0].

    Raises:
        InputError: for times that don't run one way, or a solution that leaves every bound.
        MissingExtraError: without torchdiffeq.
    """
    try:
        from torchdiffeq import odeint
    except ImportError:
        raise MissingExtraError("an adaptive solver", "torchdiffeq", "ode") from None
    t = torch.as_tensor(times, dtype=torch.float64, device=x.device)
    steps = t.diff()
    if t.ndim != 1 or len(t) < 2 or not t.isfinite().all() or not ((steps > 0).all() or (steps < 0).all()):
        raise InputError("times must be at least two finite numbers that increase, or decrease to go backwards")
    try:
        found = odeint(field, x, t.to(x.dtype), method=method, rtol=rtol, atol=atol)
    except (AssertionError, RuntimeError) as error:
        raise InputError(f"the solution can't be followed to time {float(t[-1]):g}: {error}") from None
    if not found.isfinite().all():
        raise InputError(f"the solution leaves every bound before time {float(t[-1]):g}")
    return found.movedim(0, -2)
