"""DeepLab (Chen et al., 2015, arXiv:1412.7062; 2017, arXiv:1606.00915; 2017, arXiv:1706.05587).

Pooling makes a classifier see far, and a segmentation coarse. DeepLab stops halving at an eighth of the size and spreads the
taps of its convolutions instead, `rate` pixels apart, so that the same number of weights sees as far without losing places
(atrous convolution):

    y[i] = Σ_k x[i + rate · k] w[k]

The versions differ in what follows: v1 has one atrous convolution and a conditional random field, v2 several rates side by side
(atrous spatial pyramid pooling) and the random field, v3 the pyramid with batch normalisation and a look at the whole picture,
and no random field. (An encoder with a decoder is v3+, not v3.) The head of v3 is torchvision's `DeepLabHead`.

Departures from the papers: a small residual network without pretraining, one eighth of the size (v1, v2: one eighth, v3: one
sixteenth), rates 3, 6 and 9 for pictures of 320 x 240; the random field is `mean_field` with windows of pixels nearby in place
of all pairs.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from zoo.errors import InputError
from zoo.models.segmentation.crf import mean_field
from zoo.models.segmentation.segmenter import Segmenter

Version = Literal["v1", "v2", "v3"]


class AtrousBlock(nn.Module):
    """x + f(x) with two 3 x 3 convolutions of a rate; stride and width may change."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, rate: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=rate, dilation=rate, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=rate, dilation=rate, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = inputs == outputs and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.short(x) + self.body(x))


class Pyramid(nn.Module):
    """Version 2's head: the logits of several rates, added."""

    def __init__(self, inputs: int, classes: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(inputs, classes, 3, padding=r, dilation=r) for r in rates)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in self.branches]).sum(0)


class DeepLabV3(Segmenter):
    """A dilated residual network with one of three heads.

    Args:
        num_classes, in_channels, loss, void, class_weights, native: see `Segmenter`.
        version: "v1", "v2" or "v3", see above.
        widths: channels at a half, a quarter and an eighth of the size, and of the two dilated stages after that.
        rates: of the pyramid.
        crf: rounds of the random field after the network, for `segment` and the metrics; 0 for none.

    Shapes:
        x: [N, in_channels, H, W] of any H and W; logits: [N, num_classes, H, W].
    """

    def __init__(
        self,
        num_classes: int = 11,
        in_channels: int = 3,
        *,
        version: Version = "v3",
        widths: tuple[int, ...] = (32, 64, 96, 128),
        rates: tuple[int, ...] = (3, 6, 9),
        crf: int = 0,
        loss: str = "cce",
        void: int | None = None,
        class_weights: list[float] | None = None,
        native: bool = False,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            loss=loss,
            border=False,
            void=void,
            class_weights=class_weights,
            native=native,
        )
        self.save_hyperparameters()
        if version not in ("v1", "v2", "v3"):
            raise InputError(f"version must be v1, v2 or v3, not {version!r}")
        if len(widths) != 4 or min(widths) < 1 or not rates or min(rates) < 1 or crf < 0:
            raise InputError(
                f"widths are four, rates at least 1 and crf at least 0, not {widths!r}, {rates!r}, {crf!r}"
            )
        self.crf = crf
        half, quarter, eighth, deep = widths
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels * 4, half, 3, padding=1, bias=False), nn.BatchNorm2d(half), nn.ReLU()
        )  # sees blocks of 2 x 2 pixels as one
        self.stages = nn.Sequential(
            AtrousBlock(half, quarter, stride=2),
            AtrousBlock(quarter, eighth, stride=2),
            AtrousBlock(eighth, eighth),
            AtrousBlock(eighth, deep, rate=2),
            AtrousBlock(deep, deep, rate=4),
        )
        heads: dict[str, Any] = {
            "v1": lambda: nn.Conv2d(deep, num_classes, 3, padding=rates[-1], dilation=rates[-1]),
            "v2": lambda: Pyramid(deep, num_classes, tuple(rates)),
            "v3": lambda: DeepLabHead(deep, num_classes, list(rates)),
        }
        self.head = heads[version]()
        for module in self.head.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # attribution methods need what went in
        # with fewer than eight channels the gradient of a channels-last convolution corrupts memory in the oneDNN of torch 2.15
        self.layout = torch.channels_last if 4 * in_channels >= 8 else torch.contiguous_format
        self.to(memory_format=self.layout)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:  # version 3's look at the whole picture has no statistics of one
            return self(x.expand(2, -1, -1, -1))[:1]
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % 8, 0, -height % 8), mode="replicate")
        padded = x.shape[-2:]
        x = F.pixel_unshuffle(x, 2).contiguous(memory_format=self.layout)
        logits = self.head(self.stages(self.stem(x)))  # [N, classes, H/8, W/8]
        return F.interpolate(logits, padded, mode="bilinear", align_corners=False)[..., :height, :width]

    def refine(self, logits: Tensor, x: Tensor) -> Tensor:
        return mean_field(logits, x, rounds=self.crf) if self.crf else logits
