"""What a method of `zoo.explain` is given, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.explain.baselines import baselines
from zoo.explain.segments import segments_of
from zoo.explain.subject import Subject


@dataclass
class Task:
    """One input, one target, and what the caller wants of the method."""

    model: Any
    found: Subject
    target: int
    baseline: Any
    layer: str | None
    segments: Any
    samples: int | None
    seed: int

    @property
    def f(self) -> Callable[[Tensor], Tensor]:
        return self.found.function(self.target)

    @property
    def x(self) -> Tensor:
        return self.found.x

    def base(self, most: int = 1) -> Tensor:
        return baselines(self.found, self.baseline, self.seed, most=most)

    def background(self, most: int) -> Tensor:
        """Several baselines: those given, else images or rows of the data, else the one that stands for nothing."""
        if isinstance(self.baseline, str) and self.baseline == "black" and self.found.background() is not None:
            return baselines(self.found, "data", self.seed, most=most)
        return self.base(most)

    def players(self, default: int = 49) -> Tensor | None:
        """Put parts into the subject; the map of an image's segments [H, W], None where every part is a player."""
        found = self.found
        if found.kind == "image":
            assert found.image is not None
            chosen = segments_of(found.image, self.segments, default)
            found.parts = chosen.expand(found.x.shape[1:]).contiguous()
            found.labels = [f"segment {i}" for i in range(int(chosen.max()) + 1)]
            return chosen
        if self.segments is None:
            return None
        assert found.parts is not None
        count = int(found.parts.max()) + 1
        try:
            several = not isinstance(self.segments, int)
            chosen = torch.as_tensor(self.segments) if several else torch.arange(count) * self.segments // count
        except (TypeError, ValueError, RuntimeError):  # a word, rows of unlike lengths
            chosen = torch.empty(0)
        if tuple(chosen.shape) != (count,) or chosen.is_floating_point():
            raise InputError(
                f"segments of this {found.kind} are {count} whole numbers, or how many there are to be, not {self.segments!r}"
            )
        chosen = chosen.unique(return_inverse=True)[1]
        found.parts = chosen[found.parts]
        found.labels = [f"segment {i}" for i in range(int(chosen.max()) + 1)]
        return chosen


@dataclass
class Found:
    """What a method gives: values, and where it has them a baseline [B, …], segments, and more."""

    values: Tensor
    base: Tensor | None = None
    complete: bool = False
    segments: Tensor | None = None
    names: list[str] | None = None
    other: Tensor | None = None
    details: dict[str, Any] | None = None
