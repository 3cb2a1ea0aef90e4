"""Autoencoders: an encoder to a code and a decoder back, trained to give back their input.

    min ‖x − g(f(x̃))‖²                                  x̃ = x, or x with noise on it

What keeps g∘f from being the identity names the variant. A code shorter than the image (Hinton and Salakhutdinov, 2006,
"Reducing the dimensionality of data with neural networks") makes a nonlinear PCA. Noise on the input alone (Vincent et al.,
2010, "Stacked denoising autoencoders") makes g(f(x̃)) the mean of the clean images that may hide behind x̃. A long code may stay
if its units are mostly silent: with ρ̂_j the mean activation of sigmoid unit j over a batch, the sparse autoencoder adds the
weighted Σ_j KL(ρ ‖ ρ̂_j) (Ng, 2011, "Sparse autoencoder").

Departures from the papers: trained at once from random weights, not layer by layer; the level of the noise is drawn for every
image, uniform from zero up, so that one network takes any of them.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.blocks.dense import Activation, activation_of, dense
from zoo.core.batch import images_of
from zoo.core.checks import seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import save_grid
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, split_images
from zoo.models.autoencoders.pca import leading_plane


class Autoencoder(Coder):
    """Fully connected autoencoder; the decoder mirrors the encoder.

    Args:
        image_shape: (channels, height, width).
        latent_dim: length of the code.
        hidden: widths of the encoder's hidden layers; none makes each half a single layer.
        activation: of the hidden layers.
        batch_norm: normalise before each activation.
        code_activation: of the code; "none" for a real-valued code.
        output: "sigmoid" keeps pixels in [0, 1], "none" is linear.
        noise: highest standard deviation of the Gaussian noise on training images; 0 for none.
        sparsity: ρ, the mean activation asked of each unit of a sigmoid code, or None.
        sparsity_weight: of the KL term.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 30,
        *,
        hidden: tuple[int, ...] = (512,),
        activation: Activation = "relu",
        batch_norm: bool = False,
        code_activation: Activation = "none",
        output: Activation = "sigmoid",
        noise: float = 0.0,
        sparsity: float | None = None,
        sparsity_weight: float = 1e-3,
    ) -> None:
        super().__init__(image_shape, latent_dim)
        self.save_hyperparameters()
        if noise < 0:
            raise InputError(f"noise is a standard deviation of at least 0, not {noise!r}")
        if sparsity is not None and (not 0 < sparsity < 1 or code_activation != "sigmoid"):
            raise InputError(
                f"sparsity is a mean activation between 0 and 1 of a code with code_activation 'sigmoid', "
                f"not {sparsity!r} with {code_activation!r}"
            )
        self.noise, self.sparsity, self.sparsity_weight = noise, sparsity, sparsity_weight
        widths = [self.num_pixels, *hidden, latent_dim]
        self.encoder = nn.Sequential(
            nn.Flatten(), dense(widths, activation, batch_norm=batch_norm), activation_of(code_activation)
        )
        self.decoder = nn.Sequential(
            dense(widths[::-1], activation, batch_norm=batch_norm),
            activation_of(output),
            nn.Unflatten(1, self.image_shape),
        )

    def codes(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def pixels(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def denoise(self, x: Tensor) -> Tensor:
        """The clean images [N, C, H, W] behind noisy ones, whose values may leave [0, 1]."""
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape or not torch.isfinite(x).all():
            raise InputError(
                f"noisy images are finite [N, {', '.join(map(str, self.image_shape))}], not {list(x.shape)}"
            )
        return self(x.to(self.device)).clamp(0, 1)

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x = images_of(batch)
        seen = x
        if self.noise:
            level = self.noise * torch.rand(len(x), 1, 1, 1, device=x.device)
            seen = x + level * torch.randn_like(x)
        z = self.codes(seen)
        loss = (self.pixels(z) - x).square().mean()
        self.log_train(mse=loss)
        if self.sparsity is not None:
            loss = loss + self.sparsity_weight * sparsity_penalty(z, self.sparsity)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = images_of(batch)
        seen = noisy(x, self.noise, batch_idx) if self.noise else x
        self.log("val/mse", (self(seen) - x).square().mean(), prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.0)

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Squared error of test images beside PCA's at equal dimension; of denoisers the gain in PSNR as well."""
        x = split_images(data, "test")
        how = f"{len(x):,} test images, pixels in [0, 1], float32"
        mse = (self.reconstruct(x).cpu() - x).double().square().mean().item()
        entries = [
            entry(data, "test", "mse", mse, f"mean squared error a pixel; {how}", better="lower"),
            entry(data, "test", "sse", mse * self.num_pixels, f"sum of squared errors an image; {how}", better="lower"),
        ]
        mean, plane = leading_plane(split_images(data, "train").flatten(1), min(self.latent_dim, self.num_pixels))
        if self.latent_dim < self.num_pixels:
            centred = x.flatten(1).double() - mean
            lost = (centred - centred @ plane @ plane.T).square().mean().item()
            entries.append(
                entry(
                    data,
                    "test",
                    "pca_mse",
                    lost,
                    f"the same of PCA of the training split, K = {self.latent_dim}",
                    better="lower",
                )
            )
        if self.sparsity is not None:
            z = self.encode(x)
            entries.append(
                entry(data, "test", "mean_activation", z.mean().item(), f"of the code's units; {how}", better="lower")
            )
            entries.append(
                entry(
                    data,
                    "test",
                    "active_share",
                    (z > 0.5).float().mean().item(),
                    f"units above one half; {how}",
                    better="lower",
                )
            )
        for sigma in (0.1, 0.3, 0.5) if self.noise else ():
            seen = noisy(x, sigma)
            before, after = psnr(seen, x), psnr(self.denoise(seen).cpu(), x)
            text = f"Gaussian noise σ = {sigma}, not clipped, seed 0; peak 1, from the mean error of {len(x):,} images"
            entries.append(
                entry(
                    data,
                    "test",
                    f"psnr_gain_{sigma}",
                    after - before,
                    f"dB, from {before:.2f} dB; {text}",
                    better="higher",
                )
            )
        return entries

    def preview(self, path: Path) -> Path:
        """Test images above their reconstructions; for a denoiser clean, noisy and denoised; the decoded plane of a 2-D code."""
        x = self.sample_images(64)
        if self.noise:
            seen = noisy(x, self.noise)
            parts = [part.split(16) for part in (x, seen.clamp(0, 1), self.denoise(seen).cpu())]
            return save_grid(torch.cat([row for rows in zip(*parts, strict=True) for row in rows]), path, columns=16)
        if self.latent_dim == 2:
            return save_grid(self.plane(16), path, columns=16)
        return super().preview(path)

    def plane(self, n: int) -> Tensor:
        """Decoded n × n grid [n², C, H, W] over where the middle 90 % of the packaged test images' 2-D codes lie, y upwards."""
        z = self.encode(self.sample_images(256)).cpu()
        low, high = z.quantile(0.05, 0), z.quantile(0.95, 0)
        xs, ys = (torch.linspace(low[i].item(), high[i].item(), n) for i in (0, 1))
        grid = torch.cartesian_prod(ys.flip(0), xs).flip(1)  # [n², 2] as (x, y)
        return self.decode(grid).cpu()


def sparsity_penalty(z: Tensor, rho: float) -> Tensor:
    """Σ_j KL(ρ ‖ ρ̂_j) of Bernoulli variables, ρ̂_j the mean activation of unit j over codes z [N, D] in (0, 1)."""
    found = z.float().mean(0).clamp(1e-6, 1 - 1e-6)
    target = torch.full_like(found, rho)
    return (target * (target / found).log() + (1 - target) * ((1 - target) / (1 - found)).log()).sum()


def noisy(x: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """Images plus Gaussian noise, always the same for a seed; not clipped."""
    return x + sigma * torch.randn(x.shape, device=x.device, generator=seeded_generator(x.device, seed))


def psnr(x: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1."""
    return -10 * (x - clean).double().square().mean().log10().item()
