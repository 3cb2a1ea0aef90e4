"""Fisher's Iris measurements (Fisher, 1936): 150 flowers, 50 of each of three species, four lengths in centimetres.

Setosa is linearly separable from the two others, which aren't from each other: the classical ground of the perceptron. The file
is the machine-learning repository's (its rows 35 and 38 aren't quite the paper's) and comes with the package.
"""

import csv
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from datamodules.base import CLI_KEYS, fixed_permutation
from datamodules.module import DataModule
from zoo.core.samples import SAMPLES
from zoo.errors import InputError

SPECIES = ("setosa", "versicolor", "virginica")
FEATURES = ("sepal length", "sepal width", "petal length", "petal width")


class Iris(DataModule):
    """Some species and features of Iris; three flowers in ten test, always the same ones.

    Args:
        batch_size: flowers a step; 0 for all of the training part.
        species: the classes, out of `SPECIES`.
        features: out of `FEATURES`, raw centimetres: a model scales them itself.
        seed: of the shuffles, never of the split.
        root: unused, the file is packaged; data modules share it.

    Shapes:
        batches: float32 [B, len(features)], int64 [B].
    """

    use: ClassVar[str] = "print(model.predict([[5.1, 1.4], [6.0, 4.5]]))       # sepal and petal length in cm"

    name = "iris"
    offers = ("labelled-table",)
    licence = "CC BY 4.0"
    licence_note = "Dua and Graff's machine-learning repository; the measurements are Anderson's and Fisher's."
    homepage = "https://doi.org/10.24432/C56C76"

    def __init__(
        self,
        batch_size: int = 1,
        *,
        species: Sequence[str] = ("setosa", "versicolor"),
        features: Sequence[str] = ("sepal length", "petal length"),
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        for chosen, known, what in ((species, SPECIES, "species"), (features, FEATURES, "features")):
            if not chosen or not set(chosen) <= set(known) or len(set(chosen)) < len(chosen):
                raise InputError(f"{what} are some of {', '.join(known)}, each once, not {list(chosen)}")
        if batch_size < 0:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1, or 0 for all flowers in one batch")
        self.batch_size, self.classes, self.features, self.seed = batch_size, tuple(species), tuple(features), seed

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def table(self) -> tuple[Tensor, Tensor]:
        """All flowers of the chosen species in the file's order: float32 [N, features], int64 [N]."""
        with (SAMPLES / "iris.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if row and row[-1].removeprefix("Iris-") in self.classes]
        columns = [FEATURES.index(feature) for feature in self.features]
        x = torch.tensor([[float(row[column]) for column in columns] for row in rows])
        return x, torch.tensor([self.classes.index(row[-1].removeprefix("Iris-")) for row in rows])

    def part(self, name: str) -> tuple[Tensor, Tensor]:
        """The "train" or the "test" part; of every species the same share."""
        x, y = self.table()
        order = fixed_permutation(len(y))
        held_out = torch.cat([order[y[order] == label][:15] for label in range(self.num_classes)])
        test = torch.zeros(len(y), dtype=torch.bool)
        test[held_out] = True
        return (x[test], y[test]) if name == "test" else (x[~test], y[~test])

    def train_dataloader(self) -> DataLoader:
        generator = torch.Generator().manual_seed(self.seed)
        x, y = self.part("train")
        size = self.batch_size or len(x)
        return DataLoader(TensorDataset(x, y), size, shuffle=size < len(x), generator=generator)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(*self.part("test")), batch_size=64)
