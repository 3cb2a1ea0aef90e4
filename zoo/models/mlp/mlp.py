"""Multi-layer perceptron on the pixels of an image; without hidden layers it is logistic regression.

    h₀ = x,    h_l = σ(W_l h_(l-1) + b_l),    p(y | x) = softmax(W h_L + b)

No weight knows which pixels are neighbours: shuffle the pixels of all images in one way and the network learns as well. What
keeps it from learning the training set by heart are dropout (Srivastava et al., 2014, "Dropout: a simple way to prevent neural
networks from overfitting"), which trains a random half of the units in each step, and the max-norm constraint of the same
paper, which after each step shortens the weight vector of every unit to a length of at most c. Batch norm (Ioffe and Szegedy,
2015, arXiv:1502.03167) allows higher learning rates.

Departures from the papers: batch norm stands before the activation and dropout after it, where both are used.
"""

from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor, nn

from zoo.blocks.losses import LOSSES, classification_loss
from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError


class ArcTan(nn.Module):
    """arctan x, with the derivative 1 / (x² + 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.atan()


class Step(nn.Module):
    """0 below zero, 1 from there on. Its derivative is 0: what lies below such a layer doesn't learn by gradients."""

    def forward(self, x: Tensor) -> Tensor:
        return (x >= 0).to(x.dtype) + 0 * x  # the sum keeps the zero gradient


Activation = Literal[
    "identity", "step", "sigmoid", "tanh", "arctan", "relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "softplus"
]  # fmt: skip
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "step": Step,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "arctan": ArcTan,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
}


class MLP(ImageClassifier):
    """Fully connected classifier; 669,706 parameters with the default arguments, 7,850 with `hidden=()`.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        image_size: (height, width) of the image.
        hidden: widths of the hidden layers; none gives logistic regression.
        activation: one of `ACTIVATIONS`.
        batch_norm: normalise before each activation.
        dropout: probability of dropping a hidden unit.
        input_dropout: probability of dropping a pixel.
        max_norm: longest weight vector of a hidden unit, or None for any.
        relu_logits: pass the logits through a ReLU, as a listing of a textbook does by mistake: a class whose logit is
            negative gets no gradient.
        loss: one of `zoo.blocks.losses.LOSSES`; "log" is cross-entropy, "squared_hinge" a support vector machine's.
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
        hidden: tuple[int, ...] = (512, 512),
        activation: Activation = "relu",
        batch_norm: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_norm: float | None = None,
        relu_logits: bool = False,
        loss: str = "log",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if activation not in ACTIVATIONS:
            raise InputError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        if max_norm is not None and not max_norm > 0:
            raise InputError(f"max_norm must be above 0 or None, not {max_norm!r}")
        if loss not in LOSSES:
            raise InputError(f"loss must be one of {', '.join(LOSSES)}, not {loss!r}")
        self.save_hyperparameters()
        self.input = nn.Sequential(nn.Flatten(), nn.Dropout(input_dropout))
        width = in_channels * image_size[0] * image_size[1]
        self.hidden = nn.ModuleList()
        for units in hidden:
            check_count(units, "a hidden layer's width")
            layer = nn.Linear(width, units, bias=not batch_norm)  # batch norm has the bias
            norm = nn.BatchNorm1d(units) if batch_norm else nn.Identity()
            self.hidden.append(nn.Sequential(layer, norm, ACTIVATIONS[activation](), nn.Dropout(dropout)))
            width = units
        self.head = nn.Linear(width, num_classes)
        self.output = nn.ReLU() if relu_logits else nn.Identity()

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """hidden1 [N, hidden[0]], …, and as embedding [N, D] the last of them, or the pixels where there is none."""
        h, stages = self.input(x), {}
        for number, layer in enumerate(self.hidden, start=1):
            h = stages[f"hidden{number}"] = layer(h)
        return stages | {"embedding": h}

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.head(self.features(x)["embedding"]))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        name, smoothing = self.hparams["loss"], self.label_smoothing
        loss = classification_loss(name, self(x).float(), y, label_smoothing=smoothing)
        self.log_train(loss=loss)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # Lightning's signature
        super().optimizer_step(*args, **kwargs)
        if self.hparams["max_norm"] is not None:
            for layer in self.hidden:
                clip_norms(layer.get_submodule("0"), self.hparams["max_norm"])


@torch.no_grad()
def clip_norms(linear: nn.Module, longest: float) -> None:
    """Shorten the weight vector of each unit of a linear layer that is longer than `longest`."""
    assert isinstance(linear, nn.Linear)
    weight = linear.weight  # [units, inputs]
    weight.mul_((longest / weight.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1))


class TestEveryEpoch(L.Callback):
    """Log "test/accuracy" after every epoch, for a table of a book that prints it; nothing is chosen by it."""

    __test__ = False  # no test case of pytest's

    @torch.no_grad()
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        data = getattr(trainer, "datamodule", None)  # set at run time
        if not isinstance(pl_module, ImageClassifier) or data is None:
            raise InputError("TestEveryEpoch needs an image classifier and a data module")
        data.setup("test")
        pl_module.eval()
        right = total = 0
        for x, y in data.test_dataloader():
            right += int((pl_module(x).argmax(1) == y).sum())
            total += len(y)
        pl_module.train()
        pl_module.log("test/accuracy", right / total)
