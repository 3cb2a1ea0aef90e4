"""The network that doesn't look at the graph: a multi-layer perceptron on each node's own features.

    logits_i = W_2 σ( W_1 x_i + b_1 ) + b_2

Whatever a graph network gains over it, it gains from the edges.

Departures from the papers that use it as a baseline: none.
"""

from typing import ClassVar

from torch import Tensor, nn

from zoo.models.graphs.node import NodeClassifier, dropout


class NodeMLP(NodeClassifier):
    """Two-layer perceptron for the nodes of one graph; it takes edges as the others do and ignores them.

    Args:
        num_classes, in_channels: see NodeClassifier.
        hidden_dim: width of the first layer.
        dropout: before every layer.
        normalize_features, lr, weight_decay: see NodeClassifier.

    Shapes:
        x: [N, in_channels], dense or sparse CSR; edge_index: [2, E]; logits: [N, num_classes].
    """

    reads: ClassVar[tuple[str, ...]] = ("edge_weight", "edge_attr")  # it ignores edges, and these with them

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1433,
        *,
        hidden_dim: int = 16,
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
        self.input = nn.Linear(in_channels, hidden_dim)
        self.head = nn.Linear(hidden_dim, num_classes)

    def features(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Hidden state of every node before the last layer, [N, hidden_dim]."""
        return self.input(dropout(x, self.dropout, self.training)).relu()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.head(dropout(self.features(x, edge_index), self.dropout, self.training))
