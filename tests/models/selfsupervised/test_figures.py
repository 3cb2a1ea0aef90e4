"""The figures and tables of the self-supervised models, on tiny ones."""

import importlib
import types

import torch

import zoo
from zoo.core.images import Transform
from zoo.paths import CHECKPOINTS
from zoo.store.folder import read_config

pretexts = importlib.import_module("scripts.figures.pretexts")
backbones = importlib.import_module("scripts.backbones")


def images(n: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_confusions_count_every_turn_and_every_tile_once(tmp_path):
    for name in ("rotnet", "jigsaw"):
        counts = pretexts.confusion(zoo.create(name, width=8), images())
        assert counts.sum(1).tolist() == [8] * 4
        pretexts.draw_counts(counts, list("abcd"), tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size < 200_000


def test_spread_is_followed_with_and_without_the_predictor(tmp_path):
    found = pretexts.collapse(images(), 2, width=8, batch_size=8)
    assert [len(values) for values in found.values()] == [2, 2]
    assert all(value > 0 for values in found.values() for value in values)
    pretexts.draw_collapse(found, 128, tmp_path / "collapse.png")
    assert (tmp_path / "collapse.png").stat().st_size < 200_000


def test_the_table_of_backbones_holds_means_and_deviations():
    table = {"simclr": {"probe_accuracy": 0.65, "finetuned_1pct": [0.4, 0.5, 0.6]}, "random encoder": {}}
    lines = backbones.markdown(table, 10).splitlines()
    assert lines[2] == "| simclr | 65.0% |  |  |  |  | 50.0% ± 10.0% |  |" and "the same 10 steps" in lines[-1]
    model = zoo.create("simclr", width=8).eval()
    model.transform = Transform([32, 32], "RGB", [0.0] * 3, [1.0] * 3)
    x, y = images(200), torch.arange(200) % 2
    parts = {"all": (x, y), "test": (x[:20], y[:20])}
    assert len(backbones.few(model, parts, 2, scratch=True)) == 3


def test_a_row_measured_on_weights_before_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "all_labels", lambda data: None)
    monkeypatch.setattr(backbones, "measured", lambda name, data: {"probe_accuracy": 0.6})
    monkeypatch.setattr(backbones, "shots", lambda model, parts: {"one_shot": 0.2, "five_shots": 0.3})
    data = types.SimpleNamespace(tensors=lambda part: None)
    weights = read_config(CHECKPOINTS / "simclr-cifar10")["weights"]["sha256"][:16]
    for before, value in (("another", 0.6), (weights, 0.5)):
        table = {"simclr-cifar10": {"weights": before, "probe_accuracy": 0.5, "finetuned_1pct": [0.4]}}
        backbones.fill(table, ["simclr-cifar10"], data, 2, tmp_path, shots_alone=True)
        row = table["simclr-cifar10"]
        assert (row["weights"], row["probe_accuracy"], "finetuned_1pct" in row) == (weights, value, value == 0.5)
