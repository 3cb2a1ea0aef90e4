"""Message passing network on molecules (Gilmer et al., 2017, arXiv:1704.01212): the general layer, spelled out.

Every graph network of this folder is a choice of three functions in

    h'_i = γ( h_i,  AGG_{j in N(i)} φ( h_i, h_j, e_ji ) )

Here they are learned or plain: φ a perceptron on both states and the bond, AGG a sum, mean or maximum, γ a gated recurrent cell
that is the same in every round. The molecule's number is read off the sum of its atoms' states, so it may grow with the molecule.

Departures from the paper: φ sees both atoms and the bond where the paper's edge network makes a matrix of the bond alone, and
a perceptron on the sum reads out for set2set.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn import MessagePassing, global_add_pool

from datamodules.formats.smiles import ATOM_FEATURES, BOND_FEATURES, from_smiles
from zoo.core.data import GraphData
from zoo.core.drawing import verbatim
from zoo.core.files import write_figure
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.graphs.inputs import check_edges
from zoo.models.graphs.model import GraphModel


class Round(MessagePassing):
    """One round of message passing with φ a perceptron and γ a gated recurrent cell."""

    def __init__(self, width: int, edge_features: int, aggregation: str) -> None:
        super().__init__(aggr=aggregation)
        self.phi = nn.Sequential(nn.Linear(2 * width + edge_features, width), nn.ReLU(), nn.Linear(width, width))
        self.gamma = nn.GRUCell(width, width)

    def forward(self, h: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.gamma(self.propagate(edge_index, h=h, edge_attr=edge_attr), h)  # [atoms, width]

    def message(self, h_i: Tensor, h_j: Tensor, edge_attr: Tensor) -> Tensor:
        return self.phi(torch.cat([h_i, h_j, edge_attr], 1))  # [bonds, width]


class MPNN(GraphModel):
    """Message passing network for one number per graph.

    Args:
        in_channels: features per atom.
        hidden_dim: width of the states.
        edge_channels: features per bond.
        rounds: of message passing, all with the same weights.
        aggregation: "sum", "mean" or "max" of the messages.
        dropout: of the readout.

    Shapes:
        x: [atoms, in_channels]; edge_index: [2, bonds]; edge_attr: [bonds, edge_channels]; batch: [atoms] or None;
        value: [graphs], in units of the target's deviation in training.
    """

    use: ClassVar[str] = 'print(model.predict(["CCO", "c1ccccc1"]))  # log10 of mol/l: SMILES, or PyG graphs'

    learns_from: ClassVar[tuple[str, ...]] = ("molecules",)
    target_mean: Tensor
    target_scale: Tensor

    reads: ClassVar[tuple[str, ...]] = ("edge_attr",)

    def __init__(
        self,
        in_channels: int = ATOM_FEATURES,
        hidden_dim: int = 64,
        *,
        edge_channels: int = BOND_FEATURES,
        rounds: int = 4,
        aggregation: str = "sum",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if aggregation not in ("sum", "mean", "max"):
            raise InputError(f"aggregation is sum, mean or max, not {aggregation!r}")
        self.in_channels, self.rounds, self.edge_channels = in_channels, rounds, edge_channels
        self.input = nn.Linear(in_channels, hidden_dim)
        self.round = Round(hidden_dim, edge_channels, aggregation)
        self.head = nn.Sequential(
            nn.Linear(2 * hidden_dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, 1)
        )
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_scale", torch.ones(()))

    def setup(self, stage: str) -> None:
        """Take the target's mean and deviation over from the training split."""
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and data is not None:
            y = torch.cat([graph.y for graph in data.part("train")])
            self.target_mean.copy_(y.mean())
            self.target_scale.copy_(y.std())

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor | None = None) -> Tensor:
        return self.head(global_add_pool(self._states(x, edge_index, edge_attr), batch)).squeeze(1)

    # Verbs -----------------------------------------------------------------------------------------------------------

    def prepare(self, data: Data | str | list[str]) -> Data:
        """A checked graph of a PyG `Data`, a `Batch`, a SMILES string or a list of them."""
        if isinstance(data, str):
            data = from_smiles(data)
        elif isinstance(data, list) and all(isinstance(one, str) for one in data) and data:
            data = Batch.from_data_list([from_smiles(one) for one in data])
        data = super().prepare(data)
        edges = data.edge_index.shape[1]
        if data.edge_attr is None or tuple(data.edge_attr.shape) != (edges, self.edge_channels):
            found = None if data.edge_attr is None else list(data.edge_attr.shape)
            raise InputError(f"data.edge_attr is [{edges}, {self.edge_channels}], a row per edge, not {found}")
        return data

    def predict_step(self, batch: Data, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """What `trainer.predict` collects: the number of every graph, in the target's own unit."""
        return self.predict(batch)

    @verb
    def predict(self, data: Data | str | list[str]) -> Tensor:
        """The number of every graph, [graphs], in the target's own unit; takes graphs and SMILES strings."""
        data = self.prepare(data)
        return self(data.x, data.edge_index, data.edge_attr, data.batch) * self.target_scale + self.target_mean

    def states(self, data: Data) -> Tensor:
        """The last round's state of every atom beside its first, [atoms, 2 * hidden_dim]."""
        return self._states(data.x, data.edge_index, data.edge_attr)

    def readout(self, states: Tensor, data: Data) -> Tensor:
        """Sum over the atoms of each molecule, [graphs, 2 * hidden_dim]."""
        return global_add_pool(states, data.batch)

    def _states(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        first = h = self.input(x).relu()
        for _ in range(self.rounds):
            h = self.round(h, edge_index, edge_attr)
        return torch.cat([h, first], 1)

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, data: Batch, batch_idx: int) -> Tensor:
        check_edges(data.edge_index, data.num_nodes)
        loss = F.huber_loss(self._scaled(data), (data.y - self.target_mean) / self.target_scale)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, data: Batch, batch_idx: int) -> None:
        self._measure(data, "val")

    def test_step(self, data: Batch, batch_idx: int) -> None:
        self._measure(data, "test")

    def _measure(self, data: Batch, split: str) -> None:
        error = self._scaled(data) * self.target_scale + self.target_mean - data.y
        values = {f"{split}/mse": error.square().mean(), f"{split}/mae": error.abs().mean()}
        self.log_dict(values, batch_size=data.num_graphs)

    def _scaled(self, data: Batch) -> Tensor:
        return self(data.x, data.edge_index, data.edge_attr, data.batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: GraphData) -> list[dict[str, Any]]:
        """Root mean squared and mean absolute error in the target's unit."""
        entries = self.test_entries(data, {"rmse": ("mse", data.protocol), "mae": ("mae", data.protocol)})
        return [{**e, "value": e["value"] ** 0.5} if e["metric"] == "rmse" else e for e in entries]

    def golden_inputs(self) -> dict[str, Tensor]:
        """A ring of five atoms with a tail of two, features of a fixed draw."""
        ends = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [4, 5], [5, 6]]).T
        generator = torch.Generator().manual_seed(0)
        x, bonds = (
            torch.rand(7, self.in_channels, generator=generator),
            torch.rand(7, self.edge_channels, generator=generator),
        )
        return {"x": x, "edge_index": torch.cat([ends, ends.flip(0)], 1), "edge_attr": bonds.repeat(2, 1)}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, edge_index, edge_attr = inputs["x"], inputs["edge_index"], inputs["edge_attr"]
        value = self(x, edge_index, edge_attr) * self.target_scale + self.target_mean
        return {"value": value, "states": self._states(x, edge_index, edge_attr)}

    def preview(self, path: Path) -> Path | None:
        """Measured against predicted for the test molecules."""
        if (module := self.paired_data()) is None:
            return None
        import matplotlib

        matplotlib.use("Agg", force=False)
        from matplotlib.figure import Figure

        batch = Batch.from_data_list(module.part("test"))
        figure = Figure(figsize=(4.5, 4.5), layout="constrained")
        axis = figure.subplots()
        axis.axline((0, 0), slope=1, color="0.7", linewidth=1)
        axis.scatter(batch.y, self.predict(batch), s=14, alpha=0.7, linewidths=0)
        axis.set(xlabel=verbatim(f"measured {module.unit}"), ylabel="predicted", title="test molecules")
        write_figure(path, figure, dpi=90)
        return path
