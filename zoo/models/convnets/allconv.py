"""All-convolutional network (Springenberg, Dosovitskiy, Brox and Riedmiller, 2015, "Striving for simplicity", arXiv:1412.6806).

Does a convolutional network need pooling? A convolution of stride 2 halves the image as well,

    y[c, i, j] = ReLU(Σ_{c', u, v} w[c, c', u, v] · x[c', 2i + u, 2j + v])

and learns how to. With a mean over all positions in place of hidden linear layers, nothing but convolutions is left, and the
network loses nothing by it (the paper's All-CNN-C).

Departures from the paper: batch norm (which may be switched off); no ReLU on the class scores, so that the last 1×1
convolution and the mean may change places and the mean is the embedding; padded convolutions throughout.
"""

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier


class AllConv(ImageClassifier):
    """Eight convolutions, two of them with stride 2, and a mean; 1,370,986 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        width: channels of the first resolution; the other two have twice as many.
        batch_norm: normalise before each ReLU.
        input_dropout: probability of dropping a value of the image.
        dropout: probability of dropping a value after each convolution of stride 2.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        width: int = 96,
        batch_norm: bool = True,
        input_dropout: float = 0.0,
        dropout: float = 0.3,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        check_count(width, "width")
        self.save_hyperparameters()
        wide = 2 * width

        def unit(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
            conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=not batch_norm)
            return nn.Sequential(conv, nn.BatchNorm2d(out) if batch_norm else nn.Identity(), nn.ReLU())

        first, second = unit(in_channels, width), unit(width, width)
        self.stage1 = nn.Sequential(nn.Dropout(input_dropout), first, second, unit(width, width, stride=2))
        self.stage2 = nn.Sequential(
            nn.Dropout(dropout), unit(width, wide), unit(wide, wide), unit(wide, wide, stride=2)
        )
        self.stage3 = nn.Sequential(nn.Dropout(dropout), unit(wide, wide), unit(wide, wide, kernel=1))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(wide, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stage1 [N, w, H/2, W/2], stage2 [N, 2w, H/4, W/4], stage3 [N, 2w, H/4, W/4], embedding [N, 2w]."""
        stages = {"stage1": self.stage1(x)}
        stages["stage2"] = self.stage2(stages["stage1"])
        stages["stage3"] = self.stage3(stages["stage2"])
        return stages | {"embedding": self.pool(stages["stage3"])}
