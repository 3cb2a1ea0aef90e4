"""The learning-rate schedule of the recipes: a warm-up, a decay, and restarts."""

import math
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from zoo.errors import InputError


class WarmupDecay(LRScheduler):
    """Linear warm-up, then decay to `final` of the peak, stepped every batch; its length is the trainer's.

    Args:
        warmup: share of the run, or of each of its cycles, that warms up.
        shape: "cosine", "linear", or "constant" decay after the warm-up.
        final: the last learning rate as a share of the peak.
        restart: share of the run after which a second cycle begins, or the rising shares after which several begin (Loshchilov
            and Hutter, 2017, arXiv:1608.03983); None for one cycle. With a restart, a finished run can be
            continued for more epochs instead of being trained anew.
        again: peak of every further cycle as a share of the first one's.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: float = 0.05,
        shape: Literal["cosine", "linear", "constant"] = "cosine",
        final: float = 0.0,
        restart: float | list[float] | None = None,
        again: float = 1.0,
    ) -> None:
        self.restarts = [restart] if isinstance(restart, int | float) else (restart or [])
        if sorted({0, *self.restarts, 1}) != [0, *self.restarts, 1]:
            raise InputError(
                f"restart is {restart!r}; it's the share of the run before another cycle, between 0 and 1, or several that rise."
            )
        self.warmup, self.shape, self.final, self.again = warmup, shape, final, again
        self.total_steps: int | None = None  # until `stretch`, which knows the trainer
        super().__init__(optimizer)

    def stretch(self, total_steps: float) -> None:
        """Set the length of the run; a run without an end (max_epochs=-1) keeps the peak after one step."""
        self.total_steps = int(total_steps) if math.isfinite(total_steps) else 0
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def factor(self, step: int) -> float:
        """Learning rate of a step as a share of the peak.

        Raises:
            InputError: for a step beyond the first one, where the run's length was never set.
        """
        if self.total_steps is None and step:
            raise InputError(
                "WarmupDecay doesn't know how long the run is: call stretch(number of steps) before training"
            )
        if self.total_steps == 0:
            return 1.0
        total = self.total_steps or 1
        starts = [0, *(round(share * total) for share in self.restarts)]
        cycle = sum(step >= start for start in starts[1:])
        end = [*starts[1:], total][cycle]
        return (self.again if cycle else 1.0) * self._cycle(step - starts[cycle], end - starts[cycle])

    def _cycle(self, step: int, steps: int) -> float:
        done = min(1.0, step / max(1, steps))
        if done < self.warmup:
            return (step + 1) / (self.warmup * steps + 1)
        if self.shape == "constant":
            return 1.0
        left = 1 - (done - self.warmup) / max(1e-9, 1 - self.warmup)
        curve = left if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * left))
        return self.final + (1 - self.final) * curve

    def get_lr(self) -> list[Any]:
        return [lr * self.factor(self.last_epoch) for lr in self.base_lrs]
