"""Give grey pictures colours, each at its own size."""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument(
        "files", nargs="+", type=Path, help="image files; the colours of coloured ones are not looked at"
    )
    command.add_argument(
        "-o", "--output", type=Path, default=Path("."), help="a folder, or a PNG file where there is one picture"
    )


def run(options: argparse.Namespace) -> None:
    from PIL import Image

    from zoo.core.drawing import outputs
    from zoo.core.files import write_picture
    from zoo.core.protocols import Colorizes, meets

    model: Any = zoo.load(options.name)
    if not meets(model, Colorizes):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't colour pictures")
    targets = outputs(options.files, options.output, ".coloured.png")
    for file, target in zip(options.files, targets, strict=True):
        pixels = (model.colorize(file) * 255).round().byte().permute(1, 2, 0)  # [H, W, 3]
        write_picture(target, Image.fromarray(pixels.numpy()))
        print(f"{file}: {target}", flush=True)
