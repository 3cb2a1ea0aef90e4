"""SimpleCNN: three small convolutions and two linear layers for handwritten digits, after lecture notes on deep learning.

The example that a first course trains: 10,890 weights, 39 thousand multiplications an image. Each layer

    h_(l+1) = ReLU(W_l ∗ h_l + b_l)

looks at 3×3 places of the one before, pooling halves the image twice, and the last 3×3 map with its eight channels is read
by 120 units.

Departures from the notes: the notes hold back a fifth of the training images for validation, recipes here hold back less.
"""

import torch
from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier


class SimpleCNN(ImageClassifier):
    """Convolutions of 4, 8 and 8 channels without padding, 120 hidden units; 10,890 parameters for grey 28×28 images.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, 28, 28]; logits: [N, num_classes].
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, *, label_smoothing: float = 0.0) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        self.save_hyperparameters()
        self.stage1 = nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.stage2 = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
        self.stage3 = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())
        self.neck = nn.Sequential(nn.Flatten(), nn.Linear(8 * 3 * 3, 120), nn.ReLU())
        self.head = nn.Linear(120, num_classes)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stage1 [N, 4, 13, 13], stage2 [N, 8, 5, 5], stage3 [N, 8, 3, 3], embedding [N, 120]."""
        stage1 = self.stage1(x)
        stage2 = self.stage2(stage1)
        stage3 = self.stage3(stage2)
        return {"stage1": stage1, "stage2": stage2, "stage3": stage3, "embedding": self.neck(stage3)}
