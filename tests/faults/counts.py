"""How often each fault is tried: a few times in every run of the suite, in full with ZOO_FULL=1, and then written down."""

import os
import random
from pathlib import Path

from zoo import registry

FULL = bool(os.environ.get("ZOO_FULL"))
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- reliability -->\n", "<!-- /reliability -->"
HEAD = "| fault | tried | failures | what is guaranteed |\n|---|---|---|---|\n"

_rows: dict[str, tuple[int, int, str]] = {}


def count(few: int, full: int) -> int:
    return full if FULL else few


def some_architectures() -> list[str]:
    """All architectures in a full run; else a few, always the same."""
    return sorted(registry.ARCHITECTURES if FULL else random.Random(2).sample(sorted(registry.ARCHITECTURES), 12))


def record(fault: str, tried: int, guarantee: str, failures: int = 0) -> None:
    """Note the outcome of one fault for the table; counts of the same fault add up."""
    before = _rows.get(fault, (0, 0, ""))
    _rows[fault] = (before[0] + tried, before[1] + failures, guarantee)


def write_table() -> None:
    """Write the rows of this run over those that stand in docs/reliability.md from earlier ones."""
    if not (FULL and _rows):
        return
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    table, after = rest.split(END)
    rows = {line.split("|")[1].strip(): line for line in table.splitlines()[2:] if line.startswith("|")}
    for fault, (tried, failures, guarantee) in _rows.items():
        rows[fault] = f"| {fault} | {tried:,} | {failures} | {guarantee} |"
    table = HEAD + "\n".join(rows[fault] for fault in sorted(rows)) + "\n"
    PAGE.write_text(before + BEGIN + table + END + after, encoding="utf-8")
