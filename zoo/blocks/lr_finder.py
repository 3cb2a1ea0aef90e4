"""The learning-rate range test (Smith, 2017, arXiv:1506.01186): train for a moment at ever larger rates, and watch the loss.

The rate grows by the same factor in every step. A good first guess is where the smoothed loss falls most steeply; where the loss
rises again is too much. Lightning's tuner does the work.
"""

import tempfile
from dataclasses import dataclass
from typing import Any

import lightning as L
from lightning.pytorch.tuner import Tuner

from zoo.core.checks import check_count
from zoo.errors import InputError


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw: `lr` where the loss fell most steeply, and the smoothed loss at each of the rates."""

    lr: float
    rates: list[float]
    losses: list[float]


def find_lr(
    model: L.LightningModule,
    data: L.LightningDataModule,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    trainer: dict[str, Any] | None = None,
) -> RangeTest:
    """A learning rate for a model on a data module, by its own optimiser; the model's weights are as before.

    Args:
        lowest, highest: rates of the first and of the last step.
        steps: batches to train on; fewer where the loss has gone to four times its best before.
        trainer: arguments of `lightning.Trainer`.

    Raises:
        InputError: for rates that don't grow, or too few steps to tell.
    """
    if not 0 < lowest < highest:
        raise InputError(f"lowest must be above 0 and below highest, not {lowest!r} and {highest!r}")
    check_count(steps, "steps")
    was_training = model.training
    with tempfile.TemporaryDirectory() as folder:  # of the weights, until they are put back
        settings: dict[str, Any] = {
            "max_epochs": -1,
            "default_root_dir": folder,
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            "limit_val_batches": 0,
            "use_distributed_sampler": False,
        }
        runner = L.Trainer(**settings | (trainer or {}))
        options: dict[str, Any] = {"min_lr": lowest, "max_lr": highest, "num_training": steps, "update_attr": False}
        found = Tuner(runner).lr_find(model, datamodule=data, **options)
    model.train(was_training)
    lr = found.suggestion() if found else None
    if found is None or lr is None:
        raise InputError(f"{steps} steps from {lowest:g} to {highest:g} are too few to tell: take more")
    return RangeTest(lr, found.results["lr"], found.results["loss"])
