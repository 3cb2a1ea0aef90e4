"""Test accuracy against the parameters that learn: a read-out alone, adapters of several sizes, and the whole language model.

    python scripts/figures/adapters.py adapter-bert-sst2                # a quarter of an hour on a core
    python scripts/figures/adapters.py adapter-bert-sst2 --epochs 1

Each starts from the same language model and sees the recipe's texts as often as the checkpoint did. Adapters have the recipe's
learning rate, the others the one of two with the higher accuracy in validation. Writes adapters.png and a section of extra.md into the checkpoint's folder.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from matplotlib.figure import Figure

import zoo
from zoo.cli.main import ended
from zoo.core.files import plain_name, write_figure
from zoo.models.adaptation.adapter_bert import AdapterBERT
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section
from zoo.train.schedule import WarmupDecay

RATES = {"read-out alone": (3e-3, 1e-2), "adapters": (3e-3,), "the whole model": (2e-4, 6e-4)}
SIZES = (0, 24, None)  # hidden units of an adapter; None tunes the whole model without any
TEXT = """## What has to learn

Accuracy on all {n:,} test sentences against the parameters that learn, of networks that start from {base} and see the training
part {epochs} time(s) as this checkpoint did; one seed. Adapters have the recipe's learning rate, the others the one of two with the
higher accuracy in validation.

![parameters against accuracy](adapters.png)

| what learns | parameters | of the whole | learning rate | validation | test |
|---|---|---|---|---|---|
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
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": WarmupDecay(optimizer, warmup=0.1), "interval": "step"},
        }


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
    return {"learns": sum(p.numel() for p in model.parameters() if p.requires_grad), "lr": lr, "val": val, "test": test}


def label(size: int | None) -> str:
    return {None: "the whole model", 0: "read-out alone"}.get(size, f"adapters of {size} units and the read-out")


def measure(init: dict[str, Any], data: Any, trainer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The better of two learning rates for each of `SIZES`, by accuracy in validation."""
    found = {}
    for size in SIZES:
        kind = label(size)
        rates = RATES.get(kind, RATES["adapters"])
        found[kind] = max((tried(init, data, size, lr, trainer) for lr in rates), key=lambda row: row["val"])
        print(kind, found[kind], flush=True)
    return found


def draw(rows: dict[str, dict[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    axis = figure.subplots()
    axis.semilogx([row["learns"] for row in rows.values()], [row["test"] for row in rows.values()], "o-")
    for kind, row in rows.items():
        axis.annotate(
            kind.replace(" and the read-out", ""), (row["learns"], row["test"]), fontsize=7, ha="center", va="bottom"
        )
    axis.set(xlabel="parameters that learn", ylabel="test accuracy")
    axis.margins(0.15)
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
        shares = f"{row['learns']:,} | {row['learns'] / whole:.1%} | {row['lr']:g}"
        text += f"| {kind} | {shares} | {row['val']:.1%} | {row['test']:.1%} |\n"
    write_section(CHECKPOINTS / args.name, text)
    return 0


if __name__ == "__main__":
    sys.exit(ended(main))
