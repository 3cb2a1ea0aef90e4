"""Build the documentation site from the tree: pages by family, notebooks, leaderboards, gallery, models that run in the browser.

python -m scripts.docs               # writes docs/generated and builds site/ by Sphinx, warnings as errors
python -m scripts.docs --pages       # the pages alone, without notebooks and without the page that runs models

With ZOO_REPOSITORY=owner/name, the place on GitHub whose branch gh-pages holds the site, notebooks link to Colab.
"""

import argparse
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import nbformat

from scripts.pages import browser, leaderboards, notebooks, sources
from zoo import registry
from zoo.store import cards

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"
LINE = 98  # characters of code that stand side by side on a laptop
TITLES = {
    "adaptation": "Domain adaptation and adapters",
    "adversarial": "Adversarial networks",
    "convnets": "Convolutional networks",
    "dynamics": "Dynamical systems",
    "energy": "Energy models",
    "graphs": "Graph networks",
    "kernels": "Kernel machines",
    "mlp": "Perceptrons and multilayer networks",
    "pixel": "Pixel models",
    "recurrent": "Recurrent networks",
    "rl": "Agents",
    "selfsupervised": "Self-supervision",
    "text": "Word vectors",
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", action="store_true", help="write the generated pages, without building the site")
    parser.add_argument("--out", type=Path, default=ROOT / "site")
    options = parser.parse_args(argv)
    write_pages()
    if options.pages:
        return 0
    write_notebooks()
    if missing := browser.write(GENERATED / "extra" / "browser"):
        print(missing)
    built = ROOT / "runs" / "site"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(built / "doctrees")]
    code = subprocess.run([*command, str(DOCS), str(built / "html")], check=False).returncode
    if code == 0:
        shutil.rmtree(options.out, ignore_errors=True)
        shutil.move(built / "html", options.out)
    return code


def write_pages() -> None:
    """Write docs/generated anew."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    (GENERATED / "families").mkdir(parents=True)
    found = cards.folders()
    families: dict[str, list[cards.Folder]] = defaultdict(list)
    for folder in found:
        families[registry.family(folder.config["architecture"])].append(folder)
    for family, members in sorted(families.items()):
        (GENERATED / "families" / f"{family}.md").write_text(family_page(family, members), encoding="utf-8")
    (GENERATED / "choose.md").write_text(choose_page(found), encoding="utf-8")
    boards = leaderboards.write(found, GENERATED / "extra" / "leaderboards", page_of)
    (GENERATED / "leaderboards.md").write_text(boards, encoding="utf-8")
    (GENERATED / "sources.md").write_text(sources_page(families), encoding="utf-8")
    (GENERATED / "generators.md").write_text(generators_page(found), encoding="utf-8")
    gallery(found)


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
    parts = [f"# {TITLES.get(family, family.capitalize())}\n", opening(family)]
    parts += ["| model | data | parameters | measured |", "|---|---|---|---|"]
    parts += [
        f"| [{f.name}](#{anchor(f.name)}) | {f.dataset} | {f.config['weights']['parameters']:,} | {cards.headline(f)} |"
        for f in members
    ]
    parts.append("")
    explained: set[str] = set()
    for folder in sorted(members, key=lambda f: (f.config["architecture"], f.name)):
        architecture = folder.config["architecture"]
        if architecture not in explained:
            explained.add(architecture)
            module = inspect.getmodule(registry.architecture(architecture))
            parts.append(f"## The idea of {architecture}\n\n{prose(inspect.getdoc(module) or '')}\n")
        name = picture(folder)
        parts += [
            f"({anchor(folder.name)})=",
            f"### {folder.name}\n",
            f"![what {folder.name} gives](../pictures/{name})\n" if name else "",
            f"{folder.words.get('summary', '').strip()}\n",
            f"```python\n{fit(cards.snippet(folder))}\n```\n",
            f"{measures(folder)}\n",
            f"{trained(folder)}\n",
            f"Limits: {folder.words.get('limits', '').strip()}\n",
        ]
    return "\n".join(parts)


def opening(family: str) -> str:
    """What the family's notebook begins with, the equation too, and a link to it."""
    text = (notebooks.SOURCES / f"{family}.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    title, first, second = text.strip().split("\n\n")[:3]
    equation = [second] if second.startswith("$$") else []
    link = f"The notebook [{title.removeprefix('# ')}](../notebooks/{family}.ipynb) shows it step by step."
    return "\n\n".join([first, *equation, link]) + "\n"


def trained(folder: cards.Folder) -> str:
    """How a checkpoint was trained, in a sentence or two."""
    facts = folder.provenance
    run = f"{facts['epochs']:,} epochs in {cards.training_time(folder, named=True)}"
    where = "; then ".join(cards.ran_on(part, several="parts" in facts) for part in facts.get("parts", [facts]))
    paper = re.sub(r"https?://[^\s,;]+", r"<\g<0>>", folder.words.get("paper", "").strip())
    return f"Trained by `{facts['command']}`: {run}, on {where}. Method: {paper}."


def prose(doc: str) -> str:
    """A docstring as Markdown: paragraphs, and indented equations as blocks that keep their form."""
    parts = []
    for part in doc.strip().split("\n\n"):
        lines = part.splitlines()
        if all(line.startswith("    ") for line in lines):
            parts.append("```text\n" + inspect.cleandoc(part) + "\n```")
        else:
            pieces = part.split("`")  # what stands in backticks is code and stays as it is
            pieces[::2] = [re.sub(r"([\\*_$<\[\]#|~])", r"\\\1", piece) for piece in pieces[::2]]
            parts.append("`".join(pieces))
    return "\n\n".join(parts)


def fit(code: str) -> str:
    """Lines of code as a page of a laptop holds them: comments move near, and above a line that is too long with its own."""
    if all(len(line) <= LINE for line in code.splitlines()):
        return code
    lines = []
    for line in code.splitlines():
        told = re.match(r"( *)(\S.*?)  +(# .*)", line)
        if told is None:
            lines.append(line)
        elif len(f"{told[1]}{told[2]}  {told[3]}") <= LINE:
            lines.append(f"{told[1]}{told[2]}  {told[3]}")
        else:
            lines += [told[1] + told[3], told[1] + told[2]]
    return "\n".join(lines)


def anchor(name: str) -> str:
    return f"model-{name.replace('.', '-')}"


def measures(folder: cards.Folder) -> str:
    lines = ["| metric | data, split | value |", "|---|---|---|"]
    lines += [f"| {m['metric']} | {m['dataset']}, {m['split']} | {m['value']:.5g} |" for m in folder.metrics[:6]]
    return "\n".join(lines)


def page_of(folder: cards.Folder) -> str:
    """The address of a checkpoint's part of its family's page, from the pages beside the families."""
    return f"families/{registry.family(folder.config['architecture'])}.md#{anchor(folder.name)}"


def choose_page(found: list[cards.Folder]) -> str:
    """Which model for what, as the README has it; then, task by task, the models by their first metric, with size, speed and
    time of training, and pictures of the best."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = readme.partition("## Which model for what\n")[2].partition("\n## ")[0].strip()
    for folder in found:
        first = first.replace(f"`{folder.name}`", f"[`{folder.name}`]({page_of(folder)})")
    parts = [
        "# Choose a model\n",
        re.sub(r"\[docs/(\S+)\.md\]\(docs/", lambda match: f"[{title_of(match[1])}](../", first) + "\n",
        "## All of them, by task\n",
        "Within a task and a data set the best comes first, by the first metric of its card, which says how it was measured. "
        "Milliseconds are processor time of one core for one input. The pictures show the best of each data set.\n",
    ]
    tasks: dict[str, list[cards.Folder]] = defaultdict(list)
    for folder in found:
        if folder.metrics:
            tasks[folder.config["task"]].append(folder)
    for task, members in sorted(tasks.items(), key=lambda item: (item[0] == "other", -len(item[1]))):
        members.sort(key=lambda f: (f.dataset, f.metrics[0]["metric"], leaderboards.rank(f.metrics[0])))
        best = list({folder.dataset: folder for folder in reversed(members)}.values())[::-1]
        shown = [f"[![what {f.name} gives](pictures/{name})]({page_of(f)})" for f in best[:4] if (name := picture(f))]
        parts += [f"### {leaderboards.titled(task)}\n", f"{{.shown}}\n{' '.join(shown)}\n" if shown else ""]
        parts += ["| data | model | metric | MiB | ms | trained |", "|---|---|---|---|---|---|"]
        for folder in members:
            first, entry = folder.metrics[0], folder.entry
            cells = [
                folder.dataset,
                f"[{folder.name}]({page_of(folder)})",
                f"{first['metric']} {first['value']:.4g}",
                f"{entry['size'] / 2**20:.2f}",
                "" if entry["milliseconds"] is None else f"{entry['milliseconds']:.3g}",
                cards.training_time(folder),
            ]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


def title_of(page: str) -> str:
    """The title of a page under docs/, by its name without the suffix."""
    return (DOCS / f"{page}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def write_notebooks() -> None:
    """The executed notebooks as pages, and as files to download."""
    pages, files = GENERATED / "notebooks", GENERATED / "extra" / "notebooks"
    pages.mkdir()
    files.mkdir(parents=True)
    repository = os.environ.get("ZOO_REPOSITORY", "")
    for name, path in zip(notebooks.names(), notebooks.execute(), strict=True):
        shutil.copyfile(path, files / f"{name}.ipynb")
        notebook = nbformat.read(path, as_version=4)
        links = [f'<a href="../../notebooks/{name}.ipynb" download>Download this notebook</a>']
        if name != "first":
            links.append(f'<a href="../families/{name}.html">the models of its family</a>')
        if repository:
            place = f"https://colab.research.google.com/github/{repository}/blob/gh-pages/notebooks/{name}.ipynb"
            links.append(f'<a href="{place}">open it in Colab</a>')
        first = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
        title, _, rest = first.source.partition("\n")
        first.source = f"{title}\n\n{', '.join(links)}\n{rest}"
        nbformat.write(notebook, pages / f"{name}.ipynb")


def generators_page(found: list[cards.Folder]) -> str:
    """The comparison of all generators of digits, as MODEL_CARDS.md has it, with links to the families."""
    pages = {folder.name: page_of(folder) for folder in found}
    text = (DOCS / "compare-image-generation-mnist.md").read_text(encoding="utf-8").partition("\n")[2]
    text = re.sub(r"\]\(checkpoints/([^/)]+)/README\.md\)", lambda match: f"]({pages[match[1]]})", text)
    return f"# Generators of digits\n{text.replace('](docs/', '](../')}"


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
        home = f"../generated/{page_of(folder).replace('.md#', '.html#')}"
        entries.append({"name": folder.name, "page": home, "snippet": cards.snippet(folder), **entry})
    text = json.dumps(entries, ensure_ascii=False)
    (place / "models.json").write_text(text, encoding="utf-8")
    (place / "models.js").write_text(f"window.MODELS = {text};\n".replace("</", "<\\/"), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
