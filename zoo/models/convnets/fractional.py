"""Fractional max-pooling (Graham, 2015, arXiv:1412.6071).

Pooling by 2 throws three of four values away at once, so a network of small images has room for few poolings. Graham shrinks
by a factor α between 1 and 2, many times. Where the 2×2 windows lie follows a random sequence: with u uniform in [0, 1),

    a_i = ⌊α (i + u)⌋ - ⌊α u⌋,    y[i, j] = max x[a_i : a_i + 2, a_j : a_j + 2]

whose steps are 1 or 2, here mostly the one, there mostly the other. Each draw deforms the image a little, elastically; that
regularises, and the mean over several draws is more accurate than one.

Departures from the paper: batch norm; fewer channels; padded 3×3 convolutions for 2×2 ones; one draw for a whole batch;
outside training u = ½, so that one look at the same image gives the same answer.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.core.classifier import VIEWS, ImageClassifier
from zoo.errors import InputError


class FractionalNet(ImageClassifier):
    """Convolutions between fractional poolings, wider each time; 1,540,954 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        width: channels that each further layer has more.
        poolings: how often the image is shrunk, by the square root of two.
        dropout: largest probability of dropping a value; it grows from zero layer by layer.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W], large enough for the poolings, 32×32 for six; logits: [N, num_classes].
    """

    ratio = 2**0.5
    views: ClassVar[dict[str, int]] = VIEWS | {"draws": 12}  # as many as in the paper
    tta = "draws"

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        width: int = 48,
        poolings: int = 6,
        dropout: float = 0.3,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        check_count(width, "width")
        check_count(poolings, "poolings")
        self.save_hyperparameters()
        self.stages, channels = nn.ModuleList(), in_channels
        for number in range(1, poolings + 1):
            conv = nn.Conv2d(channels, number * width, 3, padding=1, bias=False)
            drop = nn.Dropout(dropout * (number - 1) / poolings)
            norm = nn.BatchNorm2d(number * width)
            self.stages.append(nn.Sequential(conv, norm, nn.LeakyReLU(0.1), FractionalMaxPool(self.ratio), drop))
            channels = number * width
        self.pool = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, num_classes)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stage1 [N, width, h, w], stage2 [N, 2 · width, …], …, embedding [N, poolings · width]."""
        stages = {}
        for number, stage in enumerate(self.stages, start=1):
            if min(x.shape[-2:]) < 3:
                raise InputError(f"the image is too small for {len(self.stages)} poolings: use a larger one or fewer")
            x = stages[f"stage{number}"] = stage(x)
        return stages | {"embedding": self.pool(x)}

    def mean_logits(self, x: Tensor, tta: str) -> Tensor:
        """Mean logits over views of x; with "draws" over twelve draws of the windows, the same ones in each call."""
        if tta != "draws":
            return super().mean_logits(x, tta)
        pools = [module for module in self.modules() if isinstance(module, FractionalMaxPool)]
        generator = torch.Generator().manual_seed(0)
        try:
            for pool in pools:
                pool.generator = generator
            return torch.stack([self(x) for _ in range(self.views[tta])]).mean(0)
        finally:
            for pool in pools:
                pool.generator = None


class FractionalMaxPool(nn.Module):
    """Largest value of overlapping 2×2 windows, so many that each side shrinks by `ratio`."""

    def __init__(self, ratio: float) -> None:
        super().__init__()
        if not 1 < ratio <= 2:
            raise InputError(f"ratio must be above 1 and at most 2, not {ratio!r}")
        self.ratio = ratio
        self.generator: torch.Generator | None = None  # with one, windows are drawn outside training too

    def forward(self, x: Tensor) -> Tensor:
        for dim in (2, 3):
            drawn = self.training or self.generator is not None
            u = torch.rand((), generator=self.generator).item() if drawn else 0.5
            start = window_starts(x.shape[dim], max(1, int(x.shape[dim] / self.ratio)), u).to(x.device)
            x = torch.maximum(x.index_select(dim, start), x.index_select(dim, start + 1))
        return x


def window_starts(size: int, windows: int, u: float) -> Tensor:
    """First pixels a_i [windows] of windows of two pixels that cover a side of `size` pixels, for a u in [0, 1)."""
    alpha = (size - 2) / max(windows - 1, 1)
    i = torch.arange(windows, dtype=torch.float64)
    starts = (alpha * (i + u)).floor() - int(alpha * u)
    starts[-1] = size - 2  # the last one ends at the edge
    return starts.long()
