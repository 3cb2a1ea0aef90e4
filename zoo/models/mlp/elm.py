"""Extreme learning machine: a hidden layer that is drawn and never trained (Huang, Zhu and Siew, 2006).

    h(x) = tanh(W x + b),     p(y | x) = softmax(V h),     V = argmin Σ_i ‖V h(x_i) − y_i‖² + r ‖V‖²

W and b are random. Only the read-out V learns, and that is linear regression: one system of equations in place of an epoch.
Enough random units separate what is separable (Cover, 1965), but most of them look at nothing that matters: it takes several
times as many as a layer that learns its own.

Departures from the paper: the random weights are signs, scaled so that a unit's input has the spread `scale` over the images; a
small ridge in place of the pseudo-inverse.
"""

import torch
from torch import Tensor, nn

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError


class FixedHidden(ImageClassifier):
    """Base: a hidden layer that gradients don't touch, and a linear read-out in closed form.

    Args:
        num_classes, in_channels: see ImageClassifier.
        ridge: r, as a share of the mean of h².

    Shapes:
        x: [N, C, H, W]; logits: [N, num_classes]; embedding h: [N, units].
    """

    head: nn.Linear

    def __init__(self, num_classes: int, in_channels: int, *, ridge: float) -> None:
        super().__init__(num_classes, in_channels)
        if not ridge > 0:
            raise InputError(f"ridge must be above 0, not {ridge!r}")
        self.ridge = ridge
        self.automatic_optimization = False  # there is a solution in closed form
        self._seen: list[tuple[Tensor, Tensor]] = []

    def draw(self, x: Tensor) -> None:
        """Make the hidden layer for training images x [N, C, H, W]."""
        raise NotImplementedError

    def on_train_epoch_start(self) -> None:
        self._seen = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # type: ignore[override]
        x, y = labelled(batch)
        self._seen.append((x.detach(), y))
        if self.trainer.is_last_batch:  # not at the epoch's end: validation comes before that
            x, y = (torch.cat(part) for part in zip(*self._seen, strict=True))
            self._seen = []
            self.fit(x, y)

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor) -> "FixedHidden":
        """Draw the hidden layer for images x, and solve for the read-out of their classes y [N]; returns the model."""
        self.draw(x)
        units, classes = self.head.in_features, self.head.out_features
        gram, cross = torch.zeros(units, units, dtype=torch.float64), torch.zeros(units, classes, dtype=torch.float64)
        for some, labels in zip(x.split(5000), y.split(5000), strict=True):
            h = self.features(some)["embedding"].float()
            gram += (h.T @ h).double().cpu()
            cross += (h.T @ (nn.functional.one_hot(labels, classes) - 1 / classes).to(h)).double().cpu()
        gram += self.ridge * gram.diagonal().mean() * torch.eye(units, dtype=torch.float64)
        self.head.weight.copy_(torch.linalg.solve(gram, cross).T)
        return self

    def configure_optimizers(self) -> None:  # type: ignore[override]
        return None


class ELM(FixedHidden):
    """Random tanh units and a linear read-out.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        image_size: (height, width) of the image.
        units: random hidden units.
        scale: standard deviation of a unit's input over the training images; far above 1 all units are signs, far below 1
            the network is linear.
        ridge: see FixedHidden.

    Shapes:
        x: [N, in_channels, *image_size]; logits: [N, num_classes]; embedding: [N, units].
    """

    signs: Tensor
    gain: Tensor
    shift: Tensor

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: tuple[int, int] = (28, 28),
        units: int = 2000,
        scale: float = 0.7,
        ridge: float = 1e-5,
    ) -> None:
        super().__init__(num_classes, in_channels, ridge=ridge)
        if not scale > 0:
            raise InputError(f"scale must be above 0, not {scale!r}")
        self.save_hyperparameters()
        self.scale = scale
        pixels = in_channels * image_size[0] * image_size[1]
        self.register_buffer("signs", (2 * torch.randint(2, (check_count(units, "units"), pixels)) - 1).to(torch.int8))
        self.register_buffer("gain", torch.ones(units))
        self.register_buffer("shift", torch.zeros(units))
        self.head = nn.Linear(units, num_classes, bias=False)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """As embedding the random units [N, units]."""
        u = x.flatten(1) @ self.signs.to(x.dtype).T
        return {"embedding": ((u - self.shift) * self.gain).tanh()}

    def draw(self, x: Tensor) -> None:
        """Centre and scale the units' inputs on images x, and move each by a random threshold."""
        u = torch.cat([some.flatten(1) @ self.signs.to(x.dtype).T for some in x[:10_000].split(1000)])
        deviation = u.std(0).clamp(min=1e-6)
        self.gain.copy_(self.scale / deviation)
        self.shift.copy_(u.mean(0) + deviation * torch.randn(len(deviation)).to(u))
