"""Compress images without loss by a variational autoencoder (bits-back coding)."""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

SUFFIX = ".zoo"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", nargs="+", type=Path, help="image files, or folders of them")
    command.add_argument("-o", "--output", type=Path, default=Path("images.zoo"), help="file to write, *.zoo")
    command.add_argument("--model", default="vae-mnist", help="a variational autoencoder of binary pixels")
    command.add_argument("--seed", type=int, default=0, help="of the random bits that the message begins with")


def run(options: argparse.Namespace) -> None:
    if options.output.suffix != SUFFIX:
        raise InputError(f"the output must end with {SUFFIX}, not {options.output.name!r}")
    if not options.output.resolve().parent.is_dir():
        raise InputError(f"there is no folder {options.output.resolve().parent}")
    files = pictures(options.files)
    from zoo.core.files import write_bytes
    from zoo.theory import bits_back

    model: Any = zoo.load(options.model)
    if model.transform is None:
        raise InputError(f"{options.model} doesn't say how its images are prepared: take vae-mnist")
    images = (model.transform([str(file) for file in files]) > 0.5).float()  # black and white, of the model's size
    found = bits_back.report(model, images, options.seed)
    write_bytes(options.output, found.data)
    print(
        f"{options.output}: {found.images} images of {found.dimensions} black or white pixels in {len(found.data):,} bytes, "
        f"{found.bits_per_dim:.4f} bits a pixel and {found.start_bits:,} bits of start-up"
    )


def pictures(paths: list[Path]) -> list[Path]:
    """The image files of a list of files and folders, in order.

    Raises:
        InputError: for what doesn't exist, or a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
            if not inside:
                raise InputError(f"{path} holds no image file")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"there is no file or folder {path}")
    return found
