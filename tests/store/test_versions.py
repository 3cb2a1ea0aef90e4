"""Folders of every earlier format load, and earlier names lead to the present ones."""

import json
import warnings
from pathlib import Path

import pytest
import torch

import zoo
from zoo import index, registry
from zoo.errors import CheckpointError
from zoo.store import folder as checkpoint
from zoo.store import migrations

FROZEN = Path(__file__).with_name("frozen")


@pytest.mark.parametrize("folder", sorted(FROZEN.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_folder_that_an_earlier_version_wrote_loads_and_gives_its_golden_outputs(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert folder.parent.name == f"format-{config['zoo_format']}"
    model = zoo.load(folder)
    assert model.name == folder.name and max(zoo.verify(folder).values()) < checkpoint.GOLDEN_TOLERANCE


def test_every_format_has_frozen_folders_and_a_way_to_the_present_one():
    assert {path.name for path in FROZEN.iterdir()} == {f"format-{n}" for n in range(1, migrations.FORMAT + 1)}
    assert set(migrations.MIGRATIONS) == set(range(1, migrations.FORMAT))


def test_a_change_of_the_format_leads_from_any_earlier_one(tmp_path, monkeypatch):
    """As if two versions had changed it: one renames a key, the next adds one."""
    steps = {
        1: lambda c: {("activity" if k == "task" else k): v for k, v in c.items()},
        2: lambda c: {("task" if k == "activity" else k): v for k, v in c.items()} | {"base_model": "none"},
    }
    monkeypatch.setattr(migrations, "FORMAT", 3)
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    config = checkpoint.read_config(FROZEN / "format-1" / "gate")
    assert config["zoo_format"] == 3 and config["base_model"] == "none" and "activity" not in config
    assert zoo.verify(FROZEN / "format-1" / "gate")
    for wrong in (0, 4, True, None, "1"):
        with pytest.raises(CheckpointError, match=rf"zoo_format {wrong!r}, this version reads 3"):
            migrations.migrated({"zoo_format": wrong}, "config.json")


def test_a_name_of_before_warns_and_loads(monkeypatch):
    monkeypatch.setattr(index, "RENAMED", {"perceptron-flowers": "perceptron-iris"})
    with pytest.warns(FutureWarning, match="perceptron-flowers is called perceptron-iris now"):
        model = zoo.load("perceptron-flowers")
    with pytest.warns(FutureWarning):
        assert zoo.info("Perceptron-Flowers").name == "perceptron-iris" == model.name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(zoo.load("perceptron-iris").head.weight, model.head.weight)


def test_renamed_models_lead_to_models():
    assert all(new in zoo.list_models() and old not in zoo.list_models() for old, new in registry.RENAMED.items())
