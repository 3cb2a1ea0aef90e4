"""What all loaders of the zoo share: they know which batch of which epoch is out, and go on there after an interruption."""

from collections.abc import Iterator, Mapping
from typing import Self


class ResumableLoader:
    """Base of loaders whose batches are a pure function of (seed, epoch, number).

    A subclass gives `__len__`, and an `__iter__` that makes the batches whose numbers `remaining` yields. Its `__iter__` is a
    generator: Lightning makes the iterator before it calls `set_epoch`, so nothing may be read before the first next. Whoever
    loops without Lightning gets the next epoch with each pass.
    """

    batch_sampler = None  # Lightning looks for it beside `sampler`
    repeats = False  # every epoch has the batches of the first
    epoch = 0
    _position = 0  # batches of this epoch that are out
    _resume: dict[str, int] | None = None

    def __len__(self) -> int:
        raise NotImplementedError

    def remaining(self) -> Iterator[int]:
        """Numbers of the batches of this epoch: all, or those that a stopped run had not seen."""
        start = 0
        if self._resume is not None:
            start = self._resume["batch"] if self._resume["epoch"] == self.epoch else 0
            self._resume = None
        for number in range(start, len(self)):
            self._position = number + 1
            yield number
        self.set_epoch(self.epoch + 1)
        self._position = 0  # a second pass outside Lightning is another epoch

    @property
    def sampler(self) -> Self:
        """Itself: Lightning announces each epoch by `loader.sampler.set_epoch(epoch)`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = 0 if self.repeats else epoch

    def state_dict(self) -> dict[str, int]:
        """What Lightning keeps in its checkpoints: a run stopped inside an epoch goes on with the next batch."""
        return {"epoch": self.epoch, "batch": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self._resume = dict(state)
