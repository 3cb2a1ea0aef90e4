"""Translate sentences, a line each."""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("texts", nargs="+", help="sentences, each in quotation marks")
    command.add_argument("--beams", type=int, default=5, help="translations followed at once; 1 is greedy")
    command.add_argument("--penalty", type=float, default=1.0, help="how much longer translations are favoured")
    command.add_argument("--map", type=Path, help="draw what each piece of the first translation looked at")


def run(options: argparse.Namespace) -> None:
    from zoo.core.files import check_output
    from zoo.core.protocols import Attends, Translates, meets
    from zoo.models.text.translation import MAPS

    if options.map:
        check_output(options.map, MAPS)
    model: Any = zoo.load(options.name)
    if not meets(model, Translates):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't translate")
    if options.map and not meets(model, Attends):
        raise InputError(f"{options.name} has no attention to draw: leave --map out")
    for text in options.texts:
        print(model.translate(text, beams=options.beams, penalty=options.penalty), flush=True)
    if options.map:
        print(model.attention_map(options.texts[0], options.map))
