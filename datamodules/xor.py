"""Exclusive or as next-token prediction: after two bits comes their XOR. Four contexts, and that is all there is.

00 → 0     01 → 1     10 → 1     11 → 0
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from datamodules.base import CLI_KEYS
from datamodules.module import DataModule
from datamodules.text import IGNORED
from zoo.errors import InputError


class XOR(DataModule):
    """The four contexts as one batch, `repeats` times an epoch; only the bit after both is scored.

    Args:
        repeats: training steps of an epoch.
        root: unused, there are no files; data modules share it.
    """

    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "All sequences of a machine of four states."

    use: ClassVar[str] = (
        "print(model.transitions())                           # the machine: P(next bit) after every context\n"
        'print(model.generate("01", 8, temperature=0))'
    )

    name = "xor"
    classes = ("0", "1")

    def __init__(self, repeats: int = 50, *, root: str | None = None) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if repeats < 1:
            raise InputError(f"repeats is {repeats}; it must be at least 1.")
        self.repeats = repeats

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def patterns(self) -> tuple[Tensor, Tensor]:
        """Every context, int64 [4, 2], and the token that must follow it, int64 [4]."""
        x = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
        return x, x[:, 0] ^ x[:, 1]

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.repeats)

    def val_dataloader(self) -> DataLoader:
        return self._loader(1)

    def _loader(self, repeats: int) -> DataLoader:
        x, answer = self.patterns
        y = torch.full_like(x, IGNORED)
        y[:, -1] = answer
        return DataLoader(TensorDataset(x.repeat(repeats, 1), y.repeat(repeats, 1)), batch_size=len(x))
