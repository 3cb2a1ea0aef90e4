"""Linear autoencoder, which is principal component analysis by gradient descent (Baldi and Hornik, 1989).

    min_{V, W} E ‖(x − μ) − W V (x − μ)‖²

For a given W the best V is the pseudo-inverse, which leaves a projection, and of all projections that on the leading
eigenvectors of the covariance loses least: the loss has saddle points but no other minimum. The columns of W span PCA's plane
without being its axes, for any invertible A gives W A and A⁻¹ V the same images.

Departures from the paper: V starts as the transpose of an orthonormal W, near a projection; from unrelated random matrices, or
with the mean left in, gradient descent takes many times longer to leave the saddle points.
"""

from typing import Any

import torch
from torch import Tensor, nn

from zoo.core.batch import images_of
from zoo.core.data import ImageData
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, split_images
from zoo.models.autoencoders.pca import largest_angle, leading_plane


class LinearAutoencoder(Coder):
    """Two matrices and a mean.

    Args:
        image_shape: (channels, height, width).
        latent_dim: length of the code.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim].
    """

    mean: Tensor

    def __init__(self, image_shape: tuple[int, int, int] = (1, 28, 28), latent_dim: int = 30) -> None:
        super().__init__(image_shape, latent_dim)
        self.save_hyperparameters()
        if latent_dim > self.num_pixels:
            raise InputError(f"latent_dim is {latent_dim}, but images have {self.num_pixels} pixels")
        self.register_buffer("mean", torch.zeros(self.num_pixels))
        self.encoder = nn.Linear(self.num_pixels, latent_dim, bias=False)
        self.decoder = nn.Linear(latent_dim, self.num_pixels, bias=False)
        nn.init.orthogonal_(self.decoder.weight)
        with torch.no_grad():
            self.encoder.weight.copy_(self.decoder.weight.T)

    def codes(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1) - self.mean)

    def pixels(self, z: Tensor) -> Tensor:
        return (self.decoder(z) + self.mean).reshape(-1, *self.image_shape)

    # Training --------------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Take the mean from the training split, where the data module can give it as a whole."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None and hasattr(data, "tensors"):
            self.mean.copy_(split_images(data, "train").mean(0).flatten())

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x = images_of(batch)
        loss = (self(x) - x).square().flatten(1).sum(1).mean()
        self.log_train(sse=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log(
            "val/mse",
            (self(images_of(batch)) - images_of(batch)).square().mean(),
            prog_bar=True,
            batch_size=len(images_of(batch)),
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.95)

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """The angle to PCA's plane, and the squared error of test images beside PCA's."""
        x = split_images(data, "test")
        mean, plane = leading_plane(split_images(data, "train").flatten(1), self.latent_dim)
        centred = x.flatten(1).double() - mean
        lost = (centred - centred @ plane @ plane.T).square().mean().item()
        mse = (self(x.to(self.device)).cpu() - x).double().square().mean().item()
        angle = largest_angle(plane, self.decoder.weight.detach().cpu())
        how = f"mean squared error a pixel, {len(x):,} test images, pixels in [0, 1]"
        against = f"of the {self.latent_dim} leading components of the training split's covariance, float64"
        return [
            entry(
                data,
                "test",
                "subspace_angle",
                angle,
                f"largest principal angle in radians to the plane {against}",
                better="lower",
            ),
            entry(data, "test", "mse", mse, f"{how}, float32", better="lower"),
            entry(data, "test", "pca_mse", lost, f"{how}, {against}", better="lower"),
        ]
