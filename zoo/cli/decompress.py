"""Decode the images of `zoo compress` exactly, as PNG files."""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, help="a file of `zoo compress`")
    command.add_argument("-o", "--output", type=Path, default=Path("images"), help="folder for 0000.png, 0001.png, …")
    command.add_argument("--model", default="vae-mnist", help="the model that compressed them")


def run(options: argparse.Namespace) -> None:
    if not options.file.is_file():
        raise InputError(f"there is no file {options.file}")
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"{options.output} is a file: name a folder for the images")
    import torch
    from PIL import Image

    from zoo.core.files import write_picture
    from zoo.theory import bits_back

    model: Any = zoo.load(options.model)
    images = bits_back.decompress(model, options.file.read_bytes())
    options.output.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        pixels = (image * 255).to(torch.uint8).permute(1, 2, 0).numpy()
        picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
        write_picture(options.output / f"{i:04}.png", picture)
    print(f"{len(images)} images in {options.output}")
