"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov and Chen, 2018, arXiv:1801.04381), built of depthwise separable convolutions.

A convolution mixes channels and neighbours at once. A separable one does it in turn: a k×k filter for each channel alone
(depthwise), then a 1×1 convolution (pointwise). For C channels in and D out that takes

    k² C + C D    in place of    k² C D    multiplications a pixel, nearly k² times fewer

(Howard et al., 2017, MobileNet, arXiv:1704.04861). The second version puts it inside a residual block that is narrow at its ends:
widen by a 1×1 convolution, filter depthwise, narrow again without an activation, since ReLU would lose what few channels hold.

Departures from the paper: for small images the first convolution and the first stage that halves keep the resolution.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier

# expansion, channels, blocks, stride: table 2 of the paper
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
SMALL_STRIDES = (1, 1, 2, 2, 1, 2, 1)  # 32×32 images end as 4×4


class MobileNetV2(ImageClassifier):
    """Seventeen inverted residual blocks; 2,236,682 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        resolution: "cifar" for small images, "imagenet" for the paper's strides.
        width: factor on all channels, rounded to multiples of 8.
        dropout: probability of dropping a unit of the embedding.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        resolution: Literal["cifar", "imagenet"] = "cifar",
        width: float = 1.0,
        dropout: float = 0.2,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        self.save_hyperparameters()
        small = resolution == "cifar"
        channels, last = eights(32 * width), eights(1280 * max(1.0, width))
        self.stem = conv(in_channels, channels, 3, 1 if small else 2)
        self.stages = nn.ModuleList()
        for (expansion, out, count, stride), small_stride in zip(STAGES, SMALL_STRIDES, strict=True):
            blocks, out = nn.Sequential(), eights(out * width)
            for i in range(count):
                step = (small_stride if small else stride) if i == 0 else 1
                blocks.append(InvertedResidual(channels, out, expansion, step))
                channels = out
            self.stages.append(blocks)
        self.last = conv(channels, last, 1)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(last, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.normal_(self.head.weight, std=0.01)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem, stage1 … stage7 (table 2 of the paper), last [N, 1280, …], embedding [N, 1280]."""
        stages = {"stem": self.stem(x)}
        x = stages["stem"]
        for number, blocks in enumerate(self.stages, start=1):
            x = stages[f"stage{number}"] = blocks(x)
        stages["last"] = self.last(x)
        return stages | {"embedding": self.pool(stages["last"])}


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; added to the input where the shape is the same."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        inside = in_channels * expansion
        widen = [conv(in_channels, inside, 1)] if expansion > 1 else []
        narrow = nn.Conv2d(inside, out_channels, 1, bias=False)
        depthwise = conv(inside, inside, 3, stride, groups=inside)
        self.layers = nn.Sequential(*widen, depthwise, narrow, nn.BatchNorm2d(out_channels))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Depthwise(nn.Conv2d):
    """The same convolution; in training on a CPU a stride is taken afterwards.

    There the gradient of a strided depthwise convolution takes ten times as long as that of the same one without a stride.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu" or self.stride == (1, 1):
            return super().forward(x)
        dense = nn.functional.conv2d(x, self.weight, self.bias, 1, self.padding, self.dilation, self.groups)
        return dense[..., :: self.stride[0], :: self.stride[1]].contiguous(memory_format=torch.channels_last)


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6: ReLU that ends at 6, for arithmetic of few bits."""
    kind = nn.Conv2d if groups == 1 else Depthwise
    layer = kind(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels), nn.ReLU6())


def eights(channels: float) -> int:
    """The nearest multiple of 8 that isn't more than a tenth below, as the paper's own code has it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
