"""BYOL: predict what a slower copy of yourself makes of another view (Grill et al., 2020, arXiv:2006.07733).

The online network makes a projection of one view and a predictor q of that; the target network, whose weights ξ follow the online
weights θ as a moving average and get no gradient, makes a projection z′ of the other view,

    ℓ = 2 − 2 cos(q(z_θ(v)), z′_ξ(v′)),    ξ ← τξ + (1 − τ)θ,    τ from 0.99 to 1 along half a cosine

There are no other pictures to be unlike, so one projection for all pictures would have loss 0. The predictor keeps the networks
from it: without it (`predictor=False`) the projections collapse, and the logged spread of their coordinates falls to 0.

Departures from the paper: AdamW, small batches and few epochs; both views have the same distribution; views are smaller than the
images, which halves the work.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.selfsupervised.backbone import SelfSupervised, projector
from zoo.models.selfsupervised.views import crop, jitter


class BYOL(SelfSupervised):
    """Learns embeddings from which a slower copy's embeddings of another view can be predicted.

    Args:
        num_classes: None for the task of prediction, or the classes of a head on the encoder.
        in_channels: channels of the image; colours are changed where there are three.
        width: channels of the first stage.
        projection_dim: length of the projections.
        decay: τ at the start of training.
        predictor: False leaves the predictor out, to see the collapse.
        view_size: side of the views in pixels.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1]; projections and predictions: [N, projection_dim].
    """

    def __init__(
        self,
        num_classes: int | None = None,
        in_channels: int = 3,
        *,
        width: int = 32,
        projection_dim: int = 128,
        decay: float = 0.99,
        predictor: bool = True,
        view_size: int = 24,
    ) -> None:
        if not 0 <= decay <= 1:
            raise InputError(f"decay must lie in 0..1, not {decay!r}")
        self.projection_dim, self.predictor = projection_dim, predictor
        super().__init__(num_classes, in_channels, width)
        self.save_hyperparameters()

    def build_pretext(self, width: int) -> None:
        self.project = projector(self.pretext_dim, 8 * width, self.projection_dim)
        online = [self.stem, self.stage1, self.stage2, self.stage3, self.project]
        self.target = copy.deepcopy(nn.ModuleList(online)).requires_grad_(False)
        self.predict_target = (
            projector(self.projection_dim, 8 * width, self.projection_dim) if self.predictor else nn.Identity()
        )

    @property
    def parts(self) -> list[str]:
        return [part for part in super().parts if part != "target"]  # which is never unfrozen

    def draw_view(self, x: Tensor) -> Tensor:
        """A random view of each image, [N, C, view_size, view_size]."""
        small = crop(x, self.hparams["view_size"])
        return jitter(small) if x.shape[1] == 3 else small

    def projections(self, x: Tensor) -> Tensor:
        """Online projections [N, projection_dim] of length 1 of images or views x [N, C, H, W]."""
        return F.normalize(self.project(self.top(x)).float(), dim=1)

    @torch.no_grad()
    def target_projections(self, x: Tensor) -> Tensor:
        """The slower copy's projections [N, projection_dim] of length 1."""
        stem, stage1, stage2, stage3, project = self.target
        before = stage2(stage1(stem(x.contiguous(memory_format=torch.channels_last))))
        quarters = [F.adaptive_avg_pool2d(stage, 2).flatten(1) for stage in (before, stage3(before))]
        return F.normalize(project(torch.cat(quarters, 1)).float(), dim=1)

    def pretext_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        both = torch.cat([self.draw_view(x), self.draw_view(x)])
        projected = self.project(self.top(both))
        predicted = F.normalize(self.predict_target(projected).float(), dim=1)
        wanted = self.target_projections(both).roll(len(x), 0)  # each view's partner
        loss = (2 - 2 * (predicted * wanted).sum(1)).mean()
        return loss, {"spread": F.normalize(projected.float(), dim=1).std(0).mean()}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.head is None:
            steps = float(self.trainer.estimated_stepping_batches)
            done = min(1.0, self.trainer.global_step / steps) if math.isfinite(steps) else 0.0
            self.follow(1 - (1 - self.hparams["decay"]) * (math.cos(math.pi * done) + 1) / 2)

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the target's weights: ξ ← decay · ξ + (1 − decay) · θ."""
        online = nn.ModuleList([self.stem, self.stage1, self.stage2, self.stage3, self.project])
        for mine, theirs in zip(self.target.parameters(), online.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
