"""A person's own table: rows of numbers and words, one column of which is to be predicted.

    age,city,income,bought          .csv (comma or semicolon) or .tsv; the last column is the target, or target=… names it
    31,Rome,2100,yes

A target of numbers with more than ten different values is a quantity (regression), any other one a class. Columns of words become
categories, missing values the mean of the training rows with a column that says so; `notes` lists what was done.
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from datamodules.base import CLI_KEYS
from datamodules.module import DataModule
from datamodules.own import (
    Own,
    check_shares,
    column,
    encode_columns,
    is_missing,
    name_classes,
    number,
    own_file,
    parts_of,
    read_rows,
)
from zoo.errors import InputError

QUANTITY = 10  # a target with more different numbers is one


class TableCSV(Own, DataModule):
    """Rows of a table, a share of them held out.

    Args:
        root: the table.
        batch_size: rows per batch.
        target: name of the column to predict; by default the last one.
        task: "regression" or "classification"; by default what the target looks like.
        val_share, test_share: shares that validate and test.
        seed: of the shuffles, never of the split.

    Shapes:
        batches: float32 [B, features], and float32 [B, 1] or int64 [B]; raw units, a model scales them itself.
    """

    offers: tuple[str, ...] = ("table", "labelled-table")
    name = "table-csv"
    counted: ClassVar[str] = "rows"

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        *,
        target: str | None = None,
        task: Literal["regression", "classification"] | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(root))
        check_shares(val_share, test_share)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1")
        if task not in (None, "regression", "classification"):
            raise InputError(f"task is 'regression' or 'classification', not {task!r}")
        self.root, self.batch_size, self.seed, self.splits = str(root), batch_size, seed, 1
        path = own_file(root, (".csv", ".tsv"), "a table")
        header, rows = read_rows(path)
        what = len(header) - 1 if target is None else column(header, target, (), "target", path)
        kept = [row for row in rows if not is_missing(row[what])]
        if len(kept) < len(rows):
            self.notes.append(f"{len(rows) - len(kept)} of {len(rows)} rows have no {header[what]} and are left out")
        if len(kept) < 3:
            raise InputError(f"{path} has {len(kept)} rows with a {header[what]}: it takes three")
        values = [number(row[what]) for row in kept]
        numbers = all(value is not None for value in values)
        if task == "regression" and not numbers:
            word = next(row[what] for row, value in zip(kept, values, strict=True) if value is None)
            raise InputError(
                f"the column {header[what]} of {path} holds {word!r}, which is no number: it can't be regressed"
            )
        quantity = task == "regression" or (task is None and numbers and len(set(values)) > QUANTITY)
        self.target = self.unit = header[what]
        labels: Tensor | None = None
        if quantity:
            self.classes: tuple[str, ...] = ()
            y = torch.tensor(values, dtype=torch.float32)[:, None]
        else:
            classes, y = name_classes([row[what] for row in kept], f"the column {header[what]} of {path}")
            if len(classes) > len(kept) // 2:
                raise InputError(
                    f"the column {header[what]} of {path} has {len(classes)} classes for {len(kept)} rows: name the column to "
                    "predict by target=…"
                )
            self.classes, labels = tuple(classes), y
        parts = parts_of(len(kept), val_share, test_share, labels)
        others = [i for i in range(len(header)) if i != what]
        table = [[row[i] for i in others] for row in kept]
        x, names, notes = encode_columns([header[i] for i in others], table, parts["train"])
        self.notes.extend(notes)
        self.features = tuple(names)
        self.offers = ("table",) if quantity else ("labelled-table",)
        self._parts = {part: (x[index].float(), y[index]) for part, index in parts.items()}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """Features float32 [N, D] and targets of "train", "val" or "test"."""
        if name not in self._parts:
            raise InputError(f"part is {name!r}; it can be 'train', 'val' or 'test'")
        return self._parts[name]

    def sizes(self) -> dict[str, int]:
        return {part: len(y) for part, (_, y) in self._parts.items()}

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader | list:
        return self._loader("val") if len(self._parts["val"][1]) else []

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def _loader(self, name: str, *, shuffle: bool = False) -> DataLoader[Any]:
        rows = TensorDataset(*self.part(name))
        order = (
            RandomSampler(rows, generator=torch.Generator().manual_seed(self.seed))
            if shuffle
            else SequentialSampler(rows)
        )
        return DataLoader(rows, batch_size=None, sampler=BatchSampler(order, self.batch_size, drop_last=False))
