"""Graph attention network (Veličković et al., 2018, arXiv:1710.10903).

The weights of the average over neighbours are learned: K heads score every edge from the two states that it joins,

    α_ij = softmax_j LeakyReLU( a_dst · W h_i + a_src · W h_j ),   h'_i = ELU( Σ_j α_ij W h_j + b )

with j over i and its neighbours; the first layer concatenates its heads, the last averages them.

Departures from the paper: weight decay acts on the first layer alone, and the epoch is chosen by validation accuracy out of a
fixed number, for early stopping with a patience of 100.
"""

from torch import Tensor
from torch.nn import functional as F
from torch_geometric.nn import GATConv

from zoo.core.verbs import verb
from zoo.models.graphs.node import NodeClassifier, dropout


class GAT(NodeClassifier):
    """Two-layer graph attention network for the nodes of one graph.

    Args:
        num_classes, in_channels: see NodeClassifier.
        hidden_dim: width of one head of the first layer.
        heads, out_heads: attention heads of the first and the last layer.
        dropout: before every layer, and of the attention weights.
        normalize_features, lr, weight_decay: see NodeClassifier.

    Shapes:
        x: [N, in_channels], dense or sparse CSR; edge_index: [2, E]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1433,
        *,
        hidden_dim: int = 8,
        heads: int = 8,
        out_heads: int = 1,
        dropout: float = 0.6,
        normalize_features: bool = True,
        lr: float = 0.005,
        weight_decay: float = 5e-4,
    ) -> None:
        super().__init__(
            num_classes, in_channels, normalize_features=normalize_features, lr=lr, weight_decay=weight_decay
        )
        self.save_hyperparameters()
        self.dropout = dropout
        self.input = GATConv(in_channels, hidden_dim, heads=heads, dropout=dropout)
        self.head = GATConv(hidden_dim * heads, num_classes, heads=out_heads, concat=False, dropout=dropout)

    def features(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Hidden state of every node before the last layer, [N, heads * hidden_dim]."""
        return F.elu(self.input(dropout(x, self.dropout, self.training), edge_index))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.head(dropout(self.features(x, edge_index), self.dropout, self.training), edge_index)

    @verb
    def attention(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        """Edges with loops [2, E + N] and the first layer's attention on them, [E + N, heads]."""
        edges, weight = self.input(x, edge_index, return_attention_weights=True)[1]
        return edges, weight
