"""Precision beside the time an image takes, for the detectors of digits: R-CNN, Fast R-CNN and YOLO.

    python scripts/figures/detectors.py                        # rcnn-mnist, fastrcnn-mnist and yolo-mnist; or give names
    python scripts/figures/detectors.py --blood                # yolo-bccd and fasterrcnn-bccd beside torchvision's detectors

Precision is what the checkpoints publish; the CPU time is measured here on packaged draws of canvases, one thread, with the
proposals apart from the network, since the papers time the network alone. Writes a section into each card.
"""

import argparse
import sys
import time
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.errors import one_sentence
from zoo.store.cards import write_section
from zoo.store.hub import locate

NAMES = ("rcnn-mnist", "fastrcnn-mnist", "yolo-mnist")
BLOOD = ("yolo-bccd", "fasterrcnn-bccd")
STOCK = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
)  # of torchvision.models.detection


def milliseconds(run: Any, images: list[Tensor]) -> float:
    """CPU milliseconds an image of a call on each image, after one call to warm up."""
    run(images[0])
    started = time.process_time()
    for image in images:
        run(image)
    return 1e3 * (time.process_time() - started) / len(images)


def measure(name: str, canvases: Tensor) -> dict[str, Any]:
    """A row of the table.

    Args:
        canvases: uint8 [N, 1, 128, 128].
    """
    model = zoo.load(name)
    images = [model.transform(one)[None] for one in canvases]
    with torch.no_grad():
        whole = milliseconds(lambda x: model.boxes(x, 0.3), images)
        propose = getattr(model, "proposals", None)
        proposing = milliseconds(propose, images) if propose else 0.0
        regions = sum(len(propose(x)[0]) for x in images) / len(images) if propose else None
    info = zoo.info(name)
    return {
        "name": name,
        "ap50": info.metric("ap50"),
        "ap": info.metric("ap"),
        "proposing": proposing,
        "network": whole - proposing,
        "regions": regions,
        "parameters": info.parameters,
    }


def section(rows: list[dict[str, Any]], images: int) -> str:
    """The table, and what the ratio of the first two rows is."""
    lines = [
        "## Three generations of detectors\n",
        f"CPU milliseconds an image, mean of {images} canvases of the test part, one at a time on one thread.\n",
        "| model | AP50 | AP | regions | proposals, ms | network, ms | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        regions = "" if r["regions"] is None else f"{r['regions']:.0f}"
        lines.append(
            f"| {r['name']} | {r['ap50']:.3f} | {r['ap']:.3f} | {regions} | {r['proposing']:.1f} | {r['network']:.1f} "
            f"| {r['parameters']:,} |"
        )
    by = {r["name"]: r for r in rows}
    if {"rcnn-mnist", "fastrcnn-mnist"} <= set(by):
        ratio = by["rcnn-mnist"]["network"] / by["fastrcnn-mnist"]["network"]
        lines.append(
            f"\nR-CNN's network takes {ratio:.1f} times as long as Fast R-CNN's here. The paper has 146: VGG16 for a LeNet-5, "
            "and two thousand regions in place of these.\n"
        )
    return "\n".join(lines) + "\n"


def stock(name: str, pictures: list[Tensor], classes: int) -> dict[str, Any]:
    """A row of the table for a detector of torchvision, as it comes but for its number of classes and without weights.

    What it takes doesn't depend on the values of its weights but through the count of boxes that are left.
    """
    from torchvision.models import get_model

    model = get_model(name, weights=None, weights_backbone=None, num_classes=classes + 1).eval()
    images = [picture.float() / 255 for picture in pictures]
    with torch.no_grad():
        whole = milliseconds(lambda x: model([x]), images)
    return {"name": f"torchvision {name}", "whole": whole, "parameters": sum(w.numel() for w in model.parameters())}


def blood(pictures: list[Tensor]) -> list[dict[str, Any]]:
    """Rows of the table for blood cells: ours with their AP50, and torchvision's.

    Args:
        pictures: uint8 [3, 480, 640] each.
    """
    rows = []
    for name in BLOOD:
        model, info = zoo.load(name), zoo.info(name)
        whole = milliseconds(lambda x: model.detect(x, threshold=0.3), pictures)  # noqa: B023
        rows.append({"name": name, "whole": whole, "parameters": info.parameters, "ap50": info.metric("ap50")})
    return [*rows, *(stock(name, pictures, 3) for name in STOCK)]


def blood_section(rows: list[dict[str, Any]], images: int) -> str:
    """The table of `blood` in Markdown."""
    lines = [
        "## Beside torchvision's detectors\n",
        f"CPU milliseconds a picture of 640 x 480 pixels, mean of {images} of the test part, one at a time on one thread, from "
        "pixels to boxes. torchvision's networks have their own sizes of picture, and no weights here, so no precision.\n",
        "| model | AP50 | ms a picture | parameters |",
        "|---|---|---|---|",
    ]
    for r in rows:
        precision = f"{r['ap50']:.3f}" if "ap50" in r else ""
        lines.append(f"| {r['name']} | {precision} | {r['whole']:.0f} | {r['parameters']:,} |")
    return "\n".join(lines) + "\n"


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), help="checkpoints that detect on canvases")
    parser.add_argument("--images", type=int, default=100, help="canvases to time (default: 100)")
    parser.add_argument("--blood", action="store_true", help="measure the detectors of blood cells, on 10 pictures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.blood:
        pictures = list(zoo.datamodule("bccd", size=(480, 640)).load_split("test")[0][:10])
        found = blood(pictures)
        for name in BLOOD:
            write_section(locate(name), blood_section(found, len(pictures)), measured_on=BLOOD)
        return 0
    data = zoo.datamodule("mnist-canvases", limit=options.images)
    canvases, _ = data.load_split("test")
    rows = [measure(name, canvases) for name in options.names]
    for name in options.names:
        write_section(locate(name), section(rows, len(canvases)), measured_on=options.names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
