"""Choosing the epoch on validation, in memory: small models change by the epoch and a file for each would cost more."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback


class KeepBest(Callback):
    """At the end of training, put back the weights of the epoch with the best validation values.

    Args:
        monitor: logged values in order of importance, "+" in front where larger is better, "-" where smaller is.
            A later one decides where the earlier ones are equal; where all are equal, the later epoch wins.
        patience: stop after so many epochs without a better one; None trains all of them.
    """

    def __init__(self, monitor: tuple[str, ...] = ("+val/accuracy", "-val/loss"), patience: int | None = None) -> None:
        self.monitor, self.patience = tuple(monitor), patience
        self.best: tuple[float, ...] | None = None
        self.epoch = -1
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = trainer.callback_metrics
        score = tuple((1 if key[0] == "+" else -1) * float(values[key[1:]]) for key in self.monitor)
        if self.best is None or score >= self.best:
            self.best, self.epoch = score, trainer.current_epoch
            self.weights = {key: value.detach().clone() for key, value in pl_module.state_dict().items()}
        elif self.patience is not None and trainer.current_epoch - self.epoch >= self.patience:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.weights:
            pl_module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.epoch, self.weights = state["best"], state["epoch"], state["weights"]
