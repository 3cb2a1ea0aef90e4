"""Table of the checkpoints."""

import argparse

from zoo.errors import InputError


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("pattern", nargs="?", default="*", help="shell pattern of names")
    command.add_argument("--task", help='such as "image-classification", or its end')
    command.add_argument("--dataset", help='such as "mnist"')
    command.add_argument("--sort", help="a metric, best first")


def run(options: argparse.Namespace) -> None:
    from zoo.index import models

    table = models(options.pattern, task=options.task, dataset=options.dataset, sort=options.sort)
    if not table:
        raise InputError(f"no model's name fits {options.pattern!r} here: zoo list shows all")
    print(table)
