"""What all node classifiers share: one graph, some of its nodes labelled, the loss on those alone.

A batch is a PyG `Data` with the masks train_mask, val_mask and test_mask. Bags of words are sparse: 1.3 % of Cora's
features aren't zero. `sparse_features` puts them in compressed rows once, dropout then draws one number per word that is
there instead of one per word of the vocabulary, and the first product touches nothing else: an epoch takes a tenth of the time.
"""

import copy
import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, Explanation, GNNExplainer

from zoo.core.checks import is_whole
from zoo.core.data import GraphData
from zoo.core.files import write_figure
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.graphs.inputs import check_edges, check_weights, own_mask, with_edges
from zoo.models.graphs.model import LabelModel, draw_embeddings

warnings.filterwarnings("ignore", "Sparse (CSR tensor support|invariant checks)")  # the products used here are tested


class NodeClassifier(LabelModel):
    """Base of the node classifiers.

    Args:
        num_classes: number of classes.
        in_channels: features per node.
        normalize_features: `predict`, `embed` and `explain` scale each node's features to sum one, as the data module
            does in training; a second time changes nothing. `forward` takes them as in training: give it those of
            `model.prepare(data)`, or of PyG's transform `NormalizeFeatures()`. On PyG's raw Cora it is 3 points worse.
        lr, weight_decay: of Adam; the decay acts on the first layer alone, as in the paper of the GCN.

    Shapes:
        x: [N, in_channels]; edge_index: [2, E]; logits: [N, num_classes].
    """

    use: ClassVar[str] = (
        'data = zoo.datamodule("{data}").data                 # a PyG Data; any other with as many features will do\n'
        "print(model.predict(data)[:3])                       # [(class, probability)] for each node\n"
        "print(model.embed(data).shape)"
    )

    learns_from: ClassVar[tuple[str, ...]] = ("graph",)
    of_nodes: ClassVar[bool] = True
    finetune_lr: ClassVar[float] = 1e-2  # a step is the whole graph: there are few

    def __init__(
        self, num_classes: int, in_channels: int, *, normalize_features: bool, lr: float, weight_decay: float
    ) -> None:
        super().__init__()
        self.num_classes, self.in_channels = num_classes, in_channels
        self.normalize_features, self.lr, self.weight_decay = normalize_features, lr, weight_decay

    def features(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Hidden state of every node before the last layer, [N, D]."""
        raise NotImplementedError

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        raise NotImplementedError

    def prepare(self, data: Data) -> Data:
        data = super().prepare(data)
        if self.normalize_features:
            data = copy.copy(data)  # shallow: the caller's data keeps its own features
            data.x = row_normalize(data.x)
        return data

    def logits(self, data: Data) -> Tensor:
        return self(data.x, data.edge_index)

    def states(self, data: Data) -> Tensor:
        return self.features(data.x, data.edge_index)

    @verb
    def explain(self, data: Data, node: int, *, epochs: int = 200, seed: int = 0) -> Explanation:
        """How much each edge and each feature matters for the class given to one node (GNNExplainer, Ying et al., 2019).

        Draw it with `draw_explanation`, or with PyG's `visualize_graph` and `visualize_feature_importance`.
        """
        data = self.prepare(data)
        if not is_whole(node) or not 0 <= node < data.num_nodes:
            raise InputError(f"node must be a whole number in 0..{data.num_nodes - 1}, not {node!r}")
        explainer = Explainer(
            self,
            GNNExplainer(epochs=epochs),
            explanation_type="model",
            node_mask_type="attributes",
            edge_mask_type="object",
            model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
        )
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(seed)
            read = {key: data[key] for key in self.reads if data.get(key) is not None}
            return explainer(_dense(data.x), data.edge_index, index=node, **read)

    def data_settings(self, kind: str) -> dict[str, Any]:
        """For a person's own graph: whether features are scaled."""
        return {"normalize": self.normalize_features} if kind == "graph-csv" else {}

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, data: Data, batch_idx: int) -> Tensor:
        data = self._learnable(data)
        self.check_labels(data.y)
        loss = self.loss(data)
        self.log_train(loss=loss)
        return loss

    def _learnable(self, data: Data) -> Data:
        """A batch as the steps take it: with `edge_index`, and nothing of its edges that would be ignored."""
        data = with_edges(data)
        check_edges(data.edge_index, data.num_nodes)
        check_weights(data, self.reads)
        return data

    def loss(self, data: Data) -> Tensor:
        """Cross-entropy of the labelled training nodes."""
        labelled = own_mask(data.train_mask, data)
        return F.cross_entropy(self.logits(data)[labelled], data.y[labelled])

    def validation_step(self, data: Data, batch_idx: int) -> None:
        self._measure(data, data.val_mask, "val")

    def test_step(self, data: Data, batch_idx: int) -> None:
        self._measure(data, data.test_mask, "test")

    def _measure(self, data: Data, mask: Tensor, split: str) -> None:
        data = self._learnable(data)
        mask = own_mask(mask, data)
        logits, y = self.logits(data)[mask], data.y[mask]
        accuracy = (logits.argmax(1) == y).float().mean()
        self.log_dict({f"{split}/loss": F.cross_entropy(logits, y), f"{split}/accuracy": accuracy}, batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        first = list(self.get_submodule("input").parameters())
        rest = [p for p in self.parameters() if not any(p is q for q in first)]
        groups = [{"params": first, "weight_decay": self.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        assert self.lr is not None
        return torch.optim.Adam(groups, lr=self.lr)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: GraphData) -> list[dict[str, Any]]:
        """Accuracy of the test nodes, and of the validation nodes that chose the epoch."""
        how = f"{data.protocol}; all nodes in one forward pass, float32"
        return self.test_entries(data, {"accuracy": ("accuracy", how)})

    def golden_inputs(self) -> dict[str, Tensor]:
        """A ring of twelve nodes with two chords and one isolated node, with features of a fixed draw."""
        generator = torch.Generator().manual_seed(0)
        ring = torch.arange(12)
        edges = torch.cat([torch.stack([ring, (ring + 1) % 12]), torch.tensor([[0, 3], [6, 10]])], 1)
        x = torch.rand(13, self.in_channels, generator=generator)
        return {"x": x / x.sum(1, keepdim=True), "edge_index": torch.cat([edges, edges.flip(0)], 1)}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, edge_index = inputs["x"], inputs["edge_index"]
        return {"logits": self(x, edge_index), "embedding": self.features(x, edge_index)}

    def preview(self, path: Path) -> Path | None:
        """The nodes' embeddings before and after training, coloured by their true class."""
        if (module := self.paired_data()) is None:
            return None
        panels = [("before training", self.fresh().embed(module.data)), ("after training", self.embed(module.data))]
        return draw_embeddings(panels, module.data.y, path, list(module.classes))


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Dropout of dense or compressed sparse features: a feature that is zero needs no draw."""
    if x.layout == torch.strided or not training or p == 0:
        return F.dropout(x, p, training)
    values = F.dropout(x.values(), p)
    return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False)


def row_normalize(x: Tensor) -> Tensor:
    """Features scaled to sum one in every row; a row of zeros stays, and so do features that are scaled already."""
    x = _dense(x)
    x = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision would overflow in the sum
    total = x.sum(1, keepdim=True)
    total = total.clamp(min=1e-12).where(total > 0, 1.0)
    return x if ((total - 1).abs() < 1e-6).all() else x / total


def _dense(x: Tensor) -> Tensor:
    return x if x.layout == torch.strided else x.to_dense()


def draw_explanation(explanation: Explanation, data: Data, node: int, path: Path, *, most: int = 24) -> Path:
    """The edges that matter most around a node, as thick as they matter, nodes coloured by class."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    import networkx as nx
    from matplotlib.figure import Figure

    weight = explanation.edge_mask
    chosen = weight.topk(min(most, int((weight > 0).sum()))).indices
    graph = nx.Graph()
    graph.add_node(node)
    for edge in chosen.tolist():
        a, b = data.edge_index[:, edge].tolist()
        old = graph.get_edge_data(a, b, {"weight": 0.0})["weight"]
        graph.add_edge(a, b, weight=max(old, float(weight[edge])))
    figure = Figure(figsize=(5, 5), layout="constrained")
    axis = figure.subplots()
    place = nx.kamada_kawai_layout(graph, weight=None)
    strongest = max((w for *_, w in graph.edges.data("weight")), default=1.0)
    widths = [0.5 + 4 * w / strongest for *_, w in graph.edges.data("weight")]
    nx.draw_networkx_edges(graph, place, ax=axis, width=widths, edge_color="0.6")
    colours = data.y[list(graph.nodes)].tolist()
    rims = ["black" if n == node else "white" for n in graph.nodes]
    nx.draw_networkx_nodes(
        graph, place, ax=axis, node_color=colours, cmap="tab10", vmin=0, vmax=9, node_size=260, edgecolors=rims
    )
    nx.draw_networkx_labels(graph, place, ax=axis, font_size=6)
    axis.set_title(f"edges that decide node {node}")
    axis.axis("off")
    write_figure(path, figure, dpi=90)
    return path
