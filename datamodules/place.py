"""What a trainer asks of a data module's loaders: their device, this process's share, and epochs that repeat."""

from typing import Any, TypedDict, TypeVar

import torch

from datamodules.resumable import ResumableLoader

Loader = TypeVar("Loader", bound=ResumableLoader)


class Share(TypedDict):
    """This process's number among those that train together, and how many they are."""

    rank: int
    world_size: int


def device_of(module: Any) -> torch.device:
    """The device that a data module's trainer computes on; the CPU where there is no trainer."""
    return module.trainer.strategy.root_device if module.trainer else torch.device("cpu")


def share_of(module: Any) -> Share:
    """The share of the training data that this process goes through: all of it where there is no trainer."""
    trainer = module.trainer
    return Share(rank=trainer.global_rank, world_size=trainer.world_size) if trainer else Share(rank=0, world_size=1)


def overfits(module: Any) -> bool:
    """Whether the trainer was given `overfit_batches`, which needs the same batches in every epoch."""
    return bool(getattr(module.trainer, "overfit_batches", 0))


def training(module: Any, loader: Loader) -> Loader:
    """A loader of training batches, which repeats its first epoch where the trainer overfits some batches."""
    loader.repeats = overfits(module)
    return loader
