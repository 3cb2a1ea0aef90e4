"""What all graph networks share: checked inputs, the verbs `predict`, `embed` and `explain`, new first and last layers.

A subclass names its first layer `input` and its last `head`, and its `forward` takes plain tensors, so that it is also a
PyG model: `forward(x, edge_index)` for nodes, `forward(x, edge_index, batch=...)` for whole graphs.
"""

import contextlib
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from zoo.core.answers import likeliest
from zoo.core.checks import check_count
from zoo.core.data import LabelledGraphData
from zoo.core.drawing import verbatim
from zoo.core.files import write_figure
from zoo.core.metric import Better, entry
from zoo.core.module import ZooModule, init_arguments
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.graphs.inputs import check_classes, check_graph, own_nodes


class GraphModel(ZooModule):
    """Base of the graph networks."""

    task: ClassVar[str] = "graph-ml"
    directed: ClassVar[bool] = False
    reads: ClassVar[tuple[str, ...]] = ()  # of each edge, beside its ends: "edge_weight", "edge_attr"
    in_channels: int

    def setup(self, stage: str) -> None:
        """Take the class names over from the data module, so that they travel with the weights."""
        super().setup(stage)
        classes = getattr(getattr(self.trainer, "datamodule", None), "classes", None)
        if stage == "fit" and classes:
            self.classes = list(classes)

    # Verbs -----------------------------------------------------------------------------------------------------------

    def prepare(self, data: Data) -> Data:
        """The graph as `forward` takes it: checked, on the model's device, features scaled as in training."""
        return check_graph(data, self.in_channels, directed=self.directed, reads=self.reads).to(str(self.device))

    def states(self, data: Data) -> Tensor:
        """Last hidden state of every node of a prepared graph, [nodes, D]."""
        raise NotImplementedError

    def readout(self, states: Tensor, data: Data) -> Tensor:
        """One vector per graph, [graphs, D], out of the node states."""
        from torch_geometric.nn import global_mean_pool

        return global_mean_pool(states, data.batch, data.num_graphs if data.batch is not None else 1)

    @verb
    def embed(self, data: Data, level: str = "node") -> Tensor:
        """What the last layer sees: [nodes, D] for level "node", [graphs, D] for level "graph"."""
        if level not in ("node", "graph"):
            raise InputError(f'level is "node" or "graph", not {level!r}')
        data = self.prepare(data)
        states = self.states(data)
        return states if level == "node" else self.readout(states, data)

    # New first and last layers ---------------------------------------------------------------------------------------

    def reset_input(self, in_channels: int) -> None:
        """A fresh first layer for another number of features per node; all other layers stay."""
        if check_count(in_channels, "in_channels") != self.in_channels:
            self._replace("input", in_channels=in_channels)

    def _replace(self, part: str, **changed: int) -> None:
        fresh = type(self)(**{**init_arguments(self), **changed})
        layer: nn.Module = fresh.get_submodule(part).to(self.device)
        setattr(self, part, layer)
        for key, value in changed.items():
            setattr(self, key, value)
            self.hparams[key] = value
        names = ", ".join(f"{part}.{name} {list(value.shape)}" for name, value in layer.named_parameters())
        print(f"{self.name or type(self).__name__}: new tensors {names}")

    # Claims ----------------------------------------------------------------------------------------------------------

    def test_entries(self, data: Any, metrics: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
        """Metric entries {name: (logged name, how)} of one pass over the validation and test splits."""
        trainer = L.Trainer(
            devices=1, logger=False, enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False
        )
        entries = []
        for split, run in (("test", trainer.test), ("val", trainer.validate)):
            if split == "val" and not len(_loader(data)):
                continue
            logged = run(self, datamodule=data, verbose=False)[0]
            for metric, (key, how) in metrics.items():
                better: Better = "higher" if metric == "accuracy" else "lower"
                entries.append(entry(data, split, metric, logged[f"{split}/{key}"], how, better=better))
        return entries

    def paired_data(self) -> Any:
        """The data module the weights were trained with, or None if it isn't named or not on this machine."""
        from zoo import registry

        if self.data is None:
            return None
        with contextlib.suppress(FileNotFoundError):
            data = registry.datamodule_class(self.data["name"])(**self.data["init"])
            data.prepare_data()
            return data
        return None

    def fresh(self) -> "GraphModel":
        """The same network before training, seed 0."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return type(self)(**init_arguments(self)).eval()


class LabelModel(GraphModel):
    """Base of the graph networks that give classes, to nodes or to graphs."""

    num_classes: int
    of_nodes: ClassVar[bool] = False  # a class for each node, not for each graph

    def logits(self, data: Data) -> Tensor:
        """Logits of a prepared graph: [nodes, num_classes] or [graphs, num_classes]."""
        raise NotImplementedError

    @verb
    def predict_proba(self, data: Data) -> Tensor:
        """Class probabilities [nodes or graphs, num_classes]; of a batch of PyG's NeighborLoader, of the nodes it is about."""
        return self.own_logits(data).softmax(1)

    def predict_step(self, batch: Data, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """What `trainer.predict` collects: logits [nodes or graphs, num_classes]."""
        return self.own_logits(batch)

    def own_logits(self, data: Data) -> Tensor:
        """Logits of a graph that isn't prepared yet."""
        data = self.prepare(data)
        return self.logits(data)[own_nodes(data) if self.of_nodes else slice(None)]

    def predict(self, data: Data, top: int = 1) -> list[list[tuple[str, float]]]:
        """The `top` classes with their probabilities for every node (or every graph, in a model of whole graphs)."""
        return likeliest(self.predict_proba(data), self.classes, top)

    def reset_head(self, num_classes: int) -> None:
        """A fresh last layer for another number of classes; all other layers stay."""
        if check_count(num_classes, "num_classes") != self.num_classes:
            self._replace("head", num_classes=num_classes)
            self.classes = None

    def adapt_to(self, data: LabelledGraphData) -> None:
        """A fresh first layer for other features, and a fresh last one for other classes."""
        self.reset_input(data.in_channels if hasattr(data, "in_channels") else data.part("train")[0].num_features)
        if self.num_classes == len(data.classes) and self.classes != list(data.classes):
            self._replace("head", num_classes=self.num_classes)
        self.reset_head(len(data.classes))
        self.classes = list(data.classes)

    def check_labels(self, y: Tensor | None) -> None:
        check_classes(y, self.num_classes)


def _loader(data: L.LightningDataModule) -> Any:
    data.prepare_data()
    return data.val_dataloader()


def draw_embeddings(panels: list[tuple[str, Tensor]], y: Tensor, path: Path, names: list[str] | None = None) -> Path:
    """Scatter plots of embeddings [N, D] side by side, directions on their first two principal components, coloured by class."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(panels), 4.2), layout="constrained")
    for axis, (title, states) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        directions = torch.nn.functional.normalize(states.double(), dim=1)  # else a few long vectors set the scale
        centred = directions - directions.mean(0)
        _, _, v = torch.linalg.svd(centred, full_matrices=False)
        points = centred @ v[:2].T
        for label in y.unique().tolist():
            chosen = points[y == label]
            name = verbatim(names[label]) if names else str(label)
            axis.scatter(*chosen.T, s=6 if len(y) > 200 else 50, alpha=0.7, linewidths=0, label=name)
        axis.set(title=title, xticks=[], yticks=[])
    figure.axes[-1].legend(fontsize=7, markerscale=2, framealpha=0.6)
    write_figure(path, figure, dpi=90)
    return path
