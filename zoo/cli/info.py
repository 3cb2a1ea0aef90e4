"""Facts and metrics of one checkpoint."""

import argparse

import zoo

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")


def run(options: argparse.Namespace) -> None:
    print(zoo.info(options.name))
