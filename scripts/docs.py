"""Build the documentation site from the tree: pages by family, leaderboards, the gallery, and what the sources' systems became.

python -m scripts.docs               # writes docs/generated and builds site/ by Sphinx, warnings as errors
python -m scripts.docs --pages       # the pages alone
"""

import argparse
import csv
import inspect
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.pages import sources
from zoo import registry
from zoo.store import cards

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", action="store_true", help="write the generated pages, without building the site")
    parser.add_argument("--out", type=Path, default=ROOT / "site")
    options = parser.parse_args(argv)
    write_pages()
    if options.pages:
        return 0
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(options.out)]
    return subprocess.run(command, check=False).returncode


def write_pages() -> None:
    """Write docs/generated anew."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    (GENERATED / "families").mkdir(parents=True)
    found = cards.folders()
    families: dict[str, list[cards.Folder]] = defaultdict(list)
    for folder in found:
        families[family_of(folder.config["architecture"])].append(folder)
    for family, members in sorted(families.items()):
        (GENERATED / "families" / f"{family}.md").write_text(family_page(family, members), encoding="utf-8")
    (GENERATED / "choose.md").write_text(choose_page(found), encoding="utf-8")
    (GENERATED / "leaderboards.md").write_text(leaderboards(found), encoding="utf-8")
    (GENERATED / "sources.md").write_text(sources_page(families), encoding="utf-8")
    gallery(found)


def family_of(architecture: str) -> str:
    """The family of an architecture: the folder of zoo/models that holds its file."""
    return registry.ARCHITECTURES[architecture].split(".")[2]


def picture(folder: cards.Folder) -> str:
    """The preview's name beside the generated pages, copied there; nothing if there is none."""
    for kind in ("preview.png", "preview.gif"):
        if (folder.path / kind).is_file():
            target = GENERATED / "pictures" / f"{folder.name}{Path(kind).suffix}"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(folder.path / kind, target)
            return target.name
    return ""


def family_page(family: str, members: list[cards.Folder]) -> str:
    """One page a family: each architecture with its idea, then its checkpoints with picture, lines, measures and limits."""
    package = sys.modules.get(f"zoo.models.{family}") or __import__(f"zoo.models.{family}", fromlist=["_"])
    parts = [f"# {family.capitalize()}\n", f"{(inspect.getdoc(package) or '').strip()}\n"]
    parts += ["| model | data | parameters | measured |", "|---|---|---|---|"]
    parts += [
        f"| [{f.name}](#{anchor(f.name)}) | {f.dataset} | {f.config['weights']['parameters']:,} | {cards.headline(f)} |"
        for f in members
    ]
    parts.append("")
    told: set[str] = set()
    for folder in sorted(members, key=lambda f: (f.config["architecture"], f.name)):
        architecture = folder.config["architecture"]
        if architecture not in told:
            told.add(architecture)
            module = inspect.getmodule(registry.architecture(architecture))
            parts.append(f"## The idea of {architecture}\n\n```text\n{(inspect.getdoc(module) or '').strip()}\n```\n")
        name = picture(folder)
        parts += [
            f"({anchor(folder.name)})=",
            f"### {folder.name}\n",
            f"![what {folder.name} gives](../pictures/{name})\n" if name else "",
            f"{folder.words.get('summary', '').strip()}\n",
            f"```python\n{cards.snippet(folder)}\n```\n",
            f"{measures(folder)}\n",
            f"Limits: {folder.words.get('limits', '').strip()}\n",
        ]
    return "\n".join(parts)


def anchor(name: str) -> str:
    return f"model-{name.replace('.', '-')}"


def measures(folder: cards.Folder) -> str:
    lines = ["| metric | data, split | value |", "|---|---|---|"]
    lines += [f"| {m['metric']} | {m['dataset']}, {m['split']} | {m['value']:.5g} |" for m in folder.metrics[:6]]
    return "\n".join(lines)


def rank(entry: dict[str, Any]) -> float:
    return -entry["value"] if entry["better"] == "higher" else entry["value"]


def choose_page(found: list[cards.Folder]) -> str:
    """Task by task, the best models by their first metric, with size and time of training."""
    parts = [
        "# Choose a model\n",
        "The first metric of each card decides the order; the card says how it was measured.\n",
    ]
    tasks: dict[str, list[cards.Folder]] = defaultdict(list)
    for folder in found:
        if folder.metrics:
            tasks[folder.config["task"]].append(folder)
    for task, members in sorted(tasks.items()):
        parts += [f"## {task}\n", "| data | model | metric | MiB | trained |", "|---|---|---|---|---|"]
        for folder in sorted(members, key=lambda f: (f.dataset, f.metrics[0]["metric"], rank(f.metrics[0]))):
            first, size = folder.metrics[0], (folder.path / "model.safetensors").stat().st_size / 2**20
            link = f"[{folder.name}](families/{family_of(folder.config['architecture'])}.md#{anchor(folder.name)})"
            shown = f"{first['metric']} {first['value']:.4g}"
            parts.append(f"| {folder.dataset} | {link} | {shown} | {size:.2f} | {cards.duration(folder.provenance)} |")
        parts.append("")
    return "\n".join(parts)


def leaderboards(found: list[cards.Folder]) -> str:
    """A table and a CSV for each task and data set where at least three models share a metric."""
    boards: dict[tuple[str, str, str], list[tuple[cards.Folder, dict[str, Any]]]] = defaultdict(list)
    for folder in found:
        for entry in folder.metrics[:1]:
            boards[folder.config["task"], folder.dataset, entry["metric"]].append((folder, entry))
    place = GENERATED / "extra" / "leaderboards"
    place.mkdir(parents=True)
    parts = ["# Leaderboards\n", "A model is marked where no smaller one of the table is better (the Pareto front).\n"]
    for (task, dataset, metric), rows in sorted(boards.items()):
        if len(rows) < 3:
            continue
        rows.sort(key=lambda row: rank(row[1]))
        file = f"{task}-{dataset}-{metric}.csv"
        with (place / file).open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(["model", metric, "parameters", "bytes", "seconds", "hardware", "data licence"])
            for f, m in rows:
                size = (f.path / "model.safetensors").stat().st_size
                facts = f.provenance
                writer.writerow(
                    [
                        f.name,
                        m["value"],
                        f.config["weights"]["parameters"],
                        size,
                        facts["seconds"],
                        facts["hardware"],
                        f.entry["data_licence"],
                    ]
                )
        parts += [
            f"## {task}, {dataset}\n",
            f'As <a href="../leaderboards/{file}">CSV</a>.\n',
            f"| model | {metric} | parameters | front |",
            "|---|---|---|---|",
        ]
        parts += [
            f"| {f.name} | {m['value']:.4g} | {f.config['weights']['parameters']:,} | {'●' if on_front(f, m, rows) else ''} |"
            for f, m in rows
        ]
        parts.append("")
    return "\n".join(parts)


def on_front(folder: cards.Folder, entry: dict[str, Any], rows: Iterable[tuple[cards.Folder, dict[str, Any]]]) -> bool:
    mine = folder.config["weights"]["parameters"]
    return not any(rank(m) <= rank(entry) and f.config["weights"]["parameters"] < mine for f, m in rows)


def sources_page(families: dict[str, list[cards.Folder]]) -> str:
    """Which files and checkpoints stand for each system of the sources."""
    homes = {folder.name: family for family, members in families.items() for folder in members}
    return sources.write(set(homes), lambda name: f"families/{homes[name]}.md#{anchor(name)}")


def gallery(found: list[cards.Folder]) -> None:
    """The static gallery with its data beside it, as JSON and as the script that a page opened from disk can read."""
    place = GENERATED / "extra" / "gallery"
    shutil.copytree(DOCS / "gallery", place)
    entries = []
    for folder in found:
        entry = {key: value for key, value in folder.entry.items() if key not in ("sha256", "verbs")}
        preview = next((kind for kind in ("preview.png", "preview.gif") if (folder.path / kind).is_file()), None)
        if preview:
            (place / "previews").mkdir(exist_ok=True)
            entry["preview"] = f"previews/{folder.name}{Path(preview).suffix}"
            shutil.copyfile(folder.path / preview, place / entry["preview"])
        entries.append({"name": folder.name, "snippet": cards.snippet(folder), **entry})
    text = json.dumps(entries, ensure_ascii=False)
    (place / "models.json").write_text(text, encoding="utf-8")
    (place / "models.js").write_text(f"window.MODELS = {text};\n".replace("</", "<\\/"), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
