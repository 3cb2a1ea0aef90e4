"""A made-up architecture lands in the five places of CONTRIBUTING.md and nowhere else: everything works for it."""

import json
import sys

import pytest

import zoo
from tests.tiny import TINY, Tiny
from zoo import index, registry
from zoo.store import cards, measure
from zoo.train import experiment

MODULE = '''
"""A made-up network: one linear layer.

Departures from the paper: there is no paper.
"""

from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from zoo.core.batch import labelled
from zoo.core.module import ZooModule
from zoo.core.verbs import verb


class MadeUp(ZooModule):
    """One linear layer for two bits."""

    task: ClassVar[str] = "tabular-classification"
    use: ClassVar[str] = "print(model.predict([[0.0, 1.0]]))"
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"agreement"})

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(width, 1)

    def forward(self, x):
        return self.layer(x.float())

    @verb
    def predict(self, x):
        return (self(torch.as_tensor(x)) > 0).long().flatten().tolist()

    def training_step(self, batch, batch_idx):
        x, y = labelled(batch)
        return F.binary_cross_entropy_with_logits(self(x).flatten(), y.float().flatten())

    def test_step(self, batch, batch_idx):
        x, y = labelled(batch)
        self.log("test/agreement", ((self(x).flatten() > 0) == (y.flatten() > 0)).float().mean(), batch_size=len(y))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)

    def golden_inputs(self):
        return {"input": torch.zeros(1, 2)}
'''

RECIPE = """# python scripts/train.py made-up-gate
seed_everything: 0
model:
  class_path: made_up.MadeUp
data:
  class_path: datamodules.gates.LogicGate
  init_args:
    gate: or
trainer:
  max_epochs: 2
  accelerator: cpu
  enable_progress_bar: false
card:
  summary: Made up.
  paper: none
  limits: It can tell two bits apart.
"""


@pytest.fixture
def five_places(tmp_path, monkeypatch):
    (tmp_path / "made_up.py").write_text(MODULE)  # 1. the architecture's file; 4. its own test is this one
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(registry.ARCHITECTURES, "made-up", "made_up:MadeUp")  # 2. a line in the registry
    monkeypatch.setitem(TINY, "made-up", Tiny({"width": 2}, lambda: None))  # 3. its tiny configuration
    place = tmp_path / "checkpoints"
    (place / "made-up-gate").mkdir(parents=True)
    (place / "made-up-gate" / "recipe.yaml").write_text(RECIPE)  # 5. its recipe
    for module in ("zoo.paths", "zoo.store.hub", "zoo.store.cards", "zoo.train.experiment"):
        monkeypatch.setattr(f"{module}.CHECKPOINTS", place)
    for module in ("zoo.index", "zoo.store.cards"):
        monkeypatch.setattr(f"{module}.INDEX", tmp_path / "index.json")
    index.entries.cache_clear()
    yield place / "made-up-gate"
    index.entries.cache_clear()
    sys.modules.pop("made_up", None)


def test_a_made_up_architecture_needs_five_places(five_places, tmp_path, capsys):
    folder = five_places
    assert zoo.create("made-up", **TINY["made-up"].init).task == "tabular-classification"
    for seed in (0, 1):
        experiment.fit_one("made-up-gate", seed, tmp_path / "runs", [])
    exported = [tmp_path / "runs" / "made-up-gate" / f"seed{seed}" / "made-up-gate" for seed in (0, 1)]
    assert measure.main([str(path) for path in exported] + ["--write"]) == 0
    experiment.put_in_place("made-up-gate", exported, folder)

    (claim,) = json.loads((folder / "metrics.json").read_text())
    assert claim["metric"] == "agreement" and claim["better"] == "higher" and claim["n_seeds"] == 2
    for path, text in cards.generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    index.entries.cache_clear()
    card = (folder / "README.md").read_text()
    assert "print(model.predict([[0, 0]" in card and "there is no paper" in card and "licence: none needed" in card
    assert zoo.verify("made-up-gate") and zoo.evaluate("made-up-gate")[0]["value"] == claim["value"]
    assert index.models(sort="agreement")[0].name == "made-up-gate"
    assert "model.predict(x)" in str(zoo.info("made-up-gate"))
    assert zoo.load("made-up-gate").predict([[1.0, 1.0]]) in ([0], [1])
