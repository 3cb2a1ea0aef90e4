"""What pretraining without labels is worth with 1,000 labels: a section of dbn-mnist's card.

python scripts/figures/belief.py               # six minutes; needs MNIST

Two networks of the same shape learn the same 1,000 labelled digits until they know them: one begins as dbn-mnist, the other from
random weights. Nothing is chosen on the test split: both stop by their training loss.
"""

import argparse
import sys
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import zoo
from datamodules.mnist import MNIST
from zoo.errors import one_sentence
from zoo.models.energy.dbn_classifier import DBNClassifier
from zoo.store.cards import write_section
from zoo.store.hub import locate

KNOWN = 0.01  # nats: a training set is known at this mean loss


def learn(model: DBNClassifier, x: Tensor, y: Tensor, *, most: int = 400, batch_size: int = 100) -> tuple[int, float]:
    """Train until the mean loss of an epoch is below KNOWN; returns the epochs and that loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    model.train()
    total = 0.0
    for epoch in range(1, most + 1):
        total = 0.0
        for part in torch.randperm(len(x)).split(batch_size):
            loss = F.cross_entropy(model(x[part]), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(part) / len(x)
        if total < KNOWN:
            return epoch, total
    return most, total


@torch.no_grad()
def error(model: DBNClassifier, x: Tensor, y: Tensor) -> float:
    """Share of mistakes in per cent."""
    model.eval()
    wrong = sum(int((model(a).argmax(1) != b).sum()) for a, b in zip(x.split(1000), y.split(1000), strict=True))
    return 100 * wrong / len(x)


def study(
    base: Any, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seeds: int, per_class: int
) -> list[dict[str, Any]]:
    """Both networks for each seed, which draws the labelled digits, the random weights and the order."""
    rows = []
    hidden = tuple(machine.weight.shape[1] for machine in base.machines)
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(train[1]), generator=generator)
        chosen = torch.cat([order[train[1][order] == label][:per_class] for label in range(10)])
        row: dict[str, Any] = {"seed": seed}
        for start in ("pretrained", "random"):
            torch.manual_seed(seed)
            model = DBNClassifier(hidden=hidden)
            if start == "pretrained":
                model.start_from(base)
            epochs, loss = learn(model, train[0][chosen], train[1][chosen])
            row[start] = {"error": error(model, *test), "epochs": epochs, "loss": loss}
        print(row, flush=True)
        rows.append(row)
    return rows


def section(rows: list[dict[str, Any]], labels: int) -> str:
    """The card's section of a study."""
    errors = {start: torch.tensor([row[start]["error"] for row in rows]) for start in ("pretrained", "random")}
    lines = ["| seed | from dbn-mnist | from random weights |", "|---|---|---|"]
    for row in rows:
        cells = [f"{row[start]['error']:.2f} % ({row[start]['epochs']} epochs)" for start in errors]
        lines.append(f"| {row['seed']} | {' | '.join(cells)} |")
    both = [f"{values.mean():.2f} ± {values.std():.2f} %" for values in errors.values()]
    lines.append(f"| mean ± deviation | {' | '.join(both)} |")
    gap = (errors["random"] - errors["pretrained"]).mean() / max(1e-9, *(float(e.std()) for e in errors.values()))
    table = "\n".join(lines)
    words = (
        f"Test error of the same network after it has learnt {labels:,} labelled digits (mean loss below {KNOWN} nats), begun\n"
        "as this belief network or from random weights. The seed draws the digits, the weights and the order. Pretraining wins\n"
        f"by {gap:.1f} of the larger standard deviation. `python scripts/figures/belief.py`"
    )
    return f"## With {labels:,} labels\n\n{words}\n\n{table}\n"


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    base, data = zoo.load("dbn-mnist"), MNIST(normalize=False)
    (x, y), (tx, ty) = data.load("train"), data.load("test")
    rows = study(base, (x.float() / 255, y), (tx.float() / 255, ty), seeds, 100)
    write_section(locate("dbn-mnist"), section(rows, 1000), measured_on=["dbn-mnist"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
