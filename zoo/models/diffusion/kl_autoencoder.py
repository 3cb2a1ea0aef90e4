"""The autoencoder of latent diffusion (Rombach et al., 2022, arXiv:2112.10752): images to a small picture of numbers and back.

A convolutional encoder halves the resolution twice; what comes out is a Gaussian for every position, of which a tiny weight on

    L = ‖x − dec(z)‖² + w · KL(N(μ, σ²) ‖ N(0, I)),        z = μ + σ ε,   w = 1e-5

only keeps the scale in bounds. It compresses what the eye doesn't see; what an image shows is left to the model of z.

Departures from the paper: no perceptual and no adversarial loss, which digits don't need; the squared error is a
mean over pixels.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.batch import images_of
from zoo.core.checks import seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, check_codes, check_images, save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError


class Block(nn.Module):
    """A residual block: [N, C, H, W] to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class KLAutoencoder(ZooModule):
    """Autoencoder with a spatial code.

    Args:
        image_shape: (channels, height, width), height and width divisible by 4.
        width: channels at half resolution, a multiple of 8; twice as many at a quarter.
        latent_channels: numbers at each of the positions of the code.
        kl_weight: weight of the KL term, against a squared error of pixels in [-1, 1].

    Shapes:
        images: [N, C, H, W] in [0, 1]; codes z: [N, latent_channels, H/4, W/4].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'x = sample_split("{data}")[0][:8].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.encode(x).shape)                         # the latent images that a diffusion model learns\n"
        'zoo.save_grid(model.reconstruct(x), "again.png")'
    )
    learns_from: ClassVar[tuple[str, ...]] = ("images",)

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 32,
        *,
        latent_channels: int = 4,
        kl_weight: float = 1e-5,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        channels, height, across = image_shape
        if height % 4 or across % 4:
            raise InputError(f"the code has a quarter of the pixels' sides: {height}×{across} isn't divisible by 4")
        self.image_shape, self.kl_weight = tuple(image_shape), kl_weight
        self.latent_shape = (latent_channels, height // 4, across // 4)
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            Block(width),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            Block(2 * width),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, 2 * width, 3, padding=1),
            Block(2 * width),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            Block(width),
            nn.SiLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstructions of x in [-1, 1], and mean and log-variance of the code, from one draw."""
        mu, log_var = self.posterior(x)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu) if self.training else mu
        return self.decoder(z), mu, log_var

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the code of images in [-1, 1]."""
        mu, log_var = self.encoder(x).chunk(2, dim=1)
        return mu, log_var.clamp(-20, 10)

    @verb
    def encode(self, x: Images) -> Tensor:
        """Mean codes of images in [0, 1]."""
        return self.posterior(2 * check_images(x, self.image_shape).to(self.device) - 1)[0].float()

    @verb
    def decode(self, z: Tensor) -> Tensor:
        """Images in [0, 1] of codes."""
        z = check_codes(z, self.latent_shape)
        return ((self.decoder(z.to(self.device)).float() + 1) / 2).clamp(0, 1)

    def reconstruct(self, x: Images) -> Tensor:
        """Images in [0, 1] through the code and back."""
        return self.decode(self.encode(x))

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of pixels in [-1, 1], and the KL divergence, a mean over images, in nats."""
        x = 2 * x - 1
        out, mu, log_var = self(x)
        kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).flatten(1).sum(1)
        return (out.float() - x).square().mean(), kl.mean()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        mse, kl = self.terms(images_of(batch))
        self.log_train(mse=mse, kl=kl)
        return mse + self.kl_weight * kl

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        mse, kl = self.terms(images_of(batch))
        self.log_dict({"val/mse": mse, "val/kl": kl}, prog_bar=True, batch_size=len(images_of(batch)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """How near reconstructions of the test images are, in pixels and in features."""
        from zoo.metrics.generation import evaluate_images

        x = data.tensors("test")[0].float() / 255
        again = torch.cat([self.reconstruct(part).cpu() for part in x.split(500)])
        how = f"mean squared error of pixels in [0, 1], reconstructions of {len(x):,} test images from mean codes"
        claim = entry(data, "test", "mse", (again - x).square().mean(), how, better="lower", n=len(x))
        fcd = evaluate_images(again, str(data.name), how="reconstructions of the test images themselves")[:2]
        return [claim, *({**e, "metric": f"reconstruction_{e['metric']}"} for e in fcd)]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"x": torch.rand(2, *self.image_shape, generator=seeded_generator(torch.device("cpu"), 0))}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        z = self.encode(inputs["x"])
        return {"z": z, "decoded": self.decode(z)}

    def preview(self, path: Path) -> Path:
        """Packaged test digits above their reconstructions."""
        from zoo.core.samples import sample_split

        x = sample_split((self.data or {}).get("name", "mnist"))[0][:16].float() / 255
        return save_grid(torch.cat([x, self.reconstruct(x).cpu()]), path, columns=16)
