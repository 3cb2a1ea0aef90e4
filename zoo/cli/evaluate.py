"""Measure the published metrics again, on the full test split."""

import argparse

import zoo


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("--root", help="folder of the data, where the default isn't it")


def run(options: argparse.Namespace) -> None:
    published = zoo.info(options.name).metrics if options.name in zoo.list_models() else {}
    data = zoo.datamodule(options.name, root=options.root) if options.root else None
    for entry in zoo.evaluate(options.name, data):
        claim = published.get(f"{entry['dataset']}/{entry['split']}/{entry['metric']}")
        beside = f"   published {claim.value:.5g}" if claim else ""
        print(f"{entry['dataset']}/{entry['split']}/{entry['metric']:24} {entry['value']:.5g}{beside}   {entry['how']}")
