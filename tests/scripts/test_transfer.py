"""The transfer experiments on random images: every cell is measured, frozen parts stay, a cut run goes on, nothing mixes."""

import importlib
import json
import shutil

import numpy as np
import pytest
import torch

import zoo
from datamodules.base import TensorDataModule
from datamodules.cifar10 import CIFAR10
from zoo.core.images import Transform
from zoo.errors import InputError
from zoo.models.convnets import alexnet
from zoo.store.cards import outdated_sections, write_section

SMALL = {"hidden_dim": 8, "dropout": 0.0}
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "limit_val_batches": 0}


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """CIFAR-10's files with 60 and 20 random images, and a thin network."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setattr(alexnet, "CIFAR", tuple((8, *layer[1:]) for layer in alexnet.CIFAR))
    monkeypatch.setattr(CIFAR10, "counts", {"train": 60, "test": 20})
    (tmp_path / CIFAR10.folder).mkdir()
    for part, files in CIFAR10.files.items():
        n = CIFAR10.counts[part] // len(files)
        for seed, name in enumerate(files):
            records = np.random.default_rng(seed).integers(0, 256, (n, 3073), dtype=np.uint8)
            records[:, 0] = np.arange(n) % 10
            records.tofile(tmp_path / CIFAR10.folder / name)
    monkeypatch.setitem(TensorDataModule.__init__.__kwdefaults__, "val_size", 10)
    return tmp_path


def test_grid_measures_every_cell_once(cifar, capsys):
    script = importlib.import_module("scripts.transfer_grid")
    path = cifar / "grid.json"

    def grid(**other):
        settings = {"epochs": 1, "lr": 1e-3, "trainer": QUIET | {"precision": "32-true"}} | other
        return script.Grid("alexnet", SMALL, "cifar10", path, **settings)

    first = grid()
    table = first.run()
    assert table["parts"] == ["conv1", "conv2", "conv3", "conv4", "conv5", "neck"]
    assert set(table["accuracy"]) == {"baseA", "baseB"} | {f"{k} {n}" for k in script.KINDS for n in range(1, 7)}
    base, frozen = first.base("A"), first.transfer("AnB", ["conv1", "conv2"])
    tuned = first.transfer("AnB+", ["conv1", "conv2"])
    for part, same in (("conv1", True), ("conv2", True), ("conv3", False)):
        weights = [model.get_submodule(part).state_dict() for model in (base, frozen)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0]) == same
    assert not torch.equal(base.conv1[0].weight, tuned.conv1[0].weight)
    assert set(first.halves["A"]).isdisjoint(first.halves["B"])

    cut = json.loads(path.read_text())
    del cut["accuracy"]["AnB 6"]
    path.write_text(json.dumps(cut))
    capsys.readouterr()
    assert grid().run()["accuracy"].keys() == table["accuracy"].keys()
    printed = capsys.readouterr().out
    assert "AnB 6: " in printed and "AnB 5" not in printed and "BnB" not in printed  # only what was missing
    with pytest.raises(InputError, match="other settings"):
        grid(lr=0.1)
    script.draw(table, cifar / "grid.png")
    text = script.extra("alexnet-cifar10", table)
    assert "| 6 | neck |" in text and "`python scripts/transfer_grid.py alexnet-cifar10 --epochs 1 --lr 0.001`" in text
    assert "--per-class 7`" in script.extra("alexnet-cifar10", table | {"per_class": 7})


def test_a_section_replaces_the_one_of_its_title_alone(tmp_path):
    for text in ("## One\n\nfirst\n", "## Two\n\nsecond\n\n## Three\n\nthird\n", "## One\n\nanother\n### below\n"):
        write_section(tmp_path, text)
    sections = "## One\n\nanother\n### below\n", "## Two\n\nsecond\n", "## Three\n\nthird\n"
    assert (tmp_path / "extra.md").read_text() == "\n".join(sections)


def test_a_section_is_outdated_once_the_weights_it_was_measured_on_are_others(tmp_path):
    torch.manual_seed(0)
    one, two = (zoo.create("regression-mlp", in_channels=1, hidden=(3,)) for _ in range(2))
    folder, other = one.save_pretrained(tmp_path / "one"), two.save_pretrained(tmp_path / "two")
    assert outdated_sections(folder) == []  # there are none
    write_section(folder, "## A\n\na\n\n## B\n\nb\n", measured_on=[str(folder), str(other)])
    write_section(folder, "## C\n\nc\n")
    assert outdated_sections(folder) == []
    one.save_pretrained(other)
    write_section(folder, "## B\n\nb\n", measured_on=[str(other)])
    assert outdated_sections(folder) == ["A"]
    two.save_pretrained(folder)
    assert outdated_sections(folder) == ["A"]
    shutil.rmtree(other)
    assert outdated_sections(folder) == ["A", "B"]


def test_few_labels(cifar, monkeypatch):
    script = importlib.import_module("scripts.figures.transfer")
    torch.manual_seed(0)
    model = zoo.create("alexnet", num_classes=10, **SMALL)
    model.transform = Transform([32, 32], "RGB", [0.5] * 3, [0.25] * 3)
    folder = model.save_pretrained(cifar / "alexnet-tiny")
    arguments = [str(folder), "--data", "cifar10-animals", "--labels", "1", "2", "--seeds", "2", "--steps", "1"]
    assert script.main([*arguments, "--into", str(cifar)]) == 0
    table = json.loads((cifar / "transfer.json").read_text())
    assert len(table["accuracy"]) == 2 * 3 and all(len(values) == 2 for values in table["accuracy"].values())
    text = (cifar / "extra.md").read_text()
    assert "| cifar10-animals | 2 |" in text and (cifar / "transfer.png").is_file()
    monkeypatch.setattr(script, "accuracy", lambda *_, **__: pytest.fail("everything was measured"))
    assert script.main([*arguments, "--into", str(cifar)]) == 0
    assert script.main([*arguments, "--into", str(cifar), "--steps", "2"]) == 2


def test_the_probe_has_converged_on_embeddings_of_any_scale():
    script = importlib.import_module("scripts.figures.transfer")
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(4).repeat(25)
    scale = 10.0 ** torch.arange(-3, 5)  # of the dimensions
    z = (torch.randn(100, 8, generator=generator) + 0.5 * torch.randn(4, 8, generator=generator)[y]) * scale + scale
    head = script.fit_probe(z, y)[-1]
    x = ((z - z.mean(0)) / z.std(0, correction=0)).double()
    wrong = torch.from_numpy(x.numpy() @ head.coef_.T + head.intercept_).softmax(1)
    wrong -= torch.nn.functional.one_hot(y)  # the gradient of the cross-entropy to the logits
    gradient = script.C * wrong.T @ x + torch.from_numpy(head.coef_)  # 0 where C Σ cross-entropy + |W|²/2 is least
    at_zero = (0.25 - torch.nn.functional.one_hot(y)).double().T @ x
    assert gradient.abs().max() < 1e-3 * at_zero.abs().max() and wrong.sum(0).abs().max() < 1e-2
