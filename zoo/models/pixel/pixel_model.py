"""What autoregressive image models share: exact probabilities, sampling pixel by pixel, completing an image, the loss.

    p(x) = Π_i p(x_i | x_1 … x_{i-1}),      pixels in reading order, each a choice among the grey levels

A network gives all conditionals of an image in one pass, so training and scoring are one pass each; drawing takes a pass for
every pixel. Nothing is bounded or estimated: −log₂ p(x)/D is the length of the code that the model gives the image.
"""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.batch import images_of
from zoo.core.checks import check_count, is_whole, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, check_images, save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError


class PixelModel(ZooModule):
    """Base of the pixel models of grey images; a subclass has `forward`.

    Args:
        image_shape: (1, height, width).
        levels: grey levels, 256 for 8-bit images.

    Shapes:
        images x: [N, 1, H, W] in [0, 1]; logits: [N, levels, H, W], those of a pixel depend on earlier pixels only.
    """

    task: ClassVar[str] = "unconditional-image-generation"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'x = sample_split("{data}")[0][:2].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.bits_per_dim(x))                         # exact\n"
        'zoo.save_grid(model.complete(x, 14, seed=0), "completed.png")    # the lower half is drawn'
    )
    learns_from: ClassVar[tuple[str, ...]] = ("images",)

    def __init__(self, image_shape: tuple[int, int, int], levels: int) -> None:
        super().__init__()
        if image_shape[0] != 1:
            raise InputError(f"pixel models take grey images, with one channel, not {image_shape[0]}")
        if levels < 2:
            raise InputError(f"levels must be at least 2, not {levels}")
        self.image_shape, self.levels = tuple(image_shape), levels
        self.dim = math.prod(image_shape)

    def targets(self, x: Tensor) -> Tensor:
        """The grey levels 0 … levels − 1 of images in [0, 1], [N, H, W]."""
        return (x[:, 0] * (self.levels - 1)).round().long()

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def log_prob(self, x: Images) -> Tensor:
        """log p(x) in nats, [N]: exact."""
        x = self._check(x)
        return -self._surprise(x).reshape(len(x), -1).sum(1)

    def bits_per_dim(self, x: Images) -> Tensor:
        """−log₂ p(x)/D, [N]: exact."""
        return -self.log_prob(x) / (self.dim * math.log(2))

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, 1, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            labels: refused, the model is unconditional.
            temperature: below 1 likelier grey levels are likelier still; 0 takes the likeliest.
        """
        check_count(n)
        check_count(batch_size, "batch_size")
        refuse_labels(labels, self.name)
        generator = seeded_generator(self.device, seed)
        empty = torch.zeros(n, *self.image_shape, device=self.device)
        return gathered(
            self._fill(part, 0, temperature, generator) for part in track(empty.split(batch_size), "drawing")
        )

    def complete(self, x: Images, rows: int, *, seed: int | None = None, temperature: float = 1.0) -> Tensor:
        """Images [N, 1, H, W] whose first `rows` rows are those of x, and the rest drawn."""
        if not is_whole(rows) or not 0 <= rows <= self.image_shape[1]:
            raise InputError(f"rows must be a whole number from 0 to {self.image_shape[1]}, not {rows!r}")
        return self._fill(self._check(x).clone(), rows, temperature, seeded_generator(self.device, seed))

    @verb
    def _fill(self, x: Tensor, start: int, temperature: float, generator: torch.Generator) -> Tensor:
        """Draw every pixel from row `start` on, in order."""
        if not temperature >= 0:
            raise InputError(f"temperature must be 0 or more, not {temperature!r}")
        x, memory = x.clone(), None
        with torch.inference_mode():  # a tenth faster than no_grad for so many small products
            for row in track(range(x.shape[2]), "drawing"):
                memory = self.remember(x, row, memory)
                for column in range(x.shape[3] if row >= start else 0):
                    logits = self.pixel_logits(x, row, column, memory).float()
                    if temperature == 0:
                        level = logits.argmax(1)
                    else:
                        level = torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)[:, 0]
                    x[:, 0, row, column] = level / (self.levels - 1)
        return x

    def remember(self, x: Tensor, row: int, memory: Any) -> Any:
        """What drawing a row needs of the rows above it, from what the row above needed; nothing by default."""
        return None

    def pixel_logits(self, x: Tensor, row: int, column: int, memory: Any) -> Tensor:
        """Logits [N, levels] of one pixel, by a whole pass.

        Pixels are asked for in reading order, each once, so that a subclass can go on from the one before.
        """
        return self(x)[:, :, row, column]

    # Training --------------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor) -> Tensor:
        """Mean bits per dimension of images x in [0, 1]."""
        return self._surprise(x).mean() / math.log(2)

    def _surprise(self, x: Tensor) -> Tensor:
        """−log p of every pixel, [N · H · W]."""
        # levels last: several times as fast as along channels
        logits = self(x).float().permute(0, 2, 3, 1).flatten(0, 2)
        return F.cross_entropy(logits, self.targets(x).flatten(), reduction="none")

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
        """Bits per dimension of the test images, and the quality of 10,000 samples."""
        from zoo.metrics.generation import evaluate_images

        if torch.cuda.is_available():
            self.to("cuda")  # 784 passes for every sample
        x = data.tensors("test")[0].float() / 255
        bits = (
            torch.cat([self.bits_per_dim(part).cpu() for part in track(x.split(250), "measuring")])
            .double()
            .mean()
            .item()
        )
        how = f"exact, {len(x):,} test images of {self.levels} grey levels, float32"
        return [
            entry(data, "test", "bits_per_dim", bits, how, better="lower", n=len(x)),
            *evaluate_images(self.sample(10_000, seed=0), str(data.name), how="temperature 1, seed 0"),
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"input": torch.rand(2, *self.image_shape, generator=torch.Generator().manual_seed(0))}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits of every fourth pixel of every fourth row: 256 numbers a pixel would outweigh a small model."""
        return {"output": self(inputs["input"])[..., ::4, ::4]}

    def preview(self, path: Path) -> Path:
        return save_grid(self.sample(48, seed=0), path, columns=16)

    def _check(self, x: Images) -> Tensor:
        return check_images(x, self.image_shape).to(self.device)
