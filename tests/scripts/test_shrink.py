"""Storing a checkpoint in int8: smaller, measured again on its own file, and left alone where the metric moves."""

import importlib
import json
import shutil

import pytest
import torch

import zoo
from zoo.errors import InputError
from zoo.paths import CHECKPOINTS
from zoo.store.cards import Folder, card
from zoo.store.folder import read, read_config, write


@pytest.fixture
def script():
    return importlib.import_module("scripts.shrink")


@pytest.fixture
def folder(tmp_path):
    """A checkpoint in float16 and of one seed, however it is published."""
    folder = shutil.copytree(CHECKPOINTS / "mlp-mnist", tmp_path / "mlp-mnist")
    config = read_config(folder)
    write(read(folder), folder, averaged=config["weights"]["averaged"], dtype=torch.float16, data=config["data"])
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("dtype: int8", "dtype: float16"))
    without(folder / "provenance.json", "seconds_all_seeds")
    without(folder / "metrics.json", "mean", "std", "n_seeds")
    return folder


def without(path, *names):
    """Drop the keys of a JSON object, or of each in a list."""
    facts = json.loads(path.read_text())
    for row in facts if isinstance(facts, list) else [facts]:
        for name in names:
            row.pop(name, None)
    path.write_text(json.dumps(facts))


@pytest.fixture
def evaluation(tmp_path, monkeypatch, script):
    """A script in place of the evaluation, which needs the data: it writes metrics that differ by a chosen share."""

    def differs(share: float) -> None:
        fake = tmp_path / "evaluate.py"
        fake.write_text(
            "import hashlib, json, pathlib, sys\n"
            "folder = pathlib.Path(sys.argv[1])\n"
            "metrics = json.loads((folder / 'metrics.json').read_text())\n"
            "for metric in metrics:\n"
            f"    metric['value'] *= 1 + {share}\n"
            "    metric['sha256'] = hashlib.sha256((folder / 'model.safetensors').read_bytes()).hexdigest()\n"
            "(folder / 'metrics.json').write_text(json.dumps(metrics))\n"
        )
        monkeypatch.setattr(script, "EVALUATE", fake)

    return differs


def test_a_folder_is_rewritten_and_still_whole(script, folder, evaluation):
    evaluation(1e-4)
    before = (folder / "model.safetensors").stat().st_size
    assert script.main([str(folder)]) == 0
    assert (folder / "model.safetensors").stat().st_size < 0.6 * before
    assert zoo.verify(folder)
    config = json.loads((folder / "config.json").read_text())
    metrics = json.loads((folder / "metrics.json").read_text())
    assert config["weights"]["dtype"] == "int8" and config["name"] == "mlp-mnist"
    assert {metric["sha256"] for metric in metrics} == {config["weights"]["sha256"]}
    assert (folder / "recipe.yaml").read_text().count("dtype: int8") == 1
    assert (folder / "README.md").read_text() == card(Folder(folder))
    with pytest.raises(InputError, match="already"):
        script.shrink(folder, 1.0)


def test_a_metric_that_moves_leaves_the_folder_alone(script, folder, evaluation, capsys):
    evaluation(0.01)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert script.main([str(folder)]) == 2
    assert "more than 0.20%" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert script.main([str(folder), "--tolerance", "0.02"]) == 0


def test_a_mean_over_seeds_is_not_carried_over(script, folder):
    facts = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps(facts | {"seconds_all_seeds": [1.0, 1.0]}))
    with pytest.raises(InputError, match="several files"):
        script.shrink(folder, 1.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1\nexport:\n  dtype: float16  # half\n  seeds: 1\ncard:\n", "a: 1\nexport:\n{}\n  seeds: 1\ncard:\n"),
        ("a: 1\nexport:\n  averaged: true\ncard:\n", "a: 1\nexport:\n{}\n  averaged: true\ncard:\n"),
        ("a: 1\ncard:\n", "a: 1\nexport:\n{}\ncard:\n"),
    ],
)
def test_the_recipe_says_int8_whatever_it_said_before(script, before, after):
    assert script.in_int8(before) == after.format("  dtype: int8  # a quarter of the size, see zoo.store.int8")
