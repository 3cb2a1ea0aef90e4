"""What keeps a perceptron from learning its training set by heart: dropout and its relatives, as a table.

    python scripts/figures/dropout.py              # a minute on one core; into the card of mlp-mnist
    python scripts/figures/dropout.py --full       # half an hour: two layers of 800 on all digits, beside the published table

One network of two hidden layers on a tenth of the training digits, where overfitting shows within seconds; everything but the
regulariser is equal. Test error of the last epoch, one seed.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning as L
import torch

import zoo
from zoo.blocks.dropout import PhasedDropout
from zoo.errors import one_sentence
from zoo.models.mlp.mlp import MLP
from zoo.store.cards import write_section
from zoo.store.hub import locate

ROWS: dict[str, tuple[dict[str, Any], str | None]] = {  # arguments, and the phase of the dropout
    "nothing": ({}, None),
    "sigmoids": ({"activation": "sigmoid"}, None),
    "dropout": ({"dropout": 0.5}, None),
    "dropout of pixels too": ({"dropout": 0.5, "input_dropout": 0.2}, None),
    "both and max-norm": ({"dropout": 0.5, "input_dropout": 0.2, "max_norm": 1.0}, None),
    "max-norm alone": ({"max_norm": 1.0}, None),
    "early dropout": ({"dropout": 0.5}, "early"),
    "late dropout": ({"dropout": 0.5}, "late"),
    "batch norm": ({"batch_norm": True}, None),
}

PUBLISHED = {  # rows of Srivastava et al. (2014), table 2, with the nearest of its networks and its error in %
    "sigmoids": "1.60, two layers of 800 logistic units (Simard et al., 2003)",
    "nothing": "",
    "dropout of pixels too": "1.25, three layers of 1,024",
    "both and max-norm": "1.06, three layers of 1,024",
}


def table(
    *,
    data: Any = None,
    epochs: int = 30,
    width: int = 256,
    share: int = 10,
    rows: Iterable[str] = tuple(ROWS),
    batch: int = 100,
) -> dict[str, tuple[float, float]]:
    """Error in % on the training and on the test digits, for every row."""
    data = data or zoo.datamodule("mnist", batch_size=batch)
    x, y = data.tensors("train")
    data._splits["train"] = x[::share], y[::share]
    found = {}
    for name in rows:
        arguments, phase = ROWS[name]
        L.seed_everything(0, verbose=False)
        model = Row(hidden=(width, width), **arguments)
        trainer = L.Trainer(
            max_epochs=epochs,
            callbacks=[PhasedDropout(phase)] if phase in ("early", "late") else [],  # type: ignore[arg-type]
            limit_val_batches=0,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, datamodule=data)
        model.eval()
        found[name] = tuple(error(model, data, split) for split in ("train", "test"))
        print(f"{name}: {found[name][0]:.2f} % training error, {found[name][1]:.2f} % test error", flush=True)
    return found


class Row(MLP):
    """A perceptron with the optimiser of the table."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


@torch.no_grad()
def error(model: MLP, data: Any, split: str) -> float:
    loader = data.train_dataloader() if split == "train" else data.test_dataloader()
    wrong, count = 0, 0
    for x, y in loader:
        wrong, count = wrong + int((model(x).argmax(1) != y).sum()), count + len(y)
    return 100 * wrong / count


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="two layers of 800 on all training digits, 20 epochs")
    folder = locate("mlp-mnist")
    if parser.parse_args().full:
        torch.set_num_threads(1)
        write_full(folder, table(epochs=20, width=800, share=1, rows=PUBLISHED, batch=200))
        return 0
    rows = table()
    lines = [f"| {name} | {train:.2f} | {test:.2f} |" for name, (train, test) in rows.items()]
    write(folder, lines)
    return 0


def write(folder: Path, lines: list[str]) -> None:
    """Write the card's own section."""
    body = "\n".join(lines)
    write_section(
        folder,
        "## Dropout and its relatives\n\n"
        "Error in % after 30 epochs on a tenth of the training digits, two hidden layers of 256, everything else equal, one "
        "seed. "
        f"`python scripts/figures/dropout.py`\n\n| regulariser | training | test |\n|---|---|---|\n{body}\n",
    )


def write_full(folder: Path, rows: dict[str, tuple[float, float]]) -> None:
    """Write the card's section on all digits."""
    body = "\n".join(
        f"| {name} | {train:.2f} | {test:.2f} | {PUBLISHED[name]} |" for name, (train, test) in rows.items()
    )
    write_section(
        folder,
        "## Dropout on all digits\n\n"
        "Error in % after 20 epochs on the 55,000 training digits, two hidden layers of 800, one seed, beside the nearest row of "
        "Srivastava et al. (2014), whose networks are larger and learn for longer. `python scripts/figures/dropout.py --full`\n\n"
        f"| regulariser | training | test | published |\n|---|---|---|---|\n{body}\n",
    )


if __name__ == "__main__":
    sys.exit(main())
