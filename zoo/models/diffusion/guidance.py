"""Classifier guidance (Dhariwal and Nichol, 2021, arXiv:2105.05233): a classifier steers a diffusion model that knows no classes.

By Bayes' rule the score of the images of a class is that of all images and the gradient of a classifier of noisy images,

    ∇ log p(x_t | y) = ∇ log p(x_t) + γ ∇ log p(y | x_t),        γ = 1

and γ > 1 follows the classifier more than its due. The classifier must have seen noise at every step: one of clean images has no
gradient worth following where sampling begins. The guess of the clean image moves by γ (σ_t²/α_t) ∇ log p(y | x_t).

Departures from the paper: the classifier is the way down of the U-Net, with a mean over positions in place of attention pooling.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import ImageData
from zoo.core.files import write_figure
from zoo.core.images import check_labels
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.ddpm import DDPM
from zoo.models.diffusion.samplers import Denoise
from zoo.models.diffusion.samplers import sampler as named_sampler
from zoo.models.diffusion.schedule import NoiseSchedule, Shape
from zoo.models.diffusion.unet import UNet


class NoisyClassifier(ZooModule):
    """A classifier of images at every step of a diffusion model.

    Args:
        image_shape: (channels, height, width).
        num_classes: classes 0 … num_classes − 1.
        width, channel_mults, blocks, attention_levels, patch, dropout: see UNet.
        timesteps, schedule: those of the diffusion model to be guided.

    Shapes:
        noisy images x_t: [N, C, H, W], scaled as in DDPM; steps t: [N]; logits: [N, num_classes].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "import torch\n"
        "\n"
        "noise = torch.randn(2, *model.image_shape)\n"
        "print(model(noise, torch.tensor([0, 999])).softmax(1))    # classes of an image x_t at step t"
    )

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        num_classes: int = 10,
        *,
        width: int = 32,
        channel_mults: Sequence[int] = (1, 2),
        blocks: int = 1,
        attention_levels: Sequence[int] = (1,),
        patch: int = 2,
        dropout: float = 0.1,
        timesteps: int = 1000,
        schedule: Shape = "cosine",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.image_shape, self.num_classes = tuple(image_shape), check_count(num_classes, "num_classes")
        self.schedule = NoiseSchedule(timesteps, schedule)
        self.net = UNet(
            image_shape[0],
            width,
            channel_mults=channel_mults,
            blocks=blocks,
            attention_levels=attention_levels,
            patch=patch,
            dropout=dropout,
        )
        del self.net.up, self.net.head
        channels = self.net.middle_channels
        self.norm = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU())
        self.logits = nn.Linear(channels, num_classes)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Logits [N, num_classes] of noisy images at their steps."""
        return self.logits(self.norm(self.net.encode(x_t, t)[1]).mean((2, 3)))

    @verb
    def gradient(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """∇ log p(labels | x_t) with respect to the images."""
        with torch.enable_grad():
            x = x_t.detach().clone().requires_grad_()
            chosen = -F.cross_entropy(self(x, t).float(), labels, reduction="sum")
            return torch.autograd.grad(chosen, x)[0]

    def noisy(self, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Images in [0, 1] at one random step each."""
        t = self.schedule.draw(len(x), generator)
        alpha, sigma = self.schedule.rates(t)
        return alpha * (2 * x - 1) + sigma * torch.randn(x.shape, device=x.device, generator=generator), t

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, labels = labelled(batch)
        loss = F.cross_entropy(self(*self.noisy(x, None)).float(), labels)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, labels = labelled(batch)
        logits = self(*self.noisy(x, seeded_generator(x.device, batch_idx))).float()
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict(
            {"val/loss": F.cross_entropy(logits, labels), "val/accuracy": accuracy}, prog_bar=True, batch_size=len(x)
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.05)

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Accuracy on test images at five noise levels."""
        x, labels = data.tensors("test")
        generator, entries = seeded_generator(self.device, 0), []
        for share in (0.0, 0.25, 0.5, 0.75, 0.9):
            step = int(share * len(self.schedule))
            alpha, sigma = self.schedule.rates(torch.tensor([step], device=self.device))
            right = 0
            for part, wanted in zip(x.split(500), labels.split(500), strict=True):
                clean = 2 * part.to(self.device).float() / 255 - 1
                noisy = alpha * clean + sigma * torch.randn(clean.shape, device=self.device, generator=generator)
                found = self(noisy, torch.full((len(part),), step, device=self.device)).argmax(1).cpu()
                right += int((found == wanted).sum())
            how = f"{len(x):,} test images with the noise of step {step} of {len(self.schedule)}, seed 0, float32"
            name = "accuracy_clean" if share == 0 else f"accuracy_at_{step}"
            entries.append(entry(data, "test", name, right / len(x), how, better="higher", n=len(x)))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        x_t = torch.randn(2, *self.image_shape, generator=torch.Generator().manual_seed(0))
        return {"x_t": x_t, "t": torch.tensor([len(self.schedule) // 4, len(self.schedule) - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self(inputs["x_t"], inputs["t"])}

    @torch.no_grad()
    def preview(self, path: Path) -> Path:
        """Accuracy on packaged test images against the noise that is left in them."""
        from matplotlib.figure import Figure

        from zoo.core.samples import sample_split

        x, labels = sample_split((self.data or {}).get("name", "mnist"))
        x, generator, accuracy = 2 * x.float() / 255 - 1, torch.Generator().manual_seed(0), []
        steps = torch.linspace(0, len(self.schedule) - 1, 21).long()
        for step in steps:
            t = step.expand(len(x))
            alpha, sigma = self.schedule.rates(t)
            noisy = alpha * x + sigma * torch.randn(x.shape, generator=generator)
            accuracy.append((self(noisy, t).argmax(1) == labels).double().mean().item())
        figure = Figure(figsize=(5, 3), layout="constrained")
        axis = figure.subplots()
        axis.plot(steps, accuracy, marker=".")
        axis.set(xlabel="step of the noise schedule", ylabel="accuracy", ylim=(0, 1), title="packaged test images")
        write_figure(path, figure, dpi=90)
        return path


def guided_denoise(model: DDPM, classifier: NoisyClassifier, labels: Tensor, strength: float) -> Denoise:
    """The model's guess of the clean image, moved up the classifier's gradient for labels [N]; for any sampler."""

    def denoise(x: Tensor, t: int) -> Tensor:
        at = torch.full((len(x),), t, device=x.device)
        alpha, sigma = model.schedule.rates(at)
        shift = strength * sigma**2 / alpha * classifier.gradient(x, at, labels)
        return (model.denoise(x, at, clip=False) + shift).clamp(-1, 1)

    return denoise


def sample_guided(
    model: DDPM,
    classifier: NoisyClassifier,
    labels: Tensor | Sequence[int],
    *,
    strength: float = 1.0,
    seed: int | None = None,
    sampler: str = "ancestral",
    steps: int = 50,
    batch_size: int = 250,
) -> Tensor:
    """Draw an image in [0, 1] for each label [N] from an unconditional model and a classifier of its noisy images.

    Raises:
        InputError: for labels that the classifier doesn't know, a negative strength, or another noise schedule.
    """
    if not torch.equal(model.schedule.alpha_bar.cpu(), classifier.schedule.alpha_bar.cpu()):
        raise InputError("the classifier was trained on another noise schedule than the diffusion model's")
    labels = check_labels(labels, check_count(len(labels), "the number of labels"), classifier.num_classes)
    check_count(batch_size, "batch_size")
    if not 0 <= strength < float("inf"):
        raise InputError(f"strength is a number from 0 on, not {strength!r}")
    model.eval()
    classifier.eval()
    generator = seeded_generator(model.device, seed)

    def draw(part: Tensor) -> Tensor:
        x = torch.randn(len(part), *model.image_shape, device=model.device, generator=generator)
        with torch.no_grad():
            denoise = guided_denoise(model, classifier, part, strength)
            states = named_sampler(sampler)(denoise, x, model.schedule, steps, 0.0, generator)
            *_, x = track(states, "drawing", steps)
        return ((x + 1) / 2).clamp(0, 1)

    return gathered(draw(part) for part in track(labels.to(model.device).split(batch_size), "drawing"))
