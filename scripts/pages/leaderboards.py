"""Leaderboards: a table, a CSV and a picture with the Pareto front for each task and data set whose models share a metric."""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from zoo.core.files import write_figure
from zoo.store import cards

FEWEST = 3  # models of a board
COLUMNS = ("parameters", "bytes", "operations", "ms", "minutes", "hardware", "data licence")
HEAD = """# Leaderboards

Models are compared within a task, a data set and a metric. ● marks the Pareto front: no model of the table is at once better and
smaller. Operations and milliseconds are those of one input: products and sums of matrix products, convolutions and attention as
torch counts them, and processor time of one core at sixteen inputs a call. For generators they are those of one network call;
what a whole sample takes stands in the comparison of MODEL_CARDS.md. Minutes are those of training; the CSV names the hardware.
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


def write(found: list[cards.Folder], place: Path, link: Any) -> str:
    """Write the CSV files and pictures into a folder; returns the page. `link(folder)` is where a model is described."""
    place.mkdir(parents=True)
    parts = [HEAD]
    for (task, dataset, metric), rows in boards(found).items():
        name = f"{task}-{dataset}-{metric}"
        _write_csv(place / f"{name}.csv", metric, rows)
        _draw(place / f"{name}.svg", metric, rows)
        parts += [
            f"## {task}, {dataset}\n",
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
                "●" if on_front(folder, entry, rows) else "",
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


def short(n: int) -> str:
    """A count in thousands, millions or thousands of millions."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return str(n)


def _write_csv(path: Path, metric: str, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["model", metric, *COLUMNS])
        for folder, entry in rows:
            keys = ("parameters", "size", "flops", "milliseconds", "minutes", "hardware", "data_licence")
            writer.writerow([folder.name, entry["value"], *(folder.entry[key] for key in keys)])


def _draw(path: Path, metric: str, rows: list[Row]) -> None:
    """The metric over parameters; models on the front are joined and named."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    panel = figure.subplots()
    spots = [(f.config["weights"]["parameters"], m["value"], f.name, on_front(f, m, rows)) for f, m in rows]
    panel.plot(*zip(*[spot[:2] for spot in spots], strict=True), "o", color="#8899aa", markersize=5)
    front = sorted(spot for spot in spots if spot[3])
    panel.step([s[0] for s in front], [s[1] for s in front], "o-", where="post", color="#2f6fde", markersize=6)
    for x, y, name, _ in front:
        panel.annotate(name, (x, y), xytext=(0, 5), textcoords="offset points", fontsize=7, rotation=20)
    panel.set(xlabel="parameters", ylabel=metric)
    if min(s[0] for s in spots) > 0:
        panel.set_xscale("log")
    panel.margins(0.16, 0.2)
    panel.grid(alpha=0.25)
    write_figure(path, figure, metadata={"Date": None})
