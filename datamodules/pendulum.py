"""Trajectories of a pendulum with friction, and two other systems beside it, by Runge-Kutta steps of a thousandth of a second.

    x₁' = x₂,    x₂' = −(g / l) sin x₁ − (k / m l) x₂        angle and angular velocity of the pendulum
    x₁' = x₂,    x₂' = −g                                    free fall: height and velocity
    x₁' = a x₁ − b x₁ x₂,    x₂' = c x₁ x₂ − d x₂            Lotka-Volterra: prey and predators

Trajectories start at random states, one seed a split, and are given at equal times. Everything is computed.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from datamodules.base import CLI_KEYS
from datamodules.module import DataModule
from zoo.errors import InputError

SEEDS = {"train": 0, "val": 1, "test": 2}
GRAVITY, LENGTH, FRICTION = 9.81, 2.0, 0.3  # m/s², m, 1/s


def pendulum(x: Tensor) -> Tensor:
    """Time derivative [..., 2] of angle and angular velocity [..., 2]."""
    return torch.stack([x[..., 1], -GRAVITY / LENGTH * x[..., 0].sin() - FRICTION * x[..., 1]], -1)


def free_fall(x: Tensor) -> Tensor:
    """Time derivative [..., 2] of height and velocity [..., 2]."""
    return torch.stack([x[..., 1], torch.full_like(x[..., 1], -GRAVITY)], -1)


def lotka_volterra(x: Tensor) -> Tensor:
    """Time derivative [..., 2] of prey and predators [..., 2]."""
    prey, predators = x[..., 0], x[..., 1]
    return torch.stack([1.5 * prey - prey * predators, prey * predators - 3 * predators], -1)


SYSTEMS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[float, float], tuple[float, float]]] = {
    "pendulum": (pendulum, (-2.0, -1.0), (2.0, 1.0)),  # the field, and the box of the first states
    "free-fall": (free_fall, (5.0, -5.0), (15.0, 5.0)),
    "lotka-volterra": (lotka_volterra, (1.0, 0.5), (5.0, 3.0)),
}


class Pendulum(DataModule):
    """Segments of trajectories to learn a differential equation from.

    Args:
        batch_size: segments per batch.
        trajectories: of the training split; 16 more validate and 64 test.
        seconds: length of a trajectory.
        step: seconds between its states.
        segment: steps of a training segment.
        system: "pendulum", "free-fall" or "lotka-volterra".
        seed: of the shuffles, never of the trajectories.

    Shapes:
        batches: float32 [B, segment + 1, 2] states, and their times [segment + 1].
    """

    name = "pendulum"
    classes: tuple[str, ...] = ()
    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Computed, not collected."
    homepage: ClassVar[str] = "https://en.wikipedia.org/wiki/Pendulum_(mechanics)"

    def __init__(
        self,
        batch_size: int = 256,
        *,
        trajectories: int = 64,
        seconds: float = 4.0,
        step: float = 0.05,
        segment: int = 10,
        system: str = "pendulum",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if system not in SYSTEMS:
            raise InputError(f"system is {system!r}; it can be {', '.join(SYSTEMS)}")
        if batch_size < 1 or trajectories < 1 or segment < 1 or not 0 < step < seconds:
            raise InputError("batch_size, trajectories and segment must be at least 1, and step between 0 and seconds")
        if segment * step > seconds:
            raise InputError(f"a segment of {segment} steps of {step} s is longer than {seconds} s")
        self.batch_size, self.step, self.segment, self.seed = batch_size, step, segment, seed
        self.counts = {"train": trajectories, "val": 16, "test": 64}
        self.steps, self.system = round(seconds / step), system
        self._found: dict[str, Tensor] = {}

    def tensors(self, split: str) -> Tensor:
        """Trajectories float32 [N, steps + 1, 2] of "train", "val" or "test"."""
        if split not in SEEDS:
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        if split not in self._found:
            with torch.inference_mode(False):
                _, low, high = SYSTEMS[self.system]
                generator = torch.Generator().manual_seed(SEEDS[split])
                share = torch.rand(self.counts[split], 2, generator=generator, dtype=torch.float64)
                a, b = torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)
                self._found[split] = self.simulate(a + (b - a) * share, self.steps).float()
        return self._found[split]

    def simulate(self, start: Tensor, steps: int) -> Tensor:
        """True trajectories float64 [N, steps + 1, 2] from states [N, 2]."""
        field, x = SYSTEMS[self.system][0], start.double()
        inner = max(1, round(self.step / 0.001))
        h, found = self.step / inner, [x]
        for _ in range(steps):
            for _ in range(inner):
                a = field(x)
                b = field(x + h / 2 * a)
                c = field(x + h / 2 * b)
                d = field(x + h * c)
                x = x + h / 6 * (a + 2 * b + 2 * c + d)
            found.append(x)
        return torch.stack(found, 1)

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def _loader(self, split: str, *, shuffle: bool = False) -> DataLoader:
        segments = self.tensors(split).unfold(1, self.segment + 1, 1).permute(0, 1, 3, 2)  # [N, starts, segment + 1, 2]
        rows = segments.flatten(0, 1).contiguous()
        times = self.step * torch.arange(self.segment + 1, dtype=torch.float32)

        def collate(batch: list[Any]) -> tuple[Tensor, Tensor]:
            return torch.stack([state for (state,) in batch]), times

        generator = torch.Generator().manual_seed(self.seed)
        return DataLoader(
            TensorDataset(rows), self.batch_size, shuffle=shuffle, collate_fn=collate, generator=generator
        )
