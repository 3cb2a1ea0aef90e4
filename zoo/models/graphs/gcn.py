"""Graph convolutional network (Kipf and Welling, 2017, arXiv:1609.02907).

A node's next state is an average over itself and its neighbours, weighted by both degrees, of linearly mapped states:

    H' = σ( D^-1/2 (A + I) D^-1/2 · H W + b ),   D = degrees of A + I

Two such layers let a label reach two hops. With the bias outside the average, as PyG has it, a node's state doesn't
depend on its degree through b. More layers average ever larger neighbourhoods until all nodes look alike (over-smoothing).

Departures from the paper: the epoch is chosen by validation accuracy out of all of them, for early stopping on the
validation loss.
"""

from typing import Any, ClassVar

from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from zoo.models.graphs.node import NodeClassifier, dropout


class GCN(NodeClassifier):
    """Graph convolutional network for the nodes of one graph.

    Args:
        num_classes, in_channels: see NodeClassifier.
        hidden_dim: width of all layers but the last.
        num_layers: graph convolutions; a node sees so many hops.
        dropout: before every layer.
        normalize_features, lr, weight_decay: see NodeClassifier.

    Shapes:
        x: [N, in_channels], dense or sparse CSR; edge_index: [2, E]; edge_weight: [E] or None; logits: [N, num_classes].
    """

    reads: ClassVar[tuple[str, ...]] = ("edge_weight",)

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1433,
        *,
        hidden_dim: int = 16,
        num_layers: int = 2,
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
        # the weights of the average are the same in all layers: computed once per pass, in `average`
        self.input = GCNConv(in_channels, hidden_dim, normalize=False)
        self.hidden = nn.ModuleList(
            GCNConv(hidden_dim, hidden_dim, normalize=False) for _ in range(max(0, num_layers - 2))
        )
        self.head = GCNConv(hidden_dim, num_classes, normalize=False)

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        said = "The same network and weights as PyG's own GCN, for the same features and edges:"
        return [(said, "from zoo.models.layouts import to_pyg\n\nnet = to_pyg(model)")]

    def average(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Edges with loops [2, E + N] and their weights 1 / sqrt(deg_i · deg_j), [E + N]."""
        return gcn_norm(edge_index, edge_weight, x.shape[0], dtype=self.head.lin.weight.dtype)

    def features(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Hidden state of every node before the last layer, [N, hidden_dim]."""
        return self._hidden(x, *self.average(x, edge_index, edge_weight))

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        edges, weight = self.average(x, edge_index, edge_weight)
        h = self._hidden(x, edges, weight)  # [N, hidden_dim]
        return self.head(dropout(h, self.dropout, self.training), edges, weight)

    def logits(self, data: Data) -> Tensor:
        return self(data.x, data.edge_index, data.edge_weight)

    def states(self, data: Data) -> Tensor:
        return self.features(data.x, data.edge_index, data.edge_weight)

    def _hidden(self, x: Tensor, edges: Tensor, weight: Tensor) -> Tensor:
        h = self.input(dropout(x, self.dropout, self.training), edges, weight).relu()
        for layer in self.hidden:
            h = layer(dropout(h, self.dropout, self.training), edges, weight).relu()
        return h
