"""What all games of two networks share: learning rates that fall over the run, and a moving average of the generator."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def decay(trainer: Any, batch_idx: int, optimizers: Any, rates: Sequence[float], final: float = 0.0) -> None:
    """Set learning rates for a batch: from `rates`, one an optimiser, in a line to `final` times as much at the run's end.

    A run without an end keeps its rates.
    """
    if not trainer.max_epochs or trainer.max_epochs < 0:
        return
    done = (trainer.current_epoch + batch_idx / max(1, int(trainer.num_training_batches))) / trainer.max_epochs
    for optimizer, lr in zip(optimizers, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - (1 - final) * min(1.0, done))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, ema: float, step: int) -> None:
    """Move an average by the share 1 − ema towards a network, in the first steps by more: the random start is forgotten."""
    share = 1 - min(ema, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), share)
    for mean, now in zip(average.buffers(), network.buffers(), strict=True):
        mean.copy_(mean.lerp(now, share) if mean.is_floating_point() else now)
