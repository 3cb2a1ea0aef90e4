"""What the random field after DeepLab does: overlaps without and with it, and a street before and after.

    python scripts/figures/random_field.py          # four minutes on one core; needs CamVid; writes a section into each card

The three versions on the validation and on the test part of CamVid. Version 3 was published without a random field; it has a
row with one too.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import zoo
from zoo.core.drawing import drawn_street
from zoo.core.files import write_figure
from zoo.core.verbs import looking
from zoo.errors import one_sentence
from zoo.models.segmentation.crf import mean_field
from zoo.models.segmentation.metrics import class_metrics
from zoo.store.cards import write_section
from zoo.store.hub import locate

NAMES = ("deeplabv3-camvid.v1", "deeplabv3-camvid.v2", "deeplabv3-camvid")
PICTURE = "random-field.png"
ROUNDS = 5


def overlaps(
    model: Any, batches: Iterable[tuple[Tensor, Tensor]], classes: list[str], rounds: int
) -> tuple[float, float]:
    """Mean IoU of a model's maps without and with `rounds` of the random field."""
    bare, joined, truth = [], [], []
    with looking(model):
        for x, y in batches:
            logits = model(x).float()
            bare.append(logits.argmax(1))
            joined.append(mean_field(logits, x, rounds=rounds).argmax(1))
            truth.append(y)
    y = torch.cat(truth)
    found = [class_metrics(torch.cat(maps), y, classes, model.void, "camvid")[0] for maps in (bare, joined)]
    return found[0]["value"], found[1]["value"]


def street(model: Any, path: Path, rounds: int = ROUNDS) -> Path:
    """A drawn street, the class of each pixel without and with the random field, and where the two differ."""
    picture = drawn_street()[0]
    with looking(model):
        x = model.transform(picture)[None]
        logits = model(x).float()
        without, after = (z.argmax(1)[0] for z in (logits, mean_field(logits, x, rounds=rounds)))
    figure = Figure(figsize=(9, 2.1), layout="constrained")
    shown = torch.nn.functional.interpolate(picture[None].float(), without.shape).byte()[0].permute(1, 2, 0)
    titles = ("picture", "network alone", f"{rounds} rounds of the field", "pixels that changed")
    for axis, image, title in zip(
        figure.subplots(1, 4), (shown, without, after, (without != after).float()), titles, strict=True
    ):
        colours = {"cmap": "gray_r", "vmax": 1} if image.is_floating_point() else {"cmap": "tab20", "vmax": 19}
        options = {} if image.ndim == 3 else {**colours, "vmin": 0}
        axis.imshow(image, interpolation="nearest", **options)
        axis.set(title=title, xticks=[], yticks=[])
    write_figure(path, figure, dpi=90)
    return path


def section(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown, a row a version."""
    lines = [
        "## Without and with a random field\n",
        f"![Random field]({PICTURE})\n",
        f"Mean IoU of the maps as the network gives them, and after {ROUNDS} rounds of the random field, whose settings are the "
        "same for all. A picture of a drawn street is above, since those of CamVid may not be passed on.\n",
        "| model | validation, without | with | test, without | with |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | " + " | ".join(f"{value:.3f}" for value in (*row["val"], *row["test"])) + " |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), help="checkpoints that segment CamVid")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = zoo.datamodule("camvid")
    data.setup("fit")
    data.setup("test")
    rows = []
    for name in options.names:
        model = zoo.load(name)
        loaders = {"val": data.val_dataloader(), "test": data.test_dataloader()}
        found = {split: overlaps(model, loader, list(data.classes), ROUNDS) for split, loader in loaders.items()}
        rows.append({"name": name, **found})
        print(rows[-1], flush=True)
    for name in options.names:
        street(zoo.load(name), locate(name) / PICTURE)
        write_section(locate(name), section(rows), measured_on=options.names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
