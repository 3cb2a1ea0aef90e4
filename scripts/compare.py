"""One table of all models of a task and data set, and a picture with a row of samples of each.

    python scripts/compare.py --task image-generation --data mnist
    python scripts/compare.py --task image-generation --data fashion-mnist --images 64     # time more images of each

Distances, parameters and training times are those that the checkpoints publish; the milliseconds are measured here, on this
machine. Writes docs/compare-TASK-DATA.md and .png; `scripts/cards.py` puts the table into MODEL_CARDS.md.
"""

import argparse
import inspect
import sys
import time
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.cli.main import ended
from zoo.core.files import write_text
from zoo.core.images import save_grid
from zoo.core.progress import track
from zoo.errors import InputError, one_sentence
from zoo.index import ModelInfo, models
from zoo.paths import CHECKPOINTS
from zoo.store.cards import Folder, training_time
from zoo.store.hub import locate
from zoo.train.callbacks import cpu_name

COLUMNS = 11  # samples of a model: forty models make a picture below 200 kB
# A generator's condition by an argument of its `sample`, the richest first: distances compare within one kind.
CONDITIONS = {"control": "Drawn from edges", "prompt": "Drawn from a caption", "labels": "Drawn from a class"}
FREE = "Drawn from noise alone"


def generators(task: str, dataset: str) -> list[ModelInfo]:
    """The models of a task and data set, as `zoo.models` finds them, that publish a Fréchet distance, best first.

    Raises:
        InputError: if there is none; it names the tasks and data sets that there are.
    """
    found = [m for m in models(task=task, dataset=dataset) if m.metric(f"{dataset}/test/fcd") is not None]
    if not found:
        known = sorted({f"{m.task} on {m.dataset}" for m in models() if m.metric("fcd") is not None})
        raise InputError(f"no model of {task!r} on {dataset!r} publishes an fcd; there are: {', '.join(known)}")
    return sorted(found, key=lambda m: m.metric(f"{dataset}/test/fcd") or 0.0)


def measure(info: ModelInfo, dataset: str, images: int) -> tuple[dict[str, Any], torch.Tensor]:
    """A row of the table, and a row of samples; `images` are drawn in one call and timed, after a call to warm up."""
    model = zoo.load(info.name)
    row = model.sample(COLUMNS, seed=0)
    started = time.perf_counter()
    model.sample(images, seed=1)
    milliseconds = 1e3 * (time.perf_counter() - started) / images
    folder = Folder(locate(info.name))
    value = {key: info.metric(f"{dataset}/test/{key}") for key in ("fcd", "fcd_floor", "class_histogram_kl", "nll")}
    table = {
        "name": info.name,
        "parameters": info.parameters,
        "ms": milliseconds,
        "trained": training_time(folder),
        **value,
    }
    table["condition"] = condition(model)
    table["hardware"] = "GPU" if "NVIDIA" in folder.provenance["hardware"] else "CPU"
    return table, row


def condition(model: Any) -> str:
    """What a generator's images depend on beside the noise, as a title."""
    for argument, title in CONDITIONS.items():
        if argument in inspect.signature(model.sample).parameters:
            try:
                if argument == "labels":
                    model.sample(1, labels=[0], seed=0)
            except InputError:  # takes the argument to refuse it
                continue
            return title
    return FREE


def markdown(rows: list[dict[str, Any]], task: str, dataset: str, images: int, baseline: float | None) -> str:
    """The table as a section of MODEL_CARDS.md."""
    stem = f"compare-{task}-{dataset}"
    floor = rows[0]["fcd_floor"]
    versus = f", samples of a Gaussian in pixel space {baseline:.1f}" if baseline else ""
    lines = [
        f"## All of {task} on {dataset}, side by side\n",
        f"Fréchet distance of 10,000 samples (FCD, see `zoo.metrics`; real training images have {floor:.3f}{versus}); "
        f"milliseconds an image for {images} images at a time on {torch.get_num_threads()} thread(s) of {cpu_name()}; "
        f"`python scripts/compare.py --task {task} --data {dataset}`\n",
        "Distances compare within one of the tables: edges, a caption or a class of a real image already say much of it.\n",
    ]
    for title in (FREE, *reversed(CONDITIONS.values())):
        if not (alike := [r for r in rows if r["condition"] == title]):
            continue
        lines += [
            f"**{title}**\n",
            "| model | FCD | × floor | class KL | ms/image | parameters | trained |",
            "|---|---|---|---|---|---|---|",
        ]
        for r in alike:
            kl = "" if r["class_histogram_kl"] is None else f"{r['class_histogram_kl']:.4f}"
            lines.append(
                f"| [{r['name']}](checkpoints/{r['name']}/README.md) | {r['fcd']:.2f} | {r['fcd'] / r['fcd_floor']:.0f} | {kl} "
                f"| {r['ms']:.2f} | {r['parameters']:,} | {r['hardware']}, {r['trained']} |"
            )
        lines.append("")
    names = ", ".join(r["name"] for r in rows)
    lines.append(f"![samples](docs/{stem}.png)\n\nA row of samples each, top to bottom: {names}.\n")
    return "\n".join(lines)


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="image-generation")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--images", type=int, default=64, help="images to time (default: 64)")
    parser.add_argument("--into", type=Path, default=CHECKPOINTS.parent / "docs", help="folder (default: docs)")
    options = parser.parse_args()
    if options.images < 1:
        raise InputError(f"--images must be at least 1, not {options.images}")
    found = generators(options.task, options.data)
    measured = []
    for info in track(found, "comparing"):
        measured.append(measure(info, options.data, options.images))
        row = measured[-1][0]
        print(f"{row['name']}: FCD {row['fcd']:.2f}, {row['ms']:.2f} ms an image", flush=True)
    rows = [row for row, _ in measured]
    baseline = found[0].metric(f"{options.data}/test/fcd_pca_gaussian")
    text = markdown(rows, options.task, options.data, options.images, baseline)
    stem = f"compare-{options.task}-{options.data}"
    save_grid(torch.cat([images for _, images in measured]), options.into / f"{stem}.png", columns=COLUMNS)
    write_text(options.into / f"{stem}.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(ended(main))
