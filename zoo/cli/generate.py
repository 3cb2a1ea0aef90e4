"""Continue a prompt; the text appears while it is written."""

import argparse
import sys
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("prompt")
    command.add_argument("-n", "--n", type=int, default=500, help="number of characters")
    command.add_argument("--temperature", type=float, default=0.8, help="0 takes the likeliest each time")
    command.add_argument("--top-k", type=int, help="choose among so many of the likeliest")
    command.add_argument("--top-p", type=float, help="choose among the fewest that hold this probability")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--beams", type=int, help="in place of all these: the likeliest text that so many beams find")


def run(options: argparse.Namespace) -> None:
    from zoo.core.protocols import Streams, meets

    model: Any = zoo.load(options.name)
    if not meets(model, Streams):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't write text")
    if options.beams is not None:
        print(options.prompt + model.generate(options.prompt, options.n, beams=options.beams))
        return
    chosen = {key: getattr(options, key) for key in ("temperature", "top_k", "top_p", "seed")}
    pieces = model.stream(options.prompt, options.n, **chosen)  # raises before anything is printed
    sys.stdout.write(options.prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
