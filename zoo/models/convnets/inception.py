"""GoogLeNet's Inception modules (Szegedy et al., 2015, "Going deeper with convolutions", arXiv:1409.4842), scaled down.

Which size of filter is best here? The module takes them all side by side, and a pooling, and concatenates their outputs:

    y = [conv1×1(x), conv3×3(r₃(x)), conv5×5(r₅(x)), conv1×1(maxpool3×3(x))]

The reductions r₃ and r₅ are 1×1 convolutions to a few channels. They make the large filters affordable: 5×5 from 96 to 16
channels cost 38,400 weights, through 8 channels in between 768 + 3,200.

Departures from the paper: batch norm after every convolution (Ioffe and Szegedy, 2015); nine modules as there, but of fewer
channels and on three resolutions, 32×32 to 8×8, for small images; no auxiliary classifiers, whose gradients batch norm makes
unnecessary.
"""

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier

# of each module: 1×1, reduction and 3×3, reduction and 5×5, after pooling; in units of an eighth of the stage's width
PLAN = ((2, 4, 4, 1, 1, 1), (3, 4, 6, 1, 2, 1), (4, 4, 5, 1, 2, 1), (3, 4, 6, 1, 2, 1), (4, 4, 8, 1, 2, 2))
# rows of PLAN, pooled between the stages: a module costs 16 times as much at 32×32 as it does at 8×8
STAGES = ((0,), (1, 2, 2, 3), (4, 4, 4, 4))


class Inception(ImageClassifier):
    """Inception modules on three resolutions; 239,834 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        width: channels of the stem; a module gives one to two times as many. 64 makes every branch a multiple of 8: quick.
        dropout: probability of dropping a unit of the embedding.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W] with H, W >= 4; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        width: int = 64,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        check_count(width, "width")
        self.save_hyperparameters()
        self.stem = unit(in_channels, width, 3)
        channels, stages = width, []
        for rows in STAGES:
            modules = []
            for row in rows:
                modules.append(Module(channels, *(max(1, units * width // 8) for units in PLAN[row])))
                channels = modules[-1].out_channels
            stages.append(nn.Sequential(*modules))
        self.stage1, self.stage2, self.stage3 = stages
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem [N, w, H, W], stage1 [N, ·, H, W], stage2 [N, ·, H/2, W/2], stage3 [N, ·, H/4, W/4], embedding [N, D]."""
        stages = {"stem": self.stem(x)}
        stages["stage1"] = self.stage1(stages["stem"])
        stages["stage2"] = self.stage2(self.pool(stages["stage1"]))
        stages["stage3"] = self.stage3(self.pool(stages["stage2"]))
        return stages | {"embedding": self.neck(stages["stage3"])}


class Module(nn.Module):
    """Four branches side by side: [N, C, H, W] to [N, out_channels, H, W]."""

    def __init__(self, channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.out_channels = one + three + five + pooled
        self.one = unit(channels, one, 1)
        self.three = nn.Sequential(unit(channels, reduce3, 1), unit(reduce3, three, 3))
        self.five = nn.Sequential(unit(channels, reduce5, 1), unit(reduce5, five, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), unit(channels, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


def unit(channels: int, out: int, kernel: int) -> nn.Sequential:
    """Convolution that keeps the size, batch norm, ReLU."""
    convolution = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())
