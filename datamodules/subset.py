"""Some classes of another data set, some images of each, at the size and mode that a network wants: for transfer learning.

Only the training part shrinks with `per_class`; validation and test keep all images of the classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.augment import Settings
from datamodules.base import CLI_KEYS, TensorDataModule, fixed_permutation, key
from datamodules.cifar10 import CIFAR10
from datamodules.cifar100 import CIFAR100
from datamodules.fashion_mnist import FashionMNIST
from datamodules.mnist import MNIST
from datamodules.usps import USPS
from zoo.core.images import Transform
from zoo.errors import InputError, UnknownNameError

WHOLE: dict[str, Any] = {cls.name: cls for cls in (MNIST, FashionMNIST, USPS, CIFAR10, CIFAR100)}


class Subset(TensorDataModule):
    """Part of an image data set.

    Args:
        of: name of the data set, such as "fashion-mnist".
        batch_size: images per batch and process.
        only: the classes to keep, by name; None for all. They are numbered anew, in the data set's order.
        per_class: training images of each class; None for all.
        draw: which training images these are; another number draws others.
        transform: a network's transform (`clf.transform`) or its settings: size, mode, mean and std of the result.
        val_size: images held out of the official training part, before anything is drawn.
        augment, normalize, seed, root: see `TensorDataModule`.
    """

    name = "subset"
    licence: ClassVar[str] = "the data set's"
    licence_note: ClassVar[str] = "As of the data set that it is a part of."
    homepage: ClassVar[str] = ""

    def __init__(
        self,
        of: str,
        batch_size: int = 128,
        *,
        only: Sequence[str] | None = None,
        per_class: int | None = None,
        draw: int = 0,
        transform: Transform | Mapping[str, Any] | None = None,
        val_size: int | None = None,
        augment: Settings | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        if of not in WHOLE:
            raise UnknownNameError("image data set with classes", of, WHOLE)
        cls = WHOLE[of]
        held_out: dict[str, Any] = {} if val_size is None else {"val_size": val_size}
        self.whole: TensorDataModule = cls(batch_size, root=root, **held_out)
        if unknown := [name for name in only or () if name not in cls.classes]:
            raise InputError(f"{of} has no class {', '.join(unknown)}; it has {', '.join(cls.classes)}")
        if only is not None and len(set(only)) < 2:
            raise InputError(f"it takes two classes to tell apart, not {', '.join(only) or 'none'}")
        if per_class is not None and per_class < 1:
            raise InputError(f"per_class is {per_class}; it must be at least 1, or None for all")
        given = self.whole.preprocess if transform is None else transform
        self._transform = given if isinstance(given, Transform) else Transform(**given)
        self.classes = tuple(name for name in cls.classes if only is None or name in only)
        self.name = of if only is None else f"{of} ({', '.join(self.classes)})"
        height, width = self._transform.size
        self.image_shape = (len(self._transform.mean), height, width)
        self.mean, self.std = tuple(self._transform.mean), tuple(self._transform.std)
        self.per_class, self.draw = per_class, draw
        super().__init__(batch_size, val_size=0, augment=augment, normalize=normalize, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(transform=self._transform.to_dict())

    def prepare_data(self) -> None:
        self.whole.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        wanted = {"test": ("test",), "fit": ("train", "val"), "validate": ("train", "val")}
        for split in wanted.get(stage or "", ("train", "val", "test")):
            if split not in self._splits:
                self._splits[split] = self._part(split)

    def _part(self, split: str) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False):  # an evaluation may be what asks first, and training needs ordinary tensors
            x, y = self.whole.tensors(split)
            number = torch.full((len(self.whole.classes),), -1)
            for new, name in enumerate(self.classes):
                number[self.whole.classes.index(name)] = new
            y = number[y]
            index = (y >= 0).nonzero()[:, 0]
            if split == "train" and self.per_class is not None:
                index = self._draw(y)
            return self._transform.pixels(x[index]), y[index]

    def _draw(self, y: Tensor) -> Tensor:
        """`per_class` indices of each class."""
        assert self.per_class is not None
        drawn = []
        for label, name in enumerate(self.classes):
            index = (y == label).nonzero()[:, 0]
            if len(index) < self.per_class:
                raise InputError(f"class {name} has {len(index)} training images, not {self.per_class}: take fewer")
            start = key(self.draw, label) % len(index)
            drawn.append(index[fixed_permutation(len(index)).roll(-start)[: self.per_class]])
        return torch.cat(drawn).sort().values
