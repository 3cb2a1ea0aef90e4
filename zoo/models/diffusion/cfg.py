"""Class-conditional diffusion with classifier-free guidance (Ho and Salimans, 2022, arXiv:2207.12598).

The network of ddpm.py takes the class as a further input; for a tenth of the training images that input is "no class". So one
network gives the score of the images of a class and that of all images, and their difference points towards the class,

    ε_w = ε(x_t) + w · (ε(x_t, y) − ε(x_t)),        ∇ log p_w(x_t | y) = (1 − w) ∇ log p(x_t) + w ∇ log p(x_t | y)

so w = 0 ignores the class, w = 1 samples it, and w > 1 samples what is more typical of it than its images are: surer and less
varied. (The paper, and much that was written after it, counts from the conditional model: its weight is w − 1.) The same holds
for v and for the guess of x_0, which are linear in ε.

Departures from the paper: v-prediction and all else as in ddpm.py; both guesses come from one call of twice the batch; the
embedding of the classes is scaled up, so that a network that knew none of them learns them fast.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import check_labels, save_grid
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.ddpm import DDPM
from zoo.models.diffusion.image_generator import check_guidance
from zoo.models.diffusion.samplers import Denoise
from zoo.models.diffusion.samplers import sampler as named_sampler
from zoo.models.diffusion.schedule import Shape

GAIN = 20.0  # of the embedded classes: Adam moves each number by its rate, and from zero that would take thousands of steps


class ConditionalDDPM(DDPM):
    """Diffusion model of small images of known classes.

    Args:
        num_classes: classes 0 … num_classes − 1.
        label_drop: share of the training images whose class is left out.
        base: a DDPM checkpoint with the same network, whose weights training starts from, so that classes alone are new; None
            starts afresh.
        image_shape, width, channel_mults, blocks, attention_levels, patch, dropout, timesteps, schedule, prediction: as in DDPM.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; labels: int64 [N]; num_classes itself stands for "no class".
    """

    use: ClassVar[str] = (
        'images = model.sample(10, labels=list(range(10)), guidance=3.0, seed=0)\nzoo.save_grid(images, "grid.png")'
    )
    learns_from: ClassVar[tuple[str, ...]] = ("labelled-images",)

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 64,
        *,
        num_classes: int = 10,
        label_drop: float = 0.1,
        base: str | None = None,
        channel_mults: Sequence[int] = (1, 2),
        blocks: int = 1,
        attention_levels: Sequence[int] = (1,),
        patch: int = 2,
        dropout: float = 0.0,
        timesteps: int = 1000,
        schedule: Shape = "cosine",
        prediction: Literal["v", "eps"] = "v",
    ) -> None:
        super().__init__(
            image_shape,
            width,
            channel_mults=channel_mults,
            blocks=blocks,
            attention_levels=attention_levels,
            patch=patch,
            dropout=dropout,
            timesteps=timesteps,
            schedule=schedule,
            prediction=prediction,
        )
        self.save_hyperparameters()
        if prediction == "x0":
            raise InputError("guidance mixes two guesses of v or ε: prediction is 'v' or 'eps', not 'x0'")
        check_count(num_classes, "num_classes")
        if not 0 <= label_drop <= 1:
            raise InputError(f"label_drop is a share in 0..1, not {label_drop!r}")
        self.num_classes, self.label_drop, self.base = num_classes, label_drop, base
        self.label = nn.Embedding(num_classes + 1, 4 * width)
        self.label.weight.data.div_(GAIN)

    def start_from(self, base: Any) -> None:
        """Be the unconditional model at first, whatever the class."""
        if getattr(base, "prediction", None) != self.prediction:
            raise InputError(f"{self.base} is no diffusion model with {self.prediction}-prediction")
        super().start_from(base)
        nn.init.zeros_(self.label.weight)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's guess of v (or ε) for noisy images at steps t [N]; without labels, for images of any class."""
        return self.net(x_t, t, self.embed_labels(labels, x_t.shape[0]))

    def embed_labels(self, labels: Tensor | None, n: int) -> Tensor:
        """The embedding of the classes of n images that the network takes, [n, 4 · width]."""
        if labels is None:
            labels = torch.full((n,), self.num_classes, device=self.device)
        return GAIN * self.label(labels)

    def guided(self, x_t: Tensor, t: Tensor, labels: Tensor | None, guidance: float) -> Tensor:
        """The network's output with guidance weight w: 0 for any class, 1 for the class, more to exaggerate it."""
        if labels is None or guidance == 0:
            return self(x_t, t)
        if guidance == 1:
            return self(x_t, t, labels)
        no_class = torch.full_like(labels, self.num_classes)
        both = self(torch.cat([x_t, x_t]), torch.cat([t, t]), torch.cat([no_class, labels]))
        free, conditioned = both.float().chunk(2)
        return free + guidance * (conditioned - free)

    def denoise(
        self,
        x_t: Tensor,
        t: Tensor,
        *,
        clip: bool = True,
        labels: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """The guess of the clean image x_0, clipped to [-1, 1]."""
        alpha, sigma = self.schedule.rates(t)
        output = self.guided(x_t, t, labels, guidance).float()
        x_0 = alpha * x_t - sigma * output if self.prediction == "v" else (x_t - sigma * output) / alpha
        return x_0.clamp(-1, 1) if clip else x_0

    # Verbs -----------------------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        sampler: str = "ancestral",
        steps: int = 20,
        eta: float = 0.0,
        labels: Tensor | Sequence[int] | int | None = None,
        guidance: float | None = None,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            labels: the class of each image [n], or one for all; None draws the classes at random, all as often.
            guidance: w, by default 1. It doubles the cost unless it is 0 or 1. With 0 the class counts for nothing:
                these are images of the branch that was trained without it.
            sampler, steps, eta, batch_size: as in DDPM.

        Raises:
            InputError: for guidance below 0, and for labels that the model doesn't know.
        """
        if labels is None and guidance != 0:
            drawn = seeded_generator(torch.device("cpu"), None if seed is None else seed + 1)
            labels = torch.randint(self.num_classes, (check_count(n),), generator=drawn)
        wanted, weight = self.check_condition(n, labels, None if labels is None else guidance)
        check_count(batch_size, "batch_size")
        if not 0 <= eta <= 1:
            raise InputError(f"eta lies in 0..1, not {eta!r}")
        generator = seeded_generator(self.device, seed)

        def draw(start: int) -> Tensor:
            part = None if wanted is None else wanted[start : start + batch_size]
            x = torch.randn(min(batch_size, n - start), *self.image_shape, device=self.device, generator=generator)
            *_, x = self.trajectory(
                x,
                sampler=sampler,
                steps=steps,
                eta=eta,
                generator=generator,
                labels=part,
                guidance=weight,
            )
            return ((x + 1) / 2).clamp(0, 1)

        return gathered(draw(start) for start in track(range(0, n, batch_size), "drawing"))

    def check_condition(
        self, n: int, labels: Tensor | Sequence[int] | int | None, guidance: float | None
    ) -> tuple[Tensor | None, float]:
        """The labels int64 [n] on the model's device or None, and the guidance weight, of n images.

        Raises:
            InputError: for guidance without labels or below 0, and for labels that the model doesn't know.
        """
        check_count(n)
        weight = check_guidance(guidance, labels, "labels")
        return None if labels is None else check_labels(labels, n, self.num_classes).to(self.device), weight

    @verb
    def trajectory(
        self,
        x: Tensor,
        *,
        sampler: str = "ancestral",
        steps: int = 20,
        eta: float = 0.0,
        generator: torch.Generator | None = None,
        labels: Tensor | None = None,
        guidance: float = 1.0,
    ) -> list[Tensor]:
        """All states of the reverse process from noise x [N, C, H, W], first to last, in the scale [-1, 1]."""
        generator = generator or seeded_generator(self.device, None)
        denoise = self._denoise_at(labels, guidance)
        states = named_sampler(sampler)(denoise, x, self.schedule, steps, eta, generator)
        return list(track(states, "drawing", steps))

    # Training --------------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor, generator: torch.Generator | None = None, labels: Tensor | None = None) -> Tensor:
        """Mean squared error for images x in [0, 1] at one random step each, a share of them without their class."""
        t = self.schedule.draw(len(x), generator)
        x_0, eps = 2 * x - 1, torch.randn(x.shape, device=x.device, generator=generator)
        if labels is not None:
            dropped = torch.rand(len(x), device=x.device, generator=generator) < self.label_drop
            labels = torch.where(dropped, self.num_classes, labels)
        alpha, sigma = self.schedule.rates(t)
        target = alpha * eps - sigma * x_0 if self.prediction == "v" else eps
        return (self(alpha * x_0 + sigma * eps, t, labels).float() - target).square().mean()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, labels = labelled(batch)
        loss = self.loss(x, labels=labels)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, labels = labelled(batch)
        same_every_epoch = seeded_generator(x.device, batch_idx)
        self.log("val/loss", self.loss(x, same_every_epoch, labels), prog_bar=True, batch_size=len(x))

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, labels = labelled(batch)
        self.log("test/loss", self.loss(x, seeded_generator(x.device, batch_idx), labels), batch_size=len(x))

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Quality of 10,000 images of asked-for classes, as frequent as in the training data; see zoo.metrics."""
        from zoo.metrics.generation import evaluate_images

        labels = data.tensors("train")[1][:10_000]
        context, precision = self.quickly()
        with context:
            images = self.sample(len(labels), labels=labels, seed=0)
        how = f"labels of the first 10,000 training images, guidance 1, {self.default_sampler()}, seed 0, {precision}"
        return evaluate_images(images, str(data.name), labels=labels, how=how)

    def golden_inputs(self) -> dict[str, Tensor]:
        return {**super().golden_inputs(), "labels": torch.tensor([0, self.num_classes - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The guided output, and what four guided steps make of it."""
        x_t, labels = inputs["x_t"], inputs["labels"]
        return {
            "output": self.guided(x_t, inputs["t"], labels, 2.0),
            "sample": self.trajectory(x_t, sampler="ddim", steps=4, labels=labels, guidance=2.0)[-1],
        }

    def preview(self, path: Path) -> Path:
        """A column for each class."""
        columns = min(16, self.num_classes)
        labels = torch.arange(columns).repeat(6)
        return save_grid(self.sample(len(labels), labels=labels, seed=0), path, columns=columns)

    def _denoise_at(self, labels: Tensor | None = None, guidance: float = 1.0) -> Denoise:
        def denoise(x: Tensor, t: int) -> Tensor:
            return self.denoise(x, torch.full((len(x),), t, device=x.device), labels=labels, guidance=guidance)

        return denoise
