"""What is a backbone worth? The same table for every one: supervised, self-supervised, random.

    python scripts/backbones.py                                        # the self-supervised ones, random and from scratch
    python scripts/backbones.py simclr-cifar10 resnet20-cifar10        # some of them
    python scripts/backbones.py simclr-cifar10 --shots                 # one and five shots alone, half a minute each

A linear probe with all labels and with 1 % of them, the nearest neighbours, one and five shots, and the network fine-tuned at
1 %, on CIFAR-10; the draws of the labels are the same for every backbone. Beside them the first one's architecture with random
weights, and trained from scratch on the same 1 % by the same steps and augmentation. Writes docs/backbones.json, after every
number so that a run that was cut goes on, docs/backbones.md with the table, and a section of the card of each name.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo import registry
from zoo.cli.main import ended
from zoo.core.allocator import keep_freed_memory
from zoo.core.classifier import ImageClassifier
from zoo.core.files import write_json, write_text
from zoo.core.module import init_arguments
from zoo.errors import InputError, one_sentence
from zoo.metrics.features import embed
from zoo.metrics.transfer import DRAWS, all_labels, few_labels, few_shot, fine_tuned, probe_entries
from zoo.paths import ROOT
from zoo.store.cards import write_section
from zoo.store.folder import read_config
from zoo.store.hub import locate

NAMES = ("simclr-cifar10", "byol-cifar10", "rotnet-cifar10", "jigsaw-cifar10", "colorization-cifar10")
COLUMNS = {
    "probe_accuracy": "linear probe, all labels",
    "probe_accuracy_1pct": "linear probe, 1 %",
    "knn_accuracy": "20 nearest neighbours",
    "one_shot": "one shot",
    "five_shots": "five shots",
    "finetuned_1pct": "fine-tuned, 1 %",
    "scratch_1pct": "from scratch, 1 %",
}


def backbone(name: str, *, random: bool = False) -> ImageClassifier:
    """A backbone of the zoo, or one of its architecture with fresh weights."""
    model = zoo.load(name)
    if not isinstance(model, ImageClassifier):
        raise InputError(f"{name} is made for {model.task}: only backbones of images are compared here")
    if not random:
        return model
    torch.manual_seed(0)
    fresh = zoo.create(registry.name_of(type(model), registry.ARCHITECTURES), **init_arguments(model)).eval()
    assert isinstance(fresh, ImageClassifier)
    fresh.transform, fresh.name = model.transform, f"random {name}"
    return fresh


def measured(name: str, data: Any) -> dict[str, float]:
    """The probes and neighbours of a name: those of its metrics.json where it has them."""
    path = locate(name) / "metrics.json"
    found = {entry["metric"]: entry["value"] for entry in json.loads(path.read_text(encoding="utf-8"))}
    if "probe_accuracy" not in found:
        found = {entry["metric"]: entry["value"] for entry in probe_entries(backbone(name), data)}
    return {key: found[key] for key in ("probe_accuracy", "probe_accuracy_1pct", "knn_accuracy")}


def shots(model: ImageClassifier, parts: dict[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """The nearest mean of one and of five embeddings a class: drawn among 1,000 training images, asked of 2,000 test images."""
    (x, y), (test_x, test_y) = (
        (images[:most], labels[:most])
        for (images, labels), most in zip((parts["all"], parts["test"]), (1000, 2000), strict=True)
    )
    z, test_z = embed(model, x), embed(model, test_x)
    return {key: few_shot(z, y, test_z, test_y, count) for key, count in (("one_shot", 1), ("five_shots", 5))}


def few(model: ImageClassifier, parts: dict[str, tuple[Tensor, Tensor]], steps: int, *, scratch: bool) -> list[float]:
    """Test accuracies at 1 % of the labels, one a draw."""
    (x, y), (test_x, test_y) = parts["all"], parts["test"]
    values = []
    for draw in range(DRAWS):
        i = few_labels(y, draw=draw)
        first = 0 if scratch else steps // 4
        values.append(fine_tuned(model, x[i], y[i], test_x, test_y, steps=steps, head_first=first, seed=draw))
    return values


def fill(
    table: dict[str, Any], names: list[str], data: Any, steps: int, into: Path, *, shots_alone: bool = False
) -> None:
    """Every number that the table lacks, the cheap and telling ones first; kept after each."""
    parts = {"all": all_labels(data), "test": data.tensors("test")}

    def keep(row: str, values: dict[str, Any]) -> None:
        table.setdefault(row, {}).update(values)
        write_json(into / "backbones.json", table, indent=1)
        text = HEAD + markdown(table, steps)
        write_text(into / "backbones.md", text)
        print(row, values, flush=True)

    kinds = {name: "random encoder, of grey" if "colorization" in name else "random encoder" for name in names}
    for name in names:
        weights = read_config(locate(name))["weights"]["sha256"][:16]
        if table.get(name, {}).get("weights", weights) != weights:
            del table[name]  # measured on weights that this name had before
        table.setdefault(name, {})["weights"] = weights
        if "probe_accuracy" not in table[name]:
            keep(name, measured(name, data))
        for row, random in ((name, False), (kinds[name], True)):
            if "one_shot" not in table.get(row, {}):
                keep(row, shots(backbone(name, random=random), parts))
    for name in [] if shots_alone else names:
        if "finetuned_1pct" not in table.get(name, {}):
            keep(name, {"finetuned_1pct": few(backbone(name), parts, steps, scratch=False)})
        if "scratch_1pct" not in table.get(kinds[name], {}):
            keep(kinds[name], {"scratch_1pct": few(backbone(name, random=True), parts, steps, scratch=True)})
    for name in [] if shots_alone else names:
        if "probe_accuracy" not in table[kinds[name]]:
            entries = probe_entries(backbone(name, random=True), data)
            keep(kinds[name], {entry["metric"]: entry["value"] for entry in entries})


HEAD = """# What a backbone is worth

Shares of right answers, from features that were learnt without labels. A probe and neighbours take the features as they are;
fine-tuning goes on from them, and is shown beside the same network that learns from nothing.

"""


def markdown(table: dict[str, Any], steps: int) -> str:
    """The table, in Markdown."""
    lines = [
        "| backbone | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (1 + len(COLUMNS)) + "|",
    ]
    for row, values in table.items():
        cells = []
        for column in COLUMNS:
            value = values.get(column)
            if isinstance(value, list):
                spread = torch.tensor(value)
                cells.append(f"{spread.mean():.1%} ± {spread.std():.1%}")
            else:
                cells.append("" if value is None else f"{value:.1%}")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines.append(
        f"\nTest split of CIFAR-10. 1 % are fifty labels a class, mean ± standard deviation of {DRAWS} draws; fine-tuned and "
        f"from scratch by the same {steps} steps of 64 images, AdamW with a cosine, mirrored and moved by up to four pixels. The "
        "probe is a logistic regression on standardised embeddings. With one or five shots, an image is of the class whose mean "
        "embedding is nearest by cosine: mean of 200 draws, 2,000 test images. `python scripts/backbones.py`"
    )
    return "\n".join(lines) + "\n"


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--shots", action="store_true", help="one and five shots alone")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="folder of the table (default: docs)")
    options = parser.parse_args(argv)
    path = options.into / "backbones.json"
    table = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    names = [name for name in options.names if (locate(name) / "config.json").is_file()]
    fill(
        table, names, zoo.datamodule("cifar10", normalize=False), options.steps, options.into, shots_alone=options.shots
    )
    for name in names:
        own = {row: values for row, values in table.items() if row == name or row.startswith("random")}
        write_section(locate(name), "## Beside other backbones\n\n" + markdown(own, options.steps), measured_on=[name])
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(ended(main))
