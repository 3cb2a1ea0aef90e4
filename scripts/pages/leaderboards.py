"""Leaderboards: a table, a CSV and a picture with the Pareto front for each task and data set whose models share a metric."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from zoo.core.files import write_figure
from zoo.store import cards

FEWEST = 3  # models of a board
COLUMNS = ("parameters", "bytes", "operations", "ms", "minutes", "hardware", "data licence")
HEAD = """# Leaderboards

Models are compared within a task, a data set and a metric. Those on the Pareto front have a number, in the table and in the
picture: no model of the table is at once better and smaller. Operations and milliseconds are those of one input: products and
sums of matrix products, convolutions and attention as torch counts them, and processor time of one core at sixteen inputs a call.
For generators they are those of one network call; what a whole sample takes stands on the page
[Generators of digits](generators.md). Minutes are those of training; the CSV names the hardware.
"""
Row = tuple[cards.Folder, dict[str, Any]]


def boards(found: list[cards.Folder]) -> dict[tuple[str, str, str], list[Row]]:
    """The models of each task, data set and first metric that has at least three, best first."""
    sorted_in: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for folder in found:
        for entry in folder.metrics[:1]:
            sorted_in[folder.config["task"], folder.dataset, entry["metric"]].append((folder, entry))
    return {
        key: sorted(rows, key=lambda row: rank(row[1]))
        for key, rows in sorted(sorted_in.items())
        if len(rows) >= FEWEST
    }


def titled(task: str) -> str:
    """A task in a heading: "graph-ml" is "Graph ML"."""
    return task.replace("-", " ").capitalize().replace(" ml", " ML")


def write(found: list[cards.Folder], place: Path, link: Any) -> str:
    """Write the CSV files and pictures into a folder; returns the page. `link(folder)` is where a model is described."""
    place.mkdir(parents=True)
    parts = [HEAD]
    for (task, dataset, metric), rows in boards(found).items():
        name, front = f"{task}-{dataset}-{metric}", numbers(rows)
        _write_csv(place / f"{name}.csv", metric, rows)
        _draw(place / f"{name}.svg", metric, rows)
        parts += [
            f"## {titled(task)}: {dataset}, {metric}\n",
            f'<p><img src="../leaderboards/{name}.svg" alt="{metric} over parameters, {len(rows)} models"></p>\n',
            f'As <a href="../leaderboards/{name}.csv">CSV</a>.\n',
            f"| model | {metric} | parameters | operations | ms | minutes | front |",
            "|---|---|---|---|---|---|---|",
        ]
        for folder, entry in rows:
            facts = folder.entry
            cells = [
                f"[{folder.name}]({link(folder)})",
                f"{entry['value']:.4g}",
                f"{facts['parameters']:,}",
                "" if facts["flops"] is None else short(facts["flops"]),
                "" if facts["milliseconds"] is None else f"{facts['milliseconds']:.3g}",
                f"{facts['minutes']:.3g}",
                str(front.get(folder.name, "")),
            ]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def rank(entry: dict[str, Any]) -> float:
    """A metric's value, turned so that smaller is better."""
    return -entry["value"] if entry["better"] == "higher" else entry["value"]


def on_front(folder: cards.Folder, entry: dict[str, Any], rows: list[Row]) -> bool:
    """Whether no other model is at least as good and as small, and one of both more so."""
    mine = (rank(entry), folder.config["weights"]["parameters"])
    others = [(rank(m), f.config["weights"]["parameters"]) for f, m in rows]
    return not any(a <= mine[0] and b <= mine[1] and (a, b) != mine for a, b in others)


def numbers(rows: list[Row]) -> dict[str, int]:
    """The models on the front, counted from the smallest; those of the same size and value share a number."""
    spots = {f.name: (f.config["weights"]["parameters"], m["value"]) for f, m in rows if on_front(f, m, rows)}
    order = sorted(set(spots.values()))
    return {name: order.index(spot) + 1 for name, spot in spots.items()}


def short(n: float) -> str:
    """A count in thousands, millions or thousands of millions."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.3g}"


def _write_csv(path: Path, metric: str, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["model", metric, *COLUMNS])
        for folder, entry in rows:
            keys = ("parameters", "size", "flops", "milliseconds", "minutes", "hardware", "data_licence")
            writer.writerow([folder.name, entry["value"], *(folder.entry[key] for key in keys)])


def _draw(path: Path, metric: str, rows: list[Row]) -> None:
    """The metric over parameters; models on the front are joined, with their numbers."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    panel = figure.subplots()
    spots = {f.name: (f.config["weights"]["parameters"], m["value"]) for f, m in rows}
    panel.plot(*zip(*spots.values(), strict=True), "o", color="#8899aa", markersize=5)
    front = {number: spots[name] for name, number in numbers(rows).items()}
    panel.step(*zip(*sorted(front.values()), strict=True), "o-", where="post", color="#2f6fde", markersize=6)
    for number, spot in front.items():
        panel.annotate(str(number), spot, xytext=(0, 6), textcoords="offset points", ha="center")
    panel.set(xlabel="parameters", ylabel=metric)
    if min(parameters for parameters, _ in spots.values()) > 0:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(lambda value, _: short(value))
    panel.margins(0.16, 0.2)
    panel.grid(alpha=0.25)
    write_figure(path, figure, metadata={"Date": None})
