"""AlexNet (Krizhevsky, Sutskever and Hinton, 2012, "ImageNet classification with deep convolutional neural networks").

Five convolutions and three linear layers, ReLU in place of saturating units, dropout in the linear layers: the network that made
convolutions the way to look at photographs. Neighbouring channels of the first layers compete by local response normalisation,

    b_c = a_c / (k + α/n Σ_{c' near c} a_{c'}²)^β,    n = 5 channels, k = 2, α = 1e-4·n, β = 0.75

so that a strong answer weakens those beside it. Batch norm does what was hoped of it better, and is the default here.

Departures from the paper: one column, where two processors shared the channels; for small images ("cifar") 3×3 filters and
three poolings of 2, so that 4×4 positions are left, and one hidden linear layer. With `resolution="imagenet"` and `norm="none"`
it is torchvision's network of 61.1 million weights. (The paper's fourth convolution has 384
channels, torchvision's and a textbook's listing have 256, which is what stands here.)
"""

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError

# (out channels, kernel, stride, padding, pooled after it)
CIFAR = ((64, 3, 1, 1, True), (192, 3, 1, 1, True), (384, 3, 1, 1, False), (256, 3, 1, 1, False), (256, 3, 1, 1, True))
IMAGENET = (
    (64, 11, 4, 2, True),
    (192, 5, 1, 2, True),
    (384, 3, 1, 1, False),
    (256, 3, 1, 1, False),
    (256, 3, 1, 1, True),
)


class AlexNet(ImageClassifier):
    """AlexNet in one column; 6,459,466 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        resolution: "cifar" for images from 32×32, "imagenet" for 224×224.
        norm: "batch", "lrn" (the paper's, after the first two convolutions) or "none".
        hidden_dim: units of the hidden linear layers; the paper has 4096.
        dropout: probability of dropping a unit before each hidden linear layer and the head.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W] with H, W >= 8 ("cifar") or 63; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        resolution: Literal["cifar", "imagenet"] = "cifar",
        norm: Literal["batch", "lrn", "none"] = "batch",
        hidden_dim: int = 1024,
        dropout: float = 0.5,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if resolution not in ("cifar", "imagenet"):
            raise InputError(f"resolution must be cifar or imagenet, not {resolution!r}")
        if norm not in ("batch", "lrn", "none"):
            raise InputError(f"norm must be batch, lrn or none, not {norm!r}")
        self.save_hyperparameters()
        small = resolution == "cifar"
        channels, layers = in_channels, []
        for number, (out, kernel, stride, padding, pooled) in enumerate(CIFAR if small else IMAGENET):
            layer: list[nn.Module] = [nn.Conv2d(channels, out, kernel, stride, padding)]
            layer += [nn.BatchNorm2d(out)] if norm == "batch" else []
            layer.append(nn.ReLU())
            layer += [nn.LocalResponseNorm(5, alpha=5e-4, k=2.0)] if norm == "lrn" and number < 2 else []
            layer += [nn.MaxPool2d(2) if small else nn.MaxPool2d(3, 2)] if pooled else []
            layers.append(nn.Sequential(*layer))
            channels = out
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = layers
        side = 4 if small else 6
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten())
        self.neck = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels * side**2, hidden_dim), nn.ReLU())
        if not small:
            self.neck.extend([nn.Dropout(dropout), nn.Linear(hidden_dim, hidden_dim), nn.ReLU()])
        else:
            self.neck.append(nn.Dropout(dropout))
        self.head = nn.Linear(hidden_dim, num_classes)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """conv1 [N, 64, h, w], …, conv5 [N, 256, h, w], each as it leaves its pooling, embedding [N, hidden_dim]."""
        stages = {}
        for number, layer in enumerate((self.conv1, self.conv2, self.conv3, self.conv4, self.conv5), start=1):
            x = stages[f"conv{number}"] = layer(x)
        return stages | {"embedding": self.neck(self.pool(x))}
