"""SimCLR: two views of a picture should look alike, and unlike all other pictures (Chen et al., 2020, arXiv:2002.05709).

Two random views of every image of a batch pass the encoder and a projector, and each view has to find its partner among the
2N − 1 others by the cosine s of their projections (NT-Xent),

    ℓ(i, j) = −log exp(s(i, j)/τ) / Σ_{k≠i} exp(s(i, k)/τ)

What a crop, a mirror image and other colours leave as it is has to be kept, all else may be dropped: what is in the picture
stays, where it is and in which light goes. The loss looks at the projection and spoils it; the embedding below stays useful.

Departures from the paper: AdamW, small batches and few epochs; views are smaller than the images, which halves the work.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.selfsupervised.backbone import SelfSupervised, projector
from zoo.models.selfsupervised.views import crop, jitter


class SimCLR(SelfSupervised):
    """Learns embeddings by which two views of an image find each other.

    Args:
        num_classes: None for the contrastive task, or the classes of a head on the encoder.
        in_channels: channels of the image; colours are changed where there are three.
        width: channels of the first stage.
        projection_dim: length of the projection that is compared.
        temperature: τ.
        view_size: side of the views in pixels.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1]; projections: [N, projection_dim].
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        *,
        width: int = 32,
        projection_dim: int = 128,
        temperature: float = 0.5,
        view_size: int = 24,
    ) -> None:
        if not temperature > 0:
            raise InputError(f"temperature must be above 0, not {temperature!r}")
        self.projection_dim = projection_dim
        super().__init__(num_classes, in_channels, width)
        self.save_hyperparameters()

    def build_pretext(self, width: int) -> None:
        self.project = projector(self.pretext_dim, 8 * width, self.projection_dim)

    def draw_view(self, x: Tensor) -> Tensor:
        """A random view of each image, [N, C, view_size, view_size]."""
        small = crop(x, self.hparams["view_size"])
        return jitter(small) if x.shape[1] == 3 else small

    def projections(self, x: Tensor) -> Tensor:
        """Projections [N, projection_dim] of length 1 of images or views x [N, C, H, W]."""
        return F.normalize(self.project(self.top(x)).float(), dim=1)

    def pretext_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        z = self.projections(torch.cat([self.draw_view(x), self.draw_view(x)]))
        return nt_xent(z, self.hparams["temperature"]), {"spread": z.std(0).mean()}


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """Mean loss of 2N projections of length 1 [2N, D], of which i and N + i are views of the same image."""
    n = len(z) // 2
    similarity = z @ z.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), -torch.inf)
    return F.cross_entropy(similarity, torch.arange(2 * n, device=z.device).roll(n))
