"""Fetch checkpoints into the Hugging Face cache, and their data sets with --with-data."""

import argparse

import zoo


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("names", nargs="+")
    command.add_argument("--with-data", action="store_true", help="the data sets they were trained on, too")
    command.add_argument("--force", action="store_true", help="again, over a damaged copy in the cache")


def run(options: argparse.Namespace) -> None:
    from zoo.store.hub import locate

    for name in options.names:
        print(f"{name}: {locate(name, force=options.force)}")
        if options.with_data:
            zoo.datamodule(name).prepare_data()
