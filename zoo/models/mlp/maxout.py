"""Maxout network (Goodfellow, Warde-Farley, Mirza, Courville and Bengio, 2013, arXiv:1302.4389).

A maxout unit has no activation function; it has k linear pieces and takes the largest of them,

    h_i = max_{j=1..k} (w_ij · x + b_ij)

and so learns its own convex activation: ReLU is two pieces of which one is zero, the absolute value two of opposite sign. It
is linear nearly everywhere, which makes the mean over dropout's sub-networks, taken by halving weights, nearly exact: the
two were made for each other.

Departures from the paper: AdamW with one cycle of the learning rate and averaged weights, in place of stopping by held-out error
and going on with all images.
"""

from typing import Any

from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError
from zoo.models.mlp.mlp import clip_norms


class Maxout(ImageClassifier):
    """Layers of maxout units; 1,233,610 parameters with the default arguments, the paper's for MNIST.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        image_size: (height, width) of the image.
        hidden: units of each layer.
        pieces: linear pieces of a unit.
        dropout: probability of dropping a unit.
        input_dropout: probability of dropping a pixel.
        max_norm: longest weight vector of a piece, or None for any.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, *image_size]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: tuple[int, int] = (28, 28),
        hidden: tuple[int, ...] = (240, 240),
        pieces: int = 5,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
        max_norm: float | None = 1.9365,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if max_norm is not None and not max_norm > 0:
            raise InputError(f"max_norm must be above 0 or None, not {max_norm!r}")
        self.save_hyperparameters()
        self.input = nn.Sequential(nn.Flatten(), nn.Dropout(input_dropout))
        width = in_channels * image_size[0] * image_size[1]
        self.hidden = nn.ModuleList()
        for units in hidden:
            layer = MaxoutLayer(width, units, pieces)
            self.hidden.append(nn.Sequential(layer, nn.Dropout(dropout)))
            width = units
        self.head = nn.Linear(width, num_classes)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """hidden1 [N, hidden[0]], …, and as embedding [N, D] the last of them."""
        h, stages = self.input(x), {}
        for number, layer in enumerate(self.hidden, start=1):
            h = stages[f"hidden{number}"] = layer(h)
        return stages | {"embedding": h}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # Lightning's signature
        super().optimizer_step(*args, **kwargs)
        if self.hparams["max_norm"] is not None:
            for layer in self.hidden:
                clip_norms(layer.get_submodule("0.linear"), self.hparams["max_norm"])


class MaxoutLayer(nn.Module):
    """Units that take the largest of their linear pieces: [N, in_features] to [N, units]."""

    def __init__(self, in_features: int, units: int, pieces: int) -> None:
        super().__init__()
        self.shape = (check_count(units, "a hidden layer's width"), check_count(pieces, "pieces"))
        self.linear = nn.Linear(in_features, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(-1, self.shape).amax(-1)  # [N, units, pieces] -> [N, units]
