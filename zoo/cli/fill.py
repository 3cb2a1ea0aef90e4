"""The likeliest pieces for each [MASK] of a text, a line each."""

import argparse
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("texts", nargs="+", help="sentences, each in quotation marks")
    command.add_argument("--top", type=int, default=5)


def run(options: argparse.Namespace) -> None:
    from zoo.core.protocols import FillsMasks, meets

    model: Any = zoo.load(options.name)
    if not meets(model, FillsMasks):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't fill holes")
    for text in options.texts:
        rows = model.fill_mask(text, top=options.top)
        for row in rows if isinstance(rows[0], list) else [rows]:
            print("  ".join(f"{piece} {p:.3f}" for piece, p in row))
