"""Check sha256 and golden tensors, without any data set."""

import argparse

import zoo

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("names", nargs="*", help="default: all of this checkout")


def run(options: argparse.Namespace) -> None:
    from zoo.paths import CHECKPOINTS, names_in

    for name in options.names or names_in(CHECKPOINTS):
        worst = max(zoo.verify(name).values())
        print(f"{name}: sha256 and golden tensors agree (largest deviation {worst:.1e})")
