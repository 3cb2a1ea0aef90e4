"""Blood cells under the microscope (BCCD, MIT): 364 photographs of 640 x 480 pixels with boxes around red cells, white cells and
platelets.

The official repository lays out Pascal VOC: JPEGImages, Annotations, and ImageSets/Main with 205 images to train, 87 to
validate and 72 to test. Two boxes have no area and are left out. Some red cells at the edges aren't marked, which bounds the
precision that can be had.
"""

import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.dense import DenseDataModule
from datamodules.files import DataNotFoundError, data_root
from datamodules.formats.boxes import Marked, read_voc
from zoo.core.images import Transform
from zoo.errors import InputError


class BCCD(DenseDataModule):
    """Images [N, 3, height, width] with boxes [N, M, 5].

    Args:
        size: (height, width) that every image is scaled to.
    """

    name = "bccd"
    classes = ("RBC", "WBC", "Platelets")
    image_shape = (3, 240, 320)
    mean = (0.737, 0.696, 0.715)
    std = (0.06, 0.102, 0.075)
    counts: ClassVar[dict[str, int]] = {"train": 205, "val": 87, "test": 72}
    offers: ClassVar[tuple[str, ...]] = ("boxes",)
    licence: ClassVar[str] = "MIT"
    licence_note: ClassVar[str] = "Keep the notice when you pass the images on."
    homepage: ClassVar[str] = "https://github.com/Shenggan/BCCD_Dataset"
    folder: ClassVar[str] = "BCCD"

    def __init__(
        self,
        batch_size: int = 16,
        *,
        size: tuple[int, int] = (240, 320),
        augment: dict[str, Any] | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        self.image_shape = (3, int(size[0]), int(size[1]))
        super().__init__(batch_size, augment=augment, normalize=normalize, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)

    @property
    def _folder(self) -> Path:
        return data_root(self.root) / self.folder

    def prepare_data(self) -> None:
        if self.missing():
            raise DataNotFoundError(
                f"{self._folder} lacks {', '.join(self.missing())}: put the folder BCCD of {self.homepage} there, "
                "or set ZOO_DATA to the folder that holds it."
            )

    def missing(self) -> list[str]:
        parts = ("JPEGImages", "Annotations", "ImageSets/Main")
        return [part for part in parts if not (self._folder / part).is_dir()]

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        try:
            names = (self._folder / "ImageSets" / "Main" / f"{split}.txt").read_text(encoding="utf-8").split()
        except OSError as error:
            raise InputError(f"the list of the {split} images of BCCD can't be read: {error}") from None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the two boxes without area are known
            marked = [read_voc(self._folder / "Annotations" / f"{name}.xml") for name in names]
        pictures = [self._folder / "JPEGImages" / f"{name}.jpg" for name in names]
        return load_marked(pictures, marked, self.classes, Transform(**self.preprocess))


def load_marked(
    pictures: list[Path], marked: list[Marked], classes: tuple[str, ...], transform: Transform
) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, C, H, W] at the transform's size, and boxes [N, M, 5] in its pixels, padded with class -1.

    Raises:
        InputError: for a class that isn't one of `classes`, or a file that is no image.
    """
    height, width = transform.size
    most = max([1, *(len(one.boxes) for one in marked)])
    boxes = torch.full((len(marked), most, 5), -1.0)
    boxes[..., 1:] = 0
    for row, one in zip(boxes, marked, strict=True):
        scale = torch.tensor([width / one.width, height / one.height] * 2)
        for place, (name, *corners) in zip(row, one.boxes, strict=False):
            if name not in classes:
                raise InputError(f"{one.file} has a box of class {name!r}; the classes are {', '.join(classes)}.")
            place[0] = classes.index(name)
            place[1:] = torch.tensor(corners) * scale
    return torch.stack([transform.pixels(picture) for picture in pictures]), boxes
