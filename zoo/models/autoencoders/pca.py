"""Principal component analysis (Pearson, 1901; Hotelling, 1933), in closed form.

Of all K-dimensional planes the one spanned by the K leading eigenvectors U of the covariance S loses least of the data:

    z = Uᵀ(x − μ),    x̂ = U z + μ,    E ‖x − x̂‖² = Σ_{k > K} λ_k                       with S U = U diag(λ), λ_1 ≥ λ_2 ≥ …

The mean error is the sum of the eigenvalues left out. An autoencoder without nonlinearities finds the same plane by gradient
descent (Baldi and Hornik, 1989), which `linear-ae-mnist` shows; this is what every deeper autoencoder has to beat.

"Training" is one pass that sums x and xxᵀ; the eigenvectors follow at its end.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.core.batch import images_of
from zoo.core.checks import check_count
from zoo.core.data import ImageData
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, split_images


class PCA(Coder):
    """The plane of largest variance, as a linear encoder and decoder.

    Args:
        image_shape: (channels, height, width).
        latent_dim: K, the dimension of the plane.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim], uncorrelated, the one of largest variance first.
    """

    variances: Tensor

    learns_from: ClassVar[tuple[str, ...]] = ()

    def __init__(self, image_shape: tuple[int, int, int] = (1, 28, 28), latent_dim: int = 30) -> None:
        super().__init__(image_shape, latent_dim)
        self.save_hyperparameters()
        self.automatic_optimization = False  # there is a solution in closed form
        if latent_dim > self.num_pixels:
            raise InputError(f"latent_dim is {latent_dim}, but images have {self.num_pixels} pixels")
        self.encoder = nn.Linear(self.num_pixels, latent_dim)
        self.decoder = nn.Linear(latent_dim, self.num_pixels)
        self.register_buffer("variances", torch.ones(self.num_pixels))  # all eigenvalues λ, the largest first
        self.moments = Moments(self.num_pixels)

    def codes(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))

    def pixels(self, z: Tensor) -> Tensor:
        return self.decoder(z).reshape(-1, *self.image_shape)

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        self.moments = Moments(self.num_pixels)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.moments.add(images_of(batch).flatten(1))
        if self.trainer.is_last_batch:  # not at the epoch's end: validation comes before that
            self.solve(*self.moments.mean_and_covariance())

    @torch.no_grad()
    def solve(self, mean: Tensor, covariance: Tensor) -> None:
        """Set the plane from the mean [D] and covariance [D, D] of the data, both float64."""
        values, vectors = torch.linalg.eigh(covariance)  # in ascending order
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)[:, : self.latent_dim]
        vectors = vectors * vectors.sum(0).sign().where(vectors.sum(0) != 0, 1.0)  # an eigenvector has no sign: fix one
        self.encoder.weight.copy_(vectors.T)
        self.encoder.bias.copy_(-vectors.T @ mean)
        self.decoder.weight.copy_(vectors)
        self.decoder.bias.copy_(mean)
        self.variances.copy_(values)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log(
            "val/mse",
            (self(images_of(batch)) - images_of(batch)).square().mean(),
            prog_bar=True,
            batch_size=len(images_of(batch)),
        )

    def configure_optimizers(self) -> None:
        return None

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, object]]:
        """Squared error of test images, a pixel and an image, and the variance kept."""
        x = split_images(data, "test").to(self.device)
        mse = (self(x) - x).double().square().mean().item()
        kept = (self.variances[: self.latent_dim].sum() / self.variances.sum()).item()
        how = f"{len(x):,} test images, pixels in [0, 1], {self.latent_dim} components, float32"
        return [
            entry(data, "test", "mse", mse, f"mean squared error a pixel; {how}", better="lower"),
            entry(data, "test", "sse", mse * self.num_pixels, f"sum of squared errors an image; {how}", better="lower"),
            entry(
                data,
                "test",
                "explained_variance",
                kept,
                "share of the training split's variance in the plane",
                better="higher",
            ),
        ]


class Moments:
    """Running mean and covariance of vectors, summed in float64 around the first batch's mean.

    Args:
        dimension: length D of the vectors.
    """

    def __init__(self, dimension: int) -> None:
        check_count(dimension, "dimension")
        self.count, self.dimension = 0, dimension
        self.shift = self.total = self.outer = torch.zeros(0)

    def add(self, x: Tensor) -> None:
        """Take in vectors [N, D]."""
        x = x.detach().double()
        if self.count == 0:
            self.shift, self.total = x.mean(0), x.new_zeros(self.dimension)
            self.outer = x.new_zeros(self.dimension, self.dimension)
        x = x - self.shift
        self.total += x.sum(0)
        self.outer += x.T @ x
        self.count += len(x)

    def mean_and_covariance(self) -> tuple[Tensor, Tensor]:
        """Mean [D] and covariance [D, D] (over N, not N − 1: the likelihood's maximum) of all vectors so far."""
        if self.count == 0:
            raise InputError("no data was seen: the mean of nothing is unknown")
        off = self.total / self.count
        return self.shift + off, self.outer / self.count - torch.outer(off, off)


def leading_plane(x: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Mean [D] and orthonormal basis [D, K] of the plane of largest variance of vectors [N, D], float64."""
    moments = Moments(x.shape[1])
    for part in x.split(5000):
        moments.add(part)
    mean, covariance = moments.mean_and_covariance()
    return mean, torch.linalg.eigh(covariance)[1].flip(1)[:, :dimension]


def largest_angle(a: Tensor, b: Tensor) -> float:
    """The largest principal angle in radians between the column spaces of a and b [D, K].

    From the sine, which keeps its digits where the cosine rounds to 1.
    """
    qa, qb = (torch.linalg.qr(m.double())[0] for m in (a, b))
    residual = qb - qa @ (qa.T @ qb)
    return torch.linalg.matrix_norm(residual, 2).clamp(max=1).asin().item()
