"""Classes and probabilities of image files."""

import argparse
from typing import Any

import zoo
from zoo.errors import InputError


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("files", nargs="+", help="image files")
    command.add_argument("--top", type=int, default=3)


def run(options: argparse.Namespace) -> None:
    from zoo.core.protocols import Classifies, meets

    model: Any = zoo.load(options.name)
    if not meets(model, Classifies):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't classify files")
    width = max(len(file) for file in options.files)
    for file, row in zip(options.files, model.predict(list(options.files), top=options.top), strict=True):
        print(f"{file:{width}}  " + "  ".join(f"{label} {p:.3f}" for label, p in row))
