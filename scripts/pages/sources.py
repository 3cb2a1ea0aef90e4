"""The page "From the sources to the zoo": system by system, from docs/sources.tsv."""

import csv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "sources.tsv"
SOURCES = {
    "A": "Advanced deep learning, lecture notes",
    "K": "Introduction to neural networks, slides",
    "W": "Neural networks and deep learning, Warwick's slides",
    "M": "Convolution, recurrence and interpretation, a recitation",
    "B": "The textbook, by chapters",
}
STATES = ("landed", "recipe alone", "partly", "not")


def write(trained: set[str], link: Callable[[str], str]) -> str:
    """The page: what each part of the five sources describes, and what stands for it here.

    Args:
        trained: names of the checkpoints that have weights.
        link: where the page of one of them is.
    """
    table = rows()
    states = [state_of(row, trained) for row in table]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STATES)
    parts = [
        "# From the sources to the zoo\n",
        "The five documents that this zoo is built from, part by part: the systems that each describes, and the model, the "
        f"figure or the test that shows it here. Of {len(table)} systems: {counts}. *Recipe alone* is code and a recipe that "
        "hasn't been trained yet.\n",
    ]
    before: tuple[str, str] = ("", "")
    for row, state in zip(table, states, strict=True):
        if row["source"] != before[0]:
            parts.append(f"\n## {SOURCES[row['source']]}\n")
        if (row["source"], row["part"]) != before:
            parts += [f"\n### {row['part']}\n", "| system | state | shown by | what is missing |", "|---|---|---|---|"]
        before = row["source"], row["part"]
        shown = ", ".join(shown_by(file, trained, link) for file in row["files"].split())
        parts.append(f"| {row['system']} | {state} | {shown} | {row['note']} |")
    return "\n".join(parts) + "\n"


def rows() -> list[dict[str, str]]:
    """The rows of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def state_of(row: dict[str, str], trained: set[str]) -> str:
    """A row's state; what has landed but for the weights of its checkpoints is a recipe alone."""
    folders = {Path(file).name for file in row["files"].split() if file.startswith("checkpoints/")}
    return "recipe alone" if row["state"] == "landed" and folders and not trained & folders else row["state"]


def shown_by(file: str, trained: set[str], link: Callable[[str], str]) -> str:
    """A link to a checkpoint's page, or the file's name."""
    name = Path(file).name
    return f"[{name}]({link(name)})" if file.startswith("checkpoints/") and name in trained else f"`{file}`"
