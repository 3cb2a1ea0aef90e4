"""Dynamic graph convolution on point sets (Wang et al., 2019, arXiv:1801.07829): EdgeConv, the graph drawn anew in every layer.

A set of points has no edges. Each layer joins every point with the k nearest in its current state space and reads the edges,

    h'_i = max_{j in kNN(i)} MLP( h_i ‖ h_j - h_i )

so the first layer sees strokes, and later ones join points that mean the same however far apart they lie.

Departures from the paper: three layers of one width for four of growing widths, the readout joins maximum and mean, no alignment
network. A point is its own nearest neighbour; it is left out.
"""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import EdgeConv, global_max_pool, global_mean_pool
from torch_geometric.utils import to_dense_batch

from zoo.models.graphs.graph import GraphClassifier
from zoo.models.graphs.inputs import check_batch, check_features


class DGCNN(GraphClassifier):
    """Dynamic graph CNN for sets of points.

    Args:
        num_classes: number of classes.
        in_channels: numbers per point, coordinates and what else is known of it.
        hidden_dim: width of the layers.
        num_layers: EdgeConv layers.
        neighbours: k, points that a point is joined with.
        dropout: of the readout.

    Shapes:
        x: [points, in_channels]; batch: [points] or None for one set; logits: [sets, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        hidden_dim: int = 32,
        num_layers: int = 3,
        neighbours: int = 8,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(num_classes, in_channels)
        self.save_hyperparameters()
        self.neighbours = neighbours
        self.input = EdgeConv(perceptron(2 * in_channels, hidden_dim), aggr="max")
        self.hidden = nn.ModuleList(
            EdgeConv(perceptron(2 * hidden_dim, hidden_dim), aggr="max") for _ in range(num_layers - 1)
        )
        width = num_layers * hidden_dim
        self.neck = nn.Sequential(nn.Linear(2 * width, 2 * hidden_dim), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(2 * hidden_dim, num_classes)

    def prepare(self, data: Data) -> Data:
        """A checked set of points on the model's device; edges aren't needed."""
        check_features(getattr(data, "x", None), self.in_channels)
        check_batch(data)
        return data.to(str(self.device))

    def states(self, data: Data) -> Tensor:
        """All layers' states of every point, [points, num_layers * hidden_dim]."""
        return self._states(data.x, data.batch)

    def logits(self, data: Data) -> Tensor:
        return self(data.x, data.batch)

    def readout(self, states: Tensor, data: Data) -> Tensor:
        """What the head sees of each set, [sets, 2 * hidden_dim]."""
        return self._read(states, data.batch)

    def forward(self, x: Tensor, batch: Tensor | None = None) -> Tensor:  # type: ignore[override]  # no edges
        return self.head(self._read(self._states(x, batch), batch))

    def training_step(self, data: Data, batch_idx: int) -> Tensor:
        self.check_labels(data.y)
        loss = nn.functional.cross_entropy(self.logits(data), data.y)
        self.log_train(loss=loss)
        return loss

    def _read(self, states: Tensor, batch: Tensor | None) -> Tensor:
        return self.neck(torch.cat([global_max_pool(states, batch), global_mean_pool(states, batch)], 1))

    def _states(self, x: Tensor, batch: Tensor | None) -> Tensor:
        states = [self.input(x, nearest(x, batch, self.neighbours))]
        for layer in self.hidden:
            states.append(layer(states[-1], nearest(states[-1], batch, self.neighbours)))
        return torch.cat(states, 1)

    def golden_inputs(self) -> dict[str, Tensor]:
        """Two sets of twelve and nine points of a fixed draw."""
        x = torch.rand(21, self.in_channels, generator=torch.Generator().manual_seed(0))
        return {"x": x, "batch": torch.tensor([0] * 12 + [1] * 9)}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """No state of a later layer: two points at equal distance would swap places by a rounding error."""
        return {"logits": self(inputs["x"], inputs["batch"])}


@torch.no_grad()
def nearest(h: Tensor, batch: Tensor | None, k: int) -> Tensor:
    """Edges [2, E] from the k nearest points of its own set (fewer in a smaller set) to every point."""
    dense, there = to_dense_batch(h.detach(), batch)  # [sets, largest, D], [sets, largest]
    distance = torch.cdist(dense, dense)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    distance.masked_fill_(~there[:, None], torch.inf)
    value, index = distance.topk(min(k, dense.shape[1] - 1), largest=False)  # [sets, largest, k]
    number = torch.full(there.shape, -1, device=h.device)
    number[there] = torch.arange(len(h), device=h.device)
    source = number[torch.arange(len(dense), device=h.device)[:, None, None], index]
    target = number[..., None].expand_as(source)
    real = there[..., None] & value.isfinite()
    return torch.stack([source[real], target[real]])


def perceptron(in_features: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_features, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
    )
