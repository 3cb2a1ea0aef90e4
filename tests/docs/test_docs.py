"""The documentation: its snippets run, its generated pages name what there is, the gallery works in a browser."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from types import SimpleNamespace

import pytest

from scripts.pages import leaderboards
from tests import published, snippets
from tests.conftest import ROOT
from tests.snippets import quick
from zoo.cli.main import parser, verbs
from zoo.paths import CHECKPOINTS

HERE = sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "docs" / "themes").glob("*.md"))
BLOCKS = [
    (path.name, kind, text)
    for path in [*HERE, ROOT / "CONTRIBUTING.md"]
    for kind, text in re.findall(
        r"^```(\S*)\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
]
SNIPPETS = [(page, text) for page, kind, text in BLOCKS if kind == "python"]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def script(name):
    """A module of scripts/, which needs the packages of the documentation."""
    return pytest.importorskip(f"scripts.{name}")


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    pages = script("docs")
    place = tmp_path_factory.mktemp("docs") / "generated"
    before, pages.GENERATED = pages.GENERATED, place
    pages.write_pages()
    pages.GENERATED = before
    return place


@pytest.mark.parametrize(("page", "code"), SNIPPETS, ids=[page for page, _ in SNIPPETS])
def test_snippets_of_the_pages_run(page, code, tmp_path):
    snippets.run(quick(code), tmp_path)


def test_a_docstring_becomes_paragraphs_and_blocks():
    assert script("docs").prose("Of `a_b` and a_b, 2 * 3.\n\n    y = |x|\n\nMore [here].") == (
        "Of `a_b` and a\\_b, 2 \\* 3.\n\n```text\ny = |x|\n```\n\nMore \\[here\\]."
    )


def test_a_comment_behind_a_long_line_stands_above_it():
    code = "x = 1      # short\n    y = " + "z" * 80 + "  # long enough to scroll\n" + "w" * 120
    assert script("docs").fit(code) == (
        "x = 1  # short\n    # long enough to scroll\n    y = " + "z" * 80 + "\n" + "w" * 120
    )
    assert script("docs").fit("x = 1      # short") == "x = 1      # short"


def test_every_block_is_run_or_read_by_a_test():
    for page, kind, text in BLOCKS:
        assert kind in ("python", "bash", "", "{toctree}", "{eval-rst}", "{include}"), (
            f"{page}: a block of {kind!r} isn't tested"
        )
        folder = ROOT
        for line in text.splitlines() if kind == "" else ():  # a tree of files: "zoo/   cli/", then "       core/"
            name, *_ = line.split()
            folder = folder if line.startswith(" ") else ROOT / name
            assert (folder / name if line.startswith(" ") else folder).exists(), f"{page}: {name}"
        for line in text.replace("\\\n", "").splitlines() if kind == "bash" else ():
            command = shlex.split(line, comments=True)
            if command[:1] == ["zoo"]:
                verb = verbs()[command[1]]  # those with arguments of their own read them when they run
                assert hasattr(verb, "main") or callable(parser().parse_args(command[1:]).run), f"{page}: {line}"
            if command[:1] == ["python"] and command[1].endswith(".py"):
                assert (ROOT / command[1]).is_file(), f"{page}: {line}"
            if command[:1] == ["make"]:
                assert f"\n{command[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), f"{page}: {line}"


def test_every_checkpoint_stands_on_a_page_and_in_the_gallery(generated):
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (generated / "families").glob("*.md"))
    names = list(published.folders())
    assert all(f"### {name}\n" in pages for name in names)
    models = json.loads((generated / "extra" / "gallery" / "models.json").read_text(encoding="utf-8"))
    assert [m["name"] for m in models] == names
    for model in models:
        assert model["data_licence"] and model["snippet"].startswith("import zoo")
        assert "preview" not in model or (generated / "extra" / "gallery" / model["preview"]).is_file()
    assert "landed" in (generated / "sources.md").read_text(encoding="utf-8")
    boards = generated / "extra" / "leaderboards"
    rows = list(csv.DictReader((boards / "image-classification-mnist-accuracy.csv").open(encoding="utf-8")))
    assert len(rows) > 5 and all(row["hardware"] and row["data licence"] and float(row["minutes"]) >= 0 for row in rows)
    values = [float(row["accuracy"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert {path.stem for path in boards.glob("*.svg")} == {path.stem for path in boards.glob("*.csv")}


def test_the_front_holds_whom_nobody_beats_in_both():
    def row(name, accuracy, parameters):
        folder = SimpleNamespace(name=name, config={"weights": {"parameters": parameters}})
        return folder, {"value": accuracy, "better": "higher"}

    rows = [
        row("large", 0.99, 1000),
        row("small", 0.9, 10),
        row("beaten", 0.89, 20),
        row("twin", 0.9, 10),
        row("worse", 0.9, 11),
    ]
    assert [f.name for f, m in rows if leaderboards.on_front(f, m, rows)] == ["large", "small", "twin"]
    assert leaderboards.numbers(rows) == {"small": 1, "twin": 1, "large": 2}
    assert [leaderboards.short(n) for n in (999, 1500, 2_340_000, 1.2e9)] == ["999", "1.5 k", "2.34 M", "1.2 G"]


def test_every_file_of_the_sources_page_exists_and_every_gap_has_a_reason():
    sources = script("pages.sources")
    rows = sources.rows()
    assert len(rows) > 150 and {row["source"] for row in rows} == set(sources.SOURCES)
    assert len({(row["source"], row["system"]) for row in rows}) == len(rows)
    trained = set(published.folders())
    for row in rows:
        assert row["state"] in ("landed", "partly", "not"), row
        assert all((ROOT / file).exists() for file in row["files"].split()), row
        assert bool(row["files"]) or row["state"] == "not", row
        assert bool(row["note"]) is (row["state"] != "landed"), row
        assert sources.state_of(row, trained) != "landed" or sources.state_of(row, set()) in ("landed", "recipe alone")
    whole = {"state": "landed", "files": "checkpoints/a zoo/b.py"}
    assert (sources.state_of(whole, {"a"}), sources.state_of(whole, set())) == ("landed", "recipe alone")


def test_every_extra_stands_on_the_page_of_installation():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    extras = [e for e in project["optional-dependencies"] if not e.startswith("weights-")]
    assert [extra for extra in extras if f"`{extra}`" not in page] == ["docs", "test", "dev"]


def test_lines_of_code_are_seen_whole_on_a_laptop():
    for path in [*HERE, *(ROOT / "docs" / "notebooks").glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:python|bash|\{code-cell\})\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
            lines = [line for line in block.splitlines() if not line.startswith(":alt:")]
            assert [line for line in lines if len(line) > script("docs").LINE] == [], path.name


def test_relative_links_of_the_pages_resolve():
    for path in HERE:
        for target in re.findall(r"\]\(([^)#:]+\.(?:md|png))\)", path.read_text(encoding="utf-8")):
            if not target.startswith("generated/"):  # made by the build, whose own test follows all links
                assert (path.parent / target).exists() or (ROOT / target).exists(), f"{path.name}: {target}"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_the_gallery_filters_sorts_and_compares_in_a_browser(generated, tmp_path):
    place = generated / "extra" / "gallery"
    steps = """
    const set = (id, value) => {
      const e = document.getElementById(id);
      e.value = value;
      e.dispatchEvent(new Event("input", { bubbles: true }));
    };
    const names = () => [...document.querySelectorAll(".tile")].map(e => e.dataset.name);
    const errors = [];
    window.onerror = message => errors.push(message);
    const out = { all: names().length };
    set("task", "image-classification"); set("data", "mnist"); set("sort", "m:accuracy");
    out.best = names().slice(0, 3);
    for (const name of names().slice(0, 2)) document.querySelector(`[data-name="${name}"] button`).click();
    out.compared = document.querySelectorAll("#compare th").length;
    set("text", "zzzz");
    out.none = names().length;
    out.errors = errors;
    out.far = performance.getEntriesByType("resource").filter(r => !r.name.startsWith("file:")).length;
    const found = Object.assign(document.createElement("pre"), { id: "found", textContent: JSON.stringify(out) });
    document.body.replaceChildren(found);
    """
    page = place / "try.html"
    page.write_text(
        (place / "index.html").read_text(encoding="utf-8").replace("draw();\n</script>", f"draw();\n{steps}</script>")
    )
    command = [
        BROWSER,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--dump-dom",
        page.as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    page.unlink()
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', dom, flags=re.DOTALL)[1])
    ranked = sorted(
        (
            f
            for f in published.folders().values()
            if f.config["task"] == "image-classification" and f.dataset == "mnist"
        ),
        key=lambda f: -next(m["value"] for m in f.metrics if m["metric"] == "accuracy"),
    )
    assert found["all"] == len(published.folders()) == len(list(CHECKPOINTS.glob("[!.]*/model.safetensors")))
    assert found["best"] == [f.name for f in ranked[:3]]
    assert found["compared"] >= 8 and found["none"] == 0 and found["errors"] == [] and found["far"] == 0
