"""The sweep of a conditional model's card: quality and certainty against the guidance weight.

    python scripts/figures/guidance.py cfg-ddpm-mnist                    # minutes on a GPU, far more on a CPU
    python scripts/figures/guidance.py cfg-ddpm-mnist --images 500       # a look at it
    python scripts/figures/guidance.py noisy-classifier-mnist --images 500 --base ddpm-mnist     # classifier guidance

For each weight w: FCD, and the share of the images that a second classifier takes for the class asked for. Writes guidance.png,
classes.png, guidance.json and extra.md into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card. Distances
fall with the number of images, so the floor is measured at the same number.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import zoo
from zoo.core.files import write_figure, write_json
from zoo.core.images import save_grid
from zoo.core.module import ZooModule
from zoo.core.precision import quick_autocast
from zoo.errors import InputError, one_sentence
from zoo.metrics.features import class_probabilities, embed, to_uint8
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.reference import images_of, load_pair
from zoo.metrics.reference import read as read_reference
from zoo.models.diffusion.cfg import ConditionalDDPM
from zoo.models.diffusion.guidance import NoisyClassifier, sample_guided
from zoo.store.cards import write_section
from zoo.store.hub import locate

WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0)
STEPS = 20


Draw = Callable[[Tensor, float], Tensor]  # images of labels [N] at a weight


def drawer(model: ZooModule, base: str, device: str) -> Draw:
    """How a conditional model draws, or a classifier that guides the unconditional model `base`.

    Raises:
        InputError: for a model that takes no guidance and gives none.
    """
    model.to(device)
    if isinstance(model, ConditionalDDPM):
        return lambda labels, w: model.sample(len(labels), seed=0, labels=labels, guidance=w, steps=STEPS).cpu()
    if isinstance(model, NoisyClassifier):
        guided = zoo.load(base).to(device)
        return lambda labels, w: sample_guided(guided, model, labels, strength=w, seed=0, steps=STEPS).cpu()
    raise InputError(f"{model.name} takes no guidance")


def sweep(draw: Draw, dataset: str, count: int, device: str) -> dict[str, Any]:
    """FCD, accuracy and milliseconds per image for every weight, from `count` images each."""
    reference, (extractor, oracle) = read_reference(dataset), load_pair(dataset)

    def fcd(images: Tensor) -> float:
        features = embed(extractor, to_uint8(images, shape))
        return frechet_distance(*gaussian_statistics(features), reference.mean, reference.covariance)

    train, train_labels = images_of(dataset)[0], zoo.datamodule(dataset).tensors("train")[1]
    shape = tuple(train.shape[1:])
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    floors = [fcd(train[order[i * count : (i + 1) * count]].float() / 255) for i in range(3)]
    labels, rows = train_labels[:count], []
    for weight in WEIGHTS:
        started = time.perf_counter()
        context, precision = quick_autocast(device)
        with context:
            images = draw(labels, weight)
        milliseconds = 1e3 * (time.perf_counter() - started) / count
        found = class_probabilities(oracle, to_uint8(images, shape)).argmax(1)
        accuracy = (found == labels).double().mean().item()
        rows.append({"guidance": weight, "fcd": fcd(images), "accuracy": accuracy, "ms": milliseconds})
        print({k: round(v, 4) for k, v in rows[-1].items()}, flush=True)
    return {"images": count, "floor": sum(floors) / len(floors), "device": device, "precision": precision, "rows": rows}


def draw(table: dict[str, Any], path: Path) -> None:
    """Both curves over the weight."""
    weights = [row["guidance"] for row in table["rows"]]
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    left = figure.subplots()
    left.plot(weights, [row["fcd"] for row in table["rows"]], color="tab:blue", marker=".")
    left.axhline(table["floor"], color="tab:blue", linestyle=":", linewidth=1)
    left.set_xlabel("guidance weight w")
    left.set_ylabel("FCD (dotted: real images)", color="tab:blue")
    right = left.twinx()
    right.plot(weights, [row["accuracy"] for row in table["rows"]], color="tab:red", marker=".")
    right.set_ylabel("class as asked for", color="tab:red")
    write_figure(path, figure, dpi=90)


def extra(name: str, table: dict[str, Any]) -> str:
    """The card's own section, in Markdown."""
    lines = [
        "## Guidance\n",
        f"FCD and the share of images of the class asked for, {table['images']:,} images for each weight, {STEPS} ancestral steps"
        f"{table['guided']}; as many real training "
        f"images have an FCD of {table['floor']:.2f}. Milliseconds per image on the {table['device']}, {table['precision']}. "
        f"`python scripts/figures/guidance.py {name} --images {table['images']}`\n",
        "| w | FCD | × floor | class as asked for | ms/image |",
        "|---|---|---|---|---|",
    ]
    for r in table["rows"]:
        ratio = r["fcd"] / table["floor"]
        lines.append(f"| {r['guidance']:g} | {r['fcd']:.2f} | {ratio:.1f} | {r['accuracy']:.2%} | {r['ms']:.1f} |")
    lines.append(
        "\n![guidance](guidance.png)\n\nThe same noise, a row for each w of 0, 1, 3 and 8:\n\n![classes](classes.png)\n"
    )
    return "\n".join(lines)


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--base", default="ddpm-mnist", help="what a classifier guides")
    options = parser.parse_args()
    folder, model = locate(options.name), zoo.load(options.name)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    draws = drawer(model, options.base, device)
    labels = torch.arange(20) % model.num_classes
    grid = [draws(labels, w) for w in (0.0, 1.0, 3.0, 8.0)]
    save_grid(torch.cat(grid), folder / "classes.png", columns=20)
    guided = f" of {options.base}" if isinstance(model, NoisyClassifier) else ""
    table = sweep(draws, model.data["name"], options.images, device) | {"guided": guided}  # type: ignore[index]
    draw(table, folder / "guidance.png")
    write_json(folder / "guidance.json", table, indent=1)
    used = [options.name, options.base] if guided else [options.name]
    write_section(folder, extra(options.name, table), measured_on=used)
    return 0


if __name__ == "__main__":
    sys.exit(main())
