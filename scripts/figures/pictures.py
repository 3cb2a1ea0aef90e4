"""What the scripts of the docs' themes share: a figure, and a command line that draws all pictures of a theme or some of them."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.errors import one_sentence

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
Draw = Callable[[Path], dict[str, Any]]  # draws a file and returns the numbers that its page names


def panels(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """A figure and its axes, one or an array of them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


@one_sentence
def main(description: str | None, pictures: dict[str, Draw]) -> int:
    """Draw the pictures named on the command line, or all, and print what each shows."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(pictures)}; all by default")
    wanted = parser.parse_args().names or list(pictures)
    if unknown := set(wanted) - set(pictures):
        print(f"error: no picture {', '.join(sorted(unknown))}; there are {', '.join(pictures)}", file=sys.stderr)
        return 2
    FIGURES.mkdir(exist_ok=True)
    for name in wanted:
        print(name, pictures[name](FIGURES / f"{name}.png"), flush=True)
    return 0
