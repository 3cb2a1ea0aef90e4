"""References of colour images, and extractors that are copies of a published classifier."""

from pathlib import Path

import pytest
import torch
import yaml

import zoo
from datamodules.cifar10 import CIFAR10
from tests.hub.folders import make_folder
from zoo.core.images import Transform
from zoo.core.samples import sample_split
from zoo.errors import CheckpointError, InputError
from zoo.metrics import reference
from zoo.metrics.generation import evaluate_images
from zoo.models.convnets.resnet import CIFARResNet
from zoo.store.cards import Folder
from zoo.store.cards import card as card_of


def save(folder: Path, seed: int) -> str:
    torch.manual_seed(seed)
    model = CIFARResNet(depth=8, width=4)
    model.transform, model.data = Transform([32, 32], "RGB", CIFAR10.mean, CIFAR10.std), {"name": "cifar10", "init": {}}
    return str(model.eval().save_pretrained(folder))


def test_colour_images_are_measured_as_grey_ones_are(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "no-data"))
    monkeypatch.setitem(reference.EXTRACTORS, "cifar10", save(tmp_path / "eyes", 0))
    monkeypatch.setitem(reference.ORACLES, "cifar10", save(tmp_path / "oracle", 1))
    train, test = sample_split("cifar10")[0][:400].chunk(2)
    monkeypatch.setattr(reference, "images_of", lambda dataset: (train, test))
    # the eigenvectors of 3,072 pixels take ten times as long as all that is looked at here, and have a test of their own
    monkeypatch.setattr(reference, "pca_gaussian", lambda x, n, generator: torch.randint(256, x[:n].shape).byte())
    assert reference.main(["cifar10"]) == 0
    found = {entry["metric"]: entry["value"] for entry in evaluate_images(test.float() / 255, "cifar10", train=train)}
    assert found["fcd"] == pytest.approx(0, abs=1e-6) and found["precision"] == found["coverage"] == 1
    assert found["memorisation_ratio"] == pytest.approx(1, abs=1e-6)
    assert min(found["fcd_floor"], found["fcd_pca_gaussian"]) > 1e-3
    with pytest.raises(InputError, match=r"shape \[N, 3, 32, 32\], not"):
        evaluate_images(test[:, :1], "cifar10")


def test_a_data_set_is_on_disk_when_all_of_its_files_are(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    folder = reference.folder_of("cifar10")
    folder.mkdir(parents=True)
    for name in (name for part in CIFAR10.files.values() for name in part):
        assert not reference.is_on_disk("cifar10")
        (folder / name).touch()
    assert reference.is_on_disk("cifar10")


def test_an_extractor_that_isnt_made_yet_names_the_command(monkeypatch):
    monkeypatch.setitem(reference.EXTRACTORS, "cifar10", "none-cifar10.fcd")
    with pytest.raises(CheckpointError, match=r"isn't made yet: `python -m zoo\.metrics\.reference cifar10 --freeze"):
        reference.read("cifar10")


def test_a_frozen_classifier_is_the_same_under_another_name(tmp_path, monkeypatch):
    source, target = make_folder(tmp_path / "lenet5-mnist"), tmp_path / "lenet5-mnist.fcd"
    (source / "extra.md").write_text("figures of its own")
    monkeypatch.setitem(reference.EXTRACTORS, "mnist", str(target))
    assert reference.freeze("mnist", str(source)) == target
    assert (target / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert zoo.load(target).name == "lenet5-mnist.fcd" and zoo.verify(target)
    assert not (target / "extra.md").exists()
    recipes = [(folder / "recipe.yaml").read_text(encoding="utf-8") for folder in (source, target)]
    assert recipes[1].startswith("# python scripts/train.py lenet5-mnist.fcd\n")
    before, after = (yaml.safe_load(text) for text in recipes)
    card = after.pop("card")
    assert before.pop("card")["paper"] == card["paper"] and before == after
    assert (
        card["summary"].startswith("lenet5-mnist, frozen: its 84 features") and "generators of mnist" in card["limits"]
    )
    assert (target / "README.md").read_text(encoding="utf-8") == card_of(Folder(target))


def test_what_can_not_be_frozen(tmp_path, monkeypatch, capsys):
    source = make_folder(tmp_path / "lenet5-mnist")
    monkeypatch.setitem(reference.EXTRACTORS, "fashion-mnist", str(tmp_path / "new.fcd"))
    with pytest.raises(InputError, match="of mnist, no image classifier of fashion-mnist"):
        reference.freeze("fashion-mnist", str(source))
    monkeypatch.setitem(reference.EXTRACTORS, "mnist", str(source))
    with pytest.raises(InputError, match="remove it first"):
        reference.freeze("mnist", str(source))
    assert reference.main(["mnist", "fashion-mnist", "--freeze", str(source)]) == 2
    assert capsys.readouterr().err.startswith("error: --freeze makes the extractor of one data set")
    assert not list(tmp_path.glob("*new.fcd*"))
