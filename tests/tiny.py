"""A tiny configuration of every architecture and a batch that fits it: what the registry-wide tests run on.

A new architecture adds one entry. `overfits` is the share of its first training loss that it must fall below within 120 steps
on one batch; `data` names the data module whose real batches its `fast_dev_run` trains on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Tiny:
    """Arguments of a small model, a batch for its training step, and what is expected of it."""

    init: dict[str, Any]
    batch: Callable[[], Any]
    data: str | None = None
    data_init: dict[str, Any] = field(default_factory=dict)
    overfits: float = 0.5
    lr: float = 3e-3
    no_gradient: tuple[str, ...] = ()  # parameters that rightly get none in one step, such as a discriminator's


def images(n: int = 8, channels: int = 1, size: int = 28, classes: int = 10) -> Callable[[], Any]:
    def make() -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(n, channels, size, size, generator=generator)
        return x, torch.arange(n) % classes

    return make


TINY: dict[str, Tiny] = {
    "cnn": Tiny({"width": 8, "embedding_dim": 16, "dropout": 0.0}, images(), data="mnist"),
    "ddpm": Tiny(
        {"width": 8, "blocks": 1, "timesteps": 50},
        images(),
        data="mnist",
        data_init={"normalize": False},
        overfits=0.8,  # the noise is drawn anew in every step
    ),
    "lenet5": Tiny({"batch_norm": True}, images(), data="mnist"),
}
