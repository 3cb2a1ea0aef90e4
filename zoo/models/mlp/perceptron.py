"""One neuron that draws a line: the perceptron (Rosenblatt, 1958) and Adaline (Widrow and Hoff, 1960).

Both have the same weights and answer with the side of the line on which x lies, ŷ = sign(z) for z = w·x + b. They differ in
what they learn from, with labels y in {-1, 1}:

    perceptron    Δw = η (y - ŷ) x      the answer's error, one example at a time: right answers change nothing
    Adaline       Δw = η 2/n Σ (y - z) x      the error before the threshold, all examples at once

The perceptron stops when no training example is on the wrong side, and never does where no line separates the classes. Adaline
goes down the gradient of a mean square, which has one minimum whether or not there is such a line.

Departures from the papers: features are standardised by the training part's mean and deviation, kept with the weights; both
rules are written as losses, so that plain SGD is the rule.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.data import TargetData
from zoo.core.drawing import verbatim
from zoo.core.files import write_figure
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError


class Perceptron(ZooModule):
    """A linear threshold unit on a few numbers.

    Args:
        in_channels: number of features.
        rule: "perceptron" or "adaline".

    Shapes:
        x: [N, in_channels], unscaled; z: [N].
    """

    task: ClassVar[str] = "tabular-classification"
    learns_from: ClassVar[tuple[str, ...]] = ("labelled-table",)
    finetune_lr: ClassVar[float] = 1e-2
    mean: Tensor
    scale: Tensor

    def __init__(self, in_channels: int = 2, *, rule: Literal["perceptron", "adaline"] = "perceptron") -> None:
        super().__init__()
        check_count(in_channels, "in_channels")
        if rule not in ("perceptron", "adaline"):
            raise InputError(f"rule must be perceptron or adaline, not {rule!r}")
        self.save_hyperparameters()
        self.rule = rule
        self.head = nn.Linear(in_channels, 1)
        nn.init.normal_(self.head.weight, std=0.01)  # small: a first answer that a step can change
        nn.init.zeros_(self.head.bias)
        self.register_buffer("mean", torch.zeros(in_channels))
        self.register_buffer("scale", torch.ones(in_channels))

    def setup(self, stage: str) -> None:
        """Take the features' mean and deviation over from the training part."""
        super().setup(stage)
        data: TargetData | None = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and data is not None and hasattr(data, "part"):
            if len(data.classes) != 2:
                raise InputError(f"a line separates two classes, the data has {len(data.classes)}: choose two of them")
            x, _ = data.part("train")
            self.mean.copy_(x.mean(0))
            self.scale.copy_(x.std(0))
            self.classes = list(data.classes)

    def adapt_to(self, data: TargetData) -> None:
        """Fresh weights for another number of features, or other classes.

        Raises:
            InputError: for a target that is a quantity, or has more than two classes.
        """
        if len(data.classes) != 2:
            found = f"has {len(data.classes)} classes" if data.classes else "is a quantity"
            raise InputError(f"a line separates two classes, the target {getattr(data, 'target', '')} {found}")
        x, _ = data.part("train")
        if x.shape[1] != self.head.in_features:
            self.take_fresh(in_channels=x.shape[1])
        elif self.classes != list(data.classes):
            self.head.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x - self.mean) / self.scale).squeeze(1)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def predict(self, x: Tensor) -> list[str]:
        """The class of each row of features [N, in_channels], or of one row [in_channels].

        Raises:
            InputError: for another width, or values that aren't finite.
        """
        x = torch.as_tensor(x, dtype=torch.float32, device=self.device)
        rows = x if x.ndim == 2 else x[None]
        if rows.shape[-1] != self.head.in_features or rows.ndim != 2:
            raise InputError(f"x has {self.head.in_features} numbers a row, not shape {list(x.shape)}")
        if not torch.isfinite(rows).all():
            raise InputError("x holds NaN or infinite values: clean it before the call")
        names = self.classes or ["0", "1"]
        return [names[int(z >= 0)] for z in self(rows)]

    def line(self) -> tuple[Tensor, Tensor]:
        """Weights [in_channels] and bias [] of the line w·x + b = 0 in the features' own units."""
        weight = (self.head.weight[0] / self.scale).detach()
        return weight, self.head.bias.detach()[0] - (weight * self.mean).sum()

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, label = labelled(batch)
        z, y = self(x), 2.0 * label - 1  # [N] both
        if self.rule == "adaline":
            loss = (y - z).square().mean()
        else:
            answer = torch.where(z >= 0, 1.0, -1.0)
            loss = -((y - answer) * z).mean()  # its gradient is the rule; 0 where every answer is right
        self.log_train(loss=loss)
        return loss

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, label = labelled(batch)
        right = (self(x) >= 0).long() == label
        self.log("test/accuracy", right.float().mean(), batch_size=len(label))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The published step of η = 0.1, where the recipe names none."""
        return torch.optim.SGD(self.parameters(), lr=0.1)

    # What a checkpoint needs to know ---------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {"input": 8 * torch.rand(16, self.head.in_features, generator=generator)}

    def preview(self, path: Path) -> Path | None:
        """The two classes and the line between them, for two features."""
        if self.data is None or self.head.in_features != 2:
            return None
        from zoo.api import datamodule

        data: Any = datamodule(self.data["name"], **self.data["init"])
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4), layout="constrained")
        axis = figure.subplots()
        for part, marker in (("train", "o"), ("test", "x")):
            x, y = data.part(part)
            for label, name in enumerate(data.classes):
                chosen = x[y == label]
                axis.plot(*chosen.T, marker, color=f"C{label}", alpha=0.7, ms=5, label=verbatim(f"{name}, {part}"))
        (a, b), bias = self.line()
        axis.set(xlim=axis.get_xlim(), ylim=axis.get_ylim())  # the line crosses the picture, however steep
        axis.axline((0.0, float(-bias / b)), slope=float(-a / b), color="black", lw=1)
        xlabel, ylabel = (verbatim(f"{name} (cm)") for name in data.features[:2])
        axis.set(xlabel=xlabel, ylabel=ylabel, title=self.rule)
        axis.legend(frameon=False, fontsize=8)
        write_figure(path, figure, dpi=100)
        return path
