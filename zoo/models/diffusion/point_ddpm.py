"""Diffusion in one dimension, where every distribution on the way is a histogram (Sohl-Dickstein et al., 2015; Ho et al., 2020).

The method is that of ddpm.py; a perceptron stands for the U-Net. Small enough for what images hide:

    x_t = α_t x_0 + σ_t ε,       −log p(x_0) ≤ KL(q(x_T|x_0) ‖ N(0, I)) + Σ_t KL_t − E log p(x_0|x_1)        (the ELBO, in nats)
    KL_t = ½ (SNR_s − SNR_t) ‖x̂_0(x_t) − x_0‖² = ½ (SNR_s − SNR_t) (σ_t² / α_t²) ‖ε̂ − ε‖²,       SNR = α² / σ²,  s before t

However many the steps, some tenths of a nat are lost in the first of them, where the noise doubles from one to the next.

The network may predict ε, x_0 or v = α_t ε − σ_t x_0, and the loss may weigh the steps as the bound does ("elbo") or all alike
("simple"). Where nearly all is noise, x̂_0 = (x_t − σ_t ε̂) / α_t divides the error of ε̂ by almost nothing; where nearly none is,
ε̂ suffers so from x̂_0. x̂_0 = α_t x_t − σ_t v̂ is sound at both ends (Salimans & Ho, 2022, arXiv:2202.00512).

Why not take all the noise away at once? The best guess of x_0 from pure noise is the mean of the data, whatever the noise: one
step gives one value, many small steps give the distribution. `sample_points(…, steps=1)` shows it.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.batch import inputs_of
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import PointData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.ncsn import PointScore
from zoo.models.diffusion.samplers import sampler
from zoo.models.diffusion.schedule import NoiseSchedule, Shape


class PointDDPM(ZooModule):
    """Diffusion model of points.

    Args:
        dim: length of a point.
        hidden_dim, depth: width and number of the hidden layers.
        timesteps: T.
        schedule: "cosine" or "linear".
        prediction: what the network predicts, "eps", "x0" or "v".
        weighting: "simple", all steps alike, or "elbo", as the bound weighs them.

    Shapes:
        points x: [N, dim], of about unit size; steps t: [N] in 0 … T-1.
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "points = model.sample_points(1000, seed=0)           # [1000, 1]; steps=1 shows why one step won't do\n"
        "print(model.elbo(points[:100]).mean())               # a bound on log p, in nats"
    )

    def __init__(
        self,
        dim: int = 1,
        hidden_dim: int = 64,
        *,
        depth: int = 3,
        timesteps: int = 200,
        schedule: Shape = "cosine",
        prediction: Literal["eps", "x0", "v"] = "eps",
        weighting: Literal["simple", "elbo"] = "simple",
    ) -> None:
        super().__init__()
        if prediction not in ("eps", "x0", "v") or weighting not in ("simple", "elbo"):
            raise InputError(
                f"prediction is 'eps', 'x0' or 'v' and weighting 'simple' or 'elbo', not {prediction!r} and {weighting!r}"
            )
        self.save_hyperparameters()
        self.dim, self.prediction, self.weighting = check_count(dim, "dim"), prediction, weighting
        self.schedule = NoiseSchedule(timesteps, schedule)
        self.net = PointScore(dim, check_count(hidden_dim, "hidden_dim"), check_count(depth, "depth"))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's prediction, ε, x_0 or v, for noisy points at steps t [N]."""
        return self.net(x_t, 1000 * t / len(self.schedule))

    def denoise(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The guess of x_0."""
        out = self(x_t, t)
        alpha, sigma = self.rates(t)
        if self.prediction == "v":
            return alpha * x_t - sigma * out
        return out if self.prediction == "x0" else (x_t - sigma * out) / alpha

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """α_t and σ_t, [N, 1]."""
        alpha, sigma = self.schedule.rates(t)
        return alpha.flatten(1), sigma.flatten(1)

    def weights(self) -> Tensor:
        """½ (SNR_{t-1} − SNR_t) for t = 1 … T-1, [T-1]: what a squared error of x_0 at step t costs the bound, in nats."""
        alpha_bar = self.schedule.alpha_bar.double()
        snr = alpha_bar / (1 - alpha_bar)
        return 0.5 * (snr[:-1] - snr[1:])

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def sample_points(self, n: int, *, seed: int | None = None, steps: int | None = None) -> Tensor:
        """Draw points [n, dim] by ancestral sampling; the same seed gives the same points.

        Args:
            steps: network calls, from 1 to T, which is the default.
        """
        generator = seeded_generator(self.device, seed)
        x = torch.randn(check_count(n), self.dim, device=self.device, generator=generator)
        return self.states(x, len(self.schedule) if steps is None else steps, generator)[-1]

    @verb
    def states(self, x: Tensor, steps: int, generator: torch.Generator) -> list[Tensor]:
        """All states of the way from noise x to points."""

        def guess(x: Tensor, t: int) -> Tensor:
            return self.denoise(x, torch.full((len(x),), t, device=x.device))

        return [x, *sampler("ancestral")(guess, x, self.schedule, steps, 0.0, generator)]

    @verb
    def elbo(self, x: Tensor, *, seed: int = 0, draws: int = 4) -> Tensor:
        """A lower bound on log p of points, [N] in nats, each term by so many draws of the noise.

        The last step, x_0 given the least noisy state, is a Gaussian around the guess with variance σ_0² / α_0².
        """
        x, generator = self._check(x).double(), seeded_generator(self.device, seed)
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        weights = self.weights().to(x)
        for _ in range(check_count(draws, "draws")):
            for t in range(len(self.schedule)):
                at = torch.full((len(x),), t, device=x.device)
                alpha, sigma = (rate.double() for rate in self.rates(at))
                noisy = alpha * x + sigma * torch.randn(x.shape, device=x.device, generator=generator)
                error = (self.denoise(noisy.float(), at) - x).square().sum(1)
                if t:
                    total -= weights[t - 1] * error
                else:
                    variance = (sigma / alpha)[:, 0].square()
                    total -= error / (2 * variance) + 0.5 * self.dim * (2 * torch.pi * variance).log()
        alpha, sigma = (
            rate.double()[0, 0] for rate in self.rates(torch.tensor([len(self.schedule) - 1], device=x.device))
        )
        prior = 0.5 * ((alpha * x).square() + sigma**2 - 1 - 2 * sigma.log()).sum(1)
        return (total / draws - prior).float()

    # Training --------------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Squared error at one random step a point, all steps alike or weighted as in the bound."""
        weighted = self.weighting == "elbo"
        t = self.schedule.draw(len(x), generator)
        t = t.clamp(min=1) if weighted else t  # the weight of the first step is infinite
        alpha, sigma = self.rates(t)
        eps = torch.randn(x.shape, device=x.device, generator=generator)
        target = {"eps": eps, "x0": x, "v": alpha * eps - sigma * x}[self.prediction]
        error = (self(alpha * x + sigma * eps, t) - target).square().sum(1)
        if not weighted:
            return error.mean()
        weight = self.weights().to(x)[t - 1]
        if self.prediction != "x0":  # an error of ε is one of x_0 times σ / α, an error of v times σ
            weight = weight * (sigma / (alpha if self.prediction == "eps" else 1))[:, 0].square()
        return len(self.schedule) * (weight * error).mean()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(inputs_of(batch))
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x = inputs_of(batch)
        self.log("val/loss", self.loss(x, seeded_generator(x.device, batch_idx)), prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: PointData) -> list[dict[str, Any]]:
        """Distance of 10,000 points from the test points, with all steps and with one, and the bound beside the entropy."""
        from zoo.metrics.points import wasserstein

        real = data.tensors("test")[0]
        n, some = len(real), real[:2000]
        ways = {"wasserstein": len(self.schedule), "wasserstein_one_step": 1}
        entries = [
            entry(data, "test", key, wasserstein(self.sample_points(n, seed=0, steps=steps).cpu(), real),
                  f"W₁ of {n:,} samples to as many test points, {steps} steps, seed 0", better="lower")
            for key, steps in ways.items()
        ]  # fmt: skip
        how = f"in nats, {len(some):,} test points"
        return [
            *entries,
            entry(data, "test", "nelbo", -self.elbo(some).double().mean(), f"bound on −log p; {how}", better="lower"),
            entry(data, "test", "data_entropy", -data.log_density(some.double()).mean(), how, better="lower"),
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        x = torch.randn(8, self.dim, generator=torch.Generator().manual_seed(0))
        return {"x_t": x, "t": torch.arange(8) * len(self.schedule) // 8}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"output": self(inputs["x_t"], inputs["t"])}

    def preview(self, path: Path) -> Path | None:
        """Histograms on the way from noise to points, the one that a single step gives, and that of real points."""
        if self.dim != 1:
            return None
        from matplotlib.figure import Figure

        from zoo.metrics.points import real_points

        generator = seeded_generator(self.device, 0)
        states = self.states(
            torch.randn(10_000, 1, device=self.device, generator=generator), len(self.schedule), generator
        )
        shown = {
            "noise": states[0],
            "half of the steps": states[len(states) // 2],
            f"all {len(states) - 1} steps": states[-1],
            "one step": self.sample_points(10_000, seed=0, steps=1),
        }
        if (real := real_points(self.data, 10_000)) is not None:
            shown["real points"] = real
        figure = Figure(figsize=(2.5 * len(shown), 2.4), layout="constrained")
        for axis, (title, x) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
            axis.hist(x[:, 0].tolist(), bins=80, range=(-2.5, 2.5) if title == "noise" else (-1.5, 1.5), color="0.4")
            axis.set(title=title, xlabel="x", yticks=[])
        figure.axes[0].set_ylabel("points")
        write_figure(path, figure, dpi=80)
        return path

    def _check(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.dim or not torch.isfinite(x).all():
            raise InputError(f"points are finite [N, {self.dim}], not {list(x.shape)}")
        return x.to(self.device)
