"""Two domains for adaptation: labelled images of a source, unlabelled ones of a target.

    zoo.datamodule("domains", source="mnist", target="usps")            data sets by name
    zoo.datamodule("domains", source="photos/", target="sketches/")     a sub-folder a class; the target's may hold loose images

Training batches are (source images, source labels, target images): no label of the target is in them. Validation is on images
of the source that were held out; the target's labels, where it has any, are read for the test alone. So nothing can be chosen
by them.
"""

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from datamodules.augment import Augment, Settings
from datamodules.base import CLI_KEYS, TensorDataModule, TensorLoader, key
from datamodules.files import DataNotFoundError
from datamodules.image_folder import ImageFolder
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.resumable import ResumableLoader
from zoo.core.images import Transform
from zoo.errors import InputError

SETS = {
    "cifar10": "datamodules.cifar10:CIFAR10",
    "fashion-mnist": "datamodules.fashion_mnist:FashionMNIST",
    "mnist": "datamodules.mnist:MNIST",
    "mnist-m": "datamodules.mnist_m:MNISTM",
    "usps": "datamodules.usps:USPS",
}


class Domains(DataModule):
    """Labelled source, unlabelled target.

    Args:
        source, target: each the name of a data set (mnist, mnist-m, usps, fashion-mnist, cifar10) or a folder.
        batch_size: images of each domain per batch and process; two at least, since batch norm needs two.
        image_size: height and width of all images; by default the target data set's, or 64 for a folder.
        mode: "L" for grey, "RGB" for colour; by default colour if either domain has it.
        source_pad, target_pad: pixels to add around each image of that domain before it is resized, or to cut off if
            negative: for digits that fill more or less of the picture than the other domain's.
        augment: settings of `datamodules.augment.Augment` for the training images of both domains, or None.
        seed: of the shuffles and the augmentation.
        root: folder of the data sets' raw files; default `$ZOO_DATA`.
    """

    name = "domains"
    offers: ClassVar[tuple[str, ...]] = ("labelled-images",)
    licence: ClassVar[str] = "that of the two data sets"
    licence_note: ClassVar[str] = "See the data modules of source and target."
    homepage: ClassVar[str] = ""

    def __init__(
        self,
        source: str,
        target: str,
        *,
        batch_size: int = 64,
        image_size: int | None = None,
        mode: str | None = None,
        source_pad: int = 0,
        target_pad: int = 0,
        augment: Settings | None = None,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        source, target = os.fspath(source), os.fspath(target)
        if isinstance(batch_size, bool) or batch_size < 2:
            raise InputError(f"batch_size is {batch_size}; batch norm needs at least 2 images of each domain.")
        if mode not in (None, "L", "RGB"):
            raise InputError(f"mode is {mode!r}; it can be 'L' for grey or 'RGB' for colour.")
        if image_size is not None and image_size < 1:
            raise InputError(f"image_size is {image_size}; it must be at least 1.")
        self.source, self.target, self.batch_size = source, target, batch_size
        self.pads = {"source": source_pad, "target": target_pad}
        self.seed, self.root = seed, root
        shapes = [shape for domain in (target, source) if (shape := _shape(domain))]
        side = image_size or (_shape(target) or (0, 64, 64))[1]
        colour = any(channels == 3 for channels, _, _ in shapes) or len(shapes) < 2
        channels = {"L": 1, "RGB": 3}[mode] if mode else (3 if colour else 1)
        self.image_shape = (channels, side, side)
        self.mean, self.std = (0.5,) * channels, (0.5,) * channels  # pixels in -1 … 1, whatever the domain
        self._transform = Transform([side, side], "L" if channels == 1 else "RGB", list(self.mean), list(self.std))
        self._labelled = self._open(source)
        self.classes = self._labelled.classes
        self.augment = Augment(augment, self.image_shape, num_classes=len(self.classes), seed=seed) if augment else None
        self._splits: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(source=source, target=target)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def preprocess(self) -> dict[str, Any]:
        """The transform of the target's images as plain JSON: it travels with the weights."""
        return self._transform.to_dict()

    def prepare_data(self) -> None:
        for domain in {self.source, self.target} & SETS.keys():
            self._open(domain).prepare_data()

    def tensors(self, split: str, domain: str = "target") -> tuple[Tensor, Tensor]:
        """Images uint8 [N, C, H, W] of a split of "source" or "target" at the common size, and labels int64 [N].

        Labels are -1 for the training images of the target, and for the test images of a folder without classes.
        """
        if split not in ("train", "val", "test") or domain not in ("source", "target"):
            raise InputError(f"split is {split!r} of {domain!r}; it's train, val or test of source or target.")
        if (split, domain) not in self._splits:
            x, y = self._labelled.tensors(split) if domain == "source" else self._target(split)
            if pad := self.pads[domain]:
                if len(x) and min(x.shape[2:]) + 2 * pad < 1:
                    raise InputError(f"{domain}_pad {pad} leaves nothing of the {domain}'s images.")
                x = F.pad(x, (pad,) * 4)
            self._splits[split, domain] = (
                self._sized(x),
                y if domain == "source" or split == "test" else -torch.ones_like(y),
            )
        return self._splits[split, domain]

    def train_dataloader(self) -> "PairLoader":
        share = share_of(self)
        loaders = []
        for number, domain in enumerate(("source", "target")):
            x, y = self._place("train", domain)
            if len(x) < self.batch_size * share["world_size"]:
                raise InputError(
                    f"the {domain} {getattr(self, domain)!r} has {len(x)} training images, fewer than a batch of "
                    f"{self.batch_size}: choose a smaller batch_size."
                )
            loaders.append(
                TensorLoader(
                    x,
                    y,
                    self.batch_size,
                    shuffle=True,
                    drop_last=True,
                    augment=self.augment,
                    mean=self.mean,
                    std=self.std,
                    seed=key(self.seed, number),
                    **share,
                )
            )
        return training(self, PairLoader(*loaders))

    def val_dataloader(self) -> TensorLoader | list:
        return self._evaluation("val", "source")

    def test_dataloader(self) -> TensorLoader | list:
        return self._evaluation("test", "target")

    def source_test_dataloader(self) -> TensorLoader | list:
        """The source's own test images, to see what adaptation did to them."""
        return self._evaluation("test", "source")

    def _evaluation(self, split: str, domain: str) -> TensorLoader | list:
        x, y = self._place(split, domain)
        known = len(y) and int(y.min()) >= 0
        return TensorLoader(x, y, 4 * self.batch_size, mean=self.mean, std=self.std) if known else []

    def _place(self, split: str, domain: str) -> tuple[Tensor, Tensor]:
        device = device_of(self)
        with torch.inference_mode(False):
            x, y = self.tensors(split, domain)
            return x.to(device), y.to(device)

    def _open(self, domain: str) -> TensorDataModule:
        if domain in SETS:
            module, _, name = SETS[domain].partition(":")
            return getattr(importlib.import_module(module), name)(root=self.root)
        _check_folder(domain)
        return ImageFolder(domain, transform=self._transform)

    def _target(self, split: str) -> tuple[Tensor, Tensor]:
        if self.target in SETS:
            found = self._open(self.target)
            if tuple(found.classes) != tuple(self.classes):
                raise InputError(f"{self.target} has other classes than {self.source}: adaptation needs the same ones.")
            return found.tensors(split)
        folder = Path(self.target)
        _check_folder(self.target)
        names = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
        if names and (names <= set(self.classes) or "train" in names) and len(names) > 1:
            found = ImageFolder(self.target, transform=self._transform)
            unknown = set(found.classes) - set(self.classes)
            if unknown:
                raise InputError(f"the target has the class {', '.join(sorted(unknown))}, which the source lacks.")
            x, y = found.tensors(split)
            order = torch.tensor([self.classes.index(name) for name in found.classes])
            return x, order[y]
        x = loose_images(folder, self._transform)[: None if split == "train" else 0]
        return x, -torch.ones(len(x), dtype=torch.int64)

    def _sized(self, x: Tensor) -> Tensor:
        return self._transform.pixels(x) if len(x) else torch.empty(0, *self.image_shape, dtype=torch.uint8)


class PairLoader(ResumableLoader):
    """Batches (source images, source labels, target images); an epoch is one of the source, the target's go round.

    Shapes:
        images: float32 [B, C, H, W]; labels: int64 [B].
    """

    def __init__(self, source: TensorLoader, target: TensorLoader) -> None:
        self.source, self.target = source, target

    def __len__(self) -> int:
        return len(self.source)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        pairs: Iterator[tuple[tuple[Tensor, Tensor], Tensor]] | None = None
        for number in self.remaining():
            if pairs is None:  # the first batch says where this epoch begins or goes on
                self.source.set_epoch(self.epoch)
                self.source.load_state_dict({"epoch": self.epoch, "batch": number})
                first = self.epoch * len(self.source) + number  # the target's batch, counted through all its epochs
                pairs = zip(self.source, self._targets(first), strict=False)
            (x, y), z = next(pairs)
            yield x, y, z

    def _targets(self, batch: int) -> Iterator[Tensor]:
        while True:
            epoch, start = divmod(batch, len(self.target))
            self.target.set_epoch(epoch)
            self.target.load_state_dict({"epoch": epoch, "batch": start})
            for x, _ in self.target:
                yield x
                batch += 1


def loose_images(folder: Path, transform: Transform) -> Tensor:
    """All images of a folder and those below it, uint8 [N, C, H, W] at a transform's size; unreadable ones are skipped.

    Raises:
        InputError: if none can be read.
    """
    formats = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in formats):
        with contextlib.suppress(InputError, OSError, ValueError, SyntaxError):  # all that Pillow raises
            found.append(transform.pixels(path))
    if not found:
        raise InputError(f"{str(folder)!r} holds no image that can be read: name a folder of the target's images.")
    return torch.stack(found)


def _shape(domain: str) -> tuple[int, int, int] | None:
    """Channels, height and width of a data set's images; None for a folder."""
    if domain not in SETS:
        return None
    module, _, name = SETS[domain].partition(":")
    return getattr(importlib.import_module(module), name).image_shape


def _check_folder(domain: str) -> None:
    if not Path(domain).is_dir():
        raise DataNotFoundError(
            f"there is no folder {domain!r}, and no data set of that name: name a folder of images or one of {', '.join(SETS)}."
        )
