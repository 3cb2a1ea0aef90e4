"""Echo state network (Jaeger, 2001; Jaeger and Haas, 2004): a random recurrent network of which only the output is learnt.

    x_t = (1 − a) x_(t−1) + a tanh(W x_(t−1) + W_in [1; u_t]),        y_t = W_out [1; u_t; x_t]

W and W_in are drawn once and stay. W is scaled to a spectral radius ρ, below which the state forgets where it began (the echo
state property), so it is a function of the past inputs alone: thousands of random nonlinear memories. W_out is a ridge regression

    W_out = Y Xᵀ (X Xᵀ + r I)⁻¹

Fed with its own output the network goes on by itself, which is how it forecasts.

Departures from the papers: leaky units as in Jaeger et al. (2007); all numbers are float64, which a ridge of 10⁻⁹ needs.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.batch import labelled
from zoo.core.checks import check_count, readable
from zoo.core.data import SeriesData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError


class ESN(ZooModule):
    """Echo state network of one series.

    Args:
        units: size of the reservoir.
        density: share of its connections that aren't 0.
        spectral_radius: ρ, the largest absolute eigenvalue of W.
        leak: a, how fast the units follow.
        input_scale: half-width of the uniform weights of input and bias.
        ridge: r.
        washout: first states that the regression leaves out, and samples that a forecast needs at least.
        seed: of the reservoir.

    Shapes:
        series u: [T] or [N, T]; states: [T, units] or [N, T, units].
    """

    task: ClassVar[str] = "forecasting"
    use: ClassVar[str] = (
        'series = zoo.datamodule("{data}").tensors("test")[:1000]\n'
        "print(model.forecast(series, 84))                    # the next 84 samples\n"
        "print(model.states(series).shape)"
    )
    recurrent: Tensor
    inward: Tensor

    def __init__(
        self,
        units: int = 400,
        density: float = 0.1,
        *,
        spectral_radius: float = 0.9,
        leak: float = 0.5,
        input_scale: float = 1.0,
        ridge: float = 1e-9,
        washout: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.units, self.washout = check_count(units, "units"), check_count(washout, "washout")
        if not 0 < density <= 1 or not 0 < leak <= 1:
            raise InputError(f"density and leak must be in (0, 1], not {density!r} and {leak!r}")
        if not spectral_radius > 0 or not input_scale > 0 or not ridge >= 0:
            raise InputError(
                f"spectral_radius and input_scale must be above 0 and ridge at least 0, not {spectral_radius!r}, {input_scale!r} "
                f"and {ridge!r}"
            )
        self.leak, self.ridge = leak, ridge
        self.automatic_optimization = False  # the output has its solution in closed form
        generator = torch.Generator().manual_seed(seed)
        w = torch.rand(units, units, generator=generator, dtype=torch.float64) - 0.5
        w *= torch.rand(units, units, generator=generator) < density
        radius = torch.linalg.eigvals(w).abs().max()
        w *= spectral_radius / radius if radius > 0 else 0.0
        inward = input_scale * (2 * torch.rand(units, 2, generator=generator, dtype=torch.float64) - 1)
        self.register_buffer("recurrent", _single(w))  # W [units, units]
        self.register_buffer("inward", _single(inward))  # W_in [units, 2]: bias and input
        self.readout = nn.Linear(units + 1, 1, dtype=torch.float64)  # W_out of input and state, with the bias
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    def forward(self, u: Tensor) -> Tensor:
        """The next sample after each of a series, [..., T], from a state of 0 at its beginning."""
        u = u.to(self.recurrent)
        return self.readout(torch.cat([u[..., None], self.states(u)], -1))[..., 0]

    def step(self, x: Tensor, u: Tensor) -> Tensor:
        """The state [N, units] after inputs u [N]."""
        drive = x @ self.recurrent.T + self.inward[:, 0] + u[:, None] * self.inward[:, 1]
        return (1 - self.leak) * x + self.leak * drive.tanh()

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def states(self, u: Tensor, start: Tensor | None = None) -> Tensor:
        """States [..., T, units] that follow each sample of a series [..., T], from `start` [units] or 0.

        Raises:
            InputError: for an empty series, or values that aren't finite.
        """
        u = self._series(u)
        rows = u[None] if u.ndim == 1 else u
        x = rows.new_zeros(rows.shape[0], self.units) if start is None else start.to(rows).expand(rows.shape[0], -1)
        found = []
        for t in range(rows.shape[1]):
            x = self.step(x, rows[:, t])
            found.append(x)
        states = torch.stack(found, 1)
        return states[0] if u.ndim == 1 else states

    @verb
    def forecast(self, series: Tensor, n: int) -> Tensor:
        """The next n samples [n] or [N, n] of a series [T] or [N, T]: the network reads it, then goes on with its own output.

        Raises:
            InputError: for fewer samples than the washout, values that aren't finite, or n below 1.
        """
        u = self._series(series)
        if u.shape[-1] < self.washout:
            raise InputError(
                f"a forecast needs at least {self.washout} samples to wake up the network, not {u.shape[-1]}"
            )
        rows = u[None] if u.ndim == 1 else u
        x, newest, found = self.states(rows)[:, -1], rows[:, -1], []
        for _ in range(check_count(n)):
            newest = self.readout(torch.cat([newest[:, None], x], 1))[:, 0]
            found.append(newest)
            x = self.step(x, newest)
        out = torch.stack(found, 1)
        return out[0] if u.ndim == 1 else out

    def _series(self, u: Tensor) -> Tensor:
        u = torch.as_tensor(u).to(self.recurrent)
        if u.ndim not in (1, 2) or not u.shape[-1]:
            raise InputError(f"a series is [T] or [N, T] with at least one sample, not {list(u.shape)}")
        if readable() and not u.isfinite().all():
            raise InputError("the series holds NaN or infinite values")
        return u

    # Training --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.solve(*labelled(batch))

    @torch.no_grad()
    def solve(self, u: Tensor, target: Tensor) -> None:
        """Fit the output to samples [T] and what follows each, [T].

        Raises:
            InputError: for a series that is no longer than the washout.
        """
        u = self._series(u)
        if len(u) <= self.washout + 1:
            raise InputError(f"training needs more than the {self.washout} samples of the washout, not {len(u)}")
        x = torch.cat([u[:, None], self.states(u)], 1)[self.washout :]  # [T', 1 + units]
        y = target.to(x)[self.washout :]
        mean, level = x.mean(0), y.mean()  # the bias isn't shrunk
        centred = x - mean
        gram = centred.T @ centred + self.ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        weight = torch.linalg.solve(gram, centred.T @ (y - level))
        self.readout.weight.copy_(_single(weight[None]))
        self.readout.bias.copy_(_single(level - weight @ mean))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        u, y = labelled(batch)
        error = (self(u) - y.to(self.recurrent))[self.washout :].square().mean().sqrt()
        self.log("val/rmse", error.float(), prog_bar=True, batch_size=len(u))

    def configure_optimizers(self) -> None:
        return None

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: SeriesData) -> list[dict[str, Any]]:
        """Errors after one step and after 84 steps by itself, as shares of the series' deviation."""
        u = data.tensors("test").to(self.recurrent)
        context, horizon, starts = 1000, 84, 50
        apart = (len(u) - context - horizon) // starts
        windows = torch.stack([u[i * apart : i * apart + context + horizon] for i in range(starts)])
        found = self.forecast(windows[:, :context], horizon)
        spread = u.std()
        late = (found[:, -1] - windows[:, -1]).square().mean().sqrt() / spread
        naive = (windows[:, context - 1] - windows[:, -1]).square().mean().sqrt() / spread
        one = (self(u[:-1]) - u[1:])[self.washout :].square().mean().sqrt() / spread
        how = f"root mean squared error over the standard deviation of the {len(u):,} test samples, float64"
        far = f"84 steps by itself after reading 1,000 samples, {starts} starts {apart} samples apart; {how}"
        return [
            entry(data, "test", "nrmse84", late, far, better="lower"),
            entry(data, "test", "nrmse1", one, f"one step; {how}", better="lower"),
            entry(
                data, "test", "nrmse84_repeat", naive, f"the last value repeated, for comparison; {how}", better="lower"
            ),
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"input": torch.sin(torch.arange(150, dtype=torch.float64) / 7)}

    def preview(self, path: Path) -> Path | None:
        """A forecast of 500 samples beside the series."""
        if self.data is None or self.data["name"] != "mackey-glass":
            return None
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure

        from datamodules.mackey_glass import MackeyGlass

        u = MackeyGlass().tensors("test")[:1700]
        figure = Figure(figsize=(8, 2.4), layout="constrained")
        axis = figure.subplots()
        axis.plot(range(-200, 700), u[800:], color="black", lw=1, label="Mackey-Glass series")
        axis.plot(range(700), self.forecast(u[:1000], 700).cpu(), color="C3", lw=1, ls="--", label="forecast from 0 on")
        axis.legend(frameon=False, loc="upper right", fontsize=8)
        axis.set(xlabel="time", ylabel="tanh(y − 1)", xlim=(-200, 700))
        write_figure(path, figure, dpi=90)
        return path


def _single(x: Tensor) -> Tensor:
    """Numbers as a checkpoint stores them: float64 with the digits of a float32."""
    return x.float().double()
