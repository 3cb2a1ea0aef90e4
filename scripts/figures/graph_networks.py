"""The figures of a citation graph's card: one node explained, over-smoothing against depth, seconds beside PyG's example.

    python scripts/figures/graph_networks.py gcn-cora                          # everything, a few minutes on two cores
    python scripts/figures/graph_networks.py gcn-cora --seeds 1 --depths 2 4   # a look at it

Writes explanation.png, depth.png, graphs.json and extra.md into the checkpoint's folder; `scripts/cards.py` puts extra.md into
the card. Everything is measured on validation nodes: the depth is a choice like any other.
"""

import argparse
import logging
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.transforms import NormalizeFeatures

import zoo
from zoo.core.files import write_figure, write_json
from zoo.core.module import init_arguments
from zoo.errors import one_sentence
from zoo.models.graphs.gcn import GCN
from zoo.models.graphs.node import draw_explanation
from zoo.store.cards import write_section
from zoo.store.hub import locate

EPOCHS = 200


def train(model: Any, module: L.LightningDataModule) -> float:
    """Train by the zoo's way for 200 epochs; returns the seconds."""
    for name in ("pytorch", "fabric"):
        logging.getLogger(f"lightning.{name}").setLevel(logging.ERROR)
    trainer = L.Trainer(
        max_epochs=EPOCHS,
        check_val_every_n_epoch=EPOCHS,
        accelerator="cpu",
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    started = time.perf_counter()
    trainer.fit(model, datamodule=module)
    return time.perf_counter() - started


class Example(torch.nn.Module):
    """PyG's introductory GCN: dense features, normalisation in every layer, a training loop by hand."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = GCNConv(features, 16), GCNConv(16, classes)

    def forward(self, data: Data) -> torch.Tensor:
        h = self.conv1(F.dropout(data.x, training=self.training), data.edge_index).relu()
        return self.conv2(F.dropout(h, training=self.training), data.edge_index)


def train_example(data: Data, classes: int) -> float:
    """Train PyG's example for 200 epochs; returns the seconds."""
    model = Example(data.num_features, classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    started = time.perf_counter()
    for _ in range(EPOCHS):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(data)[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
    return time.perf_counter() - started


def depth_figure(module: Any, depths: list[int], seeds: int, path: Path) -> list[dict[str, Any]]:
    """Validation accuracy, and how alike the states of two random nodes are, against the number of layers."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    rows = []
    pairs = torch.randint(module.data.num_nodes, (2, 4000), generator=torch.Generator().manual_seed(0))
    for depth in depths:
        accuracies, likeness = [], []
        for seed in range(seeds):
            L.seed_everything(seed, verbose=False)
            model = GCN(module.num_classes, module.in_channels, num_layers=depth)
            train(model, module)
            right = model.predict_proba(module.data).argmax(1) == module.data.y
            accuracies.append(float(right[module.data.val_mask].float().mean()))
            a, b = model.embed(module.data)[pairs]
            likeness.append(float(F.cosine_similarity(a, b).mean()))
        rows.append({"layers": depth, "val_accuracy": statistics.mean(accuracies), "cosine": statistics.mean(likeness)})
        print(rows[-1], flush=True)
    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for key, label in (("val_accuracy", "validation accuracy"), ("cosine", "cosine of two random nodes' states")):
        axis.plot([row["layers"] for row in rows], [row[key] for row in rows], "o-", label=label)
    axis.set(xlabel="graph convolutions", ylim=(0, 1.02), title="over-smoothing")
    axis.set_xscale("log", base=2)
    axis.set_xticks(depths, [str(depth) for depth in depths])
    axis.legend(frameon=False)
    write_figure(path, figure, dpi=100)
    return rows


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a node classifier's checkpoint")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 3, 4, 8, 16, 32])
    parser.add_argument("--node", type=int, default=2000, help="the node to explain")
    options = parser.parse_args()
    folder, model, module = locate(options.name), zoo.load(options.name), zoo.datamodule(options.name)
    explained = model.explain(module.data, options.node)  # type: ignore[operator]
    draw_explanation(explained, module.data, options.node, folder / "explanation.png")
    dense = NormalizeFeatures()(module.data.clone())
    ours, theirs = [], []
    for _ in range(3):  # by turns, so that both meet the same machine
        theirs.append(train_example(dense, module.num_classes))
        ours.append(train(type(model)(**init_arguments(model)), module))
    depth = depth_figure(module, options.depths, options.seeds, folder / "depth.png")
    facts = {
        "epochs": EPOCHS,
        "threads": torch.get_num_threads(),
        "seconds": ours,
        "seconds_pyg_example": theirs,
        "depth": depth,
    }
    write_json(folder / "graphs.json", facts, indent=1)
    lines = "\n".join(f"| {row['layers']} | {row['val_accuracy']:.3f} | {row['cosine']:.3f} |" for row in depth)
    text = f"""## One node explained

![explanation](explanation.png)

The edges that decide the class of node {options.node}, by GNNExplainer, as thick as they matter; colours are fields.
"""
    write_section(folder, text, measured_on=[options.name])
    write_section(
        folder,
        f"""## Depth

![depth](depth.png)

| graph convolutions | validation accuracy | cosine of two random nodes' states |
|---|---|---|
{lines}

Mean of {options.seeds} seeds, {EPOCHS} epochs, last epoch. Every layer averages over neighbours once more.

## Seconds

{EPOCHS} epochs on {facts["threads"]} CPU thread(s), the best of three runs by turns in one process: {min(ours):.1f} s here
through Lightning, {min(theirs):.1f} s for PyG's introductory example with its loop by hand. Features in compressed sparse rows
make the difference.
""",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
