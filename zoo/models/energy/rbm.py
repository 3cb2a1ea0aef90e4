"""Restricted Boltzmann machine (Smolensky, 1986; Hinton, 2002; persistent chains: Tieleman, 2008).

Binary pixels v and binary hidden units h share an energy without terms inside either layer, so each layer is independent given
the other, and the hidden units can be summed out:

    E(v, h) = −bᵀv − cᵀh − vᵀW h,      p(h_j = 1 | v) = σ(c_j + (Wᵀv)_j),      p(v_i = 1 | h) = σ(b_i + (W h)_i)
    p(v) = exp(−F(v)) / Z,             F(v) = −bᵀv − Σ_j log(1 + exp(c_j + (Wᵀv)_j))                    free energy

The gradient of −log p(v) is that of F(v) minus its mean under the model, which Markov chains estimate: with v⁻ from Gibbs
chains, the gradient of mean F(v) − mean F(v⁻) is contrastive divergence (CD-k) where the chains start at the data in each step,
and PCD-k where they go on from the last one. Z is estimated by annealed importance sampling (AIS; Salakhutdinov and Murray,
2008): chains move from the base-rate model to this one in thousands of small steps, and the mean of their weights is Z.

Departures from the papers: pixels are drawn anew in every epoch with their grey value as probability.
"""

import itertools
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.batch import images_of
from zoo.core.checks import check_count, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, save_grid
from zoo.core.metric import entry
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, split_images


class Machine(nn.Module):
    """The two layers and their conditionals.

    Args:
        visible, hidden: numbers of units.

    Shapes:
        v: [..., visible]; h: [..., hidden]; weight W: [visible, hidden].
    """

    def __init__(self, visible: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.01 * torch.randn(check_count(visible, "visible"), check_count(hidden, "hidden")))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def up(self, v: Tensor) -> Tensor:
        """Log-odds of the hidden units."""
        return v @ self.weight + self.hidden_bias

    def down(self, h: Tensor) -> Tensor:
        """Log-odds of the visible units."""
        return h @ self.weight.T + self.visible_bias

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) [...] in nats."""
        return -(v @ self.visible_bias) - F.softplus(self.up(v)).sum(-1)

    @torch.no_grad()
    def gibbs(self, v: Tensor, steps: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Visible units after `steps` sweeps h ~ p(h | v), v ~ p(v | h), and the probabilities they were drawn with."""
        mean = v
        for _ in range(steps):
            h = coins(self.up(v).sigmoid(), generator)
            mean = self.down(h).sigmoid()
            v = coins(mean, generator)
        return v, mean


class RBM(Coder):
    """Restricted Boltzmann machine of binary images.

    Args:
        image_shape: (channels, height, width).
        hidden: number of hidden units.
        chains: persistent chains, or 0 for contrastive divergence, whose chains start at the data.
        steps: k, Gibbs sweeps in each training step.
        temperatures, runs: steps and chains of the AIS run that estimates log Z when training ends.

    Shapes:
        images x: [N, C, H, W] in [0, 1], binary where a likelihood is asked; codes (hidden means): [N, hidden].
    """

    task: ClassVar[str] = "unconditional-image-generation"
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"pseudo_likelihood"})
    log_partition: Tensor
    base_rate: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        hidden: int = 500,
        *,
        chains: int = 100,
        steps: int = 1,
        temperatures: int = 10_000,
        runs: int = 100,
    ) -> None:
        super().__init__(image_shape, check_count(hidden, "hidden"))
        self.save_hyperparameters()
        self.steps, self.chains = check_count(steps, "steps"), chains
        self.temperatures, self.runs = check_count(temperatures, "temperatures"), check_count(runs, "runs")
        self.machine = Machine(self.num_pixels, hidden)
        self.register_buffer("log_partition", torch.tensor([0.0, torch.inf]))  # log Z and its standard error
        self.register_buffer("base_rate", torch.zeros(self.num_pixels))  # log-odds of the pixels in the training split
        self._state: Tensor | None = None  # of the persistent chains, [chains, pixels]

    def codes(self, x: Tensor) -> Tensor:
        return self.machine.up(x.flatten(1)).sigmoid()

    def pixels(self, z: Tensor) -> Tensor:
        return self.machine.down(z).sigmoid().reshape(-1, *self.image_shape)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def sample(self, n: int, steps: int = 1000, *, seed: int | None = None, labels: Tensor | None = None) -> Tensor:
        """Pixel means [n, C, H, W] of n chains after `steps` Gibbs sweeps from the base rate; a seed fixes them.

        Raises:
            InputError: for n or steps below 1, or labels: the model is unconditional.
        """
        refuse_labels(labels, self.name)
        generator = seeded_generator(self.device, seed)
        start = coins(self.base_rate.sigmoid().expand(check_count(n), -1), generator)
        return self.machine.gibbs(start, check_count(steps, "steps"), generator)[1].reshape(-1, *self.image_shape)

    @verb
    def free_energy(self, x: Images) -> Tensor:
        """F(x) [N] in nats of binary images [N, C, H, W] (or [N, pixels]): −log p(x) up to log Z."""
        x = x if isinstance(x, Tensor) and x.ndim == 2 else self.check_images(x)
        x = x.reshape(len(x), -1).to(self.device, self.dtype)
        if x.shape[1] != self.num_pixels:
            raise InputError(f"images have {self.num_pixels} pixels, not {x.shape[1]}")
        if ((x != 0) & (x != 1)).any():
            raise InputError("the energy is that of binary images: draw them by model.binarize(x, seed=…)")
        return self.machine.free_energy(x)

    @verb
    def log_prob(self, x: Images) -> Tensor:
        """log p(x) [N] in nats of binary images, with the stored AIS estimate of log Z: an estimate, not a bound.

        Raises:
            InputError: for images that aren't binary, or a model whose log Z was never estimated.
        """
        if not self.log_partition[1].isfinite():
            raise InputError("log Z is unknown: estimate it once by model.estimate_log_partition()")
        return -self.free_energy(x) - self.log_partition[0]

    def binarize(self, x: Images, *, seed: int | None = None) -> Tensor:
        """Draw binary pixels with the grey values' probabilities; the same seed gives the same ones."""
        x = self.check_images(x)
        return coins(x, seeded_generator(x.device, seed))

    def estimate_log_partition(
        self, temperatures: int | None = None, runs: int | None = None, *, seed: int = 0
    ) -> tuple[float, float]:
        """Estimate log Z by AIS, store it for `log_prob`, and return it with its standard error, in nats."""
        found = log_partition(self.machine, self.base_rate, temperatures or self.temperatures, runs or self.runs, seed)
        self.log_partition.copy_(torch.tensor(found))
        return found

    # Training --------------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """The visible biases begin at the pixels' log-odds, with which no hidden unit has to explain the mean."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None and hasattr(data, "tensors") and not self.base_rate.any():
            mean = split_images(data, "train").flatten(1).mean(0).clamp(1e-3, 1 - 1e-3)
            with torch.no_grad():
                self.base_rate.copy_(mean.logit())
                self.machine.visible_bias.copy_(self.base_rate)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        v = coins(images_of(batch, self.image_shape).flatten(1))
        start = v if self.chains == 0 else self._state
        if start is None:
            start = v[torch.randint(len(v), (self.chains,), device=v.device)]
        self._state, _ = self.machine.gibbs(start.to(v.device), self.steps)
        gap = self.machine.free_energy(v).mean() - self.machine.free_energy(self._state).mean()
        error = reconstruction_error(self.machine, v)
        self.log_train(energy_gap=gap, error=error)
        return gap - gap.detach() + error  # the gap has the gradient but says nothing of progress, the error does

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        few = images_of(batch, self.image_shape)[:100].flatten(1)  # every pixel of every image is flipped once
        v = coins(few, seeded_generator(few.device, batch_idx))
        self.log("val/pseudo_likelihood", pseudo_likelihood(self.machine, v).mean(), prog_bar=True, batch_size=len(v))

    def on_train_end(self) -> None:
        self.estimate_log_partition()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["chains"] = self._state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._state = checkpoint.get("chains")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.8, weight_decay=1e-4)

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """AIS likelihood and pseudo-likelihood of the binarised test split, and the quality of samples."""
        from zoo.metrics.generation import evaluate_images

        x = self.binarize(split_images(data, "test"), seed=0)
        log_p = self.log_prob(x).double().cpu()
        train = self.log_prob(self.binarize(split_images(data, "train")[:10_000], seed=0)).double().mean().item()
        z, error = self.log_partition.tolist()
        pixels = f"the {len(x):,} test images, binarised at random by their grey value, seed 0"
        ais = f"AIS with {self.temperatures:,} temperatures and {self.runs} chains from the base-rate model, float64"
        flips = "Σ_i log p(v_i | other pixels) in nats"
        pseudo = pseudo_likelihood(self.machine, x[::10].flatten(1))
        spread = (log_p.var() / len(log_p)).sqrt().item()
        how = (
            f"mean −log p in nats an image, an estimate and no bound: log Z = {z:.2f} with standard error {error:.2f} by {ais}; "
            f"{pixels}; standard error over the images {spread:.2f}; 10,000 training images: {-train:.2f}"
        )
        images = self.draws()
        chains = "means of 1,000 chains after 1,000 Gibbs sweeps and at nine later times 100 sweeps apart, seed 0"
        return [
            entry(data, "test", "nll", -log_p.mean(), how, better="lower"),
            entry(
                data, "test", "log_partition_error", error, f"standard error of log Z in nats; {ais}", better="lower"
            ),
            entry(
                data, "test", "pseudo_likelihood", pseudo.mean(), f"{flips}, every tenth of {pixels}", better="higher"
            ),
            *evaluate_images(images, str(data.name), labels=None, how=f"{chains}, float32"),
        ]

    @torch.no_grad()
    def draws(self, chains: int = 1000, times: int = 10, burn_in: int = 1000, apart: int = 100) -> Tensor:
        """Pixel means of `times` states of each chain, `apart` sweeps from each other: [chains · times, C, H, W]."""
        generator, found = seeded_generator(self.device, 0), []
        v = coins(self.base_rate.sigmoid().expand(chains, -1), generator)
        for time in track(range(times), "drawing"):
            v, mean = self.machine.gibbs(v, apart if time else burn_in, generator)
            found.append(mean)
        return torch.cat(found).reshape(-1, *self.image_shape)

    def preview(self, path: Path) -> Path:
        return save_grid(self.sample(64, seed=0), path, columns=16)


def coins(p: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Independent draws of 0 and 1 with probabilities p; the same ones whatever dtype p has."""
    return (torch.rand(p.shape, device=p.device, dtype=torch.float32, generator=generator) < p).to(p.dtype)


@torch.no_grad()
def reconstruction_error(machine: Machine, v: Tensor) -> Tensor:
    """Mean squared error of visible units after a pass of means up and down."""
    return (machine.down(machine.up(v).sigmoid()).sigmoid() - v).square().mean()


@torch.no_grad()
def pseudo_likelihood(machine: Machine, v: Tensor) -> Tensor:
    """Σ_i log p(v_i | v without i) [N] in nats of binary v [N, visible]: exact, by flipping every pixel once."""
    up, total = machine.up(v), v.new_zeros(len(v))  # [N, hidden]
    soft = F.softplus(up).sum(1)
    for i in range(v.shape[1]):
        turn = 1 - 2 * v[:, i : i + 1]  # what the flip adds to the pixel
        gain = turn[:, 0] * machine.visible_bias[i] + F.softplus(up + turn * machine.weight[i]).sum(1) - soft
        total = total - F.softplus(gain)  # log σ(F(flipped) − F(v))
    return total


@torch.no_grad()
def log_partition(
    machine: Machine, base_rate: Tensor, temperatures: int, runs: int, seed: int = 0
) -> tuple[float, float]:
    """log Z of a machine by annealed importance sampling, and the standard error, in nats.

    p_β(v) ∝ exp((1 − β) b₀ᵀv + β bᵀv) Π_j (1 + exp(β (c + Wᵀv)_j)) goes from the base-rate model b₀ (β = 0) to the machine.
    """
    generator = seeded_generator(base_rate.device, seed)
    w, b, c, b0 = (t.detach().double() for t in (machine.weight, machine.visible_bias, machine.hidden_bias, base_rate))
    v = coins(b0.sigmoid().expand(runs, -1), generator)
    betas = torch.linspace(0, 1, check_count(temperatures, "temperatures") + 1, dtype=torch.float64).tolist()
    log_w = v.new_zeros(runs)
    for before, beta in itertools.pairwise(betas):
        up = v @ w + c
        log_w += (beta - before) * (v @ (b - b0)) + (F.softplus(beta * up) - F.softplus(before * up)).sum(1)
        h = coins((beta * up).sigmoid(), generator)
        v = coins(((1 - beta) * b0 + beta * (h @ w.T + b)).sigmoid(), generator)
    base = F.softplus(b0).sum() + w.shape[1] * torch.log(torch.tensor(2.0, dtype=torch.float64))
    mean = (weights := (log_w - log_w.max()).exp()).mean()
    error = weights.std() / mean / runs**0.5 if runs > 1 else torch.tensor(torch.inf)
    return float(base + log_w.max() + mean.log()), float(error)
