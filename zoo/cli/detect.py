"""Find objects in pictures, list them, and draw a box around each."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("files", nargs="+", type=Path, help="image files")
    command.add_argument(
        "-o", "--output", type=Path, default=Path("."), help="a folder, or a PNG file where there is one picture"
    )
    command.add_argument("--threshold", type=float, default=0.3, help="the least probability (default: 0.3)")
    command.add_argument("--list", action="store_true", help="print every box with its class and probability, too")


def run(options: argparse.Namespace) -> None:
    from zoo.core.drawing import draw_boxes, outputs
    from zoo.core.files import write_picture
    from zoo.core.images import read_image
    from zoo.core.protocols import Detects, meets

    model: Any = zoo.load(options.name)
    if not meets(model, Detects):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't detect objects")
    targets = outputs(options.files, options.output, ".detected.png")
    for file, target in zip(options.files, targets, strict=True):
        picture = read_image(file)
        found = model.detect(picture, options.threshold)
        write_picture(target, draw_boxes(picture, found, model.classes or []))
        counts = Counter(name for name, _, _ in found)
        text = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
        print(f"{file}: {text}   {target}", flush=True)
        if options.list:
            for name, p, (x0, y0, x1, y1) in found:
                print(f"  {name:12} {p:.3f}  {x0:.1f} {y0:.1f} {x1:.1f} {y1:.1f}")
