"""LeNet-5 (LeCun, Bottou, Bengio and Haffner, 1998, "Gradient-based learning applied to document recognition").

Two rounds of convolution and subsampling turn the image into sixteen 5×5 maps that see ever larger patches; three fully
connected layers read the class off them. A convolution slides one small filter over all positions,

    y[o, i, j] = b[o] + Σ_c Σ_u Σ_v  w[o, c, u, v] · x[c, i+u, j+v]

so that a stroke is recognised wherever it stands, with 25 weights instead of 784.

Departures from the paper: ReLU for the scaled tanh, max-pooling for the trainable average, every map of the second
convolution sees all six of the first, a linear layer with cross-entropy for the radial-basis output, and batch norm after
the convolutions where `batch_norm` is set. Images of 28×28 are padded to the paper's 32×32 by the first convolution.
"""

import torch
from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier


class LeNet5(ImageClassifier):
    """LeNet-5 for small grey images; 61,706 parameters for 28×28 images and ten classes without batch norm.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        batch_norm: normalise after each convolution.
        dropout: probability of dropping a unit of the embedding.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, 28, 28]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        batch_norm: bool = False,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        self.save_hyperparameters()
        self.stage1 = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2),
            nn.BatchNorm2d(6) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.stage2 = nn.Sequential(
            nn.Conv2d(6, 16, 5),
            nn.BatchNorm2d(16) if batch_norm else nn.Identity(),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.neck = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(84, num_classes)
        self.to(memory_format=torch.channels_last)  # twice as fast on the CPU, keys and values unchanged

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stage1 [N, 6, 14, 14], stage2 [N, 16, 5, 5], embedding [N, 84]."""
        stage1 = self.stage1(x)
        stage2 = self.stage2(stage1)
        return {"stage1": stage1, "stage2": stage2, "embedding": self.neck(stage2)}
