"""Patterns of ±1 for an associative memory: binarised handwritten digits, or random ones.

The digits are the first training images of MNIST, a pixel above one half being +1. They are strongly correlated, most pixels
being −1 in all of them, which is what a Hebbian memory can't bear; random patterns are what its capacity is stated for. What
is to be recalled is what was stored, so all splits hold the same patterns.
"""

from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, TensorLoader, fixed_permutation
from datamodules.mnist import MNIST
from datamodules.module import DataModule
from datamodules.place import device_of
from zoo.errors import InputError


class DigitPatterns(DataModule):
    """Patterns to store.

    Args:
        batch_size: patterns per batch; 0 for all of them in one batch.
        patterns: how many.
        kind: "digits" or "random".
        size: units of a random pattern; digits have 784.
        seed: of the random patterns.
        root: folder of MNIST's raw files; default `$ZOO_DATA`, else the user's cache folder.

    Shapes:
        patterns: float32 [N, size] of −1 and +1; labels: int64 [N], the digit, or 0 for a random pattern.
    """

    name = "digit-patterns"
    classes = tuple("0123456789")
    licence: ClassVar[str] = MNIST.licence
    licence_note: ClassVar[str] = MNIST.licence_note
    homepage: ClassVar[str] = MNIST.homepage

    def __init__(
        self,
        batch_size: int = 0,
        *,
        patterns: int = 1000,
        kind: str = "digits",
        size: int = 784,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if kind not in ("digits", "random"):
            raise InputError(f"kind is {kind!r}; it can be 'digits' or 'random'")
        if batch_size < 0 or patterns < 1 or size < 1:
            raise InputError(f"batch_size {batch_size}, patterns {patterns} and size {size} can't be so small")
        if kind == "digits" and (size != 784 or patterns > 55_000):
            raise InputError(f"digits have 784 pixels and there are 55,000 of them, not {size} and {patterns}")
        self.batch_size, self.patterns, self.kind, self.size, self.seed = batch_size, patterns, kind, size, seed
        self.mnist = MNIST(root=root, normalize=False)
        self.root = root
        self._found: tuple[Tensor, Tensor] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def prepare_data(self) -> None:
        if self.kind == "digits":
            self.mnist.prepare_data()

    def missing(self) -> list[str]:
        return self.mnist.missing() if self.kind == "digits" else []

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """Patterns and labels; the same ones whatever the split."""
        if split not in ("train", "val", "test"):
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        if self._found is None:
            with torch.inference_mode(False):
                if self.kind == "digits":
                    x, y = self.mnist.tensors("train")
                    index = fixed_permutation(len(x))[: self.patterns]
                    self._found = 2.0 * (x[index].flatten(1) > 127).float() - 1, y[index]
                else:
                    generator = torch.Generator().manual_seed(self.seed)
                    bits = torch.randint(2, (self.patterns, self.size), generator=generator)
                    self._found = 2.0 * bits.float() - 1, torch.zeros(self.patterns, dtype=torch.long)
        return self._found

    def train_dataloader(self) -> TensorLoader:
        return self._loader()

    def val_dataloader(self) -> list:
        return []  # there is nothing to choose

    def test_dataloader(self) -> TensorLoader:
        return self._loader()

    def _loader(self) -> TensorLoader:
        x, y = self.tensors("train")
        x, y = x.to(device_of(self)), y.to(device_of(self))
        return TensorLoader(x, y, self.batch_size or len(x))
