"""Consistency models that a discriminator sharpens (Kim et al., 2024, arXiv:2310.02279; Sauer et al., 2023, arXiv:2311.17042).

Where a consistency model is unsure it says the mean of what might come, and a mean of strokes is a soft stroke: the distance to
one target can't tell soft from wrong. A discriminator d can, for it asks only whether an image looks real. With G(z) the sample
of noise z and L of consistency.py, which keeps every image at its noise,

    network         L + λ E log(1 + exp(−d(G(z))))
    discriminator   E log(1 + exp(−d(x))) + E log(1 + exp(d(G(z))))

Training goes on from a distilled model: a discriminator that faces noise, or mere blots, teaches nothing fine.

Departures from the papers: the gradient runs through the last segment alone; λ is a number where Kim et al. balance gradients,
and d a small convolutional network of its own that makes several cheap steps on the latest samples for each of the network's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import zoo
from zoo.adversarial.networks import ConvDiscriminator
from zoo.diffusion.consistency import ConsistencyModel
from zoo.diffusion.image_generator import ImageGenerator
from zoo.diffusion.schedule import Shape
from zoo.errors import InputError
from zoo.module import check_count

RECENT = 2  # batches of samples that the discriminator learns from: with older ones it lags behind the network


class AdversarialConsistency(ConsistencyModel):
    """A ConsistencyModel with a discriminator beside it.

    Args:
        image_shape, width, channel_mults, blocks, attention_levels, patch, dropout, timesteps, schedule, segments, intervals: see
            ConsistencyModel; those of the base.
        base: a ConsistencyModel checkpoint whose weights training starts from, and whose teacher goes on teaching.
        adversarial: λ.
        critic_width: channels of the discriminator's first layer.
        critic_steps: of the discriminator, for each one of the network.
        lr, critic_lr: Adam's learning rates. The network's warms up over a twentieth of the run, in which the discriminator gets
            ahead, and falls linearly to 0 from the middle on; the discriminator's stays.

    Shapes:
        images: [N, C, H, W] in [0, 1], H and W multiples of 4.
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
        adversarial: float = 0.05,
        critic_width: int = 64,
        critic_steps: int = 5,
        lr: float = 1e-4,
        critic_lr: float = 3e-4,
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
        if image_shape[1] % 4 or image_shape[2] % 4:
            raise InputError(f"height and width must be multiples of 4, not {image_shape[1]} and {image_shape[2]}")
        self.adversarial, self.critic_steps = adversarial, check_count(critic_steps, "critic_steps")
        self.rates = (lr, critic_lr)
        # batch norm sees samples by their own batch's statistics, and calls them more real than real images
        self.discriminator = ConvDiscriminator(image_shape, critic_width, norm=False)
        self.automatic_optimization = False  # two optimisers in turn
        self._recent: list[Tensor] = []  # samples, the latest first

    def start_from(self, base: Any) -> None:
        if not isinstance(base, ConsistencyModel) or len(base.schedule) != len(self.schedule):
            raise InputError(f"{self.base} is no consistency model with {len(self.schedule)} steps")
        ImageGenerator.start_from(self, base)
        self.learn_from(base)

    def learn_from(self, base: Any) -> None:
        """Let the base's teacher teach on."""
        if base.base is not None:
            super().learn_from(zoo.load(base.base))

    # Training --------------------------------------------------------------------------------------------------------

    def last_segment(self, n: int) -> Tensor:
        """Samples [n, C, H, W] in [-1, 1] of fresh noise, with the gradient of the last segment alone."""
        x = self.noise(n, None)
        *above, last = (torch.full((n,), t, device=x.device) for t in self.ends[:-1].tolist())
        with torch.no_grad():
            for t in above:
                x = self(x, t)
        return self(x, last)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # type: ignore[override]  # it steps
        real = 2 * batch[0] - 1
        optimizers: Any = self.optimizers()
        network, critic = optimizers
        found = {}
        if batch_idx % self.critic_steps == 0 or not self._recent:
            network.param_groups[0]["lr"] = self.rates[0] * self.share_of_rate(batch_idx)
            self.toggle_optimizer(network)
            samples = self.last_segment(len(real))
            found["generator_loss"] = F.softplus(-self.discriminator(samples).float()).mean()
            # half of the images, for this loss is dearer: a teacher, and both ends of an interval
            found["loss"] = self.loss(batch[0][::2])
            network.zero_grad()
            self.manual_backward(found["loss"] + self.adversarial * found["generator_loss"])
            self.clip_gradients(network, gradient_clip_val=1.0, gradient_clip_algorithm="norm")
            network.step()
            self.untoggle_optimizer(network)
            self._recent = [samples.detach(), *self._recent[: RECENT - 1]]

        self.toggle_optimizer(critic)
        pool = torch.cat(self._recent)
        of_real = self.discriminator(real).float()
        of_fake = self.discriminator(pool[torch.randperm(len(pool), device=pool.device)[: len(real)]]).float()
        found["critic_loss"] = F.softplus(-of_real).mean() + F.softplus(of_fake).mean()
        critic.zero_grad()
        self.manual_backward(found["critic_loss"])
        critic.step()
        self.untoggle_optimizer(critic)
        self.log_train(**found)

    def share_of_rate(self, batch_idx: int) -> float:
        """Of the network's learning rate, at this batch of the epoch: up in a twentieth of the run, down in its second half."""
        trainer = self.trainer
        if not trainer.max_epochs or trainer.max_epochs < 0:
            return 1.0  # a run without an end
        done = (trainer.current_epoch + batch_idx / max(1, int(trainer.num_training_batches))) / trainer.max_epochs
        return min(1.0, 20 * done, 2 * (1 - done))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:  # type: ignore[override]  # two of them
        return [
            torch.optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.99), fused=True)
            for network, lr in zip((self.net, self.discriminator), self.rates, strict=True)
        ]

    # Claims ----------------------------------------------------------------------------------------------------------

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The ends of two points' segments, and what the discriminator says of them."""
        found = super().golden_outputs(inputs)
        return found | {"verdict": self.discriminator(found["image"])}
