"""Kernel regression as a classifier: the predictor of an infinitely wide network, in closed form.

    f(x) = k(x)ᵀ (K + r I)⁻¹ Y,     k(x)_i = k(x, x_i),     K_ij = k(x_i, x_j)

x_i are stored images, Y their classes as ±(one-hot) rows, and r a small share of K's mean diagonal. The kernel decides what
the machine is: with `nngp` the mean prediction of an infinitely wide ReLU network whose last layer alone is trained (Lee et
al., 2018, arXiv:1711.00165), with `ntk` that of one whose layers are all trained by gradient descent (Jacot et al., 2018,
arXiv:1806.07572), with `rbf` the Gaussian kernel of support vector machines, with `linear` ridge regression. See
`zoo/blocks/kernels.py`.

Departures from the papers: images are centred by the mean of the stored ones and scaled to unit norm. `blur` softens them
before that: a kernel of pixels takes two strokes that lie a pixel apart for different ones, and a soft edge makes them alike.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from zoo.blocks.kernels import KERNELS, kernel
from zoo.core.batch import labelled
from zoo.core.checks import check_count, is_whole
from zoo.core.classifier import ImageClassifier
from zoo.core.data import ImageData
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError, UnknownNameError


class KernelMachine(ImageClassifier):
    """Kernel ridge regression on the classes of stored images.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        image_size: (height, width) of the image.
        examples: how many images are stored; training sets it.
        kernel: "linear", "rbf", "nngp" or "ntk".
        layers: hidden layers of the infinitely wide network ("nngp" and "ntk").
        scale: s of the Gaussian kernel exp(−|x − y|² / 2s²).
        ridge: r as a share of the kernel's mean diagonal.
        blur: standard deviation in pixels of a Gaussian that softens images first; 0 for none.

    Shapes:
        x: [N, in_channels, *image_size] in [0, 1]; logits: [N, num_classes]; embedding: k(x), [N, examples].
    """

    stored: Tensor
    mean: Tensor

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: tuple[int, int] = (28, 28),
        examples: int = 1000,
        kernel: str = "ntk",
        layers: int = 3,
        scale: float = 0.5,
        ridge: float = 1e-4,
        blur: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels)
        self.save_hyperparameters()
        if kernel not in KERNELS:
            raise UnknownNameError("kernel", kernel, KERNELS)
        if not is_whole(layers) or layers < 0:
            raise InputError(f"layers must be a whole number of at least 0, not {layers!r}")
        if not scale > 0 or not ridge >= 0 or not 0 <= blur < min(image_size):
            raise InputError(
                f"scale must be above 0, ridge at least 0 and blur less than the image, not {scale!r}, {ridge!r} and {blur!r}"
            )
        self.kernel, self.layers_, self.scale, self.ridge = kernel, layers, scale, ridge
        self.blur, self.shape = blur, (in_channels, *image_size)
        self.automatic_optimization = False  # there is a solution in closed form
        pixels = in_channels * image_size[0] * image_size[1]
        count = check_count(examples, "examples")
        self.register_buffer("stored", torch.zeros(count, pixels, dtype=torch.uint8))
        self.register_buffer("mean", torch.zeros(pixels))
        self.head = nn.Linear(count, num_classes, bias=False)  # (K + rI)⁻¹ Y, transposed
        self._seen: list[tuple[Tensor, Tensor]] = []

    def directions(self, x: Tensor) -> Tensor:
        """Images as centred rows of unit norm, [N, pixels]."""
        centred = self._soften(x.flatten(1)) - self.mean
        return centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-12)

    def _soften(self, rows: Tensor) -> Tensor:
        if not self.blur:
            return rows
        size = 2 * min(math.ceil(3 * self.blur), min(self.shape[1:]) - 1) + 1  # what is reflected must lie in the image
        return gaussian_blur(rows.unflatten(1, self.shape), size, self.blur).flatten(1)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """As embedding the kernel k(x) [N, examples] of images with the stored ones."""
        stored = self.directions(self.stored.to(self.mean.dtype) / 255)
        values = kernel(self.kernel, self.directions(x), stored, layers=self.layers_, scale=self.scale)
        return {"embedding": values.to(self.head.weight.dtype)}

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        self._seen = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # type: ignore[override]
        x, y = labelled(batch)
        self._seen.append((x.detach(), y))
        if self.trainer.is_last_batch:
            x, y = (torch.cat(part) for part in zip(*self._seen, strict=True))
            self._seen = []
            self.fit(x, y)

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor) -> "KernelMachine":
        """Store images [N, C, H, W] in [0, 1] with classes y [N], and solve for their weights; returns the machine.

        Raises:
            InputError: for images that aren't in [0, 1], or classes that the machine doesn't have.
        """
        if not len(x) or len(x) != len(y):
            raise InputError(f"there are {len(x)} images and {len(y)} classes: as many of both, and at least one")
        if not x.isfinite().all() or x.min() < 0 or x.max() > 1:
            raise InputError("stored images hold finite values in [0, 1]: make the data with normalize=False")
        classes = self.head.out_features
        if y.min() < 0 or y.max() >= classes:
            raise InputError(f"classes run from 0 to {classes - 1}, not from {y.min()} to {y.max()}")
        self.stored = (255 * x.flatten(1)).round().to(torch.uint8).to(self.device)
        pixels = self._soften(self.stored.double() / 255)
        self.mean = pixels.mean(0).float()
        rows = pixels - self.mean
        rows /= rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
        gram = kernel(self.kernel, rows, rows, layers=self.layers_, scale=self.scale)
        gram += self.ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        target = nn.functional.one_hot(y.to(gram.device), classes).to(gram.dtype) - 1 / classes
        factor, failed = torch.linalg.cholesky_ex(gram)
        if failed:
            raise InputError("the kernel matrix is singular: leave out doubled images, or give a larger ridge")
        self.head = nn.Linear(len(x), classes, bias=False).to(self.device)
        self.head.weight.copy_(torch.cholesky_solve(target, factor).T)
        self.hparams["examples"] = len(x)
        return self

    def configure_optimizers(self) -> None:  # type: ignore[override]
        return None

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:  # type: ignore[override]  # all pixels at once
        """Accuracy on the whole test split."""
        pixels, y = data.tensors("test")
        found = [self(part.to(self.device).float() / 255).argmax(1).cpu() for part in pixels.split(1000)]
        accuracy = (torch.cat(found) == y).double().mean()
        how = f"{len(self.stored):,} stored images, {self.kernel} kernel, {len(y):,} test images, float32"
        return [entry(data, "test", "accuracy", accuracy, how, better="higher")]
