"""Boltzmann machine (Ackley, Hinton and Sejnowski, 1985), small enough to be exact.

Binary units s, visible and hidden ones, each connected with every other by a symmetric A without diagonal:

    p(s) = exp(−E(s)) / Z,     E(s) = −½ sᵀA s − bᵀs,     p(v) = Σ_h p(v, h)
    ∂ log p(v) / ∂A_ij = ⟨s_i s_j⟩ with v given − ⟨s_i s_j⟩ of the model free

The learning rule needs two correlations, one awake and one asleep, which large machines have to estimate by slow Markov
chains: why the restricted machine (`rbm.py`) took its place. With at most twenty units all 2ⁿ states can be listed, Z is a
sum, and the gradient of −log p(v) = −log Σ_h exp(−E(v, h)) + log Z is exact.

Departures from the paper: no simulated annealing; Adam.
"""

import itertools
import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from zoo.core.batch import inputs_of
from zoo.core.checks import check_count, is_whole, readable, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Labels, as_images, save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError

LARGEST = 20  # units whose states can be listed


class Coupling(nn.Module):
    """A symmetric matrix without diagonal, and a bias.

    Args:
        units: their number.
        pairs: mask [units, units] of the pairs that are connected.
    """

    pairs: Tensor

    def __init__(self, units: int, pairs: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.05 * torch.randn(units, units))  # its upper triangle counts
        self.bias = nn.Parameter(torch.zeros(units))
        self.register_buffer("pairs", pairs.triu(1).float(), persistent=False)

    def matrix(self) -> Tensor:
        """A [units, units]."""
        upper = self.weight * self.pairs
        return upper + upper.T

    def forward(self, s: Tensor) -> Tensor:
        """Energy [...] of states [..., units]."""
        return -0.5 * ((s @ self.matrix()) * s).sum(-1) - s @ self.bias


class Boltzmann(ZooModule):
    """Boltzmann machine of small binary images, exact by enumeration.

    Args:
        image_shape: (channels, height, width); its pixels are the visible units.
        hidden: number of hidden units.
        restricted: leave out the connections inside the two layers.

    Shapes:
        images x: [N, C, H, W] (or [N, pixels]) of 0 and 1; states: [N, pixels + hidden], visible units first.
    """

    task: ClassVar[str] = "unconditional-image-generation"
    use: ClassVar[str] = (
        "x = model.sample(8, seed=0)                          # independent draws of zeros and ones\n"
        "print(model.log_prob(x))                             # exact, in nats\n"
        'zoo.save_grid(x, "grid.png", scale=16)'
    )

    def __init__(
        self, image_shape: tuple[int, int, int] = (1, 3, 3), hidden: int = 0, *, restricted: bool = False
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.image_shape = tuple(check_count(size, "each of image_shape") for size in image_shape)
        self.visible = math.prod(self.image_shape)
        if not is_whole(hidden) or hidden < 0:
            raise InputError(f"hidden must be a whole number of at least 0, not {hidden!r}")
        units = self.visible + hidden
        if units > LARGEST:
            raise InputError(f"{units} units have 2^{units} states: an exact machine takes at most {LARGEST}")
        pairs = torch.ones(units, units)
        if restricted:
            pairs[: self.visible, : self.visible] = 0
            pairs[self.visible :, self.visible :] = 0
        self.coupling = Coupling(units, pairs)

    def forward(self, x: Tensor) -> Tensor:
        """log p(x) [N] in nats of images [N, C, H, W] or [N, pixels]."""
        return self.log_table()[self.index(x)]

    def states(self, units: int) -> Tensor:
        """All 2^units states [2^units, units], in the order of the binary numbers that they spell."""
        shifts = torch.arange(units - 1, -1, -1, device=self.device)
        return (torch.arange(2**units, device=self.device)[:, None] >> shifts & 1).to(self.coupling.bias.dtype)

    def log_table(self) -> Tensor:
        """log p(v) of every visible state, [2^pixels]."""
        minus_energy = -self.coupling(self.states(len(self.coupling.bias)))
        return (minus_energy - minus_energy.logsumexp(0)).reshape(2**self.visible, -1).logsumexp(1)

    def index(self, x: Tensor) -> Tensor:
        """The places [N] of images in the table.

        Raises:
            InputError: for another number of pixels, or values other than 0 and 1.
        """
        x = torch.as_tensor(x).to(self.device)
        flat = x.flatten(1) if x.ndim > 1 else x[None]
        if flat.shape[1] != self.visible:
            raise InputError(f"images have {self.visible} pixels, not {flat.shape[1]}")
        if readable() and ((flat != 0) & (flat != 1)).any():
            raise InputError("a Boltzmann machine's pixels are 0 or 1: round them, or draw them by their grey value")
        return flat.long() @ 2 ** torch.arange(self.visible - 1, -1, -1, device=self.device)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def log_prob(self, x: Any) -> Tensor:
        """Exact log p(x) [N] in nats of binary images [N, C, H, W] or [N, pixels], or of pictures of so many pixels."""
        if isinstance(x, Tensor) or not isinstance(x, str | Path | Image.Image):
            return self(x)
        return self(as_images(x, self.image_shape))

    @verb
    def energy(self, s: Tensor) -> Tensor:
        """Energy [N] of states of all units, [N, pixels + hidden]."""
        if s.shape[-1] != len(self.coupling.bias):
            raise InputError(f"a state has {len(self.coupling.bias)} units, not {s.shape[-1]}")
        return self.coupling(s.to(self.coupling.bias))

    @verb
    def sample(self, n: int, *, seed: int | None = None, labels: Labels = None) -> Tensor:
        """n exact and independent images [n, C, H, W]; the same seed gives the same ones.

        Raises:
            InputError: for n below 1, or labels: the model is unconditional.
        """
        refuse_labels(labels, self.name)
        generator = seeded_generator(self.device, seed)
        chosen = torch.multinomial(self.log_table().exp(), check_count(n), replacement=True, generator=generator)
        return self.states(self.visible)[chosen].reshape(n, *self.image_shape)

    @verb
    def gibbs(self, n: int, sweeps: int, *, seed: int | None = None) -> Tensor:
        """n images [n, C, H, W] of Markov chains that visited every unit `sweeps` times: what a large machine has to do."""
        generator, a, b = seeded_generator(self.device, seed), self.coupling.matrix(), self.coupling.bias
        s = (torch.rand(check_count(n), len(b), device=self.device, generator=generator) < 0.5).to(b.dtype)
        for _, i in itertools.product(range(check_count(sweeps, "sweeps")), range(len(b))):
            coin = torch.rand(n, device=self.device, generator=generator)
            s[:, i] = (coin < (s @ a[i] + b[i]).sigmoid()).to(b.dtype)
        return s[:, : self.visible].reshape(n, *self.image_shape)

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = -self(_binary(batch)).mean()
        self.log_train(nll=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = _binary(batch)
        self.log("val/nll", -self(x).mean(), prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """The divergence of the model from the uniform distribution over all images of the data set."""
        x = data.tensors("test")[0]
        log_p = self.log_prob(x).double()
        how = f"exact, all {2 ** len(self.coupling.bias):,} states listed; the data are {len(x)} images, all equally likely"
        kl = -math.log(len(x)) - log_p.mean().item()
        return [
            entry(data, "test", "kl", kl, f"KL(data ‖ model) in nats; {how}", better="lower"),
            entry(data, "test", "nll", -log_p.mean().item(), f"mean −log p in nats; {how}", better="lower"),
            entry(
                data,
                "test",
                "mass",
                log_p.exp().sum().item(),
                f"probability of the data's images; {how}",
                better="higher",
            ),
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"input": self.states(self.visible)[:16].reshape(-1, *self.image_shape)}

    def preview(self, path: Path) -> Path:
        return save_grid(self.sample(64, seed=0), path, columns=16, scale=8)


def _binary(batch: Any) -> Tensor:
    """The images of a batch, rounded to 0 and 1."""
    x = inputs_of(batch)
    return (x > 0.5).to(x.dtype)
