"""RotNet: which way up is this picture? (Gidaris, Singh and Komodakis, 2018, arXiv:1803.07728).

Each image is turned by 0, 90, 180 and 270 degrees, and the network has to predict by which,

    min  −1/4 Σ_r log p(r | turn(x, r))                                                    r in 0, 1, 2, 3 quarter turns

which it can't without knowing what is in the picture: where heads, wheels and the sky usually are.

Departures from the paper: a smaller encoder, AdamW, and each image cropped at random before it is turned.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.selfsupervised.backbone import SelfSupervised
from zoo.models.selfsupervised.views import crop


class RotNet(SelfSupervised):
    """Learns to predict by which of four right angles an image was turned.

    Args:
        num_classes: None for the pretext task, or the classes of a head on the encoder.
        in_channels: channels of the image.
        width: channels of the first stage.
        view_size: side of the views that it trains on, in pixels.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1]; logits of the turns: [N, 4].
    """

    def __init__(
        self, num_classes: int | None = None, in_channels: int = 3, *, width: int = 32, view_size: int = 28
    ) -> None:
        super().__init__(num_classes, in_channels, width)
        self.save_hyperparameters()

    def build_pretext(self, width: int) -> None:
        self.rotation = nn.Linear(self.pretext_dim, 4)

    def rotation_logits(self, x: Tensor) -> Tensor:
        """Logits [N, 4] of the quarter turns of images x [N, C, H, W]."""
        return self.rotation(self.top(x))

    def pretext_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        turned, turns = all_turns(crop(x, self.hparams["view_size"], least=0.6))
        logits = self.rotation_logits(turned).float()
        return F.cross_entropy(logits, turns), {"pretext_accuracy": (logits.argmax(1) == turns).float().mean()}


def all_turns(x: Tensor) -> tuple[Tensor, Tensor]:
    """Square images [N, C, S, S] turned by every number of quarter turns [4N, C, S, S], and these numbers [4N]."""
    turned = torch.cat([torch.rot90(x, turns, (2, 3)) for turns in range(4)])
    return turned, torch.arange(4, device=x.device).repeat_interleave(len(x))
