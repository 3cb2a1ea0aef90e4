"""Picture of docs/themes/graphs.md: what a mean, a maximum and a sum over nodes can tell of a graph.

python scripts/figures/readouts.py                   # a minute; into docs/figures; needs MUTAG
"""

import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GINConv, global_add_pool, global_max_pool, global_mean_pool

import zoo
from zoo.core.files import write_figure

READOUTS = {"mean": global_mean_pool, "max": global_max_pool, "sum": global_add_pool}
QUESTIONS = {
    "how many": lambda kinds: kinds[:, 0].sum(),
    "what share": lambda kinds: kinds[:, 0].mean(),
    "is there one": lambda kinds: kinds[:, 1].max(),
}


class Network(nn.Module):
    """Two rounds of messages, a readout, a perceptron."""

    def __init__(self, features: int, outputs: int, readout: Any, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            GINConv(nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()))
            for size in (features, width)
        )
        self.readout = readout
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, graphs: Any) -> Tensor:
        x = graphs.x
        for layer in self.layers:
            x = layer(x, graphs.edge_index)
        return self.head(self.readout(x, graphs.batch))


def rings(count: int, seed: int) -> list[Data]:
    """Rings of 4 to 30 nodes; a third of the nodes is of the first kind, one in forty of the second."""
    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for _ in range(count):
        n = int(torch.randint(4, 31, (1,), generator=generator))
        share = torch.rand(1, generator=generator) * 0.7
        draw = torch.rand(n, generator=generator)
        kind = torch.where(draw < share, 0, torch.where(draw > 0.96, 1, 2))
        place = torch.arange(n)
        edges = torch.stack([place, (place + 1) % n])
        graphs.append(Data(x=F.one_hot(kind, 3).float(), edge_index=torch.cat([edges, edges.flip(0)], 1)))
    return graphs


def fit(network: Network, graphs: Any, y: Tensor, loss: Any, steps: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - step / steps)
        optimizer.zero_grad()
        loss(network(graphs), y).backward()
        optimizer.step()


def readouts(path: Path, *, count: int = 150, steps: int = 150, folds: int = 10) -> dict[str, Any]:
    """Three questions about made-up rings, and the molecules of MUTAG, by three readouts."""
    train, test = (Batch.from_data_list(rings(count, seed)) for seed in (0, 1))
    explained: dict[str, list[float]] = {}
    for name, readout in READOUTS.items():
        explained[name] = []
        for question in QUESTIONS.values():
            y, held = (torch.stack([question(g.x) for g in b.to_data_list()])[:, None] for b in (train, test))
            mean, spread = y.mean(), y.std()
            torch.manual_seed(0)
            network = Network(3, 1, readout)
            fit(network, train, (y - mean) / spread, F.mse_loss, steps)
            with torch.no_grad():
                off = network(test) * spread + mean - held
            explained[name].append(1 - (off.square().mean() / held.var()).item())
    data = zoo.datamodule("mutag")
    molecules = {
        name: [molecules_right(data, readout, fold, steps) for fold in range(folds)]
        for name, readout in READOUTS.items()
    }
    figure, axes = panels(9.5, 3.2, 1, 2)
    places = torch.arange(len(QUESTIONS))
    for i, (name, values) in enumerate(explained.items()):
        axes[0].bar(places + 0.27 * (i - 1), torch.tensor(values).clamp(min=0), 0.25, label=name)
    axes[0].set_xticks(places, [f"{question}?" for question in QUESTIONS])
    axes[0].set(title="rings: share of the variance explained", ylim=(0, 1.25))
    axes[0].legend(frameon=False, fontsize=8, ncols=3, loc="upper center")
    found: dict[str, Any] = {name: dict(zip(QUESTIONS, values, strict=True)) for name, values in explained.items()}
    for i, (name, right) in enumerate(molecules.items()):
        if right:
            values = torch.tensor(right)
            axes[1].plot([i] * len(values), values, "o", ms=4, alpha=0.5)
            axes[1].plot([i - 0.2, i + 0.2], [values.mean()] * 2, "k", lw=1.5)
            found[f"MUTAG, {name}"] = (values.mean().item(), values.std().item())
    axes[1].set_xticks(range(len(READOUTS)), list(READOUTS))
    axes[1].set(title="MUTAG: accuracy, a dot a fold", ylim=(0.5, 1.02))
    write_figure(path, figure, dpi=75)
    return found


def molecules_right(data: Any, readout: Any, fold: int, steps: int) -> float:
    """Accuracy on a tenth of the molecules after training on the others that don't validate; nothing is chosen."""
    data.fold = fold
    train, test = (Batch.from_data_list(list(data.part(part))) for part in ("train", "test"))
    torch.manual_seed(fold)
    network = Network(7, 2, readout)
    fit(network, train, train.y, F.cross_entropy, min(steps, 60))
    with torch.no_grad():
        return (network(test).argmax(1) == test.y).float().mean().item()


PICTURES = {"readouts": readouts}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
