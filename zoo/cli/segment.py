"""Give every pixel of pictures a class and draw what was found over them."""

import argparse
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
    command.add_argument(
        "--map", action="store_true", help="write the numbers of classes or objects as a PNG, too (FILE.map.png)"
    )


def run(options: argparse.Namespace) -> None:
    from PIL import Image

    from zoo.core.drawing import outputs, paint_classes, paint_instances
    from zoo.core.files import write_picture
    from zoo.core.images import read_image
    from zoo.core.protocols import Segments, meets

    model: Any = zoo.load(options.name)
    if not meets(model, Segments):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't segment pictures")
    targets = outputs(options.files, options.output, ".segmented.png")
    counted = getattr(model, "border", False)
    for file, target in zip(options.files, targets, strict=True):
        picture = read_image(file)
        found = model.instances(picture) if counted else model.segment(picture)
        names = model.classes or [str(i) for i in range(model.num_classes)]
        painted = paint_instances(picture, found) if counted else paint_classes(picture, found, names)
        write_picture(target, Image.fromarray(painted.permute(1, 2, 0).numpy()))
        if options.map:
            write_picture(target.with_suffix(".map.png"), Image.fromarray(found.numpy().astype("uint16")))
        if counted:
            area = found.count_nonzero().item() / found.numel()
            text = f"{int(found.max())} × {names[-1]}, {area:.1%} of the pixels"
        else:
            shares = found.flatten().bincount(minlength=len(names)).double() / found.numel()
            order = sorted(range(len(names)), key=lambda i: -shares[i])
            text = ", ".join(f"{names[i]} {shares[i]:.1%}" for i in order if shares[i] > 0)
        print(f"{file}: {text}   {target}", flush=True)
