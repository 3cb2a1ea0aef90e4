"""What a pretrained network is worth when labels are few: fine-tuned, a linear probe, and the same network from scratch.

    python scripts/figures/transfer.py resnet18-cifar10
    python scripts/figures/transfer.py speednet-cifar10 --data usps --seeds 1

1, 10 and 100 labels a class of other data sets; every method takes the same images. Both trainings take the same number of steps;
the probe is a logistic regression on the frozen network's embeddings, fitted to convergence. Accuracy on the full test split,
of one look at each image.
Writes transfer.png, transfer.json and extra.md into the checkpoint's folder; a run that was cut goes on.
"""

import argparse
import json
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import lightning as L
import torch
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

import zoo
from datamodules.subset import Subset
from zoo import registry
from zoo.core.allocator import keep_freed_memory
from zoo.core.classifier import ImageClassifier
from zoo.core.files import write_figure, write_json
from zoo.core.precision import quick_autocast, quick_precision
from zoo.errors import InputError, one_sentence
from zoo.metrics.features import class_probabilities, embed
from zoo.store.cards import write_section
from zoo.store.hub import locate
from zoo.train import fitting

LABELS = (1, 10, 100)
METHODS = ("fine-tuned", "linear probe", "from scratch")
DECAY = {"fine-tuned": 0.7, "from scratch": 1.0}  # of the learning rate, from layer to layer
C = 1.0  # inverse strength of the probe's L2 penalty, the library's default: with a label a class nothing could choose it
DATA: dict[str, dict[str, Any]] = {
    "fashion-mnist": {"of": "fashion-mnist"},
    "usps": {"of": "usps"},
    "cifar10-animals": {"of": "cifar10", "only": ["bird", "cat", "deer", "dog", "frog", "horse"]},
}


def accuracy(
    name: str, dataset: str, labels: int, method: str, *, steps: int, seed: int, trainer: dict[str, Any] | None = None
) -> float:
    """Test accuracy of a network that learnt a few labels a class of a data set by one of `METHODS`."""
    L.seed_everything(seed, verbose=False)
    model = load(name)
    data = part(model, dataset, labels, seed)
    if method == "linear probe":
        x, y = data.tensors("train")
        z, test_y = embedded_test_part(name, dataset)
        return float(fit_probe(embed(model, x), y).score(z.numpy(), test_y.numpy()))
    if method == "from scratch":
        transform = model.transform
        init = {k: v for k, v in model.hparams.items() if k != "num_classes"}
        model = zoo.create(registry.name_of(type(model), registry.ARCHITECTURES), num_classes=len(data.classes), **init)  # type: ignore[assignment]
        model.transform = transform
    fitting.adapt(model, data)
    data.prepare_data()
    data.setup("fit")
    epochs = max(1, round(steps / len(data.train_dataloader())))
    options = {"precision": quick_precision(), "enable_progress_bar": False, "limit_val_batches": 0} | (trainer or {})
    fitting.tune(model, data, epochs=epochs, lr=1e-3, layer_decay=DECAY[method], trainer=options)
    x, y = data.tensors("test")
    with quick_autocast(model.device.type)[0]:
        return (class_probabilities(model, x).argmax(1) == y).float().mean().item()


def load(name: str) -> ImageClassifier:
    """A classifier of the zoo, where it is quickest."""
    model = zoo.load(name)
    if not isinstance(model, ImageClassifier):
        raise InputError(f"{name} is made for {model.task}: only image classifiers are tried here")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


@lru_cache
def embedded_test_part(name: str, dataset: str) -> tuple[Tensor, Tensor]:
    """The network's embeddings [N, D] and the classes [N] of a test split: the same for every probe."""
    model = load(name)
    x, y = part(model, dataset, 1, 0).tensors("test")
    return embed(model, x), y


def fit_probe(z: Tensor, y: Tensor) -> Pipeline:
    """Multinomial logistic regression on embeddings z [N, D], each dimension standardised by these N; y: labels [N]."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=10_000)).fit(z.numpy(), y.numpy())


def part(model: ImageClassifier, dataset: str, labels: int, seed: int) -> Subset:
    """A data set with a few labels a class, as the network wants its images."""
    shift = max(1, min(model.transform.size) // 16)  # type: ignore[union-attr]  # a loaded model has one
    augment: Any = {"translate": shift} | ({"flip": "random"} if dataset != "usps" else {})  # digits aren't mirrored
    batch = min(64, labels * len(Subset(**DATA[dataset]).classes))
    more = {"per_class": labels, "draw": seed, "transform": model.transform, "augment": augment, "seed": seed}
    return Subset(batch_size=batch, **DATA[dataset], **more)


def draw(table: dict[str, Any], path: Path) -> None:
    """Accuracy over labels, a panel for each data set; bands are one standard deviation."""
    names = [name for name in DATA if any(key.startswith(f"{name}/") for key in table["accuracy"])]
    figure = Figure(figsize=(3.4 * len(names), 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for method in METHODS:
            values = torch.tensor([table["accuracy"][f"{name}/{n}/{method}"] for n in table["labels"]]) * 100
            mean = values.mean(1)
            spread = values.std(1) if values.shape[1] > 1 else torch.zeros(len(values))
            (line,) = axes.plot(table["labels"], mean, marker=".", label=method)
            axes.fill_between(table["labels"], mean - spread, mean + spread, alpha=0.2, color=line.get_color())
        axes.set_xscale("log")
        axes.set_xlabel("labels a class")
        axes.set_title(name)
    figure.axes[0].set_ylabel("test accuracy, %")
    figure.axes[0].legend()
    write_figure(path, figure, dpi=90)


def extra(name: str, table: dict[str, Any]) -> str:
    """The card's own section, in Markdown."""
    seeds = table["seeds"]
    lines = [
        "## With few labels\n",
        f"Accuracy on the full test split, mean ± standard deviation of {seeds} draws of the labelled images (and seeds), "
        f"{table['steps']} steps of training, in {quick_autocast('cuda' if torch.cuda.is_available() else 'cpu')[1]}; the probe "
        f"is a logistic regression on standardised embeddings (C = {C:g}), fitted to convergence. "
        f"`python scripts/figures/transfer.py {name} --steps {table['steps']} --seeds {seeds}`\n",
        "| data | labels a class | " + " | ".join(METHODS) + " |",
        "|---" * (2 + len(METHODS)) + "|",
    ]
    for dataset in DATA:
        for n in table["labels"]:
            cells = []
            for method in METHODS:
                values = torch.tensor(table["accuracy"].get(f"{dataset}/{n}/{method}", []))
                spread = f" ± {values.std():.1%}" if len(values) > 1 else ""
                cells.append(f"{values.mean():.1%}{spread}" if len(values) else "")
            if any(cells):
                lines.append(f"| {dataset} | {n} | " + " | ".join(cells) + " |")
    for dataset, what in DATA.items():
        if what["of"] in name and any(key.startswith(f"{dataset}/") for key in table["accuracy"]):
            lines.append(
                f"\n{dataset} are classes that the network had learnt with all their images: its probe shows what it knows, and"
            )
            lines.append("its fine-tuning what a few steps on a few images make it forget.")
    return "\n".join([*lines, "\n![accuracy over labels](transfer.png)\n"])


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data", choices=tuple(DATA), nargs="*", default=list(DATA))
    parser.add_argument("--labels", type=int, nargs="*", default=list(LABELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--into", type=Path, help="folder of the results (default: the checkpoint's)")
    options = parser.parse_args(argv)
    load(options.name)  # refused before anything is measured
    into = options.into or locate(options.name)
    settings = {"labels": options.labels, "seeds": options.seeds, "steps": options.steps, "probe": f"C = {C:g}"}
    kept = into / "transfer.json"
    table = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else settings | {"accuracy": {}}
    if {key: table.get(key) for key in settings} != settings:
        raise InputError(f"{kept} holds the numbers of other settings: choose another folder, or remove it")
    for dataset in options.data:
        for labels in options.labels:
            for method in METHODS:
                found = table["accuracy"].setdefault(f"{dataset}/{labels}/{method}", [])
                for seed in range(len(found), options.seeds):
                    found.append(accuracy(options.name, dataset, labels, method, steps=options.steps, seed=seed))
                    write_json(kept, table, indent=1)
                print(dataset, labels, method, [round(value, 4) for value in found], flush=True)
    draw(table, into / "transfer.png")
    write_section(into, extra(options.name, table), measured_on=[options.name])
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
