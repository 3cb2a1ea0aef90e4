"""The tables of docs/own-data.md and docs/other-tools.md: what was measured, whole, and still so for a few quick rows."""

import json

import pytest

import zoo
from datamodules.examples import EXAMPLES
from tests.conftest import ROOT
from tests.hub.test_clients import script
from zoo.registry import ARCHITECTURES

DOCS = ROOT / "docs"


@pytest.mark.parametrize(("name", "page"), [("own_data", "own-data"), ("exports", "other-tools")])
def test_the_page_shows_what_was_kept(name, page):
    table = json.loads((DOCS / f"{page}.json").read_text(encoding="utf-8"))
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- measured -->\n")[2].partition("<!-- end -->")[0]
    assert shown == script(name).markdown(table)


def test_every_kind_of_data_has_a_row():
    table = json.loads((DOCS / "own-data.json").read_text(encoding="utf-8"))
    assert {row["kind"] for row in table.values()} == set(EXAMPLES)
    for row in table.values():
        assert all(isinstance(row[key], float) for key in ("before", "after", "scratch")) and row["epochs"] <= 60


def test_a_row_is_measured_again(tmp_path):
    kept = json.loads((DOCS / "own-data.json").read_text(encoding="utf-8"))["perceptron-iris"]
    found = script("own_data").row("perceptron-iris")
    numbers = {key for key, value in kept.items() if isinstance(value, float)}
    assert {key: found[key] for key in numbers} == pytest.approx({key: kept[key] for key in numbers}, rel=1e-3)
    assert found.keys() == kept.keys() and all(found[key] == kept[key] for key in kept.keys() - numbers)


def test_what_was_measured_of_exports_is_within_its_bounds():
    table = json.loads((DOCS / "other-tools.json").read_text(encoding="utf-8"))
    assert table and set(table) <= set(ARCHITECTURES)
    for row in table.values():
        assert row["safetensors"] < 1e-6 and zoo.info(row["model"])
        assert all(isinstance(row[to], str) or row[to] < 1e-3 for to in ("onnx", "pt2"))
        assert row.get("ig", 0) < 0.05, "integrated gradients add up everywhere"


def same(found, kept):
    """The same formats, and deviations of the same size."""
    for to in ("onnx", "pt2", "safetensors"):
        assert isinstance(found[to], str) == isinstance(kept[to], str), to
        assert found[to] == kept[to] if isinstance(kept[to], str) else found[to] < 1e-3, to


@pytest.mark.parametrize("name", ["perceptron"])
def test_a_row_of_exports_is_measured_again(name):
    pytest.importorskip("onnxruntime")
    kept = json.loads((DOCS / "other-tools.json").read_text(encoding="utf-8"))[name]
    same(script("exports").row(kept["model"]), kept)


@pytest.mark.slow
def test_every_row_of_exports_is_measured_again():
    pytest.importorskip("onnxruntime")
    for kept in json.loads((DOCS / "other-tools.json").read_text(encoding="utf-8")).values():
        same(script("exports").row(kept["model"]), kept)
