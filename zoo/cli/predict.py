"""Classes and probabilities of image files."""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("files", nargs="+", help="image files")
    command.add_argument("--top", type=int, default=3)


def run(options: argparse.Namespace) -> None:
    from zoo.core.files import shown

    for file in options.files:  # before torch is imported
        if not Path(file).is_file():
            raise InputError(f"there is no file {file!r}")
    from zoo.core.protocols import Classifies, meets

    model: Any = zoo.load(options.name)
    if not meets(model, Classifies):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't classify files")
    width = max(len(file) for file in options.files)
    for file, row in zip(options.files, model.predict(list(options.files), top=options.top), strict=True):
        print(f"{file:{width}}  " + "  ".join(f"{shown(label)} {p:.3f}" for label, p in row))
