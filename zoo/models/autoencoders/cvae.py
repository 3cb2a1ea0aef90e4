"""Conditional variational autoencoder (Sohn, Lee and Yan, 2015, "Learning structured output representation").

Both halves of a VAE take the class y of the image as an input, one number a class beside x and beside z:

    log p(x | y)  ≥  E_q(z|x,y)[log p(x | z, y)] − KL(q(z | x, y) ‖ N(0, I))

The code then need not hold the class and keeps what the class leaves open, the handwriting: the same z under ten labels gives
ten digits in one hand. That is so only as far as the decoder finds the class sooner in y than in z: every layer of it takes y,
and a rate that is priced from the first step keeps the class out of z.

Departures from the paper: the prior of z doesn't depend on y; the class enters all layers of the decoder.
"""

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.dense import Activation, activation_of
from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.images import ImageLike, Images, Labels, check_ends, check_labels
from zoo.core.protocols import REQUIRED
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.vae import VAE


class CVAE(VAE):
    """Label-conditional variational autoencoder of binary images.

    Args:
        image_shape, latent_dim, hidden, activation, beta, binarize, rate_warmup: see VAE.
        num_classes: number of classes.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim]; labels y: [N], whole numbers below num_classes.
    """

    use: ClassVar[str] = 'images = model.sample(10, labels=list(range(10)), seed=0)\nzoo.save_grid(images, "grid.png")'
    learns_from: ClassVar[tuple[str, ...]] = ("labelled-images",)

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 20,
        *,
        num_classes: int = 10,
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "gelu",
        beta: float = 1.0,
        binarize: bool = True,
        rate_warmup: int = 0,
    ) -> None:
        # `condition_dim` is asked for while the base is built
        self._num_classes = check_count(num_classes, "num_classes")
        super().__init__(
            image_shape,
            latent_dim,
            hidden=hidden,
            activation=activation,
            beta=beta,
            binarize=binarize,
            rate_warmup=rate_warmup,
        )
        self.save_hyperparameters()
        self.decoder = ToldDecoder([latent_dim, *hidden[::-1], self.num_pixels], activation, num_classes)

    @property
    def condition_dim(self) -> int:
        return self._num_classes

    def condition(self, h: Tensor, labels: Tensor | None) -> Tensor:
        one_hot = F.one_hot(check_labels(labels, h.shape[-2], self._num_classes), self._num_classes).to(h)
        return torch.cat([h, one_hot.to(h.device).expand(*h.shape[:-1], -1)], -1)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]  # two inputs
        return self._decoded(self.posterior(x, labels)[0], labels)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return self(*labelled(batch))

    # Verbs: those of VAE, with labels --------------------------------------------------------------------------------

    @verb
    def encode(self, x: Images, *, labels: Labels = REQUIRED) -> Tensor:  # type: ignore[override]
        """Posterior means [N, latent_dim] of images of these classes."""
        x = self.check_images(x)
        return self.posterior(x.to(self.device), self._checked(labels, len(x)))[0]

    @verb
    def decode(self, z: Tensor, *, labels: Labels = REQUIRED) -> Tensor:  # type: ignore[override]
        """Pixel means [N, C, H, W] of codes, as these classes."""
        self.check_codes(z)
        return self._decoded(z.to(self.device), self._checked(labels, len(z)))

    def reconstruct(self, x: Images, *, labels: Labels = REQUIRED) -> Tensor:  # type: ignore[override]
        """Images of these classes after a round through their codes."""
        return self.decode(self.encode(x, labels=labels), labels=labels)

    def interpolate(  # type: ignore[override]
        self, a: ImageLike, b: ImageLike, *, steps: int = 8, labels: tuple[int, int] | None = None
    ) -> Tensor:
        """A path [steps, C, H, W] between images a and b [C, H, W] of one class, through their codes.

        Args:
            labels: (class, class) of a and b, which must be equal: there is nothing between two classes.
        """
        images = check_ends(a, b, steps, self.image_shape)
        if labels is None or len(labels) != 2 or labels[0] != labels[1]:
            raise InputError(f"interpolate takes labels=(k, k), the one class of both images, not {labels!r}")
        y = torch.full((2,), int(labels[0]))
        start, end = self.encode(images, labels=y)
        share = torch.linspace(0, 1, steps, device=start.device)[:, None]
        return self.decode(start * (1 - share) + end * share, labels=y[:1].expand(steps))

    @verb
    def sample(self, n: int, *, seed: int | None = None, labels: Labels = None) -> Tensor:
        """Decode n codes drawn from the prior, as the classes `labels` [n], or as classes drawn at random.

        Raises:
            InputError: for n below 1, or labels of another number or out of range.
        """
        z = self.prior(n, seed)
        if labels is None:
            generator = seeded_generator(torch.device("cpu"), None if seed is None else seed + 1)
            labels = torch.randint(self._num_classes, (n,), generator=generator)
        return self.decode(z, labels=labels)

    # Claims ----------------------------------------------------------------------------------------------------------

    def draws(self, n: int) -> tuple[Tensor, Tensor | None]:
        labels = torch.arange(n) % self._num_classes
        return self.sample(n, seed=0, labels=labels), labels

    def golden_inputs(self) -> dict[str, Tensor]:
        return super().golden_inputs() | {"labels": torch.tensor([0, self._num_classes - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        mean, log_var = self.posterior(inputs["input"], inputs["labels"])
        return {"mean": mean, "log_var": log_var, "output": self._decoded(mean, inputs["labels"])}

    def _decoded(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return self.logits(z, labels).sigmoid().reshape(-1, *self.image_shape)

    def _checked(self, labels: Labels, n: int) -> Tensor | None:
        return check_labels(None if labels is REQUIRED else labels, n, self._num_classes).to(self.device)


class ToldDecoder(nn.Module):
    """Linear layers between successive widths, each of which sees the class beside its input; the last has no activation.

    Shapes:
        h: [..., widths[0] + num_classes], the class one-hot at its end; output: [..., widths[-1]].
    """

    def __init__(self, widths: list[int], activation: Activation, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.layers = nn.ModuleList(nn.Linear(before + num_classes, after) for before, after in pairwise(widths))
        self.activations = nn.ModuleList(activation_of(activation) for _ in widths[2:])

    def forward(self, h: Tensor) -> Tensor:
        one_hot = h[..., -self.num_classes :]
        for layer, activation in zip(self.layers, self.activations, strict=False):
            h = activation(layer(h))
            h = torch.cat([h, one_hot.to(h)], -1)
        return self.layers[-1](h)
