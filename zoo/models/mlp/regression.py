"""A perceptron with numbers for an answer: linear regression without hidden layers, any continuous function with enough units.

    h(x) = Σ_i v_i a(w_i·x + b_i) + v_0

One hidden layer of P units is a sum of P ramps or steps, and for large P comes as close as one likes to any continuous function
(Cybenko, 1989; Hornik, 1991). That such weights exist doesn't mean that training finds them. A second layer works on what the
first one made of x: it folds the input, so that one unit behind it acts on all sheets at once, and pieces multiply by the layer
where units side by side only add them (Montúfar et al., 2014, arXiv:1402.1869).

Without hidden layers and with squared errors there is no need to train, the best weights solve the normal equations:

    w = (XᵀX)⁻¹ Xᵀy                                                                      (Gauss; Legendre, 1805)

Departures: inputs and targets are standardised by the training part's mean and deviation, which are kept with the weights.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.blocks.dropout import dropouts, monte_carlo
from zoo.blocks.initialization import Start, initialize
from zoo.blocks.losses import REGRESSION_LOSSES, regression_loss
from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.data import ColumnData, TableData, TargetData
from zoo.core.drawing import verbatim
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.mlp.mlp import ACTIVATIONS, Activation


class RegressionMLP(ZooModule):
    """Fully connected network for points; `hidden=()` is linear regression.

    Args:
        in_channels: numbers of a point.
        out_channels: numbers of an answer.
        hidden: widths of the hidden layers.
        activation: one of `zoo.models.mlp.mlp.ACTIVATIONS`.
        dropout: probability of dropping a hidden unit; `predict_spread` needs it.
        loss: one of `zoo.blocks.losses.REGRESSION_LOSSES`; "poisson" has exp(h) for its answer.
        level: the quantile that the loss "quantile" looks for.
        start: first weights, see `zoo.blocks.initialization.initialize`.

    Shapes:
        x: [N, in_channels], unscaled; h: [N, out_channels], in units of the targets' deviation.
    """

    task: ClassVar[str] = "tabular-regression"
    learns_from: ClassVar[tuple[str, ...]] = ("table",)
    finetune_lr: ClassVar[float] = 1e-2
    mean: Tensor
    scale: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        hidden: tuple[int, ...] = (64,),
        activation: Activation = "sigmoid",
        dropout: float = 0.0,
        loss: str = "mse",
        level: float = 0.5,
        start: Start = "default",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise InputError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        if loss not in REGRESSION_LOSSES:
            raise InputError(f"loss must be one of {', '.join(REGRESSION_LOSSES)}, not {loss!r}")
        if not 0 < level < 1:
            raise InputError(f"level must be between 0 and 1, not {level!r}")
        self.save_hyperparameters()
        layers: list[nn.Module] = []
        width = check_count(in_channels, "in_channels")
        for units in hidden:
            check_count(units, "a hidden layer's width")
            layers += [nn.Linear(width, units), ACTIVATIONS[activation](), nn.Dropout(dropout)]
            width = units
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, check_count(out_channels, "out_channels"))
        initialize(self, start)
        for name, size in (("", in_channels), ("target_", out_channels)):
            self.register_buffer(f"{name}mean", torch.zeros(size))
            self.register_buffer(f"{name}scale", torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body((x - self.mean) / self.scale))

    def value(self, h: Tensor) -> Tensor:
        """Outputs [N, out_channels] in the targets' own unit."""
        return h.exp() if self.hparams["loss"] == "poisson" else h * self.target_scale + self.target_mean

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def predict(self, x: Tensor) -> Tensor:
        """The answer for each row of numbers [N, in_channels], [N, out_channels], or for one row, [out_channels].

        Raises:
            InputError: for another width, or values that aren't finite.
        """
        rows = self._rows(x)
        y = self.value(self(rows))
        return y if torch.as_tensor(x).ndim == 2 else y[0]

    def predict_spread(self, x: Tensor, samples: int = 100, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Mean and deviation [N, out_channels] of the answers while units keep dropping, see `zoo.blocks.dropout`.

        Raises:
            InputError: for a network without dropout.
        """
        dropouts(self)
        draws = monte_carlo(self, self._rows(x), samples, seed=seed, call=lambda rows: self.value(self(rows)))
        return draws.mean(0), draws.std(0)

    def _rows(self, x: Tensor) -> Tensor:
        x = torch.as_tensor(x, dtype=torch.float32, device=self.device)
        rows = x if x.ndim == 2 else x[None]
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise InputError(f"x has {len(self.mean)} numbers a row, not shape {list(x.shape)}")
        if not torch.isfinite(rows).all():
            raise InputError("x holds NaN or infinite values: clean it before the call")
        return rows

    # Training --------------------------------------------------------------------------------------------------------

    def standardise(self, x: Tensor, y: Tensor) -> None:
        """Keep the mean and deviation of features [N, in_channels] and targets [N, out_channels]."""
        self.mean.copy_(x.mean(0))
        self.scale.copy_(x.std(0).clamp(min=1e-12))
        if self.hparams["loss"] != "poisson":  # counts keep their scale
            self.target_mean.copy_(y.mean(0))
            self.target_scale.copy_(y.std(0).clamp(min=1e-12))

    @torch.no_grad()
    def solve(self, x: Tensor, y: Tensor) -> "RegressionMLP":
        """Set the weights of a linear model to those with the least squared error, without training.

        Raises:
            InputError: if there are hidden layers or another loss.
        """
        if len(self.body) or self.hparams["loss"] != "mse":
            raise InputError('only a linear model with squared errors has a closed form: hidden=(), loss="mse"')
        self.standardise(x, y)
        inputs = torch.cat([(x - self.mean) / self.scale, torch.ones(len(x), 1)], 1).double()
        solution = torch.linalg.lstsq(inputs, ((y - self.target_mean) / self.target_scale).double()).solution
        self.head.weight.copy_(solution[:-1].T)
        self.head.bias.copy_(solution[-1])
        return self

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data: TargetData | None = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and data is not None and hasattr(data, "part"):
            self.standardise(*data.part("train"))

    def adapt_to(self, data: ColumnData) -> None:
        """Fresh first tensors for another number of features.

        Raises:
            InputError: for a target of classes.
        """
        if data.classes:
            raise InputError(
                f"{self.name or type(self).__name__} predicts a quantity, the target {data.target} has the classes "
                f"{', '.join(map(str, data.classes[:6]))}: take a classifier, such as perceptron-iris, or task=regression"
            )
        x, y = data.part("train")
        if (x.shape[1], y.shape[1]) != (len(self.mean), len(self.target_mean)):
            self.take_fresh(in_channels=x.shape[1], out_channels=y.shape[1])

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        target = (y - self.target_mean) / self.target_scale
        loss = regression_loss(self.hparams["loss"], self(x), target, level=self.hparams["level"])
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "test")

    def _measure(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        x, y = labelled(batch)
        error = self.value(self(x)) - y
        values = {f"{split}/mse": error.square().mean(), f"{split}/mae": error.abs().mean()}
        self.log_dict(values, batch_size=len(error))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: TableData) -> list[dict[str, Any]]:
        """Root mean squared and mean absolute error, and the error of the closed form of linear regression beside them."""
        (x, y), n = data.part("test"), data.splits
        linear = RegressionMLP(x.shape[1], y.shape[1], hidden=()).solve(*data.part("train"))
        error, baseline = self.predict(x) - y, linear.predict(x) - y
        how = f"{len(x)} test rows of a split, float32; the seeds are the first of the {n} published splits, last epoch"
        values = {
            "rmse": (error.square().mean().sqrt(), how),
            "mae": (error.abs().mean(), how),
            "rmse_least_squares": (
                baseline.square().mean().sqrt(),
                "the same by linear regression in closed form, on the same split",
            ),
        }
        return [entry(data, "test", metric, value, text, better="lower") for metric, (value, text) in values.items()]

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {"input": self.mean + self.scale * torch.randn(16, len(self.mean), generator=generator)}

    def preview(self, path: Path) -> Path | None:
        """Measured against predicted on the test part, and what each feature does: a weight, or a curve."""
        if self.data is None:
            return None
        from zoo.api import datamodule

        data: Any = datamodule(self.data["name"], **self.data["init"])
        import matplotlib

        matplotlib.use("Agg", force=False)
        from matplotlib.figure import Figure

        x, y = data.part("test")
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.axline((float(y.mean()),) * 2, slope=1, color="0.7", lw=1)
        if len(self.body) and self.hparams["dropout"]:
            mean, spread = self.predict_spread(x)
            left.errorbar(
                y[:, 0], mean[:, 0], 2 * spread[:, 0], fmt="o", ms=3, lw=0.7, label="± 2 deviations of dropout"
            )
            left.legend(frameon=False, fontsize=8)
        else:
            left.plot(y[:, 0], self.predict(x)[:, 0], "o", ms=3)
        left.set(
            xlabel=verbatim(f"measured {data.target} ({data.unit})"),
            ylabel=verbatim(f"predicted ({data.unit})"),
            title="test part",
        )
        if not len(self.body):
            right.barh(
                [verbatim(name) for name in data.features],
                (self.head.weight[0] * self.target_scale[0]).detach().numpy(),
            )
            right.set(title=verbatim(f"{data.unit} per deviation of the feature"))
        else:
            # outside of what it knows it only extends lines
            known, share = (data.part("train")[0], torch.linspace(0.05, 0.95, 41))
            for number, name in enumerate(data.features):
                rows = known.median(0).values.repeat(41, 1)
                rows[:, number] = known[:, number].quantile(share)
                right.plot(100 * share, self.predict(rows)[:, 0], label=verbatim(name), color=f"C{number}")
            right.set(
                xlabel="percentile of the feature, others at their medians",
                ylabel=verbatim(data.unit),
                title="one feature at a time",
            )
            right.legend(frameon=False, fontsize=7)
        write_figure(path, figure, dpi=90)
        return path
