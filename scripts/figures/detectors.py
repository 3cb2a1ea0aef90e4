"""Precision beside the time an image takes, for the detectors of digits: R-CNN, Fast R-CNN and YOLO.

    python scripts/figures/detectors.py                        # rcnn-mnist, fastrcnn-mnist and yolo-mnist; or give names

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


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), help="checkpoints that detect on canvases")
    parser.add_argument("--images", type=int, default=100, help="canvases to time (default: 100)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = zoo.datamodule("mnist-canvases", limit=options.images)
    canvases, _ = data.load_split("test")
    rows = [measure(name, canvases) for name in options.names]
    for name in options.names:
        write_section(locate(name), section(rows, len(canvases)), measured_on=options.names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
