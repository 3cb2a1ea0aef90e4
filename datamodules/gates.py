"""Two-bit logic gates: four patterns, which train and test.

         00  01  10  11
    and   0   0   0   1      or    0   1   1   1      xor   0   1   1   0      nand  1   1   1   0

And, or and nand are linearly separable; exclusive or is what a single neuron can't do.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from datamodules.base import CLI_KEYS
from datamodules.module import DataModule
from zoo.errors import InputError

TABLES = {"and": (0, 0, 0, 1), "or": (0, 1, 1, 1), "xor": (0, 1, 1, 0), "nand": (1, 1, 1, 0)}


class LogicGate(DataModule):
    """The truth table of a gate, `repeats` times an epoch.

    Args:
        gate: one of `TABLES`.
        batch_size: 4 for the whole table in a step, 1 for one pattern at a time.
        repeats: how often an epoch goes through the table.
        root: unused, there are no files; data modules share it.

    Shapes:
        batches: float32 [batch_size, 2], float32 [batch_size].
    """

    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Four patterns of two bits."

    use: ClassVar[str] = "print(model.predict([[0, 0], [0, 1], [1, 0], [1, 1]]))    # [0, 1, 1, 0]"

    name = "logic-gate"
    classes = ("0", "1")

    def __init__(
        self,
        gate: Literal["and", "or", "xor", "nand"] = "xor",
        batch_size: int = 4,
        *,
        repeats: int = 100,
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if gate not in TABLES:
            raise InputError(f"gate must be one of {', '.join(TABLES)}, not {gate!r}")
        if batch_size not in (1, 4):
            raise InputError(f"batch_size is {batch_size}; it must be 1 or 4, a pattern or the whole table")
        if repeats < 1:
            raise InputError(f"repeats is {repeats}; it must be at least 1")
        self.gate, self.batch_size, self.repeats = gate, batch_size, repeats

    @property
    def num_classes(self) -> int:
        return 2

    def table(self) -> tuple[Tensor, Tensor]:
        """Inputs float32 [4, 2] and targets float32 [4]."""
        x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        return x, torch.tensor(TABLES[self.gate], dtype=torch.float32)

    def train_dataloader(self) -> DataLoader:
        x, t = self.table()
        return DataLoader(TensorDataset(x.repeat(self.repeats, 1), t.repeat(self.repeats)), self.batch_size)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*self.table()), batch_size=4)
