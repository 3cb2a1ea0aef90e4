"""What flows of images share: dequantisation, bits per dimension, the verbs, the loss.

A flow has a density, an 8-bit image a probability. Noise u of density q joins them: each grey level k is spread over
[k, k + 1)/256, and

    log P(k) = log E_u[p((k + u)/256)/q(u)] − D log 256  >=  E_u[log p((k + u)/256) − log q(u)] − D log 256      (in nats)

so what a flow reports is a bound; averaging over several u inside the logarithm tightens it (Burda et al., 2016). In bits per
dimension it is −log₂ P(k) / D, where an image of pure noise costs 8.
"""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.core.batch import images_of
from zoo.core.checks import check_count, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import ImageLike, Images, check_codes, check_ends, check_images, great_circle, save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.flows.bijections import Bijection, standard_normal
from zoo.models.flows.dequantisation import LEVELS, NormalEnds, Uniform

EVALUATED = 2000  # the first test images that tighten the bound; all of them are in the plain one
IMPORTANCE = 8  # draws of u for each of them
INVERTED = 250  # the first test images that go through the inverse, which some flows take pixel by pixel


class ImageFlow(ZooModule):
    """Base of the flows of images; a subclass sets `flow`, from pixels in (0, 1) to codes.

    Shapes:
        images: [N, C, H, W] in [0, 1], 8-bit levels; dequantised y: the same in (0, 1); codes z: [N, C·H·W].
    """

    task: ClassVar[str] = "unconditional-image-generation"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'zoo.save_grid(model.sample(16, seed=0), "grid.png")\n'
        'x = sample_split("{data}")[0][:8].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.bits_per_dim(x))"
    )
    learns_from: ClassVar[tuple[str, ...]] = ("images",)
    flow: Bijection
    noise: Uniform | NormalEnds

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.dim = math.prod(image_shape)
        self.noise = Uniform()

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Codes z [N, D] and the density log p(y) [N] of dequantised images y, in nats."""
        z, log_det = self.flow(y)
        return z, self.prior_log_prob(z) + log_det

    def prior_log_prob(self, z: Tensor) -> Tensor:
        """log-density of codes [N, D] under the prior, [N]."""
        return standard_normal(z)

    def prior_sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Codes [n, D] drawn from the prior."""
        return torch.randn(n, self.dim, device=self.device, generator=generator)

    def dequantise(self, x: Tensor, quantile: float | None = None) -> tuple[Tensor, Tensor]:
        """(k + u)/256 for the grey levels k of images in [0, 1], and log q(u) [N]; u is drawn unless its quantile is given."""
        k = (x * (LEVELS - 1)).round()
        u, log_q = self.noise(k, torch.rand_like(k) if quantile is None else torch.full_like(k, quantile))
        return ((k + u) / LEVELS).clamp(1e-6, 1 - 1e-6), log_q

    def estimate(self, x: Tensor) -> Tensor:
        """log p − log q of images, one draw of u each: what bounds log P + D log 256 from below in the mean, [N]."""
        y, log_q = self.dequantise(x)
        return self(y)[1] - log_q

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def log_prob(self, x: Images, *, samples: int = 1) -> Tensor:
        """A lower bound on the log-probability of 8-bit images in nats, [N], from `samples` draws of u; it tightens."""
        check_count(samples, "samples")
        x = self._check(x)
        draws = torch.stack([self.estimate(x) for _ in range(samples)])  # [samples, N]
        return draws.logsumexp(0) - math.log(samples) - self.dim * math.log(LEVELS)

    def bits_per_dim(self, x: Images, *, samples: int = 1) -> Tensor:
        """An upper bound on −log₂ P(x)/D, [N]."""
        return -self.log_prob(x, samples=samples) / (self.dim * math.log(2))

    @verb
    def encode(self, x: Images) -> Tensor:
        """Codes z [N, D] of images, from the middle of each grey level."""
        x = self._check(x)
        return self(self.dequantise(x, 0.5)[0])[0]

    @verb
    def decode(self, z: Tensor) -> Tensor:
        """8-bit images in [0, 1] of codes z [N, D]."""
        z = check_codes(z, (self.dim,))
        y = self.flow.inverse(z.to(self.device)).nan_to_num(0.0)
        return (y * LEVELS).floor().clamp(0, LEVELS - 1) / (LEVELS - 1)

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            labels: refused, the model is unconditional.
            temperature: scale of the codes; below 1 the images are likelier and less varied.
        """
        check_count(n)
        check_count(batch_size, "batch_size")
        refuse_labels(labels, self.name)
        if not temperature >= 0:
            raise InputError(f"temperature must be 0 or more, not {temperature!r}")
        generator = seeded_generator(self.device, seed)
        z = temperature * self.prior_sample(n, generator)
        return gathered(self.decode(part) for part in track(z.split(batch_size), "drawing"))

    def interpolate(self, a: ImageLike, b: ImageLike, *, steps: int = 8) -> Tensor:
        """A path [steps, C, H, W] from image a to image b [C, H, W] that turns and grows evenly among the codes."""
        start, end = self.encode(check_ends(a, b, steps, self.image_shape))
        return self.decode(great_circle(start, end, steps))

    # Training --------------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor) -> Tensor:
        """Mean bits per dimension of images x in [0, 1], one draw of u each."""
        log_prob = self.estimate(x).mean()
        return math.log2(LEVELS) - log_prob / (self.dim * math.log(2))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(images_of(batch))
        self.log_train(bits_per_dim=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/bits_per_dim", self.loss(images_of(batch)), prog_bar=True, batch_size=len(images_of(batch)))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("test/bits_per_dim", self.loss(images_of(batch)), batch_size=len(images_of(batch)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Bits per dimension of the test images, the error of the inverse, and the quality of 10,000 samples."""
        from zoo.metrics.generation import evaluate_images

        torch.manual_seed(0)  # of u
        x = data.tensors("test")[0].float() / 255
        bits = torch.cat([self.bits_per_dim(part) for part in track(x.split(500), "measuring")]).double().mean()
        few = (
            torch.cat([self.bits_per_dim(part, samples=IMPORTANCE) for part in x[:EVALUATED].split(500)])
            .double()
            .mean()
        )
        y, _ = self.dequantise(x[:INVERTED].to(self.device), 0.5)
        with torch.no_grad():
            error = torch.stack([(self.flow.inverse(self.flow(p)[0]) - p).abs().max() for p in y.split(250)]).max()
        deq = f"8-bit test images, {self.noise.how}"
        claims = [
            ("bits_per_dim", bits, len(x), f"upper bound: {len(x):,} {deq}, one draw each, float32"),
            ("bits_per_dim_iw", few, EVALUATED, f"first {EVALUATED:,} {deq}, {IMPORTANCE} draws inside the logarithm"),
            ("inverse_error", error, INVERTED, "largest error of the inverse in pixels of [0, 1], float32"),
        ]
        entries = [entry(data, "test", m, v, how, better="lower", n=n) for m, v, n, how in claims]
        return [*entries, *evaluate_images(self.sample(10_000, seed=0), str(data.name), how="temperature 1, seed 0")]

    def golden_inputs(self) -> dict[str, Tensor]:
        """Smooth dark images: as the pixels of noise lie far from any data, they would make the codes enormous."""
        generator = torch.Generator().manual_seed(0)
        y = torch.rand(2, *self.image_shape, generator=generator) * 0.1 + 0.02
        return {"y": y, "z": 0.5 * torch.randn(2, self.dim, generator=generator)}

    def example(self) -> Tensor:
        return self.golden_inputs()["y"]

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        z, log_prob = self(inputs["y"])
        return {"z": z, "log_prob": log_prob, "decoded": self.flow.inverse(inputs["z"])}

    def preview(self, path: Path) -> Path:
        return save_grid(self.sample(64, seed=0), path, columns=16)

    def _check(self, x: Images) -> Tensor:
        return check_images(x, self.image_shape).to(self.device)
