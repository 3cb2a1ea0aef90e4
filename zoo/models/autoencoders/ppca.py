"""Probabilistic PCA (Tipping and Bishop, 1999, "Probabilistic principal component analysis").

A Gaussian code, a linear map and noise of equal variance in every pixel make a density of images that is known exactly:

    z ~ N(0, I),   x = W z + μ + ε,   ε ~ N(0, σ² I)    ⟹    x ~ N(μ, C),   C = W Wᵀ + σ² I
    log p(x) = −½ [D log 2π + log |C| + (x−μ)ᵀ C⁻¹ (x−μ)],    z | x ~ N(M⁻¹ Wᵀ (x−μ), σ² M⁻¹),   M = Wᵀ W + σ² I

With the covariance S = U diag(λ) Uᵀ of the data, the likelihood is highest at W = U_K (Λ_K − σ² I)^½ and σ² the mean of the
eigenvalues left out. EM climbs to the same place (W up to a rotation) without eigenvectors, in steps of

    W' = S W (σ² I + M⁻¹ Wᵀ S W)⁻¹,        σ'² = tr(S − S W M⁻¹ W'ᵀ) / D.

Both read the data only through its mean and covariance, which one pass sums. This is the linear relative of the variational
autoencoder whose likelihood needs no bound.
"""

import math
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.core.batch import images_of
from zoo.core.checks import check_count, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, save_grid
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, split_images
from zoo.models.autoencoders.pca import Moments


class PPCA(Coder):
    """A Gaussian density of images with a K-dimensional code.

    Args:
        image_shape: (channels, height, width).
        latent_dim: K, below the number of pixels.
        method: "closed" (eigenvectors) or "em".
        em_steps: steps of EM.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim], standard normal over the data.
    """

    task: ClassVar[str] = "unconditional-image-generation"
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"log_likelihood"})
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'x = sample_split("{data}")[0][:8].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.encode(x).shape, model.log_prob(x))      # posterior means, exact nats\n"
        'zoo.save_grid(model.sample(16, seed=0), "grid.png")'
    )
    learns_from: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 50,
        *,
        method: Literal["closed", "em"] = "closed",
        em_steps: int = 500,
    ) -> None:
        super().__init__(image_shape, latent_dim)
        self.save_hyperparameters()
        self.automatic_optimization = False  # neither way is a gradient's
        if method not in ("closed", "em"):
            raise InputError(f"method is 'closed' or 'em', not {method!r}")
        if latent_dim >= self.num_pixels:
            raise InputError(f"latent_dim is {latent_dim}; it must be below the {self.num_pixels} pixels of an image")
        self.method, self.em_steps = method, check_count(em_steps, "em_steps")
        self.decoder = nn.Linear(latent_dim, self.num_pixels)  # W and μ
        self.variance = nn.Parameter(torch.ones(()))  # σ²
        self.moments = Moments(self.num_pixels)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [N, K] and covariance [K, K] (the same for all x) of the code of vectors x [N, D], in x's dtype."""
        weight, mean, variance = self._terms(x.dtype)
        inner = weight.T @ weight + variance * torch.eye(self.latent_dim, dtype=x.dtype, device=x.device)  # M
        return torch.linalg.solve(inner, ((x - mean) @ weight).T).T, variance * torch.linalg.inv(inner)

    def codes(self, x: Tensor) -> Tensor:
        return self.posterior(x.flatten(1))[0]

    def pixels(self, z: Tensor) -> Tensor:
        return self.decoder(z).reshape(-1, *self.image_shape)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def sample(self, n: int, *, seed: int | None = None, labels: Tensor | None = None) -> Tensor:
        """Draw images [n, C, H, W] of the density, noise included, cut to [0, 1].

        Raises:
            InputError: for n below 1, or labels: the model is unconditional.
        """
        check_count(n)
        refuse_labels(labels, self.name)
        generator = seeded_generator(self.device, seed)
        z = torch.randn(n, self.latent_dim, device=self.device, generator=generator)
        noise = torch.randn(n, *self.image_shape, device=self.device, generator=generator)
        return (self.pixels(z) + self.variance.sqrt() * noise).clamp(0, 1)

    @verb
    def log_prob(self, x: Images) -> Tensor:
        """Exact log density of images [N, C, H, W] in nats, float64 [N]."""
        x = self.check_images(x)
        return self.log_density(x.to(self.device).flatten(1).double())

    def log_density(self, x: Tensor) -> Tensor:
        """The same of vectors [N, D], by Woodbury's identity: only a K × K matrix is inverted."""
        weight, mean, variance = self._terms(x.dtype)
        inner = weight.T @ weight + variance * torch.eye(self.latent_dim, dtype=x.dtype, device=x.device)
        lower = torch.linalg.cholesky(inner)
        centred = x - mean
        explained = torch.linalg.solve_triangular(lower, (centred @ weight).T, upper=False).square().sum(0)
        distance = (centred.square().sum(1) - explained) / variance
        log_det = (self.num_pixels - self.latent_dim) * variance.log() + 2 * lower.diagonal().log().sum()
        return -0.5 * (self.num_pixels * math.log(2 * math.pi) + log_det + distance)

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        self.moments = Moments(self.num_pixels)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.moments.add(images_of(batch).flatten(1))
        if self.trainer.is_last_batch:  # not at the epoch's end: validation comes before that
            self.solve(*self.moments.mean_and_covariance())

    @torch.no_grad()
    def solve(self, mean: Tensor, covariance: Tensor) -> None:
        """Set W, μ and σ² to the highest likelihood of data with this mean [D] and covariance [D, D], both float64."""
        if self.method == "closed":
            weight, variance = closed_form(covariance, self.latent_dim)
        else:
            weight, variance = expectation_maximisation(covariance, self.latent_dim, self.em_steps)
        self.decoder.weight.copy_(weight)
        self.decoder.bias.copy_(mean)
        self.variance.copy_(variance)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        value = self.log_density(images_of(batch).flatten(1).double()).mean()
        self.log("val/log_likelihood", value.float(), prog_bar=True, batch_size=len(images_of(batch)))

    def configure_optimizers(self) -> None:
        return None

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Exact log-likelihood and squared error of test images, and the quality of 10,000 samples."""
        from zoo.metrics.generation import evaluate_images

        x = split_images(data, "test")
        nats = self.log_prob(x).mean().item()
        mse = (self.reconstruct(x).cpu() - x).double().square().mean().item()
        return [
            entry(
                data,
                "test",
                "log_likelihood",
                nats,
                f"exact, nats an image, float64, {len(x):,} images of pixels in [0, 1]",
                better="higher",
            ),
            entry(
                data,
                "test",
                "mse",
                mse,
                f"mean squared error a pixel of posterior means; {len(x):,} test images",
                better="lower",
            ),
            *evaluate_images(self.sample(10_000, seed=0), str(data.name), how="seed 0, float32"),
        ]

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        per_pixel = self.log_prob(inputs["input"]) / self.num_pixels
        return super().golden_outputs(inputs) | {"log_prob": per_pixel.float()}

    def preview(self, path: Path) -> Path:
        return save_grid(self.sample(64, seed=0), path, columns=16)

    def _terms(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        return self.decoder.weight.to(dtype), self.decoder.bias.to(dtype), self.variance.to(dtype)


def closed_form(covariance: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """W [D, K] and σ² of the highest likelihood for a covariance [D, D]."""
    values, vectors = torch.linalg.eigh(covariance)  # in ascending order
    variance = values[:-k].mean().clamp(min=torch.finfo(values.dtype).eps)
    scale = (values[-k:].flip(0) - variance).clamp(min=0).sqrt()
    return vectors[:, -k:].flip(1) * scale, variance


def expectation_maximisation(covariance: Tensor, k: int, steps: int) -> tuple[Tensor, Tensor]:
    """The same by EM from a random start, always the same one."""
    dimension = len(covariance)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(dimension, k, dtype=covariance.dtype, generator=generator).to(covariance.device)
    weight = weight * (covariance.trace() / dimension / k).sqrt()
    variance = covariance.trace() / dimension
    eye = torch.eye(k, dtype=covariance.dtype, device=covariance.device)
    for _ in range(steps):
        inverse = torch.linalg.inv(weight.T @ weight + variance * eye)  # M⁻¹
        spread = covariance @ weight  # S W
        new = torch.linalg.solve(variance * eye + inverse @ weight.T @ spread, spread, left=False)
        variance = (covariance.trace() - (spread @ inverse * new).sum()) / dimension
        weight = new
    return weight, variance
