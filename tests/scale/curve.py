"""The loss curve of a run as the optimiser sees it: the mean over all processes, step by step."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback


class LossCurve(Callback):
    """Writes {"train": [a loss per step], "val": [a loss per epoch], "seen": [images per validation]} to a file."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.train: list[float] = []
        self.val: list[float] = []
        self.seen: list[int] = []
        self.images = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.train.append(float(trainer.strategy.reduce(outputs["loss"].detach().clone(), reduce_op="mean")))

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self.images += len(batch[1])

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.val.append(float(trainer.callback_metrics["val/loss"]))
        self.seen.append(self.images)
        self.images = 0

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        weights = torch.cat([p.detach().flatten() for p in pl_module.parameters()])
        facts = {"train": self.train, "val": self.val, "seen": self.seen, "norm": float(weights.double().norm())}
        self.path.with_suffix(f".{trainer.global_rank}").write_text(json.dumps(facts))
