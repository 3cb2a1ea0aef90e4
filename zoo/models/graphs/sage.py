"""GraphSAGE with mean aggregation (Hamilton, Ying and Leskovec, 2017, arXiv:1706.02216).

A node keeps its own state apart from the mean of its neighbours: two linear maps, one for each,

    h'_i = σ( W_1 h_i + W_2 · mean_{j in N(i)} h_j + b )

so that the same weights work on nodes and graphs that training never saw.

Departures from the paper: whole neighbourhoods for samples of 25 and 10 neighbours (the graphs fit in memory), no
normalisation to unit length between layers, and dropout. The mean follows its linear map where the paper has it first: both
orders give the same state, and this one moves 64 numbers along an edge for 1433.
"""

from torch import Tensor, nn
from torch_geometric.nn import SimpleConv

from zoo.models.graphs.node import NodeClassifier, dropout


class SAGELayer(nn.Module):
    """One GraphSAGE layer with mean aggregation: the function of PyG's SAGEConv, mapping before it averages."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.own = nn.Linear(in_channels, out_channels)
        self.neighbours = nn.Linear(in_channels, out_channels, bias=False)
        self.mean = SimpleConv(aggr="mean")

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.own(x) + self.mean(self.neighbours(x), edge_index)  # [N, out_channels]


class SAGE(NodeClassifier):
    """Two-layer GraphSAGE for the nodes of one graph.

    Args:
        num_classes, in_channels: see NodeClassifier.
        hidden_dim: width of the first layer.
        dropout: before every layer.
        normalize_features, lr, weight_decay: see NodeClassifier.

    Shapes:
        x: [N, in_channels], dense or sparse CSR; edge_index: [2, E]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1433,
        *,
        hidden_dim: int = 64,
        dropout: float = 0.5,
        normalize_features: bool = True,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
    ) -> None:
        super().__init__(
            num_classes, in_channels, normalize_features=normalize_features, lr=lr, weight_decay=weight_decay
        )
        self.save_hyperparameters()
        self.dropout = dropout
        self.input = SAGELayer(in_channels, hidden_dim)
        self.head = SAGELayer(hidden_dim, num_classes)

    def features(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Hidden state of every node before the last layer, [N, hidden_dim]."""
        return self.input(dropout(x, self.dropout, self.training), edge_index).relu()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.head(dropout(self.features(x, edge_index), self.dropout, self.training), edge_index)
