"""VGG (Simonyan and Zisserman, 2015, "Very deep convolutional networks for large-scale image recognition", arXiv:1409.1556).

Nothing but 3×3 convolutions and pooling, and more of them than anyone had stacked before. n of them see as far as one filter of
2n + 1 pixels,

    9 n C² weights in place of (2n + 1)² C²,    for n = 3: 27 C² in place of 49 C²

with a non-linearity after each. Configurations 11 and 16 are columns A and D of the paper's table, 13 and 19 are B and E.
(A textbook prints the configurations of 16 and 19 with one convolution of 512 channels too few; here they are whole.)

Departures from the paper: batch norm after each convolution unless it is switched off; for small images, where five poolings
leave a single pixel, one linear layer in place of three, which held most of the weights.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(ImageClassifier):
    """VGG-n in five stages; 9,231,114 parameters for n = 11 with batch norm and the classifier for small images.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        depth: 11, 13, 16 or 19 layers with weights, in the paper's count.
        batch_norm: normalise after each convolution.
        classifier: "linear", on the mean of what is left of the image, or the paper's "mlp" of two hidden layers of
            4096 units on a 7×7 map, for images of 224×224.
        width: channels of the first stage; the paper has 64, doubled in each stage up to eight times as many.
        dropout: probability of dropping a unit before the head, and in the hidden layers of "mlp".
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W] with H, W >= 32; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        depth: int = 11,
        batch_norm: bool = True,
        classifier: Literal["linear", "mlp"] = "linear",
        width: int = 64,
        dropout: float = 0.5,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if depth not in CONVOLUTIONS:
            raise InputError(f"depth must be one of {', '.join(map(str, CONVOLUTIONS))}, not {depth!r}")
        self.save_hyperparameters()
        stages, channels = [], in_channels
        for number, count in enumerate(CONVOLUTIONS[depth]):
            out = width * min(2**number, 8)
            stages.append(stage(channels, out, count, batch_norm))
            channels = out
        self.stage1, self.stage2, self.stage3, self.stage4, self.stage5 = stages
        if classifier == "linear":
            self.neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout))
            self.head = nn.Linear(channels, num_classes)
        else:
            first = [nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(49 * channels, 4096), nn.ReLU()]
            second = [nn.Dropout(dropout), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout)]
            self.neck = nn.Sequential(*first, *second)
            self.head = nn.Linear(4096, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        said = "The same network and weights as torchvision builds it; `take_weights` of the same module goes the other way:"
        lines = "from zoo.models.layouts import to_torchvision\n\nnet = to_torchvision(model)"
        return [(said, lines), *super().other_libraries(init)]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stage1 [N, w, H/2, W/2], stage2 [N, 2w, H/4, W/4], …, stage5 [N, 8w, H/32, W/32], embedding [N, D]."""
        stages = {}
        for number, layer in enumerate((self.stage1, self.stage2, self.stage3, self.stage4, self.stage5), start=1):
            x = stages[f"stage{number}"] = layer(x)
        return stages | {"embedding": self.neck(x)}


def stage(in_channels: int, out_channels: int, count: int, batch_norm: bool) -> nn.Sequential:
    """Convolutions of one resolution, each with batch norm and ReLU, then pooling."""
    layers: list[nn.Module] = []
    for i in range(count):
        layers.append(nn.Conv2d(in_channels if i == 0 else out_channels, out_channels, 3, padding=1))
        layers += [nn.BatchNorm2d(out_channels)] if batch_norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.MaxPool2d(2))
