"""Small complete checkpoint folders to publish."""

import hashlib
import json
from pathlib import Path

import torch

import zoo
from zoo.core.images import Transform
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.store import cards
from zoo.store import folder as checkpoint

RECIPE = """\
# python scripts/train.py {name}
seed_everything: 0
model:
  class_path: zoo.models.convnets.lenet5.LeNet5
data:
  class_path: datamodules.mnist.MNIST
trainer:
  max_epochs: 1
export: {{}}
card:
  summary: A network of a test.
  paper: none
  limits: It was never trained.
"""


def small_model(seed: int = 0, **init: object) -> ZooModule:
    torch.manual_seed(seed)
    model = zoo.create("lenet5", **init)
    model.transform = Transform((28, 28), "L", (0.1307,), (0.3081,))
    model.data = {"name": "mnist", "init": {"batch_size": 64}}
    model.classes = [str(i) for i in range(model.hparams["num_classes"])]
    return model


def make_folder(folder: Path, seed: int = 0) -> Path:
    """Everything that a published checkpoint has, around fresh weights."""
    checkpoint.write(small_model(seed), folder)
    (folder / "recipe.yaml").write_text(RECIPE.format(name=folder.name))
    (folder / "history.csv").write_text("epoch,step\n0,1\n")
    (folder / "provenance.json").write_text(
        json.dumps(
            {"command": f"python scripts/train.py {folder.name}", "seed": 0, "epochs": 1, "steps": 1, "seconds": 1.0}
            | {"hardware": "none", "devices": 1, "precision": "32-true", "python": "3", "torch": "2", "lightning": "2"}
        )
    )
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    claim = entry("mnist", "test", "accuracy", 0.1, "a test", better="higher") | {"sha256": sha256}
    (folder / "metrics.json").write_text(json.dumps([claim]))
    cards.write_card(folder)
    return folder
