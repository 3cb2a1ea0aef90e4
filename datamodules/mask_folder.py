"""A person's own pictures with masks.

    cells/images/a.png, cells/masks/a.png            split here, the same way every time
    cells/{train,val,test}/a.png, cells/{train,val,test}annot/a.png, …     split by its owner, as CamVid is

A mask is a picture of the same size and name whose pixels are numbers: 0, 1, … of classes (named in classes.txt, a line each),
255 for what counts for nothing, or, for `instances`, 1 … n of the objects with 0 for background. A mask of two values is
background and object; its connected pixels are the objects.
"""

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.base import CLI_KEYS
from datamodules.camvid import pair_up, read_map
from datamodules.dense import SPLITS, DenseDataModule
from datamodules.files import DataNotFoundError
from datamodules.image_folder import _settings
from datamodules.own import Own, check_shares, parts_of
from zoo.core.images import Transform
from zoo.core.pictures import read_labels
from zoo.errors import InputError, MissingExtraError

VOID = 255


class MaskFolder(Own, DenseDataModule):
    """Pictures and masks in folders, all scaled to one size.

    Args:
        root: the folder.
        batch_size: pictures per batch and process.
        size: (height, width) that everything is scaled to; the transform's, else 256 x 256.
        instances: masks hold numbers of objects, not classes.
        transform: a network's transform or its settings; decides mode, mean, std and percentiles.
        val_share, test_share: parts of the pictures to hold out where there is no folder for them.
        augment, normalize, seed: see `DenseDataModule`.
    """

    name = "mask-folder"
    offers: ClassVar[tuple[str, ...]] = ("masks",)
    counted: ClassVar[str] = "pictures"
    void: ClassVar[int] = VOID

    def __init__(
        self,
        root: str,
        batch_size: int = 8,
        *,
        size: tuple[int, int] | None = None,
        instances: bool = False,
        transform: Transform | dict[str, Any] | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
        augment: dict[str, Any] | None = None,
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        check_shares(val_share, test_share)
        folder, settings = Path(os.fspath(root)), _settings(transform, 256)
        if not isinstance(transform, dict) and (percentiles := getattr(transform, "percentiles", None)):
            settings["percentiles"] = list(percentiles)
        if size is not None:
            settings["size"] = [int(size[0]), int(size[1])]
        self._transform, self.instances = Transform(**settings), instances
        self._pairs = find_pairs(folder)
        self.classes = ("background", "object") if instances else find_classes(folder, self._pairs)
        height, width = self._transform.size
        self.image_shape = (len(self._transform.mean), height, width)
        self.mean, self.std = tuple(self._transform.mean), tuple(self._transform.std)
        self.val_share, self.test_share = val_share, test_share
        super().__init__(batch_size, augment=augment, normalize=normalize, seed=seed, root=str(folder))
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(folder), transform=settings)

    @property
    def preprocess(self) -> dict[str, Any]:
        return self._transform.to_dict()

    def prepare_data(self) -> None:
        """Everything is on disk."""

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        pairs = self._pairs.get(split)
        if pairs is None:
            everything = self._pairs["train"]
            shares = {part: 0.0 if part in self._pairs else getattr(self, f"{part}_share") for part in SPLITS[1:]}
            parts = parts_of(len(everything), shares["val"], shares["test"])
            pairs = [everything[i] for i in parts[split].tolist()]
        elif split == "train":
            shares = {part: 0.0 if part in self._pairs else getattr(self, f"{part}_share") for part in SPLITS[1:]}
            pairs = [pairs[i] for i in parts_of(len(pairs), shares["val"], shares["test"])["train"].tolist()]
        if not pairs:
            raise InputError(f"no picture is left for the {split} part of {self.root}: add some, or a folder {split}.")
        pictures, masks = [], []
        for picture, file in pairs:
            pictures.append(self._transform.pixels(picture))
            found = self._objects(file, picture) if self.instances else self._classes(file, picture)
            scaled = F.interpolate(found[None, None].float(), tuple(self._transform.size), mode="nearest-exact")
            masks.append(scaled[0, 0].to(torch.int16))
        return torch.stack(pictures), torch.stack(masks)

    def _classes(self, file: Path, picture: Path) -> Tensor:
        labels = read_map(file, picture, 256, VOID)
        return _two_values(labels, file, len(self.classes))

    def _objects(self, file: Path, picture: Path) -> Tensor:
        labels = read_map(file, picture, 1 << 15, 1 << 15)
        values = labels.unique()
        if len(values) > 2:
            return labels
        try:
            from scipy import ndimage
        except ImportError:
            raise MissingExtraError("objects of a mask of two values", "scipy", "vision") from None
        return torch.from_numpy(ndimage.label((labels != 0).numpy())[0].astype(np.int16))


def _two_values(labels: Tensor, file: Path, classes: int) -> Tensor:
    values = labels.unique().tolist()
    if classes == 2 and set(values) <= {0, VOID}:  # as drawing programs paint a mask
        return (labels > 0).to(torch.uint8)
    if wrong := [v for v in values if v >= classes and v != VOID]:
        raise InputError(
            f"{file} holds the value {wrong[0]}; there are {classes} classes, and {VOID} counts for nothing."
        )
    return labels


def find_pairs(root: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Pictures with their masks as {part: pairs}; only "train" where the folder isn't split.

    Raises:
        InputError: for a folder that is missing, has no pictures, or a picture without a mask.
    """
    if not root.is_dir():
        raise DataNotFoundError(f"there is no folder {str(root)!r}: name one with the folders images and masks.")
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return {"train": pair_up(root / "images", root / "masks")}
    found = {
        part: pair_up(root / part, root / f"{part}annot")
        for part in SPLITS
        if (root / part).is_dir() and (root / f"{part}annot").is_dir()
    }
    if "train" not in found:
        raise InputError(f"{root} holds neither the folders images and masks, nor train and trainannot.")
    return found


def find_classes(root: Path, pairs: dict[str, list[tuple[Path, Path]]]) -> tuple[str, ...]:
    """The lines of classes.txt, else a number for each class that occurs in a mask.

    Raises:
        InputError: where only one class, or nothing but 255, is marked, or for a mask that can't be read.
    """
    file = root / "classes.txt"
    if file.is_file():
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        return names[:-1] if names and names[-1].lower() in ("unlabelled", "void") else names
    values: set[int] = set()
    for part in pairs.values():
        for _, mask in part:
            values |= set(read_labels(mask).unique().tolist())
    if values in ({0, 1}, {0, VOID}):
        return ("background", "object")
    last = max((v for v in values if v != VOID), default=0)
    if last < 1:
        raise InputError(f"the masks of {root} mark nothing: they hold {sorted(values)[:5]} alone.")
    return tuple(str(i) for i in range(int(last) + 1))
