"""Graph isomorphism network (Xu, Hu, Leskovec and Jegelka, 2019, arXiv:1810.00826).

A mean or a maximum over neighbours can't count them; a sum can. With a perceptron after it, a layer separates whatever the
Weisfeiler-Lehman test separates:

    h'_i = MLP( (1 + ε) h_i + Σ_{j in N(i)} h_j ),      graph:  sum over nodes, all layers side by side

Departures from the paper: ε is zero and not trained (its GIN-0), the raw features are left out of the readout, dropout
acts on the readout alone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GINConv, global_add_pool

from zoo.models.graphs.graph import GraphClassifier


class GIN(GraphClassifier):
    """Graph isomorphism network for whole graphs.

    Args:
        num_classes: number of classes.
        in_channels: features per node.
        hidden_dim: width of all layers.
        num_layers: rounds of message passing, each with a perceptron of two layers.
        dropout: of the readout.

    Shapes:
        x: [nodes, in_channels]; edge_index: [2, edges]; batch: [nodes] or None for one graph; logits: [graphs, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 2,
        in_channels: int = 7,
        *,
        hidden_dim: int = 32,
        num_layers: int = 4,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(num_classes, in_channels)
        self.save_hyperparameters()
        self.dropout = dropout
        self.input = GINConv(perceptron(in_channels, hidden_dim))
        self.hidden = nn.ModuleList(GINConv(perceptron(hidden_dim, hidden_dim)) for _ in range(num_layers - 1))
        self.head = nn.Linear(num_layers * hidden_dim, num_classes)

    def states(self, data: Data) -> Tensor:
        """All layers' states of every node, [nodes, num_layers * hidden_dim]."""
        return self._states(data.x, data.edge_index)

    def readout(self, states: Tensor, data: Data) -> Tensor:
        """Sum over the nodes of each graph, [graphs, num_layers * hidden_dim]."""
        return global_add_pool(states, data.batch)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        summed = global_add_pool(self._states(x, edge_index), batch)
        return self.head(F.dropout(summed, self.dropout, self.training))

    def _states(self, x: Tensor, edge_index: Tensor) -> Tensor:
        states = [self.input(x, edge_index)]
        for layer in self.hidden:
            states.append(layer(states[-1], edge_index))
        return torch.cat(states, 1)


def perceptron(in_features: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_features, width),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.BatchNorm1d(width),
        nn.ReLU(),
    )
