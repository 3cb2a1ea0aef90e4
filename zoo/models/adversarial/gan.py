"""Generative adversarial networks (Goodfellow et al., 2014, arXiv:1406.2661).

A generator G turns noise into images, a discriminator D separates them from real ones; each learns from the other:

    min_G max_D  E_x[log D(x)] + E_z[log(1 − D(G(z)))],        D = σ(d) with logit d

Against the best discriminator the generator minimises 2 JS(p ‖ p_G) − 2 log 2, which is lowest where both are equal and D is
½ everywhere. In practice the generator maximises log D(G(z)): log(1 − D) has no gradient while D is sure (both are here). With
labels, both networks take the class as an input (Mirza and Osindero, 2014, arXiv:1411.1784).

Departures from the papers: Adam; batch norm in the generator; real images' gradient penalty ½ γ E ‖∇d(x)‖² in some of the steps
(Mescheder et al., 2018), without which the game of small networks circles; samples are drawn from a moving average of the
generator's weights. The checkpoint holds generator, average and discriminator, so that training can go on.
"""

import copy
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.batch import images_of, labelled
from zoo.core.checks import check_count, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, Labels, check_images, check_labels, save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.adversarial.games import decay, follow
from zoo.models.adversarial.networks import MLPDiscriminator, MLPGenerator


class GAN(ZooModule):
    """Adversarial pair of fully connected networks; the base of the other games, which change losses or networks.

    Args:
        image_shape: (channels, height, width).
        latent_dim: length of the noise z ~ N(0, I).
        hidden: widths of the generator's hidden layers; the discriminator has them in reverse.
        num_classes: classes that both networks take as an input, 0 for none.
        generator_loss: "non-saturating", −log D(G(z)), or "saturating", log(1 − D(G(z))).
        dropout: in the discriminator.
        r1: γ, weight of the gradient penalty on real images, taken in every fourth step at four times its weight; 0 for none.
        critic_steps: steps of the discriminator for each one of the generator.
        lr, critic_lr: Adam's learning rates, decayed linearly to `final_lr` times as much.
        beta1: Adam's first decay rate.
        ema: decay of the generator's moving average.

    Shapes:
        images x: [N, C, H, W] in [0, 1], inside in [-1, 1]; noise z: [N, latent_dim]; labels: [N].
    """

    task: ClassVar[str] = "unconditional-image-generation"
    use: ClassVar[str] = 'zoo.save_grid(model.sample(16, seed=0), "grid.png")  # a conditional model takes labels='
    learns_from: ClassVar[tuple[str, ...]] = ("images",)
    penalty_every = 4

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 64,
        *,
        hidden: tuple[int, ...] = (256, 512),
        num_classes: int = 0,
        generator_loss: Literal["non-saturating", "saturating"] = "non-saturating",
        dropout: float = 0.0,
        r1: float = 0.0,
        critic_steps: int = 1,
        lr: float = 2e-4,
        critic_lr: float = 2e-4,
        beta1: float = 0.5,
        final_lr: float = 0.0,
        ema: float = 0.999,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if generator_loss not in ("non-saturating", "saturating"):
            raise InputError(f"generator_loss is 'non-saturating' or 'saturating', not {generator_loss!r}")
        if num_classes < 0 or num_classes == 1:
            raise InputError(f"num_classes is 0 (unconditional) or at least 2, not {num_classes!r}")
        channels, height, width = (check_count(size, "each of image_shape") for size in image_shape)
        self.image_shape, self.latent_dim = (channels, height, width), check_count(latent_dim, "latent_dim")
        self.num_classes, self.saturating, self.r1 = num_classes, generator_loss == "saturating", r1
        self.critic_steps, self.ema = check_count(critic_steps, "critic_steps"), ema
        self.rates, self.beta1, self.final_lr = (lr, critic_lr), beta1, final_lr
        self.automatic_optimization = False  # two optimisers in turn
        self.play(
            MLPGenerator(latent_dim, self.image_shape, tuple(hidden), num_classes),
            MLPDiscriminator(self.image_shape, tuple(hidden)[::-1], num_classes, dropout),
        )

    def play(self, generator: nn.Module, discriminator: nn.Module) -> None:
        """Set the two networks, and the generator's average, which starts as it does."""
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).requires_grad_(False)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [N, C, H, W] in [-1, 1] of noise z [N, latent_dim], by the averaged generator."""
        return self.average(z, self._condition(labels))

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def sample(self, n: int, *, seed: int | None = None, labels: Labels = None, batch_size: int = 1000) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            labels: the classes [n] of a conditional model, drawn at random by default.
            batch_size: images that go through the network at once.

        Raises:
            InputError: for n below 1, labels for an unconditional model, or labels of another number or out of range.
        """
        check_count(n)
        check_count(batch_size, "batch_size")
        generator = seeded_generator(self.device, seed)
        z = torch.randn(n, self.latent_dim, device=self.device, generator=generator)
        if self.num_classes and labels is None:
            labels = torch.randint(self.num_classes, (n,), device=self.device, generator=generator)
        return self.decode(z, labels=labels, batch_size=batch_size)

    @verb
    def decode(self, z: Tensor, *, labels: Labels = None, batch_size: int = 1000) -> Tensor:
        """Images [N, C, H, W] in [0, 1] of noise z [N, latent_dim]."""
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise InputError(f"codes are [N, {self.latent_dim}], not {list(z.shape)}")
        if not torch.isfinite(z).all():
            raise InputError("the codes hold NaN or infinite values")
        labels = self._checked(labels, len(z))

        def draw(start: int) -> Tensor:
            part = None if labels is None else labels[start : start + batch_size]
            images: Tensor = self(z[start : start + batch_size].to(self.device), part)
            return images.float()

        return gathered(((draw(start) + 1) / 2).clamp(0, 1) for start in track(range(0, len(z), batch_size), "drawing"))

    @verb
    def discriminate(self, x: Images, *, labels: Labels = None) -> Tensor:
        """The discriminator's outputs [N] for images x [N, C, H, W] in [0, 1]: larger is more real."""
        x = check_images(x, self.image_shape)
        return self.discriminator(2 * x.to(self.device) - 1, self._condition(self._checked(labels, len(x))))

    # The game: what a subclass changes -------------------------------------------------------------------------------

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the discriminator minimises, of its outputs [N] for real and generated images."""
        return F.softplus(-real).mean() + F.softplus(fake).mean()  # −log D(x) − log(1 − D(G(z)))

    def generator_loss(self, fake: Tensor) -> Tensor:
        """What the generator minimises, of the discriminator's outputs [N] for its images."""
        return -F.softplus(fake).mean() if self.saturating else F.softplus(-fake).mean()

    def penalty(self, real: Tensor, fake: Tensor, condition: Tensor | None) -> Tensor:
        """What keeps the discriminator smooth, of images in [-1, 1]."""
        return 0.5 * self.r1 * self.slopes(real, condition).square().mean()

    @property
    def penalises(self) -> bool:
        return self.r1 > 0

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> None:
        real, condition = 2 * images_of(batch) - 1, self._condition(labelled(batch)[1] if self.num_classes else None)
        optimizers: Any = self.optimizers()
        generator, critic = optimizers
        decay(self.trainer, batch_idx, optimizers, self.rates, self.final_lr)
        fake = self.generator(torch.randn(len(real), self.latent_dim, device=self.device), condition)

        self.toggle_optimizer(critic)
        of_real, of_fake = (
            self.discriminator(real, condition).float(),
            self.discriminator(fake.detach(), condition).float(),
        )
        loss = self.critic_loss(of_real, of_fake)
        found = {"critic_loss": loss, "real": of_real.mean(), "fake": of_fake.mean()}
        if self.penalises and batch_idx % self.penalty_every == 0:
            loss = loss + self.penalty_every * self.penalty(real, fake.detach(), condition)
        critic.zero_grad()
        self.manual_backward(loss)
        critic.step()
        self.after_critic_step()
        self.untoggle_optimizer(critic)

        if batch_idx % self.critic_steps == 0:
            self.toggle_optimizer(generator)
            loss = found["generator_loss"] = self.generator_loss(self.discriminator(fake, condition).float())
            generator.zero_grad()
            self.manual_backward(loss)
            generator.step()
            self.untoggle_optimizer(generator)
            self.update_average()
        self.log_train(**found)

    @torch.no_grad()
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """The discriminator's outputs for real images and for the averaged generator's; the noise is the same in every epoch."""
        real, condition = 2 * images_of(batch) - 1, self._condition(labelled(batch)[1] if self.num_classes else None)
        z = torch.randn(len(real), self.latent_dim, generator=torch.Generator().manual_seed(batch_idx)).to(self.device)
        of_real, of_fake = (
            self.discriminator(real, condition).float(),
            self.discriminator(self.average(z, condition), condition).float(),
        )
        found = {"critic_loss": self.critic_loss(of_real, of_fake), "real": of_real.mean(), "fake": of_fake.mean()}
        self.log_dict({f"val/{key}": value for key, value in found.items()}, batch_size=len(real))

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """The discriminator's outputs for the batch's images."""
        real = 2 * images_of(batch) - 1
        return self.discriminator(real, self._condition(labelled(batch)[1] if self.num_classes else None))

    def after_critic_step(self) -> None:
        """What happens to the discriminator's weights after each of its steps."""

    def slopes(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """‖∇_x d(x)‖ [N] of the discriminator at images x: one norm an image, over all its pixels."""
        x = x.detach().requires_grad_(True)
        with torch.autocast(x.device.type, enabled=False):  # the gradient of a gradient needs float32
            out = self.discriminator(x, condition)
            (gradient,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        return gradient.flatten(1).norm(dim=1)

    def update_average(self) -> None:
        """Move the average towards the generator."""
        follow(self.average, self.generator, self.ema, self.global_step)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        betas = (self.beta1, 0.99)
        return [
            torch.optim.Adam(network.parameters(), lr=lr, betas=betas, fused=True)
            for network, lr in zip((self.generator, self.discriminator), self.rates, strict=True)
        ]

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Quality of 10,000 samples against the test split; see zoo.metrics."""
        from zoo.metrics.generation import evaluate_images

        labels = torch.arange(10_000) % self.num_classes if self.num_classes else None
        images = self.sample(10_000, seed=0, labels=labels)
        return evaluate_images(images, str(data.name), labels=labels, how="averaged generator, seed 0, float32")

    def measure(self, data: ImageData) -> list[dict[str, Any]]:
        """On a person's own images, which no classifier knows: the energy distance of as many samples, in pixels."""
        from zoo.metrics.kernel import energy_distance

        real = data.tensors("test")[0].float().flatten(1) / 255
        labels = torch.arange(len(real)) % self.num_classes if self.num_classes else None
        fake = self.sample(len(real), seed=0, labels=labels).cpu().flatten(1)
        how = f"{len(real)} held-out images and as many samples, seed 0, pixels in [0, 1], float32"
        return [entry(data, "test", "energy_distance", energy_distance(real, fake), how, better="lower")]

    def golden_inputs(self) -> dict[str, Tensor]:
        z = torch.randn(3, self.latent_dim, generator=torch.Generator().manual_seed(0))
        return {"z": z} | ({"labels": torch.arange(3) % self.num_classes} if self.num_classes else {})

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Images of the average and of the generator as it was last, and the discriminator's outputs for the last ones."""
        condition = self._condition(inputs.get("labels"))
        image, last = self.average(inputs["z"], condition), self.generator(inputs["z"], condition)
        return {"output": image, "last": last, "verdict": self.discriminator(image, condition)}

    def preview(self, path: Path) -> Path:
        labels = torch.arange(64) % self.num_classes if self.num_classes else None
        return save_grid(self.sample(64, seed=0, labels=labels), path, columns=16)

    def _condition(self, labels: Tensor | None) -> Tensor | None:
        if not self.num_classes:
            return None
        if labels is None:
            raise InputError(f"this model is conditional: give labels in 0..{self.num_classes - 1}")
        return F.one_hot(labels.to(self.device), self.num_classes).float()

    def _checked(self, labels: Labels, n: int) -> Tensor | None:
        if self.num_classes:
            return check_labels(labels, n, self.num_classes)
        refuse_labels(labels, self.name)
        return None
