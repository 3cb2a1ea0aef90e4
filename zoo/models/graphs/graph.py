"""What all classifiers of whole graphs share: a batch of graphs in, one class for each out.

A batch is a PyG `Batch`: the graphs side by side as one big graph without edges between them, and `batch` [nodes], the
number of the graph that each node belongs to.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Batch, Data

from zoo.core.data import GraphData
from zoo.models.graphs.inputs import check_edges
from zoo.models.graphs.model import LabelModel, draw_embeddings


class GraphClassifier(LabelModel):
    """Base of the graph classifiers.

    Shapes:
        x: [nodes, in_channels]; edge_index: [2, edges]; batch: [nodes] or None for one graph; logits: [graphs, num_classes].
    """

    use: ClassVar[str] = (
        'graph = zoo.datamodule("{data}").part("test")[0]     # a PyG Data; a Batch of graphs will do too\n'
        "print(model.predict(graph))"
    )

    learns_from: ClassVar[tuple[str, ...]] = ("graphs",)

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.num_classes, self.in_channels = num_classes, in_channels

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def logits(self, data: Data) -> Tensor:
        return self(data.x, data.edge_index, data.batch)

    def training_step(self, data: Batch, batch_idx: int) -> Tensor:
        self.check_labels(data.y)
        check_edges(data.edge_index, data.num_nodes)
        loss = F.cross_entropy(self.logits(data), data.y)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, data: Batch, batch_idx: int) -> None:
        self._measure(data, "val")

    def test_step(self, data: Batch, batch_idx: int) -> None:
        self._measure(data, "test")

    def _measure(self, data: Batch, split: str) -> None:
        logits = self.logits(data)
        accuracy = (logits.argmax(1) == data.y).float().mean()
        values = {f"{split}/loss": F.cross_entropy(logits, data.y), f"{split}/accuracy": accuracy}
        self.log_dict(values, batch_size=data.num_graphs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: GraphData) -> list[dict[str, Any]]:
        """Accuracy on the test graphs, and on the validation graphs that chose the epoch."""
        return self.test_entries(data, {"accuracy": ("accuracy", f"{data.protocol}; float32")})

    def golden_inputs(self) -> dict[str, Tensor]:
        """A ring of six nodes and a star of five, with features of a fixed draw."""
        ring = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
        star = torch.stack([torch.full((4,), 6), torch.arange(7, 11)])
        edges = torch.cat([ring, star], 1)
        x = torch.rand(11, self.in_channels, generator=torch.Generator().manual_seed(0))
        batch = torch.tensor([0] * 6 + [1] * 5)
        return {"x": x, "edge_index": torch.cat([edges, edges.flip(0)], 1), "batch": batch}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        data = Data(x=inputs["x"], edge_index=inputs["edge_index"], batch=inputs["batch"])
        states = self.states(data)
        return {"logits": self.logits(data), "states": states}

    def preview(self, path: Path) -> Path | None:
        """Embeddings of the test graphs, or of all where those are few, before and after training, coloured by true class."""
        if (module := self.paired_data()) is None:
            return None
        graphs = module.part("test")[:1000]
        if len(graphs) < 200:
            graphs = [graph for part in ("train", "val", "test") for graph in module.part(part)][:1000]
        batch = Batch.from_data_list(graphs)
        panels = [
            (title, model.embed(batch, "graph"))
            for title, model in (("before training", self.fresh()), ("after training", self))
        ]
        return draw_embeddings(panels, batch.y, path, list(module.classes))
