"""Latent diffusion (Rombach et al., 2022, arXiv:2112.10752): denoising in the code of an autoencoder.

Most of a pixel model's work goes into detail that an autoencoder gets right by itself. So encode, z = enc(x)/s, let a diffusion
model learn the distribution of z, and decode what it draws,

    L = E ‖ v − v_θ(α z + σ ε, t) ‖²,        x = dec(s · z_0)

with s the standard deviation of the codes, so that the noise schedule fits them. The U-Net works on 7×7 positions in place of
28×28 pixels: that, and not fewer steps, is the gain.

A small network without a condition often draws something between two digits, which is neither. So its condition may be a cluster
of codes, which is found without labels, and a sample begins with a draw of one,

    p(z) = Σ_c p(c) p_θ(z | c),        c the nearest of K centres (k-means; Hu et al., 2023, arXiv:2210.06462).

Departures from the paper: no condition from outside (text comes in with cross-attention there), clusters of codes; an U-Net of
one resolution.
"""

import math

import torch
from torch import Tensor, nn

from zoo.core.checks import is_whole
from zoo.core.data import ImageData
from zoo.core.images import Images
from zoo.core.progress import track
from zoo.errors import InputError
from zoo.models.diffusion.image_generator import ImageGenerator
from zoo.models.diffusion.kl_autoencoder import KLAutoencoder
from zoo.models.diffusion.samplers import sampler as named_sampler
from zoo.models.diffusion.schedule import NoiseSchedule
from zoo.models.diffusion.unet import UNet


class LatentDiffusion(ImageGenerator):
    """Latent diffusion model of small images; its weights hold the autoencoder's.

    Args:
        image_shape: (channels, height, width), height and width divisible by 4.
        width: channels of the U-Net.
        autoencoder: a checkpoint of kl-ae with the same sizes, whose weights are taken over when training begins; None keeps
            random ones, which is good for tests alone.
        autoencoder_width, latent_channels: as in KLAutoencoder.
        blocks, dropout: see UNet.
        timesteps: T, the length of the cosine schedule.
        clusters: K, the number of clusters of codes, the network's condition; 0 for none.

    Shapes:
        images: [N, C, H, W] in [0, 1]; codes z: [N, latent_channels, H/4, W/4], of variance one; clusters: [N] in 0 … K − 1.
    """

    scale: Tensor
    centres: Tensor  # [K, D], of flattened codes
    shares: Tensor  # [K], of the training images

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 96,
        *,
        autoencoder: str | None = None,
        autoencoder_width: int = 32,
        latent_channels: int = 4,
        blocks: int = 2,
        dropout: float = 0.0,
        timesteps: int = 1000,
        clusters: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if not is_whole(clusters) or clusters < 0:
            raise InputError(f"clusters is a whole number from 0 on, not {clusters!r}")
        self.image_shape, self.source = tuple(image_shape), autoencoder
        self.autoencoder = KLAutoencoder(image_shape, autoencoder_width, latent_channels=latent_channels)
        self.latent_shape = self.autoencoder.latent_shape
        self.register_buffer("scale", torch.ones(()))
        self.schedule = NoiseSchedule(timesteps, "cosine")
        self.net = UNet(
            latent_channels, width, channel_mults=(1,), blocks=blocks, attention_levels=(0,), dropout=dropout
        )
        self.clusters = clusters
        if clusters:
            self.register_buffer("centres", torch.zeros(clusters, math.prod(self.latent_shape)))
            self.register_buffer("shares", torch.full((clusters,), 1 / clusters))
            self.told = nn.Embedding(clusters, 4 * width)  # one vector a cluster; published weights have this key
        self.freeze("autoencoder")

    def setup(self, stage: str) -> None:
        """Take over the autoencoder's weights, unless a loaded checkpoint brought them along."""
        super().setup(stage)
        if stage == "fit" and self.source is not None and self.name is None:
            from zoo.api import load

            found = load(self.source)
            if not isinstance(found, KLAutoencoder) or found.latent_shape != self.latent_shape:
                raise InputError(f"{self.source} is no autoencoder with codes {list(self.latent_shape)}")
            self.autoencoder.load_state_dict(found.state_dict())

    def on_fit_start(self) -> None:
        """Measure the codes' standard deviation, and find their clusters, on training images; both are stored with the weights,
        which then rely on them."""
        if self.name is not None:
            return
        data: ImageData | None = getattr(self.trainer, "datamodule", None)
        if data is None or not hasattr(data, "tensors"):
            raise InputError(
                "a latent diffusion model measures its codes before it learns: give trainer.fit a data module of this package "
                "(datamodule=…), not loaders alone"
            )
        x = data.tensors("train")[0]
        x = x if self.clusters else x[:2000]
        codes = torch.cat([self.autoencoder.encode(part.to(self.device) / 255) for part in x.split(500)])
        self.scale.fill_(codes[:2000].std().item())
        if self.clusters:
            codes = codes.flatten(1) / self.scale
            self.centres.copy_(k_means(codes, self.clusters))
            self.shares.copy_(self.cluster_of(codes).bincount(minlength=self.clusters) / len(codes))

    def forward(self, z_t: Tensor, t: Tensor, cluster: Tensor | None = None) -> Tensor:
        """The guess of v for noisy codes at steps t [N], in clusters [N]."""
        return self.net(z_t, t, None if cluster is None else self.told(cluster))

    def cluster_of(self, z: Tensor) -> Tensor:
        """The nearest centre of codes, [N]."""
        return torch.cdist(z.flatten(1).float(), self.centres).argmin(1)

    def denoise(self, z_t: Tensor, t: Tensor, cluster: Tensor | None = None) -> Tensor:
        """The guess of the clean code; codes have no bounds, so nothing is clipped."""
        alpha, sigma = self.schedule.rates(t)
        condition = () if cluster is None else (cluster,)
        return alpha * z_t - sigma * self(z_t, t, *condition).float()

    # Verbs -----------------------------------------------------------------------------------------------------------

    def encode(self, x: Images) -> Tensor:
        """Codes of variance one of images [N, C, H, W] in [0, 1]."""
        return self.autoencoder.encode(self.check_images(x)) / self.scale

    def decode(self, z: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] of codes."""
        return self.autoencoder.decode(z.to(self.device) * self.scale)

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        labels: Tensor | None = None,
        sampler: str = "ancestral",
        steps: int = 20,
        eta: float = 0.0,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            sampler, steps, eta: as in DDPM, on codes.
            labels: refused, the model is unconditional.
        """
        run = named_sampler(sampler)
        if not 0 <= eta <= 1:
            raise InputError(f"eta lies in 0..1, not {eta!r}")
        self.schedule.steps(steps)

        def draw(count: int, generator: torch.Generator) -> Tensor:
            z = torch.randn(count, *self.latent_shape, device=self.device, generator=generator)
            cluster = self.shares.multinomial(count, replacement=True, generator=generator) if self.clusters else None

            def denoise_at(z: Tensor, t: int) -> Tensor:
                return self.denoise(z, torch.full((len(z),), t, device=z.device), cluster)

            with torch.no_grad():
                *_, z = track(run(denoise_at, z, self.schedule, steps, eta, generator), "drawing", steps)
                return 2 * self.decode(z) - 1

        return self.draw_images(n, seed, labels, batch_size, draw)

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        z_0 = self.autoencoder.encode(x) / self.scale
        t = self.schedule.draw(len(x), generator)
        eps = torch.randn(z_0.shape, device=x.device, generator=generator)
        alpha, sigma = self.schedule.rates(t)
        condition = (self.cluster_of(z_0),) if self.clusters else ()
        return (self(alpha * z_0 + sigma * eps, t, *condition).float() - (alpha * eps - sigma * z_0)).square().mean()

    def golden_inputs(self) -> dict[str, Tensor]:
        z = torch.randn(2, *self.latent_shape, generator=torch.Generator().manual_seed(0))
        return {"z": z, "t": torch.tensor([len(self.schedule) // 4, len(self.schedule) - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        condition = (torch.arange(2, device=self.device) % self.clusters,) if self.clusters else ()
        return {"output": self(inputs["z"], inputs["t"], *condition), "decoded": self.decode(inputs["z"])}


def k_means(x: Tensor, k: int, rounds: int = 30) -> Tensor:
    """Centres [k, D] of points x [N, D] by Lloyd's algorithm from random points; a centre that no point is nearest to stays."""
    generator = torch.Generator().manual_seed(0)
    centres = x[torch.randperm(len(x), generator=generator)[:k].to(x.device)].clone()
    for _ in range(rounds):
        nearest = torch.cdist(x, centres).argmin(1)
        counts = nearest.bincount(minlength=k)
        sums = torch.zeros_like(centres).index_add_(0, nearest, x)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres
