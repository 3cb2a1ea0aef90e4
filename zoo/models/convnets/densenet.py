"""Densely connected network (Huang, Liu, van der Maaten and Weinberger, 2017, arXiv:1608.06993).

A residual block adds its output to its input; a dense block concatenates the two,

    x_l = [x_0, x_1, …, x_(l-1), H_l([x_0, …, x_(l-1)])]

so that every layer gets the outputs of all earlier ones unchanged, and gradients reach each of them directly. A layer then
adds few channels, k of them (the growth rate, 12 here). H is BN, ReLU, 1×1 convolution to 4k channels (the bottleneck),
BN, ReLU, 3×3 convolution to k. Between the blocks a transition halves both the image and the channels.

Departures from the paper: recipes train in fewer epochs, with a one-cycle schedule.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError


class DenseNet(ImageClassifier):
    """DenseNet-BC; 176,122 parameters with the default arguments, the paper's network of 40 layers for CIFAR-10.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        growth_rate: channels that a layer adds.
        blocks: layers of each dense block.
        stem: "cifar", one 3×3 convolution, or "imagenet", a strided 7×7 convolution and max-pooling.
        stem_channels: channels of the stem; by default twice the growth rate.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        growth_rate: int = 12,
        blocks: tuple[int, ...] = (6, 6, 6),
        stem: Literal["cifar", "imagenet"] = "cifar",
        stem_channels: int | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        check_count(growth_rate, "growth_rate")
        if not blocks or min(blocks) < 1:
            raise InputError(f"blocks must name at least one layer for each block, not {blocks!r}")
        if stem not in ("cifar", "imagenet"):
            raise InputError(f"stem must be cifar or imagenet, not {stem!r}")
        channels = check_count(stem_channels or 2 * growth_rate, "stem_channels")
        self.save_hyperparameters()
        if stem == "cifar":
            self.stem = nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))
        else:
            first = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
            self.stem = nn.Sequential(first, nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
        self.stages = nn.ModuleList()
        for number, layers in enumerate(blocks):
            parts: list[nn.Module] = [Transition(channels)] if number else []
            channels //= 2 if number else 1
            for _ in range(layers):
                parts.append(DenseLayer(channels, growth_rate))
                channels += growth_rate
            self.stages.append(nn.Sequential(*parts))
        pooling = nn.AdaptiveAvgPool2d(1)
        self.pool = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), pooling, nn.Flatten())
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem [N, 2k, H, W], stage1 [N, ·, H, W], stage2 [N, ·, H/2, W/2], …, embedding [N, D]."""
        x = self.stem(x)
        stages = {"stem": x}
        for number, stage in enumerate(self.stages, start=1):
            x = stages[f"stage{number}"] = stage(x)
        return stages | {"embedding": self.pool(x)}


class DenseLayer(nn.Module):
    """Append k channels found in all that is there: [N, C, H, W] to [N, C + k, H, W]."""

    def __init__(self, channels: int, growth_rate: int) -> None:
        super().__init__()
        inner = 4 * growth_rate
        self.bottleneck = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, inner, 1, bias=False))
        conv = nn.Conv2d(inner, growth_rate, 3, padding=1, bias=False)
        self.conv = nn.Sequential(nn.BatchNorm2d(inner), nn.ReLU(), conv)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(self.bottleneck(x))], 1)


class Transition(nn.Sequential):
    """Half the channels, half the height and width."""

    def __init__(self, channels: int) -> None:
        conv = nn.Conv2d(channels, channels // 2, 1, bias=False)
        super().__init__(nn.BatchNorm2d(channels), nn.ReLU(), conv, nn.AvgPool2d(2))
