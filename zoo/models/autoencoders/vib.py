"""Deep variational information bottleneck (Alemi et al., 2017, arXiv:1612.00410).

A code that keeps of the image only the information about its class: max I(z; y) − β I(z; x). With an encoder q(z|x) = N(μ(x),
σ²(x)), a linear classifier of z and the prior N(0, I), both terms have bounds that one step of training can compute,

    min  E_q(z|x)[−log p(y | z)] + β KL(q(z|x) ‖ N(0, I))                                           in nats

It is a VAE whose decoder draws the label in place of the image. β = 0 leaves an ordinary network with noise in it; large β
leaves codes that all look alike.

Departures from the paper: one mean code in place of an average over twelve draws when it predicts.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.dense import Activation, dense
from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.core.data import ClassData
from zoo.core.images import Images
from zoo.core.metric import entry
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.vae import rate


class VIB(ImageClassifier):
    """Classifier through a noisy code.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        image_size: (height, width) of the image.
        latent_dim: length of the code.
        hidden: widths of the encoder's hidden layers.
        activation: of the hidden layers.
        beta: price of a nat in the code.

    Shapes:
        x: [N, in_channels, *image_size], already transformed; codes z: [N, latent_dim]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: tuple[int, int] = (28, 28),
        latent_dim: int = 256,
        hidden: tuple[int, ...] = (1024, 1024),
        activation: Activation = "relu",
        beta: float = 1e-3,
    ) -> None:
        super().__init__(num_classes, in_channels)
        self.save_hyperparameters()
        if beta < 0:
            raise InputError(f"beta is at least 0, not {beta!r}")
        self.beta, self.latent_dim = beta, check_count(latent_dim, "latent_dim")
        pixels = in_channels * image_size[0] * image_size[1]
        self.encoder = nn.Sequential(nn.Flatten(), dense([pixels, *hidden, 2 * latent_dim], activation))
        self.head = nn.Linear(latent_dim, num_classes)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [N, latent_dim] of q(z | x)."""
        mean, raw = self.encoder(x).float().chunk(2, dim=1)
        return mean, 2 * F.softplus(raw - 5).clamp(
            min=1e-6
        ).log()  # the paper's bias: σ starts near 0, so that z carries

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """mean, log_var, and as embedding [N, latent_dim] the mean, or in training a draw around it."""
        mean, log_var = self.posterior(x)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean) if self.training else mean
        return {"mean": mean, "log_var": log_var, "embedding": z}

    @verb
    def encode(self, x: Images) -> Tensor:
        """Mean codes [N, latent_dim] of transformed images, or of whatever else `predict` takes: paths, PIL images, bytes."""
        if not isinstance(x, Tensor) or not x.is_floating_point():
            x = self._ready_transform()(x)
        x = x if x.ndim == 4 else x[None]
        return self.posterior(x.to(self.device))[0]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        found = self.features(x)
        loss, nats = F.cross_entropy(self.head(found["embedding"]), y), rate(found["mean"], found["log_var"]).mean()
        self.log_train(cross_entropy=loss, rate=nats)
        return loss + self.beta * nats

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: ClassData) -> list[dict[str, Any]]:
        """Accuracy, and the nats of the image that the code carries."""
        entries = super().evaluate(data)
        loader = data.test_dataloader()
        nats = torch.cat([rate(*self.posterior(x)) for x, _ in loader]).double().mean().item()
        how = f"KL(q(z|x) ‖ p(z)), nats an image, an upper bound on I(x; z); whole test split; β = {self.beta:g}"
        return [*entries, entry(data, "test", "rate", nats, how, better="lower")]
