"""Self-organising map (Kohonen, 1982): prototypes on a grid, so that neighbours on the grid are alike.

Each unit u has a place r_u on a grid and a prototype w_u. An image belongs to the unit with the nearest prototype, b(x); in
the batch rule (Kohonen, 1995) every epoch replaces the prototypes by weighted means of all images,

    w_u = Σ_x h(u, b(x)) x / Σ_x h(u, b(x)),      h(u, b) = exp(−|r_u − r_b|² / 2σ²)

and the radius σ shrinks geometrically: a wide one lays the map out, a narrow one lets the units specialise. Without
neighbours (σ → 0) it is k-means. Two numbers judge a map: the quantisation error, the mean distance of an image to its prototype,
and the topographic error, the share of images whose second-nearest prototype isn't a neighbour of the nearest.

Departures from the papers: the map starts on the plane of the two leading principal components.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.answers import likeliest
from zoo.core.batch import inputs_of
from zoo.core.checks import check_count
from zoo.core.data import ImageData
from zoo.core.images import ImageLike, save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError


class SOM(ZooModule):
    """Self-organising map of images by the batch rule.

    Args:
        image_shape: (channels, height, width).
        grid: (rows, columns) of the map, at least two units.
        radius: (first, last) σ, in steps of the grid.
        num_classes: classes that units are labelled with after training.

    Shapes:
        images x: [N, C, H, W] in [0, 1] (or [N, pixels]); units are numbered row by row.
    """

    task: ClassVar[str] = "clustering"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'x = sample_split("{data}")[0][:8].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.bmu(x))                                  # row and column of the nearest prototypes\n"
        "print(model.predict(x, top=1))                       # majority of the training images there\n"
        "print(model.umatrix().shape)"
    )
    votes: Tensor
    places: Tensor

    def __init__(
        self,
        image_shape: tuple[int, ...] = (1, 28, 28),
        grid: tuple[int, int] = (20, 20),
        *,
        radius: tuple[float, float] = (10.0, 0.7),
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.image_shape = tuple(check_count(size, "each of image_shape") for size in image_shape)
        self.rows, self.columns = (check_count(size, "each side of the grid") for size in grid)
        if self.rows * self.columns < 2:
            raise InputError("a map of one unit has no neighbours: grid must have at least two units")
        if not (radius[0] >= radius[1] > 0):
            raise InputError(f"radius must fall from a first to a last value above 0, not {tuple(radius)!r}")
        self.radius = (float(radius[0]), float(radius[1]))
        self.automatic_optimization = False  # an epoch has its solution in closed form
        size = int(torch.tensor(self.image_shape).prod())
        self.map = nn.Linear(size, self.rows * self.columns, bias=False)  # prototypes [units, pixels]
        self.register_buffer("votes", torch.zeros(self.rows * self.columns, check_count(num_classes, "num_classes")))
        row, column = torch.meshgrid(torch.arange(self.rows), torch.arange(self.columns), indexing="ij")
        self.register_buffer("places", torch.stack([row, column], -1).reshape(-1, 2).float(), persistent=False)

    @property
    def prototypes(self) -> Tensor:
        """Prototypes [units, pixels]."""
        return self.map.weight.detach()

    def forward(self, x: Tensor) -> Tensor:
        """Distances [N, units] of images to the prototypes."""
        flat, w = x.flatten(1), self.map.weight
        square = flat.square().sum(1)[:, None] + w.square().sum(1) - 2 * flat @ w.T
        return square.clamp(min=0).sqrt()

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def bmu(self, x: Tensor) -> Tensor:
        """Places (row, column) of the best matching units, int64 [N, 2].

        Raises:
            InputError: for another number of pixels, or values that aren't finite.
        """
        index = self._distances(x).argmin(1)
        return torch.stack([index // self.columns, index % self.columns], 1)

    @verb
    def predict_proba(self, images: ImageLike | list[ImageLike] | Tensor) -> Tensor:
        """Shares of the classes among the training images of the best matching unit, [N, num_classes].

        Args:
            images: as in `bmu`, or anything that the transform takes: a path, PIL image, array, uint8 tensor, or a list of them.

        Raises:
            InputError: for a map that wasn't trained on labelled images.
        """
        if not self.votes.any():
            raise InputError("the units have no labels: train the map on labelled images")
        share = self.votes / self.votes.sum(1, keepdim=True).clamp(min=1)
        used = torch.where(self.votes.sum(1) > 0, 0.0, torch.inf)  # a unit without a training image has no label
        x = images if isinstance(images, Tensor) and images.is_floating_point() else self._transformed(images)
        return share[(self._distances(x) + used).argmin(1)]

    def predict(self, x: Any, top: int = 3) -> Any:
        """The likeliest classes as (name, share), for each image: the majority among the training images of its unit."""
        found = likeliest(self.predict_proba(x), self.classes, top)
        single = not isinstance(x, list) and (not isinstance(x, Tensor) or x.ndim == 3)
        return found[0] if single and len(found) == 1 else found

    @verb
    def umatrix(self) -> Tensor:
        """Mean distance [rows, columns] of each prototype to those next to it, diagonals included: ridges separate clusters."""
        near = self._near()
        return ((torch.cdist(self.prototypes, self.prototypes) * near).sum(1) / near.sum(1)).reshape(self.rows, -1)

    @verb
    def quantisation_error(self, x: Tensor) -> float:
        """Mean distance of images to their prototype."""
        return self._distances(x).min(1).values.double().mean().item()

    @verb
    def topographic_error(self, x: Tensor) -> float:
        """Share of images whose two nearest prototypes are no neighbours; diagonal ones are neighbours."""
        first, second = self._distances(x).topk(2, largest=False).indices.T
        return 1 - self._near()[first, second].double().mean().item()

    def _near(self) -> Tensor:
        """1 for units next to each other, diagonals included, [units, units]."""
        hop = (self.places[:, None] - self.places).abs().amax(2)
        return (hop == 1).to(self.places.dtype)

    def _distances(self, x: Tensor) -> Tensor:
        x = torch.as_tensor(x).to(self.device, self.dtype)
        if tuple(x.shape) == self.image_shape:
            x = x[None]
        if x.ndim < 2 or x[:1].numel() not in (0, self.map.in_features):
            raise InputError(f"images have {self.map.in_features} pixels, not the shape {list(x.shape)}")
        if not x.isfinite().all():
            raise InputError("the images hold NaN or infinite values")
        return torch.cat([self(part) for part in x.split(2000)]) if len(x) else x.new_zeros(0, len(self.places))

    def _transformed(self, images: Any) -> Tensor:
        if self.transform is None:
            raise InputError(
                "this map doesn't know yet how its images are prepared: train it, or give float tensors in [0, 1]"
            )
        x = self.transform(images)
        return x if x.ndim == 4 else x[None]

    # Training --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def on_fit_start(self) -> None:
        """Lay the map on the plane of the two leading principal components."""
        data = getattr(self.trainer, "datamodule", None)
        if data is None or not hasattr(data, "tensors") or self.trainer.current_epoch:
            return
        x = _pixels(data.tensors("train")[0])
        _, values, vectors = torch.pca_lowrank(x, q=2, niter=4)
        spread = values / len(x) ** 0.5
        place = 2 * self.places / (torch.tensor([self.rows, self.columns]) - 1).clamp(min=1) - 1  # [-1, 1]
        self.map.weight.copy_(x.mean(0) + (place * 2 * spread) @ vectors.T)

    def on_train_epoch_start(self) -> None:
        self._sums = torch.zeros_like(self.map.weight)  # of the images of each unit
        self._hits = torch.zeros(len(self.places), device=self.device)

    @torch.no_grad()
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = inputs_of(batch).flatten(1)
        found = self(x).argmin(1)
        self._sums.index_add_(0, found, x)
        self._hits.index_add_(0, found, torch.ones_like(found, dtype=self._hits.dtype))
        if self.trainer.is_last_batch:
            last = max(1, (self.trainer.max_epochs or 1) - 1)
            self.update(self.sigma(min(1.0, self.trainer.current_epoch / last)))

    def sigma(self, done: float) -> float:
        """The radius after a share of the training."""
        return self.radius[0] * (self.radius[1] / self.radius[0]) ** done

    @torch.no_grad()
    def update(self, sigma: float) -> None:
        """Every prototype becomes the mean of the images of its surroundings."""
        weight = (-torch.cdist(self.places, self.places).square() / (2 * sigma**2)).exp()  # [units, units]
        total = weight @ self._hits
        new = weight @ self._sums / total.clamp(min=1e-12)[:, None]
        self.map.weight.copy_(torch.where(total[:, None] > 1e-12, new, self.map.weight))

    @torch.no_grad()
    def on_train_end(self) -> None:
        """Count the classes of the training images of each unit."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None and hasattr(data, "tensors"):
            x, y = data.tensors("train")
            self.label(_pixels(x), y)

    @torch.no_grad()
    def label(self, x: Tensor, y: Tensor) -> None:
        """Label the units by the classes y [N] of images x."""
        self.votes.zero_()
        index = self._distances(x).argmin(1)
        ones = torch.ones(len(y), device=self.device)
        self.votes.index_put_((index, y.to(self.device)), ones, accumulate=True)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = inputs_of(batch)
        self.log("val/quantisation_error", self(x).min(1).values.mean(), prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> None:
        return None

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Quantisation and topographic error, accuracy of the majority label, and the share of units in use."""
        pixels, y = data.tensors("test")
        x = _pixels(pixels)
        how = f"{len(x):,} test images, pixels in [0, 1], {self.rows}×{self.columns} units"
        accuracy = (self.predict_proba(x).argmax(1).cpu() == y).double().mean()
        used = (self.votes.sum(1) > 0).double().mean()
        quantisation, topographic = self.quantisation_error(x), self.topographic_error(x)
        far = "share whose two nearest prototypes are no neighbours on the grid, diagonal ones being neighbours"
        return [
            entry(
                data,
                "test",
                "quantisation_error",
                quantisation,
                f"mean distance to the prototype; {how}",
                better="lower",
            ),
            entry(data, "test", "topographic_error", topographic, f"{far}; {how}", better="lower"),
            entry(
                data,
                "test",
                "accuracy",
                accuracy,
                f"majority class of the unit's training images; {how}",
                better="higher",
            ),
            entry(
                data,
                "train",
                "units_used",
                used,
                "share of the units that are nearest to a training image",
                better="higher",
            ),
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"input": torch.rand(2, *self.image_shape, generator=torch.Generator().manual_seed(0))}

    def preview(self, path: Path) -> Path | None:
        if len(self.image_shape) != 3:
            return None
        return save_grid(self.prototypes.reshape(-1, *self.image_shape), path, columns=self.columns, scale=1)


def _pixels(x: Tensor) -> Tensor:
    """Images as rows of pixels in [0, 1]."""
    return x.flatten(1).float() / (1 if x.is_floating_point() else 255)
