"""What the diffusion models of images share: the loop over batches of samples, the steps, the measures, the picture."""

import inspect
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.batch import images_of
from zoo.core.checks import check_count, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, check_images, save_grid
from zoo.core.module import ZooModule
from zoo.core.precision import quick_autocast
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.unet import UNet

Draw = Callable[[int, torch.Generator], Tensor]


class ImageGenerator(ZooModule):
    """Base of generators that are trained by regression on noisy images; a subclass has `net`, `loss` and `sample`.

    Training may begin with the weights of another one: strokes are strokes whatever the noise. `base` names its checkpoint.

    Shapes:
        images: [N, C, H, W] in [0, 1]; inside, scaled to [-1, 1].
    """

    task: ClassVar[str] = "unconditional-image-generation"
    use: ClassVar[str] = 'zoo.save_grid(model.sample(16, seed=0), "grid.png")'
    learns_from: ClassVar[tuple[str, ...]] = ("images",)
    image_shape: tuple[int, ...]
    net: nn.Module
    base: str | None = None

    def setup(self, stage: str) -> None:
        """Take over the base's weights, unless this is a loaded checkpoint; a run that resumes puts its own in their place."""
        super().setup(stage)
        if stage == "fit" and self.base is not None and self.name is None:
            from zoo.api import load

            self.start_from(load(self.base))

    def start_from(self, base: Any) -> None:
        """Give the network the weights of another diffusion model's.

        Raises:
            InputError: if that has no such network, or one of other sizes.
        """
        weights = base.net.state_dict() if isinstance(getattr(base, "net", None), UNet) else {}
        own = self.net.state_dict()
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in own.items()}:
            raise InputError(
                f"{self.base or type(base).__name__} is no diffusion model with a network of the same sizes"
            )
        self.net.load_state_dict(weights)

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Training loss of images x in [0, 1]; the generator makes a validation repeat its draws."""
        raise NotImplementedError

    def sample(self, n: int, *, seed: int | None = None, labels: Tensor | None = None) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device."""
        raise NotImplementedError

    @verb
    def draw_images(self, n: int, seed: int | None, labels: Tensor | None, batch_size: int, draw: Draw) -> Tensor:
        """n images in [0, 1] by `draw(count, generator)`, which gives them in [-1, 1], at most batch_size at once."""
        check_count(n)
        check_count(batch_size, "batch_size")
        refuse_labels(labels, self.name)
        generator = seeded_generator(self.device, seed)
        counts = [min(batch_size, n - start) for start in range(0, n, batch_size)]
        return gathered(((draw(count, generator) + 1) / 2).clamp(0, 1) for count in track(counts, "drawing"))

    def noise(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Standard normal noise in the shape of images."""
        return torch.randn(count, *self.image_shape, device=self.device, generator=generator)

    def check_images(self, x: Images) -> Tensor:
        """Images on the model's device, of what `as_images` takes.

        Raises:
            InputError: for another shape, or values that are not in [0, 1].
        """
        return check_images(x, self.image_shape).to(self.device)

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(images_of(batch))
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = images_of(batch)
        same_every_epoch = seeded_generator(x.device, batch_idx)
        self.log("val/loss", self.loss(x, same_every_epoch), prog_bar=True, batch_size=len(x))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = images_of(batch)
        self.log("test/loss", self.loss(x, seeded_generator(x.device, batch_idx)), batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=5e-4)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Sample quality of 10,000 images of the default sampler against the test split; see zoo.metrics."""
        from zoo.metrics.generation import evaluate_images

        context, precision = self.quickly()
        with context:
            images = self.sample(10_000, seed=0)
        return evaluate_images(images, str(data.name), how=f"{self.default_sampler()}, seed 0, {precision}")

    def default_sampler(self) -> str:
        """The sampler, steps and guidance that `sample` takes by default, in words of a claim."""
        given = {name: p.default for name, p in inspect.signature(type(self).sample).parameters.items()}
        words = [f"{given[key]} sampler" for key in ("sampler", "method") if key in given]
        return ", ".join([*(words or ["default sampler"]), *([f"{given['steps']} steps"] if "steps" in given else [])])

    def quickly(self) -> tuple[AbstractContextManager, str]:
        """Go to the GPU if there is one, to draw thousands of images; a context for it, and the words of its precision."""
        if torch.cuda.is_available():
            self.to("cuda")
        return quick_autocast(self.device.type)

    def preview(self, path: Path) -> Path:
        return save_grid(self.sample(64, seed=0), path, columns=16)


def check_guidance(guidance: float | None, condition: object, name: str) -> float:
    """The guidance weight, 1 if there is none.

    Raises:
        InputError: for guidance without the condition of this name, or below 0.
    """
    if guidance is None:
        return 1.0
    if condition is None:
        raise InputError(f"guidance {guidance!r} needs {name} to guide to: sample(n, {name}=..., guidance=...)")
    if not (isinstance(guidance, int | float) and 0 <= guidance < math.inf):
        raise InputError(f"guidance is a number from 0 on, not {guidance!r}")
    return float(guidance)


def steps_of(alpha: Tensor, sigma: Tensor) -> Tensor:
    """The time input of the network: the angle between signal and noise in α·x_0 + σ·ε, scaled to 0 … 1000.

    It is the same for all schedules, so that a model of one can start from the weights of another. The steps of a cosine schedule
    of length 1000 are almost equal to it.
    """
    return 2000 / math.pi * torch.atan2(sigma, alpha)
