"""GRAND, graph random neural network (Feng et al., 2020, arXiv:2005.11079): consistency regularisation on a graph.

With twenty labels a class, most of the graph is unlabelled. Each step draws S views of it, in which whole nodes are silent
(DropNode), spreads what is left over K hops, and asks the same perceptron for the same prediction of a node in all of them:

    X_s = 1/(K+1) Σ_{k=0..K} Â^k · DropNode(X),     loss = mean_s CE(labelled) + λ mean_s Σ_i ‖ sharpen(mean_s' p_i) - p_i^s ‖²

Departures from the paper: the first linear map goes before the hops, with which it commutes (32 numbers travel along an edge
for 1433), so dropout of the input acts before the hops too, with one draw for all views; the epoch is chosen by validation
accuracy out of a fixed number, for a patience of 200.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from zoo.models.graphs.inputs import own_mask
from zoo.models.graphs.node import NodeClassifier, dropout


class GRAND(NodeClassifier):
    """A two-layer perceptron on features spread over several hops, trained to agree with itself.

    Args:
        num_classes, in_channels: see NodeClassifier.
        hidden_dim: width of the first layer.
        hops: K, how far features spread.
        views: S, views of the graph per step.
        drop_node: probability that a node is silent in a view.
        consistency: λ, weight of the agreement.
        temperature: below 1, the agreed distribution is sharpened towards its largest class.
        input_dropout, dropout: of the features and of the hidden state.
        normalize_features, lr, weight_decay: see NodeClassifier; here the decay acts on all layers.

    Shapes:
        x: [N, in_channels], dense or sparse CSR; edge_index: [2, E]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 7,
        in_channels: int = 1433,
        *,
        hidden_dim: int = 32,
        hops: int = 8,
        views: int = 4,
        drop_node: float = 0.5,
        consistency: float = 1.0,
        temperature: float = 0.5,
        input_dropout: float = 0.5,
        dropout: float = 0.5,
        normalize_features: bool = True,
        lr: float = 0.01,
        weight_decay: float = 5e-4,
    ) -> None:
        super().__init__(
            num_classes, in_channels, normalize_features=normalize_features, lr=lr, weight_decay=weight_decay
        )
        self.save_hyperparameters()
        self.hops, self.views, self.drop_node = hops, views, drop_node
        self.consistency, self.temperature = consistency, temperature
        self.input_dropout, self.dropout = input_dropout, dropout
        self.input = nn.Linear(in_channels, hidden_dim)
        self.head = nn.Linear(hidden_dim, num_classes)

    def spread(self, h: Tensor, edge_index: Tensor) -> Tensor:
        """Mean of h [N, D] and of what K rounds of GCN averaging make of it."""
        edges, weight = gcn_norm(edge_index, None, h.shape[0], dtype=h.dtype)
        rows = EdgeIndex(edges.flip(0).contiguous(), sparse_size=(h.shape[0], h.shape[0])).sort_by("row")
        average, weight, total = rows.values, weight[rows.indices], h  # row i: whom node i hears
        for _ in range(self.hops):
            h = average.matmul(h, input_value=weight)  # a sparse product: a quarter of the time of gather and scatter
            total = total + h
        return total / (self.hops + 1)

    def features(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Hidden state of every node before the last layer, [N, hidden_dim]; no node is silent."""
        mapped = F.linear(x, self.input.weight)  # the bias follows the hops: it is no one's feature
        return (self.spread(mapped, edge_index) + self.input.bias).relu()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.head(self.features(x, edge_index))

    def view_logits(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of S random views, [S, N, num_classes]; all views travel the edges side by side."""
        mapped = F.linear(dropout(x, self.input_dropout, True), self.input.weight)[:, None]  # [N, 1, D]
        heard = (torch.rand(x.shape[0], self.views, 1, device=x.device) >= self.drop_node) / (1 - self.drop_node)
        spread = self.spread((heard * mapped).flatten(1), edge_index).unflatten(1, (self.views, -1))  # [N, S, D]
        h = (spread + self.input.bias).relu()
        return self.head(F.dropout(h, self.dropout)).transpose(0, 1)

    def loss(self, data: Data) -> Tensor:
        logits = self.view_logits(data.x, data.edge_index)  # [S, N, C]
        mask = own_mask(data.train_mask, data)
        supervised = F.cross_entropy(logits[:, mask].flatten(0, 1), data.y[mask].repeat(self.views))
        p = logits.softmax(2)
        agreed = p.mean(0).detach() ** (1 / self.temperature)
        agreed = agreed / agreed.sum(1, keepdim=True)
        return supervised + self.consistency * (p - agreed).square().sum(2).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.lr is not None
        return torch.optim.Adam(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
