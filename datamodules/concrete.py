"""Compressive strength of concrete (Yeh, 1998): 1,030 mixes, eight numbers in, one out.

The twenty splits into nine tenths and one tenth are those of the benchmark of Hernández-Lobato and Adams (2015) that Gal and
Ghahramani (2016) prepared, so that an error can be set beside published ones: a mean over all twenty.
"""

import json
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from datamodules.base import CLI_KEYS, fixed_permutation
from datamodules.files import fetch, sha256_of
from datamodules.module import DataModule
from zoo.errors import InputError

Part = tuple[Tensor, Tensor]


class Concrete(DataModule):
    """Mixes of concrete with their strength.

    Args:
        batch_size: mixes a step; 0 for all of the training part.
        split: one of the twenty splits, 0 to 19.
        val_size: training mixes held out for validation, always the same ones of a split; 0 for none.
        seed: of the shuffles, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.

    Shapes:
        batches: float32 [B, 8], float32 [B, 1]; raw units, a model scales them itself.
    """

    use: ClassVar[str] = (
        "mix = [[540, 0, 0, 162, 2.5, 1040, 676, 28]]         # cement, slag, ash, water, superplasticizer, aggregates, days\n"
        "print(model.predict(mix))                            # MPa"
    )

    name = "concrete"
    offers: ClassVar[tuple[str, ...]] = ("table",)
    classes: tuple[str, ...] = ()
    features: ClassVar[tuple[str, ...]] = (
        "cement", "slag", "fly ash", "water", "superplasticizer", "coarse aggregate", "fine aggregate", "age",
    )  # fmt: skip
    target: ClassVar[str] = "strength"
    unit: ClassVar[str] = "MPa"
    count: ClassVar[int] = 1030
    splits: ClassVar[int] = 20
    licence: ClassVar[str] = "CC BY 4.0 (the data), CC BY-NC 4.0 (the splits)"
    licence_note: ClassVar[str] = "Name I-Cheng Yeh and the UCI repository; the index files are Gal's."
    homepage: ClassVar[str] = "https://doi.org/10.24432/C5PK67"
    files: ClassVar[dict[str, str]] = {  # name: sha256
        "concrete.txt": "43d290fd2c2a399ad7e62c45cab5337ba94ece69ebdcf5875aa668cb886243de",
        "concrete.splits.json": "68751868815d9eb891cd871b4cc2f9ebc1276786b87a94a3675f3709bc49bf63",
    }

    def __init__(
        self, batch_size: int = 64, *, split: int = 0, val_size: int = 0, seed: int = 0, root: str | None = None
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if batch_size < 0:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1, or 0 for all mixes in one batch")
        if not 0 <= split < self.splits:
            raise InputError(f"split is {split}; there are {self.splits}, from 0 to {self.splits - 1}")
        if not 0 <= val_size <= 500:
            raise InputError(f"val_size is {val_size}; it must be 0 to 500 of the 927 training mixes")
        self.batch_size, self.split, self.val_size, self.seed, self.root = batch_size, split, val_size, seed, root
        self._parts: dict[str, Part] = {}

    def prepare_data(self) -> None:
        for name, sha256 in self.files.items():
            path = fetch(f"tabular/uci_regression/{name}", (), sha256, root=self.root)
            if sha256_of(path) != sha256:
                raise InputError(f"{path} isn't the published file: put that in its place.")

    def part(self, name: str) -> Part:
        """Features float32 [N, 8] and strengths float32 [N, 1] of "train", "val" or "test"."""
        if name not in ("train", "val", "test"):
            raise InputError(f"part is {name!r}; it can be 'train', 'val' or 'test'.")
        if not self._parts:
            self.prepare_data()
            table, indices = (
                fetch(f"tabular/uci_regression/{file}", (), sha256, root=self.root).read_text(encoding="utf-8")
                for file, sha256 in self.files.items()
            )
            rows = torch.tensor([[float(v) for v in line.split()] for line in table.splitlines() if line.strip()])
            tested = torch.zeros(self.count, dtype=torch.bool)
            tested[torch.tensor(json.loads(indices)["test"][self.split])] = True
            kept = (~tested).nonzero()[:, 0]
            kept = kept[fixed_permutation(len(kept))]
            for part, index in (
                ("val", kept[: self.val_size].sort().values),
                ("train", kept[self.val_size :].sort().values),
                ("test", tested.nonzero()[:, 0]),
            ):
                self._parts[part] = rows[index, :-1], rows[index, -1:]
        return self._parts[name]

    def train_dataloader(self) -> DataLoader:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader | list:
        return self._loader("val") if self.val_size else []

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def _loader(self, name: str, *, shuffle: bool = False) -> DataLoader:
        rows = TensorDataset(*self.part(name))
        size = self.batch_size or len(rows)
        generator = torch.Generator().manual_seed(self.seed)
        order = RandomSampler(rows, generator=generator) if shuffle and size < len(rows) else SequentialSampler(rows)
        # a batch is one look-up: its sampler draws whole batches of indices
        return DataLoader(rows, batch_size=None, sampler=BatchSampler(order, size, drop_last=False))
