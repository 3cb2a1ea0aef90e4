"""A small deep convolutional network in the manner of VGG (Simonyan and Zisserman, 2015, arXiv:1409.1556), with batch norm.

Stacks of 3×3 convolutions see as far as one large filter, with fewer weights and a non-linearity after each: two of them cover
5×5 pixels, three 7×7. Each halving of the image doubles the channels, so that every layer costs about the same. Batch norm
(Ioffe and Szegedy, 2015, arXiv:1502.03167) keeps each channel c at a mean and deviation of its own choice,

    y = γ_c (x − E_c[x]) / √(Var_c[x] + ε) + β_c

which keeps gradients alive through a deep stack and allows far higher learning rates.

Departures from the paper: the stem, at full resolution, has few channels and no second layer, since such layers cost most;
pooling stands between convolution and norm, where it saves three quarters of the norm's and the activation's work; one hidden
linear layer in place of two. Its output, the embedding, is what the zoo measures generated images with (`zoo.metrics`).
"""

import torch
from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier


class CNN(ImageClassifier):
    """Five convolutions and two linear layers for 28×28 images; 417,210 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        width: channels of the stem; the stages have four and eight times as many.
        embedding_dim: length of the embedding, the input of the head.
        dropout: probability of dropping a unit of the embedding in training.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, 28, 28]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        width: int = 16,
        embedding_dim: int = 128,
        dropout: float = 0.3,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        self.save_hyperparameters()
        self.stem = block(in_channels, width)
        self.stage1 = nn.Sequential(block(width, 4 * width, pool=True), block(4 * width, 4 * width, pool=True))
        self.stage2 = nn.Sequential(block(4 * width, 8 * width), block(8 * width, 8 * width, pool=True))
        self.neck = nn.Sequential(
            nn.Flatten(),
            nn.Linear(8 * width * 3 * 3, embedding_dim, bias=False),  # batch norm has the bias
            nn.BatchNorm1d(embedding_dim),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_dim, num_classes)
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU, keys and values unchanged

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem [N, w, 28, 28], stage1 [N, 4w, 7, 7], stage2 [N, 8w, 3, 3], embedding [N, embedding_dim]."""
        stem = self.stem(x)
        stage1 = self.stage1(stem)
        stage2 = self.stage2(stage1)
        return {"stem": stem, "stage1": stage1, "stage2": stage2, "embedding": self.dropout(self.neck(stage2))}


def block(in_channels: int, out_channels: int, *, pool: bool = False) -> nn.Sequential:
    """Convolution 3×3, halving by max-pooling if asked for, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),  # batch norm has the bias
        nn.MaxPool2d(2) if pool else nn.Identity(),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
