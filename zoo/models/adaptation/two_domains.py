"""What DANN and DAN share: a convolutional network that sees labelled images of a source and unlabelled ones of a target.

    loss = cross-entropy on the source + alignment(features of the source, features of the target)

A subclass defines the alignment. Target error is bounded by source error, the distance of the two feature distributions as a
classifier sees it, and what no classifier could do on both at once (Ben-David et al., 2010): the loss lowers the first two.

Batch norm normalises each half of a training batch, source and target, by its own mean and variance, so that it can't pass the
domain on; the running statistics that evaluation uses are the target's.
"""

import contextlib
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.core.data import ClassData
from zoo.core.metric import entry
from zoo.core.samples import sample_split
from zoo.errors import InputError


class DomainBatchNorm(nn.BatchNorm2d):
    """Batch norm that, while `halves` is set, normalises the first half of the batch and the second each by itself."""

    halves = False

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.halves):
            return super().forward(x)
        source, target = x.chunk(2)
        normed = F.batch_norm(source, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return torch.cat([normed, super().forward(target)])  # only the target moves the running statistics


class TwoDomainClassifier(ImageClassifier):
    """Three 5×5 or 3×3 convolutions with pooling and one hidden layer, trained on two domains at once.

    Args:
        num_classes, in_channels: of the images.
        image_size: height and width of the images, at least 8.
        width: channels of the first convolution; the second has one and a half, the third twice as many.
        embedding_dim: units of the hidden layer, whose distributions are to agree.
        weight: of the alignment.
        dropout: probability of dropping a unit of the embedding before the head.

    Shapes:
        images x: [N, in_channels, image_size, image_size]; training batches (source x, source y, target x).
    """

    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n\n"
        'images, labels = sample_split("mnist")           # handwritten digits; a path, PIL image, array or tensor will do\n'
        "print(model.predict(images[0], top=3))           # [(class, probability), …]"
    )

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: int = 16,
        width: int = 32,
        embedding_dim: int = 128,
        weight: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels)
        for what, value in (("image_size", image_size), ("width", width), ("embedding_dim", embedding_dim)):
            check_count(value, what)
        if image_size < 8:
            raise InputError(f"image_size is {image_size}; three halvings need at least 8")
        if not weight >= 0:
            raise InputError(f"weight is {weight!r}; it's a number of at least 0")
        self.weight = weight
        self.convolutions = nn.Sequential(
            conv(in_channels, width, 5), conv(width, width * 3 // 2, 5), conv(width * 3 // 2, 2 * width, 3)
        )
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(2 * width * (image_size // 8) ** 2, embedding_dim), nn.ReLU()
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding_dim, num_classes)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """convolutions [N, 2 · width, H/8, W/8], embedding [N, embedding_dim]."""
        maps = self.convolutions(x)
        return {"convolutions": maps, "embedding": self.hidden(maps)}

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(x)["embedding"]))

    def alignment(self, source: Tensor, target: Tensor) -> Tensor:
        """The term of the loss that makes the embeddings [N, D] of the two domains alike."""
        raise NotImplementedError

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        if (
            len(batch) == 2 or not self.weight
        ):  # the source alone: plain training, and batch norm knows the source alone too
            return super().training_step((batch[0], batch[1]), batch_idx)
        x, y, unlabelled = batch
        if len(x) != len(unlabelled):
            raise InputError(f"a batch has as many target as source images, not {len(unlabelled)} and {len(x)}")
        norms = [module for module in self.modules() if isinstance(module, DomainBatchNorm)]
        for norm in norms:
            norm.halves = True
        try:
            embedding = self.features(torch.cat([x, unlabelled]))["embedding"].float()
        finally:
            for norm in norms:
                norm.halves = False
        source, target = embedding.chunk(2)
        loss = F.cross_entropy(self.head(self.dropout(source)).float(), y)
        apart = self.alignment(source, target)
        self.log_train(loss=loss, alignment=apart)
        return loss + apart

    def _examples(self, n: int) -> tuple[Tensor, Tensor] | None:
        """Packaged images of the target, else of the source, padded or cut as in training; None where neither has any."""
        about = (self.data or {}).get("init", {})
        for domain in ("target", "source"):
            with contextlib.suppress(InputError):
                x, y = sample_split(about.get(domain, ""))
                edge = about.get(f"{domain}_pad", 0)
                return F.pad(x[:n], (edge,) * 4), y[:n]
        return None

    def evaluate(self, data: ClassData) -> list[dict[str, Any]]:
        """Accuracy on the target's test images, and beside it on the source's, in the names of the two data sets."""
        entries = super().evaluate(data)
        for found in entries:
            found["dataset"] = Path(
                getattr(data, "target", found["dataset"])
            ).name  # of a folder its name, not its place
        loader = data.source_test_dataloader() if hasattr(data, "source_test_dataloader") else []
        if not loader:
            return entries
        with torch.no_grad():
            right = [(self(x.to(self.device)).argmax(1) == y.to(self.device)).float() for x, y in loader]
        how = "share of the source's test images" + (", with the target's batch-norm statistics" if self.weight else "")
        return [
            *entries,
            entry(
                Path(getattr(data, "source", "source")).name,
                "test",
                "accuracy",
                torch.cat(right).mean(),
                how,
                better="higher",
            ),
        ]


def conv(before: int, after: int, size: int) -> nn.Sequential:
    """Convolution, batch norm by domain, ReLU, and the largest of each 2 × 2 pixels."""
    return nn.Sequential(
        nn.Conv2d(before, after, size, padding=size // 2, bias=False),
        DomainBatchNorm(after),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
