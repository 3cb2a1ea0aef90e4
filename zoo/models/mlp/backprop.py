"""Backpropagation written out by hand on the smallest network that needs it: 2-2-1 sigmoids for exclusive or.

For an input x with target t, forwards and back (after Rumelhart, Hinton and Williams, 1986, "Learning representations by
back-propagating errors", in the steps of Fausett, 1994), with σ' = σ (1 - σ):

    z = σ(x V + v₀),  y = σ(z W + w₀),  E = ½ Σ (t - y)²
    δ = (t - y) σ'(y_in)                 what the output should change        ΔW = α zᵀδ,  Δw₀ = α Σ δ
    δ̂ = (δ Wᵀ) σ'(z_in)                  the same, carried back through W     ΔV = α xᵀδ̂,  Δv₀ = α Σ δ̂

Nothing here calls autograd: the update is handed to the optimiser as a gradient, and a test compares the two. An update is zero
wherever one of its factors is: a hidden unit that saturates (σ' near 0) or that has no effect (W near 0) learns nothing. So
the first weights are small but not zero: from larger ones the 2-2-1 network more often ends in one of its local minima.

Departures from the paper: none but the size; the four patterns make one batch, or single steps with a batch size of 1.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.files import write_figure
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError


class BackpropMLP(ZooModule):
    """One hidden layer of sigmoids, trained by hand-written gradients; 9 parameters with the default arguments.

    Args:
        in_channels: number of inputs.
        hidden_dim: number of hidden units.
        init: first weights are uniform in [-init, init].

    Shapes:
        x: [N, in_channels]; y: [N, 1] in (0, 1).
    """

    task: ClassVar[str] = "tabular-classification"

    def __init__(self, in_channels: int = 2, hidden_dim: int = 2, *, init: float = 0.5) -> None:
        super().__init__()
        check_count(in_channels, "in_channels")
        check_count(hidden_dim, "hidden_dim")
        if not init > 0:
            raise InputError(f"init must be above 0, not {init!r}: equal weights would stay equal for ever")
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.first = nn.Linear(in_channels, hidden_dim)  # V and v₀
        self.head = nn.Linear(hidden_dim, 1)  # W and w₀
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -init, init)

    def hidden(self, x: Tensor) -> Tensor:
        """Hidden activations z [N, hidden_dim]."""
        return torch.sigmoid(self.first(x))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.hidden(x)))

    @torch.no_grad()
    def backward_by_hand(self, x: Tensor, t: Tensor) -> Tensor:
        """Set every parameter's gradient of E for inputs x [N, in_channels] and targets t [N, 1]; returns E."""
        z = self.hidden(x)  # [N, hidden_dim]
        y = torch.sigmoid(self.head(z))  # [N, 1]
        delta = (t - y) * y * (1 - y)  # [N, 1]
        delta_hidden = (delta @ self.head.weight) * z * (1 - z)  # [N, hidden_dim]
        self.head.weight.grad, self.head.bias.grad = -delta.T @ z, -delta.sum(0)
        self.first.weight.grad, self.first.bias.grad = -delta_hidden.T @ x, -delta_hidden.sum(0)
        return 0.5 * (t - y).square().sum()

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def predict(self, x: Tensor) -> list[int]:
        """The bit for each row of inputs [N, in_channels], or for one row.

        Raises:
            InputError: for another width, or values that aren't finite.
        """
        x = torch.as_tensor(x, dtype=torch.float32, device=self.device)
        rows = x if x.ndim == 2 else x[None]
        if rows.ndim != 2 or rows.shape[1] != self.first.in_features:
            raise InputError(f"x has {self.first.in_features} numbers a row, not shape {list(x.shape)}")
        if not torch.isfinite(rows).all():
            raise InputError("x holds NaN or infinite values: clean it before the call")
        return (self(rows)[:, 0] > 0.5).int().tolist()

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, t = labelled(batch)
        optimizer: Any = self.optimizers()
        loss = self.backward_by_hand(x, t.reshape(-1, 1).to(x.dtype))
        optimizer.step()
        self.log_train(loss=loss)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, t = labelled(batch)
        right = (self(x)[:, 0] > 0.5) == (t > 0.5)
        self.log("test/accuracy", right.float().mean(), batch_size=len(t))
        self.log("test/sse", (self(x)[:, 0] - t).square().sum(), batch_size=len(t))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain steps of α = 2, where the recipe names none."""
        return torch.optim.SGD(self.parameters(), lr=2.0)

    # What a checkpoint needs to know ---------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"input": torch.rand(16, self.first.in_features, generator=torch.Generator().manual_seed(0))}

    def preview(self, path: Path) -> Path | None:
        """The output over the unit square, with the lines where the hidden units are undecided."""
        if self.first.in_features != 2:
            return None
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib.figure import Figure

        side = torch.linspace(-0.25, 1.25, 101)
        grid = torch.cartesian_prod(side, side)  # [101², 2]
        with torch.no_grad():
            output = self(grid).reshape(101, 101).T
        figure = Figure(figsize=(4.4, 3.8), layout="constrained")
        axis = figure.subplots()
        extent = (-0.25, 1.25, -0.25, 1.25)
        image = axis.imshow(
            output.numpy(), origin="lower", extent=extent, vmin=0, vmax=1, cmap="coolwarm", aspect="equal"
        )
        for a, b, c in zip(*self.first.weight.detach().T, self.first.bias.detach(), strict=True):
            axis.axline((0.0, float(-c / b)), slope=float(-a / b), color="black", lw=1)
        for i in (0, 1):
            for j in (0, 1):
                axis.text(i, j, str(i ^ j), ha="center", va="center", fontsize=14, fontweight="bold")
        axis.set(
            xlim=extent[:2], ylim=extent[2:], xlabel="x₁", ylabel="x₂", title="output, and the two hidden units' lines"
        )
        figure.colorbar(image)
        write_figure(path, figure, dpi=100)
        return path
