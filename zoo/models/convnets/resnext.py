"""ResNeXt (Xie, Girshick, Dollár, Tu and He, 2017, "Aggregated residual transformations", arXiv:1611.05431).

What a residual block adds is here a sum over C small paths of the same shape, each of which looks at the image through its own
few channels:

    y = ReLU(x + Σ_{i=1..C} T_i(x)),    T_i = 1×1 to d channels, 3×3, 1×1 back

More paths (cardinality C) help more than more layers or channels at the same cost. The sum needs no loop: it is a 1×1
convolution, a 3×3 convolution in C groups, and a 1×1 convolution.

Departures from the paper: recipes train smaller networks in fewer epochs, with a one-cycle schedule.
"""

from typing import Literal

from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError
from zoo.models.convnets.resnet import Projection, init

EXPANSION = 4  # channels of a stage, in multiples of its width


class ResNeXt(ImageClassifier):
    """ResNeXt-29 (8×16d) for small images; 5,646,666 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        blocks: blocks of each stage: (3, 3, 3) are 29 layers; (3, 4, 6, 3), with the stem "imagenet", 50.
        cardinality: paths of a block.
        path_width: channels of a path in the first stage; each further stage doubles them. The paper has 64 for CIFAR-10.
        width: a stage has four times as many channels; each further stage doubles them and halves the image.
        stem: "cifar", one 3×3 convolution, or "imagenet", a strided 7×7 convolution and max-pooling.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        blocks: tuple[int, ...] = (3, 3, 3),
        cardinality: int = 8,
        path_width: int = 16,
        width: int = 64,
        stem: Literal["cifar", "imagenet"] = "cifar",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        for name, value in (("cardinality", cardinality), ("path_width", path_width), ("width", width)):
            check_count(value, name)
        if not blocks or min(blocks) < 1:
            raise InputError(f"blocks must name at least one block for each stage, not {blocks!r}")
        if stem not in ("cifar", "imagenet"):
            raise InputError(f"stem must be cifar or imagenet, not {stem!r}")
        self.save_hyperparameters()
        small = stem == "cifar"
        first = nn.Conv2d(in_channels, width, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU())
        if not small:
            self.stem.append(nn.MaxPool2d(3, 2, padding=1))
        self.stages, channels = nn.ModuleList(), width
        for number, count in enumerate(blocks):
            inner, out = cardinality * path_width * 2**number, EXPANSION * width * 2**number
            stage = nn.Sequential()
            for block in range(count):
                stride = 2 if number and block == 0 else 1
                stage.append(AggregatedBlock(channels, inner, out, cardinality, stride))
                channels = out
            self.stages.append(stage)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, num_classes)
        init(self)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem [N, w, H, W], stage1 [N, 4w, H, W], stage2 [N, 8w, H/2, W/2], …, embedding [N, D]."""
        x = self.stem(x)
        stages = {"stem": x}
        for number, stage in enumerate(self.stages, start=1):
            x = stages[f"stage{number}"] = stage(x)
        return stages | {"embedding": self.pool(x)}


class AggregatedBlock(nn.Module):
    """1×1, 3×3 in groups, 1×1, and the shortcut; ReLU after the sum."""

    def __init__(self, channels: int, inner: int, out: int, groups: int, stride: int) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU())
        grouped = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=groups, bias=False)
        self.paths = nn.Sequential(grouped, nn.BatchNorm2d(inner), nn.ReLU())
        self.expand = nn.Sequential(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out))
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else Projection(channels, out, stride)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.expand(self.paths(self.reduce(x))) + self.shortcut(x))
