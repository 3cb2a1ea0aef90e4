"""Open the demo app in a browser: classify, draw, write, translate, compose, explain, play. It listens on this machine alone."""

import argparse


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--host", default="127.0.0.1", help="default: 127.0.0.1, this machine alone; 0.0.0.0 for others, too"
    )
    command.add_argument("--port", type=int, default=7860, help="default: 7860")


def run(options: argparse.Namespace) -> None:
    from zoo.app.page import launch

    launch(options.host, options.port)
