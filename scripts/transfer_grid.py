"""How far up do features carry over? The grid AnB, BnB, AnB+, BnB+ (Yosinski et al., 2014, arXiv:1411.1792).

    python scripts/transfer_grid.py alexnet-cifar10                    # on two halves of the classes of CIFAR-10
    python scripts/transfer_grid.py alexnet-cifar10 --epochs 2 --into grid

Two networks of the checkpoint's architecture learn half A and half B of the classes from scratch. A third one takes the first n
parts of one of them, fresh ones above, and learns B: with these n parts frozen (AnB, BnB) or tuned along (AnB+, BnB+). Where BnB
falls below base B, parts had been tuned to each other; where AnB falls below BnB, they had been tuned to A. Writes
transfer_grid.png, transfer_grid.json and a section of extra.md into the folder; a run that was cut goes on after the last number
in the JSON.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from matplotlib.figure import Figure

import zoo
from datamodules.subset import Subset
from zoo import registry
from zoo.cli.main import ended
from zoo.core.classifier import ImageClassifier
from zoo.core.files import plain_name, write_figure, write_json
from zoo.core.precision import quick_precision
from zoo.errors import InputError, one_sentence
from zoo.store.cards import write_section
from zoo.store.folder import read_recipe
from zoo.train import fitting

KINDS = ("BnB", "BnB+", "AnB", "AnB+")
STYLES = {"BnB": "o-", "BnB+": "o--", "AnB": "s-", "AnB+": "s--"}


class Grid:
    """The networks and numbers of one experiment.

    Args:
        architecture: a registry name; init: its arguments.
        dataset: whose classes are halved, every second one into A.
        epochs, lr, per_class: of every training alike.
        trainer: arguments of `lightning.Trainer`.
        path: where the numbers are kept.
    """

    def __init__(
        self,
        architecture: str,
        init: dict[str, Any],
        dataset: str,
        path: Path,
        *,
        epochs: int,
        lr: float,
        per_class: int | None = None,
        trainer: dict[str, Any] | None = None,
    ) -> None:
        classes = registry.datamodule_class(dataset).classes  # type: ignore[attr-defined]
        self.halves = {"A": list(classes[::2]), "B": list(classes[1::2])}
        self.architecture, self.init, self.dataset, self.path = architecture, init, dataset, path
        self.settings = {"epochs": epochs, "lr": lr, "per_class": per_class}
        self.trainer = {"precision": quick_precision(), "enable_progress_bar": False} | (trainer or {})
        self.bases: dict[str, ImageClassifier] = {}
        table = {"architecture": architecture, "dataset": dataset, "halves": self.halves} | self.settings
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else table | {"accuracy": {}}
        if {key: found.get(key) for key in table} != table:
            raise InputError(f"{path} holds the numbers of other settings: choose another folder, or remove it")
        self.table: dict[str, Any] = found

    def run(self) -> dict[str, Any]:
        """Every cell that has no number yet."""
        parts = [name for name, _ in self.fresh(5).layers if name != "head"]
        self.table["parts"] = parts
        for half in ("A", "B"):
            self.measure(f"base{half}", lambda half=half: self.base(half), half)
        for n in range(1, len(parts) + 1):
            for kind in KINDS:
                self.measure(f"{kind} {n}", lambda kind=kind, n=n: self.transfer(kind, parts[:n]), "B")
        return self.table

    def measure(self, name: str, train: Any, half: str) -> None:
        if name not in self.table["accuracy"]:
            model = train()
            (accuracy,) = (e["value"] for e in model.evaluate(self.data(half)) if e["metric"] == "accuracy")
            self.table["accuracy"][name] = accuracy
            write_json(self.path, self.table, indent=1)
            print(f"{name}: {accuracy:.4f}", flush=True)

    def fresh(self, num_classes: int) -> ImageClassifier:
        L.seed_everything(0, verbose=False)
        model = zoo.create(self.architecture, num_classes=num_classes, **self.init)
        if not isinstance(model, ImageClassifier):
            raise InputError(f"{self.architecture} is no image classifier: there is nothing to carry over")
        return model

    def data(self, half: str) -> Subset:
        flip = {"flip": "random", "translate": 4}
        return Subset(self.dataset, only=self.halves[half], per_class=self.settings["per_class"], augment=flip)

    def base(self, half: str) -> ImageClassifier:
        """The network that learnt a half from scratch; trained when it is first asked for."""
        if half not in self.bases:
            self.bases[half] = self.fit(self.fresh(len(self.halves[half])), half)
        return self.bases[half]

    def transfer(self, kind: str, parts: list[str]) -> ImageClassifier:
        model, base = self.fresh(len(self.halves["B"])), self.base(kind[0])
        for part in parts:
            model.get_submodule(part).load_state_dict(base.get_submodule(part).state_dict())
        if not kind.endswith("+"):
            model.freeze(*parts)
        return self.fit(model, "B")

    def fit(self, model: ImageClassifier, half: str) -> ImageClassifier:
        knobs = {"epochs": self.settings["epochs"], "lr": self.settings["lr"]}
        fitting.tune(model, self.data(half), layer_decay=1.0, trainer=self.trainer, **knobs)
        return model.cpu()


def draw(table: dict[str, Any], path: Path) -> None:
    """The figure of the paper: accuracy on B over n."""
    accuracy, n = table["accuracy"], range(1, len(table["parts"]) + 1)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for kind in KINDS:
        axes.plot(n, [100 * accuracy[f"{kind} {i}"] for i in n], STYLES[kind], label=kind)
    axes.axhline(100 * accuracy["baseB"], color="black", linewidth=1, label="base B")
    axes.set_xticks(n, [f"{i}\n{part}" for i, part in zip(n, table["parts"], strict=True)])
    axes.set_xlabel("parts taken over")
    axes.set_ylabel("accuracy on B, %")
    axes.legend()
    write_figure(path, figure, dpi=90)


def extra(name: str, table: dict[str, Any]) -> str:
    """The card's own section, in Markdown."""
    accuracy, n = table["accuracy"], range(1, len(table["parts"]) + 1)
    few = table["per_class"]
    command = f"python scripts/transfer_grid.py {name} --epochs {table['epochs']} --lr {table['lr']:g}"
    lines = [
        "## What carries over\n",
        f"Accuracy on the test images of half B ({', '.join(table['halves']['B'])}) after {table['epochs']} epochs on "
        f"{f'{few:,} training images' if few else 'all training images'} of each class, one seed.",
        f"The first n parts come from a network that had learnt A ({', '.join(table['halves']['A'])}), or B itself;",
        f"+ tunes them along. Base B from scratch: {accuracy['baseB']:.2%}. `{command}{f' --per-class {few}' if few else ''}`\n",
        "| n | up to | " + " | ".join(KINDS) + " |",
        "|---" * (2 + len(KINDS)) + "|",
    ]
    for i, part in zip(n, table["parts"], strict=True):
        lines.append(f"| {i} | {part} | " + " | ".join(f"{accuracy[f'{kind} {i}']:.2%}" for kind in KINDS) + " |")
    return "\n".join([*lines, "\n![transfer grid](transfer_grid.png)\n"])


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a folder of checkpoints/ whose recipe names the architecture")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--per-class", type=int, help="training images of each class (default: all)")
    parser.add_argument("--into", type=Path, help="folder of the results (default: the checkpoint's)")
    options = parser.parse_args(argv)
    folder = Path(__file__).parent.parent / "checkpoints" / plain_name(options.name, "the name of a recipe")
    recipe = read_recipe(folder / "recipe.yaml")
    into = options.into or folder
    into.mkdir(parents=True, exist_ok=True)
    architecture = recipe["model"]["class_path"].rpartition(".")
    names = {target: name for name, target in registry.ARCHITECTURES.items()}
    grid = Grid(
        names[f"{architecture[0]}:{architecture[2]}"],
        recipe["model"].get("init_args", {}),
        options.name.partition("-")[2],
        into / "transfer_grid.json",
        epochs=options.epochs,
        lr=options.lr,
        per_class=options.per_class,
        trainer={"accelerator": "auto" if torch.cuda.is_available() else "cpu"},
    )
    table = grid.run()
    draw(table, into / "transfer_grid.png")
    write_section(into, extra(options.name, table))
    return 0


if __name__ == "__main__":
    sys.exit(ended(main))
