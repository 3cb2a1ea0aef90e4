"""The table of all generators of a data set."""

import importlib.util
import sys
from pathlib import Path

import pytest

import zoo
from zoo.errors import InputError
from zoo.store import cards


def compare():
    path = Path(zoo.__file__).parents[1] / "scripts" / "compare.py"
    spec = importlib.util.spec_from_file_location("compare", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_lists_generators_with_a_distance_best_first():
    found = compare().generators("image-generation", "mnist")
    distances = [info.metric("mnist/test/fcd") for info in found]
    assert "ddpm-mnist" in [info.name for info in found] and distances == sorted(distances)
    with pytest.raises(InputError, match="on mnist"):
        compare().generators("image-generation", "cora")


def test_the_tables_row_holds_what_was_published():
    row = {"name": "a", "fcd": 2.0, "fcd_floor": 0.1, "class_histogram_kl": 0.01, "ms": 1.5, "parameters": 1234}
    row |= {"trained": "60 s", "hardware": "CPU", "nll": None, "condition": "Drawn from noise alone"}
    told = row | {"name": "b", "condition": "Drawn from a class"}
    text = compare().markdown([told, row], "image-generation", "mnist", 64, 80.0)
    titles = [text.index(part) for part in ("**Drawn from noise alone**", "| [a](", "**Drawn from a class**", "| [b](")]
    assert titles == sorted(titles)  # generators of one kind stand in one table
    assert "| [a](checkpoints/a/README.md) | 2.00 | 20 | 0.0100 | 1.50 | 1,234 | CPU, 60 s |" in text
    assert "![samples](docs/compare-image-generation-mnist.png)" in text and "80.0" in text


def test_the_time_beside_a_generator_counts_what_it_builds_on():
    for table in (cards.CHECKPOINTS.parent / "docs").glob("compare-*.md"):
        rows = [line for line in table.read_text(encoding="utf-8").splitlines() if line.startswith("| [")]
        for row in rows:
            name = row.removeprefix("| [").partition("]")[0]
            assert row.endswith(f"PU, {cards.training_time(cards.Folder(cards.CHECKPOINTS / name))} |"), name
        assert len(rows) > 20


def test_bad_options_end_with_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compare.py", "--data", "cora"])
    assert compare().main() == 2
    assert capsys.readouterr().err.startswith("error: no model of 'image-generation' on 'cora'")
