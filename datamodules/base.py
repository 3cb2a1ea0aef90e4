"""Data that fits the device: uint8 tensors, moved there once, then batched, shuffled and augmented there.

A `DataLoader` calls Python once per sample; for small images that costs more than the network. `TensorLoader` calls it
a few times per batch. Whatever is random is a pure function of (seed, epoch, rank, batch), so an interrupted run that
resumes sees the very batches that an uninterrupted one would have seen.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.augment import Augment, Settings
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError

CLI_KEYS = ("_class_path", "_instantiator")  # LightningCLI's own among the hyper-parameters; no class takes them


class TensorLoader(ResumableLoader):
    """Batches (x, y) of tensors that live on one device: x = (pixels - mean) / std, with pixels in [0, 1].

    Args:
        x: images, uint8, or float already in [0, 1].
        y: labels, int64.
        augment: see `datamodules.augment.Augment`; sees a batch before it is normalised.
        rank, world_size: this process's place; every rank gets its own equal share of the same shuffle.

    Shapes:
        x: [N, C, H, W]; y: [N]; batches: float32 [B, C, H, W], and [B] (or [B, classes] under mixup).
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        augment: Callable[..., tuple[Tensor, Tensor]] | None = None,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        if len(x) != len(y):
            raise InputError(f"there are {len(x)} images but {len(y)} labels.")
        if not 0 <= rank < world_size:
            raise InputError(f"rank is {rank}; with world_size {world_size} it runs from 0 to {world_size - 1}.")
        self.x, self.y, self.batch_size, self.shuffle = x, y, batch_size, shuffle
        self.augment, self.seed, self.rank, self.world_size = augment, seed, rank, world_size
        self.samples = len(x) // world_size  # a remainder that can't be shared is left out of this epoch's shuffle
        self.drop_last = drop_last
        peak = 1.0 if x.is_floating_point() else 255.0
        self._scale = _constant([1 / (peak * s) for s in std], x.device)
        self._shift = _constant([-m / s for m, s in zip(mean, std, strict=True)], x.device)

    def __len__(self) -> int:
        return self.samples // self.batch_size if self.drop_last else -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = self.epoch
        order = self.order(epoch)
        for batch in self.remaining():
            first, last = batch * self.batch_size, min((batch + 1) * self.batch_size, self.samples)
            if order is None:
                x, y = self.x[first:last], self.y[first:last]
                index = torch.arange(first, last, device=x.device)
            else:
                index = order[first:last]
                x, y = self.x.index_select(0, index), self.y.index_select(0, index)
            if self.augment:
                seed = key(self.seed, epoch, self.rank, batch)
                generator = torch.Generator(x.device).manual_seed(seed)
                x, y = self.augment(x, y, index=index, epoch=epoch, generator=generator)
            yield x.to(torch.float32, copy=True).mul_(self._scale).add_(self._shift), y

    def order(self, epoch: int) -> Tensor | None:
        """This rank's images in the order of an epoch, [samples]; None for all of them in the order they lie."""
        if not self.shuffle:
            if self.world_size == 1:
                return None
            order = torch.arange(len(self.x))
        else:  # drawn on the CPU, so that every device and every rank shuffles alike
            order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(key(self.seed, epoch)))
        return order[self.rank :: self.world_size][: self.samples].to(self.x.device)


class TensorDataModule(DataModule):
    """A data set held as uint8 tensors on the training device.

    A subclass names its facts below and gives `prepare_data` (fetch the raw files) and `load` (read an official part).

    Args:
        batch_size: images per batch and process.
        val_size: images held out of the official training part for validation; always the same ones, whatever the seed.
        augment: settings of `datamodules.augment.Augment` for training batches, or None.
        normalize: subtract the mean and divide by the deviation; False leaves pixels in [0, 1] (generative models).
        seed: of the shuffles and the augmentation, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
        train_on_all: train on the whole official training part, the held-out images included. There's then no
            validation split at all (its loader is empty): for the last run of a recipe whose every choice is made.

    The training loader drops a last, smaller batch: each epoch's shuffle drops others, and shapes stay constant.
    """

    offers: ClassVar[tuple[str, ...]] = ("images", "labelled-images")  # what its batches hold, see zoo.core.own_data
    name: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    counts: ClassVar[dict[str, int]]  # images of the official parts, "train" and "test"
    licence: ClassVar[str]
    licence_note: ClassVar[str]
    homepage: ClassVar[str]
    folder: ClassVar[str]  # of the raw files, below the root

    def __init__(
        self,
        batch_size: int = 256,
        *,
        val_size: int = 5000,
        augment: Settings | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
        train_on_all: bool = False,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        if val_size < 0:
            raise InputError(f"val_size is {val_size}; it must be 0 or more.")
        self.batch_size, self.val_size, self.normalize, self.seed = batch_size, val_size, normalize, seed
        self.root, self.train_on_all = root, train_on_all
        self.augment = self._augment(augment) if augment else None
        if type(self).__init__ is TensorDataModule.__init__:  # a subclass with arguments of its own saves those itself
            self.save_hyperparameters(ignore=CLI_KEYS)
        self._splits: dict[str, tuple[Tensor, Tensor]] = {}
        self._placed: dict[tuple[str, torch.device], tuple[Tensor, Tensor]] = {}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def preprocess(self) -> dict[str, Any]:
        """The transform that turns an image into a network's input, as plain JSON: it travels with the weights."""
        mean, std = self._statistics()
        return {
            "size": list(self.image_shape[1:]),
            "mode": "L" if self.image_shape[0] == 1 else "RGB",
            "mean": list(mean),
            "std": list(std),
            "interpolation": "bilinear",
            "antialias": True,
        }

    def load(self, part: str) -> tuple[Tensor, Tensor]:
        """Images uint8 [N, C, H, W] and labels int64 [N] of the official "train" or "test" part."""
        raise NotImplementedError

    def missing(self) -> list[str]:
        """Raw files that `prepare_data` would have to fetch, empty if all are here."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs into memory, once."""
        with torch.inference_mode(False):  # an evaluation may be what asks first, and training needs ordinary tensors
            if stage != "test" and "train" not in self._splits:
                self._splits["train"], self._splits["val"] = self._hold_out(*self._load_checked("train"))
            if stage not in ("fit", "validate") and "test" not in self._splits:
                self._splits["test"] = self._load_checked("test")

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """Images uint8 [N, C, H, W] and labels int64 [N] of "train", "val" or "test", on the CPU."""
        if split not in ("train", "val", "test"):
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        if split not in self._splits:
            self.prepare_data()
            self.setup("test" if split == "test" else "fit")
        return self._splits[split]

    def train_dataloader(self) -> TensorLoader:
        x, y = self._place("train")
        share = share_of(self)
        mean, std = self._statistics()
        loader = TensorLoader(
            x,
            y,
            self.batch_size,
            shuffle=True,
            drop_last=len(x) // share["world_size"] >= self.batch_size,
            augment=self.augment,
            mean=mean,
            std=std,
            seed=self.seed,
            **share,
        )
        return training(self, loader)

    def val_dataloader(self) -> TensorLoader | list:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> TensorLoader | list:
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> TensorLoader | list:
        x, y = self._place(split)
        mean, std = self._statistics()
        # never sharded: a share per rank would repeat or lose images. No loader at all is how Lightning skips a loop
        return TensorLoader(x, y, self.batch_size, mean=mean, std=std) if len(x) else []

    def _place(self, split: str) -> tuple[Tensor, Tensor]:
        """A split on the trainer's device, moved there once."""
        device = device_of(self)
        if (split, device) not in self._placed:
            with torch.inference_mode(False):  # Lightning asks inside it, and a later backward pass may need the labels
                x, y = self.tensors(split)
                self._placed[split, device] = x.to(device), y.to(device)
        return self._placed[split, device]

    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self.normalize:
            return self.mean, self.std
        return (0.0,) * self.image_shape[0], (1.0,) * self.image_shape[0]

    def _augment(self, settings: Settings) -> Augment:
        fill = tuple(255 * m for m in self.mean)  # patches take the mean colour: zero once normalised
        return Augment(settings, self.image_shape, num_classes=self.num_classes, fill=fill, seed=self.seed)

    def _load_checked(self, part: str) -> tuple[Tensor, Tensor]:
        x, y = self.load(part)
        if len(x) != self.counts[part] or len(y) != len(x):
            raise InputError(
                f"the {part} part of {self.name} has {len(x)} images and {len(y)} labels, not {self.counts[part]}: "
                "remove its files to fetch them again."
            )
        if int(y.max()) >= self.num_classes:
            raise InputError(
                f"the {part} part of {self.name} has the label {int(y.max())}; the last is {self.num_classes - 1}: "
                "remove its files to fetch them again."
            )
        return x, y

    def _hold_out(self, x: Tensor, y: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        if self.train_on_all:
            return (x, y), (x[:0], y[:0])
        if self.val_size >= len(x):
            raise InputError(
                f"val_size is {self.val_size}; it must be below the {len(x)} training images of {self.name}."
            )
        order = fixed_permutation(len(x))
        val, train = order[: self.val_size].sort().values, order[self.val_size :].sort().values
        return (x[train], y[train]), (x[val], y[val])


def fixed_permutation(n: int) -> Tensor:
    """One permutation of n items for ever, int64 [n]: no library promises that its own shuffle outlives a release."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele et al., 2014)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return torch.from_numpy(np.argsort(z ^ (z >> np.uint64(31)), kind="stable"))


def key(*parts: int) -> int:
    """A well-mixed 63-bit seed out of several integers."""
    digest = hashlib.blake2b(struct.pack(f"<{len(parts)}q", *parts), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _constant(values: Sequence[float], device: torch.device) -> Tensor | float:
    """A number where all channels share it (twice as fast on a CPU), else a tensor [C, 1, 1]."""
    return values[0] if len(set(values)) == 1 else torch.tensor(values, device=device)[:, None, None]
