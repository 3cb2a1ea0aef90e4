"""Residual networks (He, Zhang, Ren and Sun, 2016, "Deep residual learning for image recognition", arXiv:1512.03385).

A plain stack of 56 layers trains worse than one of 20, although it could copy the 20 and pass their result on: that it doesn't
is a failure of the optimiser. A residual block makes passing on the easy case. Its two convolutions learn what to add,

    y = ReLU(x + F(x)),    F(x) = BN(W₂ ∗ ReLU(BN(W₁ ∗ x)))

and with F = 0, a small step from the start, the block is the identity. Where a block halves the image and widens it, the
shortcut has to change the shape too: by a strided look at every second pixel with zeros for the new channels (option A of the
paper, without weights), or by a 1×1 convolution with batch norm (option B).

`CIFARResNet` is the paper's network of 6n+2 layers for small images; with `residual=False` it is the plain network of the same
layers. `ResNet18` is the paper's 18- or 34-layer network with the stem that is usual for small images, one 3×3 convolution, in
place of the 7×7 convolution and pooling for large ones.

With `preact=True` norm and ReLU stand before each convolution (He et al., 2016, "Identity mappings in deep residual networks",
arXiv:1603.05027): nothing stands on the way from sum to sum, y = x + W₂ ∗ ReLU(BN(W₁ ∗ ReLU(BN(x)))), so that a gradient reaches
every block unchanged by the blocks above it.

Departures from the paper: recipes train in fewer epochs, with a one-cycle schedule.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError


class CIFARResNet(ImageClassifier):
    """ResNet-n for small images, n = 6k + 2: a stem and three stages of k blocks; 269,722 parameters for n = 20.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        depth: layers with weights; 20, 32, 44, 56 or 110 in the paper.
        residual: False gives the plain network, the same layers without shortcuts.
        preact: norm and ReLU before each convolution, and once more at the end.
        option: shortcut where the shape changes, "A" without weights or "B" with a 1×1 convolution.
        width: channels of the first stage; each further stage doubles them and halves the image.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        depth: int = 20,
        residual: bool = True,
        preact: bool = False,
        option: Literal["A", "B"] = "A",
        width: int = 16,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if depth < 8 or depth % 6 != 2:
            raise InputError(f"depth must be 6k + 2, such as 20, 32, 44 or 56, not {depth!r}")
        if preact and not residual:
            raise InputError("preact moves norm and ReLU before the sums, and residual=False has no sums: choose one")
        self.save_hyperparameters()
        blocks, shortcut = depth // 6, option if residual else "none"
        block = PreactBlock if preact else BasicBlock
        first = conv3x3(in_channels, width)
        self.stem = nn.Sequential(first) if preact else nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU())
        self.stage1 = stage(width, width, blocks, 1, shortcut, block)
        self.stage2 = stage(width, 2 * width, blocks, 2, shortcut, block)
        self.stage3 = stage(2 * width, 4 * width, blocks, 2, shortcut, block)
        last = (nn.BatchNorm2d(4 * width), nn.ReLU()) if preact else ()
        self.pool = nn.Sequential(*last, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4 * width, num_classes)
        init(self)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem, stage1 [N, w, H, W], stage2 [N, 2w, H/2, W/2], stage3 [N, 4w, H/4, W/4], embedding [N, 4w]."""
        stages = {"stem": self.stem(x)}
        stages["stage1"] = self.stage1(stages["stem"])
        stages["stage2"] = self.stage2(stages["stage1"])
        stages["stage3"] = self.stage3(stages["stage2"])
        return stages | {"embedding": self.pool(stages["stage3"])}


class ResNet18(ImageClassifier):
    """ResNet-18 (or 34): a stem and four stages of basic blocks; 11,173,962 parameters with the stem for small images.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        depth: 18 or 34.
        stem: "cifar", one 3×3 convolution, or "imagenet", a strided 7×7 convolution and max-pooling.
        width: channels of the first stage; each further stage doubles them and halves the image.
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
        depth: int = 18,
        stem: Literal["cifar", "imagenet"] = "cifar",
        width: int = 64,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if depth not in BLOCKS:
            raise InputError(f"depth must be {' or '.join(map(str, BLOCKS))}, not {depth!r}")
        self.save_hyperparameters()
        blocks = BLOCKS[depth]
        if stem == "cifar":
            self.stem = nn.Sequential(conv3x3(in_channels, width), nn.BatchNorm2d(width), nn.ReLU())
        else:
            first = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            self.stem = nn.Sequential(first, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))
        self.stage1 = stage(width, width, blocks[0], 1, "B")
        self.stage2 = stage(width, 2 * width, blocks[1], 2, "B")
        self.stage3 = stage(2 * width, 4 * width, blocks[2], 2, "B")
        self.stage4 = stage(4 * width, 8 * width, blocks[3], 2, "B")
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(8 * width, num_classes)
        init(self)

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        library, what = (
            ("torchvision", "") if init.get("width", 64) == 64 else ("timm", ", torchvision's has 64 channels first")
        )
        lines = f"from zoo.models.layouts import to_{library}\n\nnet = to_{library}(model)"
        said = f"The same network and weights as {library} builds it{what}; `take_weights` of the same module goes the other way:"
        return [(said, lines), *super().other_libraries(init)]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem, stage1 [N, w, H, W], stage2 [N, 2w, H/2, W/2], stage3 [N, 4w, …], stage4 [N, 8w, …], embedding [N, 8w]."""
        stages = {"stem": self.stem(x)}
        stages["stage1"] = self.stage1(stages["stem"])
        stages["stage2"] = self.stage2(stages["stage1"])
        stages["stage3"] = self.stage3(stages["stage2"])
        stages["stage4"] = self.stage4(stages["stage3"])
        return stages | {"embedding": self.pool(stages["stage4"])}


BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
Shortcut = Literal["A", "B", "none"]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and what is added to them; ReLU after the sum."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv3x3(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels)
        self.act1 = nn.ReLU()
        self.conv2, self.norm2 = conv3x3(out_channels, out_channels), nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module | None = None
        if shortcut != "none":
            same = stride == 1 and in_channels == out_channels
            self.shortcut = nn.Identity() if same else SHORTCUTS[shortcut](in_channels, out_channels, stride)
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        return self.act2(y if self.shortcut is None else y + self.shortcut(x))


class PreactBlock(nn.Module):
    """Norm and ReLU before each of two 3×3 convolutions; the sum stays as it is. Where the shape changes, the shortcut of
    the paper starts behind the first norm and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.norm1, self.act1 = nn.BatchNorm2d(in_channels), nn.ReLU()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm2, self.act2 = nn.BatchNorm2d(out_channels), nn.ReLU()
        self.conv2 = conv3x3(out_channels, out_channels)
        self.same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if self.same else SHORTCUTS[shortcut](in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.norm1(x))
        return self.shortcut(x if self.same else y) + self.conv2(self.act2(self.norm2(self.conv1(y))))


class Subsample(nn.Module):
    """Option A: every `stride`-th pixel, and zeros for the channels that are new."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride, self.new = stride, out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))


class Projection(nn.Sequential):
    """Option B: 1×1 convolution and batch norm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out_channels))


SHORTCUTS: dict[str, type[nn.Module]] = {"A": Subsample, "B": Projection}


def stage(
    in_channels: int,
    out_channels: int,
    blocks: int,
    stride: int,
    shortcut: Shortcut,
    block: type[BasicBlock] | type[PreactBlock] = BasicBlock,
) -> nn.Sequential:
    """Blocks of one resolution; the first one changes the shape."""
    first = block(in_channels, out_channels, stride, shortcut)
    return nn.Sequential(first, *(block(out_channels, out_channels, 1, shortcut) for _ in range(blocks - 1)))


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)  # batch norm has the bias


def init(model: nn.Module) -> None:
    """He et al. (2015): the signal keeps its variance through ReLU layers."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    model.to(memory_format=torch.channels_last)
