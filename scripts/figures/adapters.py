"""Test accuracy against the parameters that learn: a read-out alone, adapters of several sizes, and the whole language model.

    python scripts/figures/adapters.py adapter-bert-sst2                # a quarter of an hour on a core
    python scripts/figures/adapters.py adapter-bert-sst2 --epochs 1

Each starts from the same language model and sees the recipe's texts as often as the checkpoint did. Adapters have the recipe's
learning rate, the whole model the one of two with the higher accuracy in validation; the read-out alone is a logistic regression
on standardised mean states, fitted to the end. Writes adapters.png and a section of extra.md into the checkpoint's folder.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import zoo
from zoo.cli.main import ended
from zoo.core.files import plain_name, write_figure
from zoo.models.adaptation.adapter_bert import AdapterBERT
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section
from zoo.train.schedule import WarmupDecay

RATES = {24: (3e-3,), None: (2e-4, 6e-4)}  # hidden units of an adapter; None tunes the whole model without any
TEXT = """## What has to learn

Accuracy on all {n:,} test sentences against the parameters that learn, of networks that start from {base}; one seed. Passes
through the training part: {epochs}. Adapters have the recipe's learning rate, the whole model the one of two with the higher
accuracy in validation. The read-out alone is a logistic regression on standardised mean states.

![parameters against accuracy](adapters.png)

| what learns | parameters | of the whole | validation | test |
|---|---|---|---|---|
"""


class Tuned(AdapterBERT):
    """An adapted language model with a learning rate of its own; without adapters the whole of it may learn."""

    def __init__(self, *, lr: float, whole: bool = False, **init: Any) -> None:
        super().__init__(**init)
        self.lr = lr
        if whole:
            self.unfreeze("bert")

    def configure_optimizers(self) -> Any:
        learns = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learns, lr=self.lr, weight_decay=0.01)
        schedule = WarmupDecay(optimizer, warmup=0.1)
        schedule.stretch(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def tried(init: dict[str, Any], data: Any, size: int | None, lr: float, trainer: dict[str, Any]) -> dict[str, Any]:
    """Train one network; the parameters that learnt, and its accuracy in validation and on the test part."""
    L.seed_everything(0, verbose=False)
    model = Tuned(lr=lr, whole=size is None, **(init | {"bottleneck": size or 0}))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "limit_val_batches": 0}
    loop = L.Trainer(**(quiet | trainer))
    loop.fit(model, datamodule=data)
    model.eval()
    loop = L.Trainer(**(quiet | trainer | {"limit_val_batches": 1.0}))
    val = loop.validate(model, datamodule=data, verbose=False)[0]["val/accuracy"]
    test = loop.test(model, datamodule=data, verbose=False)[0]["test/accuracy"]
    return {"learns": sum(p.numel() for p in model.parameters() if p.requires_grad), "val": val, "test": test}


@torch.inference_mode()
def mean_states(model: AdapterBERT, batches: Any) -> tuple[Any, Any]:
    """What the read-out sees, [N, width], and the classes [N] of all texts of a loader."""
    found: list[Any] = []
    handle = model.head.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    labels = [(model(tokens, lengths), y)[1] for tokens, lengths, y in batches]
    handle.remove()
    return torch.cat(found).numpy(), torch.cat(labels).numpy()


def probe(init: dict[str, Any], data: Any) -> dict[str, Any]:
    """A logistic regression on the frozen model's mean states: its parameters, accuracy in validation and on the test part."""
    model = Tuned(lr=0.0, **(init | {"bottleneck": 0})).eval()
    if model.base is not None:
        model.start_from(zoo.load(model.base))
    model.bring_pieces(data)
    data.setup("fit")
    data.setup("test")
    read = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    read.fit(*mean_states(model, data.train_dataloader()))
    val, test = (read.score(*mean_states(model, part())) for part in (data.val_dataloader, data.test_dataloader))
    return {"learns": sum(p.numel() for p in model.head.parameters()), "val": val, "test": test}


def measure(init: dict[str, Any], data: Any, trainer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each of the three learns; of several learning rates the one with the highest accuracy in validation."""
    found = {"the read-out alone": probe(init, data)}
    for size, rates in RATES.items():
        kind = "the whole model" if size is None else f"adapters of {size} units and the read-out"
        found[kind] = max((tried(init, data, size, lr, trainer) for lr in rates), key=lambda row: row["val"])
    return found


def draw(rows: dict[str, dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.semilogx([row["learns"] for row in rows.values()], [row["test"] for row in rows.values()], "o-")
    for kind, row in rows.items():
        where = (row["learns"], row["test"])
        text = kind.replace(" and the read-out", "")
        axis.annotate(text, where, (0, 8), textcoords="offset points", fontsize=8, ha="center")
    axis.set(xlabel="parameters that learn", ylabel="test accuracy")
    axis.margins(0.2)
    write_figure(path, figure, dpi=80)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", type=plain_name)
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    model: Any = zoo.load(args.name)
    data = zoo.datamodule(args.name)
    whole = sum(p.numel() for p in model.bert.parameters())
    init = dict(model.hparams) | {"base": model.base}
    rows = measure(init, data, {"max_epochs": args.epochs, "accelerator": "cpu", "enable_progress_bar": False})
    draw(rows, CHECKPOINTS / args.name / "adapters.png")
    text = TEXT.format(n=data.counts["test"], base=model.base, epochs=args.epochs)
    for kind, row in rows.items():
        shares = f"{row['learns']:,} | {row['learns'] / whole:.1%}"
        text += f"| {kind} | {shares} | {row['val']:.1%} | {row['test']:.1%} |\n"
    write_section(CHECKPOINTS / args.name, text)
    return 0


if __name__ == "__main__":
    sys.exit(ended(main))
