"""Consistency models that a discriminator sharpens (Kim et al., 2024, arXiv:2310.02279; Sauer et al., 2023, arXiv:2311.17042).

Where a consistency model is unsure its output is the mean of what might come, and a mean of strokes is a soft stroke: the
distance to one target doesn't separate soft from wrong. A discriminator can, for it asks only whether an image looks real. It
need not learn to see: it reads what a classifier sees of an image, at several depths i (Sauer et al., 2021, arXiv:2111.01007),
and that one stays as it is. With G(z) the sample of noise z, d_i the output of the small network for depth i, and L of
consistency.py, which keeps every image at its noise,

    network         λ L − E mean_i d_i(G(z))
    discriminator   E mean_i max(0, 1 − d_i(x)) + E mean_i max(0, 1 + d_i(G(z)))

Training goes on from a distilled model: a discriminator that faces noise, or mere blots, teaches nothing fine.

Departures from the papers: the gradient runs through the last segment alone; λ is a number where Kim et al. balance gradients;
the classifier is one of the zoo's own, and its maps are read as they are, where Sauer et al. mix them at random first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from zoo.api import load
from zoo.core.batch import images_of
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError
from zoo.models.diffusion.consistency import ConsistencyModel
from zoo.models.diffusion.image_generator import ImageGenerator
from zoo.models.diffusion.schedule import Shape

STAGES = {"stage1": 96, "stage2": 192, "embedding": 128}  # channels of cnn-mnist


class FeatureDiscriminator(nn.Module):
    """A small network for each of some stages of a classifier; each kernel, as a matrix, has the norm 1, to bound the outputs.

    Args:
        stages: channels of each stage, by its name.
        width: channels of the hidden layer.

    Shapes:
        features: maps [N, C, H, W] or vectors [N, C]; verdicts [N, stages], the mean over all places, higher is more real.
    """

    def __init__(self, stages: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(
                    spectral_norm(nn.Conv2d(channels, width, 3, padding=1)),
                    nn.LeakyReLU(0.2),
                    spectral_norm(nn.Conv2d(width, 1, 1)),
                )
                for name, channels in stages.items()
            }
        )

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        maps = {name: f if f.dim() == 4 else f[..., None, None] for name, f in features.items()}
        return torch.stack([head(maps[name]).flatten(1).mean(1) for name, head in self.heads.items()], 1)


class AdversarialConsistency(ConsistencyModel):
    """A ConsistencyModel with a discriminator beside it.

    Args:
        image_shape, width, channel_mults, blocks, attention_levels, patch, dropout, timesteps, schedule, segments, intervals: see
            ConsistencyModel; those of the base.
        base: a ConsistencyModel checkpoint whose weights training starts from, and whose teacher goes on teaching.
        consistency: λ, on a quarter of the images: this loss is the dearer one.
        critic: checkpoint of the classifier that the discriminator sees by.
        critic_stages: the stages of its `features` that are read, maps or vectors, and the channels of each; None for the last
            three of cnn-mnist.
        critic_width: channels of the discriminator's hidden layers.
        lr, critic_lr: Adam's learning rates. The network's warms up over a twentieth of the run, in which the discriminator gets
            ahead, and falls linearly to 0 from the middle on; the discriminator's stays.

    Shapes:
        images: [N, C, H, W] in [0, 1].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 64,
        *,
        channel_mults: Sequence[int] = (1, 2),
        blocks: int = 1,
        attention_levels: Sequence[int] = (1,),
        patch: int = 2,
        dropout: float = 0.0,
        timesteps: int = 1000,
        schedule: Shape = "cosine",
        base: str | None = None,
        segments: int = 2,
        intervals: int = 10,
        consistency: float = 20.0,
        critic: str = "cnn-mnist",
        critic_stages: Mapping[str, int] | None = None,
        critic_width: int = 128,
        lr: float = 5e-5,
        critic_lr: float = 2e-4,
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
            base=base,
            segments=segments,
            intervals=intervals,
        )
        self.save_hyperparameters()
        self.consistency, self.critic, self.rates = consistency, critic, (lr, critic_lr)
        self.stages = dict(STAGES if critic_stages is None else critic_stages)
        if not self.stages:
            raise InputError("critic_stages is empty: name a stage of the classifier's features, and its channels")
        self.discriminator = FeatureDiscriminator(self.stages, check_count(critic_width, "critic_width"))
        self.automatic_optimization = False  # two optimisers in turn
        self._classifier: list[ImageClassifier] = []  # in a list, as the teacher: no part of this module's checkpoints

    def start_from(self, base: Any) -> None:
        if not isinstance(base, ConsistencyModel) or len(base.schedule) != len(self.schedule):
            raise InputError(f"{self.base} is no consistency model with {len(self.schedule)} steps")
        ImageGenerator.start_from(self, base)
        self.learn_from(base)

    def learn_from(self, base: Any) -> None:
        """Let the base's teacher teach on."""
        if base.base is not None:
            super().learn_from(load(base.base))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and not self._classifier:
            self.see_by(load(self.critic))

    def see_by(self, classifier: Any) -> None:
        """Let the discriminator read this classifier's features.

        Raises:
            InputError: if it is no image classifier with a transform, or has other stages.
        """
        if not isinstance(classifier, ImageClassifier) or classifier.transform is None:
            raise InputError(f"{self.critic} is no trained image classifier: the discriminator can't see by it")
        self._classifier = [classifier.eval().requires_grad_(False)]
        with torch.no_grad():
            found = self.seen(torch.zeros(1, *self.image_shape))
        channels = {name: f.shape[1] for name, f in found.items() if f.dim() in (2, 4)}
        for name, count in self.stages.items():
            if channels.get(name) != count:
                raise InputError(f"critic_stages has {name!r} with {count} channels; {self.critic} has {channels}")

    # Training --------------------------------------------------------------------------------------------------------

    def last_segment(self, n: int) -> Tensor:
        """Samples [n, C, H, W] in [-1, 1] of fresh noise, with the gradient of the last segment alone."""
        x = self.noise(n, None)
        *above, last = (torch.full((n,), t, device=x.device) for t in self.ends[:-1].tolist())
        with torch.no_grad():
            for t in above:
                x = self(x, t)
        return self(x, last).clamp(-1, 1)  # as `sample` does: nothing is to be gained out there

    def seen(self, x: Tensor) -> dict[str, Tensor]:
        """The classifier's features of images x [N, C, H, W] in [-1, 1]."""
        classifier = self._classifier[0].to(x.device)
        assert classifier.transform is not None
        mean, std = (
            torch.tensor(list(numbers), device=x.device).reshape(-1, 1, 1)
            for numbers in (classifier.transform.mean, classifier.transform.std)
        )
        return classifier.features(((x + 1) / 2 - mean) / std)

    def verdict(self, x: Tensor) -> Tensor:
        """How real images x [N, C, H, W] in [-1, 1] look, [N, stages]."""
        return self.discriminator(self.seen(x)).float()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # type: ignore[override]  # it steps
        real = 2 * images_of(batch) - 1
        optimizers: Any = self.optimizers()
        network, critic = optimizers
        network.param_groups[0]["lr"] = self.rates[0] * self.share_of_rate(batch_idx)
        self.toggle_optimizer(network)
        samples = self.last_segment(len(real))
        generator_loss = -self.verdict(samples).mean()
        loss = self.loss(images_of(batch)[::4])
        network.zero_grad()
        self.manual_backward(self.consistency * loss + generator_loss)
        self.clip_gradients(network, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
        network.step()
        self.untoggle_optimizer(network)

        self.toggle_optimizer(critic)
        critic_loss = F.relu(1 - self.verdict(real)).mean() + F.relu(1 + self.verdict(samples.detach())).mean()
        critic.zero_grad()
        self.manual_backward(critic_loss)
        critic.step()
        self.untoggle_optimizer(critic)
        self.log_train(loss=loss, generator_loss=generator_loss, critic_loss=critic_loss)

    def share_of_rate(self, batch_idx: int) -> float:
        """Of the network's learning rate, at this batch of the epoch: up in a twentieth of the run, down in its second half."""
        trainer = self.trainer
        if not trainer.max_epochs or trainer.max_epochs < 0:
            return 1.0  # a run without an end
        done = (trainer.current_epoch + batch_idx / max(1, int(trainer.num_training_batches))) / trainer.max_epochs
        return min(1.0, 20 * done, 2 * (1 - done))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:  # type: ignore[override]  # two of them
        return [
            torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.99))
            for network, lr in zip((self.net, self.discriminator), self.rates, strict=True)
        ]
